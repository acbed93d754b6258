//! Taking instruction bytes one after the other.

use super::insn::Width;

/// As many bytes as an instruction can have, and one more.
pub type Window = [u8; 16];

/// How far a window has been consumed.
pub(super) struct Cursor<'a> {
    window: &'a Window,
    consumed: usize,
}

impl<'a> Cursor<'a> {
    #[inline(always)]
    pub(super) const fn new(window: &'a Window) -> Self {
        Self {
            window,
            consumed: 0,
        }
    }

    /// Number of bytes taken so far, beyond the window's end included.
    #[inline(always)]
    pub(super) const fn consumed(&self) -> usize {
        self.consumed
    }

    /// The byte `ahead` of the next one, 0 beyond the window.
    #[inline(always)]
    fn peek(&self, ahead: usize) -> u8 {
        self.window
            .get(self.consumed.wrapping_add(ahead))
            .copied()
            .unwrap_or(0)
    }

    #[inline(always)]
    fn skip(&mut self, bytes: usize) {
        // Bounded: 15 prefixes at most, then a handful of bytes.
        self.consumed = self.consumed.wrapping_add(bytes);
    }

    #[inline(always)]
    pub(super) fn byte(&mut self) -> u8 {
        let byte = self.peek(0);
        self.skip(1);
        byte
    }

    #[inline(always)]
    pub(super) fn signed_byte(&mut self) -> i32 {
        i32::from(self.byte() as i8)
    }

    #[inline(always)]
    fn word(&mut self) -> i32 {
        let word = u16::from_le_bytes([self.peek(0), self.peek(1)]);
        self.skip(2);
        i32::from(word as i16)
    }

    #[inline(always)]
    pub(super) fn dword(&mut self) -> i32 {
        let dword = match self.window.get(self.consumed..) {
            Some([a, b, c, d, ..]) => i32::from_le_bytes([*a, *b, *c, *d]),
            // The instruction is too long, which its length will tell.
            _ => 0,
        };
        self.skip(4);
        dword
    }

    #[inline(always)]
    pub(super) fn immediate(&mut self, width: Width) -> i32 {
        match width {
            Width::Byte => self.signed_byte(),
            Width::Word => self.word(),
            Width::Dword | Width::Qword => self.dword(),
        }
    }
}
