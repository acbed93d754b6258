//! The C compiler, the headers, and running what they make of a program.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Mismatch, Program};

/// Debian package with the headers.
pub const HEADERS_PACKAGE: &str = "libxen-dev";
/// Environment variable that, set to `1`, turns a missing compiler or header into a failure.
pub const REQUIRE_VARIABLE: &str = "PARAVANE_REQUIRE_ABI_HEADERS";

const HEADER_THAT_MUST_EXIST: &str = "/usr/include/xen/xen.h";

/// What is not installed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missing {
    /// No C compiler answers to `cc`.
    Compiler,
    /// The public headers.
    Headers,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compiler => f.write_str("no C compiler `cc` (install it: apt-get install gcc)"),
            Self::Headers => write!(
                f,
                "no {HEADER_THAT_MUST_EXIST} (install it: apt-get install {HEADERS_PACKAGE})"
            ),
        }
    }
}

/// Why a program gave no answers.
#[derive(Debug)]
pub enum ToolchainError {
    /// The compiler rejected the program; its messages. A C name in the table is wrong.
    Rejected(String),
    /// The program or the compiler could not be run.
    Io(std::io::Error),
}

impl fmt::Display for ToolchainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(messages) => write!(f, "the C compiler rejects the table:\n{messages}"),
            Self::Io(error) => write!(f, "cannot run the comparison: {error}"),
        }
    }
}

impl std::error::Error for ToolchainError {}

impl From<std::io::Error> for ToolchainError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// A C compiler that can see the public headers.
pub struct Toolchain {
    directory: PathBuf,
}

impl Toolchain {
    /// Finds the compiler and the headers. Programs are built in `directory`.
    pub fn find(directory: &Path) -> Result<Self, Missing> {
        if !Path::new(HEADER_THAT_MUST_EXIST).exists() {
            return Err(Missing::Headers);
        }
        match Command::new("cc").arg("--version").output() {
            Ok(output) if output.status.success() => Ok(Self {
                directory: directory.to_owned(),
            }),
            _ => Err(Missing::Compiler),
        }
    }

    /// Builds and runs `program`; `name` tells its files from those of others.
    pub fn compare(&self, name: &str, program: &Program) -> Result<Vec<Mismatch>, ToolchainError> {
        let source = self.directory.join(format!("{name}.c"));
        let executable = self.directory.join(name);
        std::fs::create_dir_all(&self.directory)?;
        std::fs::write(&source, program.source())?;
        let compiler = Command::new("cc")
            .args(["-std=gnu11", "-O0", "-w", "-fmax-errors=20", "-o"])
            .arg(&executable)
            .arg(&source)
            .output()?;
        if !compiler.status.success() {
            return Err(ToolchainError::Rejected(
                String::from_utf8_lossy(&compiler.stderr).into_owned(),
            ));
        }
        let output = Command::new(&executable).output()?;
        Ok(program.compare(&String::from_utf8_lossy(&output.stdout)))
    }
}
