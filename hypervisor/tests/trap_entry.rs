//! The ways in for all 256 vectors, as they are assembled: each is entered with the stack as a processor leaves it, by a test that
//! runs in ring 3 as a guest does. Emulators raise only some of the exceptions.

#![cfg(target_arch = "x86_64")]

use hypervisor::registers::{Registers, entry, has_error_code, rflags};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::arch::global_asm;
use std::mem::{offset_of, size_of};
use std::sync::Mutex;

/// A block of stacks, aligned by its size, ends with what is known of its processor: here, of its guest.
const BLOCK: usize = 64 * 1024;
const GUEST_BEFORE_END: usize = 520;
/// Where the exceptions with a stack of their own find it.
const OWN_STACK_BEFORE_END: usize = 32 * 1024;

/// A flat data segment of the kernel's that runs this test, in the place of the hypervisor's.
const FLAT_SS: u16 = 0x2b;
/// A data segment of this test's own, in the place of the null one: the first of an LDT, for ring 3.
const SS_OF_EXCEPTIONS: u16 = 7;

const _: () = {
    assert!(size_of::<Registers>() <= GUEST_BEFORE_END);
    // Where a processor begins to push, which is a multiple of 16.
    assert!((BLOCK - GUEST_BEFORE_END + offset_of!(Registers, es)).is_multiple_of(16));
};

global_asm!(
    include_str!("../src/arch/trap_entry.S"),
    trap_entry = sym trap_entry,
    guest_entry = sym guest_entry,
    prepare_exit = sym prepare_exit,
    FRAME_CS = const offset_of!(Registers, cs),
    FRAME_RFLAGS = const offset_of!(Registers, rflags),
    VM = const rflags::VM,
    FRAME_WORDS = const offset_of!(Registers, es) / 8,
    STACK_BLOCK_MASK = const BLOCK - 1,
    GUEST_BEFORE_LAST = const GUEST_BEFORE_END - 1,
    RETURN_FAULT = const entry::RETURN_FAULT,
    SYSCALL = const entry::SYSCALL,
    SYSCALL32 = const entry::SYSCALL32,
    SYSENTER = const entry::SYSENTER,
    FLAGS_FIXED = const rflags::FIXED,
    HYPERVISOR_SS = const FLAT_SS,
    FLAT_SS = const 0xe02b,
    FLAT_CS32 = const 0xe023,
    FLAT_CS64 = const 0xe033,
    ENTRY_GUEST_RSP = const 0,
    ENTRY_STACK = const 8,
    ENTRY_TARGET = const 16,
);

// raise_exception(&mut Raised): pushes what a processor does, on the stack that is named, and goes to the stub, with a mark in each
// general register. What they are after the return is written where the marks were read.
// In: RDI points to a Raised. All that the calling convention keeps is on the caller's stack meanwhile.
global_asm!(
    ".global raise_exception",
    "raise_exception:",
    ".irp register, rbx, rbp, r12, r13, r14, r15, rdi",
    "push \\register",
    ".endr",
    "mov [rip + raise_caller_rsp], rsp",
    "mov rax, [rdi + {STUB}]",
    "mov [rip + raise_stub], rax",
    "mov r8, rsp",
    "mov rsp, [rdi + {STACK}]",
    "mov eax, ss",
    "push rax",
    "mov ax, word ptr [rdi + {SS}]",
    "mov ss, eax",
    "push r8",
    "push qword ptr [rdi + {RFLAGS}]",
    "push qword ptr [rdi + {CS}]",
    "lea rax, [rip + raise_back]",
    "push rax",
    "cmp qword ptr [rdi + {HAS_ERROR_CODE}], 0",
    "je 2f",
    "push qword ptr [rdi + {ERROR_CODE}]",
    "2:",
    "lea r15, [rdi + {MARKS}]",
    // The order is that of `Registers`.
    "mov rdi, [r15 + 8 * 14]",
    "mov rsi, [r15 + 8 * 13]",
    "mov rdx, [r15 + 8 * 12]",
    "mov rcx, [r15 + 8 * 11]",
    "mov rax, [r15 + 8 * 10]",
    "mov r8, [r15 + 8 * 9]",
    "mov r9, [r15 + 8 * 8]",
    "mov r10, [r15 + 8 * 7]",
    "mov r11, [r15 + 8 * 6]",
    "mov rbx, [r15 + 8 * 5]",
    "mov rbp, [r15 + 8 * 4]",
    "mov r12, [r15 + 8 * 3]",
    "mov r13, [r15 + 8 * 2]",
    "mov r14, [r15 + 8 * 1]",
    "mov r15, [r15]",
    "jmp qword ptr [rip + raise_stub]",
    "raise_back:",
    // RSP is the caller's by the frame.
    "mov [rip + raise_stack], rsp",
    "mov rsp, [rip + raise_caller_rsp]",
    "push rdi",
    "mov rdi, [rsp + 8]",
    "mov [rdi + {MARKS} + 8 * 0], r15",
    "mov [rdi + {MARKS} + 8 * 1], r14",
    "mov [rdi + {MARKS} + 8 * 2], r13",
    "mov [rdi + {MARKS} + 8 * 3], r12",
    "mov [rdi + {MARKS} + 8 * 4], rbp",
    "mov [rdi + {MARKS} + 8 * 5], rbx",
    "mov [rdi + {MARKS} + 8 * 6], r11",
    "mov [rdi + {MARKS} + 8 * 7], r10",
    "mov [rdi + {MARKS} + 8 * 8], r9",
    "mov [rdi + {MARKS} + 8 * 9], r8",
    "mov [rdi + {MARKS} + 8 * 10], rax",
    "mov [rdi + {MARKS} + 8 * 11], rcx",
    "mov [rdi + {MARKS} + 8 * 12], rdx",
    "mov [rdi + {MARKS} + 8 * 13], rsi",
    "pop rax",
    "mov [rdi + {MARKS} + 8 * 14], rax",
    "mov rax, [rip + raise_stack]",
    "sub rax, rsp",
    "mov [rdi + {RSP_OFF}], rax",
    ".irp register, rdi, r15, r14, r13, r12, rbp, rbx",
    "pop \\register",
    ".endr",
    "ret",
    ".pushsection .bss.raise, \"aw\", @nobits",
    ".balign 8",
    "raise_caller_rsp: .skip 8",
    "raise_stack: .skip 8",
    "raise_stub: .skip 8",
    ".popsection",
    STUB = const offset_of!(Raised, stub),
    STACK = const offset_of!(Raised, stack),
    RFLAGS = const offset_of!(Raised, rflags),
    CS = const offset_of!(Raised, cs),
    HAS_ERROR_CODE = const offset_of!(Raised, has_error_code),
    ERROR_CODE = const offset_of!(Raised, error_code),
    SS = const offset_of!(Raised, ss),
    MARKS = const offset_of!(Raised, general),
    RSP_OFF = const offset_of!(Raised, rsp_off),
);

unsafe extern "C" {
    static trap_stubs: u8;
    static raise_back: u8;
    fn raise_exception(raised: &mut Raised);
}

/// An exception, and what is left of it.
#[repr(C)]
#[derive(Debug)]
struct Raised {
    stub: u64,
    /// Where the processor begins to push.
    stack: u64,
    rflags: u64,
    cs: u64,
    has_error_code: u64,
    error_code: u64,
    /// What the processor leaves in SS.
    ss: u64,
    /// The general registers, in the order of `Registers`.
    general: [u64; GENERAL],
    /// By how much RSP is off after the return.
    rsp_off: u64,
}

const GENERAL: usize = offset_of!(Registers, error_code) / 8;

/// Who was called with a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Callee {
    /// For an entry from a guest.
    Guest,
    /// For any other, and for those that may come from anywhere.
    Hypervisor,
    /// On the way to a guest.
    Exit,
}

/// What was called, the frame that was there, where, and SS.
static CALLS: Mutex<Vec<(Callee, Registers, u64, u64)>> = Mutex::new(Vec::new());
/// The stubs' words are for one at a time.
static TURN: Mutex<()> = Mutex::new(());
/// A code segment of the hypervisor's is one of this ring 3 test again before the return.
const CPL: u64 = 3;

fn called(by: Callee, frame: *mut Registers) {
    // SAFETY: the stubs pass the frame, of which the segments at the end are within the block.
    let frame = unsafe { &mut *frame };
    // There is no way back by a frame that is not whole: the test ends here, with this message.
    let back = &raw const raise_back as u64;
    assert_eq!(frame.rip, back, "vector {}: RIP", frame.vector);
    CALLS
        .lock()
        .unwrap()
        .push((by, *frame, core::ptr::from_ref(frame) as u64, selectors().1));
    frame.cs |= CPL;
    frame.rflags &= !rflags::VM;
}

/// Whether SYSRET can express the return: never, as it can't be executed here.
extern "C" fn guest_entry(frame: *mut Registers) -> bool {
    called(Callee::Guest, frame);
    false
}

extern "C" fn trap_entry(frame: *mut Registers) {
    called(Callee::Hypervisor, frame);
}

extern "C" fn prepare_exit(frame: *mut Registers) -> bool {
    called(Callee::Exit, frame);
    false
}

/// From where an exception comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum From {
    Guest,
    /// Virtual-8086 mode, whose selectors have any privilege.
    Guest8086,
    Hypervisor,
}

fn selectors() -> (u64, u64) {
    let (cs, ss): (u64, u64);
    // SAFETY: reads two registers.
    unsafe { std::arch::asm!("mov {:e}, cs", "mov {:e}, ss", out(reg) cs, out(reg) ss) };
    (cs, ss)
}

/// Makes the segment that [`SS_OF_EXCEPTIONS`] names.
fn make_segment() {
    // Entry 0, base 0, all of 4 GiB: a 32-bit data segment that can be written, its limit in pages.
    let descriptor: [u32; 4] = [0, 0, 0xf_ffff, 1 | 1 << 4];
    const MODIFY_LDT: u64 = 154;
    let result: i64;
    // SAFETY: reads the descriptor. RCX and R11 are what the instruction changes.
    unsafe {
        std::arch::asm!(
            "syscall",
            inout("rax") MODIFY_LDT => result,
            in("rdi") 1,
            in("rsi") &descriptor,
            in("rdx") size_of_val(&descriptor),
            out("rcx") _,
            out("r11") _,
        );
    }
    // It returns an int.
    assert_eq!(
        result as i32, 0,
        "modify_ldt, for a segment that stands for the null one"
    );
}

/// Raises `vector`; it comes with an error code if `pushes` says so.
fn raise(vector: u32, pushes: bool, from: From) {
    let _turn = TURN.lock();
    let has_own_stack = matches!(vector, 1 | 2 | 8 | 18);
    let layout = Layout::from_size_align(BLOCK, BLOCK).unwrap();
    // SAFETY: not of size 0.
    let block = unsafe { alloc_zeroed(layout) } as u64;
    let guest = block + (BLOCK - GUEST_BEFORE_END) as u64;
    let stack = match has_own_stack {
        true => block + (BLOCK - OWN_STACK_BEFORE_END) as u64,
        // Behind what is pushed come the segments.
        false => guest + offset_of!(Registers, es) as u64,
    };
    let (cs, ss) = selectors();
    let flags = rflags::FIXED | rflags::INTERRUPT | rflags::CARRY;
    let error_code = 0xabcd;
    let marks: [u64; GENERAL] = std::array::from_fn(|index| 0x1111_0000 + index as u64);
    let mut raised = Raised {
        // SAFETY: within the table, of which only the address is taken.
        stub: unsafe { (&raw const trap_stubs).add(16 * vector as usize) } as u64,
        stack,
        rflags: match from {
            From::Guest8086 => flags | rflags::VM,
            _ => flags,
        },
        cs: match from {
            From::Guest => cs,
            _ => cs & !CPL,
        },
        has_error_code: pushes.into(),
        error_code,
        ss: match from {
            From::Hypervisor => ss,
            _ => u64::from(SS_OF_EXCEPTIONS),
        },
        general: marks,
        rsp_off: 77,
    };
    CALLS.lock().unwrap().clear();
    // SAFETY: the stack is the block's, which the stubs don't leave; they come back.
    unsafe { raise_exception(&mut raised) };
    // SAFETY: allocated above, and nothing is on it any more.
    unsafe { dealloc(block as *mut u8, layout) };
    let about = format!("vector {vector}, {from:?}");
    assert_eq!(raised.general, marks, "{about}: registers afterwards");
    assert_eq!(raised.rsp_off, 0, "{about}: RSP afterwards");

    let calls = CALLS.lock().unwrap();
    let found: Vec<Callee> = calls.iter().map(|(callee, ..)| *callee).collect();
    let wanted: &[Callee] = match (from, vector) {
        (From::Hypervisor, _) => &[Callee::Hypervisor],
        // They may have come in the middle of another entry, and touch nothing of the guest before the way out.
        (_, 2 | 8 | 18) => &[Callee::Hypervisor, Callee::Exit],
        _ => &[Callee::Guest],
    };
    assert_eq!(found, wanted, "{about}");
    for (callee, frame, at, ss_then) in calls.iter() {
        let general: [u64; GENERAL] = [
            frame.r15, frame.r14, frame.r13, frame.r12, frame.rbp, frame.rbx, frame.r11, frame.r10,
            frame.r9, frame.r8, frame.rax, frame.rcx, frame.rdx, frame.rsi, frame.rdi,
        ];
        assert_eq!(general, marks, "{about}");
        let wanted = if pushes { error_code as u32 } else { 0 };
        assert_eq!(
            (frame.vector, frame.error_code),
            (vector, wanted),
            "{about}"
        );
        assert_eq!(frame.rip, &raw const raise_back as u64, "{about}: RIP");
        assert_eq!(frame.ss, ss, "{about}: SS");
        if *callee != Callee::Exit {
            assert_eq!(
                (frame.cs, frame.rflags),
                (raised.cs, raised.rflags),
                "{about}"
            );
        }
        // Those that come from anywhere leave SS as it is, up to the way out to a guest.
        if *callee != Callee::Hypervisor {
            assert_eq!(*ss_then, u64::from(FLAT_SS), "{about}: SS meanwhile");
        }
        let is_at_guest = *at == guest;
        let belongs_there = !has_own_stack || matches!(callee, Callee::Guest | Callee::Exit);
        assert_eq!(is_at_guest, belongs_there, "{about}: frame at {at:#x}");
    }
}

/// What the architecture says of the exceptions: #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP, #VC, #SX. (Of those that are reserved,
/// none has an error code.)
const ERROR_CODES: [bool; 32] = {
    let mut list = [false; 32];
    let with = [8, 10, 11, 12, 13, 14, 17, 21, 29, 30];
    let mut at = 0;
    while at < with.len() {
        list[with[at]] = true;
        at += 1;
    }
    list
};

#[test]
fn each_vector_is_entered_with_the_frame_that_a_processor_pushes() {
    make_segment();
    for vector in 0..256 {
        let pushes = ERROR_CODES.get(vector as usize) == Some(&true);
        raise(vector, pushes, From::Guest);
        raise(vector, pushes, From::Guest8086);
        // Those that may come from anywhere look again at where they came from, when they return: the frame that this test can
        // return by is a guest's. Emulators raise them in the hypervisor.
        if !matches!(vector, 2 | 8 | 18) {
            raise(vector, pushes, From::Hypervisor);
        }
    }
}

#[test]
fn guests_get_an_error_code_where_the_processor_pushes_one() {
    for vector in 0..256 {
        let pushes = ERROR_CODES.get(vector as usize) == Some(&true);
        assert_eq!(has_error_code(vector), pushes, "vector {vector}");
    }
}
