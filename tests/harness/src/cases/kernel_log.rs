//! What a kernel complains of on Paravane and not on the reference hypervisor, on the same machine.
//!
//! Lines are compared without their numbers. Those that are known to differ are in a table of
//! `docs/REFERENCE-DIFFERENCES.md`, with the reason.

use super::pattern;
use crate::verdict::Verdict;
use std::collections::BTreeSet;

const DIFFERENCES: &str = "docs/REFERENCE-DIFFERENCES.md";
/// The section with the table.
const SECTION: &str = "## The kernel's log";
/// How a guest's script marks what its kernel has called a warning or worse.
const MARK: &str = r"^level ([0-4]) \[ *\d+\.\d+\] (.*)$";

/// The complaints among these lines, each once, without their numbers.
pub(super) fn complaints<'a>(
    lines: impl Iterator<Item = &'a str>,
) -> Result<BTreeSet<String>, Verdict> {
    let mark = pattern(MARK)?;
    let number = pattern(r"0x[0-9a-fA-F]+|\b[0-9a-fA-F]*\d[0-9a-fA-F]*\b")?;
    let found = lines.filter_map(|line| Some(mark.captures(line.trim_end())?[2].to_string()));
    Ok(found
        .map(|text| number.replace_all(&text, "N").into_owned())
        .collect())
}

/// The lines that are known to differ: the first cells of the manual's table.
pub(super) fn known() -> Result<Vec<String>, Verdict> {
    std::fs::read_to_string(DIFFERENCES)
        .map(|text| known_in(&text))
        .map_err(|error| Verdict::NoVerdict(format!("{DIFFERENCES}: {error}")))
}

fn known_in(text: &str) -> Vec<String> {
    let section = text.lines().skip_while(|line| *line != SECTION).skip(1);
    let rows = section
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    rows.map(|(line, _)| line.to_string()).collect()
}

/// Complaints that only `ours` has and nobody knows of.
pub(super) fn surprises<'a>(
    ours: &'a BTreeSet<String>,
    reference: &'a BTreeSet<String>,
    known: &[String],
) -> Vec<&'a str> {
    ours.difference(reference)
        .map(String::as_str)
        .filter(|line| !known.iter().any(|start| line.starts_with(start.as_str())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{complaints, known_in, surprises};

    #[test]
    fn complaints_are_compared_without_their_numbers() {
        let of = |lines: &[&str]| complaints(lines.iter().copied()).unwrap();
        let ours = of(&[
            "level 4 [    1.250000] mce: no device 00:1f.2 (rc: -5)\r",
            "level 4 [    1.250000] ata1: slow at 0x12ab",
            "[    1.250000] no complaint",
            "level 3 [   11.000000] known: 7",
        ]);
        let reference = of(&["level 3 [    2.000000] ata3: slow at 0x7"]);
        assert_eq!(ours.len(), 3);
        assert_eq!(
            surprises(&ours, &reference, &[]),
            [
                "ata1: slow at N",
                "known: N",
                "mce: no device N:N.N (rc: -N)"
            ]
        );
    }

    #[test]
    fn the_table_is_read() {
        let text = "| `not this` | x |\n## The kernel's log\n| line | why |\n|---|---|\n| `a: b` | c |\n## Next\n| `d` | e |\n";
        assert_eq!(known_in(text), ["a: b"]);
    }
}
