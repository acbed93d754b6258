//! Why a guest is not built, as people are told.

use crate::control::error::ControlError;
use guest_abi::features::Features;
use guest_abi::ids::Mfn;
use hypervisor::image::ImageError;
use hypervisor::image::command_line::CommandLineTooLong;
use nix::errno::Errno;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a guest is not built.
#[derive(Debug)]
pub enum BuildError {
    /// A file of it can't be read.
    File(PathBuf, io::Error),
    /// The kernel is not found on the guest's disk.
    BootLoader(String),
    /// The kernel can't be used.
    Image(ImageError),
    /// The kernel says nothing of features that the guest's configuration requires.
    Lacks(Features),
    /// The kernel's command line does not fit.
    CommandLine(CommandLineTooLong),
    /// The hypervisor refuses a step.
    Control(ControlError),
    /// The first domain has not so many bytes for the unpacked kernel.
    NoRoom(usize),
    /// A kernel off a guest's disk would be longer than is taken of it.
    UnpacksToMore {
        /// Its length, in bytes, as it says.
        bytes: usize,
        /// What is taken of it.
        most: usize,
    },
    /// The machine has not the memory.
    NoMemory {
        /// What the guest needs.
        wanted_kib: u64,
        /// What it got.
        got_kib: u64,
    },
    /// The layout has no place for rings, which is a mistake of ours.
    NoRings,
    /// The domain went away while it was built.
    Vanished,
    /// A frame's number does not fit into a grant.
    FrameTooHigh(Mfn),
}

/// Names of features as configurations have them.
#[must_use]
pub fn feature_names(features: Features) -> String {
    let names: Vec<_> = features
        .iter_names()
        .map(|(name, _)| name.to_ascii_lowercase())
        .collect();
    names.join("|")
}

impl BuildError {
    /// Whether the machine has not the memory.
    #[must_use]
    pub fn is_for_want_of_memory(&self) -> bool {
        match self {
            Self::Control(error) => error.errno == Errno::ENOMEM,
            Self::NoMemory { .. } => true,
            _ => false,
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::BootLoader(sentence) => f.write_str(sentence),
            Self::Image(error) => error.fmt(f),
            Self::Lacks(missing) => write!(
                f,
                "the kernel does not have {}, which features requires; leave that out, or take another kernel",
                feature_names(*missing)
            ),
            Self::CommandLine(error) => error.fmt(f),
            Self::Control(error) => error.fmt(f),
            Self::NoRoom(bytes) => write!(
                f,
                "the first domain has no {} MiB for the unpacked kernel: give it more memory",
                bytes.div_ceil(1 << 20)
            ),
            Self::UnpacksToMore { bytes, most } => write!(
                f,
                "the kernel has {bytes} bytes when it is unpacked; at most {most} are taken: not more than the guest has memory, \
                 and a quarter of what the first domain has free"
            ),
            Self::NoMemory {
                wanted_kib,
                got_kib,
            } => write!(f, "I need {wanted_kib} KiB but only have {got_kib}."),
            Self::NoRings => f.write_str("the guest has no place for its rings"),
            Self::Vanished => f.write_str("the domain went away while it was built"),
            Self::FrameTooHigh(mfn) => {
                write!(
                    f,
                    "the guest's ring is at {mfn}, which a grant has no room for"
                )
            }
        }
    }
}

impl std::error::Error for BuildError {}

impl From<ImageError> for BuildError {
    fn from(error: ImageError) -> Self {
        Self::Image(error)
    }
}

impl From<CommandLineTooLong> for BuildError {
    fn from(error: CommandLineTooLong) -> Self {
        Self::CommandLine(error)
    }
}

impl From<ControlError> for BuildError {
    fn from(error: ControlError) -> Self {
        Self::Control(error)
    }
}
