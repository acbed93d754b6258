//! Model-specific registers, row by row, and what is outside the table.

use super::cpuid::Vendor;
use super::msr::{self, BaseRegister, MsrContext, MsrRead, MsrWrite};
use super::msr_table::TABLE;
use super::state_tests::bare;
use super::{Policy, Speculation};

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
