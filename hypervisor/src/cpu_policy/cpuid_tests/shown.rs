//! What must be seen, and by whom.

use super::*;

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
fn machine_checks_are_shown_where_the_processor_has_them_with_registers() {
    use crate::cpu_policy::cpuid_bits::leaf_1_edx::{MCA, MCE};
    let shown = |host: &dyn Fn(u32) -> u32| {
        struct Host<'h>(&'h dyn Fn(u32) -> u32);
        impl HostCpuid for Host<'_> {
            fn leaf(&self, leaf: u32, subleaf: u32) -> Leaf {
                let whole = INTEL.leaf(leaf, subleaf);
                match leaf {
                    1 => Leaf {
                        edx: (self.0)(whole.edx),
                        ..whole
                    },
                    _ => whole,
                }
            }
        }
        see(&Host(host), KERNEL, 1, 0).edx & (MCE | MCA)
    };
    assert_eq!(shown(&|edx| edx), MCE | MCA);
    assert_eq!(shown(&|edx| edx & !MCA), 0);
    assert_eq!(shown(&|edx| edx & !MCE), 0);
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
