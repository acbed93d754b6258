//! How the hypervisor dies: it stops the other processors, says why, with registers and backtrace, and
//! reboots after a pause or stays, as the administrator wants.
//!
//! Only its own bugs and broken hardware lead to the report with registers. What was put in front of it and can't be
//! used (a damaged kernel, say) ends with a sentence, by [`refuse`].

use super::backtrace::Start;
use super::percpu::MAX_CPUS;
use super::traps::TrapFrame;
use super::{apic, backtrace, clock, machine_check, percpu, port, power, serial, smp, traps, vga};
use crate::console;
use core::arch::asm;
use core::fmt;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Number of the dying processor plus one; 0 while all is well.
static DYING: AtomicU32 = AtomicU32::new(0);
/// The administrator wants the machine to stay as it is.
static STAY: AtomicBool = AtomicBool::new(false);
/// ACPI reset register: port in bits 0 to 15, value in bits 16 to 23, bit 31 set if there is one.
static RESET: AtomicU64 = AtomicU64::new(0);

/// Processors that have stopped because another one is dying. Marks, not a count: one that has halted takes the
/// NMI that was sent to it all the same.
static STOPPED: [AtomicBool; MAX_CPUS] = [const { AtomicBool::new(false) }; MAX_CPUS];
/// How long they may take.
const STOP_LIMIT_MS: u32 = 500;

/// Seconds between the last word and the reboot.
const PAUSE_S: u32 = 5;

/// `stay`: do not reboot after a panic.
pub(super) fn set_stay(stay: bool) {
    STAY.store(stay, Ordering::Relaxed);
}

/// ACPI says that writing `value` to `port` resets the machine.
pub(super) fn set_reset_port(port: u16, value: u8) {
    RESET.store(
        1 << 31 | u64::from(value) << 16 | u64::from(port),
        Ordering::Relaxed,
    );
}

/// Whether a processor is dying.
#[cfg(feature = "planted-faults")]
pub(super) fn is_dying() -> bool {
    DYING.load(Ordering::Acquire) != 0
}

/// Called in every NMI: does not return if another processor is dying.
pub(super) fn stop_if_dying() {
    let dying = DYING.load(Ordering::Acquire);
    if dying != 0 && dying != percpu::current_cpu() + 1 {
        stop();
    }
}

/// Stops this processor for good, for another one that dies.
fn stop() -> ! {
    if let Some(stopped) = STOPPED.get(percpu::current_cpu() as usize) {
        stopped.store(true, Ordering::Release);
    }
    halt()
}

/// Stops this processor for good.
pub(super) fn halt() -> ! {
    loop {
        // SAFETY: nothing more is to happen on this processor.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}

/// Dies of `reason`. `frame` holds the registers where it happened, if it was an exception.
pub(super) fn die(reason: fmt::Arguments<'_>, frame: Option<&TrapFrame>) -> ! {
    x86_64::instructions::interrupts::disable();
    let cpu = percpu::current_cpu();
    match DYING.compare_exchange(0, cpu + 1, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {}
        Err(dying) if dying == cpu + 1 => {
            console::line(format_args!("PANIC on CPU{cpu} while dying: {reason}"));
            end();
        }
        // Two die at once, of one NMI to all, say: the first has the word.
        Err(_) => stop(),
    }
    stop_others(cpu);
    console::start_dying();
    // SAFETY: the other processors stand still, so whoever held these locks will not go on.
    unsafe {
        serial::COM1.break_open();
        vga::SCREEN.break_open();
    }
    console::line(format_args!("****************************************"));
    console::line(format_args!("PANIC on CPU{cpu}: {reason}"));
    match frame {
        Some(frame) => {
            if frame.vector == traps::MACHINE_CHECK {
                machine_check::print();
            }
            print_registers(frame);
            backtrace::print(frame, Start::Here);
        }
        None => {
            let here = capture();
            console::line(format_args!(
                "Registers of this report, which are no more those of the place:"
            ));
            print_registers(&here);
            backtrace::print(&here, Start::Reporter);
        }
    }
    console::line(format_args!("****************************************"));
    end()
}

/// Ends the boot because of `reason`, which is nobody's bug: something that the hypervisor was given can't be used.
pub(super) fn refuse(reason: fmt::Arguments<'_>) -> ! {
    stop_machine();
    console::line(format_args!("Paravane can't go on: {reason}"));
    end()
}

/// The registers of the function that calls this, as far as they still are what they were when it was called.
#[inline(always)]
fn capture() -> TrapFrame {
    let mut r = TrapFrame::ZERO;
    // SAFETY: stores registers into a structure of ours.
    unsafe {
        asm!(
            "mov [{r} + 0], r15", "mov [{r} + 8], r14", "mov [{r} + 16], r13", "mov [{r} + 24], r12",
            "mov [{r} + 32], rbp", "mov [{r} + 40], rbx", "mov [{r} + 48], r11", "mov [{r} + 56], r10",
            "mov [{r} + 64], r9", "mov [{r} + 72], r8", "mov [{r} + 80], rax", "mov [{r} + 88], rcx",
            "mov [{r} + 96], rdx", "mov [{r} + 104], rsi", "mov [{r} + 112], rdi", "mov [{r} + 152], rsp",
            "mov word ptr [{r} + 136], cs", "mov word ptr [{r} + 160], ss",
            "pushfq", "pop qword ptr [{r} + 144]",
            "lea {scratch}, [rip]", "mov [{r} + 128], {scratch}",
            r = in(reg) &raw mut r,
            scratch = out(reg) _,
        );
    }
    r
}

/// Waits until the other processors have had time to take the NMI that stops them.
fn stop_others(cpu: u32) {
    let others = || smp::online().filter(|&(other, _)| other != cpu);
    let has_stopped = |cpu: u32| {
        let mark = STOPPED.get(cpu as usize);
        mark.is_none_or(|stopped| stopped.load(Ordering::Acquire))
    };
    for (_, apic_id) in others() {
        apic::send(apic_id, apic::Message::Nmi);
    }
    for _ in 0..STOP_LIMIT_MS {
        if others().all(|(other, _)| has_stopped(other)) {
            return;
        }
        clock::wait_ms(1);
    }
    let asked = others().count();
    let missing = others().filter(|&(other, _)| !has_stopped(other)).count();
    if missing != 0 {
        // SAFETY: as in `die`; whoever does not stop can at worst garble what follows.
        unsafe { serial::COM1.break_open() };
        console::line(format_args!(
            "{missing} of {asked} other processors do not stop"
        ));
    }
}

fn end() -> ! {
    if STAY.load(Ordering::Relaxed) {
        console::line(format_args!(
            "Not rebooting, because of 'noreboot'. Reset the machine by hand."
        ));
        halt();
    }
    console::line(format_args!("Rebooting in {PAUSE_S} seconds."));
    clock::wait_ms(PAUSE_S * 1000);
    reboot()
}

/// Resets the machine, by whatever means it has.
pub(super) fn reboot() -> ! {
    x86_64::instructions::interrupts::disable();
    let reset = RESET.load(Ordering::Relaxed);
    if reset & 1 << 31 != 0 {
        // SAFETY: ACPI says that this write resets the machine, which is what is wanted.
        unsafe { port::write_u8(reset as u16, (reset >> 16) as u8) };
        clock::wait_ms(50);
    }
    // SAFETY: the keyboard controller's reset line, then the chipset's reset register; both do nothing
    // where they are not there.
    unsafe {
        port::write_u8(0x64, 0xfe);
        clock::wait_ms(50);
        port::write_u8(0xcf9, 0x02);
        port::write_u8(0xcf9, 0x06);
    }
    clock::wait_ms(50);
    let nothing = [0u16; 5];
    // SAFETY: an exception without an IDT is a triple fault, which resets the processor.
    unsafe { asm!("lidt [{}]", "int3", in(reg) &nothing, options(noreturn)) }
}

fn print_registers(frame: &TrapFrame) {
    let f = frame;
    let (cr0, cr3, cr4): (u64, u64, u64);
    // SAFETY: reads registers.
    unsafe {
        asm!("mov {}, cr0", "mov {}, cr3", "mov {}, cr4", out(reg) cr0, out(reg) cr3, out(reg) cr4,
             options(nomem, nostack, preserves_flags));
    }
    let rows = [
        [
            ("RIP", f.rip),
            ("RFLAGS", f.rflags),
            ("CS", f.cs),
            ("SS", f.ss),
        ],
        [
            ("RAX", f.rax),
            ("RBX", f.rbx),
            ("RCX", f.rcx),
            ("RDX", f.rdx),
        ],
        [
            ("RSI", f.rsi),
            ("RDI", f.rdi),
            ("RBP", f.rbp),
            ("RSP", f.rsp),
        ],
        [("R8", f.r8), ("R9", f.r9), ("R10", f.r10), ("R11", f.r11)],
        [
            ("R12", f.r12),
            ("R13", f.r13),
            ("R14", f.r14),
            ("R15", f.r15),
        ],
        [
            ("CR0", cr0),
            ("CR2", super::traps::cr2()),
            ("CR3", cr3),
            ("CR4", cr4),
        ],
    ];
    for [(a, av), (b, bv), (c, cv), (d, dv)] in rows {
        console::line(format_args!(
            "{a:>6} {av:016x} {b:>6} {bv:016x} {c:>6} {cv:016x} {d:>6} {dv:016x}"
        ));
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(place) => die(
            format_args!(
                "assertion or bug: {} at {}:{}",
                info.message(),
                place.file(),
                place.line()
            ),
            None,
        ),
        None => die(format_args!("assertion or bug: {}", info.message()), None),
    }
}

/// Whether the administrator wants the machine to stay as it is after a crash.
pub(crate) fn is_staying() -> bool {
    STAY.load(Ordering::Relaxed)
}

/// Stops all other processors, unless one of them is at it already.
pub(super) fn stop_machine() {
    x86_64::instructions::interrupts::disable();
    let cpu = percpu::current_cpu();
    if DYING
        .compare_exchange(0, cpu + 1, Ordering::AcqRel, Ordering::Acquire)
        .is_err()
    {
        stop();
    }
    stop_others(cpu);
    console::start_dying();
    // SAFETY: the other processors stand still, so whoever held these locks will not go on.
    unsafe {
        serial::COM1.break_open();
        vga::SCREEN.break_open();
    }
}

/// Turns the machine off, or stops everything if it can't be: the first domain has ended.
pub(crate) fn power_off_machine() -> ! {
    stop_machine();
    power::off();
    stay_off()
}

/// The machine should be off, and is not.
pub(super) fn stay_off() -> ! {
    console::line(format_args!(
        "The machine does not turn itself off: do it by hand."
    ));
    halt()
}

/// Stops everything: the first domain has ended, and the administrator wants to look.
pub(crate) fn halt_machine() -> ! {
    stop_machine();
    halt()
}

/// Reboots: the first domain has ended.
pub(crate) fn reboot_machine() -> ! {
    stop_machine();
    reboot()
}

/// Reboots after the pause that administrators have for reading.
pub(crate) fn reboot_after_pause() -> ! {
    stop_machine();
    clock::wait_ms(PAUSE_S * 1000);
    reboot()
}
