//! From the linked hypervisor with DWARF to the image with a symbol table.
#![forbid(unsafe_code)]

pub mod dwarf;
pub mod image;
pub mod names;
pub mod paths;

// The format belongs to its reader. Including it by path instead of depending on the hypervisor keeps
// this tool from being built again whenever anything in the hypervisor changes.
#[path = "../../../hypervisor/src/symbols/mod.rs"]
pub mod symbols;

use std::error::Error;
use std::path::Path;

/// The largest table that an image may carry: every boot loads it.
pub const MAX_TABLE_LEN: usize = 3 << 19;

/// Reads the linked ELF file `linked` and writes `image`.
pub fn make(linked: &Path, image: &Path) -> Result<(), Box<dyn Error>> {
    let input = std::fs::read(linked)?;
    let table = dwarf::table(&input)?;
    if table.len() > MAX_TABLE_LEN {
        return Err(format!(
            "the symbol table has {} bytes, the limit is {MAX_TABLE_LEN}",
            table.len()
        )
        .into());
    }
    let output = image::with_table(&input, &table)?;
    // Written under another name first: nothing ever boots half an image.
    let unfinished = image.with_extension("unfinished");
    std::fs::write(&unfinished, output)?;
    std::fs::rename(&unfinished, image)?;
    Ok(())
}
