//! `xm cpupool-list` and `xm pci-list`.

use crate::sxp::Sxp;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// A pool of processors.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PoolRow {
    /// Its name; `Pool-0` is the first.
    pub name: String,
    /// Its processors.
    pub cpus: Vec<u32>,
    /// Its scheduler.
    pub scheduler: String,
    /// Whether it is in use; managed ones may not be.
    pub is_active: bool,
    /// How many domains are in it.
    pub domains: u32,
}

/// What `xm cpupool-list` prints.
#[must_use]
pub fn cpupool_list(rows: &[PoolRow]) -> String {
    let mut text = "Name               CPUs   Sched     Active   Domain count\n".to_owned();
    for row in rows {
        let _ = writeln!(
            text,
            "{:<16}   {:>3}  {:>8}       {}          {}",
            row.name,
            row.cpus.len(),
            row.scheduler,
            if row.is_active { 'y' } else { 'n' },
            row.domains,
        );
    }
    text
}

/// What `xm cpupool-list --cpus` prints.
#[must_use]
pub fn cpupool_cpus(rows: &[PoolRow]) -> String {
    let mut text = format!("{:<16} {}\n", "Name", "CPU list");
    for row in rows {
        let cpus: Vec<String> = row.cpus.iter().map(u32::to_string).collect();
        let cpus = match cpus.is_empty() {
            true => "-".into(),
            false => cpus.join(","),
        };
        let _ = writeln!(text, "{:<16} {cpus}", row.name);
    }
    text
}

/// What `xm cpupool-list --long` prints.
#[must_use]
pub fn cpupool_long(rows: &[PoolRow]) -> String {
    let long = |row: &PoolRow| {
        let cpus = row.cpus.iter().map(Sxp::atom).collect();
        let is_active = u8::from(row.is_active);
        let fields = [
            Sxp::pair("name_label", &row.name),
            Sxp::pair("sched_policy", &row.scheduler),
            Sxp::pair("ncpu", row.cpus.len()),
            Sxp::List(vec![Sxp::atom("host_CPUs"), Sxp::List(cpus)]),
            Sxp::pair("activated", is_active),
            Sxp::pair("started_VMs", row.domains),
        ];
        Sxp::list("cpu_pool", fields).pretty()
    };
    rows.iter().map(long).collect()
}

/// A PCI device of the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PciAddress {
    /// Most machines have only 0.
    pub domain: u16,
    /// Bus.
    pub bus: u8,
    /// Device on the bus.
    pub slot: u8,
    /// Part of the device.
    pub function: u8,
}

impl std::fmt::Display for PciAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:04x}:{:02x}:{:02x}.{:x}",
            self.domain, self.bus, self.slot, self.function
        )
    }
}

/// What `xm pci-list` prints; nothing if there is no device.
#[must_use]
pub fn pci_list(devices: &[PciAddress]) -> String {
    let mut text = String::new();
    for device in devices {
        if text.is_empty() {
            text.push_str("Device\n");
        }
        let _ = writeln!(text, "{device}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> [PoolRow; 2] {
        let row = |name: &str, cpus: &[u32], is_active, domains| PoolRow {
            name: name.into(),
            cpus: cpus.to_vec(),
            scheduler: "credit".into(),
            is_active,
            domains,
        };
        [
            row("Pool-0", &[0, 1, 2], true, 3),
            row("spare", &[], false, 0),
        ]
    }

    #[test]
    fn pools_are_as_programs_know_them() {
        let expected = "\
Name               CPUs   Sched     Active   Domain count
Pool-0               3    credit       y          3
spare                0    credit       n          0
";
        assert_eq!(cpupool_list(&rows()), expected);
        let expected = "Name             CPU list\nPool-0           0,1,2\nspare            -\n";
        assert_eq!(cpupool_cpus(&rows()), expected);
        let expected = "\
(cpu_pool
    (name_label Pool-0)
    (sched_policy credit)
    (ncpu 3)
    (host_CPUs (0 1 2))
    (activated 1)
    (started_VMs 3)
)
";
        let [first, spare] = rows();
        assert_eq!(cpupool_long(&[first]), expected);
        assert!(cpupool_long(&[spare]).contains("\n    (host_CPUs ())\n    (activated 0)\n"));
    }

    #[test]
    fn pci_devices_are_as_programs_know_them() {
        let device = PciAddress {
            domain: 0,
            bus: 1,
            slot: 0x1f,
            function: 3,
        };
        assert_eq!(pci_list(&[device]), "Device\n0000:01:1f.3\n");
        assert_eq!(pci_list(&[]), "");
    }
}
