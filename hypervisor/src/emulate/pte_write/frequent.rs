//! The encodings that kernels use on live entries, decoded and executed in one go.
//!
//! An allow-list beside the general path, and a third of its cost: 64-bit code; no prefixes but LOCK and REX;
//! `MOV`, `XCHG`, `CMPXCHG`, `BTS` and `BTR` of eight bytes, `AND` and `OR` of a byte with an immediate; an address that is
//! a register, or one with an 8-bit displacement. Such an instruction has at most eight bytes. Anything else, and
//! anything out of the ordinary on the way, is left to the general path with nothing changed; a test drives both.

use super::{EntryIndex, PageTable};
use crate::emulate::alu;
use crate::emulate::insn::{Gpr, Modify, Width};
use crate::emulate::machine::{CodeSegment, Exchange, GuestContext, RFLAGS_RF, Stop};
use guest_abi::ids::PAGE_SHIFT;

const LOCK: u8 = 0xF0;
const REX_W: u8 = 8;
const REX_R: u8 = 4;
const REX_B: u8 = 1;

/// Executes the instruction at RIP on `table`, which is mapped at page number `page`; `None` if it isn't one of
/// these or hasn't gone smoothly.
#[inline(always)]
pub(super) fn execute<C: GuestContext, T: PageTable>(
    cpu: &mut C,
    page: u64,
    table: &mut T,
) -> Option<Result<(), Stop>> {
    let mut window = [0; 16];
    if !matches!(cpu.code_segment(), CodeSegment::Bits64)
        || cpu.fetch(cpu.rip(), &mut window).is_err()
    {
        return None;
    }
    let [a, b, c, d, e, f, g, h, ..] = window;
    let mut rest = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    // Opcode and ModRM.
    let mut length = 2;
    let is_locked = rest as u8 == LOCK;
    if is_locked {
        rest >>= 8;
        length += 1;
    }
    let mut rex = 0;
    if rest as u8 & 0xF0 == 0x40 {
        rex = rest as u8;
        rest >>= 8;
        length += 1;
    }
    let mut opcode = u16::from(rest as u8);
    if opcode == 0x0F {
        rest >>= 8;
        length += 1;
        opcode = 0x0F00 | u16::from(rest as u8);
    }
    let modrm = (rest >> 8) as u8;
    rest >>= 16;

    let mode = modrm >> 6;
    let rm = modrm & 7;
    if mode > 1 || rm == 4 || (mode == 0 && rm == 5) {
        return None;
    }
    let mut address = cpu.gpr(Gpr::from_low_bits(rm | ((rex & REX_B) << 3)));
    if mode == 1 {
        address = address.wrapping_add(rest as i8 as u64);
        rest >>= 8;
        length += 1;
    }
    if address >> PAGE_SHIFT != page {
        return None;
    }
    let index = EntryIndex::at(address);
    let rflags = cpu.rflags();
    let entry = table.entry(index).ok()?;
    let register = Gpr::from_low_bits(((modrm >> 3) & 7) | ((rex & REX_R) << 1));
    let number = (modrm >> 3) & 7;

    if opcode == 0x80 {
        let shift = (address as u32 & 7) * 8;
        let old = (entry >> shift) & 0xFF;
        let byte = rest & 0xFF;
        let (byte, rflags) = match number {
            1 => alu::modify_inline(Modify::Or, Width::Byte, old, byte, 0, rflags),
            4 => alu::modify_inline(Modify::And, Width::Byte, old, byte, 0, rflags),
            _ => return None,
        };
        let new = (entry & !(0xFF << shift)) | (byte << shift);
        return finish(cpu, table, index, entry, new, length + 1, rflags);
    }
    if rex & REX_W == 0 || address & 7 != 0 {
        return None;
    }
    let source = cpu.gpr(register);
    let bit = |modify, bit| alu::modify_inline(modify, Width::Qword, entry, bit, 0, rflags);
    // What goes to a register when all is done.
    let mut returned = None;
    let (new, rflags) = match opcode {
        0x89 if !is_locked => (source, rflags),
        0xC7 if !is_locked && number == 0 => {
            length += 4;
            (rest as i32 as u64, rflags)
        }
        0x87 => {
            returned = Some(register);
            (source, rflags)
        }
        0x0FB1 => {
            let accumulator = cpu.gpr(Gpr::Rax);
            if entry != accumulator {
                returned = Some(Gpr::Rax);
            }
            alu::modify_inline(
                Modify::Cmpxchg,
                Width::Qword,
                entry,
                source,
                accumulator,
                rflags,
            )
        }
        // A number above 63 is a bit of another entry.
        0x0FAB if source < 64 => bit(Modify::BitSet, source),
        0x0FB3 if source < 64 => bit(Modify::BitReset, source),
        0x0FBA if number == 5 || number == 6 => {
            length += 1;
            let modify = if number == 5 {
                Modify::BitSet
            } else {
                Modify::BitReset
            };
            bit(modify, rest & 63)
        }
        _ => return None,
    };
    let result = finish(cpu, table, index, entry, new, length, rflags);
    if let (Some(register), Some(Ok(()))) = (returned, &result) {
        cpu.set_gpr(register, entry);
    }
    result
}

/// Changes the entry, and if that succeeds completes the instruction.
#[inline(always)]
fn finish<C: GuestContext, T: PageTable>(
    cpu: &mut C,
    table: &mut T,
    index: EntryIndex,
    old: u64,
    new: u64,
    length: u64,
    rflags: u64,
) -> Option<Result<(), Stop>> {
    if new != old {
        match table.update(index, old, new) {
            Ok(Exchange::Written) => {}
            Ok(Exchange::Changed) => return None,
            Err(stop) => return Some(Err(stop)),
        }
    }
    cpu.set_rip(cpu.rip().wrapping_add(length));
    cpu.set_rflags(rflags & !RFLAGS_RF);
    Some(Ok(()))
}
