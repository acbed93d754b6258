//! What was seen of the machine at one moment.

use guest_abi::domctl_domain::{DomainInfo, DomainInfoFlags};
use guest_abi::sched_op::ShutdownReason;
use serde::Serialize;
use std::time::Duration;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Sample {
    /// When, from some moment on.
    #[serde(rename = "at_ns", serialize_with = "nanoseconds")]
    pub at: Duration,
    /// When, from 1970 on, in UTC.
    #[serde(rename = "time")]
    pub clock_s: u64,
    /// Of the hypervisor's interface.
    pub version: String,
    /// Of the machine.
    pub total_kib: u64,
    /// Of the machine.
    pub free_kib: u64,
    /// Physical.
    pub processors: u32,
    /// Of a processor.
    pub mhz: u32,
    /// Of each processor, since the boot.
    pub idle_ns: Vec<u64>,
    /// In the order of their numbers.
    pub domains: Vec<Domain>,
}

fn nanoseconds<S: serde::Serializer>(at: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX))
}

/// A domain in a [`Sample`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Domain {
    /// Its number.
    pub domid: u16,
    /// Its name, or what stands for it.
    pub name: String,
    /// What it is doing.
    pub state: State,
    /// Of all its virtual processors, since it was made.
    pub cpu_ns: u64,
    /// What it has.
    pub memory_kib: u64,
    /// What it may have; `None`: all there is.
    pub limit_kib: Option<u64>,
    /// Virtual processors that are up.
    pub online_vcpus: u32,
    /// The time of each that is up, if it was asked for.
    pub vcpus: Vec<Vcpu>,
    /// Interfaces, by their numbers.
    pub interfaces: Vec<Interface>,
    /// Disks, by their numbers.
    pub disks: Vec<Disk>,
    /// Its security label.
    pub ssid: u32,
}

/// A virtual processor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Vcpu {
    /// Which.
    pub number: u32,
    /// How long it has run.
    pub ran_ns: u64,
}

/// What a domain is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[allow(clippy::struct_excessive_bools)] // that is what it is
pub struct State {
    /// Being destroyed.
    pub dying: bool,
    /// Shut down.
    pub shutdown: bool,
    /// All of it waits.
    pub blocked: bool,
    /// Crashed.
    pub crashed: bool,
    /// Paused.
    pub paused: bool,
    /// Some of it runs.
    pub running: bool,
}

impl State {
    /// As the hypervisor tells it.
    #[must_use]
    pub fn of(info: &DomainInfo) -> Self {
        let flags = info.flags;
        let reason = info.shutdown_reason().map(u32::from);
        let has_crashed = reason == Some(ShutdownReason::Crash as u32);
        Self {
            dying: flags.contains(DomainInfoFlags::DYING),
            shutdown: reason.is_some() && !has_crashed,
            blocked: flags.contains(DomainInfoFlags::BLOCKED),
            crashed: has_crashed,
            paused: flags.contains(DomainInfoFlags::PAUSED),
            running: flags.contains(DomainInfoFlags::RUNNING),
        }
    }

    /// The letters of the table.
    #[must_use]
    pub fn letters(self) -> String {
        let letters = [
            (self.dying, 'd'),
            (self.shutdown, 's'),
            (self.blocked, 'b'),
            (self.crashed, 'c'),
            (self.paused, 'p'),
            (self.running, 'r'),
        ];
        let shown = letters.map(|(is_so, letter)| if is_so { letter } else { '-' });
        shown.iter().collect()
    }
}

/// The first domain's end of an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Interface {
    /// Which of the domain's.
    pub number: u32,
    /// What came from the domain.
    pub received: Traffic,
    /// What went to it.
    pub sent: Traffic,
}

/// In one direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[allow(missing_docs)] // names say it
pub struct Traffic {
    pub bytes: u64,
    pub packets: u64,
    pub errors: u64,
    pub dropped: u64,
}

/// What was asked of a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Disk {
    /// The number under which the domain knows it.
    pub number: u32,
    /// How often requests had to wait.
    pub waits: u64,
    /// Requests.
    pub reads: u64,
    /// Requests.
    pub writes: u64,
    /// Of 512 bytes.
    pub sectors_read: u64,
    /// Of 512 bytes.
    pub sectors_written: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;

    #[test]
    fn states_have_their_places() {
        let letters = |bits| {
            let mut info = DomainInfo::new_zeroed();
            info.flags = DomainInfoFlags::from_bits_retain(bits);
            State::of(&info).letters()
        };
        assert_eq!(letters(0), "------");
        assert_eq!(letters(1 << 5), "-----r");
        assert_eq!(letters(1 << 4 | 1 << 3), "--b-p-");
        assert_eq!(letters(1 << 2), "-s----");
        assert_eq!(letters(1 << 2 | 3 << 16), "---c--");
        assert_eq!(letters(1 | 1 << 2), "ds----");
    }
}
