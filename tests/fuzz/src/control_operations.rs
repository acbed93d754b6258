//! What the control side decides about arguments of tools: wishes for domains, lists of CPUID leaves, maps of processors,
//! counts of pauses and who may ask at all, against what must hold of each answer.
//!
//! The input's first byte says which; the rest is the argument.

use guest_abi::cpu_policy::CpuidLeaf;
use guest_abi::domctl::DomctlOp;
use guest_abi::domctl_domain::CreateDomain;
use guest_abi::errno::Errno;
use guest_abi::event_channel::NR_PORTS_2L;
use guest_abi::grant_table::{DEFAULT_MAX_FRAMES, DEFAULT_MAX_MAPTRACK_FRAMES};
use guest_abi::platform::PlatformOp;
use guest_abi::sysctl::SysctlOp;
use hypervisor::control::create::{self, MAX_VCPUS};
use hypervisor::control::pauses::{Edge, MAX_PAUSES, PauseError, Pauses};
use hypervisor::control::policy::Mask;
use hypervisor::control::privilege::{self, Offer, Rights, Rule};
use hypervisor::control::{bitmap, policy};
use hypervisor::cpu_policy::cpuid::Leaf;
use hypervisor::sched::CpuId;
use zerocopy::{FromBytes, IntoBytes};

pub fn run(input: &[u8]) {
    let Some((what, argument)) = input.split_first() else {
        return;
    };
    match what % 5 {
        0 => wish(argument),
        1 => leaves(argument),
        2 => map(argument),
        3 => pauses(argument),
        _ => privileges(argument),
    }
}

/// Bytes laid over a wish that tools would make: what a plan allows is within the limits, and no more than was asked for.
fn wish(argument: &[u8]) {
    let mut bytes = [0; size_of::<CreateDomain>()];
    let mut usual = CreateDomain::read_from_bytes(&bytes).expect("any bytes are a wish");
    usual.max_vcpus = 2;
    usual.max_evtchn_port = 1023;
    (usual.max_grant_frames, usual.max_maptrack_frames) = (-1, -1);
    usual.grant_opts = 1;
    for (index, (to, usual)) in bytes.iter_mut().zip(usual.as_bytes()).enumerate() {
        *to = usual ^ argument.get(index).copied().unwrap_or(0);
    }
    let wish = CreateDomain::read_from_bytes(&bytes).expect("any bytes are a wish");
    match create::check(&wish) {
        Ok(plan) => {
            assert!((1..=MAX_VCPUS).contains(&plan.max_vcpus) && plan.max_vcpus == wish.max_vcpus);
            assert!(plan.max_port < NR_PORTS_2L && plan.max_port <= wish.max_evtchn_port);
            let frames = plan.max_grant_frames;
            assert!((1..=DEFAULT_MAX_FRAMES).contains(&frames));
            assert!(wish.max_grant_frames < 0 || frames == wish.max_grant_frames as u32);
            assert!(plan.max_maptrack_frames <= DEFAULT_MAX_MAPTRACK_FRAMES);
            assert_eq!((wish.cpupool_id, wish.vmtrace_size), (create::POOL, 0));
        }
        Err(errno) => {
            assert!([Errno::EINVAL, Errno::EOPNOTSUPP, Errno::ESRCH].contains(&errno));
        }
    }
}

/// Whatever a list says, a domain has no feature that the machine has not, and a refused leaf changes nothing.
fn leaves(argument: &[u8]) {
    let mut mask = Mask::ALL;
    let mut rest = argument;
    while let Ok((entry, behind)) = CpuidLeaf::read_from_prefix(rest) {
        rest = behind;
        let before = mask;
        if mask.add(&entry).is_err() {
            assert_eq!(mask, before);
        }
        let full = Leaf {
            eax: !entry.d,
            ebx: !entry.c,
            ecx: !entry.b,
            edx: !entry.a,
        };
        for subleaf in [0, entry.subleaf] {
            let left = mask.apply(entry.leaf, subleaf, full);
            let added = [
                left.eax & !full.eax,
                left.ebx & !full.ebx,
                left.ecx & !full.ecx,
                left.edx & !full.edx,
            ];
            assert_eq!(added, [0; 4]);
        }
    }
    // The list that tools are given can be set again, however the processor answers, and has no more entries than said.
    let word = |index: usize| argument.get(index * 4..index * 4 + 4).map_or(0, u32_of);
    let answer = |leaf: u32, subleaf: u32| {
        let at = (leaf.wrapping_mul(7).wrapping_add(subleaf) % 16) as usize;
        Leaf {
            eax: word(at),
            ebx: word(at + 1),
            ecx: word(at + 2),
            edx: word(at + 3),
        }
    };
    let mut count = 0;
    policy::for_each(answer, |entry| {
        count += 1;
        assert_eq!(mask.add(&entry), Ok(()), "{entry:?}");
        true
    });
    assert!(count <= policy::MAX_LEAVES);
}

fn u32_of(bytes: &[u8]) -> u32 {
    bytes.try_into().map_or(0, u32::from_le_bytes)
}

/// A map that is read and written again is the same, without what is behind its end.
fn map(argument: &[u8]) {
    let Some((length, bytes)) = argument.split_first_chunk() else {
        return;
    };
    let nr_bits = u32::from(u16::from_le_bytes(*length));
    let set = bitmap::set(bytes, nr_bits);
    for index in 0..bitmap::BYTES + 2 {
        let written = bitmap::byte(&set, index);
        for bit in 0..8 {
            let cpu = index as u32 * 8 + bit;
            let is_there = index < bitmap::BYTES
                && cpu < nr_bits
                && bytes.get(index).is_some_and(|byte| byte >> bit & 1 != 0);
            assert_eq!(written >> bit & 1 != 0, is_there, "processor {cpu}");
            assert_eq!(set.contains(CpuId(cpu)), is_there, "processor {cpu}");
        }
    }
}

/// Pauses are counted as a plain number is.
fn pauses(argument: &[u8]) {
    let (pauses, mut count) = (Pauses::once(), 1);
    for byte in argument {
        for _ in 0..=byte >> 1 {
            let (found, expected) = match byte & 1 {
                0 if count == MAX_PAUSES => (pauses.add(), Err(PauseError::TooMany)),
                0 => (pauses.add(), Ok(count + 1)),
                _ if count == 0 => (pauses.end(), Err(PauseError::NotPaused)),
                _ => (pauses.end(), Ok(count - 1)),
            };
            let edge = expected.map(|next| {
                let was_paused = core::mem::replace(&mut count, next) != 0;
                match was_paused == (next != 0) {
                    true => Edge::None,
                    false => Edge::Changed,
                }
            });
            assert_eq!(found, edge);
            assert_eq!(pauses.any(), count != 0);
        }
    }
}

/// Whoever is neither a controller nor owns the hardware is told nothing but that.
fn privileges(argument: &[u8]) {
    for number in argument.chunks(4).map(u32_of) {
        // Most numbers are small.
        for number in [number, number & 0xff] {
            let domctl = DomctlOp::try_from(number);
            let sysctl = SysctlOp::try_from(number);
            let platform = PlatformOp::try_from(number);
            for rule in [
                domctl.map_or(privilege::UNKNOWN, privilege::domctl),
                sysctl.map_or(privilege::UNKNOWN, privilege::sysctl),
                platform.map_or(privilege::UNKNOWN, privilege::platform),
            ] {
                judge(rule);
            }
        }
    }
}

fn judge(rule: Rule) {
    let admit =
        |is_controller, owns_hardware| rule.admit(Rights::made_up(is_controller, owns_hardware));
    assert_eq!(admit(false, false), Err(Errno::EPERM));
    let most = match rule.offer {
        Offer::Yes => Ok(()),
        Offer::No(errno) => Err(errno),
    };
    assert_eq!(admit(true, true), most);
    for outcome in [admit(true, false), admit(false, true)] {
        assert!(outcome == most || outcome == Err(Errno::EPERM));
    }
}
