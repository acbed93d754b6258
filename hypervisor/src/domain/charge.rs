//! What a domain has made the hypervisor allocate for it, and the most that it may.
//!
//! Bookkeeping grows when a guest uses what it stands for: ports, grant entries and frames, handles on others'
//! grants. Each such allocation is charged to the domain before it is made, so that no guest can use up
//! the memory of the hypervisor or of other guests, however its requests are mixed. What a domain is built
//! with (vCPUs, page tables of the hypervisor's) is not its own doing and is not charged.
#![forbid(unsafe_code)]

use crate::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that the hypervisor holds for a domain, with a limit.
#[derive(Debug)]
pub struct Charge {
    bytes: AtomicUsize,
    limit: usize,
}

/// The charge would exceed the domain's limit. Nothing was charged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OverLimit;

impl Charge {
    /// Nothing yet, and at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            bytes: AtomicUsize::new(0),
            limit,
        }
    }

    /// Adds `bytes`.
    ///
    /// # Errors
    /// [`OverLimit`].
    pub fn add(&self, bytes: usize) -> Result<(), OverLimit> {
        let within_limit = |now: usize| now.checked_add(bytes).filter(|&total| total <= self.limit);
        self.bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, within_limit)
            .map(|_| ())
            .map_err(|_| OverLimit)
    }

    /// Takes back `bytes` that were added.
    pub fn remove(&self, bytes: usize) {
        let was = self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(was >= bytes, "{bytes} bytes are uncharged of {was}");
    }

    /// Bytes charged now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_limit_can_be_reached_and_not_passed() {
        let charge = Charge::new(100);
        assert_eq!(charge.add(60), Ok(()));
        assert_eq!(charge.add(41), Err(OverLimit));
        assert_eq!(charge.bytes(), 60);
        assert_eq!(charge.add(40), Ok(()));
        assert_eq!(charge.add(1), Err(OverLimit));
        charge.remove(40);
        assert_eq!(charge.add(40), Ok(()));
        assert_eq!(charge.bytes(), 100);
    }

    #[test]
    fn a_sum_that_overflows_is_over_the_limit() {
        let charge = Charge::new(usize::MAX);
        assert_eq!(charge.add(usize::MAX), Ok(()));
        assert_eq!(charge.add(1), Err(OverLimit));
    }

    #[test]
    fn charges_at_the_same_time_stay_within_the_limit() {
        let charge = Charge::new(1000);
        let granted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..1000).filter(|_| charge.add(1).is_ok()).count()))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!((granted, charge.bytes()), (1000, 1000));
    }
}
