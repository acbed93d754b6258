//! Instructions: privileged ones in the kernel, anything at all in user mode, and returns to nowhere.

use super::dice::Dice;
use crate::hypercall::raw;
use crate::memory;
use crate::trap::{self, probe, rflags};
use crate::user::{self, UserSpace};
use crate::{clock, cpu, event};
use guest_abi::hypercall::Hypercall;
use guest_abi::mmu::MmuextOp;
use guest_abi::physdev::PhysdevOp;
use guest_abi::segment::{FLAT_RING3_CS32, FLAT_RING3_CS64, FLAT_RING3_SS};

/// Model-specific registers that exist, or that guests are told of.
const MSRS: [u32; 16] = [
    0x10,
    0x1b,
    0x3a,
    0x48,
    0x8b,
    0x174,
    0x277,
    0x179,
    0x1a0,
    0x1d9,
    0x802,
    0x830,
    0xc000_0080,
    0xc000_0081,
    0xc000_0082,
    0xc000_0102,
];

/// Ports that can be read without harm, and written.
const PORTS: [u16; 10] = [0x20, 0x40, 0x43, 0x61, 0x70, 0x71, 0x80, 0xa1, 0xcf8, 0xcfc];

/// Segment selectors: of the tables that this kernel has set, of those that the hypervisor has.
fn selector(dice: &mut Dice) -> u16 {
    match dice.below(4) {
        0 => dice.next() as u16,
        // The local table.
        1 => (dice.below(1100) << 3) as u16 | 7,
        2 => 0xe000 | (dice.below(64) << 3) as u16 | dice.below(4) as u16,
        _ => dice.pick(&[0, 3, FLAT_RING3_SS, FLAT_RING3_CS32, 0x2b, 0x33]),
    }
}

pub(super) fn load_selector(dice: &mut Dice) {
    let selector = selector(dice);
    let _ = match dice.below(5) {
        0 => probe!("mov ds, {a:x}"; a = in(reg) selector),
        1 => probe!("mov es, {a:x}"; a = in(reg) selector),
        2 => probe!("mov fs, {a:x}"; a = in(reg) selector),
        3 => probe!("lar {a:e}, {a:e}"; a = inout(reg) u32::from(selector) => _),
        _ => probe!("verw {a:x}"; a = in(reg) selector),
    };
}

pub(super) fn floating_point() {
    let _ = probe!("movq xmm0, {a}", "addsd xmm0, xmm0"; a = in(reg) 1u64, out("xmm0") _);
}

/// One privileged instruction, or one that is nearly.
pub(super) fn privileged(dice: &mut Dice) {
    let value = dice.value();
    let msr = match dice.hits(3) {
        true => dice.next() as u32 & 0xc000_1fff,
        false => dice.pick(&MSRS),
    };
    // The base by which this kernel finds its data.
    let msr = if msr == 0xc000_0101 { 0x10 } else { msr };
    let port = dice.pick(&PORTS);
    // Without the time this kernel would not know when to end.
    let cr4_bit = (1u64 << dice.below(24)) & !(1 << 2);
    let descriptor = [value, dice.next()];
    let at = descriptor.as_ptr();
    let _ = match dice.below(34) {
        0..2 => probe!("rdmsr"; in("ecx") msr, out("eax") _, out("edx") _),
        2..4 => {
            probe!("wrmsr"; in("ecx") msr, in("eax") value as u32, in("edx") (value >> 32) as u32)
        }
        4 => probe!("mov cr0, {a}"; a = in(reg) 0x8005_003b_u64 ^ 1 << dice.below(32)),
        5 => probe!("mov {a}, cr0", "mov cr0, {a}"; a = out(reg) _),
        6 => probe!("mov cr2, {a}"; a = in(reg) value),
        7 => probe!("mov {a}, cr3"; a = out(reg) _),
        8 => {
            probe!("mov {a}, cr4", "xor {a}, {b}", "mov cr4, {a}"; a = out(reg) _, b = in(reg) cr4_bit)
        }
        9 => probe!("mov dr0, {a}"; a = in(reg) value),
        10 => probe!("mov dr7, {a}"; a = in(reg) value),
        11 => {
            probe!("xsetbv"; in("ecx") dice.below(2) as u32, in("eax") value as u32 | 1, in("edx") (value >> 40) as u32)
        }
        12 => probe!("in al, dx"; in("dx") port, out("al") _),
        13 => probe!("in eax, dx"; in("dx") port, out("eax") _),
        14 => {
            probe!("rep insb"; in("dx") port, inout("rdi") dice.pointer() => _, inout("rcx") dice.below(40) => _)
        }
        15 => {
            probe!("rep outsw"; in("dx") 0x80u16, inout("rsi") dice.pointer() => _, inout("rcx") dice.below(40) => _)
        }
        16 => probe!("lgdt [{a}]"; a = in(reg) at),
        17 => probe!("lidt [{a}]"; a = in(reg) at),
        18 => probe!("lldt {a:x}"; a = in(reg) value),
        19 => probe!("ltr {a:x}"; a = in(reg) value),
        20 => probe!("invlpg [{a}]"; a = in(reg) value),
        21 => probe!("swapgs"),
        22 => probe!("clts"),
        23 => probe!("hlt"),
        24 => probe!("cli", "sti"),
        25 => probe!("wbinvd"),
        26 => probe!("rdpmc"; in("ecx") value as u32, out("eax") _, out("edx") _),
        27 => probe!("vmcall"; inout("rax") value => _),
        28 => probe!("ud2", ".ascii \"xen\"", "rdtscp"; out("eax") _, out("ecx") _, out("edx") _),
        29 => probe!("int 0x80"),
        30 => probe!("int 0xf3"),
        31 if dice.is_wild => probe!("call fword ptr [{a}]"; a = in(reg) at),
        32 => probe!("sysretq"; inout("rcx") value => _, out("r11") _),
        _ => probe!("sysexit"; in("rcx") value, in("rdx") dice.pointer()),
    };
}

/// What a stay in user mode needs: 3 milliseconds at the most, then an event ends it.
fn visit(registers: &trap::Frame) {
    // No permission bitmap, for the same reason.
    let none = [0u64; 2];
    let number = Hypercall::PhysdevOp.number();
    raw(
        number,
        [
            PhysdevOp::SetIobitmap.number().into(),
            none.as_ptr() as u64,
            0,
            0,
            0,
        ],
    );
    clock::set_timer(clock::now_ns() + 3 * clock::MS);
    event::unmask_upcalls();
    user::enter(registers);
    event::unmask_upcalls();
}

/// Bytes of chance, executed in user mode.
pub(super) fn random_code(dice: &mut Dice, space: &UserSpace) {
    for index in 0..16 {
        space.data.write(index, dice.next());
    }
    if dice.hits(3) {
        // SYSCALL, SYSENTER, INT 80h or UD2 and "xen" first.
        let first: u64 = dice.pick(&[0x050f, 0x340f, 0x80cd, 0x00a2_0f6e_6578_0b0f]);
        space.data.write(0, first);
    }
    space.load();
    let registers = trap::Frame {
        rip: user::DATA.0 + dice.below(64) * (1 - dice.below(2)),
        cs: u64::from(dice.pick(&[FLAT_RING3_CS64, FLAT_RING3_CS64, FLAT_RING3_CS32])),
        rflags: rflags::ALWAYS
            | rflags::IF
            | dice.next() & (rflags::TF | rflags::AC | rflags::DF | rflags::NT),
        rsp: user::STACK_END.0 - 256,
        ss: u64::from(FLAT_RING3_SS),
        rax: dice.value(),
        rbx: dice.value(),
        rcx: dice.value(),
        rdx: dice.value(),
        rsi: user::DATA.0,
        rdi: user::DATA.0 + 2048,
        r11: dice.value(),
        ..trap::Frame::default()
    };
    visit(&registers);
}

/// A return to wherever chance says.
pub(super) fn odd_return(dice: &mut Dice, space: &UserSpace) {
    if dice.hits(8) {
        // Into a root that may be none.
        let root = dice.mfn();
        let outcome = memory::mmuext_one(MmuextOp::NewUserBaseptr, root);
        if outcome.is_err() || root.0 == 0 {
            space.load();
        }
    } else {
        space.load();
    }
    let registers = trap::Frame {
        rip: match dice.below(3) {
            0 => user::DATA.0 + dice.below(4096),
            1 => dice.pointer(),
            _ => dice.next(),
        },
        cs: u64::from(selector(dice)) | 3,
        // Not the privilege for ports, by which the machine could be ended.
        rflags: (rflags::IF | dice.next()) & !rflags::IOPL,
        rsp: dice.value(),
        ss: u64::from(selector(dice)),
        ..trap::Frame::default()
    };
    visit(&registers);
}

/// The `iret` hypercall within this kernel, with everything odd but the stack.
pub(super) fn kernel_iret(dice: &mut Dice) {
    let mut frame = [0u64; 9];
    // 32-bit code would cut the stack's address in halves, and the next exception would find none.
    let code = u64::from(match dice.below(12) {
        0 if dice.is_wild => selector(dice),
        1 => FLAT_RING3_SS,
        2 => 0,
        3 => 0x1000,
        _ => FLAT_RING3_CS64,
    }) & !3;
    frame[3] = match dice.below(3) {
        0 => 0,
        1 => 0x100,
        _ => dice.next(),
    };
    frame[4] = dice.bad_address();
    frame[5] = code;
    frame[6] = rflags::IF | dice.next() & (rflags::CF | rflags::RF | rflags::AC);
    frame[8] = u64::from(selector(dice));
    let at = frame.as_mut_ptr();
    event::unmask_upcalls();
    let _ = probe!(
        "mov [{at} + 56], rsp",
        "mov rsp, {at}",
        "mov eax, {iret}",
        "syscall",
        "ud2";
        at = in(reg) at,
        iret = const Hypercall::Iret.number(),
        out("rax") _, out("rcx") _, out("r11") _, out("rdi") _, out("rsi") _, out("rdx") _, out("r8") _,
        out("r9") _, out("r10") _,
    );
    event::unmask_upcalls();
}

/// Whether an entry has interrupted code that the case runs on purpose.
pub(super) fn is_visit(trap: &trap::Trap) -> bool {
    let is_waited_for = cpu::this().user_caller_rsp.get() != 0;
    // A software interrupt may have come to a handler of chance, and its exception is the second entry.
    is_waited_for && !trap.frame.is_in_kernel_code()
}
