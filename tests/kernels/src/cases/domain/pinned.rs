//! A vCPU that is pinned runs on its processor and nowhere else, though others are idle, and moves when it is pinned to
//! another. One that may run everywhere moves to an idle processor that it is to prefer.

use super::super::prelude::*;
use super::{sleep_ms, spinning};
use crate::control::{Guest, control, domctl, physical_processors};
use core::sync::atomic::{AtomicU64, Ordering};
use guest_abi::bitmap::Bitmap;
use guest_abi::domctl::DomctlOp;
use guest_abi::domctl_vcpu::{AffinityFlags, VcpuAffinity, VcpuState};
use guest_abi::payload::Payload;
use zerocopy::FromZeros;

/// Where its vCPU may run, and where it is to run if it can. What is in effect is told.
fn set_affinity(guest: &Guest, hard: u64, soft: u64) {
    let mut wish = VcpuAffinity::new_zeroed();
    wish.flags = AffinityFlags::HARD | AffinityFlags::SOFT;
    let words = [hard, soft].map(AtomicU64::new);
    let [hard_map, soft_map] = words.each_ref().map(|word| Bitmap {
        bitmap: Vaddr(word.as_ptr() as u64),
        nr_bits: 64,
        ..Bitmap::new_zeroed()
    });
    (wish.cpumap_hard, wish.cpumap_soft) = (hard_map, soft_map);
    assert_eq!(control(DomctlOp::SetVcpuAffinity, guest.id, &wish), Ok(0));
    let in_effect = words.map(|word| word.load(Ordering::Relaxed));
    assert_eq!(in_effect, [hard, hard & soft]);
}

fn pin(guest: &Guest, target: u32) {
    set_affinity(guest, 1 << target, u64::MAX);
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
    pin(&guest, processors - 1);
    guest.start();
    for target in (0..processors).rev() {
        pin(&guest, target);
        // It is there when its turn has come.
        smp::wait_until("its move", || processor(&guest) == target);
        let before = guest.info().cpu_time;
        for _ in 0..100 {
            sleep_ms(5);
            assert_eq!(processor(&guest), target, "it runs elsewhere");
        }
        assert!(guest.info().cpu_time > before, "it does not run");
    }
    others.iter().for_each(Guest::end);
    // This kernel waits for most of the time, so its processor is idle, too.
    let all = (1 << processors) - 1;
    for target in 0..processors {
        set_affinity(&guest, all, 1 << target);
        smp::wait_until("its move to where it is to be", || {
            sleep_ms(1);
            processor(&guest) == target
        });
    }
    guest.end();
}
