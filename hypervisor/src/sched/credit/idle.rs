//! Which processors are on line, and which sleep, as one bit each: finding an idle one that may run a vCPU takes a look at a few
//! words.
#![forbid(unsafe_code)]

extern crate alloc;

use crate::sched::SchedError;
use crate::sched::cpu_set::{CpuId, CpuSet};
use crate::sync::atomic::{AtomicU64, Ordering};
use alloc::boxed::Box;
use alloc::vec::Vec;

#[derive(Debug)]
pub(super) struct CpuMask(Box<[AtomicU64]>);

impl CpuMask {
    pub(super) fn new(nr_cpus: u32) -> Result<Self, SchedError> {
        let count = nr_cpus.div_ceil(u64::BITS) as usize;
        let mut words = Vec::new();
        words
            .try_reserve_exact(count)
            .map_err(|_| SchedError::OutOfMemory)?;
        words.extend((0..count).map(|_| AtomicU64::new(0)));
        Ok(Self(words.into_boxed_slice()))
    }

    fn word(&self, cpu: CpuId) -> Option<(&AtomicU64, u64)> {
        let word = self.0.get((cpu.0 / u64::BITS) as usize)?;
        Some((word, 1 << (cpu.0 % u64::BITS)))
    }

    pub(super) fn set(&self, cpu: CpuId) {
        if let Some((word, bit)) = self.word(cpu) {
            word.fetch_or(bit, Ordering::SeqCst);
        }
    }

    /// Takes the mark off; says whether it was there.
    pub(super) fn clear(&self, cpu: CpuId) -> bool {
        self.word(cpu).is_some_and(|(word, bit)| {
            word.load(Ordering::SeqCst) & bit != 0
                && word.fetch_and(!bit, Ordering::SeqCst) & bit != 0
        })
    }

    pub(super) fn contains(&self, cpu: CpuId) -> bool {
        self.word(cpu)
            .is_some_and(|(word, bit)| word.load(Ordering::SeqCst) & bit != 0)
    }

    /// Whether none has the mark.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| word.load(Ordering::SeqCst) == 0)
    }

    pub(super) fn all(&self) -> CpuSet {
        let mut words = [0; crate::sched::cpu_set::WORDS];
        for (to, from) in words.iter_mut().zip(&self.0) {
            *to = from.load(Ordering::SeqCst);
        }
        CpuSet::from_words(&words)
    }

    /// Takes the mark off one of `wanted` that has it.
    pub(super) fn claim(&self, wanted: &CpuSet) -> Option<CpuId> {
        for ((base, word), wanted) in (0..).step_by(64).zip(&self.0).zip(wanted.words()) {
            let mut marked = word.load(Ordering::SeqCst) & wanted;
            while marked != 0 {
                let cpu = CpuId(base + marked.trailing_zeros());
                if self.clear(cpu) {
                    return Some(cpu);
                }
                marked &= marked - 1;
            }
        }
        None
    }
}
