//! What is said of domains and their vCPUs.

use super::super::prelude::*;
use crate::control::{self, FRAMES, Guest, domctl};
use guest_abi::domctl::DomctlOp;
use guest_abi::domctl_domain::{DomainInfo, DomainInfoFlags, SetDomainHandle};
use guest_abi::domctl_vcpu::VcpuState;
use guest_abi::payload::Payload;
use guest_abi::sysctl::{AvailHeap, DomainInfoList, SysctlOp};
use guest_abi::sysctl_cpu::PciTopologyInfo;

// Asks who it is, has the answer put where RSI points to, and spins.
user_code!(
    asks_who_it_is,
    "mov eax, 17", // xen_version
    "mov edi, 8",  // guest_handle
    "syscall",
    "2: pause",
    "jmp 2b",
);

/// Of devices that are not there no node is known, however many are asked about. A hypervisor that has something else to do stops
/// on the way, and says how many it has answered.
fn device_nodes() {
    const COUNT: usize = 70;
    const UNTOUCHED: u32 = 7;
    let devices = [u32::MAX; COUNT];
    let mut nodes = [UNTOUCHED; COUNT + 1];
    let mut nr_told = 0;
    while nr_told < COUNT {
        let list = PciTopologyInfo {
            num_devs: (COUNT - nr_told) as u32,
            devs: Vaddr(devices[nr_told..].as_ptr() as u64),
            nodes: Vaddr(nodes[nr_told..].as_mut_ptr() as u64),
            ..PciTopologyInfo::new_zeroed()
        };
        let mut content = Payload::of(&list);
        let outcome = control::sysctl(SysctlOp::PciTopologyInfo, &mut content);
        assert_eq!(outcome, Ok(0));
        let answered = content.read::<PciTopologyInfo>().num_devs;
        assert!((1..=list.num_devs).contains(&answered), "{answered}");
        nr_told += answered as usize;
    }
    let (told, rest) = core::hint::black_box(&nodes).split_at(COUNT);
    assert!(told.iter().all(|&node| node >= u32::MAX - 1));
    assert_eq!(rest, [UNTOUCHED]);
}

/// Free memory is told by the widths of its addresses, and by the node.
fn free_memory() {
    let free = |min_bitwidth, max_bitwidth, node| {
        let mut content = Payload::of(&AvailHeap {
            min_bitwidth,
            max_bitwidth,
            node,
            ..AvailHeap::new_zeroed()
        });
        assert_eq!(control::sysctl(SysctlOp::AvailHeap, &mut content), Ok(0));
        content.read::<AvailHeap>().avail_bytes
    };
    let all = free(0, 0, -1);
    assert!(all > 0 && all == free(0, 0, 0) && all == free(1, 64, 0));
    assert_eq!(free(0, 0, 5), 0);
    for bits in 20..36 {
        let (below, above) = (free(0, bits, -1), free(bits + 1, 0, -1));
        assert_eq!(below + above, all, "{bits} bits");
    }
    // The machine has less than 4 GiB.
    assert_eq!(
        (free(33, 0, -1), free(70, 0, -1), free(70, 80, -1)),
        (0, 0, 0)
    );
    let low = free(0, 24, -1);
    assert!(low < all && free(25, 24, -1) == 0, "{low} of {all}");
}

pub(crate) fn run() {
    device_nodes();
    free_memory();
    let first = control::info(DomId(0)).expect("no first domain");
    assert_eq!(first.domain, DomId(0));
    assert!(first.flags.contains(DomainInfoFlags::RUNNING));
    assert!(
        !first
            .flags
            .intersects(DomainInfoFlags::PAUSED | DomainInfoFlags::SHUTDOWN)
    );

    let guest = Guest::empty(3);
    let info = guest.info();
    assert_eq!(info.flags.bits() & 0xff, DomainInfoFlags::PAUSED.bits());
    assert_eq!((info.flags.bits() >> 16) & 0xff, 255);
    assert_eq!(
        (info.tot_pages, info.max_pages),
        (FRAMES as u64, FRAMES as u64)
    );
    assert_eq!(
        (info.nr_online_vcpus, info.max_vcpu_id, info.cpu_time),
        (0, 2, 0)
    );
    assert_eq!(info.cpupool, 0);
    let handle = [7; 16];
    let set = control::control(
        DomctlOp::SetDomainHandle,
        guest.id,
        &SetDomainHandle { handle },
    );
    assert_eq!(set, Ok(0));
    assert_eq!(guest.info().handle, handle);

    guest.build(asks_who_it_is());
    assert_eq!(guest.set_context(0, &guest.context(0)), Ok(0));
    assert_eq!(guest.info().nr_online_vcpus, 1);
    guest.start();
    smp::wait_until("the guest", || guest.info().cpu_time != 0);
    guest.wait_for(0, u64::from_ne_bytes([7; 8]));
    guest.wait_for(1, u64::from_ne_bytes([7; 8]));
    assert!(
        !guest
            .info()
            .flags
            .intersects(DomainInfoFlags::PAUSED | DomainInfoFlags::BLOCKED)
    );
    let vcpu = |number| {
        let mut state = VcpuState::new_zeroed();
        state.vcpu = number;
        let mut content = Payload::of(&state);
        let (outcome, _) = domctl(DomctlOp::GetVcpuInfo, guest.id, &mut content);
        outcome.map(|_| content.read::<VcpuState>())
    };
    let state = vcpu(0).expect("no vCPU");
    assert_eq!((state.online, state.blocked), (1, 0));
    assert!(state.cpu_time != 0);
    let state = vcpu(1).expect("no vCPU");
    assert_eq!((state.online, state.running, state.cpu_time), (0, 0, 0));
    assert_eq!(vcpu(3).map(|_| ()), Err(Errno::EINVAL));

    // The list of all, from any number on.
    let mut room = [
        DomainInfo::new_zeroed(),
        DomainInfo::new_zeroed(),
        DomainInfo::new_zeroed(),
    ];
    let mut list = |first: DomId, most: u32| {
        let mut wish = DomainInfoList::new_zeroed();
        wish.first_domain = first;
        wish.max_domains = most;
        wish.buffer = Vaddr(room.as_mut_ptr() as u64);
        let mut content = Payload::of(&wish);
        assert_eq!(
            control::sysctl(SysctlOp::GetDomainInfoList, &mut content),
            Ok(0)
        );
        let count = content.read::<DomainInfoList>().num_domains;
        (count, room[0].domain, room[1].domain)
    };
    assert_eq!(list(DomId(0), 3), (2, DomId(0), guest.id));
    assert_eq!(list(DomId(0), 1).0, 1);
    let (count, only, _) = list(DomId(1), 3);
    assert_eq!((count, only), (1, guest.id));
    assert_eq!(list(DomId(guest.id.0 + 1), 3).0, 0);
    // A description is of the next one where there is none.
    assert_eq!(
        control::info(DomId(1)).map(|info| info.domain),
        Ok(guest.id)
    );
    assert_eq!(
        control::info(DomId(guest.id.0 + 1)).map(|_| ()),
        Err(Errno::ESRCH)
    );
    guest.end();
}
