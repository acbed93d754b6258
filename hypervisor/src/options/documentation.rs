//! The manual page of the options, from the table.
#![forbid(unsafe_code)]

use super::table::{Descriptor, TABLE};
use core::fmt;

/// Markdown that documents every option of a shipped image.
#[must_use]
pub fn documentation() -> impl fmt::Display {
    Documentation
}

struct Documentation;

const INTRODUCTION: &str = "\
# Boot options

<!-- Written from the option table by `cargo run -p hypervisor --example options > docs/OPTIONS.md`. -->

Options are the words after the image on the boot loader's `multiboot2` line, separated by blanks;
quotation marks keep blanks together. The later of two equal options counts, and `-` and `_` in names
mean the same. What follows a word `--` is handed to the first domain's kernel.

A word that is not an option, or whose value is malformed, changes nothing; the console shows a warning
that names it and says what would be right.

A *switch* is on when its name stands alone or with `=yes`, `=on`, `=true`, `=enable` or `=1`, and off with
`=no`, `=off`, `=false`, `=disable` or `=0`, or when `no-` or `no` stands before its name.

A *size* is a number, decimal or hexadecimal after `0x`, and a unit: `B`, `K`, `M`, `G` or `T` for bytes, KiB,
MiB, GiB or TiB; KiB if none is given.
";

impl fmt::Display for Documentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(INTRODUCTION)?;
        for descriptor in TABLE.iter().filter(|descriptor| !descriptor.is_for_tests) {
            section(f, descriptor)?;
        }
        Ok(())
    }
}

fn section(f: &mut fmt::Formatter<'_>, descriptor: &Descriptor) -> fmt::Result {
    write!(f, "\n## `{}`\n\n", descriptor.usage())?;
    if !descriptor.default.is_empty() {
        write!(f, "Default: `{}`\n\n", descriptor.default)?;
    }
    writeln!(f, "{}", descriptor.meaning)?;
    Ok(())
}
