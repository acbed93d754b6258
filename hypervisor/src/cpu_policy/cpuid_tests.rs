//! What guests see, against lists of bits written down from the interface's description and not from the code.

use super::control::CR4_OSXSAVE;
use super::cpuid::{
    CpuidCaller, CpuidOrigin, CpuidState, HostCpuid, Leaf, TscInfo, Vendor, guest_cpuid,
};
use super::{GuestMode, Policy, Speculation};
use guest_abi::hypervisor_cpuid::TscMode;

/// A processor with every bit of every leaf set, but sane limits and vector state.
struct Everything {
    vendor: &'static [u8; 12],
}

const INTEL: Everything = Everything {
    vendor: b"GenuineIntel",
};
const AMD: Everything = Everything {
    vendor: b"AuthenticAMD",
};

const ALL: Leaf = Leaf {
    eax: u32::MAX,
    ebx: u32::MAX,
    ecx: u32::MAX,
    edx: u32::MAX,
};

impl HostCpuid for Everything {
    fn leaf(&self, leaf: u32, subleaf: u32) -> Leaf {
        let word = |at: usize| u32::from_le_bytes(self.vendor[at..at + 4].try_into().unwrap());
        match (leaf, subleaf) {
            (0, _) => Leaf {
                eax: 0x20,
                ebx: word(0),
                edx: word(4),
                ecx: word(8),
            },
            (0x8000_0000, _) => Leaf {
                eax: 0x8000_0028,
                ebx: word(0),
                edx: word(4),
                ecx: word(8),
            },
            (7, 0) => Leaf { eax: 5, ..ALL },
            (0xD, 0 | 1) => ALL,
            // Sizes and offsets as a processor of the time has them.
            (0xD, 2) => Leaf {
                eax: 256,
                ebx: 576,
                ecx: 0,
                edx: 0,
            },
            (0xD, 5) => Leaf {
                eax: 64,
                ebx: 1088,
                ecx: 0,
                edx: 0,
            },
            (0xD, 6) => Leaf {
                eax: 512,
                ebx: 1152,
                ecx: 2,
                edx: 0,
            },
            (0xD, 7) => Leaf {
                eax: 1024,
                ebx: 1664,
                ecx: 2,
                edx: 0,
            },
            (0xD, 9) => Leaf {
                eax: 8,
                ebx: 2688,
                ecx: 0,
                edx: 0,
            },
            _ => ALL,
        }
    }
}

/// A processor of which everything is known to be absent.
struct Nothing;
impl HostCpuid for Nothing {
    fn leaf(&self, leaf: u32, _subleaf: u32) -> Leaf {
        match leaf {
            0 => Leaf {
                eax: 0xD,
                ..Leaf::ZERO
            },
            0x8000_0000 => Leaf {
                eax: 0x8000_0008,
                ..Leaf::ZERO
            },
            _ => Leaf::ZERO,
        }
    }
}

const KERNEL: CpuidCaller = CpuidCaller {
    is_dom0: false,
    mode: GuestMode::Kernel,
    origin: CpuidOrigin::Forced,
};
const DOM0: CpuidCaller = CpuidCaller {
    is_dom0: true,
    ..KERNEL
};

const TSC: TscInfo = TscInfo {
    is_emulated: true,
    is_host_reliable: true,
    mode: TscMode::AlwaysEmulate,
    guest_khz: 2_300_000,
    host_khz: 2_299_960,
    incarnation: 3,
    offset_ns: 0x1234_5678_9ABC_DEF0,
    multiplier: 0x6F3A_1122,
    shift: -1,
};
const STATE: CpuidState = CpuidState {
    cr4: 0,
    xcr0: 1,
    tsc: TSC,
};

fn see(host: &impl HostCpuid, caller: CpuidCaller, leaf: u32, subleaf: u32) -> Leaf {
    guest_cpuid(host, &Policy::for_host(host), caller, &STATE, leaf, subleaf)
}

fn bits(numbers: &[u32]) -> u32 {
    numbers.iter().fold(0, |bits, number| bits | 1 << number)
}

fn mask(ranges: &[(u32, u32)]) -> u32 {
    ranges
        .iter()
        .flat_map(|(first, last)| *first..=*last)
        .fold(0, |bits, number| bits | 1 << number)
}

#[test]
fn signature_is_found() {
    for caller in [
        KERNEL,
        DOM0,
        CpuidCaller {
            mode: GuestMode::User,
            ..KERNEL
        },
    ] {
        let leaf = see(&Nothing, caller, 0x4000_0000, 7);
        let text: Vec<u8> = [leaf.ebx, leaf.ecx, leaf.edx]
            .into_iter()
            .flat_map(u32::to_le_bytes)
            .collect();
        assert_eq!(
            (leaf.eax, text.as_slice()),
            (0x4000_0005, b"XenVMMXenVMM".as_slice())
        );
    }
}

#[test]
fn hypervisor_leaves_tell_version_page_time_and_width() {
    let leaf = |leaf: u32, subleaf| see(&INTEL, KERNEL, 0x4000_0000 + leaf, subleaf);
    let quad = |eax, ebx, ecx, edx| Leaf { eax, ebx, ecx, edx };
    assert_eq!(leaf(1, 0), quad(0x4_0011, 0, 0, 0));
    assert_eq!(leaf(2, 0), quad(1, 0x4000_0000, 1, 0));
    assert_eq!(leaf(3, 0), quad(0b111, 1, 2_300_000, 3));
    assert_eq!(
        leaf(3, 1),
        quad(0x9ABC_DEF0, 0x1234_5678, 0x6F3A_1122, u32::MAX)
    );
    assert_eq!(leaf(3, 2), quad(2_299_960, 0, 0, 0));
    assert_eq!(leaf(4, 0), Leaf::ZERO);
    for beyond in [3, 6, 0x100, 0x0FFF_FFFF] {
        assert_eq!(leaf(beyond, 3), Leaf::ZERO);
    }
}

#[test]
fn address_width_never_makes_kernels_ask_for_other_grant_tables() {
    for width in 36..=52 {
        let policy = Policy {
            machine_address_width: width,
            ..Policy::for_host(&INTEL)
        };
        let leaf = guest_cpuid(&INTEL, &policy, KERNEL, &STATE, 0x4000_0005, 0);
        assert_eq!(
            leaf,
            Leaf {
                ebx: u32::from(width.min(44)),
                ..Leaf::ZERO
            }
        );
    }
}

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

#[test]
fn the_basics_of_a_64_bit_kernel_are_shown() {
    let one = see(&INTEL, KERNEL, 1, 0);
    // FPU DE TSC MSR PAE CX8 APIC SEP CMOV PAT CLFLUSH MMX FXSR SSE SSE2.
    let needed = bits(&[0, 2, 4, 5, 6, 8, 9, 11, 15, 16, 19, 23, 24, 25, 26]);
    assert_eq!(one.edx & needed, needed);
    // SYSCALL NX RDTSCP LM.
    let needed = bits(&[11, 20, 27, 29]);
    assert_eq!(see(&INTEL, KERNEL, 0x8000_0001, 0).edx & needed, needed);
    // FSGSBASE AVX2 AVX512F.
    let needed = bits(&[0, 5, 16]);
    assert_eq!(see(&INTEL, KERNEL, 7, 0).ebx & needed, needed);
}

#[test]
fn sysenter_is_hidden_where_long_mode_has_none() {
    let has = |host| see(&host, KERNEL, 1, 0).edx >> 11 & 1;
    assert_eq!((has(INTEL), has(AMD)), (1, 0));
}

#[test]
fn a_guest_always_finds_apic_and_hypervisor() {
    let one = see(&Nothing, KERNEL, 1, 0);
    assert_eq!(
        one,
        Leaf {
            eax: 0,
            ebx: 1 << 16,
            ecx: 1 << 31,
            edx: 1 << 9
        }
    );
}

#[test]
fn nothing_is_shown_that_the_processor_lacks() {
    for leaf in (0..0x20).chain(0x8000_0000..0x8000_0030) {
        for subleaf in 0..4 {
            let seen = see(&Nothing, DOM0, leaf, subleaf);
            let allowed = match leaf {
                0 => Leaf {
                    eax: 0xD,
                    ..Leaf::ZERO
                },
                1 => Leaf {
                    ebx: 1 << 16,
                    ecx: 1 << 31,
                    edx: 1 << 9,
                    eax: 0,
                },
                0xB => Leaf {
                    ecx: subleaf,
                    ..Leaf::ZERO
                },
                0x8000_0000 => Leaf {
                    eax: 0x8000_0008,
                    ..Leaf::ZERO
                },
                0x8000_0008 => Leaf {
                    eax: 48 << 8,
                    ..Leaf::ZERO
                },
                _ => Leaf::ZERO,
            };
            assert_eq!(seen, allowed, "{leaf:#x}/{subleaf}");
        }
    }
}

#[test]
fn power_management_is_for_the_kernel_that_owns_the_hardware() {
    let has = |caller| {
        let leaf = see(&INTEL, caller, 1, 0);
        // EST, ACPI.
        (leaf.ecx >> 7 & 1, leaf.edx >> 22 & 1)
    };
    assert_eq!(has(DOM0), (1, 1));
    assert_eq!(
        has(CpuidCaller {
            mode: GuestMode::User,
            ..DOM0
        }),
        (0, 0)
    );
    assert_eq!(has(KERNEL), (0, 0));
}

#[test]
fn osxsave_leaks_to_kernels_that_ask_by_the_mark_and_to_nobody_else() {
    for mode in [GuestMode::Kernel, GuestMode::User] {
        for origin in [CpuidOrigin::Forced, CpuidOrigin::Faulting] {
            for cr4 in [0, CR4_OSXSAVE] {
                let state = CpuidState { cr4, ..STATE };
                let caller = CpuidCaller {
                    is_dom0: false,
                    mode,
                    origin,
                };
                let leaf = guest_cpuid(&INTEL, &Policy::for_host(&INTEL), caller, &state, 1, 0);
                let expected =
                    cr4 != 0 || (mode == GuestMode::Kernel && origin == CpuidOrigin::Forced);
                assert_eq!(leaf.ecx >> 27 & 1 == 1, expected, "{caller:?} {cr4:#x}");
            }
        }
    }
}

#[test]
fn without_xsave_everything_above_it_goes() {
    let policy = Policy {
        xcr0_permitted: 0,
        ..Policy::for_host(&INTEL)
    };
    let state = CpuidState {
        cr4: CR4_OSXSAVE,
        ..STATE
    };
    let leaf = |leaf, subleaf| guest_cpuid(&INTEL, &policy, KERNEL, &state, leaf, subleaf);
    // FMA XSAVE OSXSAVE AVX F16C.
    assert_eq!(leaf(1, 0).ecx & bits(&[12, 26, 27, 28, 29]), 0);
    // AVX2 and all AVX-512.
    assert_eq!(
        leaf(7, 0).ebx & bits(&[5, 16, 17, 21, 26, 27, 28, 30, 31]),
        0
    );
    // VBMI VBMI2 VAES VPCLMULQDQ VNNI BITALG VPOPCNTDQ.
    assert_eq!(leaf(7, 0).ecx & bits(&[1, 6, 9, 10, 11, 12, 14]), 0);
    assert_eq!(leaf(7, 0).edx & bits(&[2, 3]), 0);
    assert_eq!(leaf(7, 1).eax & bits(&[4, 5]), 0);
    // XOP FMA4.
    assert_eq!(leaf(0x8000_0001, 0).ecx & bits(&[11, 16]), 0);
    for subleaf in 0..64 {
        assert_eq!(leaf(0xD, subleaf), Leaf::ZERO);
    }
    // With AVX and no AVX-512, only that goes.
    let policy = Policy {
        xcr0_permitted: 7,
        ..policy
    };
    let leaf = guest_cpuid(&INTEL, &policy, KERNEL, &state, 7, 0);
    assert_eq!(
        leaf.ebx & bits(&[5, 16, 17, 21, 26, 27, 28, 30, 31]),
        1 << 5
    );
}

#[test]
fn sizes_follow_xcr0() {
    let policy = Policy::for_host(&INTEL);
    assert_eq!(policy.xcr0_permitted, 0xE7);
    let leaf = |xcr0, subleaf| {
        guest_cpuid(
            &INTEL,
            &policy,
            KERNEL,
            &CpuidState { xcr0, ..STATE },
            0xD,
            subleaf,
        )
    };
    // In the standard format the end of the last component; AVX-512 ends at 2688.
    for (xcr0, standard, compacted) in [
        (1, 576, 576),
        (3, 576, 576),
        (7, 832, 832),
        (0xE7, 2688, 2432),
    ] {
        assert_eq!(
            leaf(xcr0, 0),
            Leaf {
                eax: 0xE7,
                ebx: standard,
                ecx: 2688,
                edx: 0
            }
        );
        assert_eq!(
            leaf(xcr0, 1),
            Leaf {
                eax: 7,
                ebx: compacted,
                ecx: 0,
                edx: 0
            }
        );
    }
    assert_eq!(
        leaf(7, 2),
        Leaf {
            eax: 256,
            ebx: 576,
            ecx: 0,
            edx: 0
        }
    );
    assert_eq!(
        leaf(7, 6),
        Leaf {
            eax: 512,
            ebx: 1152,
            ecx: 2,
            edx: 0
        }
    );
    // Components that aren't offered, though the processor has them.
    for subleaf in [3, 4, 8, 9, 17, 18, 62, 63, 64, u32::MAX] {
        assert_eq!(leaf(7, subleaf), Leaf::ZERO);
    }
}

#[test]
fn each_virtual_processor_is_a_package_of_its_own() {
    let one = see(&INTEL, KERNEL, 1, 0);
    // Line size and brand stay, APIC ID is 0, there is one logical processor, HTT is off.
    assert_eq!((one.ebx, one.edx >> 28 & 1), (0x0001_FFFF, 0));
    assert_eq!(see(&INTEL, KERNEL, 4, 0).eax, 0x3FFF);
    assert_eq!(
        see(&AMD, KERNEL, 0x8000_0008, 0),
        Leaf {
            eax: 0x30FF,
            ebx: bits(&[0, 2, 26, 29]),
            ecx: 0,
            edx: 0
        }
    );
}

#[test]
fn amd_repeats_what_leaf_1_shows() {
    const REPEATED: u32 = 0x0183_F3FF;
    let one = see(&AMD, KERNEL, 1, 0).edx;
    assert_eq!(
        see(&AMD, KERNEL, 0x8000_0001, 0).edx & REPEATED,
        one & REPEATED
    );
    assert_eq!(
        see(&INTEL, KERNEL, 0x8000_0001, 0).edx & REPEATED & !(1 << 11),
        0
    );
}

#[test]
fn speculation_controls_are_shown_where_they_are_virtualized() {
    let speculation = Speculation {
        spec_ctrl_mask: 0x87,
        pred_cmd_mask: 1,
        has_flush_cmd: true,
        arch_capabilities: Some(0),
    };
    let policy = Policy {
        speculation,
        ..Policy::for_host(&AMD)
    };
    let leaf = |leaf, subleaf| guest_cpuid(&AMD, &policy, KERNEL, &STATE, leaf, subleaf);
    assert_eq!(leaf(7, 0).edx, bits(&[2, 3, 4, 10, 14, 26, 27, 28, 29, 31]));
    assert_eq!(leaf(7, 2).edx, bits(&[0, 5]));
    assert_eq!(
        leaf(0x8000_0008, 0).ebx,
        bits(&[0, 2, 12, 14, 15, 24, 26, 29, 30])
    );
    // Flushing predictions alone.
    let speculation = Speculation {
        pred_cmd_mask: 1,
        ..Speculation::default()
    };
    let policy = Policy {
        speculation,
        ..policy
    };
    let leaf = guest_cpuid(&AMD, &policy, KERNEL, &STATE, 0x8000_0008, 0);
    assert_eq!(leaf.ebx, bits(&[0, 2, 12, 26, 29, 30]));
}

#[test]
fn vendors_are_told_apart() {
    assert_eq!(Vendor::of(&INTEL), Vendor::Intel);
    assert_eq!(Vendor::of(&AMD), Vendor::Amd);
    assert_eq!(
        Vendor::of(&Everything {
            vendor: b"HygonGenuine"
        }),
        Vendor::Amd
    );
    assert_eq!(
        Vendor::of(&Everything {
            vendor: b"CentaurHauls"
        }),
        Vendor::Other
    );
}

#[test]
fn every_leaf_and_subleaf_has_an_answer() {
    // No panic, whatever is asked; extremes of the limits included.
    struct Odd(u32);
    impl HostCpuid for Odd {
        fn leaf(&self, _leaf: u32, _subleaf: u32) -> Leaf {
            Leaf {
                eax: self.0,
                ebx: self.0,
                ecx: self.0,
                edx: self.0,
            }
        }
    }
    for value in [0, 1, 0x7FFF_FFFF, 0x8000_0000, u32::MAX] {
        let policy = Policy {
            xcr0_permitted: u64::MAX,
            ..Policy::for_host(&Odd(value))
        };
        for leaf in (0..0x40)
            .chain(0x4000_0000..0x4000_0010)
            .chain(0x8000_0000..0x8000_0040)
            .chain([u32::MAX])
        {
            for subleaf in (0..70).chain([u32::MAX]) {
                let state = CpuidState {
                    xcr0: u64::MAX,
                    ..STATE
                };
                let _ = guest_cpuid(&Odd(value), &policy, DOM0, &state, leaf, subleaf);
            }
        }
    }
}
