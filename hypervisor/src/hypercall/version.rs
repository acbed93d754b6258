//! Who we are: version, capabilities, features.

#![forbid(unsafe_code)]

use super::{Answer, read, write};
use crate::arch::boot::command_line;
use crate::arch::build_id;
use crate::arch::guest::access;
use crate::arch::guest::running::Guest;
use guest_abi::errno::Errno;
use guest_abi::features::Features;
use guest_abi::ids::{PAGE_SIZE, Vaddr};
use guest_abi::version::{
    BuildId, CAPABILITIES_SIZE, CAPABILITY_64BIT, CHANGESET_SIZE, COMMAND_LINE_SIZE, CompileInfo,
    EXTRA_VERSION_SIZE, FeatureInfo, MAJOR, MINOR, PlatformParameters, VersionOp,
};
use zerocopy::FromZeros;

/// Writes the build identifier behind its header. No pointer asks how long it is.
fn build_id(argument: u64) -> Answer {
    let id = build_id::build_id().ok_or(Errno::ENODATA)?;
    let length = id.len() as u32;
    if argument == 0 {
        return Ok(length.into());
    }
    let room: BuildId = read(argument)?;
    match room.len {
        0 => return Err(Errno::EINVAL),
        room if room < length => return Err(Errno::ENOBUFS),
        _ => {}
    }
    let at = argument.checked_add(size_of::<BuildId>() as u64);
    access::write_bytes(Vaddr(at.ok_or(Errno::EFAULT)?), id).map_err(|_| Errno::EFAULT)?;
    Ok(length.into())
}

/// A text in a field of `N` bytes, terminated, the rest zero.
fn text<const N: usize>(text: impl AsRef<[u8]>) -> [u8; N] {
    let mut field = [0; N];
    for (to, from) in field.iter_mut().take(N - 1).zip(text.as_ref()) {
        *to = *from;
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
        VersionOp::GuestHandle => write(argument, &guest.domain.settings().handle)?,
        // How the machine was booted is none of an ordinary domain's business, nor which build it is.
        VersionOp::CommandLine if !guest.domain.is_privileged() => {
            write(argument, &text::<COMMAND_LINE_SIZE>("<denied>"))?;
        }
        VersionOp::BuildId if !guest.domain.is_privileged() => return Err(Errno::EPERM),
        VersionOp::CommandLine => write(argument, &text::<COMMAND_LINE_SIZE>(command_line()))?,
        VersionOp::BuildId => return build_id(argument),
    }
    Ok(0)
}
