//! What `xentop` tells of a guest's disks and interfaces is what has gone through them.

use super::shell::Shell;
use crate::verdict::Verdict;

const KIB: u64 = 1024;
/// Of the kernel's counters, in bytes.
const SECTOR: u64 = 512;
/// What drivers ask for at once, in sectors: a page at least, and 256 pages at most.
const REQUEST: (u64, u64) = (8, 2048);
/// Requests without data, and for single sectors: a guest that looks for partitions.
const MORE_REQUESTS: u64 = 64;
/// Beyond what was asked for, a tenth and so many bytes may have been moved: headers, acknowledgements, and what is read ahead.
const MORE: u64 = 256 * KIB;

/// Bytes that a guest has moved since it was created.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moved {
    pub(super) to_guest: u64,
    pub(super) from_guest: u64,
    pub(super) read: u64,
    pub(super) written: u64,
}

/// `xentop` tells so much of a guest.
pub(super) fn is_told(shell: &mut Shell, name: &str, moved: Moved) -> Result<(), Verdict> {
    let table = shell.output("xentop -b -i 1")?;
    let wrong = mistakes(&table, name, moved)
        .ok_or_else(|| Verdict::Fail(format!("no line of {name}: {table:?}")))?;
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Verdict::Fail(format!(
        "xentop tells {}: {table:?}",
        wrong.join(", ")
    )))
}

/// Columns that tell something else.
fn mistakes(table: &[String], name: &str, moved: Moved) -> Option<Vec<String>> {
    let words = |line: &String| line.split_whitespace().map(str::to_owned).collect();
    let mut rows = table.iter().map(words);
    let header: Vec<String> = rows.next()?;
    let row: Vec<String> =
        rows.find(|row: &Vec<String>| row.first().is_some_and(|is| is == name))?;
    let column = |title: &str| {
        let index = header.iter().position(|is| is == title)?;
        row.get(index)?.parse::<u64>().ok()
    };
    let mut wrong = Vec::new();
    for (title, unit, bytes) in [
        ("NETTX(k)", KIB, moved.to_guest),
        ("NETRX(k)", KIB, moved.from_guest),
        ("VBD_RSECT", SECTOR, moved.read),
        ("VBD_WSECT", SECTOR, moved.written),
    ] {
        let told = column(title)?;
        let (least, most) = (bytes / unit, (bytes + bytes / 10 + MORE) / unit);
        if !(least..=most).contains(&told) {
            wrong.push(format!("{told} as {title}, not {least} to {most}"));
        }
    }
    for (title, of) in [("VBD_RD", "VBD_RSECT"), ("VBD_WR", "VBD_WSECT")] {
        let (told, sectors) = (column(title)?, column(of)?);
        let (least, most) = (sectors / REQUEST.1, sectors / REQUEST.0 + MORE_REQUESTS);
        if !(least..=most).contains(&told) {
            wrong.push(format!("{told} as {title}, not {least} to {most}"));
        }
    }
    Some(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOVED: Moved = Moved {
        to_guest: 8 << 20,
        from_guest: 12 << 20,
        read: 4 << 20,
        written: 8 << 20,
    };

    fn wrong_in(numbers: &str) -> Option<Vec<String>> {
        let header = "NAME STATE NETTX(k) NETRX(k) VBD_RD VBD_WR VBD_RSECT VBD_WSECT";
        let table = [header.to_owned(), format!("demo --b--- {numbers}")];
        mistakes(&table, "demo", MOVED)
    }

    #[test]
    fn what_was_moved_is_right() {
        assert_eq!(wrong_in("8400 12600 140 90 8300 16384"), Some(Vec::new()));
    }

    #[test]
    fn other_numbers_are_wrong() {
        let wrong = wrong_in("12600 8400 8300 3 83000 8192").expect("a line");
        assert_eq!(
            wrong,
            [
                "12600 as NETTX(k), not 8192 to 9267",
                "8400 as NETRX(k), not 12288 to 13772",
                "83000 as VBD_RSECT, not 8192 to 9523",
                "8192 as VBD_WSECT, not 16384 to 18534",
                "3 as VBD_WR, not 4 to 1088",
            ]
        );
        assert_eq!(wrong_in("8400"), None);
    }
}
