//! A full decoder as the judge of ours. Shared by the unit tests and the fuzz target.
//!
//! Three questions of every byte string: if we claim it, is it the instruction that the oracle sees, operand by
//! operand? If the oracle sees one of our set, do we claim it? And does a shorter window only ever make us ask for
//! more bytes?

use super::decode::{self, DecodeError, MAX_LENGTH};
use super::insn::{CodeSize, Gpr, Insn, MemoryOperand, Modify, Op, Place, Segment, Source, Width};
use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

/// Where the oracle believes the instruction to be; far from any wrap.
const RIP: u64 = 0x4000_0000;

/// Checks what we make of `bytes`.
pub(crate) fn check(bytes: [u8; 16], size: CodeSize) -> Result<Option<Insn>, String> {
    let bitness = if size == CodeSize::Bits64 { 64 } else { 32 };
    let oracle = Decoder::with_ip(bitness, &bytes[..15], RIP, DecoderOptions::NONE).decode();
    match decode::decode(&bytes, 16, size) {
        Ok(insn) => compare(&insn, &oracle, size).map(|()| Some(insn)),
        Err(_) if !oracle.is_invalid() && must_handle(&bytes, &oracle, size) => {
            Err(format!("not handled: {:?}", oracle.code()))
        }
        Err(_) => Ok(None),
    }
    .map_err(|error| format!("{bytes:02x?} {size:?}: {error}"))
}

/// Checks that fewer bytes make us ask for more, or change nothing.
pub(crate) fn check_truncated(bytes: [u8; 16], size: CodeSize) -> Result<(), String> {
    let full = decode::decode(&bytes, 16, size);
    for available in 0..=15 {
        let mut cut = bytes;
        cut[usize::from(available)..].fill(0);
        let short = decode::decode(&cut, available, size);
        let is_consistent = match (short, full) {
            (Err(DecodeError::Truncated), Ok(insn)) => available < insn.length,
            (Err(DecodeError::Truncated), Err(_)) => available < MAX_LENGTH,
            (short, full) => {
                short == full && short.is_ok_and(|insn| insn.length <= available) == full.is_ok()
            }
        };
        if !is_consistent {
            return Err(format!(
                "{bytes:02x?} {size:?}: {available} bytes: {short:?}, all: {full:?}"
            ));
        }
    }
    Ok(())
}

fn expect<T: PartialEq + core::fmt::Debug>(what: &str, ours: T, oracle: T) -> Result<(), String> {
    if ours == oracle {
        Ok(())
    } else {
        Err(format!("{what}: we say {ours:?}, the oracle {oracle:?}"))
    }
}

fn compare(insn: &Insn, oracle: &Instruction, size: CodeSize) -> Result<(), String> {
    if oracle.is_invalid() {
        return Err(format!("invalid, but we say {insn:?}"));
    }
    expect("length", usize::from(insn.length), oracle.len())?;
    expect("operation", Some(insn.op), op_of(oracle))?;
    expect("lock", insn.is_locked, oracle.has_lock_prefix())?;
    expect("code size", insn.code_size, size)?;
    if is_string(insn.op) {
        return compare_string(insn, oracle);
    }
    match insn.op {
        Op::In => {
            expect(
                "width",
                insn.width,
                gpr_of(oracle.op0_register()).unwrap().1,
            )?;
            return compare_source(insn, oracle, 1);
        }
        Op::Out => {
            expect(
                "width",
                insn.width,
                gpr_of(oracle.op1_register()).unwrap().1,
            )?;
            return compare_source(insn, oracle, 0);
        }
        Op::MovFromCr | Op::MovFromDr => {
            let number = oracle.op1_register().number() as u8;
            expect("number", insn.source, Source::Special(number))?;
            return compare_place(insn, oracle, 0);
        }
        Op::MovToCr | Op::MovToDr => {
            let number = oracle.op0_register().number() as u8;
            expect("number", insn.source, Source::Special(number))?;
            return compare_place(insn, oracle, 1);
        }
        _ => {}
    }
    match oracle.op_count() {
        0 => {
            expect("place", insn.place, Place::None)?;
            expect("source", insn.source, Source::None)
        }
        1 => {
            expect("source", insn.source, Source::None)?;
            compare_place(insn, oracle, 0)
        }
        _ => {
            compare_place(insn, oracle, 0)?;
            compare_source(insn, oracle, 1)
        }
    }
}

fn compare_string(insn: &Insn, oracle: &Instruction) -> Result<(), String> {
    expect(
        "repeat",
        insn.is_repeated,
        oracle.has_rep_prefix() || oracle.has_repne_prefix(),
    )?;
    let mut widths = 0;
    for operand in 0..oracle.op_count() {
        let (register, is_source) = match oracle.op_kind(operand) {
            OpKind::MemorySegESI | OpKind::MemorySegRSI => (Gpr::Rsi, true),
            OpKind::MemoryESEDI | OpKind::MemoryESRDI => (Gpr::Rdi, false),
            _ => continue,
        };
        let is_32 = matches!(
            oracle.op_kind(operand),
            OpKind::MemorySegESI | OpKind::MemoryESEDI
        );
        expect("address size", insn.is_address_32, is_32)?;
        expect(
            "width",
            insn.width.bytes() as usize,
            oracle.memory_size().size(),
        )?;
        widths += 1;
        if is_source {
            let place = MemoryOperand {
                segment_override: override_of(oracle, Segment::Ds, insn.code_size)?,
                base: Some(register),
                is_rip_relative: false,
                index: None,
                scale_shift: 0,
                displacement: 0,
            };
            expect("source", insn.place, Place::Memory(place))?;
        }
    }
    expect("operands", widths > 0, true)
}

fn compare_place(insn: &Insn, oracle: &Instruction, operand: u32) -> Result<(), String> {
    match oracle.op_kind(operand) {
        OpKind::Register => {
            let (source, width) =
                gpr_of(oracle.op_register(operand)).ok_or("not a general-purpose register")?;
            if insn.op != Op::Lmsw {
                expect("width", insn.width, width)?;
            }
            match source {
                Source::Gpr(register) => expect("register", insn.place, Place::Gpr(register)),
                other => Err(format!("register: {other:?}")),
            }
        }
        OpKind::Memory => {
            if insn.op != Op::Invlpg {
                expect(
                    "width",
                    insn.width.bytes() as usize,
                    oracle.memory_size().size(),
                )?;
            }
            expect(
                "memory",
                insn.place,
                Place::Memory(memory_of(oracle, insn)?),
            )
        }
        kind => Err(format!("unexpected operand {kind:?}")),
    }
}

fn compare_source(insn: &Insn, oracle: &Instruction, operand: u32) -> Result<(), String> {
    match oracle.op_kind(operand) {
        OpKind::Register => {
            let (source, width) =
                gpr_of(oracle.op_register(operand)).ok_or("not a general-purpose register")?;
            expect("source", insn.source, source)?;
            if matches!(insn.op, Op::In | Op::Out) {
                Ok(())
            } else {
                expect("source width", insn.width, width)
            }
        }
        _ => match insn.source {
            Source::Immediate(immediate) => {
                let mask = match insn.op {
                    Op::In | Op::Out => 0xFF,
                    Op::Modify(modify) if modify.is_bit() => 0xFF,
                    _ => insn.width.mask(),
                };
                expect(
                    "immediate",
                    immediate as u64 & mask,
                    oracle.immediate(operand) & mask,
                )
            }
            source => Err(format!("source: {source:?}")),
        },
    }
}

/// The override that has an effect. In 64-bit code a CS, DS, ES or SS prefix has none.
fn override_of(
    oracle: &Instruction,
    default: Segment,
    size: CodeSize,
) -> Result<Option<Segment>, String> {
    if oracle.segment_prefix() == Register::None {
        return expect(
            "default segment",
            default,
            segment_of(oracle.memory_segment())?,
        )
        .map(|()| None);
    }
    let segment = segment_of(oracle.segment_prefix())?;
    let has_effect = size == CodeSize::Bits32 || matches!(segment, Segment::Fs | Segment::Gs);
    Ok(has_effect.then_some(segment))
}

fn memory_of(oracle: &Instruction, insn: &Insn) -> Result<MemoryOperand, String> {
    let displacement = oracle.memory_displacement64();
    let relative = displacement.wrapping_sub(oracle.next_ip());
    let (base, is_address_32, displacement) = match oracle.memory_base() {
        Register::RIP => (None, false, relative),
        Register::EIP => (None, true, relative),
        Register::None => {
            let is_32 = match oracle.memory_index() {
                Register::None => oracle.memory_displ_size() == 4,
                index => index.is_gpr32(),
            };
            (None, is_32, displacement)
        }
        base => match gpr_of(base) {
            Some((Source::Gpr(register), width)) if width >= Width::Dword => {
                (Some(register), width == Width::Dword, displacement)
            }
            other => return Err(format!("base {other:?}")),
        },
    };
    expect("address size", insn.is_address_32, is_address_32)?;
    let index = match oracle.memory_index() {
        Register::None => None,
        register => match gpr_of(register) {
            Some((Source::Gpr(register), _)) => Some(register),
            other => return Err(format!("index {other:?}")),
        },
    };
    let default = match base {
        Some(Gpr::Rsp | Gpr::Rbp) => Segment::Ss,
        _ => Segment::Ds,
    };
    Ok(MemoryOperand {
        segment_override: override_of(oracle, default, insn.code_size)?,
        base,
        is_rip_relative: oracle.is_ip_rel_memory_operand(),
        index,
        scale_shift: oracle.memory_index_scale().trailing_zeros() as u8,
        displacement: displacement as i32,
    })
}

fn segment_of(register: Register) -> Result<Segment, String> {
    Ok(match register {
        Register::ES => Segment::Es,
        Register::CS => Segment::Cs,
        Register::SS => Segment::Ss,
        Register::DS => Segment::Ds,
        Register::FS => Segment::Fs,
        Register::GS => Segment::Gs,
        other => return Err(format!("segment {other:?}")),
    })
}

fn gpr_of(register: Register) -> Option<(Source, Width)> {
    if !register.is_gpr() {
        return None;
    }
    if let Some(high) = [Register::AH, Register::CH, Register::DH, Register::BH]
        .iter()
        .position(|high| *high == register)
    {
        return Some((
            Source::HighByte(Gpr::from_low_bits(high as u8)),
            Width::Byte,
        ));
    }
    let gpr = Gpr::from_low_bits(register.full_register().number() as u8);
    let width = Width::ALL
        .into_iter()
        .find(|width| width.bytes() as usize == register.size())?;
    Some((Source::Gpr(gpr), width))
}

fn is_string(op: Op) -> bool {
    matches!(op, Op::Movs | Op::Stos | Op::Ins | Op::Outs)
}

/// The operation that the oracle's instruction is, if it is one of ours.
fn op_of(oracle: &Instruction) -> Option<Op> {
    use Mnemonic as M;
    let to_special = |control, debug| {
        if oracle.op0_register().is_cr() || oracle.op1_register().is_cr() {
            Some(control)
        } else if oracle.op0_register().is_dr() || oracle.op1_register().is_dr() {
            Some(debug)
        } else {
            None
        }
    };
    let system = match oracle.mnemonic() {
        M::Cli => Some(Op::Cli),
        M::Sti => Some(Op::Sti),
        M::In => Some(Op::In),
        M::Out => Some(Op::Out),
        M::Insb | M::Insw | M::Insd => Some(Op::Ins),
        M::Outsb | M::Outsw | M::Outsd => Some(Op::Outs),
        M::Hlt => Some(Op::Hlt),
        M::Clts => Some(Op::Clts),
        M::Rdmsr => Some(Op::Rdmsr),
        M::Wrmsr => Some(Op::Wrmsr),
        M::Cpuid => Some(Op::Cpuid),
        M::Rdtsc => Some(Op::Rdtsc),
        M::Rdtscp => Some(Op::Rdtscp),
        M::Wbinvd => Some(Op::Wbinvd),
        M::Invd => Some(Op::Invd),
        M::Xgetbv => Some(Op::Xgetbv),
        M::Xsetbv => Some(Op::Xsetbv),
        M::Invlpg => Some(Op::Invlpg),
        M::Lmsw => Some(Op::Lmsw),
        M::Smsw => Some(Op::Smsw),
        // The vector instruction has the same name.
        M::Movsd if oracle.code() == Code::Movsd_m32_m32 => Some(Op::Movs),
        M::Movsb | M::Movsw | M::Movsq => Some(Op::Movs),
        M::Stosb | M::Stosw | M::Stosd | M::Stosq => Some(Op::Stos),
        M::Mov
            if oracle.op0_kind() == OpKind::Register && oracle.op1_kind() == OpKind::Register =>
        {
            if oracle.op0_register().is_gpr() {
                to_special(Op::MovFromCr, Op::MovFromDr)
            } else {
                to_special(Op::MovToCr, Op::MovToDr)
            }
        }
        _ => None,
    };
    if system.is_some() || oracle.op_count() == 0 || oracle.op0_kind() != OpKind::Memory {
        return system;
    }
    Some(match oracle.mnemonic() {
        M::Mov if oracle.op1_kind() == OpKind::Register && !oracle.op1_register().is_gpr() => {
            return None;
        }
        M::Mov | M::Movnti => Op::Mov,
        M::Xchg => Op::Modify(Modify::Xchg),
        M::Add => Op::Modify(Modify::Add),
        M::Or => Op::Modify(Modify::Or),
        M::Adc => Op::Modify(Modify::Adc),
        M::Sbb => Op::Modify(Modify::Sbb),
        M::And => Op::Modify(Modify::And),
        M::Sub => Op::Modify(Modify::Sub),
        M::Xor => Op::Modify(Modify::Xor),
        M::Inc => Op::Modify(Modify::Inc),
        M::Dec => Op::Modify(Modify::Dec),
        M::Not => Op::Modify(Modify::Not),
        M::Neg => Op::Modify(Modify::Neg),
        M::Bt => Op::Modify(Modify::BitTest),
        M::Bts => Op::Modify(Modify::BitSet),
        M::Btr => Op::Modify(Modify::BitReset),
        M::Btc => Op::Modify(Modify::BitComplement),
        M::Cmpxchg => Op::Modify(Modify::Cmpxchg),
        M::Xadd => Op::Modify(Modify::Xadd),
        _ => return None,
    })
}

/// Whether we have no excuse for not handling an instruction.
fn must_handle(bytes: &[u8; 16], oracle: &Instruction, size: CodeSize) -> bool {
    let Some(op) = op_of(oracle) else {
        return false;
    };
    let is_prefix = |byte: u8| {
        matches!(
            byte,
            0x26 | 0x2E | 0x36 | 0x3E | 0x64..=0x67 | 0xF0 | 0xF2 | 0xF3
        ) || (size == CodeSize::Bits64 && (0x40..=0x4F).contains(&byte))
    };
    let count = bytes.iter().take_while(|byte| is_prefix(**byte)).count();
    let (prefixes, opcode) = bytes.split_at(count);
    // Rows with mandatory prefixes are left out whole.
    let takes_operand_size = !matches!(op, Op::Invlpg | Op::Xgetbv | Op::Xsetbv | Op::Rdtscp);
    let is_plain = !prefixes
        .iter()
        .any(|byte| matches!(byte, 0xF0 | 0xF2 | 0xF3) || (*byte == 0x66 && !takes_operand_size));
    let is_memory = matches!(op, Op::Mov | Op::Modify(_));
    let has_16_bit_address = size == CodeSize::Bits32 && prefixes.contains(&0x67);
    match opcode {
        _ if has_16_bit_address => false,
        // Addresses without ModRM, and an alias that only 32-bit code has.
        [0xA2 | 0xA3 | 0x82, ..] => false,
        [0x0F, ..] if !is_memory => is_plain,
        // AMD's way to CR8.
        _ if !is_memory => !prefixes.contains(&0xF0),
        _ => true,
    }
}
