//! `xm sched-credit`: what domains are given of the processors.

use crate::xend::view::CreditRow;
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
}
