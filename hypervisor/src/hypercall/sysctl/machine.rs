//! What the machine is.

#![forbid(unsafe_code)]

use super::{Answer, Done};
use crate::arch::{clock, memory, processors};
use crate::domain::Domains;
use crate::hypercall::policy_list::{self, Source};
use crate::hypercall::write;
use core::mem::size_of;
use guest_abi::errno::Errno;
use guest_abi::ids::{DomId, PAGE_SIZE, Vaddr};
use guest_abi::sysctl::{AvailHeap, PhysCapabilities, PhysInfo, Sysctl};
use guest_abi::sysctl_cpu::{
    CpuFeatureset, CpuIdleTime, CpuIdleTimes, CpuLevellingCaps, CpuPolicy, CpuPolicyIndex,
    CpuTopology, CpuTopologyInfo, FeaturesetIndex, INVALID_CORE, INVALID_SOCKET, LevellingCaps,
    NodeMemory, NumaInfo, PciTopologyInfo,
};
use zerocopy::FromZeros;

/// The words of features that tools know: leaf, sub-leaf, register.
const FEATURES: [(u32, u32, usize); 17] = [
    (1, 0, 3),
    (1, 0, 2),
    (0x8000_0001, 0, 3),
    (0x8000_0001, 0, 2),
    (0xD, 1, 0),
    (7, 0, 1),
    (7, 0, 2),
    (0x8000_0007, 0, 3),
    (0x8000_0008, 0, 1),
    (7, 0, 3),
    (7, 1, 0),
    (0x8000_0021, 0, 0),
    (7, 1, 1),
    (7, 2, 3),
    (7, 1, 2),
    (7, 1, 3),
    (0x8000_0021, 0, 2),
];

fn feature_word(source: &Source<'_>, index: usize) -> u32 {
    let Some(&(leaf, subleaf, register)) = FEATURES.get(index) else {
        return 0;
    };
    let is_there = match leaf {
        0..0x8000_0000 => source.leaf(0, 0).eax >= leaf,
        _ => source.leaf(0x8000_0000, 0).eax >= leaf,
    } && (leaf != 7 || source.leaf(7, 0).eax >= subleaf);
    if !is_there {
        return 0;
    }
    let answer = source.leaf(leaf, subleaf);
    let registers = [answer.eax, answer.ebx, answer.ecx, answer.edx];
    registers.get(register).copied().unwrap_or(0)
}

fn element<T>(list: Vaddr, index: u32) -> Result<u64, Errno> {
    list.0
        .checked_add(u64::from(index) * size_of::<T>() as u64)
        .ok_or(Errno::EFAULT)
}

pub(super) fn describe(wish: &mut Sysctl) -> Answer {
    let mut info = PhysInfo::new_zeroed();
    let place = processors::topology();
    info.threads_per_core = place.threads_per_core;
    info.cores_per_socket = place.cores_per_socket;
    info.nr_cpus = processors::count();
    info.max_cpu_id = processors::highest();
    info.nr_nodes = 1;
    info.cpu_khz = clock::tsc_khz() as u32;
    info.capabilities = PhysCapabilities::PV | PhysCapabilities::GNTTAB_V1;
    info.total_pages = memory::frames_of_machine();
    info.free_pages = memory::free_frames();
    info.outstanding_pages = memory::claimed_frames();
    info.max_mfn = memory::frames_end().0 - 1;
    for (index, word) in info.hw_cap.iter_mut().enumerate() {
        *word = feature_word(&Source::Host, index);
    }
    wish.u.write(&info);
    Ok(Done::WithAnswer)
}

pub(super) fn idle_times(wish: &mut Sysctl) -> Answer {
    let mut list: CpuIdleTimes = wish.u.read();
    let count = list.max_cpus.min(processors::highest() + 1);
    for cpu in 0..count {
        let time = CpuIdleTime {
            idletime: processors::idle_ns(cpu),
        };
        write(element::<CpuIdleTime>(list.info, cpu)?, &time)?;
    }
    list.nr_cpus = count;
    wish.u.write(&list);
    Ok(Done::WithAnswer)
}

pub(super) fn free_memory(wish: &mut Sysctl) -> Answer {
    let mut heap: AvailHeap = wish.u.read();
    let is_node = heap.node == -1 || heap.node == 0;
    let most = match heap.max_bitwidth {
        0 => u32::MAX,
        bits => bits,
    };
    heap.avail_bytes = if is_node {
        memory::free_frames_of_width(heap.min_bitwidth, most) * PAGE_SIZE as u64
    } else {
        0
    };
    wish.u.write(&heap);
    Ok(Done::WithAnswer)
}

pub(super) fn topology(wish: &mut Sysctl) -> Answer {
    let mut list: CpuTopologyInfo = wish.u.read();
    let count = processors::highest() + 1;
    if list.cputopo.0 == 0 {
        list.num_cpus = count;
        wish.u.write(&list);
        return Ok(Done::WithAnswer);
    }
    let written = list.num_cpus.min(count);
    for cpu in 0..written {
        let mut place = CpuTopology::new_zeroed();
        match processors::place(cpu) {
            Some((core, socket)) => (place.core, place.socket) = (core, socket),
            None => {
                (place.core, place.socket) = (INVALID_CORE, INVALID_SOCKET);
                place.node = u32::MAX;
            }
        }
        write(element::<CpuTopology>(list.cputopo, cpu)?, &place)?;
    }
    list.num_cpus = written;
    wish.u.write(&list);
    Ok(Done::WithAnswer)
}

/// All memory and all processors are one node.
pub(super) fn nodes(wish: &mut Sysctl) -> Answer {
    /// The distance of a node to itself (ACPI, SLIT).
    const LOCAL: u32 = 10;
    let mut list: NumaInfo = wish.u.read();
    let is_count_only = list.meminfo.0 == 0 && list.distance.0 == 0;
    let count = if is_count_only {
        1
    } else {
        list.num_nodes.min(1)
    };
    if count != 0 && list.meminfo.0 != 0 {
        let memory = NodeMemory {
            memsize: memory::frames_of_machine() * PAGE_SIZE as u64,
            memfree: memory::free_frames() * PAGE_SIZE as u64,
        };
        write(list.meminfo.0, &memory)?;
    }
    if count != 0 && list.distance.0 != 0 {
        write(list.distance.0, &LOCAL)?;
    }
    list.num_nodes = count;
    wish.u.write(&list);
    Ok(Done::WithAnswer)
}

/// Where devices are: nobody says.
pub(super) fn device_nodes(wish: &mut Sysctl) -> Answer {
    /// A device of which nothing is known.
    const UNKNOWN: u32 = u32::MAX;
    /// More than a segment of buses can have.
    const MOST: u32 = 1 << 16;
    /// Answers that are written at a time.
    const PIECE: u32 = 64;
    let list: PciTopologyInfo = wish.u.read();
    if list.devs.0 == 0 || list.nodes.0 == 0 || list.num_devs > MOST {
        return Err(Errno::EINVAL);
    }
    let pieces = list.num_devs / PIECE;
    for index in 0..pieces {
        write(
            element::<[u32; PIECE as usize]>(list.nodes, index)?,
            &[UNKNOWN; PIECE as usize],
        )?;
    }
    for index in pieces * PIECE..list.num_devs {
        write(element::<u32>(list.nodes, index)?, &UNKNOWN)?;
    }
    Ok(Done::WithAnswer)
}

/// Nothing of CPUID can be hidden from programs that ask the processor itself.
pub(super) fn levelling(wish: &mut Sysctl) -> Answer {
    wish.u.write(&CpuLevellingCaps {
        caps: LevellingCaps::empty(),
    });
    Ok(Done::WithAnswer)
}

fn guests() -> Result<Source<'static>, Errno> {
    let first = Domains.find(DomId::DOM0).ok_or(Errno::ESRCH)?;
    Ok(Source::Guests(*first.policy()))
}

pub(super) fn features(wish: &mut Sysctl) -> Answer {
    let mut set: CpuFeatureset = wish.u.read();
    let count = FEATURES.len() as u32;
    if set.features.0 == 0 {
        set.nr_features = count;
        wish.u.write(&set);
        return Ok(Done::WithAnswer);
    }
    let source = match FeaturesetIndex::try_from(set.index) {
        Ok(FeaturesetIndex::Raw | FeaturesetIndex::Host) => Source::Host,
        Ok(FeaturesetIndex::Pv | FeaturesetIndex::PvMax) => guests()?,
        Ok(FeaturesetIndex::Hvm | FeaturesetIndex::HvmMax) => return Err(Errno::EOPNOTSUPP),
        Err(_) => return Err(Errno::EINVAL),
    };
    let written = set.nr_features.min(count);
    for index in 0..written {
        let word = feature_word(&source, index as usize);
        write(element::<u32>(set.features, index)?, &word)?;
    }
    let has_all = set.nr_features >= count;
    set.nr_features = written;
    wish.u.write(&set);
    if has_all {
        Ok(Done::WithAnswer)
    } else {
        Err(Errno::ENOBUFS)
    }
}

pub(super) fn policy(wish: &mut Sysctl) -> Answer {
    let mut lists: CpuPolicy = wish.u.read();
    let source = match CpuPolicyIndex::try_from(lists.index) {
        Ok(CpuPolicyIndex::Raw | CpuPolicyIndex::Host) => Source::Host,
        Ok(CpuPolicyIndex::PvMax | CpuPolicyIndex::PvDefault) => guests()?,
        Ok(CpuPolicyIndex::HvmMax | CpuPolicyIndex::HvmDefault) => return Err(Errno::EOPNOTSUPP),
        Err(_) => return Err(Errno::EINVAL),
    };
    if lists.reserved != 0 {
        return Err(Errno::EINVAL);
    }
    policy_list::write(&source, lists.leaves, &mut lists.nr_leaves)?;
    policy_list::write_msrs(&source, lists.msrs, &mut lists.nr_msrs)?;
    wish.u.write(&lists);
    Ok(Done::WithAnswer)
}
