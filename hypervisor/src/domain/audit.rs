//! The books of memory, audited while the world stands still: every reference that anybody holds on a frame
//! is looked up, and the frame table's counts are compared with what was found.

#![forbid(unsafe_code)]

use super::context::Context;
use super::domains::{Domain, Domains};
use crate::arch::memory::{frames_end, mm, with_scratch};
use crate::console;
use crate::grant::GrantDomain;
use crate::mm::verify::{Outside, Tally};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use guest_abi::ids::{GrantRef, Mfn};

/// Findings that are printed one by one.
const MOST_PRINTED: u64 = 20;

/// Whether there is an audit before the machine ends.
static AT_END: AtomicBool = AtomicBool::new(false);

/// From now on: when the first domain ends, the frame table is audited before the machine ends.
pub(crate) fn want_at_end() {
    AT_END.store(true, Ordering::Relaxed);
}

pub(super) fn is_wanted_at_end() -> bool {
    AT_END.load(Ordering::Relaxed)
}

/// References that are not in any page table.
pub(crate) struct Census {
    found: Vec<Outside>,
    /// There was no memory for some of them.
    is_short: bool,
}

impl Census {
    pub(crate) const fn new() -> Self {
        Self {
            found: Vec::new(),
            is_short: false,
        }
    }

    fn add(&mut self, mfn: Mfn, general: u64, typed: u64) {
        self.add_all([Outside {
            mfn,
            tally: Tally { general, typed },
        }]);
    }

    fn add_all(&mut self, some: impl IntoIterator<Item = Outside>) {
        for outside in some {
            match self.found.try_reserve(1) {
                Ok(()) => self.found.push(outside),
                Err(_) => self.is_short = true,
            }
        }
    }

    /// What a vCPU's state refers to: roots, and pages of descriptors.
    pub(crate) fn add_context(&mut self, context: &Context) {
        let roots = [Some(context.kernel_root), context.user_root];
        let ldt = context.ldt_pages.iter().copied();
        let gdt = context.tables.gdt_frames().iter().copied().map(Some);
        for mfn in roots.into_iter().chain(ldt).chain(gdt).flatten() {
            self.add(mfn, 1, 1);
        }
    }

    /// What the uses of the domain's grants refer to by themselves: those for devices. A mapping for
    /// processors is an entry of a table like any other.
    fn add_grants(&mut self, domain: &Domain) {
        let table = domain.grants();
        for gref in (0..table.nr_entries() as u32).map(GrantRef) {
            if let Some((_, mfn, uses)) = table.usage(gref) {
                let (readers, writers) =
                    (u64::from(uses.device_read), u64::from(uses.device_write));
                self.add(mfn, readers + writers, writers);
            }
        }
    }

    fn add_domain(&mut self, domain: &Domain) {
        self.add_grants(domain);
        domain.with_tables(|lock| self.add_all(lock.pending_references()));
        if let Some(mfn) = domain.interrupts_shown_in() {
            self.add(mfn, 1, 1);
        }
        for vcpu in domain.vcpus() {
            // One that a processor holds at this moment has been counted by that processor.
            vcpu.with_resting_context(|context| self.add_context(context));
            for mfn in vcpu.held_frames() {
                self.add(mfn, 1, 1);
            }
        }
    }
}

/// Audits the frame table and says what is wrong, in the last line how much. The world stands still, and
/// `census` knows what the processors hold.
pub(crate) fn run(mut census: Census) {
    for domain in Domains.all() {
        census.add_domain(&domain);
    }
    if census.is_short {
        console::line(format_args!(
            "Frame audit: not done, because there is no memory for what is held outside of tables"
        ));
        return;
    }
    let end = frames_end().0 as usize;
    let mut printed = 0;
    let result = with_scratch(end, Tally::default(), |scratch| {
        mm().verify(
            core::iter::empty(),
            census.found.iter().copied(),
            scratch,
            &mut |finding| {
                if printed < MOST_PRINTED {
                    console::line(format_args!("Frame audit: {finding}"));
                }
                printed += 1;
            },
        )
    });
    match result {
        Some(Ok(findings)) => console::line(format_args!("Frame audit: {findings} findings")),
        Some(Err(_)) | None => console::line(format_args!(
            "Frame audit: not done, because no block of memory for {end} tallies is free"
        )),
    }
}
