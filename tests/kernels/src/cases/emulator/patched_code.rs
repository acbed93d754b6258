//! A breakpoint that one vCPU puts over an instruction and takes away again, as kernels do that patch themselves, is
//! not met by another vCPU that has serialized its execution since.

use super::super::prelude::*;
use crate::chance::Chance;
use crate::{clock, command_line, cpu};
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst};

/// Unless the command line says `rounds=`.
const ROUNDS: u64 = 2000;
/// What the patched byte holds else: NOP.
const NOTHING: u8 = 0x90;
const BREAKPOINT: u8 = 0xcc;
/// INC RAX, many times: so many that an emulator takes a while to translate them.
const FILLING: [u8; 3] = [0x48, 0xff, 0xc0];
const NR_FILLING: usize = 300;
const RETURN: u8 = 0xc3;
/// Where another function is that nobody patches: an emulator that has code of a page looks at what is written to it.
const OTHER: usize = 2048;

static CODE: AtomicU64 = AtomicU64::new(0);
/// Rounds that were begun and patched back, and that the other vCPU has seen the end of.
static PATCHED: AtomicU64 = AtomicU64::new(0);
static SEEN: AtomicU64 = AtomicU64::new(0);
static MET: AtomicU64 = AtomicU64::new(0);

fn met(_: &mut trap::Trap) {
    MET.fetch_add(1, SeqCst);
}

fn executor(_: VcpuId) {
    // SAFETY: the first vCPU has written a function there, which changes RAX only; a breakpoint in it is handled.
    let function: extern "C" fn() = unsafe { core::mem::transmute(CODE.load(SeqCst)) };
    // SAFETY: the same, of a function that only returns.
    let other: extern "C" fn() = unsafe { core::mem::transmute(CODE.load(SeqCst) + OTHER as u64) };
    other();
    loop {
        function();
        let patched = PATCHED.load(SeqCst);
        if patched == SEEN.load(SeqCst) {
            continue;
        }
        let _ = cpu::cpuid(0, 0);
        let before = MET.load(SeqCst);
        function();
        let after = MET.load(SeqCst);
        assert!(
            after == before,
            "round {patched}: a breakpoint was met after it had been taken away"
        );
        SEEN.store(patched, SeqCst);
    }
}

pub(crate) fn run() {
    smp::need(2);
    if command_line::number("processors") == Some(1) {
        skip!("it needs vCPUs that run at once");
    }
    let page = Frame::alloc().va().0 as *mut u8;
    let bytes = [NOTHING].into_iter();
    let bytes = bytes.chain([FILLING; NR_FILLING].into_iter().flatten());
    for (index, byte) in bytes.chain([RETURN]).enumerate() {
        // SAFETY: the page is this function's, and has room for these bytes.
        unsafe { page.wrapping_add(index).write_volatile(byte) };
    }
    // SAFETY: as above.
    unsafe { page.wrapping_add(OTHER).write_volatile(RETURN) };
    // SAFETY: both vCPUs reach this byte of the page in this way only, or execute it.
    let patched = unsafe { AtomicU8::from_ptr(page) };
    CODE.store(page as u64, SeqCst);
    trap::set_handler(BP, met);
    smp::start(VcpuId(1), executor);
    let mut chance = Chance::new(clock::tsc());
    for round in 1..=command_line::number("rounds").unwrap_or(ROUNDS) {
        patched.store(BREAKPOINT, SeqCst);
        chance.spin(300_000);
        patched.store(NOTHING, SeqCst);
        PATCHED.store(round, SeqCst);
        smp::wait_until("the other vCPU's next round", || SEEN.load(SeqCst) == round);
    }
    assert!(
        MET.load(SeqCst) > 0,
        "no breakpoint was ever met: this has tried nothing"
    );
}
