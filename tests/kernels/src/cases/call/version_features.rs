//! The features that kernels insist on are offered, those that would mislead them are not.

use super::super::prelude::*;
use guest_abi::features::Features;
use guest_abi::version::{FeatureInfo, VersionOp};

pub(crate) fn run() {
    let mut info = FeatureInfo::new_zeroed();
    let op = VersionOp::GetFeatures.number();
    assert_eq!(hypercall!(Version, op, &mut info), Ok(0));
    let shown = Features::MMU_PT_UPDATE_PRESERVE_AD
        | Features::GNTTAB_MAP_AVAIL_BITS
        | Features::HIGHMEM_ASSIST
        | Features::DOM0
        | Features::DIRECT_MAPPED;
    let hidden = Features::WRITABLE_PAGE_TABLES
        | Features::WRITABLE_DESCRIPTOR_TABLES
        | Features::AUTO_TRANSLATED_PHYSMAP
        | Features::SUPERVISOR_MODE_KERNEL
        | Features::HVM_CALLBACK_VECTOR
        | Features::NOT_DIRECT_MAPPED;
    assert!(info.submap.contains(shown), "{:?}", info.submap);
    assert!(!info.submap.intersects(hidden), "{:?}", info.submap);
    for index in [1, 2, u32::MAX] {
        info.submap_idx = index;
        assert_eq!(
            hypercall!(Version, op, &mut info),
            Err(Errno::EINVAL),
            "word {index}"
        );
    }
}
