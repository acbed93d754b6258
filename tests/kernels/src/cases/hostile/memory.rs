//! Page tables, frames that come and go, descriptors.

use super::arena;
use super::control::other;
use super::dice::Dice;
use crate::hypercall::raw;
use crate::memory::{self, KERNEL_RO, KERNEL_RW, SPARE, TABLE};
use crate::start::start_info;
use guest_abi::hypercall::Hypercall;
use guest_abi::ids::{DomId, Vaddr};
use guest_abi::memory_op::{Exchange, MemFlags, MemoryOp, Reservation};
use guest_abi::mmu::{MmuUpdate, MmuextOp, MmuextOperation};
use zerocopy::FromZeros;

/// Entries of the initial root that tables of the arena are hooked into: those from [`SPARE`] on.
const SPARE_SLOTS: u64 = 4;

fn domain(dice: &mut Dice) -> u64 {
    match dice.below(12) {
        0..9 => u64::from(DomId::SELF.0),
        9 => u64::from(DomId::IO.0),
        10 => {
            // Those that are made and destroyed meanwhile: tables of one, frames of one.
            let (tables, frames) = (u64::from(other(dice).0) + 1, u64::from(other(dice).0));
            match dice.below(4) {
                0 => 0,
                1 => frames,
                2 => tables << 16 | u64::from(DomId::SELF.0),
                _ => tables << 16 | frames,
            }
        }
        _ => dice.pick(&[0x7ff2, 0x7ff3, 0x7ff4, 1, 0x7fff, 0x1_7ff0, 0x7ff1_7ff0]),
    }
}

/// Where a list of `count` elements is put: on this vCPU's stack, or where others change it meanwhile.
fn place_list<T>(dice: &mut Dice, list: &[T; 8], count: usize) -> u64 {
    if dice.hits(3) {
        let at = dice.pointer();
        for (index, element) in list.iter().take(count).enumerate() {
            arena::lay(at.wrapping_add((index * size_of::<T>()) as u64), element);
        }
        at
    } else {
        list.as_ptr() as u64
    }
}

/// What a list of `count` elements is said to be long.
fn said_count(dice: &mut Dice, count: usize) -> u64 {
    match dice.below(40) {
        0 => dice.count() & !(1 << 31) | 1 << 31,
        1 => dice.count(),
        _ => count as u64,
    }
}

pub(super) fn mmu_update(dice: &mut Dice) {
    let root = memory::Frame::at(start_info().pt_base);
    let mut list = [const { MmuUpdate { ptr: 0, val: 0 } }; 8];
    let count = 1 + dice.below(8) as usize;
    for update in list.iter_mut().take(count) {
        let kind = if dice.hits(3) { dice.below(4) } else { 0 };
        *update = if dice.hits(12) {
            let slot = memory::index(SPARE, 4) as u64 + dice.below(SPARE_SLOTS);
            let value = match dice.hits(4) {
                true => 0,
                false => arena::mfn(dice) << 12 | TABLE,
            };
            memory::update(root.word_address(slot as usize), value)
        } else {
            MmuUpdate {
                ptr: dice.word_address() & !3 | kind,
                val: dice.entry(),
            }
        };
    }
    let at = place_list(dice, &list, count);
    // More elements than that lie in memory of this kernel, of which nothing is known.
    let count = match at == list.as_ptr() as u64 {
        true => count as u64,
        false => said_count(dice, count),
    };
    let done = if dice.hits(3) { dice.pointer() } else { 0 };
    let who = domain(dice);
    raw(Hypercall::MmuUpdate.number(), [at, count, done, who, 0]);
}

pub(super) fn update_va_mapping(dice: &mut Dice) {
    let place = arena::place(dice);
    let va = match dice.below(8) {
        0 => SPARE.0 + (dice.below(1 << 20) << 12),
        1 => Vaddr::HYPERVISOR_START.0 + (dice.next() & 0x7ff_ffff_f000),
        _ => arena::va_of(place).0,
    };
    let value = match dice.below(6) {
        0 => 0,
        // The frame that belongs there.
        1 | 2 => arena::mfn_of(place) << 12 | dice.pick(&[KERNEL_RO, KERNEL_RW]),
        _ => dice.entry(),
    };
    let flags = match dice.below(8) {
        0 => dice.next(),
        1 => dice.pointer() & !3 | dice.below(4),
        _ => dice.pick(&[0, 1, 2, 3, 5, 6]),
    };
    if dice.hits(8) {
        let who = domain(dice);
        let number = Hypercall::UpdateVaMappingOtherdomain.number();
        raw(number, [va, value, flags, who, 0]);
    } else {
        raw(
            Hypercall::UpdateVaMapping.number(),
            [va, value, flags, 0, 0],
        );
    }
}

pub(super) fn mmuext(dice: &mut Dice) {
    const OPERATIONS: [MmuextOp; 14] = [
        MmuextOp::PinL1Table,
        MmuextOp::PinL2Table,
        MmuextOp::PinL3Table,
        MmuextOp::PinL4Table,
        MmuextOp::UnpinTable,
        MmuextOp::UnpinTable,
        MmuextOp::NewUserBaseptr,
        MmuextOp::TlbFlushMulti,
        MmuextOp::InvlpgMulti,
        MmuextOp::TlbFlushAll,
        MmuextOp::SetLdt,
        MmuextOp::ClearPage,
        MmuextOp::CopyPage,
        MmuextOp::FlushCache,
    ];
    let mut list: [MmuextOperation; 8] = core::array::from_fn(|_| MmuextOperation::new_zeroed());
    let count = 1 + dice.below(8) as usize;
    for operation in list.iter_mut().take(count) {
        operation.cmd = match dice.below(10) {
            0 if dice.is_wild => dice.below(24) as u32,
            0 => 16 + dice.below(8) as u32,
            _ => dice.pick(&OPERATIONS).number(),
        };
        let is_of_address = [
            MmuextOp::SetLdt.number(),
            MmuextOp::InvlpgMulti.number(),
            MmuextOp::TlbFlushMulti.number(),
        ]
        .contains(&operation.cmd);
        operation.arg1 = match is_of_address {
            true => dice.pointer() & !0xfff,
            false => dice.mfn().0,
        };
        operation.arg2 = match dice.below(4) {
            0 => dice.value(),
            1 => dice.pointer(),
            2 => dice.mfn().0,
            _ => dice.below(9000),
        };
    }
    let at = place_list(dice, &list, count);
    let done = if dice.hits(3) { dice.pointer() } else { 0 };
    let who = domain(dice);
    raw(
        Hypercall::MmuextOp.number(),
        [at, count as u64, done, who, 0],
    );
}

/// A tree of tables that may be sound, or nearly: cleared frames, few entries, made read-only, pinned.
pub(super) fn tree(dice: &mut Dice) {
    let places: [usize; 4] = core::array::from_fn(|_| arena::place(dice));
    let depth = 1 + dice.below(4) as usize;
    for level in (1..=depth).rev() {
        let place = places[level - 1];
        let va = arena::va_of(place);
        let own = arena::mfn_of(place);
        if memory::update_va_mapping(va, own << 12 | KERNEL_RW, 2).is_err() {
            return;
        }
        for slot in 0..512 {
            if !arena::poke(va.0 + slot * 8, 0) {
                return;
            }
        }
        for _ in 0..dice.below(12) {
            let slot = match (level, dice.hits(6)) {
                // Slots of the hypervisor too, what stands there does not count.
                (4, true) => 250 + dice.below(30),
                _ => dice.below(512),
            };
            let value = match level {
                1 => dice.entry(),
                _ if dice.hits(8) => dice.entry(),
                _ => arena::mfn_of(places[level - 2]) << 12 | TABLE,
            };
            arena::poke(va.0 + slot * 8, value);
        }
    }
    for level in 1..=depth {
        let place = places[level - 1];
        let value = arena::mfn_of(place) << 12 | KERNEL_RO;
        let _ = memory::update_va_mapping(arena::va_of(place), value, dice.below(3));
    }
    let mfn = guest_abi::ids::Mfn(arena::mfn_of(places[depth - 1]));
    let level = match dice.hits(8) {
        true => 1 + dice.below(4) as usize,
        false => depth,
    };
    let outcome = memory::pin(level, mfn);
    if outcome.is_ok() && dice.hits(2) {
        let _ = memory::unpin(mfn);
    }
}

/// Stores where tables may be, by instructions that are emulated there.
pub(super) fn store(dice: &mut Dice) {
    let at = match dice.below(4) {
        0 => SPARE.0 + (dice.below(1 << 30) & !7),
        _ => arena::va(dice).0 + dice.below(512) * 8,
    };
    let at = if dice.hits(6) { at + dice.below(8) } else { at };
    let value = dice.entry();
    use crate::trap::probe;
    let _ = match dice.below(9) {
        0 => probe!("xchg [{at}], {value}"; at = in(reg) at, value = inout(reg) value => _),
        1 => {
            probe!("lock cmpxchg [{at}], {value}"; at = in(reg) at, value = in(reg) value, inout("rax") 0u64 => _)
        }
        2 => probe!("lock or [{at}], {value}"; at = in(reg) at, value = in(reg) value),
        3 => {
            probe!("lock btr qword ptr [{at}], {value}"; at = in(reg) at, value = in(reg) value & 63)
        }
        4 => probe!("mov [{at}], {value:e}"; at = in(reg) at, value = in(reg) value),
        5 => probe!("mov [{at}], {value:x}"; at = in(reg) at, value = in(reg) value),
        6 => probe!("lock xadd [{at}], {value}"; at = in(reg) at, value = inout(reg) value => _),
        7 => {
            probe!("rep stosq"; inout("rdi") at & !7 => _, inout("rcx") dice.below(20) => _, in("rax") value)
        }
        _ => probe!("mov [{at}], {value}"; at = in(reg) at, value = in(reg) value),
    };
}

/// Frames go back to the hypervisor, come from it, or are exchanged.
pub(super) fn reservation(dice: &mut Dice) {
    let mut places = [0usize; 4];
    let mut numbers = [0u64; 4];
    let count = 1 + dice.below(4) as usize;
    for (place, number) in places.iter_mut().zip(&mut numbers) {
        *place = arena::place(dice);
        *number = match dice.hits(10) {
            true => dice.mfn().0,
            false => arena::mfn_of(*place),
        };
    }
    let mut given = Reservation::new_zeroed();
    given.extent_start = Vaddr(numbers.as_mut_ptr() as u64);
    given.nr_extents = count as u64;
    given.domid = DomId::SELF;
    match dice.below(24) {
        0 => given.domid = DomId(domain(dice) as u16),
        // The frames behind one to play with may be those that this kernel lives on.
        1 if dice.is_wild => given.extent_order = dice.below(12) as u32,
        1 => given.extent_order = 20 + dice.below(50) as u32,
        2 => given.nr_extents = dice.count(),
        3 => given.extent_start = Vaddr(dice.pointer()),
        4 => given.mem_flags = MemFlags::from_bits_retain(dice.next() as u32),
        _ => {}
    }
    // More frames than there are numbers for would be frames of which nothing is known.
    if given.extent_start.0 == numbers.as_mut_ptr() as u64 {
        given.nr_extents = given.nr_extents.min(4);
    }
    let call = |op: MemoryOp, argument: u64| {
        raw(
            Hypercall::MemoryOp.number(),
            [op.number().into(), argument, 0, 0, 0],
        )
    };
    match dice.below(5) {
        0 | 1 => {
            for place in places.iter().take(count) {
                let _ = memory::update_va_mapping(arena::va_of(*place), 0, dice.below(3));
            }
            call(
                MemoryOp::DecreaseReservation,
                core::ptr::from_ref(&given) as u64,
            );
        }
        2 => {
            if dice.hits(4) {
                given.extent_order = dice.below(4) as u32;
            }
            numbers = core::array::from_fn(|_| 0x10_0000 + dice.below(0x1000));
            let done = call(
                MemoryOp::PopulatePhysmap,
                core::ptr::from_ref(&given) as u64,
            );
            for (place, number) in places.iter().zip(numbers).take(done.min(4) as usize) {
                arena::set_mfn(*place, number);
            }
        }
        3 => {
            let mut exchange = Exchange::new_zeroed();
            let mut new = [0x20_0000u64; 4];
            for place in places.iter().take(count) {
                let _ = memory::update_va_mapping(arena::va_of(*place), 0, 2);
            }
            exchange.wanted = Reservation::new_zeroed();
            exchange.wanted.extent_start = Vaddr(new.as_mut_ptr() as u64);
            exchange.wanted.nr_extents = given.nr_extents;
            exchange.wanted.domid = given.domid;
            exchange.wanted.extent_order = given.extent_order;
            exchange.given = given;
            call(
                MemoryOp::Exchange,
                core::ptr::from_mut(&mut exchange) as u64,
            );
            for index in 0..exchange.nr_exchanged.min(count as u64) as usize {
                arena::set_mfn(places[index], new[index]);
            }
        }
        _ => {
            let op = dice.below(32);
            let argument = dice.pointer();
            raw(
                Hypercall::MemoryOp.number(),
                [op | dice.below(2) << 20, argument, 0, 0, 0],
            );
        }
    }
}

pub(super) fn descriptors(dice: &mut Dice) {
    // Entries of code and data for privilege level 3, and everything that looks like them.
    let descriptor = match dice.below(4) {
        0 => dice.next(),
        1 => 0x00af_fb00_0000_ffff ^ 1 << dice.below(64),
        2 => 0x00cf_f300_0000_ffff ^ 1 << dice.below(64),
        _ => dice.pick(&[0, 0x00cf_fb00_0000_ffff, 0x00cf_f300_0000_ffff]),
    };
    match dice.below(4) {
        0 => {
            let at = dice.word_address();
            raw(
                Hypercall::UpdateDescriptor.number(),
                [at, descriptor, 0, 0, 0],
            );
        }
        1 => {
            let mut frames: [u64; 16] = core::array::from_fn(|_| arena::mfn(dice));
            let at = match dice.hits(4) {
                true => dice.pointer(),
                false => frames.as_mut_ptr() as u64,
            };
            let entries = dice.below(7300);
            raw(Hypercall::SetGdt.number(), [at, entries, 0, 0, 0]);
        }
        2 => {
            let place = arena::place(dice);
            let own = arena::mfn_of(place) << 12;
            let va = arena::va_of(place);
            if memory::update_va_mapping(va, own | KERNEL_RW, 2).is_ok() {
                arena::poke(va.0 + dice.below(512) * 8, descriptor);
            }
            let _ = memory::update_va_mapping(va, own | KERNEL_RO, 2);
            let _ = memory::mmuext_two(MmuextOp::SetLdt, va.0, dice.below(1100));
        }
        _ => super::code::load_selector(dice),
    }
}
