//! Machine-check telemetry: there is none to fetch, the processors are described, and what makes no sense is refused.

use super::super::prelude::*;
use crate::command_line;
use crate::control::is_reference;
use guest_abi::mca::{
    Fetch, FetchFlags, INTERFACE_VERSION, LogicalCpu, McOp, McOperation, McResult, PhysCpuInfo,
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Calls it with this content, which is replaced by the answer.
fn call<T: FromBytes + IntoBytes + Immutable>(cmd: u32, content: &mut T) -> Result<u64, Errno> {
    let mut operation = McOperation::new_zeroed();
    (operation.cmd, operation.interface_version) = (cmd, INTERFACE_VERSION);
    operation.u.write(content);
    let outcome = hypercall!(Mca, &mut operation);
    *content = operation.u.read();
    outcome
}

pub(crate) fn run() {
    let mut operation = McOperation::new_zeroed();
    operation.cmd = McOp::PhysCpuInfo.number();
    for version in [0, INTERFACE_VERSION - 1, INTERFACE_VERSION + 1] {
        operation.interface_version = version;
        assert_eq!(hypercall!(Mca, &mut operation), Err(Errno::EACCES));
    }
    assert_eq!(hypercall!(Mca, NON_CANONICAL), Err(Errno::EFAULT));
    for unknown in [0, 7, u32::MAX] {
        assert_eq!(call(unknown, &mut [0u64; 18]), Err(Errno::EINVAL));
    }
    if !is_reference() {
        // Not offered; there, mistakes can be planted.
        for op in [
            McOp::NotifyDomain,
            McOp::MsrInject,
            McOp::MceInject,
            McOp::InjectV2,
        ] {
            let outcome = call(op.number(), &mut [0u64; 18]);
            assert_eq!(outcome, Err(Errno::ENOSYS), "{op:?}");
        }
    }
    fetch();
    processors();
}

fn fetch() {
    let mut record = [0u64; 96];
    let mut ask = |flags: FetchFlags, data: Option<u64>| {
        let mut wish = Fetch::new_zeroed();
        (wish.flags, wish.fetch_id) = (flags.bits(), 99);
        wish.data = Vaddr(data.unwrap_or(record.as_mut_ptr() as u64));
        let outcome = call(McOp::Fetch.number(), &mut wish);
        outcome.map(|_| (wish.flags, wish.fetch_id))
    };
    let nothing = Ok((McResult::NO_DATA.bits(), 0));
    for which in [FetchFlags::URGENT, FetchFlags::NONURGENT] {
        assert_eq!(ask(which, None), nothing);
        assert_eq!(ask(which, Some(0)), Err(Errno::EINVAL), "no place for it");
    }
    // None of them, both of them.
    let both = FetchFlags::URGENT | FetchFlags::NONURGENT;
    for flags in [FetchFlags::empty(), FetchFlags::ACK, both] {
        assert_eq!(ask(flags, None), Err(Errno::EINVAL), "{flags:?}");
    }
    assert_eq!(record, [0; 96]);
}

fn processors() {
    let count = command_line::number("processors").expect("the harness says so") as u32;
    let mut list: [LogicalCpu; 4] = core::array::from_fn(|_| {
        let mut cpu = LogicalCpu::new_zeroed();
        cpu.mc_cpunr = 77;
        cpu
    });
    let ask = |ncpus, at: u64| {
        let mut wish = PhysCpuInfo::new_zeroed();
        (wish.ncpus, wish.info) = (ncpus, Vaddr(at));
        call(McOp::PhysCpuInfo.number(), &mut wish).map(|_| wish.ncpus)
    };
    let at = list.as_mut_ptr() as u64;
    assert_eq!(ask(0, 0), Ok(count), "how many there are");
    assert_eq!(ask(0, at), Err(Errno::EINVAL), "no room");
    assert_eq!(ask(4, NON_CANONICAL), Err(Errno::EFAULT));
    // There, all are described where there is room for one, and the hypervisor dies of that.
    if count == 1 || !is_reference() {
        assert_eq!(ask(1, at), Ok(1), "as many as there is room for");
    } else {
        assert_eq!(ask(count, at), Ok(count));
        list[1].mc_cpunr = 77;
    }
    assert_eq!((list[0].mc_cpunr, list[1].mc_cpunr), (0, 77));
    assert_eq!(ask(9, at), Ok(count));
    for (number, cpu) in (0..).zip(&list[..count as usize]) {
        assert_eq!((cpu.mc_cpunr, cpu.mc_apicid), (number, number));
        assert!(cpu.mc_family >= 6, "family {}", cpu.mc_family);
        assert_eq!(cpu.mc_vendorid, list[0].mc_vendorid);
    }
    assert!(list[count as usize..].iter().all(|cpu| cpu.mc_cpunr == 77));
}
