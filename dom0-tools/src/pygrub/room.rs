//! How much of the first domain's memory what comes off a guest's disk may take: a guest that puts large files there must not
//! take what the first domain needs itself.

use std::fs;

/// Bytes of a kernel's file. Those of distributions have ten to a hundred MiB.
const MOST_KERNEL_BYTES: u64 = 256 << 20;
/// Bytes of a RAM disk, if the guest has more memory.
const MOST_RAMDISK_BYTES: u64 = 1 << 30;

/// The most bytes of each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// The kernel's file.
    pub kernel: u64,
    /// The RAM disk.
    pub ramdisk: u64,
    /// The kernel when it is unpacked.
    pub unpacked: u64,
}

/// For a guest of so many MiB, now.
#[must_use]
pub fn for_guest(memory_mib: u64) -> Room {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    of(memory_mib, available_bytes(&meminfo))
}

/// Together at most five eighths of what is free: the rest is for who reads it, and for all else.
fn of(memory_mib: u64, available: u64) -> Room {
    let memory = memory_mib.saturating_mul(1 << 20);
    Room {
        kernel: MOST_KERNEL_BYTES.min(available / 8),
        ramdisk: MOST_RAMDISK_BYTES.min(memory).min(available / 4),
        unpacked: memory.min(available / 4),
    }
}

/// What `/proc/meminfo` says is free; nothing, if it does not say it.
fn available_bytes(meminfo: &str) -> u64 {
    let kib = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|number| number.trim().parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1 << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_part_of_what_is_free_and_not_more_than_the_guest_has() {
        let meminfo = "MemTotal:         524288 kB\nMemFree:           10000 kB\nMemAvailable:     409600 kB\n";
        let available = available_bytes(meminfo);
        assert_eq!(available, 400 << 20);
        let room = |kernel: u64, ramdisk: u64, unpacked: u64| Room {
            kernel: kernel << 20,
            ramdisk: ramdisk << 20,
            unpacked: unpacked << 20,
        };
        assert_eq!(of(4096, available), room(50, 100, 100));
        assert_eq!(of(64, available), room(50, 64, 64));
        assert_eq!(of(4096, 64 << 30), room(256, 1024, 4096));
        assert_eq!(of(u64::MAX, u64::MAX).ramdisk, 1 << 30);
        for silent in ["", "MemAvailable: many kB", "MemFree: 7 kB"] {
            assert_eq!(of(4096, available_bytes(silent)), room(0, 0, 0));
        }
    }
}
