//! Data selectors and bases stay as they are through entries, and across another vCPU on the same
//! processor.

use super::super::prelude::*;
use super::{data, load_gdt};
use crate::clock::{self, MS};

pub(crate) fn run() {
    let table = Frame::alloc();
    table.write(5, data(0x48_0000, 3));
    memory::make_readonly(table);
    assert_eq!(load_gdt(table.mfn()), Ok(0));
    let timer = clock::bind_timer();
    event::unmask_upcalls();
    if smp::nr_vcpus() > 1 {
        smp::start(VcpuId(1), other);
    }
    let selector = 5 << 3 | 3u64;
    assert_eq!(
        probe!("mov fs, {sel:e}", "mov ds, {sel:e}", "mov es, {sel:e}"; sel = in(reg) selector),
        None
    );
    // A base that is not the descriptor's.
    assert_eq!(hypercall!(SetSegmentBase, 0u64, 0x1234_5000u64), Ok(0));
    clock::set_timer(clock::now_ns() + MS);
    let end = clock::now_ns() + 30 * MS;
    while clock::now_ns() < end || event::count(timer) == 0 {
        let _ = hypercall!(SchedOp, 0u64);
        let (fs, ds, es): (u64, u64, u64);
        probe!(
            "mov {fs:e}, fs",
            "mov {ds:e}, ds",
            "mov {es:e}, es";
            fs = out(reg) fs,
            ds = out(reg) ds,
            es = out(reg) es,
        );
        assert_eq!([fs, ds, es], [selector; 3]);
        assert_eq!(crate::cpu::read_msr(0xc000_0100), Some(0x1234_5000));
    }
}

/// Has other selectors, and lets the first vCPU run again and again.
fn other(_: VcpuId) {
    for _ in 0..200 {
        probe!(
            "mov fs, {null:e}",
            "mov ds, {null:e}",
            "mov es, {null:e}";
            null = in(reg) 0,
        );
        let _ = hypercall!(SchedOp, 0u64);
    }
}
