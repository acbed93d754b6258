//! What is known of cases that fail: differences of the reference, and what our own image does not do yet. Each stands in a table of
//! the documents, with its reason.

use super::kernels::Hypervisor;
use crate::verdict::Verdict;
use kernels::catalogue;
use std::collections::BTreeMap;

const DIFFERENCES: &str = "docs/REFERENCE-DIFFERENCES.md";
/// What our own image does not do yet.
const GAPS: &str = "docs/GAPS.md";
/// In the reason of a row that is about chance: the case passes, too.
const AT_TIMES: &str = "in some runs";

/// What the tables make of a verdict: on the reference, a difference that is known is as good as a pass; on
/// our own image a gap that is known is a skipped case, which says so. A row that is no longer true fails.
pub(super) fn compare(hypervisor: Hypervisor, case: &catalogue::Case, found: Verdict) -> Verdict {
    let path = match hypervisor {
        Hypervisor::Paravane => GAPS,
        Hypervisor::Reference => DIFFERENCES,
    };
    let rows = match std::fs::read_to_string(path) {
        Ok(text) => rows_in(&text),
        Err(error) => return Verdict::NoVerdict(format!("{path}: {error}")),
    };
    let side = match hypervisor {
        Hypervisor::Paravane => "here",
        Hypervisor::Reference => "on the reference hypervisor, so nothing is compared",
    };
    match (rows.get(case.name), found) {
        (_, Verdict::Skipped(why)) => Verdict::Skipped(format!("{side}: {why}")),
        (None, found) => found,
        (Some(reason), Verdict::Fail(why)) => match hypervisor {
            Hypervisor::Paravane => Verdict::Skipped(format!("a known gap ({reason}): {why}")),
            Hypervisor::Reference => {
                Verdict::Pass(format!("differs as {path} says ({reason}): {why}"))
            }
        },
        (Some(reason), Verdict::Pass(text)) if reason.contains(AT_TIMES) => Verdict::Pass(text),
        (Some(_), Verdict::Pass(_)) => {
            Verdict::Fail(format!("{path} says that it fails here, and it passes"))
        }
        (Some(_), other) => other,
    }
}

/// Rows of the table: the case in backticks, then the reason.
fn rows_in(text: &str) -> BTreeMap<String, String> {
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.splitn(2, "` |");
        let name = cells.next()?.to_string();
        let reason = cells
            .next()?
            .trim()
            .trim_end_matches('|')
            .trim()
            .to_string();
        Some((name, reason))
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::{DIFFERENCES, GAPS, rows_in};
    use kernels::catalogue::CASES;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn the_tables_name_cases() {
        let names: BTreeSet<_> = CASES.iter().map(|case| case.name).collect();
        for table in [DIFFERENCES, GAPS] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../..")
                .join(table);
            for (name, reason) in rows_in(&std::fs::read_to_string(path).unwrap()) {
                // Another table is about lines of logs.
                if name.contains(' ') {
                    continue;
                }
                assert!(names.contains(name.as_str()), "{table}: {name}");
                assert!(reason.len() > 20, "{table}: {name}: {reason}");
            }
        }
        let text = "| case | why |\n|---|---|\n| `a/b` | of a reason |\n";
        assert_eq!(
            rows_in(text).into_iter().collect::<Vec<_>>(),
            [("a/b".to_string(), "of a reason".to_string())]
        );
    }
}
