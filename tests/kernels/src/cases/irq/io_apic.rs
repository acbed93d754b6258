//! `apic_read` shows the IO-APIC; there is none elsewhere.

use super::*;
use guest_abi::physdev::{Apic, PhysdevOp};

/// Where PCs have it.
const ADDRESS: u64 = 0xfec0_0000;

fn read(apic_physbase: u64, reg: u32) -> Result<u32, Errno> {
    let mut wish = Apic {
        apic_physbase,
        reg,
        value: 0x5a5a_5a5a,
    };
    pirq::operate(PhysdevOp::ApicRead, &mut wish)?;
    Ok(wish.value)
}

pub(crate) fn run() {
    let version = read(ADDRESS, 1).expect("an IO-APIC");
    assert_eq!(version >> 16 & 0xff, 23, "{version:#x}");
    assert!(matches!(version & 0xff, 0x11 | 0x20), "{version:#x}");
    assert_eq!(read(ADDRESS, 0).map(|word| word & 0xf0ff_ffff), Ok(0));
    // Lines that nobody uses are masked.
    for pin in 16..24 {
        let low = read(ADDRESS, 0x10 + 2 * pin).expect("a register");
        assert_ne!(low & 1 << 16, 0, "pin {pin}: {low:#x}");
    }
    assert_eq!(read(ADDRESS + 0x1000, 1), Err(Errno::EINVAL));
    assert_eq!(read(0, 1), Err(Errno::EINVAL));
}
