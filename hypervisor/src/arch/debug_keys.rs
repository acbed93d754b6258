//! What the debug keys do.
//!
//! A key is handled where a processor holds no lock, while guests may run on the others: a report is what was
//! so when it was looked at, not a picture of one instant.

use super::percpu::CpuInfo;
use super::{clock, death, fpu, frames, rendezvous, scheduler, tlb};
use crate::console::keys::{self, DebugKey, KEYS};
use crate::console::{self};
use crate::domain::context::Context;
use crate::domain::{Domain, Domains, Vcpu};
use crate::event::{self, SharedInfo};
use crate::grant::{Access, GrantDomain};
use crate::registers::Registers;
use alloc::sync::Arc;
use core::fmt;
use guest_abi::event_channel::ChannelStatus;
use guest_abi::ids::{DomId, Port};

macro_rules! say {
    ($($part:tt)*) => { console::line(format_args!($($part)*)) };
}

/// A key was pressed.
pub(super) fn press(letter: u8, here: &CpuInfo) {
    match keys::find(letter) {
        Some(entry) => act(entry.key, here),
        None if letter.is_ascii_graphic() => {
            say!("'{}' is no debug key; h lists them", char::from(letter));
        }
        None => {}
    }
}

fn act(key: DebugKey, here: &CpuInfo) {
    match key {
        DebugKey::Help => {
            say!("Debug keys:");
            for entry in &KEYS {
                say!("{entry}");
            }
        }
        DebugKey::All => {
            for entry in keys::reports() {
                act(entry.key, here);
            }
        }
        DebugKey::Domains => domains(),
        DebugKey::Registers => registers(here),
        DebugKey::Events => events(),
        DebugKey::Grants => grants(),
        DebugKey::Memory => memory(),
        DebugKey::RunQueues => run_queues(),
        DebugKey::Timers => timers(),
        DebugKey::Hypercalls => histories(),
        DebugKey::Audit => {
            say!("Auditing the frame table");
            rendezvous::audit_frames();
        }
        DebugKey::Reboot => {
            say!("Rebooting, as the debug key wants");
            death::reboot_machine()
        }
        DebugKey::Crash => death::die(format_args!("the debug key wants it"), None),
    }
}

/// Each vCPU there is.
fn each_vcpu(mut look: impl FnMut(&Domain, &Arc<Vcpu>)) {
    for domain in Domains.all() {
        for vcpu in domain.vcpus() {
            look(&domain, vcpu);
        }
    }
}

/// What each vCPU has done last, the oldest first.
fn histories() {
    each_vcpu(|domain, vcpu| {
        say!("Last hypercalls and exceptions of {}:", Name(domain, vcpu));
        vcpu.history.for_each_line(|line| say!("  {line}"));
    });
}

/// `d0v1`.
struct Name<'v>(&'v Domain, &'v Vcpu);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d{}v{}", self.0.id().0, self.1.id().0)
    }
}

/// A time, as seconds since start.
struct At(u64);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0;
        write!(f, "{}.{:06} s", ns / 1_000_000_000, ns / 1000 % 1_000_000)
    }
}

fn domains() {
    say!("Domains:");
    for domain in Domains.all() {
        say!(
            "  domain {}: {} pages of at most {}, {} vCPUs",
            domain.id().0,
            domain.total_pages(),
            domain.max_pages(),
            domain.vcpus().len()
        );
        if let Some(reason) = domain.shutdown_reason() {
            say!("    it has ended, with reason {reason}");
        }
        for vcpu in domain.vcpus() {
            let info = vcpu.info();
            say!(
                "    {}: {}, on CPU{}, upcall {}{}",
                Name(&domain, vcpu),
                state(vcpu),
                vcpu.processor(),
                if info.is_upcall_pending() {
                    "pending"
                } else {
                    "not pending"
                },
                if info.upcall_mask() != 0 {
                    ", masked"
                } else {
                    ""
                },
            );
        }
    }
}

/// What a vCPU does, in words.
fn state(vcpu: &Vcpu) -> &'static str {
    let run = &vcpu.run;
    if run.is_running() {
        "running"
    } else if !run.is_up() {
        "down"
    } else if run.pauses() != 0 {
        "paused"
    } else if run.is_blocked() {
        "waiting for an event"
    } else {
        "runnable"
    }
}

fn registers(here: &CpuInfo) {
    let Some(domain) = Domains.find(DomId::DOM0) else {
        say!("There is no first domain");
        return;
    };
    for vcpu in domain.vcpus() {
        let mut is_known = false;
        vcpu.with_resting_context(|context| {
            is_known = true;
            say!("{}, {}:", Name(&domain, vcpu), state(vcpu));
            show_registers(&context.registers, context);
        });
        // The one that this processor runs is in its own block.
        if !is_known {
            with_running(here, vcpu, |registers, context| {
                is_known = true;
                say!("{}, running on this processor:", Name(&domain, vcpu));
                show_registers(registers, context);
            });
        }
        if !is_known {
            say!(
                "{}: {} on CPU{}, which has its registers",
                Name(&domain, vcpu),
                state(vcpu),
                vcpu.processor()
            );
        }
    }
}

/// Shows the registers of `vcpu` if processor `here` runs it.
fn with_running(here: &CpuInfo, vcpu: &Arc<Vcpu>, look: impl FnOnce(&Registers, &Context)) {
    if let Some(running) = here.running.as_ref().or(here.parked.as_ref())
        && Arc::ptr_eq(&running.vcpu, vcpu)
    {
        look(&here.guest, &running.context);
    }
}

fn show_registers(r: &Registers, context: &Context) {
    let rows = [
        [
            ("RIP", r.rip),
            ("RFLAGS", r.rflags),
            ("RSP", r.rsp),
            ("CR3", context.kernel_root.address()),
        ],
        [
            ("RAX", r.rax),
            ("RBX", r.rbx),
            ("RCX", r.rcx),
            ("RDX", r.rdx),
        ],
        [("RSI", r.rsi), ("RDI", r.rdi), ("RBP", r.rbp), ("R8", r.r8)],
        [("R9", r.r9), ("R10", r.r10), ("R11", r.r11), ("R12", r.r12)],
        [("R13", r.r13), ("R14", r.r14), ("R15", r.r15), ("CS", r.cs)],
    ];
    for [(a, av), (b, bv), (c, cv), (d, dv)] in rows {
        say!("{a:>6} {av:016x} {b:>6} {bv:016x} {c:>6} {cv:016x} {d:>6} {dv:016x}");
    }
}

fn events() {
    for domain in Domains.all() {
        say!("Event channels of domain {}:", domain.id().0);
        let mut closed = 0u32;
        for port in (1..).map(Port) {
            let Ok(status) = event::status(&*domain, port) else {
                break;
            };
            let what = match ChannelStatus::try_from(status.status) {
                Ok(ChannelStatus::Closed) | Err(_) => {
                    closed += 1;
                    continue;
                }
                Ok(what) => what,
            };
            let shared = &*domain;
            say!(
                "  {:4} {} {} for v{}{}{}",
                port.0,
                match what {
                    ChannelStatus::Unbound => "unbound, for domain",
                    ChannelStatus::Interdomain => "to domain",
                    ChannelStatus::Pirq => "interrupt",
                    ChannelStatus::Virq => "virtual interrupt",
                    _ => "between vCPUs,",
                },
                match what {
                    ChannelStatus::Unbound | ChannelStatus::Interdomain =>
                        u32::from(status.remote_dom.0),
                    ChannelStatus::Pirq | ChannelStatus::Virq => status.interrupt(),
                    _ => 0,
                },
                status.vcpu.0,
                if shared.is_pending(port) {
                    ", pending"
                } else {
                    ""
                },
                if shared.is_masked(port) {
                    ", masked"
                } else {
                    ""
                },
            );
        }
        say!("  and {closed} that are closed");
    }
}

/// What each domain lets others use of its memory now, and what it has mapped of others'.
fn grants() {
    say!("Grants:");
    for domain in Domains.all() {
        let table = domain.grants();
        let (frames, most_frames) = table.size();
        let (mut mappings, mut writable) = (0u32, 0u32);
        table.for_each_mapping(|_, mapping| {
            mappings += 1;
            writable += u32::from(mapping.access == Access::Write);
        });
        say!(
            "  domain {}: {} entries are in use; {mappings} mappings of others', {writable} of them writable, \
             in {} handles; {frames} frames of at most {most_frames}",
            domain.id().0,
            table.uses(),
            table.nr_handles()
        );
    }
}

fn memory() {
    say!(
        "Memory: {} frames are free ({} MiB)",
        frames::free_frames(),
        frames::free_frames() >> 8
    );
    for domain in Domains.all() {
        say!(
            "  domain {}: {} frames of at most {}",
            domain.id().0,
            domain.total_pages(),
            domain.max_pages()
        );
    }
}

fn run_queues() {
    say!("Run queues:");
    scheduler::report(|line| say!("  {line}"));
    fpu::report(|line| say!("  {line}"));
    tlb::report(|line| say!("  {line}"));
}

fn timers() {
    say!("Timers, at {}:", At(clock::now_ns()));
    each_vcpu(|domain, vcpu| {
        let (timers, cpu) = vcpu.timers.lock().state();
        say!(
            "  {}, by CPU{}: {timers}",
            Name(domain, vcpu),
            cpu.unwrap_or(0)
        );
    });
}
