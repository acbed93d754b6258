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
struct Subject {
    /// The kernel's case.
    test: &'static str,
    /// More options of the hypervisor.
    options: &'static str,
}

const SERVICES: Subject = Subject {
    test: MEASUREMENTS[0].name,
    options: " sched=credit",
};
/// The reference has several schedulers; it is the one of this name that is comparable.
const WAKE_UPS: Subject = Subject {
    test: "domain/round-trip",
    options: " sched=credit",
};
/// What it is to print.
const WAKE_UP_ROWS: [&str; 4] = [
    "round trip",
    "round trip beside others",
    "woken late by",
    "woken late by beside others",
];
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

/// How much longer than on the reference each may take, in percent: what else a processor does at such a moment differs from
/// boot to boot.
const LONGER: u64 = 5;

/// How long a guest takes to answer an event, and how late the first domain is woken, beside others that always want to run,
/// compared with the reference.
pub fn wake_ups() -> Case {
    Case::new("costs/wake-ups-beside-others", |context| {
        compare_wake_ups(context).unwrap_or_else(|verdict| verdict)
    })
}

fn compare_wake_ups(context: &Context<'_>) -> Result<Verdict, Verdict> {
    let ours = measure(context, Hypervisor::Paravane, WAKE_UPS)?;
    let fetched = std::process::Command::new("tests/reference-hypervisor").output();
    let fetched = fetched.map_err(|error| Verdict::NoVerdict(error.to_string()))?;
    if !fetched.status.success() {
        let why = String::from_utf8_lossy(&fetched.stderr).trim().to_string();
        return Err(Verdict::Skipped(why));
    }
    let reference = measure(context, Hypervisor::Reference, WAKE_UPS)?;
    let names = |rows: &[(String, u64)]| {
        rows.iter()
            .map(|(name, _)| name.clone())
            .collect::<Vec<_>>()
    };
    if names(&ours) != WAKE_UP_ROWS || names(&reference) != WAKE_UP_ROWS {
        return Ok(Verdict::Fail(format!(
            "{ours:?} and {reference:?} were measured"
        )));
    }
    let text: Vec<_> = ours
        .iter()
        .zip(&reference)
        .map(|((name, ours), (_, reference))| format!("{name}: {ours} ns to {reference} ns"))
        .collect();
    let text = text.join(", ");
    Ok(if is_in_time(&ours, &reference) {
        Verdict::Pass(text)
    } else {
        Verdict::Fail(text)
    })
}

fn is_in_time(ours: &[(String, u64)], reference: &[(String, u64)]) -> bool {
    ours.iter()
        .zip(reference)
        .all(|((_, ours), (_, reference))| ours * 100 <= reference * (100 + LONGER))
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
fn measure(
    context: &Context<'_>,
    hypervisor: Hypervisor,
    subject: Subject,
) -> Result<Vec<(String, u64)>, Verdict> {
    let qemu = Qemu::installed().map_err(Verdict::NoVerdict)?;
    let machine = Machine {
        extra: vec!["-icount".into(), "shift=0,sleep=off".into()],
        ..Machine::default()
    };
    let line = format!("test={}", subject.test);
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
    if !verdict.text.contains("VERDICT: PASS") {
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
    use super::{Row, TABLE, cost_in, is_in_time, judge, rows_in};
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
    fn each_wake_up_counts() {
        let rows = |costs: [u64; 3]| costs.map(|cost| ("wake-up".to_string(), cost));
        assert!(is_in_time(&rows([1050, 10, 1]), &rows([1000, 10, 9])));
        assert!(!is_in_time(&rows([1051, 10, 1]), &rows([1000, 10, 9])));
        assert!(!is_in_time(&rows([100, 10, 10]), &rows([1000, 10, 9])));
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
