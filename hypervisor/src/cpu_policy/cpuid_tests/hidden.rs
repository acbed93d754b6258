//! What nobody may see.

use super::*;

/// Bits by leaf, subleaf and register that no guest may ever see: those that the interface's description names.
fn hidden() -> Vec<(u32, u32, char, u32)> {
    vec![
        // VME PSE MTRR PGE PSE36 DS TM PBE, and what is reserved.
        (
            1,
            0,
            'd',
            bits(&[1, 3, 10, 12, 13, 17, 18, 20, 21, 29, 30, 31]),
        ),
        // DTES64 MONITOR DSCPL VMX SMX TM2, CNXT-ID SDBG XTPR PDCM, reserved, PCID DCA X2APIC TSC_DEADLINE.
        (
            1,
            0,
            'c',
            bits(&[2, 3, 4, 5, 6, 8, 10, 11, 14, 15, 16, 17, 18, 21, 24]),
        ),
        // TSC_ADJUST SGX HLE SMEP INVPCID RTM PQM MPX PQE SMAP PCOMMIT PT.
        (
            7,
            0,
            'b',
            bits(&[1, 2, 4, 7, 10, 11, 12, 14, 15, 20, 22, 25]),
        ),
        // UMIP PKU OSPKE WAITPKG CET_SS TME LA57, MAWAU, KL, BUSLOCK, MOVDIR*, ENQCMD SGX_LC PKS.
        (
            7,
            0,
            'c',
            bits(&[2, 3, 4, 5, 7, 13, 15, 16]) | mask(&[(17, 21), (23, 24), (26, 31)]),
        ),
        // All but instructions, MD_CLEAR; CET_IBT and AMX among the hidden, speculation controls as not virtualized.
        (7, 0, 'd', !bits(&[2, 3, 4, 10, 14])),
        (7, 1, 'a', !bits(&[4, 5, 10, 11, 12])),
        (7, 1, 'd', u32::MAX),
        (7, 2, 'd', !bits(&[5])),
        (0xD, 1, 'a', !0b111),
        (0xD, 1, 'c', u32::MAX),
        // FFXSR PAGE1GB.
        (0x8000_0001, 0, 'd', bits(&[25, 26])),
        // CMP_LEGACY SVM EXTAPIC CR8_LEGACY OSVW IBS SKINIT WDT LWP TCE NODEID TOPOEXT, counters, DBEXT, MONITORX and up.
        (
            0x8000_0001,
            0,
            'c',
            bits(&[1, 2, 3, 4, 9, 10, 12, 13, 14, 15, 17, 18, 19, 20]) | mask(&[(22, 31)]),
        ),
        (0x8000_0007, 0, 'a', u32::MAX),
        (0x8000_0007, 0, 'd', u32::MAX),
        (0x8000_0008, 0, 'b', !bits(&[0, 2, 26, 29])),
        (0x8000_0021, 0, 'a', !bits(&[2, 5, 6, 29])),
    ]
}

fn register(leaf: Leaf, name: char) -> u32 {
    match name {
        'a' => leaf.eax,
        'b' => leaf.ebx,
        'c' => leaf.ecx,
        _ => leaf.edx,
    }
}

#[test]
fn what_must_be_hidden_is_hidden_from_everyone_whatever_the_processor_has() {
    for host in [INTEL, AMD] {
        for is_dom0 in [false, true] {
            for mode in [GuestMode::Kernel, GuestMode::User] {
                for origin in [CpuidOrigin::Forced, CpuidOrigin::Faulting] {
                    let caller = CpuidCaller {
                        is_dom0,
                        mode,
                        origin,
                    };
                    for (leaf, subleaf, name, hidden) in hidden() {
                        let seen = register(see(&host, caller, leaf, subleaf), name);
                        assert_eq!(seen & hidden, 0, "{leaf:#x}/{subleaf} {name} {caller:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn leaves_without_rules_are_empty() {
    for leaf in [
        3,
        5,
        6,
        8,
        9,
        0xA,
        0xC,
        0xE,
        0xF,
        0x14,
        0x19,
        0x1D,
        0x20,
        0x21,
        0x1000_0000,
        0x5000_0000,
    ] {
        assert_eq!(see(&INTEL, DOM0, leaf, 0), Leaf::ZERO, "{leaf:#x}");
    }
    for leaf in [
        0x8000_000A,
        0x8000_001B,
        0x8000_001D,
        0x8000_001E,
        0x8000_0022,
        0xC000_0000,
        u32::MAX,
    ] {
        assert_eq!(see(&AMD, DOM0, leaf, 0), Leaf::ZERO, "{leaf:#x}");
    }
    assert_eq!(
        see(&INTEL, KERNEL, 0xB, 1),
        Leaf {
            ecx: 1,
            ..Leaf::ZERO
        }
    );
}
