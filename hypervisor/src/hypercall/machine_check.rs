//! Machine-check telemetry, for the domain that owns the hardware. A machine check ends the hypervisor, so there is
//! never a record to fetch; the processors can be asked about.

#![forbid(unsafe_code)]

use super::{Answer, admit, read, write};
use crate::arch::guest::running::Guest;
use crate::arch::processors;
use crate::control::privilege;
use core::mem::{offset_of, size_of};
use guest_abi::errno::Errno;
use guest_abi::mca::{
    Fetch, FetchFlags, INTERFACE_VERSION, LogicalCpu, McOp, McOperation, McResult, PhysCpuInfo,
};
use zerocopy::FromZeros;

pub(super) fn mca(guest: &Guest<'_>, argument: u64) -> Answer {
    admit(guest, privilege::MACHINE_CHECKS)?;
    let operation: McOperation = read(argument)?;
    if operation.interface_version != INTERFACE_VERSION {
        return Err(Errno::EACCES);
    }
    let mut content = operation.u;
    match McOp::try_from(operation.cmd) {
        Ok(McOp::Fetch) => content.write(&nothing_for(content.read())?),
        Ok(McOp::PhysCpuInfo) => content.write(&processors_for(content.read())?),
        Ok(_) => return Err(Errno::ENOSYS),
        Err(_) => return Err(Errno::EINVAL),
    }
    let at = argument.wrapping_add(offset_of!(McOperation, u) as u64);
    write(at, &content).map(|()| 0)
}

/// There is no record, whichever of the two lists of them is asked for.
fn nothing_for(mut wish: Fetch) -> Result<Fetch, Errno> {
    let flags = FetchFlags::from_bits_retain(wish.flags);
    let wants_one = flags.contains(FetchFlags::URGENT) != flags.contains(FetchFlags::NONURGENT);
    // To acknowledge one, nothing is written.
    let has_place = wish.data.0 != 0 || flags.contains(FetchFlags::ACK);
    if !wants_one || !has_place {
        return Err(Errno::EINVAL);
    }
    if !flags.contains(FetchFlags::ACK) {
        (wish.flags, wish.fetch_id) = (McResult::NO_DATA.bits(), 0);
    }
    Ok(wish)
}

/// Describes as many processors as there is room for, and says how many; without a place for them, how many there are.
fn processors_for(mut wish: PhysCpuInfo) -> Result<PhysCpuInfo, Errno> {
    let room = match wish.info.0 {
        0 => u32::MAX,
        _ if wish.ncpus == 0 => return Err(Errno::EINVAL),
        _ => wish.ncpus,
    };
    let mut count = 0;
    for cpu in 0..=processors::highest() {
        let Some(ids) = processors::find(cpu) else {
            continue;
        };
        if count == room {
            break;
        }
        if wish.info.0 != 0 {
            let offset = u64::from(count) * size_of::<LogicalCpu>() as u64;
            let at = wish.info.0.checked_add(offset).ok_or(Errno::EFAULT)?;
            write(at, &describe(cpu, ids.apic))?;
        }
        count += 1;
    }
    wish.ncpus = count;
    Ok(wish)
}

fn describe(cpu: u32, apic_id: u32) -> LogicalCpu {
    let mut described = LogicalCpu::new_zeroed();
    let version = processors::version();
    described.mc_cpunr = cpu;
    described.mc_apicid = apic_id;
    described.mc_clusterid = apic_id >> 4;
    (described.mc_ncores, described.mc_ncores_active) = (1, 1);
    described.mc_nthreads = 1;
    described.mc_family = version.family;
    described.mc_model = version.model;
    described.mc_step = version.stepping;
    for (to, from) in described.mc_vendorid.iter_mut().zip(version.vendor) {
        *to = from;
    }
    described
}
