//! CR4 shows what the kernel may know, takes what it may change, and drops the rest without a fault.

use super::super::prelude::*;

const TSD: u64 = 1 << 2;
const DE: u64 = 1 << 3;
const PAE: u64 = 1 << 5;
const PGE: u64 = 1 << 7;
const OSFXSR: u64 = 1 << 9;
const OSXMMEXCPT: u64 = 1 << 10;
/// UMIP, LA57, VMXE, PCIDE, SMEP, SMAP, PKE.
const HIDDEN: u64 = 1 << 11 | 1 << 12 | 1 << 13 | 1 << 17 | 1 << 20 | 1 << 21 | 1 << 22;

pub(crate) fn run() {
    let cr4 = read();
    let shown = PAE | OSFXSR | OSXMMEXCPT;
    assert_eq!(cr4 & (shown | HIDDEN), shown, "CR4 {cr4:#x}");
    assert_eq!(write(cr4 | DE), None);
    assert_eq!(read(), cr4 | DE);
    assert_eq!(write(cr4), None);
    assert_eq!(read(), cr4);
    // Not the guest's to change: kept as it is.
    for bits in [cr4 ^ PGE, cr4 & !PAE] {
        assert_eq!(write(bits), None);
        assert_eq!(read(), cr4, "after a write of {bits:#x}");
    }
    // With TSD the kernel reads the counter itself no more than user mode does; without it it does.
    assert_eq!(write(cr4 | TSD), None);
    assert_eq!(read() & TSD, TSD);
    assert_eq!(write(cr4), None);
    assert_eq!(probe!("rdtsc"; out("eax") _, out("edx") _), None);
}

fn read() -> u64 {
    let cr4;
    assert_eq!(probe!("mov {cr4}, cr4"; cr4 = out(reg) cr4), None);
    cr4
}

fn write(cr4: u64) -> Option<trap::Trap> {
    probe!("mov cr4, {cr4}"; cr4 = in(reg) cr4)
}
