//! A vCPU can begin in user mode: with the page tables that its context names for that, its registers and segment bases, and
//! the kernel's stack for the first entry.

use super::super::prelude::*;
use crate::cpu;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use guest_abi::segment::{FLAT_RING3_CS64, FLAT_RING3_SS};
use guest_abi::vcpu_context::ContextFlags;
use guest_abi::vcpu_op::VcpuOp;

const OTHER: VcpuId = VcpuId(1);
/// Registers that tell that they have come through.
const RBX: u64 = 0x1122_3344_5566_7788;
const R15: u64 = 0x8877_6655_4433_2211;
/// Where user mode's FS and GS bases point, and what is there.
const FS_BASE: u64 = user::DATA.0 + 0x100;
const GS_BASE: u64 = user::DATA.0 + 0x200;
const FS_WORD: u64 = 0x1234;
const GS_WORD: u64 = 0x5678;

user_code!(
    user_begins,
    "mov rdi, fs:[0]",
    "mov rsi, gs:[0]",
    "syscall",
    // Back from the kernel.
    "mov qword ptr [rbp], 1",
    "syscall",
);

/// Entries by SYSCALL; 0 if something about one was not as it should be.
static ENTRIES: AtomicU64 = AtomicU64::new(0);
static ENTRY: [AtomicU64; 9] = [const { AtomicU64::new(0) }; 9];

fn entry(trap: &mut trap::Trap) {
    if ENTRIES.load(SeqCst) == 0 {
        let frame = &trap.frame;
        let found = [
            frame.cs & 0xffff,
            frame.ss,
            frame.rsp,
            frame.rbx,
            frame.r15,
            frame.rdi,
            frame.rsi,
            cpu::id().0.into(),
            trap.handler_rsp,
        ];
        for (place, value) in ENTRY.iter().zip(found) {
            place.store(value, SeqCst);
        }
        ENTRIES.store(1, SeqCst);
        return;
    }
    ENTRIES.store(2, SeqCst);
    loop {
        let _ = smp::operate_plain(VcpuOp::Down, OTHER);
    }
}

pub(crate) fn run() {
    smp::need(2);
    // Loaded here as well: the other vCPU has them from its context.
    let space = user::load_new();
    for (base, word) in [(FS_BASE, FS_WORD), (GS_BASE, GS_WORD)] {
        space.data.write((base - user::DATA.0) as usize / 8, word);
    }
    trap::set_handler(trap::SYSCALL, entry);

    let mut context = smp::context(OTHER);
    context.flags.remove(ContextFlags::IN_KERNEL);
    context.ctrlreg[1] = space.tables.l4.mfn().address();
    (context.fs_base, context.gs_base_user) = (FS_BASE, GS_BASE);
    let start = user::registers(user_begins());
    let registers = &mut context.user_regs;
    (registers.rip, registers.rsp) = (start.rip, start.rsp);
    (registers.rbx, registers.r15, registers.rbp) = (RBX, R15, user::DATA.0);
    assert_eq!(smp::operate(VcpuOp::Initialise, OTHER, &context), Ok(0));
    assert_eq!(smp::operate_plain(VcpuOp::Up, OTHER), Ok(0));
    smp::wait_until("the entry from user mode", || ENTRIES.load(SeqCst) == 2);

    let found = ENTRY.each_ref().map(|word| word.load(SeqCst));
    let expected = [
        FLAT_RING3_CS64.into(),
        FLAT_RING3_SS.into(),
        user::STACK_END.0,
        RBX,
        R15,
        FS_WORD,
        GS_WORD,
        OTHER.0.into(),
        // RCX, R11 and five words of the frame are pushed.
        cpu::entry_stack_end(OTHER) - 7 * 8,
    ];
    assert_eq!(found, expected);
    assert_eq!(space.data.read(0), 1, "it did not go on in user mode");
    smp::wait_until("its end", || {
        smp::operate_plain(VcpuOp::IsUp, OTHER) == Ok(0)
    });
    // What it runs on is in use.
    let root = space.tables.l4.mfn();
    assert_eq!(memory::unpin(root), Ok(0));
    assert_eq!(
        memory::mmuext_one(guest_abi::mmu::MmuextOp::NewUserBaseptr, Mfn(0)),
        Ok(0)
    );
    let writable = memory::entry(root, memory::KERNEL_RW);
    let outcome = memory::update_va_mapping(space.tables.l4.va(), writable, 2);
    assert_eq!(outcome, Err(Errno::EBUSY));
}
