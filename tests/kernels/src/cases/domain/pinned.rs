//! A vCPU that is pinned runs on its processor and nowhere else, though others are idle, and moves when it is pinned to
//! another.

use super::super::prelude::*;
use super::{physical_processors, sleep_ms, spinning};
use crate::control::{Guest, control, domctl};
use core::sync::atomic::{AtomicU64, Ordering};
use guest_abi::bitmap::Bitmap;
use guest_abi::domctl::DomctlOp;
use guest_abi::domctl_vcpu::{AffinityFlags, VcpuAffinity, VcpuState};
use guest_abi::payload::Payload;
use zerocopy::FromZeros;

fn pin(guest: &Guest, set: u64) {
    let mut wish = VcpuAffinity::new_zeroed();
    wish.flags = AffinityFlags::HARD;
    let words = AtomicU64::new(set);
    wish.cpumap_hard = Bitmap {
        bitmap: Vaddr(words.as_ptr() as u64),
        nr_bits: 64,
        ..Bitmap::new_zeroed()
    };
    assert_eq!(control(DomctlOp::SetVcpuAffinity, guest.id, &wish), Ok(0));
    assert_eq!(words.load(Ordering::Relaxed), set, "it is not in effect");
}

fn processor(guest: &Guest) -> u32 {
    let mut content = Payload::of(&VcpuState::new_zeroed());
    let (outcome, _) = domctl(DomctlOp::GetVcpuInfo, guest.id, &mut content);
    assert_eq!(outcome, Ok(0));
    content.read::<VcpuState>().cpu
}

pub(crate) fn run() {
    let processors = physical_processors();
    // More of them than processors, so that they are moved about if they can be.
    let others: [Guest; 3] = core::array::from_fn(|_| spinning(1));
    others.iter().for_each(Guest::start);
    let guest = spinning(1);
    pin(&guest, 1 << (processors - 1));
    guest.start();
    for target in (0..processors).rev() {
        pin(&guest, 1 << target);
        // It is there when its turn has come.
        smp::wait_until("its move", || processor(&guest) == target);
        let before = guest.info().cpu_time;
        for _ in 0..100 {
            sleep_ms(5);
            assert_eq!(processor(&guest), target, "it runs elsewhere");
        }
        assert!(guest.info().cpu_time > before, "it does not run");
    }
    guest.end();
    others.iter().for_each(Guest::end);
}
