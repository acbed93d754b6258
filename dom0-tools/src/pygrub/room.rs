//! How much of the first domain's memory what comes off a guest's disk may take: a guest that puts large files there must not
//! take what the first domain needs itself.

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

impl Room {
    /// For a guest of so many MiB, if the first domain has so much to spare. Together at most five eighths of that: the rest is for
    /// who reads it, and for all else.
    #[must_use]
    pub fn of(memory_mib: u64, spare_kib: u64) -> Self {
        let memory = memory_mib.saturating_mul(1 << 20);
        let spare = spare_kib.saturating_mul(1 << 10);
        Self {
            kernel: MOST_KERNEL_BYTES.min(spare / 8),
            ramdisk: MOST_RAMDISK_BYTES.min(memory).min(spare / 4),
            unpacked: memory.min(spare / 4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_part_of_what_is_free_and_not_more_than_the_guest_has() {
        let room = |kernel: u64, ramdisk: u64, unpacked: u64| Room {
            kernel: kernel << 20,
            ramdisk: ramdisk << 20,
            unpacked: unpacked << 20,
        };
        assert_eq!(Room::of(4096, 400 << 10), room(50, 100, 100));
        assert_eq!(Room::of(64, 400 << 10), room(50, 64, 64));
        assert_eq!(Room::of(4096, 64 << 20), room(256, 1024, 4096));
        assert_eq!(Room::of(4096, 0), room(0, 0, 0));
        assert_eq!(Room::of(u64::MAX, u64::MAX).ramdisk, 1 << 30);
    }
}
