//! The decoder against a full one, exhaustively where opcodes are concerned and at random otherwise.

use super::decode::{self, DecodeError};
use super::insn::{CodeSize, Op};
use super::oracle;
use super::test_random::Random;
use crate::test_cases::{cases, factor};
use iced_x86::code_asm::*;
use std::collections::HashSet;

const SIZES: [CodeSize; 2] = [CodeSize::Bits64, CodeSize::Bits32];

/// Everything after the opcode that isn't enumerated: an immediate or displacement with all bytes different and
/// some of them negative.
const TAIL: [u8; 12] = [
    0x81, 0x12, 0xF3, 0xC4, 0x25, 0x96, 0x67, 0x78, 0x89, 0x9A, 0xAB, 0xBC,
];

fn check(bytes: &[u8], size: CodeSize) -> Option<Op> {
    let mut window = [0; 16];
    for (byte, value) in window.iter_mut().zip(bytes.iter().chain(&TAIL)) {
        *byte = *value;
    }
    oracle::check(window, size)
        .unwrap_or_else(|error| panic!("{error}"))
        .map(|insn| insn.op)
}

#[test]
fn agrees_on_every_opcode_with_every_modrm() {
    // All SIB bytes only when asked for time.
    let all: Vec<u8> = (0..=255).collect();
    let some = [0x25, 0x64, 0x9D];
    let sibs: &[u8] = if factor() > 1 { &all } else { &some };
    let prefixes: &[&[u8]] = &[
        &[],
        &[0x66],
        &[0x67],
        &[0xF0],
        &[0xF2],
        &[0xF3],
        &[0x48],
        &[0x4F],
        &[0x65, 0x44],
        &[0xF0, 0x42],
        &[0x36, 0x66, 0x41],
        &[0x48, 0x66],
    ];
    let mut seen = HashSet::new();
    for size in SIZES {
        for prefix in prefixes {
            for opcode in 0..512u16 {
                let mut bytes = prefix.to_vec();
                if opcode >= 256 {
                    bytes.push(0x0F);
                }
                bytes.push(opcode as u8);
                for modrm in 0..=255u8 {
                    bytes.push(modrm);
                    let has_sib = modrm & 7 == 4 && modrm < 0xC0;
                    for sib in if has_sib { sibs } else { &[0x25] } {
                        bytes.push(*sib);
                        if let Some(op) = check(&bytes, size) {
                            seen.insert(format!("{op:?}"));
                        }
                        bytes.pop();
                    }
                    bytes.pop();
                }
            }
        }
    }
    // 21 with a memory destination (7 arithmetic, 4 on bits, 2 strings among them), 24 system ones.
    assert_eq!(seen.len(), 45, "{seen:?}");
}

#[test]
fn agrees_on_random_bytes() {
    let mut random = Random::new(1);
    let opcodes: &[&[u8]] = &[
        &[0x89],
        &[0x88],
        &[0xC7],
        &[0xC6],
        &[0x87],
        &[0x86],
        &[0x81],
        &[0x83],
        &[0x80],
        &[0x21],
        &[0x09],
        &[0xF7],
        &[0xFF],
        &[0x0F, 0xBA],
        &[0x0F, 0xB3],
        &[0x0F, 0xB1],
        &[0x0F, 0xC1],
        &[0x0F, 0xC3],
        &[0x0F, 0x01],
        &[0x0F, 0x22],
        &[0x0F, 0x21],
        &[0x6E],
        &[0xA5],
        &[0xE5],
    ];
    let prefixes = [
        0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x40, 0x48, 0x4D, 0x43,
        0x5F,
    ];
    let mut handled = 0u32;
    let total = cases(40_000_u64);
    for case in 0..total {
        let mut bytes = random.bytes();
        if case % 4 != 0 {
            // Mostly something with a chance: a few prefixes, then an opcode of the set.
            let mut at =
                (random.next() % 16).saturating_sub(if case % 64 == 1 { 0 } else { 11 }) as usize;
            for byte in &mut bytes[..at] {
                *byte = prefixes[(random.next() % 16) as usize];
            }
            for byte in opcodes[(random.next() % opcodes.len() as u64) as usize] {
                if let Some(place) = bytes.get_mut(at) {
                    *place = *byte;
                }
                at += 1;
            }
        }
        let size = SIZES[(random.next() % 2) as usize];
        oracle::check_truncated(bytes, size).unwrap_or_else(|error| panic!("{error}"));
        match oracle::check(bytes, size) {
            Ok(insn) => handled += u32::from(insn.is_some()),
            Err(error) => panic!("{error}"),
        }
    }
    assert!(
        u64::from(handled) > total / 8,
        "the generator makes too few instructions: {handled}"
    );
}

#[test]
fn refuses_what_is_too_long() {
    let mut bytes = [0x2E; 16];
    bytes[14] = 0xFA;
    assert_eq!(check(&bytes, CodeSize::Bits64), Some(Op::Cli));
    bytes[14] = 0x2E;
    bytes[15] = 0xFA;
    assert_eq!(check(&bytes, CodeSize::Bits64), None);
    // Sixteen bytes of a good instruction: CS prefixes, then MOV with immediate and displacement.
    let mut asm = CodeAssembler::new(64).unwrap();
    asm.mov(qword_ptr(rax + 0x1234_5678), 7).unwrap();
    let mov = asm.assemble(0).unwrap();
    let mut bytes = [0x2E; 16];
    bytes[16 - mov.len()..].copy_from_slice(&mov);
    assert_eq!(
        decode::decode(&bytes, 16, CodeSize::Bits64),
        Err(DecodeError::NotHandled)
    );
    bytes.rotate_left(1);
    assert!(decode::decode(&bytes, 16, CodeSize::Bits64).is_ok());
}

#[test]
fn refuses_wide_compare_exchange() {
    let mut asm = CodeAssembler::new(64).unwrap();
    asm.lock().cmpxchg8b(qword_ptr(rdi)).unwrap();
    asm.lock().cmpxchg16b(xmmword_ptr(rdi)).unwrap();
    for insn in asm.instructions() {
        let mut one = CodeAssembler::new(64).unwrap();
        one.add_instruction(*insn).unwrap();
        assert_eq!(check(&one.assemble(0).unwrap(), CodeSize::Bits64), None);
    }
}
