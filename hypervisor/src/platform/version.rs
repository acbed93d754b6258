//! Who we are: version, capabilities, features.
#![forbid(unsafe_code)]

use super::CallersMemory;
use crate::control::privilege::{self, Rights, Whom};
use guest_abi::errno::Errno;
use guest_abi::features::Features;
use guest_abi::ids::{PAGE_SIZE, Vaddr};
use guest_abi::version::{
    BuildId, CAPABILITIES_SIZE, CAPABILITY_64BIT, CHANGESET_SIZE, COMMAND_LINE_SIZE, CompileInfo,
    EXTRA_VERSION_SIZE, FeatureInfo, GUEST_HANDLE_SIZE, MAJOR, MINOR, PlatformParameters,
    VersionOp,
};
use zerocopy::FromZeros;

/// Who asks, and what only some are told.
pub trait Identity {
    /// What the caller may do.
    fn rights(&self) -> Rights;
    /// Whether it owns the hardware.
    fn is_hardware_domain(&self) -> bool;
    /// The number that tools have given it.
    fn handle(&self) -> [u8; GUEST_HANDLE_SIZE];
    /// The hypervisor's command line.
    fn command_line(&self) -> &[u8];
    /// What tells one build of the hypervisor from others.
    fn build_id(&self) -> Option<&[u8]>;
}

/// Writes the build identifier behind its header. No pointer asks how long it is.
fn build_id(
    memory: &impl CallersMemory,
    identity: &impl Identity,
    argument: u64,
) -> Result<u64, Errno> {
    let id = identity.build_id().ok_or(Errno::ENODATA)?;
    let length = id.len() as u32;
    if argument == 0 {
        return Ok(length.into());
    }
    let room: BuildId = memory.read(argument)?;
    match room.len {
        0 => return Err(Errno::EINVAL),
        room if room < length => return Err(Errno::ENOBUFS),
        _ => {}
    }
    let at = argument.checked_add(size_of::<BuildId>() as u64);
    memory.write_bytes(at.ok_or(Errno::EFAULT)?, id)?;
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

/// Does `xen_version`.
///
/// # Errors
/// `ENOSYS` for what there is not, `EPERM`, `EINVAL`, `ENOBUFS`, `ENODATA` and `EFAULT`.
#[inline]
pub fn version(
    memory: &impl CallersMemory,
    identity: &impl Identity,
    operation: u64,
    argument: u64,
) -> Result<u64, Errno> {
    let operation = u32::try_from(operation)
        .ok()
        .and_then(|op| VersionOp::try_from(op).ok())
        .ok_or(Errno::ENOSYS)?;
    let admitted = privilege::version(operation).admit(identity.rights(), Whom::Caller);
    match operation {
        VersionOp::Version => return Ok(u64::from(MAJOR << 16 | MINOR)),
        VersionOp::PageSize => {
            return if argument == 0 {
                Ok(PAGE_SIZE as u64)
            } else {
                Err(Errno::EINVAL)
            };
        }
        VersionOp::ExtraVersion => {
            memory.write(argument, &text::<EXTRA_VERSION_SIZE>(".0-paravane"))?
        }
        VersionOp::CompileInfo => {
            let mut info = CompileInfo::new_zeroed();
            info.compiler = text("rustc");
            info.compile_by = text("paravane");
            memory.write(argument, &info)?;
        }
        VersionOp::Capabilities => {
            let mut field = text::<CAPABILITIES_SIZE>(CAPABILITY_64BIT);
            if let Some(end) = field.get_mut(CAPABILITY_64BIT.len()) {
                *end = b' ';
            }
            memory.write(argument, &field)?;
        }
        VersionOp::Changeset => {
            memory.write(argument, &text::<CHANGESET_SIZE>(env!("CARGO_PKG_VERSION")))?
        }
        VersionOp::PlatformParameters => {
            memory.write(
                argument,
                &PlatformParameters {
                    virt_start: Vaddr::HYPERVISOR_START.0,
                },
            )?;
        }
        VersionOp::GetFeatures => {
            let mut info: FeatureInfo = memory.read(argument)?;
            if info.submap_idx != 0 {
                return Err(Errno::EINVAL);
            }
            info.submap = Features::PAE_PGDIR_ABOVE_4GB
                | Features::MMU_PT_UPDATE_PRESERVE_AD
                | Features::HIGHMEM_ASSIST
                | Features::GNTTAB_MAP_AVAIL_BITS
                | Features::MEMORY_OP_VNODE_SUPPORTED
                | Features::DIRECT_MAPPED;
            if identity.is_hardware_domain() {
                info.submap |= Features::DOM0;
            }
            memory.write(argument, &info)?;
        }
        VersionOp::GuestHandle => memory.write(argument, &identity.handle())?,
        // How the machine was booted is none of an ordinary domain's business, nor which build it is.
        VersionOp::CommandLine if admitted.is_err() => {
            memory.write(argument, &text::<COMMAND_LINE_SIZE>("<denied>"))?;
        }
        VersionOp::CommandLine => memory.write(
            argument,
            &text::<COMMAND_LINE_SIZE>(identity.command_line()),
        )?,
        VersionOp::BuildId => {
            admitted?;
            return build_id(memory, identity, argument);
        }
    }
    Ok(0)
}
