//! The end of a domain: everything that it holds is given back, in pieces.
//!
//! In this order, each step relying on those before:
//!
//! 1. It is marked as dying: it gets nothing more, and none of its vCPUs runs again or is held by a processor.
//! 2. Its watchdogs, its claim on memory and its ports go. From here on nobody sends it events.
//! 3. Its vCPUs let go of their roots and descriptor tables, and of their places in timer queues and the scheduler.
//! 4. Its frames are taken from it: tables go out of force. What others reference stays as zombies.
//! 5. Its uses of others' grants end, and its own grants are closed.
//! 6. What it shares with the hypervisor is given up; from here on its bits are nobody's.
//!
//! It is dead then, and stays on the list, its number taken, until the last reference on a frame of it and the
//! last use of a grant of it are gone: [`Domains::reap`] looks at each of those moments. Off the list, it keeps its number until
//! nobody works with it any more who has found it there before.
#![forbid(unsafe_code)]

use super::context::Context;
use super::domains::{Domain, Domains};
use super::grants::GrantedFrames;
use super::vcpu::Vcpu;
use crate::arch::memory::{self, mm};
use crate::arch::scheduler;
use crate::control::life::Stage;
use crate::event;
use crate::grant::{self, GrantDomain};
use crate::mm::descriptor::DescriptorPage;
use crate::mm::error::Stop;
use crate::mm::lock::PtLock;
use crate::mm::pin::Root;
use crate::mm::reference::WritableRef;
use crate::sched::setup::Found;
use guest_abi::ids::{Mfn, Port};

/// How far it has come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Progress {
    /// vCPUs are stopping.
    Stopping,
    /// Ports from this one on are to be closed.
    Ports(Port),
    /// vCPUs from this one on are to let go.
    Vcpus(usize),
    /// Frames are taken.
    Frames,
    /// Handles of grants from this one on are to be released.
    Handles(grant::Handle),
    /// The rest.
    Rest,
    /// All is done.
    Done,
}

impl Progress {
    pub(super) const START: Self = Self::Stopping;
}

/// Whether a domain is destroyed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Destruction {
    /// It is.
    Done,
    /// Not yet: the processor is wanted for something else.
    Again,
}

impl Domain {
    /// Goes on destroying it. By whoever has the turn of control operations, and not by the domain itself.
    pub(crate) fn destroy(&self) -> Destruction {
        if self.control.life.advance(Stage::Dying) {
            for vcpu in self.vcpus() {
                // For good.
                let _ = scheduler::pause(vcpu);
            }
        }
        loop {
            let at = *self.control.ending.lock();
            let next = match self.destroy_step(at) {
                Ok(next) => next,
                Err(Stopped::Here) => return Destruction::Again,
                Err(Stopped::At(here)) => {
                    *self.control.ending.lock() = here;
                    return Destruction::Again;
                }
            };
            *self.control.ending.lock() = next;
            if matches!(next, Progress::Done) {
                // Everything that was its own is back. Perhaps it is gone at once.
                if self.control.life.advance(Stage::Dead) {
                    Domains.tell_of_end();
                    Domains.reap(self.id);
                }
                return Destruction::Done;
            }
        }
    }

    fn destroy_step(&self, at: Progress) -> Result<Progress, Stopped> {
        match at {
            Progress::Stopping => {
                for vcpu in self.vcpus() {
                    while vcpu.run.is_running() {
                        if scheduler::should_yield() {
                            return Err(Stopped::Here);
                        }
                        core::hint::spin_loop();
                    }
                }
                self.watchdogs().remove_all();
                self.claim().set(0);
                self.ports.close_for_good();
                Ok(Progress::Ports(Port(1)))
            }
            Progress::Ports(first) => {
                match event::close_all(&Domains, self, first, scheduler::should_yield) {
                    event::Progress::Done => Ok(Progress::Vcpus(0)),
                    event::Progress::At(port) => Err(Stopped::At(Progress::Ports(port))),
                }
            }
            Progress::Vcpus(index) => match self.vcpus().get(index) {
                None => Ok(Progress::Frames),
                Some(vcpu) => {
                    match vcpu.close() {
                        Found::State => self.empty_vcpu(vcpu)?,
                        Found::Nothing => {}
                        // Nobody who could is left: its own vCPUs don't run, and the turn is the caller's.
                        Found::BeingSetUp => return Err(Stopped::Here),
                    }
                    self.give_up_info(vcpu);
                    scheduler::remove(vcpu);
                    let next = Progress::Vcpus(index.saturating_add(1));
                    yielding(next)
                }
            },
            Progress::Frames => {
                self.with_tables(|lock| mm().relinquish(lock, self))?;
                self.grants().close_for_good();
                Ok(Progress::Handles(grant::Handle(0)))
            }
            Progress::Handles(first) => {
                let frames = GrantedFrames { user: self.id };
                let stop = scheduler::should_yield;
                match grant::release_all(&Domains, self, &frames, first, stop) {
                    grant::Released::Done => Ok(Progress::Rest),
                    grant::Released::At(handle) => Err(Stopped::At(Progress::Handles(handle))),
                }
            }
            Progress::Rest => {
                // The last put of a table, which relinquishing may have left for later.
                self.with_tables(|lock| mm().finish_pending(lock))?;
                let _ = self.set_memory_map(None);
                self.put_interrupt_bits();
                self.give_up_shared_frames();
                Ok(Progress::Done)
            }
            Progress::Done => Ok(Progress::Done),
        }
    }

    /// A vCPU that is stopped and [closed](Vcpu::close) lets go of all that its state holds. It is as before it was
    /// initialised, but for the place of its `vcpu_info`: others send it events meanwhile.
    pub(crate) fn empty_vcpu(&self, vcpu: &Vcpu) -> Result<(), Stop> {
        if let Some(mut context) = vcpu.take_context() {
            let result = self.empty_context(vcpu, &mut context);
            if result.is_err() {
                vcpu.put_context(context);
            }
            result?;
        }
        vcpu.forget_state();
        Ok(())
    }

    /// A vCPU of a domain that nobody sends events any more gives up the place of its `vcpu_info`.
    fn give_up_info(&self, vcpu: &Vcpu) {
        if let Some(frame) = vcpu.forget_info(self.bits.vcpu_info(vcpu.id())) {
            mm().put_writable_frame(WritableRef::recall(frame));
        }
    }

    fn empty_context(&self, vcpu: &Vcpu, context: &mut Context) -> Result<(), Stop> {
        let area = self.per_domain();
        self.with_tables(|lock| {
            let put = |lock: &mut PtLock<'_>, frame: Mfn| {
                mm().put_descriptors(lock, DescriptorPage::recall(frame));
            };
            for (page, slot) in context.ldt_pages.iter_mut().enumerate() {
                mm().finish_pending(lock)?;
                if let Some(frame) = slot.take() {
                    area.set_ldt_page(vcpu.id(), page, None);
                    put(lock, frame);
                }
            }
            for (page, &frame) in context.tables.gdt_frames().iter().enumerate() {
                area.set_gdt_page(vcpu.id(), page, None);
                put(lock, frame);
            }
            context.tables.gdt_entries = 0;
            context.tables.ldt_entries = 0;
            if let Some(root) = context.user_root.take() {
                mm().put_root(lock, Root::recall(root));
            }
            mm().finish_pending(lock)?;
            // The last: without it there is no context.
            mm().put_root(lock, Root::recall(context.kernel_root));
            Ok(())
        })
    }

    /// Gives up what the domain shares with the hypervisor, as far as nobody needs it to end a use of a grant.
    pub(super) fn give_up_shared_frames(&self) {
        // One more, so that the domain is not found to be gone before the last of them is given up.
        self.control.expect_shared_frame();
        let nobodys = memory::nobodys_shared_info();
        let was = self.bits.leave(nobodys);
        for vcpu in self.vcpus() {
            vcpu.forget_info(self.bits.vcpu_info(vcpu.id()));
        }
        // Whoever tells it the date has found one place or the other.
        self.after_date();
        if was.0.mfn() != nobodys.0.mfn() {
            self.give_up_shared_frame(was.0.mfn());
        }
        self.give_up_grant_frames();
        self.control.shared_frame_is_free();
    }

    /// Gives up the frames of its grant table, if no grant is in use.
    pub(super) fn give_up_grant_frames(&self) {
        if self.grants().is_in_use() {
            return;
        }
        // As above; several may come here at once, and each gives up some of them.
        self.control.expect_shared_frame();
        for frame in self.grant_frames() {
            self.give_up_shared_frame(frame);
        }
        self.control.shared_frame_is_free();
    }

    fn give_up_shared_frame(&self, frame: Mfn) {
        self.control.expect_shared_frame();
        mm().unshare(frame);
    }
}

/// Why a step has ended before it was done.
enum Stopped {
    /// The same again.
    Here,
    /// From here on.
    At(Progress),
}

impl From<Stop> for Stopped {
    fn from(_: Stop) -> Self {
        // Nothing of a domain's own can fail to be given up but for the time that it takes.
        Self::Here
    }
}

/// Goes on, if the processor is not wanted for something else.
fn yielding(next: Progress) -> Result<Progress, Stopped> {
    if scheduler::should_yield() {
        Err(Stopped::At(next))
    } else {
        Ok(next)
    }
}
