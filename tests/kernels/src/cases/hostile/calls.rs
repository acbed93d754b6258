//! Every other hypercall.

use super::arena;
use super::dice::Dice;
use crate::control::is_reference;
use crate::hypercall::raw;
use crate::{clock, cpu, event, smp};
use guest_abi::grant_op::GrantTableOp;
use guest_abi::hypercall::Hypercall;
use guest_abi::ids::VcpuId;
use guest_abi::multicall::MulticallEntry;
use guest_abi::platform::{INTERFACE_VERSION, PlatformOp};
use guest_abi::sched_op::SchedOp;
use guest_abi::vcpu_op::VcpuOp;
use zerocopy::FromZeros;

/// Lays words of chance at an address; the address.
fn words(dice: &mut Dice, count: u64) -> u64 {
    let at = dice.pointer();
    for index in 0..count {
        let value = dice.value();
        if !arena::poke(at.wrapping_add(8 * index), value) {
            break;
        }
    }
    at
}

/// Words with two numbers in each, as most arguments of events have them.
fn halves(dice: &mut Dice, count: u64) -> u64 {
    let at = dice.pointer();
    for index in 0..count {
        let value = port(dice) << 32 | port(dice);
        if !arena::poke(at.wrapping_add(8 * index), value) {
            break;
        }
    }
    at
}

/// Ports that this kernel needs are the first ones.
fn port(dice: &mut Dice) -> u64 {
    match dice.below(8) {
        0 => dice.next() >> 32,
        1 => 4080 + dice.below(40),
        2 => 0x7ff0 + dice.below(4),
        _ if dice.is_wild => dice.below(64),
        _ => super::PORTS_KEPT + dice.below(40),
    }
}

pub(super) fn events(dice: &mut Dice) {
    let op = match dice.below(16) {
        0 => dice.next() & 0xffff,
        // What takes all ports away is for later.
        _ => match dice.below(14) {
            // So are the ports in arrays, to which the reference would change over.
            10..13 if !dice.is_wild => 6,
            op => op,
        },
    };
    let at = halves(dice, 3);
    raw(Hypercall::EventChannelOp.number(), [op, at, 0, 0, 0]);
}

pub(super) fn vcpus(dice: &mut Dice) {
    let vcpu = match dice.below(10) {
        // The first one keeps the time. The reference looks at the lower half alone.
        0 => match dice.value() {
            value if value as u32 == 0 => 1,
            value => value,
        },
        _ => 1 + dice.below(u64::from(smp::nr_vcpus().max(2)) - 1),
    };
    let op = match dice.below(16) {
        0..4 => VcpuOp::Up,
        4 => VcpuOp::Down,
        5 => VcpuOp::Initialise,
        6..8 => VcpuOp::RegisterRunstateMemoryArea,
        8..10 => VcpuOp::RegisterVcpuTimeMemoryArea,
        10 => VcpuOp::RegisterVcpuInfo,
        11 => VcpuOp::SendNmi,
        12 => VcpuOp::SetPeriodicTimer,
        13 => VcpuOp::StopPeriodicTimer,
        14 => VcpuOp::GetRunstateInfo,
        _ => VcpuOp::GetPhysid,
    };
    let at = match op {
        VcpuOp::RegisterRunstateMemoryArea | VcpuOp::RegisterVcpuTimeMemoryArea => {
            let area = dice.pointer();
            let at = dice.pointer();
            arena::poke(at, area);
            at
        }
        VcpuOp::SetPeriodicTimer => {
            let at = dice.pointer();
            arena::poke(at, 1_000_000 << dice.below(8));
            at
        }
        VcpuOp::Initialise => dice.pointer(),
        _ => words(dice, 2),
    };
    raw(
        Hypercall::VcpuOp.number(),
        [op.number().into(), vcpu, at, 0, 0],
    );
    if dice.hits(4) {
        // Whoever was taken down by chance comes back.
        for vcpu in 1..smp::nr_vcpus() {
            let _ = smp::operate_plain(VcpuOp::Up, VcpuId(vcpu));
        }
    }
}

pub(super) fn schedule(dice: &mut Dice) {
    let number = Hypercall::SchedOp.number();
    match dice.below(8) {
        0..3 => {
            raw(number, [SchedOp::Yield.number().into(), 0, 0, 0, 0]);
        }
        3 | 4 => {
            // Where nobody changes it: a poll without an end would be one.
            let end = clock::now_ns() + dice.below(2_000_000);
            let poll = [dice.pointer(), dice.below(200), end];
            raw(
                number,
                [SchedOp::Poll.number().into(), poll.as_ptr() as u64, 0, 0, 0],
            );
        }
        5 if cpu::id() != VcpuId(0) => {
            // Nothing would wake it, were the timer's event taken before it blocks.
            event::mask_upcalls();
            clock::set_timer(clock::now_ns() + dice.below(3_000_000));
            raw(number, [SchedOp::Block.number().into(), 0, 0, 0, 0]);
        }
        6 => {
            // Any domain but its own.
            let wish = [dice.value() | 1];
            let number_of = SchedOp::RemoteShutdown.number().into();
            raw(number, [number_of, wish.as_ptr() as u64, 0, 0, 0]);
        }
        _ => {
            let timeout = match dice.hits(4) {
                true => dice.next(),
                false => clock::now_ns() + dice.below(2_000_000),
            };
            raw(Hypercall::SetTimerOp.number(), [timeout, 0, 0, 0, 0]);
        }
    }
}

pub(super) fn grants(dice: &mut Dice) {
    let op = match dice.below(12) {
        0..3 => GrantTableOp::MapGrantRef.number(),
        3..5 => GrantTableOp::UnmapGrantRef.number(),
        5 => GrantTableOp::UnmapAndReplace.number(),
        6..8 => GrantTableOp::Copy.number(),
        8 => GrantTableOp::SetupTable.number(),
        _ => dice.below(16) as u32,
    };
    let count = 1 + dice.below(6);
    let at = dice.pointer();
    let mut address = at;
    for _ in 0..count {
        let element: [u64; 5] = match GrantTableOp::try_from(op) {
            // host address or entry; flags and reference; domain; handle.
            Ok(GrantTableOp::MapGrantRef) => {
                let place = match dice.hits(3) {
                    true => dice.word_address(),
                    false => arena::va(dice).0,
                };
                [place, dice.below(64) | dice.below(40) << 32, 0, 0, 0]
            }
            Ok(GrantTableOp::UnmapGrantRef | GrantTableOp::UnmapAndReplace) => {
                let place = match dice.hits(3) {
                    true => dice.word_address(),
                    false => arena::va(dice).0,
                };
                let other = match dice.hits(2) {
                    true => 0,
                    false => dice.pointer(),
                };
                [place, other, dice.below(64), 0, 0]
            }
            Ok(GrantTableOp::Copy) => {
                let mut side = |_| match dice.hits(2) {
                    true => [dice.below(40), dice.below(0x1000) << 16],
                    false => [dice.mfn().0, 0x7ff0 | dice.below(0x1000) << 16],
                };
                let ([a, b], [c, d]) = (side(0), side(1));
                [a, b, c, d, dice.below(0x1100) | dice.below(4) << 16]
            }
            Ok(GrantTableOp::SetupTable) => [0x7ff0 | dice.below(5) << 32, 0, dice.pointer(), 0, 0],
            _ => core::array::from_fn(|_| dice.value()),
        };
        let size = match GrantTableOp::try_from(op) {
            Ok(GrantTableOp::MapGrantRef) => 4,
            Ok(GrantTableOp::Copy) => 5,
            _ => 3,
        };
        for word in element.iter().take(size) {
            arena::poke(address, *word);
            address = address.wrapping_add(8);
        }
    }
    let said = match dice.hits(16) {
        true => dice.count(),
        false => count,
    };
    raw(
        Hypercall::GrantTableOp.number(),
        [op.into(), at, said, 0, 0],
    );
}

/// The state of this vCPU, as far as this kernel can live with any.
pub(super) fn state(dice: &mut Dice) {
    match dice.below(11) {
        0 => {
            let register = dice.below(10);
            let value = match dice.hits(2) {
                true => dice.value(),
                false => dice.pointer(),
            };
            raw(Hypercall::SetDebugreg.number(), [register, value, 0, 0, 0]);
        }
        1 => {
            raw(
                Hypercall::FpuTaskswitch.number(),
                [dice.below(3), 0, 0, 0, 0],
            );
            super::code::floating_point();
        }
        2 => {
            let base = dice.pick(&[0, 1]);
            let value = dice.value();
            raw(Hypercall::SetSegmentBase.number(), [base, value, 0, 0, 0]);
        }
        3 => {
            let value = dice.value();
            raw(
                Hypercall::StackSwitch.number(),
                [dice.below(0x1_0000), value, 0, 0, 0],
            );
        }
        4 => {
            // Vectors that nothing uses.
            let vector = 0x90 + dice.below(0x60);
            let mut list = [[0u64; 2]; 2];
            // To be executed there would be the end of this kernel.
            let handler = match dice.is_wild {
                true => dice.value(),
                false => dice.bad_address(),
            };
            list[0] = [vector | dice.below(8) << 8 | 0xe033 << 16, handler];
            raw(
                Hypercall::SetTrapTable.number(),
                [list.as_ptr() as u64, 0, 0, 0, 0],
            );
        }
        5 => {
            // The permission bitmap and the privilege for ports.
            let at = dice.pointer();
            let area = dice.pointer();
            arena::poke(at, area);
            arena::poke(at.wrapping_add(8), dice.below(0x1_2000));
            raw(
                Hypercall::PhysdevOp.number(),
                [dice.pick(&[6, 7]), at, 0, 0, 0],
            );
        }
        6 => {
            raw(
                Hypercall::VmAssist.number(),
                [dice.below(3), dice.below(7), 0, 0, 0],
            );
        }
        7 => {
            let op = dice.below(12);
            let at = dice.pointer();
            raw(Hypercall::Version.number(), [op, at, 0, 0, 0]);
        }
        8 => platform(dice),
        9 => console(dice),
        _ => {
            let at = words(dice, 3);
            let op = dice.pick(&[6, 7, 12, 24, 28]);
            raw(Hypercall::PhysdevOp.number(), [op, at, 0, 0, 0]);
        }
    }
}

/// Anything about the platform but its end.
fn platform(dice: &mut Dice) {
    // There, it may add memory and take processors away, which is right.
    if is_reference() {
        return;
    }
    let op = match dice.hits(8) {
        true => dice.next() as u32,
        false => 16 + dice.below(50) as u32,
    };
    let version = match dice.hits(16) {
        true => dice.next() as u32,
        false => INTERFACE_VERSION,
    };
    let head = u64::from(op) | u64::from(version) << 32;
    if op == PlatformOp::EnterAcpiSleep.number() {
        // Others can't write here: any state but off.
        let mut content = [0; 17];
        content[0] = head;
        content[1] = dice.next() & !(7 << 32) | dice.below(5) << 32;
        let at = content.as_ptr() as u64;
        raw(Hypercall::PlatformOp.number(), [at, 0, 0, 0, 0]);
        return;
    }
    let at = words(dice, 1 + 16);
    arena::poke(at, head);
    raw(Hypercall::PlatformOp.number(), [at, 0, 0, 0, 0]);
}

/// Short texts of chance, and long ones that are not there.
fn console(dice: &mut Dice) {
    // Whoever reads the console has to find the verdict: in lines of their own, and few of them.
    if !dice.hits(16) {
        return;
    }
    let mut text: [u8; 24] = core::array::from_fn(|_| b' ' + dice.below(95) as u8);
    text[23] = b'\n';
    let number = Hypercall::ConsoleIo.number();
    match dice.below(4) {
        0 => raw(number, [0, 24, text.as_ptr() as u64, 0, 0]),
        1 => raw(number, [0, dice.count(), dice.bad_address(), 0, 0]),
        2 => raw(number, [1, dice.count(), dice.pointer(), 0, 0]),
        _ => raw(number, [2 + dice.below(1 << 33), 24, dice.pointer(), 0, 0]),
    };
}

/// Hypercalls with which this kernel would end the domain or itself.
const SPARED: [Hypercall; 14] = [
    Hypercall::Multicall,
    Hypercall::SetTrapTable,
    Hypercall::SetCallbacks,
    Hypercall::SchedOpCompat,
    Hypercall::PlatformOp,
    Hypercall::ConsoleIo,
    Hypercall::Iret,
    Hypercall::SchedOp,
    Hypercall::CallbackOp,
    Hypercall::SetSegmentBase,
    Hypercall::EventChannelOp,
    Hypercall::VcpuOp,
    Hypercall::NmiOp,
    Hypercall::PhysdevOp,
];

/// Any number with any arguments.
pub(super) fn any(dice: &mut Dice) {
    let (number, arguments) = chosen(dice);
    raw(number, arguments);
}

fn chosen(dice: &mut Dice) -> (u64, [u64; 5]) {
    let number = match dice.hits(20) {
        true => dice.next(),
        false => dice.below(60),
    };
    let is_spared = Hypercall::try_from(number).is_ok_and(|call| SPARED.contains(&call));
    // Nothing is gained by ending the machine or by filling the console: these two are called with more care. And the
    // reference dies of a page fault, or restarts the machine, by what it is told to boot next.
    let is_never = [Hypercall::ConsoleIo, Hypercall::PlatformOp]
        .iter()
        .any(|call| call.number() == number)
        || Hypercall::KexecOp.number() == number && is_reference();
    let number = match is_never || is_spared && !dice.is_wild {
        true => Hypercall::Version.number(),
        false => number,
    };
    (number, core::array::from_fn(|_| dice.value()))
}

/// A list of them, in memory that others may change meanwhile.
pub(super) fn multicall(dice: &mut Dice) {
    let count = 1 + dice.below(6);
    let mut list: [MulticallEntry; 8] = core::array::from_fn(|_| MulticallEntry::new_zeroed());
    for entry in list.iter_mut().take(count as usize) {
        let (op, args) = chosen(dice);
        entry.op = op;
        for (to, from) in entry.args.iter_mut().zip(args) {
            *to = from;
        }
    }
    // What others make of it is not for a kernel that wants to live.
    let at = match dice.is_wild && dice.hits(2) {
        true => {
            let at = dice.pointer();
            for (index, entry) in (0u64..).zip(&list) {
                arena::lay(
                    at.wrapping_add(index * size_of::<MulticallEntry>() as u64),
                    entry,
                );
            }
            at
        }
        false => list.as_ptr() as u64,
    };
    let said = match dice.is_wild && dice.hits(8) {
        true => dice.count(),
        false => count,
    };
    raw(Hypercall::Multicall.number(), [at, said, 0, 0, 0]);
}
