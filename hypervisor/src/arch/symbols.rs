//! The symbol table that the image carries: where it is.

use crate::symbols::{Header, PLACEHOLDER, SymbolTable};

/// Linked as an empty table; boot/mksymbols puts the real one in its place, after the link.
#[used]
#[unsafe(link_section = ".symbols")]
static TABLE: Header = PLACEHOLDER;

/// All bytes of the table.
pub(super) fn bytes() -> &'static [u8] {
    let start = &raw const TABLE;
    // SAFETY: the table is part of the image. Volatile, because what the compiler believes the static to
    // hold was replaced after it had compiled.
    let length = unsafe { (&raw const (*start).total_len).read_volatile() } as usize;
    // SAFETY: boot/mksymbols made the image's last segment as long as the table says.
    unsafe { core::slice::from_raw_parts(start.cast(), length) }
}

/// The table, if it is sound.
pub(super) fn table() -> Option<SymbolTable<'static>> {
    SymbolTable::parse(bytes()).ok()
}
