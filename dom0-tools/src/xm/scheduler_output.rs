//! `xm sched-credit`, `sched-credit2` and `sched-sedf`: what domains are given of the processors.

use crate::xend::view::CreditRow;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

fn or_blank(domid: Option<u16>) -> String {
    domid.map_or_else(String::new, |domid| domid.to_string())
}

fn or_minus_one(value: Option<u32>) -> i64 {
    value.map_or(-1, i64::from)
}

/// What `xm sched-credit` prints.
#[must_use]
pub fn sched_credit(rows: &[CreditRow]) -> String {
    let mut text = format!("{:<33} {:>4} {:>6} {:>4}\n", "Name", "ID", "Weight", "Cap");
    for row in rows {
        let _ = writeln!(
            text,
            "{:<32} {:>5} {:>6} {:>4}",
            row.name,
            or_blank(row.domid),
            or_minus_one(row.weight),
            or_minus_one(row.cap),
        );
    }
    text
}

/// What `xm sched-credit2` prints.
#[must_use]
pub fn sched_credit2(rows: &[CreditRow]) -> String {
    let mut text = format!("{:<33} {:>4} {:>6}\n", "Name", "ID", "Weight");
    for row in rows {
        let _ = writeln!(
            text,
            "{:<32} {:>5} {:>6}",
            row.name,
            or_blank(row.domid),
            or_minus_one(row.weight),
        );
    }
    text
}

/// A line of `xm sched-sedf`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SedfRow {
    /// Of the domain.
    pub name: String,
    /// Of the domain.
    pub domid: u16,
    /// Milliseconds in which it gets its slice.
    pub period_ms: f64,
    /// Milliseconds that it gets.
    pub slice_ms: f64,
    /// Milliseconds that it may wait.
    pub latency_ms: f64,
    /// Whether it gets more when others do not run: 0 or 1.
    pub extra: u32,
    /// Its share, relative to others'.
    pub weight: u32,
}

/// What `xm sched-sedf` prints.
#[must_use]
pub fn sched_sedf(rows: &[SedfRow]) -> String {
    let mut text = format!(
        "{:<33} {:>4} {:<4} {:<4} {:<7} {:<5} {:<6}\n",
        "Name", "ID", "Period(ms)", "Slice(ms)", "Lat(ms)", "Extra", "Weight"
    );
    for row in rows {
        let _ = writeln!(
            text,
            "{:<32} {:>5} {:>9.1} {:>9.1} {:>7.1} {:>6} {:>6}",
            row.name, row.domid, row.period_ms, row.slice_ms, row.latency_ms, row.extra, row.weight,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> [CreditRow; 3] {
        let row = |name: &str, domid, weight, cap| CreditRow {
            name: name.into(),
            domid,
            weight,
            cap,
        };
        [
            row("Domain-0", Some(0), Some(256), Some(0)),
            row("etch", Some(3), Some(512), Some(50)),
            row("dormant", None, None, None),
        ]
    }

    #[test]
    fn credit_is_as_programs_know_it() {
        let expected = "\
Name                                ID Weight  Cap
Domain-0                             0    256    0
etch                                 3    512   50
dormant                                    -1   -1
";
        assert_eq!(sched_credit(&rows()), expected);
    }

    #[test]
    fn credit2_has_no_cap() {
        let expected = "\
Name                                ID Weight
Domain-0                             0    256
etch                                 3    512
dormant                                    -1
";
        assert_eq!(sched_credit2(&rows()), expected);
    }

    #[test]
    fn sedf_is_as_programs_know_it() {
        let row = SedfRow {
            name: "Domain-0".into(),
            domid: 0,
            period_ms: 20.0,
            slice_ms: 15.0,
            latency_ms: 0.0,
            extra: 1,
            weight: 0,
        };
        let expected = "\
Name                                ID Period(ms) Slice(ms) Lat(ms) Extra Weight
Domain-0                             0      20.0      15.0     0.0      1      0
";
        assert_eq!(sched_sedf(&[row]), expected);
    }
}
