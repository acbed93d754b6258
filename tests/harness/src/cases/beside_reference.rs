//! How soon who is woken runs, and how fairly processors are shared, beside the reference hypervisor with its scheduler of the
//! same name.
//!
//! As in [`super::costs`] an instruction takes a nanosecond, so the numbers have nothing to do with the machine that QEMU runs on.

use super::costs::{Subject, measure};
use super::kernels::Hypervisor;
use crate::suite::{Case, Context};
use crate::verdict::Verdict;
use std::process::Command;

/// What a kernel measures on both.
#[derive(Clone, Copy, Debug)]
struct Comparison {
    subject: Subject,
    /// What it is to print, and what this is in.
    rows: &'static [&'static str],
    unit: &'static str,
    /// By how much more than on the reference each may be: in percent, and in the unit.
    more: (u64, u64),
}

/// The reference has several schedulers; it is the one of this name that is comparable.
const CREDIT: &str = " sched=credit";

const WAKE_UPS: Comparison = Comparison {
    subject: Subject {
        test: "domain/round-trip",
        processors: 1,
        options: CREDIT,
        reference_may_fail: false,
    },
    rows: &[
        "round trip",
        "round trip beside others",
        "woken late by",
        "woken late by beside others",
    ],
    unit: "ns",
    // What else a processor does at such a moment differs from boot to boot.
    more: (5, 0),
};
const SHARES: Comparison = Comparison {
    subject: Subject {
        test: "domain/shares",
        processors: 1,
        options: CREDIT,
        reference_may_fail: true,
    },
    rows: &["greatest error of a share"],
    unit: "thousandths",
    more: (0, 0),
};
const CAPS: Comparison = Comparison {
    subject: Subject {
        test: "domain/cap",
        processors: 1,
        options: CREDIT,
        reference_may_fail: true,
    },
    rows: &["error of a cap alone", "error of a cap beside others"],
    unit: "thousandths of a processor",
    // A tick of the 3 s that are measured.
    more: (0, 3),
};

/// The same on two processors. Counted time is shared there among those that are busy, an emulated one that sets its timer has more of
/// it than others, and one that waits for another one waits for its turn: beside others, what is two processors' work, here, takes longer than
/// what is one's, there.
const WAKE_UPS_ON_TWO: Comparison = Comparison {
    subject: Subject {
        processors: 2,
        ..WAKE_UPS.subject
    },
    more: (60, 0),
    ..WAKE_UPS
};
const SHARES_ON_TWO: Comparison = Comparison {
    subject: Subject {
        processors: 2,
        ..SHARES.subject
    },
    ..SHARES
};

/// How long a guest takes to answer an event, and how late the first domain is woken, beside others that always want to run.
pub(super) fn wake_ups() -> Case {
    case("costs/wake-ups-beside-others", WAKE_UPS)
}

/// How far shares and caps are from what was asked for, and what two processors do. It takes minutes.
pub(super) fn sharing() -> [Case; 4] {
    [
        case("costs/wake-ups-beside-others-2cpu", WAKE_UPS_ON_TWO),
        case("costs/shares-beside-reference", SHARES),
        case("costs/shares-beside-reference-2cpu", SHARES_ON_TWO),
        case("costs/caps-beside-reference", CAPS),
    ]
}

fn case(name: &'static str, comparison: Comparison) -> Case {
    Case::new(name, move |context| {
        compare(context, comparison).unwrap_or_else(|verdict| verdict)
    })
}

fn compare(context: &Context<'_>, comparison: Comparison) -> Result<Verdict, Verdict> {
    let ours = measure(context, Hypervisor::Paravane, comparison.subject)?;
    let fetched = Command::new("tests/reference-hypervisor").output();
    let fetched = fetched.map_err(|error| Verdict::NoVerdict(error.to_string()))?;
    if !fetched.status.success() {
        let why = String::from_utf8_lossy(&fetched.stderr).trim().to_string();
        return Err(Verdict::Skipped(why));
    }
    let reference = measure(context, Hypervisor::Reference, comparison.subject)?;
    let is_complete = |measured: &[(String, u64)]| {
        let names = measured.iter().map(|(name, _)| name.as_str());
        names.eq(comparison.rows.iter().copied())
    };
    if !is_complete(&ours) || !is_complete(&reference) {
        return Ok(Verdict::Fail(format!(
            "{ours:?} and {reference:?} were measured"
        )));
    }
    let rows = ours.iter().zip(&reference);
    let text = rows.map(|((name, ours), (_, reference))| {
        format!("{name}: {ours} {} to {reference}", comparison.unit)
    });
    let text = text.collect::<Vec<_>>().join(", ");
    Ok(if is_no_worse(&ours, &reference, comparison.more) {
        Verdict::Pass(text)
    } else {
        Verdict::Fail(text)
    })
}

fn is_no_worse(
    ours: &[(String, u64)],
    reference: &[(String, u64)],
    (percent, units): (u64, u64),
) -> bool {
    ours.iter()
        .zip(reference)
        .all(|((_, ours), (_, reference))| ours * 100 <= reference * (100 + percent) + units * 100)
}

#[cfg(test)]
mod tests {
    use super::is_no_worse;

    #[test]
    fn each_row_counts() {
        let rows = |costs: [u64; 3]| costs.map(|cost| ("row".to_string(), cost));
        let no_worse = |ours, reference, more| is_no_worse(&rows(ours), &rows(reference), more);
        assert!(no_worse([1050, 10, 1], [1000, 10, 9], (5, 0)));
        assert!(!no_worse([1051, 10, 1], [1000, 10, 9], (5, 0)));
        assert!(!no_worse([100, 10, 10], [1000, 10, 9], (5, 0)));
        assert!(no_worse([1003, 10, 9], [1000, 10, 9], (0, 3)));
        assert!(!no_worse([1004, 10, 9], [1000, 10, 9], (0, 3)));
    }
}
