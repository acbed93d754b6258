//! General registers, as an entry leaves them on the stack.

#![forbid(unsafe_code)]

use core::mem::{offset_of, size_of};
use guest_abi::trap::{IretFlags, IretFrame};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Registers in the layout of `cpu_user_regs` of the guest ABI, so that a guest's context is copied and
/// not translated. The segment registers at the end have a meaning only for a guest.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[allow(missing_docs)]
pub struct Registers {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub error_code: u32,
    /// What brought us here: an interrupt vector, or one of [`entry`].
    pub vector: u32,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
    pub es: u64,
    pub ds: u64,
    pub fs: u64,
    pub gs: u64,
}

/// Values of [`Registers::vector`] above those of interrupts.
pub mod entry {
    /// SYSCALL from 64-bit code.
    pub const SYSCALL: u32 = 0x100;
    /// SYSCALL from 32-bit code.
    pub const SYSCALL32: u32 = 0x101;
    /// SYSENTER.
    pub const SYSENTER: u32 = 0x102;
    /// The return to the guest faulted.
    pub const RETURN_FAULT: u32 = 0x103;
}

/// Bits of RFLAGS.
#[allow(missing_docs)]
pub mod rflags {
    pub const CARRY: u64 = 1 << 0;
    pub const FIXED: u64 = 1 << 1;
    pub const TRAP: u64 = 1 << 8;
    pub const INTERRUPT: u64 = 1 << 9;
    pub const DIRECTION: u64 = 1 << 10;
    pub const IOPL: u64 = 3 << 12;
    pub const NESTED: u64 = 1 << 14;
    pub const RESUME: u64 = 1 << 16;
    pub const VM: u64 = 1 << 17;
    pub const ALIGNMENT: u64 = 1 << 18;
    /// Bits that a guest may bring in by a frame or a context: everything that exists but IOPL, NT, VM
    /// and the virtual interrupt bits, which mean something to the hypervisor's own return.
    pub const GUEST: u64 = 0x24_0dd5 | TRAP | RESUME;

    /// The flags of a guest that wants these.
    #[inline]
    #[must_use]
    pub const fn for_guest(wish: u64) -> u64 {
        wish & GUEST | INTERRUPT | FIXED
    }
}

impl Registers {
    /// All zero.
    pub const ZERO: Self = Self {
        r15: 0,
        r14: 0,
        r13: 0,
        r12: 0,
        rbp: 0,
        rbx: 0,
        r11: 0,
        r10: 0,
        r9: 0,
        r8: 0,
        rax: 0,
        rcx: 0,
        rdx: 0,
        rsi: 0,
        rdi: 0,
        error_code: 0,
        vector: 0,
        rip: 0,
        cs: 0,
        rflags: 0,
        rsp: 0,
        ss: 0,
        es: 0,
        ds: 0,
        fs: 0,
        gs: 0,
    };

    /// Arguments of a hypercall, in order.
    #[must_use]
    pub const fn arguments(&self) -> [u64; 6] {
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9]
    }

    /// Goes on as a frame says that a guest kernel has left on its stack.
    #[inline]
    pub fn go_on(&mut self, frame: &IretFrame) {
        self.rip = frame.rip;
        self.cs = frame.cs & 0xffff | 3;
        self.rflags = rflags::for_guest(frame.rflags);
        self.rsp = frame.rsp;
        self.ss = frame.ss & 0xffff | 3;
        self.rax = frame.rax;
        if !frame.flags.contains(IretFlags::IN_SYSCALL) {
            self.r11 = frame.r11;
            self.rcx = frame.rcx;
        }
    }
}

const _: () = {
    assert!(size_of::<Registers>() == 200);
    assert!(offset_of!(Registers, error_code) == 120);
    assert!(offset_of!(Registers, rip) == 128);
    assert!(offset_of!(Registers, es) == 168);
};
