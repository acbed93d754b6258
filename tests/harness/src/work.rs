//! How long processors have worked for a process: nearly the same however busy the machine is.

use std::io;
use std::time::Duration;

/// What `/proc/PID/stat` counts processor time in: a hundredth of a second (USER_HZ, which is part of Linux's ABI).
const TICK: Duration = Duration::from_millis(10);

/// Of a process that runs, or that nobody has waited for yet.
pub fn of_process(process: u32) -> io::Result<Duration> {
    let path = format!("/proc/{process}/stat");
    let stat = std::fs::read_to_string(&path)?;
    in_stat(&stat).ok_or_else(|| io::Error::other(format!("{path}: {stat}")))
}

/// User and system time: the 14th and the 15th field. The second one is a name in parentheses.
fn in_stat(stat: &str) -> Option<Duration> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    TICK.checked_mul(user.checked_add(system)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194304 100 0 0 0 250 17 0 0 20 0 3 0 100 0 0";
        assert_eq!(in_stat(stat), Some(Duration::from_millis(2670)));
        assert_eq!(in_stat("7 (a"), None);
    }
}
