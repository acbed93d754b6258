//! How a case ends: a verdict on the last line, then the end of the machine.

use crate::command_line;
use crate::hypercall::hypercall;
use core::arch::asm;
use core::fmt;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};
use guest_abi::sched_op::{SchedOp, Shutdown, ShutdownReason};

/// The device by which a guest ends QEMU, and what it takes to mean.
const EXIT_PORT: u16 = 0xf4;
const PASS_CODE: u8 = 0x10;
const FAIL_CODE: u8 = 0x11;
const SKIP_CODE: u8 = 0x12;

/// Says that the case holds.
pub(crate) fn pass() -> ! {
    end("PASS", PASS_CODE, format_args!(""))
}

/// Says that the case can't be tried here, and why.
pub(crate) fn say_skip(why: fmt::Arguments<'_>) -> ! {
    end("SKIP", SKIP_CODE, why)
}

/// `skip!("why")`: ends the case without a judgement.
macro_rules! skip {
    ($($arguments:tt)*) => {
        $crate::verdict::say_skip(format_args!($($arguments)*))
    };
}
pub(crate) use skip;

fn end(word: &str, code: u8, why: fmt::Arguments<'_>) -> ! {
    // Whoever comes second, on another vCPU, has nothing to add.
    static IS_SAID: AtomicBool = AtomicBool::new(false);
    if !IS_SAID.swap(true, Ordering::AcqRel) {
        let name = command_line::test_name();
        if why.as_str() == Some("") {
            println!("VERDICT: {word} {name}");
        } else {
            println!("VERDICT: {word} {name}: {why}");
        }
        leave(code);
    }
    loop {
        let _ = hypercall!(SchedOp, SchedOp::Yield.number());
    }
}

/// Ends the machine, or at least the domain; with `end=domain` on the command line only that, so that the
/// hypervisor has the last word; with `end=none` nothing ends.
fn leave(code: u8) {
    if command_line::value("end") == Some("none") {
        return;
    }
    if command_line::value("end") != Some("domain") {
        // The right to use ports is the kernel's for the asking.
        let _ = crate::cpu::set_iopl(1);
        // SAFETY: the instruction is emulated and ends the machine; where it faults, the fault is reported.
        unsafe { asm!("out dx, al", in("dx") EXIT_PORT, in("al") code, options(nomem, nostack)) };
    }
    let reason = if code == FAIL_CODE {
        ShutdownReason::Crash
    } else {
        ShutdownReason::Poweroff
    };
    let shutdown = Shutdown {
        reason: reason.number(),
    };
    let _ = hypercall!(SchedOp, SchedOp::Shutdown.number(), &shutdown);
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(location) => end(
            "FAIL",
            FAIL_CODE,
            format_args!(
                "{} ({}:{})",
                OneLine(info),
                location.file(),
                location.line()
            ),
        ),
        None => end("FAIL", FAIL_CODE, format_args!("{}", OneLine(info))),
    }
}

/// A panic's message with blanks for line ends: the verdict is one line.
struct OneLine<'a>(&'a PanicInfo<'a>);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Blank<'a, 'b>(&'a mut fmt::Formatter<'b>);
        impl fmt::Write for Blank<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                text.chars()
                    .try_for_each(|c| self.0.write_char(if c == '\n' { ' ' } else { c }))
            }
        }
        fmt::write(&mut Blank(f), format_args!("{}", self.0.message()))
    }
}

/// Says that what comes next crashes the domain.
pub(crate) fn expect_crash() {
    expect("CRASH");
}

/// Says how the domain ends by what comes next: `CRASH`, `POWEROFF`, `REBOOT` or `SUSPEND`.
pub(crate) fn expect(ending: &str) {
    println!("EXPECT {ending} {}", command_line::test_name());
}
