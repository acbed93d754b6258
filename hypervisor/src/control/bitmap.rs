//! Maps of processors in the form that tools use: bytes, the lowest processor in the lowest bit of the first.
#![forbid(unsafe_code)]

use crate::sched::cpu_set::MAX_CPUS;
use crate::sched::{CpuId, CpuSet};

/// Bytes of a map of all processors that a set can name.
pub const BYTES: usize = MAX_CPUS as usize / 8;
/// Bits of the largest map that tools may ask for.
pub const MAX_BITS: u32 = 1 << 16;

/// Byte `index` of the map of `set`; bytes behind its end are zero.
#[must_use]
pub fn byte(set: &CpuSet, index: usize) -> u8 {
    (0u32..8)
        .filter(|bit| {
            u32::try_from(index)
                .ok()
                .and_then(|index| index.checked_mul(8))
                .is_some_and(|first| set.contains(CpuId(first.saturating_add(*bit))))
        })
        .fold(0, |byte, bit| byte | 1 << bit)
}

/// The set that the first `nr_bits` bits of a map name.
#[must_use]
pub fn set(bytes: &[u8], nr_bits: u32) -> CpuSet {
    let mut set = CpuSet::EMPTY;
    for (index, byte) in (0u32..).zip(bytes.iter().take(BYTES)) {
        for bit in 0..8 {
            let cpu = index * 8 + bit;
            if cpu < nr_bits && byte >> bit & 1 != 0 {
                set.insert(CpuId(cpu));
            }
        }
    }
    set
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_map_written_is_read_back() {
        let mut cpus = CpuSet::EMPTY;
        for cpu in [0, 7, 8, 63, 64, 255] {
            cpus.insert(CpuId(cpu));
        }
        let bytes: Vec<u8> = (0..BYTES).map(|index| byte(&cpus, index)).collect();
        assert_eq!((bytes[0], bytes[1]), (0x81, 0x01));
        assert_eq!(set(&bytes, MAX_CPUS), cpus);
        assert_eq!(byte(&cpus, BYTES), 0);
        assert_eq!(byte(&cpus, usize::MAX), 0);
    }

    #[test]
    fn bits_behind_the_end_do_not_count() {
        assert_eq!(set(&[0xff], 3), set(&[0x07], 8));
        assert!(set(&[0xff], 0).is_empty());
        assert_eq!(set(&[0xff; 100], u32::MAX), CpuSet::ALL);
    }
}
