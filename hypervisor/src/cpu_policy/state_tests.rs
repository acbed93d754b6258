//! Control registers, XCR0, debug registers and model-specific registers: exhaustive where the space is finite.

use super::control::*;
use super::cpuid::{HostCpuid, Leaf, Vendor};
use super::debug::{DebugError, DebugRegisters};
use super::msr::{self, BaseRegister, MsrContext, MsrRead, MsrWrite};
use super::msr_table::TABLE;
use super::xstate::{self, Xcr0Error, validate_xcr0};
use super::{Policy, Speculation};

struct Host;
impl HostCpuid for Host {
    fn leaf(&self, _leaf: u32, _subleaf: u32) -> Leaf {
        Leaf::ZERO
    }
}

/// A policy with nothing in it.
fn bare() -> Policy {
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
        // What is in force: the guest's TSD, DE and FSGSBASE; everything else is the hypervisor's.
        let hardware = hardware_cr4(0x37_07F0, guest, TscAccess::Native);
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
            (0xFFFF_7FFF_FFFF_FFFF, Ok(())),
            (0xFFFF_8000_0000_0000, Err(DebugError::HypervisorAddress)),
            (0xFFFF_87FF_FFFF_FFFF, Err(DebugError::HypervisorAddress)),
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

fn context(policy: &Policy) -> MsrContext<'_> {
    MsrContext {
        policy,
        is_dom0: false,
        is_boot_vcpu: true,
        has_gp_handler: true,
        hardware_efer: 0x1D01,
    }
}

fn with_everything(vendor: Vendor) -> Policy {
    Policy {
        vendor,
        xcr0_permitted: 7,
        has_fsgsbase: true,
        has_tsc_aux: true,
        has_machine_check: true,
        speculation: Speculation {
            spec_ctrl_mask: 7,
            pred_cmd_mask: 1,
            has_flush_cmd: true,
            arch_capabilities: Some(0x1B),
        },
        ..bare()
    }
}

#[test]
fn table_is_ascending() {
    for pair in TABLE.windows(2) {
        assert!(pair[0].first <= pair[0].last);
        let is_same = (pair[0].first, pair[0].last) == (pair[1].first, pair[1].last);
        assert!(is_same || pair[0].last < pair[1].first, "{pair:?}");
    }
}

#[test]
fn registers_outside_the_table_raise_an_exception() {
    let policy = with_everything(Vendor::Intel);
    let known = |msr: u32| {
        TABLE
            .iter()
            .any(|rule| (rule.first..=rule.last).contains(&msr))
    };
    let all = (0..0x2000)
        .chain(0x4000_0000..0x4000_0100)
        .chain(0xC000_0000..0xC001_2000);
    for msr in all.chain([u32::MAX]).filter(|msr| !known(*msr)) {
        assert_eq!(
            msr::read(msr, &context(&policy)),
            MsrRead::Fault,
            "{msr:#x}"
        );
        assert_eq!(
            msr::write(msr, 0, &context(&policy)),
            MsrWrite::Fault,
            "{msr:#x}"
        );
    }
}

#[test]
fn a_guest_without_a_handler_reads_zero_where_there_is_a_register() {
    let policy = with_everything(Vendor::Intel);
    let early = MsrContext {
        has_gp_handler: false,
        ..context(&policy)
    };
    assert_eq!(msr::read(0x1234, &early), MsrRead::ZeroIfHostHas);
    assert_eq!(
        msr::read(0xC000_0101, &early),
        MsrRead::Base(BaseRegister::Gs)
    );
    assert_eq!(msr::write(0x1234, 0, &early), MsrWrite::Fault);
}

#[test]
fn segment_bases_must_be_canonical() {
    let policy = bare();
    let bases = [
        (0xC000_0100, BaseRegister::Fs),
        (0xC000_0101, BaseRegister::Gs),
        (0xC000_0102, BaseRegister::KernelGs),
    ];
    for (msr, register) in bases {
        assert_eq!(msr::read(msr, &context(&policy)), MsrRead::Base(register));
        for value in [0, 0x7FFF_FFFF_FFFF, 0xFFFF_8000_0000_0000, u64::MAX] {
            assert_eq!(
                msr::write(msr, value, &context(&policy)),
                MsrWrite::Base(register, value)
            );
        }
        for value in [0x8000_0000_0000, 0xFFFF_7FFF_FFFF_FFFF, 1 << 63] {
            assert_eq!(msr::write(msr, value, &context(&policy)), MsrWrite::Fault);
        }
    }
}

#[test]
fn fixed_registers_read_as_documented() {
    let intel = with_everything(Vendor::Intel);
    let amd = with_everything(Vendor::Amd);
    let host = MsrRead::Host {
        keep: u64::MAX,
        set: 0,
    };
    for (msr, expected) in [
        (0x10, MsrRead::TimeStamp),
        (0x17, host),
        (0x1B, MsrRead::Value(0xFEE0_0900)),
        (0x3A, MsrRead::Value(1)),
        (0x48, MsrRead::SpecCtrl),
        (0x49, MsrRead::Fault),
        (0x8B, host),
        (0xCE, MsrRead::Value(0)),
        (0x10A, MsrRead::Value(0x1B)),
        (0x10B, MsrRead::Fault),
        (0x140, MsrRead::Value(0)),
        (0x174, MsrRead::Fault),
        (0x179, MsrRead::Value(1)),
        (0x17A, MsrRead::Value(0)),
        (0x186, MsrRead::Fault),
        (0x198, MsrRead::Value(0)),
        (0x199, MsrRead::Value(0)),
        (0x19C, MsrRead::Value(0)),
        (
            0x1A0,
            MsrRead::Host {
                keep: !0x4_0080,
                set: 0x1800,
            },
        ),
        (0x277, MsrRead::Value(0x0000_0501_0007_0406)),
        (0x400, MsrRead::Value(0)),
        (0x403, MsrRead::Value(0)),
        (0x404, MsrRead::Fault),
        (0x4000_0000, MsrRead::Fault),
        (0xC000_0080, MsrRead::Value(0xD01)),
        (0xC000_0081, MsrRead::Fault),
        (0xC000_0103, MsrRead::TscAux),
        (0xC001_0015, MsrRead::Fault),
    ] {
        assert_eq!(msr::read(msr, &context(&intel)), expected, "{msr:#x}");
    }
    for (msr, expected) in [
        (0x17, MsrRead::Fault),
        (0x8B, host),
        (0x1A0, MsrRead::Fault),
        (0xC001_0010, MsrRead::Fault),
        (0xC001_0015, MsrRead::Value(0)),
        (0xC001_001A, MsrRead::Fault),
        (0xC001_0020, MsrRead::Fault),
        (0xC001_0200, MsrRead::Fault),
        (0xC001_1029, MsrRead::Value(2)),
    ] {
        assert_eq!(msr::read(msr, &context(&amd)), expected, "{msr:#x}");
    }
    let dom0 = MsrContext {
        is_dom0: true,
        is_boot_vcpu: false,
        ..context(&amd)
    };
    for msr in [0xC001_0010, 0xC001_001A, 0xC001_001D] {
        assert_eq!(msr::read(msr, &dom0), host);
        assert_eq!(msr::write(msr, 0, &dom0), MsrWrite::Fault);
    }
    assert_eq!(msr::read(0x1B, &dom0), MsrRead::Value(0xFEE0_0800));
}

#[test]
fn writes_do_what_is_documented() {
    let intel = with_everything(Vendor::Intel);
    let amd = with_everything(Vendor::Amd);
    for (msr, value, expected) in [
        (0x10, 5, MsrWrite::Ignore),
        (0x17, 0, MsrWrite::Fault),
        (0x1B, 0xFEE0_0900, MsrWrite::Fault),
        (0x3A, 1, MsrWrite::Fault),
        (0x48, 7, MsrWrite::SpecCtrl(7)),
        (0x48, 8, MsrWrite::Fault),
        (0x49, 1, MsrWrite::Command(1)),
        (0x49, 2, MsrWrite::Fault),
        (0x8B, 0, MsrWrite::Ignore),
        (0x8B, 1, MsrWrite::Fault),
        (0x10A, 0x1B, MsrWrite::Fault),
        (0x10B, 1, MsrWrite::Command(1)),
        (0x10B, 3, MsrWrite::Fault),
        (0x140, 0, MsrWrite::Ignore),
        (0x140, 1, MsrWrite::Fault),
        (0x179, 1, MsrWrite::Ignore),
        (0x199, 0x1234, MsrWrite::Ignore),
        (0x1A0, u64::MAX, MsrWrite::Ignore),
        (0x277, 0x0000_0501_0007_0406, MsrWrite::Ignore),
        (0x277, 0x0007_0406_0007_0406, MsrWrite::Fault),
        (0x400, 0, MsrWrite::Ignore),
        (0x4000_0000, 0x1000, MsrWrite::HypercallPage(0x1000)),
        (0xC000_0080, 0xD01, MsrWrite::Ignore),
        (0xC000_0080, 0x1D01, MsrWrite::Fault),
        (0xC000_0082, 0, MsrWrite::Fault),
        (0xC000_0103, 0xFFFF_FFFF, MsrWrite::TscAux(0xFFFF_FFFF)),
        (0xC000_0103, 0x1_0000_0000, MsrWrite::Fault),
        (0xC001_0007, 0xFFFF, MsrWrite::Fault),
    ] {
        assert_eq!(
            msr::write(msr, value, &context(&intel)),
            expected,
            "{msr:#x}"
        );
    }
    for (msr, value, expected) in [
        (0x8B, 0, MsrWrite::Fault),
        (0xC001_0015, 5, MsrWrite::Ignore),
        (0xC001_0020, 5, MsrWrite::Fault),
        (0xC001_1029, 0, MsrWrite::Ignore),
    ] {
        assert_eq!(msr::write(msr, value, &context(&amd)), expected, "{msr:#x}");
    }
}

#[test]
fn what_is_not_offered_raises_an_exception() {
    let policy = Policy {
        vendor: Vendor::Intel,
        ..bare()
    };
    for msr in [0x48, 0x49, 0x10A, 0x10B, 0x179, 0x17A, 0x400, 0xC000_0103] {
        assert_eq!(
            msr::read(msr, &context(&policy)),
            MsrRead::Fault,
            "{msr:#x}"
        );
        assert_eq!(
            msr::write(msr, 0, &context(&policy)),
            MsrWrite::Fault,
            "{msr:#x}"
        );
    }
}
