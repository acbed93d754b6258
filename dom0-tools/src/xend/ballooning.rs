//! Memory for new guests, and for those that grow: where too little is free, the first domain gives some of its own up.
//!
//! What it should have is in the store, and a stock kernel follows that: it gives frames back, or asks for them, until it
//! has so many. That takes as long as it takes, and may not come to its end; so it is waited for while something happens,
//! and for a while longer, and if there is not enough then, the first domain is to have again what it had.
//!
//! Between the moment when there is enough and the moment when the hypervisor has set it aside nobody else looks: that is
//! what the lock in a [`Room`] is for.

use super::Xend;
use super::nodes::Nodes;
use super::protocol::Fault;
use super::store_tree::{self, TARGET};
use guest_abi::domctl_domain::DomainInfo;
use guest_abi::ids::{DomId, PAGE_SIZE};
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Of a frame.
pub(super) const FRAME_KIB: u64 = PAGE_SIZE as u64 >> 10;
const MIB_KIB: u64 = 1 << 10;
/// The pause before the second look; each is longer by so much than the one before, while nothing happens.
const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 100 });
/// Looks without more free memory.
const IDLE_LOOKS: u32 = 20;
/// All of it.
const LIMIT: Duration = Duration::from_secs(300);
/// A kernel may count its frames otherwise than the hypervisor, by a few. When it has come to its end, and too little is
/// free, it is asked for so much more.
const NUDGE_KIB: u64 = 4 * MIB_KIB;
/// So many looks without more free memory tell that it has.
const NUDGE_LOOKS: u32 = 4;
/// What programs of the first domain could still have when it has been shrunk for guests.
const SPARE_KIB: u64 = 32 * MIB_KIB;

/// Free memory that nobody else takes while this is held.
pub(super) struct Room<'x> {
    _alone: MutexGuard<'x, ()>,
    /// By how much the first domain's target was lowered for it.
    pub(super) given_kib: u64,
}

impl Xend {
    /// Free memory that is set aside for nobody.
    pub(super) fn free_kib(&self) -> Result<u64, Fault> {
        let machine = self.machine.physical()?;
        Ok(machine.free_pages.saturating_sub(machine.outstanding_pages) * FRAME_KIB)
    }

    /// The hypervisor's word on the first domain.
    pub(super) fn first_info(&self) -> Result<DomainInfo, Fault> {
        let info = self.machine.domain(DomId::DOM0)?;
        info.ok_or_else(|| Fault::text("the hypervisor does not know the first domain"))
    }

    /// Nobody makes room, and no target changes, while this is held.
    pub(super) fn lock_memory(&self) -> MutexGuard<'_, ()> {
        self.ballooning
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that so much memory is free. If it can't be had, the first domain's target is as it was.
    pub(super) fn make_room(&self, needed_kib: u64) -> Result<Room<'_>, Fault> {
        let alone = self.lock_memory();
        let given_kib = self.shrink_first(needed_kib)?;
        Ok(Room {
            _alone: alone,
            given_kib,
        })
    }

    /// What has made room was for nothing: the first domain's target is raised by as much again.
    pub(super) fn first_takes_back(&self, given_kib: u64) {
        if given_kib == 0 {
            return;
        }
        let _alone = self.lock_memory();
        let raised = self.connect_store().and_then(|mut store| {
            // Without a target it has what it has.
            match store_tree::kib_of(&mut *store, DomId::DOM0, TARGET)? {
                Some(target) => store_tree::set_first_target(&mut *store, target + given_kib),
                None => Ok(()),
            }
        });
        if let Err(fault) = raised {
            log::error!("Domain-0: it does not get its {given_kib} KiB again: {fault}");
        }
    }

    fn shrink_first(&self, needed_kib: u64) -> Result<u64, Fault> {
        let free_kib = self.free_kib()?;
        if free_kib >= needed_kib {
            return Ok(0);
        }
        let settings = self.settings();
        if !settings.balloons_first() {
            return Err(Fault::text(format!(
                "Not enough free memory and enable-dom0-ballooning is False, so I cannot release any more.  \
                 I need {needed_kib} KiB but only have {free_kib}."
            )));
        }
        let has_kib = self.first_info()?.tot_pages * FRAME_KIB;
        let least_kib = settings.first_least_kib();
        let most_kib = free_kib + has_kib.saturating_sub(least_kib);
        if most_kib < needed_kib {
            return Err(Fault::text(format!(
                "I need {needed_kib} KiB, but dom0_min_mem is {least_kib} and shrinking to {least_kib} KiB would \
                 leave only {most_kib} KiB free."
            )));
        }
        let spare_kib = self.devices.spare_kib();
        let given_at_most = spare_kib.map_or(u64::MAX, |kib| kib.saturating_sub(SPARE_KIB));
        if free_kib.saturating_add(given_at_most) < needed_kib {
            return Err(Fault::text(format!(
                "Not enough memory is available, and dom0 cannot be shrunk any further: its programs leave only \
                 {} KiB of its {has_kib}.",
                spare_kib.unwrap_or(0)
            )));
        }
        let mut store = self.connect_store()?;
        let before = store_tree::kib_of(&mut *store, DomId::DOM0, TARGET)?.unwrap_or(has_kib);
        let least_kib = least_kib.max(has_kib.saturating_sub(given_at_most));
        let mut shrinking = Shrinking {
            needed_kib,
            least_kib,
            target_kib: before,
        };
        match self.follow(&mut shrinking, &mut *store) {
            Ok(()) => {
                log::info!(
                    "Domain-0: its target was {before} KiB, and is {} now, for {needed_kib} KiB that are needed",
                    shrinking.target_kib
                );
                Ok(before.saturating_sub(shrinking.target_kib))
            }
            Err(fault) => {
                let restored = store_tree::set_first_target(&mut *store, before);
                if let Err(fault) = restored {
                    log::error!("Domain-0: its target is not {before} KiB again: {fault}");
                }
                Err(fault)
            }
        }
    }

    /// Lowers the first domain's target, and waits, until enough is free or nothing happens any more.
    fn follow(&self, shrinking: &mut Shrinking, store: &mut dyn Nodes) -> Result<(), Fault> {
        let began = Instant::now();
        let (mut idle, mut most_free) = (0, self.free_kib()?);
        loop {
            let has_kib = self.first_info()?.tot_pages * FRAME_KIB;
            let target_kib = shrinking.next(has_kib, self.free_kib()?, idle);
            if target_kib < shrinking.target_kib {
                store_tree::set_first_target(store, target_kib)?;
                shrinking.target_kib = target_kib;
            }
            std::thread::sleep(PAUSE * (idle + 1));
            let free_kib = self.free_kib()?;
            if free_kib >= shrinking.needed_kib {
                return Ok(());
            }
            if free_kib > most_free {
                (idle, most_free) = (0, free_kib);
            } else {
                idle += 1;
            }
            if idle >= IDLE_LOOKS || began.elapsed() > LIMIT {
                return Err(Fault::text(format!(
                    "Not enough memory is available, and dom0 cannot be shrunk any further: I need {} KiB, \
                     {free_kib} are free, and its kernel gives up no more on its way to {target_kib} KiB.",
                    shrinking.needed_kib
                )));
            }
        }
    }
}

/// The first domain on its way to a smaller size.
struct Shrinking {
    /// What is to be free.
    needed_kib: u64,
    /// It is not to have less.
    least_kib: u64,
    /// What it was last asked for.
    target_kib: u64,
}

impl Shrinking {
    /// What it should be asked for while it has so much and so much is free, after so many looks at which nothing had
    /// happened.
    fn next(&self, has_kib: u64, free_kib: u64, idle: u32) -> u64 {
        let missing_kib = self.needed_kib.saturating_sub(free_kib);
        let is_nudged = idle != 0 && idle.is_multiple_of(NUDGE_LOOKS);
        let wanted = if is_nudged {
            self.target_kib.saturating_sub(missing_kib.min(NUDGE_KIB))
        } else {
            has_kib.saturating_sub(missing_kib)
        };
        // Whole MiB, as people write them.
        let wanted = wanted / MIB_KIB * MIB_KIB;
        wanted.max(self.least_kib).min(self.target_kib)
    }
}
