//! XCR0 and the sizes that follow from it.

use super::cpuid::{HostCpuid, Leaf};
use super::cpuid_bits::{leaf_1_ecx, leaf_d_1_eax};

/// x87 state; always on.
pub const X87: u64 = 1 << 0;
/// XMM registers.
pub const SSE: u64 = 1 << 1;
/// Upper halves of the YMM registers.
pub const AVX: u64 = 1 << 2;
/// Bound registers.
pub const BNDREGS: u64 = 1 << 3;
/// Bound configuration.
pub const BNDCSR: u64 = 1 << 4;
/// AVX-512 mask registers.
pub const OPMASK: u64 = 1 << 5;
/// Upper halves of ZMM0 to ZMM15.
pub const ZMM_HI256: u64 = 1 << 6;
/// ZMM16 to ZMM31.
pub const HI16_ZMM: u64 = 1 << 7;
/// Protection key rights.
pub const PKRU: u64 = 1 << 9;
/// Tile configuration.
pub const TILE_CONFIG: u64 = 1 << 17;
/// Tile data.
pub const TILE_DATA: u64 = 1 << 18;

/// AVX-512 is enabled as a whole.
pub const AVX512: u64 = OPMASK | ZMM_HI256 | HI16_ZMM;
/// Components that the hypervisor saves and offers.
pub const OFFERED: u64 = X87 | SSE | AVX | AVX512;

/// Size of the legacy region and the header of an XSAVE area, in bytes.
const LEGACY_AND_HEADER: u32 = 512 + 64;

/// Why a value can't be loaded into XCR0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Xcr0Error {
    /// A component that this guest isn't offered.
    NotPermitted,
    /// x87 state is off.
    NoX87,
    /// A component without one that it builds on, or half of a pair.
    Dependency,
}

/// Checks that `value` may be loaded into XCR0 by a guest that is offered `permitted`.
///
/// # Errors
///
/// The rule that is broken; the guest gets #GP(0).
pub const fn validate_xcr0(value: u64, permitted: u64) -> Result<(), Xcr0Error> {
    if value & !permitted != 0 {
        return Err(Xcr0Error::NotPermitted);
    }
    if value & X87 == 0 {
        return Err(Xcr0Error::NoX87);
    }
    let is_consistent = requires(value, AVX, SSE)
        && all_or_none(value, BNDREGS | BNDCSR)
        && all_or_none(value, AVX512)
        && requires(value, AVX512, AVX)
        && all_or_none(value, TILE_CONFIG | TILE_DATA);
    if is_consistent {
        Ok(())
    } else {
        Err(Xcr0Error::Dependency)
    }
}

const fn requires(value: u64, components: u64, others: u64) -> bool {
    value & components == 0 || value & others == others
}

const fn all_or_none(value: u64, components: u64) -> bool {
    value & components == 0 || value & components == components
}

/// The components that the hypervisor can offer on `host`; 0 without XSAVE.
#[must_use]
pub fn permitted(host: &impl HostCpuid) -> u64 {
    if host.leaf(1, 0).ecx & leaf_1_ecx::XSAVE == 0 || host.leaf(0, 0).eax < 0xD {
        return 0;
    }
    let supported = host.leaf(0xD, 0);
    let mut components = (u64::from(supported.edx) << 32 | u64::from(supported.eax)) & OFFERED;
    // A hypervisor below us may have left out a part.
    if !all_or_none(components, AVX512) || !requires(components, AVX512, AVX) {
        components &= !AVX512;
    }
    if !requires(components, AVX, SSE) {
        components &= !(AVX | AVX512);
    }
    components
}

/// Leaf 0xD for a guest whose XCR0 is `xcr0`.
#[must_use]
pub(super) fn leaf_d(host: &impl HostCpuid, subleaf: u32, permitted: u64, xcr0: u64) -> Leaf {
    if permitted == 0 {
        return Leaf::ZERO;
    }
    let xcr0 = xcr0 & permitted;
    match subleaf {
        0 => Leaf {
            eax: permitted as u32,
            ebx: standard_size(host, xcr0),
            ecx: standard_size(host, permitted),
            edx: (permitted >> 32) as u32,
        },
        1 => {
            let shown = leaf_d_1_eax::XSAVEOPT | leaf_d_1_eax::XSAVEC | leaf_d_1_eax::XGETBV1;
            let eax = host.leaf(0xD, 1).eax & shown;
            let ebx = if eax & leaf_d_1_eax::XSAVEC != 0 {
                compacted_size(host, xcr0)
            } else {
                0
            };
            Leaf {
                eax,
                ebx,
                ecx: 0,
                edx: 0,
            }
        }
        2..64 if permitted & 1u64.wrapping_shl(subleaf) != 0 => {
            let component = host.leaf(0xD, subleaf);
            Leaf {
                ecx: component.ecx & ALIGNED,
                edx: 0,
                ..component
            }
        }
        _ => Leaf::ZERO,
    }
}

/// Leaf 0xD, ECX of a component: it starts at a multiple of 64 bytes in the compacted format.
const ALIGNED: u32 = 2;

/// The extended components (2 and above) in `components`, ascending, as leaf 0xD describes them.
fn extended(host: &impl HostCpuid, components: u64) -> impl Iterator<Item = Leaf> {
    (2..63u32)
        .filter(move |n| components & 1u64.wrapping_shl(*n) != 0)
        .map(|n| host.leaf(0xD, n))
}

/// Bytes of an XSAVE area in the standard format.
#[must_use]
pub fn standard_size(host: &impl HostCpuid, components: u64) -> u32 {
    extended(host, components)
        .map(|component| component.ebx.saturating_add(component.eax))
        .fold(LEGACY_AND_HEADER, u32::max)
}

/// Bytes of an XSAVE area in the compacted format.
#[must_use]
pub fn compacted_size(host: &impl HostCpuid, components: u64) -> u32 {
    extended(host, components).fold(LEGACY_AND_HEADER, |end, component| {
        let start = if component.ecx & ALIGNED != 0 {
            end.saturating_add(63) & !63
        } else {
            end
        };
        start.saturating_add(component.eax)
    })
}
