//! Clocks, timers, and accounts of time.

pub(crate) mod clock_area;
pub(crate) mod older_timer;
pub(crate) mod periodic;
pub(crate) mod runstate;
pub(crate) mod runstate_of_user;
pub(crate) mod single_shot;

use crate::clock::MS;
use crate::command_line;

/// By how much a timer may be late.
struct Lateness {
    /// In the middle of a series.
    usual_ns: u64,
    /// At any time.
    worst_ns: u64,
}

impl Lateness {
    /// What this machine allows.
    fn allowed() -> Self {
        match command_line::number("exact") {
            // Its time goes by instructions: whatever is late is so by what the hypervisor does.
            Some(_) => Self {
                usual_ns: MS / 10,
                worst_ns: MS,
            },
            // It may be busy with others, for long and most of the time.
            None => Self {
                usual_ns: 500 * MS,
                worst_ns: 5000 * MS,
            },
        }
    }

    /// Judges a series.
    #[track_caller]
    fn judge(&self, what: &str, late_ns: &mut [u64]) {
        late_ns.sort_unstable();
        let (usual, worst) = (late_ns[late_ns.len() / 2], late_ns[late_ns.len() - 1]);
        println!("{what}: usually {usual} ns late, at worst {worst} ns");
        assert!(usual <= self.usual_ns, "{what}: usually {usual} ns late");
        assert!(worst <= self.worst_ns, "{what}: {worst} ns late");
    }
}
