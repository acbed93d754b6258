//! What is typed on a terminal.

/// A key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    /// One that prints, or Enter as `\n`.
    Letter(char),
    /// Escape.
    Escape,
    /// Backspace.
    Erase,
    /// An arrow.
    Up,
    /// An arrow.
    Down,
    /// A page.
    PageUp,
    /// A page.
    PageDown,
    /// Ctrl-L.
    Redraw,
    /// Ctrl-C.
    Interrupt,
}

/// The keys in what was read at once: a sequence of a key comes whole, and Escape alone is one that was typed.
#[must_use]
pub fn keys(bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut rest = bytes;
    while let [first, behind @ ..] = rest {
        rest = behind;
        match first {
            0x1b => match behind {
                [b'[' | b'O', sequence @ ..] => {
                    let is_final = |byte: &u8| (0x40..=0x7e).contains(byte);
                    let length = sequence.iter().position(is_final);
                    let length = length.map_or(sequence.len(), |position| position + 1);
                    let (sequence, behind) = sequence.split_at(length);
                    rest = behind;
                    keys.extend(match sequence {
                        [b'A'] => Some(Key::Up),
                        [b'B'] => Some(Key::Down),
                        [b'5', b'~'] => Some(Key::PageUp),
                        [b'6', b'~'] => Some(Key::PageDown),
                        _ => None,
                    });
                }
                _ => keys.push(Key::Escape),
            },
            0x0c => keys.push(Key::Redraw),
            0x03 => keys.push(Key::Interrupt),
            0x08 | 0x7f => keys.push(Key::Erase),
            b'\r' | b'\n' => keys.push(Key::Letter('\n')),
            b' '..=b'~' => keys.push(Key::Letter(char::from(*first))),
            _ => {}
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart() {
        assert_eq!(keys(b"\x1b"), [Key::Escape]);
        assert_eq!(
            keys(b"n\x1b[A\x1bOB\x1b[6~\x1b[1;5Cq"),
            [
                Key::Letter('n'),
                Key::Up,
                Key::Down,
                Key::PageDown,
                Key::Letter('q')
            ]
        );
        assert_eq!(
            keys(b"12\x7f\r\x0c\x03"),
            [
                Key::Letter('1'),
                Key::Letter('2'),
                Key::Erase,
                Key::Letter('\n'),
                Key::Redraw,
                Key::Interrupt
            ]
        );
        assert_eq!(keys(b"\x1b[12"), []);
        assert_eq!(keys("ü\0".as_bytes()), []);
    }
}
