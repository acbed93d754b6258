//! Who we are: version, capabilities, features.

#![forbid(unsafe_code)]

use super::{Answer, read, write};
use crate::arch::guest::running::Guest;
use guest_abi::errno::Errno;
use guest_abi::features::Features;
use guest_abi::ids::PAGE_SIZE;
use guest_abi::version::{
    BuildId, CAPABILITIES_SIZE, CAPABILITY_64BIT, CHANGESET_SIZE, COMMAND_LINE_SIZE, CompileInfo,
    EXTRA_VERSION_SIZE, FeatureInfo, GUEST_HANDLE_SIZE, MAJOR, MINOR, PlatformParameters,
    VersionOp,
};
use zerocopy::FromZeros;

/// A text in a field of `N` bytes, terminated, the rest zero.
fn text<const N: usize>(text: &str) -> [u8; N] {
    let mut field = [0; N];
    let count = text.len().min(N - 1);
    if let (Some(to), Some(from)) = (field.get_mut(..count), text.as_bytes().get(..count)) {
        to.copy_from_slice(from);
    }
    field
}

pub(super) fn version(guest: &Guest<'_>, operation: u64, argument: u64) -> Answer {
    let operation = u32::try_from(operation)
        .ok()
        .and_then(|op| VersionOp::try_from(op).ok())
        .ok_or(Errno::ENOSYS)?;
    match operation {
        VersionOp::Version => return Ok(u64::from(MAJOR << 16 | MINOR)),
        VersionOp::PageSize => {
            return if argument == 0 {
                Ok(PAGE_SIZE as u64)
            } else {
                Err(Errno::EINVAL)
            };
        }
        VersionOp::ExtraVersion => write(argument, &text::<EXTRA_VERSION_SIZE>(".0-paravane"))?,
        VersionOp::CompileInfo => {
            let mut info = CompileInfo::new_zeroed();
            info.compiler = text("rustc");
            info.compile_by = text("paravane");
            write(argument, &info)?;
        }
        VersionOp::Capabilities => {
            let mut field = text::<CAPABILITIES_SIZE>(CAPABILITY_64BIT);
            if let Some(end) = field.get_mut(CAPABILITY_64BIT.len()) {
                *end = b' ';
            }
            write(argument, &field)?;
        }
        VersionOp::Changeset => {
            write(argument, &text::<CHANGESET_SIZE>(env!("CARGO_PKG_VERSION")))?
        }
        VersionOp::PlatformParameters => {
            write(
                argument,
                &PlatformParameters {
                    virt_start: crate::arch::layout::HYPERVISOR_START,
                },
            )?;
        }
        VersionOp::GetFeatures => {
            let mut info: FeatureInfo = read(argument)?;
            if info.submap_idx != 0 {
                return Err(Errno::EINVAL);
            }
            info.submap = Features::PAE_PGDIR_ABOVE_4GB
                | Features::MMU_PT_UPDATE_PRESERVE_AD
                | Features::HIGHMEM_ASSIST
                | Features::GNTTAB_MAP_AVAIL_BITS
                | Features::MEMORY_OP_VNODE_SUPPORTED
                | Features::DIRECT_MAPPED;
            if guest.domain.is_hardware_domain() {
                info.submap |= Features::DOM0;
            }
            write(argument, &info)?;
        }
        VersionOp::GuestHandle => write(argument, &[0u8; GUEST_HANDLE_SIZE])?,
        VersionOp::CommandLine => write(argument, &text::<COMMAND_LINE_SIZE>(""))?,
        VersionOp::BuildId => {
            let _: BuildId = read(argument)?;
            return Err(Errno::ENODATA);
        }
    }
    Ok(0)
}
