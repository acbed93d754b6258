//! Each vCPU has x87 and SSE registers of its own, however they share processors.

use super::super::prelude::*;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

static DONE: AtomicU32 = AtomicU32::new(0);
const ROUNDS: u32 = 400;

fn own_registers(vcpu: VcpuId) {
    let own = 0x0101_0101_0101_0101u64 * u64::from(vcpu.0 + 1);
    let control = 0x037f - (u64::from(vcpu.0) << 8 & 0x300);
    let mxcsr = 0x1f80 | u64::from(vcpu.0) << 13;
    for round in 0..ROUNDS {
        let (xmm, mm, found_control, found_mxcsr): (u64, u64, u64, u64);
        let trap = probe!(
            "push {control}",
            "fninit",
            "fldcw [rsp]",
            "mov [rsp], {mxcsr}",
            "ldmxcsr [rsp]",
            "movq xmm1, {own}",
            "movq xmm15, {own}",
            "movq mm3, {own}",
            // Let the others have the processor.
            "push rcx",
            "push r11",
            "mov eax, 29",
            "xor edi, edi",
            "syscall",
            "pop r11",
            "pop rcx",
            "movq {xmm}, xmm1",
            "movq rdi, xmm15",
            "and {xmm}, rdi",
            "movq {mm}, mm3",
            "mov qword ptr [rsp], 0",
            "fnstcw [rsp]",
            "mov {control}, [rsp]",
            "stmxcsr [rsp]",
            "pop {mxcsr}",
            "emms";
            own = in(reg) own,
            xmm = out(reg) xmm,
            mm = out(reg) mm,
            control = inout(reg) control => found_control,
            mxcsr = inout(reg) mxcsr => found_mxcsr,
            out("rax") _,
            out("rdi") _,
        );
        assert_eq!(trap, None);
        assert_eq!((xmm, mm), (own, own), "{vcpu:?} round {round}");
        assert_eq!(
            (found_control, found_mxcsr & 0xffff),
            (control, mxcsr),
            "{vcpu:?} round {round}"
        );
    }
    DONE.fetch_add(1, SeqCst);
}

pub(crate) fn run() {
    smp::need(2);
    let count = smp::nr_vcpus();
    for vcpu in 1..count {
        smp::start(VcpuId(vcpu), own_registers);
    }
    own_registers(VcpuId(0));
    smp::wait_until("the others", || DONE.load(SeqCst) == count);
}
