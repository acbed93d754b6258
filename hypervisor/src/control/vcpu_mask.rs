//! The vCPUs that a guest names for a flush: bytes, the lowest vCPU in the lowest bit of the first.
#![forbid(unsafe_code)]

use crate::sched::{CpuId, CpuSet};
use guest_abi::ids::VcpuId;

/// vCPUs that are told apart, in words of 64.
const WORDS: usize = 4;

/// The first 256 vCPUs one by one. Of a domain with more, one behind them stands for all: a flush too many harms nobody.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VcpuMask {
    words: [u64; WORDS],
    has_others: bool,
}

impl VcpuMask {
    /// Bytes that a guest's mask has for so many vCPUs.
    #[must_use]
    pub const fn bytes_for(nr_vcpus: usize) -> usize {
        nr_vcpus.div_ceil(8)
    }

    /// Takes byte `index` of the guest's mask into account.
    pub fn add(&mut self, index: usize, byte: u8) {
        match self.words.get_mut(index / 8) {
            Some(word) => *word |= u64::from(byte) << (8 * (index % 8)),
            None => self.has_others |= byte != 0,
        }
    }

    /// Whether it names this one.
    #[must_use]
    pub fn names(&self, vcpu: VcpuId) -> bool {
        let word = usize::try_from(vcpu.0 / 64)
            .ok()
            .and_then(|index| self.words.get(index));
        self.has_others || word.is_some_and(|word| word >> (vcpu.0 % 64) & 1 != 0)
    }
}

/// The processors of those vCPUs that `mask` names, each of which is looked at once: a domain may have thousands, and a
/// processor is asked about more than once while it is flushed.
#[must_use]
pub fn processors(mask: &VcpuMask, vcpus: impl Iterator<Item = (VcpuId, CpuId)>) -> CpuSet {
    let mut found = CpuSet::EMPTY;
    for (vcpu, cpu) in vcpus {
        if mask.names(vcpu) {
            found.insert(cpu);
        }
    }
    found
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// The mask that names these alone, as read for a domain of 8192.
    fn mask(vcpus: &[u32]) -> VcpuMask {
        let mut bytes = [0; VcpuMask::bytes_for(8192)];
        for &vcpu in vcpus {
            bytes[vcpu as usize / 8] |= 1 << (vcpu % 8);
        }
        let mut mask = VcpuMask::default();
        for (index, byte) in bytes.into_iter().enumerate() {
            mask.add(index, byte);
        }
        mask
    }

    #[test]
    fn whoever_is_named_is_flushed() {
        for vcpu in 0..8192 {
            assert!(mask(&[vcpu]).names(VcpuId(vcpu)), "vCPU {vcpu}");
        }
    }

    #[test]
    fn of_the_first_256_nobody_else_is() {
        let some = mask(&[0, 63, 64, 255]);
        let named: Vec<_> = (0..256).filter(|&vcpu| some.names(VcpuId(vcpu))).collect();
        assert_eq!(named, [0, 63, 64, 255]);
        assert!(!some.names(VcpuId(256)) && !some.names(VcpuId(u32::MAX)));
    }

    #[test]
    fn the_processors_of_whoever_is_named_are_flushed() {
        // Two vCPUs on each.
        let vcpus = || (0..16).map(|vcpu| (VcpuId(vcpu), CpuId(vcpu / 2)));
        let found = |named: &[u32]| {
            let set = processors(&mask(named), vcpus());
            (0..16)
                .filter(|&cpu| set.contains(CpuId(cpu)))
                .collect::<Vec<_>>()
        };
        assert!(found(&[]).is_empty());
        assert_eq!(found(&[0, 1, 5, 15]), [0, 2, 7]);
        assert_eq!(found(&[300]), [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn a_mask_has_a_bit_for_each_vcpu() {
        assert_eq!([1, 8, 9, 8192].map(VcpuMask::bytes_for), [1, 1, 2, 1024]);
    }
}
