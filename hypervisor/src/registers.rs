//! General registers, as an entry leaves them on the stack.

#![forbid(unsafe_code)]

use crate::domain::context::is_canonical;
use core::mem::{offset_of, size_of};
use guest_abi::segment::{FLAT_RING3_CS64, FLAT_RING3_SS};
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

/// Whether the processor pushes an error code with exception `vector`: #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP, #VC and #SX.
#[must_use]
pub const fn has_error_code(vector: u32) -> bool {
    matches!(vector, 8 | 10..=14 | 17 | 21 | 29 | 30)
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

    /// Flags with which SYSRET does not behave as IRET.
    pub(super) const NOT_BY_SYSRET: u64 = TRAP | RESUME | VM | NESTED;

    /// The flags of a guest that wants these.
    #[inline]
    #[must_use]
    pub const fn for_guest(wish: u64) -> u64 {
        wish & GUEST | INTERRUPT | FIXED
    }

    /// The flags with which a guest goes on that has these: interrupts are on, and the hardware's privilege
    /// level of ports is 0.
    #[inline]
    #[must_use]
    pub const fn on_return(flags: u64) -> u64 {
        flags & !(IOPL | VM | NESTED) | INTERRUPT | FIXED
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

    /// Whether SYSRET goes on exactly as IRET would with these. It takes RIP from RCX and the flags from R11 (without
    /// RF and VM), and has the flat selectors; it would trap after its own instruction with TF, and fault
    /// at privilege level 0, on the guest's stack, where RCX is not canonical.
    #[inline]
    #[must_use]
    pub const fn can_take_sysret(&self) -> bool {
        self.cs == FLAT_RING3_CS64 as u64
            && self.ss == FLAT_RING3_SS as u64
            && self.rip == self.rcx
            && self.rflags == self.r11
            && self.rflags & rflags::NOT_BY_SYSRET == 0
            && is_canonical(self.rip)
    }

    /// Goes on as a frame says that a guest kernel has left on its stack. A return from a system call leaves RCX and R11
    /// to SYSRET: they are what that needs them to be.
    #[inline]
    pub fn go_on(&mut self, frame: &IretFrame) {
        self.rip = frame.rip;
        self.cs = frame.cs & 0xffff | 3;
        self.rflags = rflags::for_guest(frame.rflags);
        self.rsp = frame.rsp;
        self.ss = frame.ss & 0xffff | 3;
        self.rax = frame.rax;
        (self.rcx, self.r11) = match frame.flags.contains(IretFlags::IN_SYSCALL) {
            true => (self.rip, self.rflags),
            false => (frame.rcx, frame.r11),
        };
    }
}

const _: () = {
    assert!(size_of::<Registers>() == 200);
    assert!(offset_of!(Registers, error_code) == 120);
    assert!(offset_of!(Registers, rip) == 128);
    assert!(offset_of!(Registers, es) == 168);
};

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// A return from a system call, which SYSRET expresses.
    const PLAIN: Registers = Registers {
        rip: 0x7fff_ffff_fffe,
        rcx: 0x7fff_ffff_fffe,
        rflags: rflags::INTERRUPT | rflags::FIXED,
        r11: rflags::INTERRUPT | rflags::FIXED,
        cs: FLAT_RING3_CS64 as u64,
        ss: FLAT_RING3_SS as u64,
        ..Registers::ZERO
    };

    fn is_taken(change: impl FnOnce(&mut Registers)) -> bool {
        let mut registers = PLAIN;
        change(&mut registers);
        registers.can_take_sysret()
    }

    #[test]
    fn sysret_is_taken_for_both_halves_of_the_address_space() {
        for rip in [
            0,
            0x40_0000,
            0x7fff_ffff_ffff,
            0xffff_8000_0000_0000,
            u64::MAX,
        ] {
            assert!(is_taken(|to| (to.rip, to.rcx) = (rip, rip)), "{rip:#x}");
        }
    }

    #[test]
    fn sysret_is_never_taken_to_an_address_that_is_not_canonical() {
        for bit in 47..64 {
            for low in [0, 0x7fff_ffff_ffff] {
                let one = 1 << bit | low;
                let all_but_one = !one;
                for rip in [one, all_but_one] {
                    let is_canonical = [0, 0x1_ffff].contains(&(rip >> 47));
                    assert_eq!(
                        is_taken(|to| (to.rip, to.rcx) = (rip, rip)),
                        is_canonical,
                        "{rip:#x}"
                    );
                }
            }
        }
        assert!(!is_taken(
            |to| (to.rip, to.rcx) = (0x8000_0000_0000, 0x8000_0000_0000)
        ));
    }

    #[test]
    fn sysret_needs_the_address_in_rcx_and_the_flags_in_r11() {
        for bit in 0..64 {
            assert!(!is_taken(|to| to.rcx ^= 1 << bit), "RCX, bit {bit}");
            assert!(!is_taken(|to| to.r11 ^= 1 << bit), "R11, bit {bit}");
            assert!(!is_taken(|to| to.rip ^= 1 << bit), "RIP, bit {bit}");
            assert!(!is_taken(|to| to.rflags ^= 1 << bit), "RFLAGS, bit {bit}");
        }
    }

    #[test]
    fn sysret_is_taken_with_every_flag_but_those_that_it_does_not_load_or_obeys_too_early() {
        // Every set of the flags that exist.
        for set in 0u64..1 << 22 {
            let wanted = set & (rflags::TRAP | rflags::RESUME | rflags::VM | rflags::NESTED) == 0;
            assert_eq!(
                is_taken(|to| (to.rflags, to.r11) = (set, set)),
                wanted,
                "{set:#x}"
            );
        }
    }

    #[test]
    fn sysret_has_two_selectors_only() {
        for selector in 0..=u64::from(u16::MAX) {
            assert_eq!(
                is_taken(|to| to.cs = selector),
                selector == 0xe033,
                "CS {selector:#x}"
            );
            assert_eq!(
                is_taken(|to| to.ss = selector),
                selector == 0xe02b,
                "SS {selector:#x}"
            );
        }
        // What is above a selector is the processor's to leave as it likes, and no reason to trust it.
        assert!(!is_taken(|to| to.cs |= 1 << 16));
        assert!(!is_taken(|to| to.ss |= 1 << 16));
    }

    #[test]
    fn a_guest_goes_on_with_interrupts_on_and_without_privilege() {
        for flags in [
            0,
            u64::MAX,
            rflags::IOPL,
            rflags::NESTED | rflags::VM,
            rflags::GUEST,
        ] {
            let found = rflags::on_return(flags);
            let forced = rflags::INTERRUPT | rflags::FIXED;
            assert_eq!(found & forced, forced, "{flags:#x}");
            let privileged = rflags::IOPL | rflags::VM | rflags::NESTED;
            assert_eq!(found & privileged, 0, "{flags:#x}");
            let others = !(forced | privileged);
            assert_eq!(found & others, flags & others, "{flags:#x}");
        }
    }

    #[test]
    fn a_return_from_a_system_call_can_take_sysret_and_another_keeps_its_registers() {
        let frame = IretFrame {
            rax: 1,
            r11: 2,
            rcx: 3,
            flags: IretFlags::IN_SYSCALL,
            rip: 0x40_0000,
            cs: FLAT_RING3_CS64.into(),
            rflags: rflags::CARRY | rflags::IOPL | rflags::NESTED,
            rsp: 0x7000,
            ss: FLAT_RING3_SS.into(),
        };
        let mut registers = PLAIN;
        registers.go_on(&frame);
        let flags = rflags::CARRY | rflags::INTERRUPT | rflags::FIXED;
        assert_eq!((registers.rip, registers.rflags), (0x40_0000, flags));
        assert_eq!((registers.rcx, registers.r11), (0x40_0000, flags));
        assert!(registers.can_take_sysret());

        let flags = IretFlags::empty();
        registers.go_on(&IretFrame { flags, ..frame });
        assert_eq!((registers.rcx, registers.r11), (3, 2));
        assert!(!registers.can_take_sysret());
    }
}
