//! Flushes that this domain asks for, or that its pages owe, interrupt no processor that runs another domain or none.

use super::super::prelude::*;
use crate::control::{Guest, control, is_reference, physical_processors, sysctl};
use crate::memory::{self, KERNEL_RO, KERNEL_RW, SPARE, Tables, entry};
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};
use guest_abi::bitmap::Bitmap;
use guest_abi::domctl::DomctlOp;
use guest_abi::domctl_vcpu::{AffinityFlags, VcpuAffinity};
use guest_abi::mmu::{MmuextOp, UVMF_ALL, UVMF_TLB_FLUSH};
use guest_abi::payload::Payload;
use guest_abi::sysctl::{DebugKeys, ReadConsole, SysctlOp};

user_code!(runs_beside, "2: inc qword ptr [rsi]", "jmp 2b");

const ROUNDS: u64 = 200;
/// Processors that are counted.
const COUNTED: usize = 4;
/// Where the other vCPU, the other domain and nobody run.
const SIBLINGS: usize = 1;
const OTHERS: usize = 2;
const IDLE: usize = 3;

static IS_THERE: AtomicBool = AtomicBool::new(false);
static IS_OVER: AtomicBool = AtomicBool::new(false);

fn stay(_: VcpuId) {
    assert_eq!(smp::pin_override(SIBLINGS as i32), Ok(0));
    IS_THERE.store(true, SeqCst);
    while !IS_OVER.load(SeqCst) {
        core::hint::spin_loop();
    }
}

/// The hypervisor's log from `from` on, in `room`, and where it ends.
fn read_log(room: &mut [u8], from: Option<u32>) -> (usize, u32) {
    let mut wish = ReadConsole::new_zeroed();
    wish.incremental = from.is_some().into();
    wish.index = from.unwrap_or(0);
    wish.buffer = Vaddr(room.as_mut_ptr() as u64);
    wish.count = room.len() as u32;
    let mut content = Payload::of(&wish);
    assert_eq!(sysctl(SysctlOp::ReadConsole, &mut content), Ok(0));
    let answer: ReadConsole = content.read();
    (answer.count as usize, answer.index)
}

/// How often each processor has flushed because another wanted it.
fn asked() -> [u64; COUNTED] {
    let mut room = [0u8; 4096];
    // Where the log ends now.
    let mut end = 0;
    loop {
        let (count, index) = read_log(&mut room, Some(end));
        end = index;
        if count == 0 {
            break;
        }
    }
    let keys = *b"r";
    let mut wish = DebugKeys::new_zeroed();
    (wish.keys, wish.nr_keys) = (Vaddr(keys.as_ptr() as u64), 1);
    assert_eq!(sysctl(SysctlOp::DebugKeys, &mut Payload::of(&wish)), Ok(0));
    let mut length = 0;
    smp::wait_until("the report", || {
        (length, _) = read_log(&mut room, Some(end));
        room[..length]
            .windows(18)
            .any(|part| part == b"flushes for others")
    });
    let text = core::str::from_utf8(&room[..length]).expect("no text");
    let mut counts = [None; COUNTED];
    for line in text.lines() {
        let Some((_, rest)) = line.split_once("CPU") else {
            continue;
        };
        let words = rest.strip_suffix(" flushes for others");
        let Some((cpu, count)) = words.and_then(|words| words.split_once(": ")) else {
            continue;
        };
        let cpu: usize = cpu.parse().expect("a processor's number");
        if let Some(place) = counts.get_mut(cpu) {
            *place = Some(count.parse().expect("a count"));
        }
    }
    counts.map(|count| count.expect("not all processors are counted"))
}

pub(crate) fn run() {
    smp::need(2);
    if is_reference() {
        skip!("this hypervisor does not tell what it is asked here");
    }
    if physical_processors() < COUNTED as u32 {
        skip!("it needs {COUNTED} processors");
    }
    assert_eq!(smp::pin_override(0), Ok(0));
    smp::start(VcpuId(1), stay);
    let guest = Guest::with_code(runs_beside());
    let only = [1u64 << OTHERS];
    let mut wish = VcpuAffinity::new_zeroed();
    wish.flags = AffinityFlags::HARD;
    wish.cpumap_hard = Bitmap {
        bitmap: Vaddr(only.as_ptr() as u64),
        nr_bits: 64,
        ..Bitmap::new_zeroed()
    };
    assert_eq!(control(DomctlOp::SetVcpuAffinity, guest.id, &wish), Ok(0));
    guest.start();
    smp::wait_until("the others", || {
        IS_THERE.load(SeqCst) && guest.window.read(crate::control::DATA, 0) != 0
    });
    let hooked = Tables::hook(SPARE);
    let frame = Frame::alloc();
    memory::make_readonly(frame);
    // What the domain asks for.
    let before = asked();
    for round in 0..ROUNDS {
        let value = match round % 2 {
            0 => entry(frame.mfn(), KERNEL_RO),
            _ => 0,
        };
        let outcome = memory::update_va_mapping(SPARE, value, UVMF_TLB_FLUSH | UVMF_ALL);
        assert_eq!(outcome, Ok(0));
    }
    check("by its own wish", before, asked());
    // What is owed: a page that was writable becomes a table.
    let before = asked();
    let address = hooked.l1.word_address(0);
    for _ in 0..ROUNDS {
        let writable = entry(frame.mfn(), KERNEL_RW);
        assert_eq!(memory::set_entry(address, writable), Ok(0));
        assert_eq!(memory::set_entry(address, 0), Ok(0));
        let pinned = memory::mmuext_one(MmuextOp::PinL1Table, frame.mfn());
        assert_eq!(pinned, Ok(0));
        let unpinned = memory::mmuext_one(MmuextOp::UnpinTable, frame.mfn());
        assert_eq!(unpinned, Ok(0));
    }
    check("for what is owed", before, asked());
    IS_OVER.store(true, SeqCst);
    guest.end();
}

fn check(why: &str, before: [u64; COUNTED], after: [u64; COUNTED]) {
    let counts: [u64; COUNTED] = core::array::from_fn(|cpu| after[cpu] - before[cpu]);
    println!("{why}: {counts:?} flushes by processor");
    assert!(counts[SIBLINGS] >= ROUNDS / 2, "{why}: the other vCPU");
    assert_eq!([counts[OTHERS], counts[IDLE]], [0; 2], "{why}");
}
