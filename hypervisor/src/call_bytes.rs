//! Numbers taken off bytes, by what makes a room's calls of them: the fuzzer's targets, and their tests.
#![forbid(unsafe_code)]

/// Takes numbers off the bytes; zeros at their end. Each room adds what its calls are about, as methods of `Bytes` with a
/// `Room` of its own.
pub(crate) struct Bytes<'b, Room> {
    rest: &'b [u8],
    /// What the room's own methods need.
    pub(crate) room: Room,
}

impl<'b, Room> Bytes<'b, Room> {
    pub(crate) const fn new(bytes: &'b [u8], room: Room) -> Self {
        Self { rest: bytes, room }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.rest.split_first() else {
            return 0;
        };
        self.rest = rest;
        *byte
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u8) -> u8 {
        self.byte() % bound
    }

    pub(crate) fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    pub(crate) fn long(&mut self) -> u64 {
        u64::from_le_bytes(core::array::from_fn(|_| self.byte()))
    }
}
