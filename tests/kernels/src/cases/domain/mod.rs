//! A second domain, made, run and destroyed by control operations.

pub(crate) mod accounts;
pub(crate) mod answers;
mod busy_guest;
mod call_list;
pub(crate) mod cap;
pub(crate) mod context;
pub(crate) mod create;
pub(crate) mod create_refusals;
pub(crate) mod cycles;
pub(crate) mod destroy_long;
pub(crate) mod destroy_mapped;
pub(crate) mod ends_at_work;
pub(crate) mod entry_refusals;
pub(crate) mod events;
pub(crate) mod far_vcpus;
pub(crate) mod foreign_tables;
pub(crate) mod grants;
pub(crate) mod info;
pub(crate) mod many;
pub(crate) mod maptrack;
pub(crate) mod number_anew;
pub(crate) mod others_grant_table;
pub(crate) mod out_of_memory;
pub(crate) mod out_of_memory_race;
pub(crate) mod pause;
pub(crate) mod pinned;
pub(crate) mod ports;
pub(crate) mod privileged_calls;
pub(crate) mod privileges;
pub(crate) mod round_trip;
pub(crate) mod shares;
pub(crate) mod shutdown;
pub(crate) mod suspend;
pub(crate) mod table_stores;
pub(crate) mod unknown;
pub(crate) mod zombie_audit;

use super::prelude::*;
use crate::clock::{self, MS};
use crate::control::{Guest, domctl};
use guest_abi::domctl::DomctlOp;
use guest_abi::domctl_vcpu::{Scheduler, SchedulerCommand, SchedulerCredit, SchedulerOp};
use guest_abi::payload::Payload;
use guest_abi::sched_op::{Poll, SchedOp};
use zerocopy::FromZeros;

user_code!(counts_alone, "2: inc qword ptr [rsi + 8 * rdi]", "jmp 2b");

/// A domain whose vCPUs all count, in a word of its data page each, and do nothing else.
fn spinning(vcpus: u32) -> Guest {
    let guest = Guest::empty(vcpus);
    guest.build(counts_alone());
    for vcpu in 0..vcpus {
        assert_eq!(guest.set_context(vcpu, &guest.context(vcpu)), Ok(0));
    }
    guest
}

/// Sets its share of the processors.
fn set_share(guest: &Guest, weight: u16, cap: u16) {
    let mut wish = SchedulerOp::new_zeroed();
    wish.sched_id = Scheduler::Credit as u32;
    wish.cmd = SchedulerCommand::PutInfo.number();
    wish.u = Payload::of(&SchedulerCredit { weight, cap });
    let (outcome, _) = domctl(DomctlOp::SchedulerOp, guest.id, &mut Payload::of(&wish));
    assert_eq!(outcome, Ok(0));
    wish.cmd = SchedulerCommand::GetInfo.number();
    let mut content = Payload::of(&wish);
    let (outcome, _) = domctl(DomctlOp::SchedulerOp, guest.id, &mut content);
    let told: SchedulerCredit = content.read::<SchedulerOp>().u.read();
    assert_eq!(
        (outcome, told.weight, told.cap),
        (Ok(0), weight, cap),
        "it is not kept"
    );
}

/// This vCPU waits. Others may have the processor.
fn sleep_ms(ms: u64) {
    let end_ns = clock::now_ns() + ms * MS;
    while clock::now_ns() < end_ns {
        let poll = Poll {
            ports: guest_abi::ids::Vaddr(0),
            nr_ports: 0,
            pad0: [0; 4],
            timeout: end_ns,
        };
        assert_eq!(hypercall!(SchedOp, SchedOp::Poll.number(), &poll), Ok(0));
    }
}
