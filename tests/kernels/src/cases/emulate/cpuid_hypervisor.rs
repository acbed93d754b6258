//! The hypervisor's own CPUID leaves, from the kernel and from user mode: the signature, the version, and
//! machine addresses that fit grant entries of version 1.

use super::super::prelude::*;
use crate::cpu::cpuid;

user_code!(
    user_cpuid,
    "mov eax, 0x40000000",
    "xor ecx, ecx",
    "ud2",
    ".ascii \"xen\"",
    "cpuid",
    "syscall",
);

/// What EBX, ECX and EDX spell.
const SIGNATURE: &[u8; 12] = b"XenVMMXenVMM";

pub(crate) fn run() {
    let [highest, b, c, d] = cpuid(0x4000_0000, 0);
    assert_eq!([b, c, d].map(u32::to_le_bytes).as_flattened(), SIGNATURE);
    assert!((0x4000_0002..=0x4000_00ff).contains(&highest));
    let [version, ..] = cpuid(0x4000_0001, 0);
    assert_eq!(Ok(u64::from(version)), hypercall!(Version, 0u64, 0u64));
    let [pages, msr, features, _] = cpuid(0x4000_0002, 0);
    assert_eq!((pages, msr, features & 1), (1, 0x4000_0000, 1));
    if highest >= 0x4000_0005 {
        let [_, b, ..] = cpuid(0x4000_0005, 0);
        assert!((b & 0xff) <= 44, "machine addresses of {} bits", b & 0xff);
    }

    user::load_new();
    let frame = user::enter(&user::registers(user_cpuid())).frame;
    assert_eq!(frame.vector, trap::SYSCALL);
    let words = [frame.rbx, frame.rcx, frame.rdx].map(|word| word as u32);
    // (SYSCALL has overwritten RCX.)
    assert_eq!(
        [words[0], c, words[2]].map(u32::to_le_bytes).as_flattened(),
        SIGNATURE
    );
}
