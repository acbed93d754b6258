//! What guests see, against lists of bits written down from the interface's description and not from the code.

use super::control::CR4_OSXSAVE;
use super::cpuid::{
    CpuidCaller, CpuidOrigin, CpuidState, HostCpuid, Leaf, TscInfo, Vendor, guest_cpuid,
};
use super::{GuestMode, Policy, Speculation};
use guest_abi::hypervisor_cpuid::TscMode;

mod hidden;
mod shown;

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
