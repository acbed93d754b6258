//! CPUID behind the prefix shows a kernel what it must see and hides what it can't use.

use crate::cpu::cpuid;

/// Bits of leaf 1.
const SHOWN_1C: u32 = 1 << 31; // hypervisor
/// FPU, TSC, MSR, PAE, CX8, APIC, CMOV, PAT, CLFLUSH, MMX, FXSR, SSE, SSE2.
const SHOWN_1D: u32 = 1 << 0
    | 1 << 4
    | 1 << 5
    | 1 << 6
    | 1 << 8
    | 1 << 9
    | 1 << 15
    | 1 << 16
    | 1 << 19
    | 1 << 23
    | 1 << 24
    | 1 << 25
    | 1 << 26;
/// DTES64, DSCPL, VMX, SMX, TM2, XTPR, PDCM, PCID, DCA, x2APIC, TSC deadline.
const HIDDEN_1C: u32 = 1 << 2
    | 1 << 4
    | 1 << 5
    | 1 << 6
    | 1 << 8
    | 1 << 14
    | 1 << 15
    | 1 << 17
    | 1 << 18
    | 1 << 21
    | 1 << 24;
/// VME, PSE, PGE, PSE36, DS, TM, PBE.
const HIDDEN_1D: u32 = 1 << 1 | 1 << 3 | 1 << 13 | 1 << 17 | 1 << 21 | 1 << 29 | 1 << 31;
/// TSC_ADJUST, SGX, SMEP, INVPCID, MPX, SMAP, PT.
const HIDDEN_7B: u32 = 1 << 1 | 1 << 2 | 1 << 7 | 1 << 10 | 1 << 14 | 1 << 20 | 1 << 25;
/// UMIP, PKU, OSPKE, WAITPKG, CET_SS, LA57, ENQCMD.
const HIDDEN_7C: u32 = 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 16 | 1 << 29;
/// SVM, EXTAPIC, OSVW, IBS, SKINIT, WDT, LWP, MONITORX.
const HIDDEN_81C: u32 = 1 << 2 | 1 << 3 | 1 << 9 | 1 << 10 | 1 << 12 | 1 << 13 | 1 << 15 | 1 << 29;
/// SYSCALL, NX, LM.
const SHOWN_81D: u32 = 1 << 11 | 1 << 20 | 1 << 29;
/// PSE, PGE, PSE36, 1 GiB pages.
const HIDDEN_81D: u32 = 1 << 3 | 1 << 13 | 1 << 17 | 1 << 26;

pub(crate) fn run() {
    let [_, b, c, d] = cpuid(1, 0);
    check("1:ECX", c, SHOWN_1C, HIDDEN_1C);
    check("1:EDX", d, SHOWN_1D, HIDDEN_1D);
    assert_eq!(b >> 24, 0, "the initial APIC number");
    // AMD's processors have no SYSENTER in long mode.
    assert_eq!(d >> 11 & 1 == 0, crate::cpu::is_amd(), "SEP");
    let [highest, ..] = cpuid(0, 0);
    if highest >= 7 {
        let [_, b, c, d] = cpuid(7, 0);
        check("7:EBX", b, 0, HIDDEN_7B);
        check("7:ECX", c, 0, HIDDEN_7C);
        check("7:EDX", d, 0, 1 << 20); // CET_IBT
    }
    if highest >= 0xd {
        let [a, ..] = cpuid(0xd, 1);
        check("0xd.1:EAX", a, 0, 1 << 3); // XSAVES
    }
    let [_, _, c, d] = cpuid(0x8000_0001, 0);
    check("0x80000001:ECX", c, 0, HIDDEN_81C);
    check("0x80000001:EDX", d, SHOWN_81D, HIDDEN_81D);
    let [a, ..] = cpuid(0x8000_0008, 0);
    assert_eq!(a >> 8 & 0xff, 48, "linear address bits");

    // A kernel believes in XSAVE only if it is already on.
    if c_of_leaf_1() & 1 << 26 != 0 {
        assert_ne!(c_of_leaf_1() & 1 << 27, 0, "XSAVE without OSXSAVE");
    }
}

fn c_of_leaf_1() -> u32 {
    cpuid(1, 0)[2]
}

fn check(leaf: &str, found: u32, shown: u32, hidden: u32) {
    assert_eq!(
        found & shown,
        shown,
        "{leaf} {found:#x} must show {shown:#x}"
    );
    assert_eq!(found & hidden, 0, "{leaf} {found:#x} must hide {hidden:#x}");
}
