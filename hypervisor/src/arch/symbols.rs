//! The symbol table that the image carries: where it is.

use crate::symbols::{Header, PLACEHOLDER, SymbolTable};

/// Linked as an empty table; boot/mksymbols puts the real one in its place, after the link.
#[used]
#[unsafe(link_section = ".symbols")]
static TABLE: Header = PLACEHOLDER;

unsafe extern "C" {
    /// Where the linker has put [`TABLE`] (boot/linker.ld). Read by this name only: what a static of ours
    /// holds the compiler knows, and it would go on to read the placeholder.
    #[link_name = "__symbols_start"]
    static LINKED: Header;
}

/// All bytes of the table.
pub(super) fn bytes() -> &'static [u8] {
    let start = &raw const LINKED;
    // SAFETY: the table is part of the image, and begins with a header.
    let length = unsafe { (*start).total_len } as usize;
    // SAFETY: boot/mksymbols made the image's last segment as long as the table says.
    unsafe { core::slice::from_raw_parts(start.cast(), length) }
}

/// The table, if it is sound.
pub(super) fn table() -> Option<SymbolTable<'static>> {
    SymbolTable::parse(bytes()).ok()
}
