//! Control registers, XCR0 and debug registers: exhaustive where the space is finite.

use super::Policy;
use super::control::*;
use super::cpuid::{HostCpuid, Leaf};
use super::debug::{DebugError, DebugRegisters};
use super::xstate::{self, Xcr0Error, validate_xcr0};

struct Host;
impl HostCpuid for Host {
    fn leaf(&self, _leaf: u32, _subleaf: u32) -> Leaf {
        Leaf::ZERO
    }
}

/// A policy with nothing in it.
pub(super) fn bare() -> Policy {
    Policy::for_host(&Host)
}

/// When `XSETBV` of XCR0 raises #GP by the manual, as a list of patterns.
fn manual_accepts(value: u64) -> bool {
    let bit = |number: u32| value >> number & 1;
    let sse_avx = bit(2) << 1 | bit(1);
    let bounds = bit(4) << 1 | bit(3);
    let avx512 = bit(7) << 2 | bit(6) << 1 | bit(5);
    let tiles = bit(18) << 1 | bit(17);
    bit(0) == 1
        && sse_avx != 0b10
        && bounds != 0b01
        && bounds != 0b10
        && matches!(avx512, 0b000 | 0b111)
        && (avx512 == 0 || sse_avx == 0b11)
        && tiles != 0b01
        && tiles != 0b10
}

#[test]
fn xcr0_follows_the_manual_for_every_value() {
    for low in 0..1024u64 {
        for tiles in 0..4 {
            let value = low | tiles << 17;
            assert_eq!(
                validate_xcr0(value, u64::MAX).is_ok(),
                manual_accepts(value),
                "{value:#x}"
            );
            // What is offered is a subset of it.
            let offered = value & !xstate::OFFERED == 0;
            assert_eq!(
                validate_xcr0(value, xstate::OFFERED).is_ok(),
                offered && manual_accepts(value),
                "{value:#x}"
            );
        }
    }
    let accepted: Vec<u64> = (0..1 << 19)
        .filter(|v| validate_xcr0(*v, xstate::OFFERED).is_ok())
        .collect();
    assert_eq!(accepted, [1, 3, 7, 0xE7]);
}

#[test]
fn xcr0_says_which_rule_is_broken() {
    assert_eq!(
        validate_xcr0(0x203, xstate::OFFERED),
        Err(Xcr0Error::NotPermitted)
    );
    assert_eq!(
        validate_xcr0(1 << 63, xstate::OFFERED),
        Err(Xcr0Error::NotPermitted)
    );
    assert_eq!(validate_xcr0(6, xstate::OFFERED), Err(Xcr0Error::NoX87));
    assert_eq!(
        validate_xcr0(5, xstate::OFFERED),
        Err(Xcr0Error::Dependency)
    );
}

#[test]
fn what_is_offered_can_always_be_enabled() {
    struct Xsave(u64);
    impl HostCpuid for Xsave {
        fn leaf(&self, leaf: u32, _subleaf: u32) -> Leaf {
            match leaf {
                0 => Leaf {
                    eax: 0xD,
                    ..Leaf::ZERO
                },
                1 => Leaf {
                    ecx: 1 << 26,
                    ..Leaf::ZERO
                },
                0xD => Leaf {
                    eax: self.0 as u32,
                    edx: (self.0 >> 32) as u32,
                    ..Leaf::ZERO
                },
                _ => Leaf::ZERO,
            }
        }
    }
    // Also from a hypervisor below us that offers us odd combinations.
    for supported in 0..1024 {
        let permitted = xstate::permitted(&Xsave(supported | 1 | 1 << 62));
        assert_eq!(permitted & !supported & !1, 0);
        assert!(
            validate_xcr0(permitted, permitted).is_ok(),
            "{supported:#x}: {permitted:#x}"
        );
    }
    assert_eq!(xstate::permitted(&Host), 0);
}

#[test]
fn cr0_changes_only_in_ts() {
    let hardware = 0x8005_003B;
    for ts in [TaskSwitched::Set, TaskSwitched::Clear] {
        let view = read_cr0(hardware, ts);
        assert_eq!(view & !CR0_TS, hardware & !CR0_TS);
        assert_eq!(write_cr0(hardware, view), Ok(ts));
        for bit in (0..64).filter(|bit| 1 << bit != CR0_TS) {
            assert_eq!(write_cr0(hardware, view ^ 1 << bit), Err(Refused), "{bit}");
        }
    }
}

#[test]
fn cr4_keeps_what_the_guest_may_set_and_drops_the_rest() {
    for (xcr0_permitted, has_fsgsbase, permitted) in [
        (0, false, 0xC),
        (7, false, 0x4_000C),
        (0, true, 0x1_000C),
        (0xE7, true, 0x5_000C),
    ] {
        let policy = Policy {
            xcr0_permitted,
            has_fsgsbase,
            ..bare()
        };
        for bit in 0..64 {
            assert_eq!(write_cr4(&policy, 1 << bit), 1 << bit & permitted, "{bit}");
        }
        assert_eq!(write_cr4(&policy, u64::MAX), permitted);
    }
}

#[test]
fn cr4_reads_show_the_hypervisors_share() {
    // PAE MCE OSFXSR OSXMMEXCPT of a hypervisor that has SMEP, SMAP, PGE, OSXSAVE and more.
    assert_eq!(read_cr4(u64::MAX, 0), 0x660);
    assert_eq!(read_cr4(0x620, CR4_OSXSAVE), 0x4_0620);
    for bit in 0..64 {
        let guest = write_cr4(
            &Policy {
                xcr0_permitted: 7,
                has_fsgsbase: true,
                ..bare()
            },
            1 << bit,
        );
        // What is in force: the guest's TSD, DE and FSGSBASE; everything else is the hypervisor's, but UMIP.
        let hardware = hardware_cr4(0x37_0FF0, guest, TscAccess::Native);
        assert_eq!(hardware, 0x36_07F0 & !0xC | guest & 0x1_000C, "{bit}");
    }
    assert_eq!(hardware_cr4(0x20, 0, TscAccess::Emulated), 0x24);
}

#[test]
fn efer_is_read_only_and_without_surprises() {
    // SVME, LMSLE, FFXSR, TCE and unknown bits are hidden.
    assert_eq!(read_efer(u64::MAX), 0xD01);
    assert_eq!(write_efer(0xFD01, 0xD01), Ok(()));
    for bit in 0..64 {
        assert_eq!(write_efer(0xFD01, 0xD01 ^ 1 << bit), Err(Refused), "{bit}");
    }
}

#[test]
fn breakpoints_stay_out_of_the_hypervisor() {
    let mut registers = DebugRegisters::default();
    for number in 0..4 {
        for (address, expected) in [
            (0, Ok(())),
            (0x0000_7FFF_FFFF_FFFF, Ok(())),
            (0x0000_8000_0000_0000, Err(DebugError::BadAddress)),
            (0x8000_0000_0000_0000, Err(DebugError::BadAddress)),
            (0xFFFF_7FFF_FFFF_FFFF, Err(DebugError::BadAddress)),
            (0xFFFF_8000_0000_0000, Err(DebugError::BadAddress)),
            (0xFFFF_87FF_FFFF_FFFF, Err(DebugError::BadAddress)),
            (0xFFFF_8800_0000_0000, Ok(())),
            (u64::MAX, Ok(())),
        ] {
            let before = registers;
            assert_eq!(registers.set(number, address, 0), expected);
            let read = registers.get(number, 0).unwrap();
            assert_eq!(
                read,
                if expected.is_ok() {
                    address
                } else {
                    before.get(number, 0).unwrap()
                }
            );
        }
    }
}

#[test]
fn dr4_and_dr5_are_aliases_without_debugging_extensions() {
    let mut registers = DebugRegisters::default();
    assert_eq!(registers.set(5, 0x401, 0), Ok(()));
    assert_eq!(registers.set(4, 0xF, 0), Ok(()));
    assert_eq!(
        (registers.get(7, 0), registers.get(5, 0)),
        (Ok(0x401), Ok(0x401))
    );
    assert_eq!(
        (registers.get(6, 0), registers.get(4, 0)),
        (Ok(0xFFFF_0FFF), Ok(0xFFFF_0FFF))
    );
    for number in [4, 5] {
        assert_eq!(
            registers.set(number, 0, CR4_DE),
            Err(DebugError::NoRegister)
        );
        assert_eq!(registers.get(number, CR4_DE), Err(DebugError::NoRegister));
    }
    for number in [8, 9, 100, u32::MAX] {
        assert_eq!(registers.set(number, 0, 0), Err(DebugError::NoRegister));
        assert_eq!(registers.get(number, 0), Err(DebugError::NoRegister));
    }
}

#[test]
fn reserved_bits_of_dr6_and_dr7_are_what_they_must_be() {
    for bit in 0..64 {
        let value = 1u64 << bit;
        let mut registers = DebugRegisters::default();
        let set = registers.set(6, value, 0);
        if bit >= 32 {
            assert_eq!(set, Err(DebugError::UpperBits));
            assert_eq!(registers.set(7, value, 0), Err(DebugError::UpperBits));
            assert_eq!(registers, DebugRegisters::default());
            continue;
        }
        // Bits 0-3, 13, 14, 15 are the guest's.
        let own = if matches!(bit, 0..=3 | 13..=15) {
            value
        } else {
            0
        };
        assert_eq!((set, registers.get(6, 0)), (Ok(()), Ok(0xFFFF_0FF0 | own)));

        let set = registers.set(7, value, 0);
        if bit == 13 {
            assert_eq!(set, Err(DebugError::NotPermitted));
        } else {
            let own = if matches!(bit, 0..=10 | 16..=31) {
                value
            } else {
                0
            };
            assert_eq!((set, registers.get(7, 0)), (Ok(()), Ok(0x400 | own)));
        }
    }
}

#[test]
fn io_breakpoints_need_debugging_extensions_and_never_reach_the_processor() {
    for index in 0..4u32 {
        for enable in 1..4u64 {
            let dr7 = enable << (2 * index) | 2 << (16 + 4 * index) | 0x400;
            let mut registers = DebugRegisters::default();
            assert_eq!(registers.set(7, dr7, 0), Err(DebugError::NotPermitted));
            assert_eq!(registers.set(7, dr7, CR4_DE), Ok(()));
            assert_eq!(
                (registers.hardware_dr7(), registers.is_active()),
                (0x400, false)
            );
            registers.set(index, 0x3F8, CR4_DE).unwrap();
            assert_eq!(registers.io_breakpoints(0x3F8, 1), 1 << index);
            assert_eq!(registers.io_breakpoints(0x3F9, 1), 0);
            assert_eq!(registers.io_breakpoints(0x3F5, 4), 1 << index);
            assert_eq!(registers.io_breakpoints(0x3F4, 4), 0);
        }
        // Disabled, it may stand.
        let mut registers = DebugRegisters::default();
        assert_eq!(registers.set(7, 2 << (16 + 4 * index), 0), Ok(()));
        assert_eq!(registers.io_breakpoints(0, 4), 0);
        // Another kind reaches the processor whole.
        let dr7 = 0x400 | 1 << (2 * index) | 0xD << (16 + 4 * index);
        assert_eq!(registers.set(7, dr7, 0), Ok(()));
        assert_eq!(
            (registers.hardware_dr7(), registers.is_active()),
            (dr7, true)
        );
    }
}

#[test]
fn io_breakpoints_cover_their_length() {
    let mut registers = DebugRegisters::default();
    // Four bytes, from an address whose low bits are ignored.
    registers.set(0, 0x106, CR4_DE).unwrap();
    registers.set(7, 1 | 2 << 16 | 3 << 18, CR4_DE).unwrap();
    let hit: Vec<u16> = (0xF8..0x110)
        .filter(|port| registers.io_breakpoints(*port, 1) != 0)
        .collect();
    assert_eq!(hit, [0x104, 0x105, 0x106, 0x107]);
    assert_eq!(registers.io_breakpoints(0xFFFF, 4), 0);
}

#[test]
fn reports_add_to_dr6() {
    let mut registers = DebugRegisters::default();
    registers.report(1 << 14);
    registers.report(2 | 0xABCD_0000_0000_1000);
    assert_eq!(registers.get(6, 0), Ok(0xFFFF_4FF2));
}
