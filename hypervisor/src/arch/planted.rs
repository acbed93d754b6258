//! Faults planted for the tests of how the hypervisor dies. Not in the image that is shipped.
//!
//! `test=fault:NAME@CPU` on the command line plants one; the functions are named for the backtrace.
//! `test=lose-reference` makes the books of memory wrong, for the audit to find it; `test=low-limit` has the direct map
//! end early, as no emulated machine has more memory than it shows; `test=other-version` refuses all tools. Memory that
//! is given to somebody as it is is [soiled](soil) always.

use super::memory::mm;
use super::{apic, clock, death, paging, percpu, port, smp};
use crate::console;
use crate::domain::Domains;
use crate::lock::IrqLock;
use crate::mm::buddy::Order;
use crate::options::{PlantedFault, TestRequest};
use crate::sync::rank;
use core::arch::asm;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use guest_abi::ids::{DomId, Mfn, PAGE_SIZE, VcpuId};
use spin::Once;

/// What memory has in it that nobody has cleared: no address, no instruction of use, no number that is small.
const SOIL: u64 = 0xC5C5_C5C5_C5C5_C5C5;
/// What is planted where; written by the first processor before it starts the others.
static REQUEST: Once<TestRequest> = Once::new();
/// The end of boot has been said: the fault may happen.
static IS_ARMED: AtomicBool = AtomicBool::new(false);

/// Takes the test's wish, on the early page tables.
pub(super) fn plant(request: TestRequest) {
    REQUEST.call_once(|| request);
    if is_planted(PlantedFault::EarlyStackOverflow, 0) {
        planted_stack_overflow();
    }
}

/// The final page tables are in use, on the stack of boot.
pub(super) fn on_boot_stack() {
    if is_planted(PlantedFault::BootStackOverflow, 0) {
        planted_stack_overflow();
    }
}

/// What the direct map is to end at, if a test wants that.
pub(super) fn direct_limit() -> Option<u64> {
    (REQUEST.get() == Some(&TestRequest::LowLimit)).then_some(2 << 30)
}

/// Whether the interfaces for control are to be of another version than all tools.
pub(crate) fn has_other_version() -> bool {
    REQUEST.get() == Some(&TestRequest::OtherVersion)
}

/// Processor `cpu` has just been started and is not expected by anybody yet.
pub(super) fn before_arrival(cpu: u32) {
    if is_planted(PlantedFault::NeverArrives, cpu) {
        death::halt();
    }
}

/// Processor `cpu` has taken an NMI, and takes no other before this one ends.
pub(super) fn in_nmi(cpu: u32) {
    if !IS_ARMED.load(Ordering::Acquire) {
        return;
    }
    if is_planted(PlantedFault::NmiStackOverflow, cpu) {
        planted_stack_overflow();
    }
    if is_planted(PlantedFault::Dead, cpu) {
        death::halt();
    }
}

/// Fills a block that nobody has got yet: an emulated machine's memory is zero at first, a real one's seldom.
pub(super) fn soil(mfn: Mfn, order: Order) {
    let bytes = u64::from(order.frames()) * PAGE_SIZE as u64;
    // SAFETY: the block was just taken from the allocator, and the direct map shows it.
    unsafe { paging::fill(mfn.address(), bytes, SOIL) };
}

/// Whether `fault` is planted on processor `cpu`.
fn is_planted(fault: PlantedFault, cpu: u32) -> bool {
    REQUEST.get() == Some(&TestRequest::Fault { fault, cpu })
}

/// Boot is complete: does what the test wants.
pub(super) fn arm() {
    match REQUEST.get() {
        Some(TestRequest::Exit) => pass(),
        Some(TestRequest::Audit) => super::audit::run(),
        Some(
            TestRequest::LoseReference
            | TestRequest::LowLimit
            | TestRequest::OtherVersion
            | TestRequest::Fault { .. },
        )
        | None => {}
    }
    IS_ARMED.store(true, Ordering::Release);
    on_processor(percpu::current_cpu());
}

/// Commits the fault of this processor, if one is planted on it, as soon as boot is complete.
pub(super) fn on_processor(this: u32) {
    let Some(&TestRequest::Fault { fault, cpu }) = REQUEST.get() else {
        return;
    };
    if cpu != this && fault == PlantedFault::WhileOthersTalk {
        planted_talk(this);
    }
    if cpu != this {
        return;
    }
    while !IS_ARMED.load(Ordering::Acquire) {
        core::hint::spin_loop();
    }
    match fault {
        PlantedFault::NullRead => planted_null_read(),
        PlantedFault::WriteText => planted_write_text(),
        PlantedFault::ExecuteData => planted_execute_data(),
        PlantedFault::StackOverflow => planted_stack_overflow(),
        PlantedFault::Assertion => planted_assert(),
        PlantedFault::DivideByZero => planted_divide(),
        PlantedFault::InvalidOpcode => planted_invalid_opcode(),
        PlantedFault::Nmi | PlantedFault::NmiStackOverflow | PlantedFault::Dead => planted_nmi(),
        PlantedFault::Stuck => planted_stuck(),
        PlantedFault::LockOrder => planted_lock_order(),
        PlantedFault::UserRead => planted_user_read(),
        PlantedFault::WhileOthersTalk => {
            while (TALKING.load(Ordering::Acquire) as usize) + 1 < smp::online().count() {
                core::hint::spin_loop();
            }
            planted_assert();
        }
        // Has happened, or never will on this processor.
        PlantedFault::EarlyStackOverflow
        | PlantedFault::BootStackOverflow
        | PlantedFault::NeverArrives => {}
    }
}

/// Processors that have said something.
static TALKING: AtomicU32 = AtomicU32::new(0);

/// Says that this processor is alive, over and over.
fn planted_talk(this: u32) -> ! {
    while !IS_ARMED.load(Ordering::Acquire) {
        core::hint::spin_loop();
    }
    for number in 1u64.. {
        console::line(format_args!("planted: CPU{this} is alive ({number})"));
        if number == 2 {
            TALKING.fetch_add(1, Ordering::AcqRel);
        }
        // The others want to be heard, too.
        clock::wait_us(500);
    }
    death::halt()
}

/// The first domain is there: loses a reference on the root of its page tables, if that is wanted, so that the books
/// of memory are wrong by one from here on.
pub(super) fn lose_reference() {
    if REQUEST.get() != Some(&TestRequest::LoseReference) {
        return;
    }
    let root = Domains.find(DomId::DOM0).and_then(|domain| {
        let mut root = None;
        domain
            .vcpu(VcpuId(0))?
            .with_resting_context(|context| root = Some(context.kernel_root));
        root
    });
    if let Some(reference) = root.and_then(|root| mm().get_frame(root, DomId::DOM0).ok()) {
        console::line(format_args!(
            "planted: a reference on {} is lost",
            reference.remember()
        ));
    }
}

/// Ends QEMU with success (its isa-debug-exit device at port 0xf4).
pub(super) fn pass() -> ! {
    // SAFETY: a port that no PC uses, but for QEMU's test device.
    unsafe { port::write_u32(0xf4, 0x10) };
    death::halt()
}

#[inline(never)]
fn planted_null_read() {
    // SAFETY: not safe: the fault is the purpose.
    unsafe { asm!("mov {0}, [{0}]", inout(reg) 0u64 => _, options(nostack)) };
}

#[inline(never)]
fn planted_user_read() {
    // SAFETY: not safe: SMAP forbids it, and the fault is the purpose.
    unsafe { asm!("mov {0}, [{0}]", inout(reg) super::layout::M2P_START => _, options(nostack)) };
}

#[inline(never)]
fn planted_write_text() {
    let target = planted_write_text as *const () as u64;
    // SAFETY: not safe: code is read-only, and the fault is the purpose.
    unsafe { asm!("mov qword ptr [{}], 0", in(reg) target, options(nostack)) };
}

#[inline(never)]
#[allow(unconditional_recursion)]
fn planted_stack_overflow() {
    let mut bytes = [0u8; 512];
    black_box(&mut bytes);
    planted_stack_overflow();
    black_box(&mut bytes);
}

#[inline(never)]
fn planted_assert() {
    assert_eq!(black_box(1), 2, "planted");
}

#[inline(never)]
fn planted_divide() {
    // SAFETY: not safe: the divide error is the purpose.
    unsafe {
        asm!("xor edx, edx", "div {:e}", in(reg) 0u32, inout("eax") 1u32 => _, out("edx") _, options(nostack))
    };
}

#[inline(never)]
fn planted_execute_data() {
    static RETURN: u8 = 0xc3;
    // SAFETY: not safe: constants are not executable, and the fault is the purpose.
    unsafe { asm!("call {}", in(reg) &raw const RETURN, clobber_abi("C")) };
}

#[inline(never)]
fn planted_invalid_opcode() {
    // SAFETY: not safe: the fault is the purpose.
    unsafe { asm!("ud2", options(nomem, nostack)) };
}

#[inline(never)]
fn planted_nmi() {
    apic::send(apic::id(), apic::Message::Nmi);
    // Until it arrives.
    for _ in 0..1_000_000_000u64 {
        core::hint::spin_loop();
    }
}

/// The locks are free, so nobody waits: it is the order alone that is wrong.
#[inline(never)]
fn planted_lock_order() {
    let inner = IrqLock::<_, { rank::LEAF }>::new(());
    let outer = IrqLock::<_, { rank::DOMAINS }>::new(());
    let held = inner.lock();
    drop(outer.lock());
    drop(held);
}

#[inline(never)]
fn planted_stuck() {
    x86_64::instructions::interrupts::disable();
    loop {
        core::hint::spin_loop();
    }
}
