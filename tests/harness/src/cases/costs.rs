//! What services cost, in instructions: of the image that is shipped, compared with the reference
//! hypervisor.
//!
//! QEMU executes one instruction for each tick of the time stamp counter here, so the numbers are exact and
//! have nothing to do with the machine that QEMU runs on. The table in `docs/PERFORMANCE.md` holds those of
//! the reference; nothing may be dearer here.

use super::kernels::Hypervisor;
use super::{no_line, pattern};
use crate::iso::Recipe;
use crate::machine::{Machine, Medium};
use crate::qemu::Qemu;
use crate::suite::{Case, Context};
use crate::verdict::Verdict;
use kernels::catalogue::{Kernel, MEASUREMENTS};
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

const TABLE: &str = "docs/PERFORMANCE.md";
/// What a kernel is to measure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    /// The kernel's case.
    pub(super) test: &'static str,
    /// Of the machine.
    pub(super) processors: u32,
    /// More options of the hypervisor.
    pub(super) options: &'static str,
    /// Whether the reference may fail in the end, having measured: what the kernel asks of us is more than it does.
    pub(super) reference_may_fail: bool,
}

const SERVICES: Subject = Subject {
    test: MEASUREMENTS[0].name,
    processors: 1,
    options: " sched=credit",
    reference_may_fail: false,
};
/// From QEMU's start to the verdict, on a machine with other work to do.
const LIMIT: Duration = Duration::from_secs(240);

/// One line of the table.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Row {
    service: String,
    ours: u64,
    reference: u64,
}

/// Measures the shipped image and compares it with what the table says of the reference.
pub fn none_is_dearer() -> Case {
    Case::new("costs/none-dearer-than-reference", |context| {
        none_is_dearer_in(context).unwrap_or_else(|verdict| verdict)
    })
}

/// Measures both and prints the table.
pub fn comparison() -> Case {
    Case::new("costs/comparison", |context| {
        compare(context).unwrap_or_else(|verdict| verdict)
    })
}

fn none_is_dearer_in(context: &Context<'_>) -> Result<Verdict, Verdict> {
    let text = std::fs::read_to_string(TABLE)
        .map_err(|error| Verdict::NoVerdict(format!("{TABLE}: {error}")))?;
    let table = rows_in(&text);
    let measured = measure(context, Hypervisor::Paravane, SERVICES)?;
    Ok(judge(&table, &measured))
}

fn compare(context: &Context<'_>) -> Result<Verdict, Verdict> {
    let ours = measure(context, Hypervisor::Paravane, SERVICES)?;
    let reference = measure(context, Hypervisor::Reference, SERVICES)?;
    if ours
        .iter()
        .map(|(name, _)| name)
        .ne(reference.iter().map(|(name, _)| name))
    {
        return Ok(Verdict::Fail(
            "they have measured different services".into(),
        ));
    }
    let mut text =
        String::from("\n\n| service | here | reference | ratio |\n|---|---:|---:|---:|\n");
    for ((service, ours), (_, reference)) in ours.iter().zip(&reference) {
        let ratio = *ours as f64 / *reference as f64;
        let _ = writeln!(text, "| {service} | {ours} | {reference} | {ratio:.2} |");
    }
    Ok(Verdict::Pass(text))
}

/// By how much a service may have become dearer than the table says, in percent: other code around it moves some by an
/// instruction or two.
const DRIFT: u64 = 2;

/// What is wrong with these numbers, if anything is.
fn judge(table: &[Row], measured: &[(String, u64)]) -> Verdict {
    let mut wrong = Vec::new();
    let mut worst = 0.0;
    for (service, cost) in measured {
        match table.iter().find(|row| row.service == *service) {
            None => wrong.push(format!("{TABLE} has no row for '{service}'")),
            Some(row) if *cost > row.reference => {
                wrong.push(format!(
                    "{service}: {cost}, on the reference {}",
                    row.reference
                ));
            }
            Some(row) if *cost > row.ours + (row.ours * DRIFT / 100).max(2) => {
                wrong.push(format!(
                    "{service}: {cost}, and {TABLE} says {}: find out why, or bring it up to date (make bench)",
                    row.ours
                ));
            }
            Some(row) => worst = f64::max(worst, *cost as f64 / row.reference as f64),
        }
    }
    for row in table {
        if !measured.iter().any(|(service, _)| *service == row.service) {
            wrong.push(format!("'{}' of {TABLE} was not measured", row.service));
        }
    }
    if wrong.is_empty() && !measured.is_empty() {
        Verdict::Pass(format!(
            "{} services, the worst ratio is {worst:.2}",
            measured.len()
        ))
    } else {
        Verdict::Fail(wrong.join("; "))
    }
}

/// The table: service, ours, the reference's.
fn rows_in(text: &str) -> Vec<Row> {
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        Some(Row {
            service: cells.next()?.to_string(),
            ours: cells.next()?.parse().ok()?,
            reference: cells.next()?.parse().ok()?,
        })
    });
    rows.collect()
}

/// Boots the kernel that measures and reads what it prints.
pub(super) fn measure(
    context: &Context<'_>,
    hypervisor: Hypervisor,
    subject: Subject,
) -> Result<Vec<(String, u64)>, Verdict> {
    let qemu = Qemu::that_counts(subject.processors).map_err(Verdict::Skipped)?;
    let machine = Machine {
        processors: subject.processors,
        ..Machine::default()
    };
    let machine = machine.by_instructions(0);
    let line = format!("test={} processors={}", subject.test, subject.processors);
    let module = PathBuf::from("build/kernels").join(Kernel::Plain.file_name());
    let image = hypervisor.image();
    let options = format!("{}{}", hypervisor.options(), subject.options);
    let mut run = match hypervisor {
        Hypervisor::Paravane => {
            let mut recipe = Recipe::new(image, &options);
            recipe.modules.push((module, line));
            context.boot(&qemu, &machine, &recipe)?
        }
        Hypervisor::Reference => {
            let medium = Medium::Direct {
                image: image.into(),
                options,
                module,
                line,
                ram_disk: None,
            };
            context.boot_from(&qemu, &machine, &medium)?
        }
    };
    let verdict = run
        .wait_for(&pattern("VERDICT: |Hardware Dom0")?, LIMIT)
        .map_err(|missing| no_line("the verdict", &missing))?;
    let may_fail = subject.reference_may_fail && hypervisor == Hypervisor::Reference;
    let is_done = verdict.text.contains("VERDICT: PASS")
        || may_fail && verdict.text.contains("VERDICT: FAIL");
    if !is_done {
        return Err(Verdict::Fail(verdict.text));
    }
    let costs = run.lines().iter().filter_map(|line| cost_in(&line.text));
    Ok(costs.collect())
}

/// A service's name and number, if this line tells them.
fn cost_in(line: &str) -> Option<(String, u64)> {
    let (name, number) = line.split_once("COST ")?.1.rsplit_once(": ")?;
    Some((name.to_string(), number.trim_end().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{Row, TABLE, cost_in, judge, rows_in};
    use crate::verdict::Verdict;
    use std::path::Path;

    fn row(service: &str, ours: u64, reference: u64) -> Row {
        Row {
            service: service.into(),
            ours,
            reference,
        }
    }

    #[test]
    fn printed_costs_are_read() {
        let expected = ("mmu_update of 1, a page mapped".to_string(), 804);
        assert_eq!(
            cost_in("(d0) COST mmu_update of 1, a page mapped: 804"),
            Some(expected)
        );
        assert_eq!(cost_in("VERDICT: PASS bench/costs"), None);
    }

    #[test]
    fn what_is_dearer_or_missing_fails() {
        let table = [row("a", 500, 505), row("b", 6, 10)];
        let measured = |a, b| [("a".to_string(), a), ("b".to_string(), b)];
        assert!(matches!(judge(&table, &measured(505, 3)), Verdict::Pass(_)));
        assert!(matches!(judge(&table, &measured(506, 3)), Verdict::Fail(_)));
        // Cheaper than the reference still, and dearer than it was.
        assert!(matches!(judge(&table, &measured(500, 8)), Verdict::Pass(_)));
        assert!(matches!(judge(&table, &measured(500, 9)), Verdict::Fail(_)));
        assert!(matches!(
            judge(&table[..1], &measured(1, 1)),
            Verdict::Fail(_)
        ));
        assert!(matches!(
            judge(&table, &measured(1, 1)[..1]),
            Verdict::Fail(_)
        ));
        assert!(matches!(judge(&[], &[]), Verdict::Fail(_)));
    }

    #[test]
    fn the_committed_table_has_nothing_dearer() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join(TABLE);
        let rows = rows_in(&std::fs::read_to_string(path).unwrap());
        assert!(rows.len() >= 10, "{rows:?}");
        for row in rows {
            assert!(row.ours <= row.reference, "{row:?}");
        }
    }
}
