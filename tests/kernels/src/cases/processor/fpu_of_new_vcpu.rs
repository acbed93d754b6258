//! A new vCPU starts with clean floating-point registers, or with those of its context.

use super::super::prelude::*;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use guest_abi::vcpu_context::ContextFlags;
use guest_abi::vcpu_op::VcpuOp;

static XMM: AtomicU64 = AtomicU64::new(0);
static CONTROL: AtomicU64 = AtomicU64::new(0);
static MXCSR: AtomicU64 = AtomicU64::new(0);
static IS_DONE: AtomicBool = AtomicBool::new(false);

fn look(_: VcpuId) {
    let (xmm, control, mxcsr): (u64, u64, u64);
    probe!(
        "movq {xmm}, xmm0",
        "movq {control}, xmm9",
        "or {xmm}, {control}",
        "push 0",
        "fnstcw [rsp]",
        "mov {control}, [rsp]",
        "stmxcsr [rsp]",
        "pop {mxcsr}";
        xmm = out(reg) xmm,
        control = out(reg) control,
        mxcsr = out(reg) mxcsr,
    );
    XMM.store(xmm, SeqCst);
    CONTROL.store(control, SeqCst);
    MXCSR.store(mxcsr, SeqCst);
    IS_DONE.store(true, SeqCst);
}

fn found() -> (u64, u64, u64) {
    smp::wait_until("the new vCPU", || IS_DONE.swap(false, SeqCst));
    (XMM.load(SeqCst), CONTROL.load(SeqCst), MXCSR.load(SeqCst))
}

pub(crate) fn run() {
    smp::need(2);
    // What must not be seen there.
    probe!("movq xmm0, {secret}", "movq xmm9, {secret}"; secret = in(reg) 0x5ec2_e700_0000_0001u64);
    smp::start(VcpuId(1), look);
    assert_eq!(found(), (0, 0x37f, 0x1f80));

    if smp::nr_vcpus() < 3 {
        return;
    }
    let mut context = smp::context(VcpuId(2));
    context.flags |= ContextFlags::I387_VALID;
    // The format of FXSAVE: control word at 0, MXCSR at 24, XMM0 at 160, XMM9 at 304.
    context.fpu_ctxt[0..2].copy_from_slice(&0x27fu16.to_le_bytes());
    context.fpu_ctxt[24..28].copy_from_slice(&0x3f80u32.to_le_bytes());
    context.fpu_ctxt[160..168].copy_from_slice(&0x1200u64.to_le_bytes());
    context.fpu_ctxt[304..312].copy_from_slice(&0x34u64.to_le_bytes());
    smp::set_main(VcpuId(2), look);
    assert_eq!(smp::operate(VcpuOp::Initialise, VcpuId(2), &context), Ok(0));
    assert_eq!(smp::operate_plain(VcpuOp::Up, VcpuId(2)), Ok(0));
    assert_eq!(found(), (0x1234, 0x27f, 0x3f80));
}
