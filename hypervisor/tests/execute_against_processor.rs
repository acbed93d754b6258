//! Whole instructions with a memory destination, executed by the emulator and by the processor that runs the test:
//! registers, flags, memory and length must come out the same.
//!
//! Instructions are random bytes that the decoder accepts, with addresses bent to point into a buffer.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

#[path = "../src/test_cases.rs"]
mod test_cases;
#[path = "../src/emulate/test_random.rs"]
mod test_random;

use hypervisor::emulate::alu::ARITHMETIC_FLAGS;
use hypervisor::emulate::decode;
use hypervisor::emulate::insn::{CodeSize, Insn, Modify, Op, Place, Segment, Source};
use hypervisor::emulate::machine::{CodeSegment, DataSegment, ShortFetch};
use hypervisor::emulate::{Exchange, Gpr, GuestContext, Outcome, Stop, Width, execute};
use std::arch::{asm, global_asm};
use test_cases::cases;
use test_random::Random;

const AF: u64 = 1 << 4;
const DF: u64 = 1 << 10;
/// SF, AF, PF and OF.
const BIT_UNDEFINED: u64 = 0x894;

/// What the processor starts with and ends with. RSP is not loaded: the instruction must not use it.
#[repr(C)]
struct Native {
    gprs: [u64; 16],
    rflags: u64,
    code: *const u8,
}

// Register contract of `run_native`: RDI points to a `Native`; all registers and flags are loaded from it, `code` is
// called, all are stored back. Callee-saved registers are kept.
global_asm!(
    ".pushsection .text",
    ".globl paravane_test_run_native",
    ".type paravane_test_run_native, @function",
    "paravane_test_run_native:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "push rdi",
    // Aligned now; the call leaves its return address, and nothing else, below.
    "push qword ptr [rdi + {rflags}]",
    "popfq",
    "mov rax, [rdi + 8 * 0]",
    "mov rcx, [rdi + 8 * 1]",
    "mov rdx, [rdi + 8 * 2]",
    "mov rbx, [rdi + 8 * 3]",
    "mov rbp, [rdi + 8 * 5]",
    "mov rsi, [rdi + 8 * 6]",
    "mov r8, [rdi + 8 * 8]",
    "mov r9, [rdi + 8 * 9]",
    "mov r10, [rdi + 8 * 10]",
    "mov r11, [rdi + 8 * 11]",
    "mov r12, [rdi + 8 * 12]",
    "mov r13, [rdi + 8 * 13]",
    "mov r14, [rdi + 8 * 14]",
    "mov r15, [rdi + 8 * 15]",
    "push qword ptr [rdi + {code}]",
    "mov rdi, [rdi + 8 * 7]",
    "call qword ptr [rsp]",
    // The code's address is where `push rdi` can go.
    "mov [rsp], rdi",
    "mov rdi, [rsp + 8]",
    "pop qword ptr [rdi + 8 * 7]",
    "mov [rdi + 8 * 0], rax",
    "mov [rdi + 8 * 1], rcx",
    "mov [rdi + 8 * 2], rdx",
    "mov [rdi + 8 * 3], rbx",
    "mov [rdi + 8 * 5], rbp",
    "mov [rdi + 8 * 6], rsi",
    "mov [rdi + 8 * 8], r8",
    "mov [rdi + 8 * 9], r9",
    "mov [rdi + 8 * 10], r10",
    "mov [rdi + 8 * 11], r11",
    "mov [rdi + 8 * 12], r12",
    "mov [rdi + 8 * 13], r13",
    "mov [rdi + 8 * 14], r14",
    "mov [rdi + 8 * 15], r15",
    "pushfq",
    "pop qword ptr [rdi + {rflags}]",
    "cld",
    "pop rdi",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
    ".size paravane_test_run_native, . - paravane_test_run_native",
    ".popsection",
    rflags = const std::mem::offset_of!(Native, rflags),
    code = const std::mem::offset_of!(Native, code),
);

unsafe extern "C" {
    /// # Safety
    ///
    /// The code must be one instruction that touches only the test's buffer and no stack, then `RET`.
    fn paravane_test_run_native(native: *mut Native);
}

/// Pages at fixed low addresses, so that 32-bit addresses reach them too.
const CODE: u64 = 0x2000_0000;
const BUFFER: u64 = 0x2001_0000;
const BUFFER_SIZE: usize = 4096;
/// Where operands are: far enough from both ends for every displacement that the test makes.
const TARGET: u64 = BUFFER + 2048;

fn map(address: u64) {
    let result: i64;
    // SAFETY: mmap at an address where neither the program nor its libraries are (MAP_FIXED_NOREPLACE refuses
    // otherwise); the system call clobbers only RCX and R11.
    unsafe {
        asm!(
            "syscall",
            inout("rax") 9i64 => result,
            in("rdi") address,
            in("rsi") 4096,
            in("rdx") 7,
            in("r10") 0x10_0022,
            in("r8") -1i64,
            in("r9") 0,
            out("rcx") _,
            out("r11") _,
        );
    }
    assert_eq!(result, address as i64, "mmap");
}

/// The guest: memory is a copy of the buffer.
struct Guest {
    gprs: [u64; 16],
    rip: u64,
    rflags: u64,
    memory: Vec<u8>,
}

impl Guest {
    fn at(&mut self, address: u64, width: Width) -> Result<&mut [u8], Stop> {
        let start = address.checked_sub(BUFFER).ok_or(Stop::Unhandleable)? as usize;
        self.memory
            .get_mut(start..start + width.bytes() as usize)
            .ok_or(Stop::Unhandleable)
    }
}

impl GuestContext for Guest {
    fn gpr(&self, register: Gpr) -> u64 {
        self.gprs[register.number()]
    }
    fn set_gpr(&mut self, register: Gpr, value: u64) {
        self.gprs[register.number()] = value;
    }
    fn rip(&self) -> u64 {
        self.rip
    }
    fn set_rip(&mut self, rip: u64) {
        self.rip = rip;
    }
    fn rflags(&self) -> u64 {
        self.rflags
    }
    fn set_rflags(&mut self, rflags: u64) {
        self.rflags = rflags;
    }
    fn code_segment(&mut self) -> CodeSegment {
        CodeSegment::Bits64
    }
    fn segment_base(&mut self, _segment: Segment) -> u64 {
        unreachable!("the test makes no overrides")
    }
    fn data_segment(&mut self, _segment: Segment) -> Result<Option<DataSegment>, Stop> {
        Ok(None)
    }
    fn fetch(&mut self, _address: u64, _window: &mut [u8; 16]) -> Result<(), ShortFetch> {
        unreachable!("the test decodes by itself")
    }
    fn read(&mut self, address: u64, width: Width) -> Result<u64, Stop> {
        let mut bytes = [0; 8];
        bytes[..width.bytes() as usize].copy_from_slice(self.at(address, width)?);
        Ok(u64::from_le_bytes(bytes))
    }
    fn write(&mut self, address: u64, width: Width, value: u64) -> Result<(), Stop> {
        let place = self.at(address, width)?;
        place.copy_from_slice(&value.to_le_bytes()[..width.bytes() as usize]);
        Ok(())
    }
    fn probe_write(&mut self, address: u64, width: Width) -> Result<(), Stop> {
        self.at(address, width).map(|_| ())
    }
    fn compare_exchange(
        &mut self,
        address: u64,
        width: Width,
        old: u64,
        new: u64,
    ) -> Result<Exchange, Stop> {
        if self.read(address, width)? != old {
            return Ok(Exchange::Changed);
        }
        self.write(address, width, new)?;
        Ok(Exchange::Written)
    }
}

/// Random bytes that begin an instruction with a memory destination, and the instruction.
fn generate(random: &mut Random) -> Option<([u8; 16], Insn)> {
    const PREFIXES: [u8; 8] = [0x66, 0x67, 0xF0, 0x48, 0x41, 0x44, 0x4F, 0x40];
    const OPCODES: [u8; 37] = [
        0x00, 0x01, 0x08, 0x09, 0x10, 0x11, 0x18, 0x19, 0x20, 0x21, 0x28, 0x29, 0x30, 0x31, 0x80,
        0x81, 0x83, 0x86, 0x87, 0x88, 0x89, 0xC6, 0xC7, 0xF6, 0xF7, 0xFE, 0xFF, 0xA4, 0xA5, 0xAA,
        0xAB, 0x0F, 0x0F, 0x0F, 0x0F, 0x0F, 0x0F,
    ];
    const SECOND: [u8; 10] = [0xA3, 0xAB, 0xB3, 0xBB, 0xBA, 0xB0, 0xB1, 0xC0, 0xC1, 0xC3];
    let mut bytes = random.bytes();
    let mut at = 0;
    for _ in 0..random.next() % 3 {
        bytes[at] = PREFIXES[(random.next() % 8) as usize];
        at += 1;
    }
    bytes[at] = OPCODES[(random.next() % 37) as usize];
    if bytes[at] == 0x0F {
        bytes[at + 1] = SECOND[(random.next() % 10) as usize];
    }
    let insn = decode::decode(&bytes, 16, CodeSize::Bits64).ok()?;
    Some((bytes, insn))
}

/// Sets registers such that `insn` accesses memory around [`TARGET`]; `None` if they can't be.
fn aim(random: &mut Random, insn: &Insn, gprs: &mut [u64; 16]) -> Option<()> {
    if matches!(insn.op, Op::Movs | Op::Stos) {
        gprs[Gpr::Rdi.number()] = TARGET + random.next() % 512;
        gprs[Gpr::Rsi.number()] = TARGET - random.next() % 512;
        return Some(());
    }
    let Place::Memory(place) = insn.place else {
        return None;
    };
    // Absolute and relative addresses would need code near the buffer.
    let base = place.base?;
    if place.segment_override.is_some() || base == Gpr::Rsp || place.index == Some(base) {
        return None;
    }
    // A bit number in a register moves the operand.
    if let (Op::Modify(modify), Source::Gpr(register)) = (insn.op, insn.source)
        && modify.is_bit()
    {
        if base == register {
            return None;
        }
        gprs[register.number()] = (random.next() % 8192).wrapping_sub(4096);
    }
    let mut offset = place.displacement as u64;
    if let Some(index) = place.index {
        // The index may be an operand as well: it keeps its value.
        offset = offset.wrapping_add(gprs[index.number()] << place.scale_shift);
    }
    // A locked access of two cache lines stops all processors of a machine, and machines that are shared slow down for it who
    // does so.
    let is_locked = insn.is_locked || matches!(insn.op, Op::Modify(Modify::Xchg));
    let mut in_line = random.next() % 64;
    if is_locked {
        in_line &= !7;
    }
    gprs[base.number()] = (TARGET + in_line).wrapping_sub(offset);
    if insn.is_address_32 {
        // Bits that must be ignored.
        gprs[base.number()] = gprs[base.number()] & 0xFFFF_FFFF | random.next() << 32;
    }
    Some(())
}

fn uses_stack_pointer(insn: &Insn) -> bool {
    matches!(insn.source, Source::Gpr(Gpr::Rsp))
        || matches!(insn.place, Place::Memory(place) if place.index == Some(Gpr::Rsp))
}

#[test]
fn instructions_do_what_they_do_on_the_processor() {
    map(CODE);
    map(BUFFER);
    let mut random = Random::new(3);
    let mut compared = 0;
    let mut seen = std::collections::BTreeMap::new();
    let total = cases(40_000_u64);
    for _ in 0..total {
        let Some((bytes, insn)) = generate(&mut random) else {
            continue;
        };
        let mut gprs = [0; 16].map(|_: u64| random.edgy());
        if uses_stack_pointer(&insn)
            || insn.is_repeated
            || aim(&mut random, &insn, &mut gprs).is_none()
        {
            continue;
        }
        let mut memory: Vec<u8> = (0..BUFFER_SIZE / 16).flat_map(|_| random.bytes()).collect();
        if insn.op == Op::Modify(Modify::Cmpxchg) && random.one_in(2) {
            // Make the comparison succeed.
            memory.fill(gprs[0] as u8);
            gprs[0] = u64::from_ne_bytes([gprs[0] as u8; 8]);
            if aim(&mut random, &insn, &mut gprs).is_none() {
                continue;
            }
        }
        let mut rflags = 0x202 | (random.next() & ARITHMETIC_FLAGS);
        if random.one_in(4) {
            rflags |= DF;
        }

        let length = usize::from(insn.length);
        let mut code = bytes[..length].to_vec();
        code.push(0xC3);
        let mut native = Native {
            gprs,
            rflags,
            code: CODE as *const u8,
        };
        let mut guest = Guest {
            gprs,
            rip: CODE,
            rflags,
            memory: memory.clone(),
        };
        let outcome = execute::execute_memory(&mut guest, &insn);
        assert_eq!(outcome, Outcome::Done { debug: 0 }, "{insn:?}");
        // SAFETY: both pages are mapped for this test alone; the emulator has just found that the instruction
        // accesses nothing but the buffer, and RSP isn't an operand.
        unsafe {
            std::ptr::copy_nonoverlapping(code.as_ptr(), CODE as *mut u8, code.len());
            std::ptr::copy_nonoverlapping(memory.as_ptr(), BUFFER as *mut u8, BUFFER_SIZE);
            paravane_test_run_native(&mut native);
            std::ptr::copy_nonoverlapping(BUFFER as *const u8, memory.as_mut_ptr(), BUFFER_SIZE);
        }
        native.gprs[Gpr::Rsp.number()] = gprs[Gpr::Rsp.number()];

        let undefined = match insn.op {
            Op::Modify(modify) if modify.is_bit() => BIT_UNDEFINED,
            Op::Modify(Modify::And | Modify::Or | Modify::Xor) => AF,
            _ => 0,
        };
        let what = || format!("{:02x?} {insn:?} {gprs:x?} {rflags:#x}", &bytes[..length]);
        assert_eq!(guest.gprs, native.gprs, "{}", what());
        assert_eq!(
            guest.rflags & !undefined,
            native.rflags & !undefined,
            "{}",
            what()
        );
        assert_eq!(guest.rip, CODE + length as u64, "{}", what());
        assert!(guest.memory == memory, "memory: {}", what());
        compared += 1;
        *seen.entry(format!("{:?}", insn.op)).or_insert(0u64) += 1;
    }
    assert!(compared > total / 8, "{compared} of {total}");
    assert_eq!(seen.len(), 21, "{seen:?}");
}
