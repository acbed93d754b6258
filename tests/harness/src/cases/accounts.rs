//! What `xentop` tells while domains compute: their time and that of idle processors is all the time there was, and `xm
//! list` tells the same of them.

use super::pattern;
use super::shell::Shell;
use crate::verdict::Verdict;
use std::time::Duration;

/// Between two looks, in seconds.
const DELAY: u32 = 4;
/// Of two looks, on a machine with much else to do.
const LIMIT: Duration = Duration::from_secs(120);
/// What may be missing or too much, of all time.
const MOST_OFF: f64 = 0.01;
/// Between two commands a domain may run for so many seconds, and so much may be cut off.
const MOST_BETWEEN: f64 = 20.0;
/// Columns of the table behind that of virtual processors.
const BEHIND_VCPUS: usize = 10;

/// The numbers of a key in a line of JSON, or those of its list.
fn numbers(line: &str, key: &str) -> Result<Vec<f64>, Verdict> {
    let found = pattern(&format!(r#""{key}":\[?([\d,]+)"#))?;
    let numbers = found.captures_iter(line).flat_map(|found| {
        let list = found.get(1).map_or("", |list| list.as_str());
        list.split(',').filter_map(|number| number.parse().ok())
    });
    Ok(numbers.collect())
}

/// What domains and idle processors have used between two looks, and how much time there was.
fn used_and_there(first: &str, second: &str, processors: u32) -> Result<(f64, f64), Verdict> {
    let mut changes = [0.0; 3];
    for (change, key) in changes.iter_mut().zip(["at_ns", "cpu_ns", "idle_ns"]) {
        let (before, after) = (numbers(first, key)?, numbers(second, key)?);
        if before.is_empty() || before.len() != after.len() {
            return Err(Verdict::Fail(format!("{key} in {first} and in {second}")));
        }
        *change = after.iter().sum::<f64>() - before.iter().sum::<f64>();
    }
    let [elapsed, cpu, idle] = changes;
    Ok((cpu + idle, elapsed * f64::from(processors)))
}

/// Of all processors all time is somebody's.
pub(super) fn add_up(shell: &mut Shell, processors: u32) -> Result<(), Verdict> {
    let lines = shell.output_within(&format!("xentop --json -i 2 -d {DELAY}"), LIMIT)?;
    let [first, second] = lines.as_slice() else {
        return Err(Verdict::Fail(format!("xentop prints {lines:?}")));
    };
    let (used, there) = used_and_there(first, second, processors)?;
    if (used - there).abs() > MOST_OFF * there {
        return Err(Verdict::Fail(format!(
            "all domains and idle processors have used {used} ns of {there} ns"
        )));
    }
    Ok(())
}

/// Name, virtual processors, and seconds of each domain.
fn domains(
    lines: &[String],
    seconds: usize,
    vcpus: impl Fn(usize) -> usize,
) -> Vec<(String, String, f64)> {
    let domain = |line: &String| {
        let words: Vec<_> = line.split_whitespace().collect();
        let vcpus = words.get(vcpus(words.len()))?;
        let seconds = words.get(seconds)?.parse().ok()?;
        Some(((*words.first()?).to_owned(), (*vcpus).to_owned(), seconds))
    };
    let mut domains: Vec<_> = lines.iter().skip(1).filter_map(domain).collect();
    domains.sort_by(|one, other| one.0.cmp(&other.0));
    domains
}

/// `xm list` has the same domains, as large, and they have run for as long.
pub(super) fn are_those_of_xm(shell: &mut Shell) -> Result<(), Verdict> {
    let listed = shell.output("xm list")?;
    let table = shell.output("xentop -b -i 1")?;
    let of_xm = domains(&listed, 5, |_| 3);
    let of_top = domains(&table, 2, |words| words.wrapping_sub(BEHIND_VCPUS + 1));
    let is_same = |(xm, top): (&(String, String, f64), &(String, String, f64))| {
        let (before, after) = (xm.2, top.2);
        xm.0 == top.0 && xm.1 == top.1 && after + 1.0 > before && after < before + MOST_BETWEEN
    };
    if of_xm.len() < 2 || of_xm.len() != of_top.len() || !of_xm.iter().zip(&of_top).all(is_same) {
        return Err(Verdict::Fail(format!(
            "xm list prints {listed:?}, xentop {table:?}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_added() {
        let line = |at: u64, cpu: u64, idle: u64| {
            format!(
                r#"{{"at_ns":{at},"idle_ns":[5,{idle}],"domains":[{{"cpu_ns":{cpu},"vcpus":[{{"ran_ns":9}}]}},{{"cpu_ns":7}}]}}"#
            )
        };
        let (first, second) = (line(10, 20, 30), line(110, 130, 120));
        let added = used_and_there(&first, &second, 2);
        assert!(matches!(added, Ok((used, there)) if used == 200.0 && there == 200.0));
        assert!(used_and_there(&first, "", 2).is_err());
    }

    #[test]
    fn domains_are_read_from_both_tables() {
        let lines = |text: &str| -> Vec<String> { text.lines().map(str::to_owned).collect() };
        let xm = lines("Name ID Mem VCPUs State Time(s)\nDomain-0  0  512  2  r-----  31.4");
        let top = lines(
            "NAME\n  Domain-0 -----r  31  3.2  1494016  35.7   no limit  n/a  2  0  0  0  0  0  0  0  0  0  0",
        );
        let one = ("Domain-0".to_owned(), "2".to_owned());
        assert_eq!(
            domains(&xm, 5, |_| 3),
            [(one.0.clone(), one.1.clone(), 31.4)]
        );
        let of_top = domains(&top, 2, |words| words - BEHIND_VCPUS - 1);
        assert_eq!(of_top, [(one.0, one.1, 31.0)]);
    }
}
