//! The kernel's counters of domains' devices: the first domain's ends of them, which its drivers have.

use crate::sample::{Disk, Interface, Traffic};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::str::FromStr;

/// Where the kernel shows backends: one directory each, `vif-3-0` and `vbd-3-51712`.
pub const BACKENDS: &str = "/sys/bus/xen-backend/devices";

/// Devices of a domain.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Devices {
    /// By their numbers.
    pub interfaces: Vec<Interface>,
    /// By their numbers.
    pub disks: Vec<Disk>,
}

/// All devices there are, by the numbers of their domains. One that goes while it is looked at has what was seen of it.
#[must_use]
pub fn devices(backends: &Path) -> BTreeMap<u16, Devices> {
    let mut all: BTreeMap<u16, Devices> = BTreeMap::new();
    // Where no driver for it is loaded there is none of it.
    let Ok(entries) = fs::read_dir(backends) else {
        return all;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some((kind, domain, number)) = name.to_str().and_then(parts) else {
            continue;
        };
        let path = entry.path();
        match kind {
            "vif" => {
                let of_domain = all.entry(domain).or_default();
                of_domain.interfaces.push(interface(&path, number));
            }
            "vbd" => {
                let of_domain = all.entry(domain).or_default();
                of_domain.disks.push(disk(&path, number));
            }
            _ => {}
        }
    }
    for devices in all.values_mut() {
        devices.interfaces.sort_by_key(|interface| interface.number);
        devices.disks.sort_by_key(|disk| disk.number);
    }
    all
}

/// Kind, domain and number in a backend's name.
fn parts(name: &str) -> Option<(&str, u16, u32)> {
    let mut parts = name.split('-');
    let kind = parts.next()?;
    let domain = parts.next()?.parse().ok()?;
    let number = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some((kind, domain, number))
}

fn count<N: FromStr + Default>(directory: &Path, name: &str) -> N {
    let text = fs::read_to_string(directory.join(name));
    let number = text.ok().and_then(|text| text.trim().parse().ok());
    number.unwrap_or_default()
}

fn interface(backend: &Path, number: u32) -> Interface {
    // Its name may be any.
    let mut names = fs::read_dir(backend.join("net")).into_iter().flatten();
    let Some(Ok(name)) = names.next() else {
        return Interface {
            number,
            ..Interface::default()
        };
    };
    let statistics = name.path().join("statistics");
    let traffic = |direction: &str| Traffic {
        bytes: count(&statistics, &format!("{direction}_bytes")),
        packets: count(&statistics, &format!("{direction}_packets")),
        errors: count(&statistics, &format!("{direction}_errors")),
        dropped: count(&statistics, &format!("{direction}_dropped")),
    };
    Interface {
        number,
        received: traffic("rx"),
        sent: traffic("tx"),
    }
}

fn disk(backend: &Path, number: u32) -> Disk {
    let statistics = backend.join("statistics");
    Disk {
        number,
        waits: count(&statistics, "oo_req"),
        reads: count(&statistics, "rd_req"),
        writes: count(&statistics, "wr_req"),
        sectors_read: count(&statistics, "rd_sect"),
        sectors_written: count(&statistics, "wr_sect"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_of_all_backends() {
        let top = std::env::temp_dir().join(format!("xentop-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = top.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("vif-3-1/net/slow/statistics/rx_bytes", "2048\n");
        write("vif-3-1/net/slow/statistics/tx_dropped", "7\n");
        write("vif-3-0/state", "4\n");
        write("vbd-12-51714/statistics/oo_req", "5\n");
        write("vbd-12-51714/statistics/rd_sect", "18446744073709551615\n");
        write("vbd-12-51714/statistics/wr_req", "many\n");
        write("console-3-0/state", "4\n");
        write("vif-x-0/state", "4\n");
        let all = devices(&top);
        assert_eq!(all.keys().collect::<Vec<_>>(), [&3, &12]);
        let [first, second] = &*all[&3].interfaces else {
            panic!("{all:?}");
        };
        assert_eq!((first.number, second.number), (0, 1));
        assert_eq!(second.received.bytes, 2048);
        assert_eq!(second.sent.dropped, 7);
        assert_eq!(
            all[&12].disks,
            [Disk {
                number: 51714,
                waits: 5,
                sectors_read: u64::MAX,
                ..Disk::default()
            }]
        );
        fs::remove_dir_all(&top).unwrap();
        assert!(devices(&top).is_empty());
    }
}
