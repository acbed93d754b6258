//! What a domain has run of late, in pieces of time: so that in no stretch of [`WINDOW_NS`] it runs for longer than its cap
//! allows, however unevenly it does.

/// The stretch of time over which a cap is never exceeded.
pub(super) const WINDOW_NS: u64 = 300_000_000;
/// A piece counts as a whole as long as a part of it is in the window.
const PIECE_NS: u64 = 1_000_000;
/// Pieces that a window may touch.
const TOUCHED: u64 = WINDOW_NS / PIECE_NS + 1;
/// What is granted counts when it ends, which is so much later at most.
pub(super) const LONGEST_GRANT_NS: u64 = PIECE_NS;
/// What is granted evenly counts for so long.
pub(super) const COUNTS_NS: u64 = WINDOW_NS + PIECE_NS + LONGEST_GRANT_NS;
/// Those pieces, and those that grants reach into.
const PIECES: u64 = TOUCHED + LONGEST_GRANT_NS.div_ceil(PIECE_NS) + 1;

#[derive(Debug)]
pub(super) struct Window {
    /// What was granted, by the piece in which that ends; in a ring.
    granted_ns: [u64; PIECES as usize],
    sum_ns: u64,
    /// The oldest piece that counts.
    first: u64,
}

impl Window {
    pub(super) const fn new() -> Self {
        Self {
            granted_ns: [0; PIECES as usize],
            sum_ns: 0,
            first: 0,
        }
    }

    fn piece(&mut self, piece: u64) -> &mut u64 {
        // Always inside.
        &mut self.granted_ns[(piece % PIECES) as usize]
    }

    /// Forgets what was before the window that ends at `now_ns`. What is left of a window that may have so much in it.
    pub(super) fn room(&mut self, now_ns: u64, most_ns: u64) -> u64 {
        let first = (now_ns / PIECE_NS).saturating_sub(TOUCHED - 1);
        let passed = first.saturating_sub(self.first);
        for piece in (self.first..).take(passed.min(PIECES) as usize) {
            let gone = core::mem::take(self.piece(piece));
            self.sum_ns = self.sum_ns.saturating_sub(gone);
        }
        self.first = self.first.max(first);
        most_ns.saturating_sub(self.sum_ns)
    }

    /// When there will be room for `wanted_ns` in a window that may have `most_ns` in it, if nothing else is granted. Asked
    /// after [`room`](Self::room).
    pub(super) fn room_at(&mut self, wanted_ns: u64, most_ns: u64) -> u64 {
        let mut sum_ns = self.sum_ns;
        let mut last = self.first;
        for piece in (self.first..).take(PIECES as usize) {
            if sum_ns.saturating_add(wanted_ns) <= most_ns {
                break;
            }
            sum_ns = sum_ns.saturating_sub(*self.piece(piece));
            last = piece;
        }
        // When the last of those that have to go is out of every window.
        last.saturating_add(TOUCHED).saturating_mul(PIECE_NS)
    }

    /// The piece that a time is in, of those that count.
    fn piece_of(&self, then_ns: u64) -> u64 {
        (then_ns / PIECE_NS).clamp(self.first, self.first + PIECES - 1)
    }

    /// Somebody may run for so long, until then.
    pub(super) fn add(&mut self, until_ns: u64, ns: u64) {
        let piece = self.piece_of(until_ns);
        let granted = self.piece(piece);
        *granted = granted.saturating_add(ns);
        self.sum_ns = self.sum_ns.saturating_add(ns);
    }

    /// Somebody who might have run until then has not used so much of it. What is not found there stays counted.
    pub(super) fn take_back(&mut self, until_ns: u64, ns: u64) {
        let piece = self.piece_of(until_ns);
        let granted = self.piece(piece);
        let ns = ns.min(*granted);
        *granted -= ns;
        self.sum_ns = self.sum_ns.saturating_sub(ns);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn what_was_granted_counts_for_a_window_and_a_piece_at_most() {
        let mut window = Window::new();
        let most = 75 * MS;
        let now = 1000 * MS + 1;
        assert_eq!(window.room(now, most), most);
        window.add(now + MS, 20 * MS);
        window.add(now + 2 * MS, 5 * MS);
        assert_eq!(window.room(now, most), 50 * MS);
        window.take_back(now + 2 * MS, 2 * MS);
        assert_eq!(window.room(now + 2 * MS, most), 52 * MS);
        // They ended in two pieces, and count until a window later.
        assert_eq!(window.room(now + 301 * MS, most), 52 * MS);
        assert_eq!(window.room(now + 302 * MS, most), 72 * MS);
        assert_eq!(window.room(now + 303 * MS, most), most);
        window.add(now + 305 * MS, most);
        assert_eq!(window.room(now + 5000 * MS, most), most);
    }

    #[test]
    fn the_moment_is_known_when_there_is_room_again() {
        for offset in 0..7 {
            let mut window = Window::new();
            let most = 10 * MS;
            let now = 900 * MS + offset * MS / 2;
            assert_eq!(window.room(now, most), most);
            for ms in 1..=2 {
                window.add(now + ms * MS, 5 * MS);
            }
            let then = window.room_at(4 * MS, most);
            assert!(then > now + 300 * MS && then <= now + 304 * MS, "{then}");
            assert!(window.room(then - 1, most) < 4 * MS);
            assert!(window.room(then, most) >= 4 * MS);
        }
    }
}
