//! The last bytes of the log, numbered from the first one ever written.

#![forbid(unsafe_code)]

/// A ring of the last `N` bytes. Positions count bytes since the start and never wrap in practice (2^64).
pub struct LogRing<const N: usize> {
    bytes: [u8; N],
    /// Position of the next byte to be written.
    end: u64,
    /// Position of the oldest byte that readers see; raised by [`LogRing::clear_to`].
    cleared: u64,
}

impl<const N: usize> LogRing<N> {
    /// An empty ring.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: [0; N],
            end: 0,
            cleared: 0,
        }
    }

    /// Appends `bytes`, over the oldest where there is no room.
    pub fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.bytes[(self.end % N as u64) as usize] = byte;
            self.end += 1;
        }
    }

    /// Position of the oldest byte that can be read.
    #[must_use]
    pub const fn start(&self) -> u64 {
        let kept = self.end.saturating_sub(N as u64);
        if kept > self.cleared {
            kept
        } else {
            self.cleared
        }
    }

    /// Position behind the newest byte.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// Forgets what was written before a position; no reader of later lines loses one.
    pub const fn clear_to(&mut self, position: u64) {
        if self.cleared < position && position <= self.end {
            self.cleared = position;
        }
    }

    /// Copies bytes from position `from` on (or from the oldest kept, if that is later) into `buffer`.
    /// Returns the position behind the last byte copied and how many bytes were copied.
    pub fn read(&self, from: u64, buffer: &mut [u8]) -> (u64, usize) {
        let mut position = from.max(self.start());
        let mut copied = 0;
        for slot in buffer {
            if position >= self.end {
                break;
            }
            *slot = self.bytes[(position % N as u64) as usize];
            position += 1;
            copied += 1;
        }
        (position, copied)
    }
}

impl<const N: usize> Default for LogRing<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn all<const N: usize>(ring: &LogRing<N>) -> String {
        let mut buffer = [0; 64];
        let (_, count) = ring.read(0, &mut buffer);
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    }

    #[test]
    fn keeps_the_newest_bytes() {
        let mut ring = LogRing::<8>::new();
        ring.write(b"abcdef");
        assert_eq!(all(&ring), "abcdef");
        ring.write(b"ghij");
        assert_eq!(all(&ring), "cdefghij");
        assert_eq!((ring.start(), ring.end()), (2, 10));
    }

    #[test]
    fn reads_on_from_a_position() {
        let mut ring = LogRing::<8>::new();
        ring.write(b"abcd");
        let mut buffer = [0; 3];
        assert_eq!(ring.read(0, &mut buffer), (3, 3));
        assert_eq!(ring.read(3, &mut buffer), (4, 1));
        assert_eq!(buffer[0], b'd');
        assert_eq!(ring.read(4, &mut buffer), (4, 0));
        ring.write(b"0123456789");
        assert_eq!(
            ring.read(4, &mut buffer),
            (9, 3),
            "what was overwritten is skipped"
        );
        assert_eq!(&buffer, b"234");
    }

    #[test]
    fn a_position_from_the_future_reads_nothing() {
        let mut ring = LogRing::<8>::new();
        ring.write(b"abc");
        assert_eq!(ring.read(u64::MAX, &mut [0; 4]), (u64::MAX, 0));
    }

    #[test]
    fn clearing_hides_what_was_there() {
        let mut ring = LogRing::<8>::new();
        ring.write(b"secret");
        ring.clear_to(6);
        assert_eq!(all(&ring), "");
        ring.write(b"new");
        assert_eq!(all(&ring), "new");
    }

    #[test]
    fn what_was_not_read_is_not_cleared() {
        let mut ring = LogRing::<8>::new();
        ring.write(b"abcd");
        ring.clear_to(2);
        assert_eq!(all(&ring), "cd");
        for position in [1, 5, u64::MAX] {
            ring.clear_to(position);
            assert_eq!(all(&ring), "cd");
        }
    }
}
