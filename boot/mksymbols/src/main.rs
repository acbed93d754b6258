//! Puts the symbol table into the hypervisor's image: reads what the linker made, DWARF included, and
//! writes the image that GRUB loads, with the table in its last segment and without DWARF.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [linked, image] = arguments.as_slice() else {
        eprintln!("usage: mksymbols LINKED-ELF IMAGE");
        return ExitCode::from(2);
    };
    match mksymbols::make(linked.as_ref(), image.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mksymbols: {linked}: {error}");
            ExitCode::FAILURE
        }
    }
}
