//! A first module that can't be run is nobody's bug: a sentence says what and why, nothing is reported of registers, and
//! the machine reboots, or stays as it is if so told.

use super::death::{Aftermath, DEATH_LIMIT};
use super::{TEST_IMAGE, no_line, pattern};
use crate::iso::Recipe;
use crate::machine::Machine;
use crate::qemu::Qemu;
use crate::suite::{Case, Context};
use crate::verdict::Verdict;
use kernels::catalogue::Kernel;
use std::path::{Path, PathBuf};

/// Each is tried once, with one end or the other.
pub fn cases() -> Vec<Case> {
    let cases = [
        (
            "refusal/kernel-that-is-none",
            BadKernel::None,
            Aftermath::Reboot,
        ),
        (
            "refusal/truncated-kernel-noreboot",
            BadKernel::Truncated,
            Aftermath::Stay,
        ),
    ]
    .map(|(name, kernel, aftermath)| {
        Case::new(name, move |context| {
            refuses(context, kernel, aftermath).unwrap_or_else(|verdict| verdict)
        })
    });
    // They wait for the reboot, or whether there is none.
    cases.map(Case::idle).into()
}

/// A first module that can't be run.
#[derive(Clone, Copy, Debug)]
enum BadKernel {
    /// Another file.
    None,
    /// The first part of a kernel, as a copy that was interrupted leaves it.
    Truncated,
}

impl BadKernel {
    /// The file, and what is said of it.
    fn make(self) -> Result<(PathBuf, String), String> {
        /// Far less than the kernel, and more than its headers.
        const BYTES: usize = 64 << 10;
        if let Self::None = self {
            let sentence = "the file begins with 5b 74 6f 6f: it is neither a bzImage nor an ELF file; \
                            give the kernel (vmlinuz)";
            return Ok(("rust-toolchain.toml".into(), sentence.into()));
        }
        let whole = Path::new("build/kernels").join(Kernel::Plain.file_name());
        let path = whole.with_extension("truncated");
        let named = |error: std::io::Error| format!("{}: {error}", whole.display());
        let kernel = std::fs::read(&whole).map_err(named)?;
        // Notes say how to start a kernel, and are read first. Of the program headers, which follow the file's and have seven
        // words each, the second is theirs; its second word says where they begin in the file, and its fifth how long they are.
        let word = |at: usize| {
            let bytes = kernel.get(64 + (7 + at) * 8..)?.first_chunk()?;
            Some(u64::from_le_bytes(*bytes))
        };
        let (Some(start), Some(bytes)) = (word(1), word(4)) else {
            return Err(format!("{}: it has no notes", whole.display()));
        };
        let part = kernel.get(..BYTES).ok_or("the kernel is too short")?;
        std::fs::write(&path, part).map_err(named)?;
        let sentence = format!(
            "the kernel is truncated: a note segment ends at byte {} of {BYTES}; copy or install the kernel again",
            start + bytes
        );
        Ok((path, sentence))
    }
}

fn refuses(
    context: &Context<'_>,
    kernel: BadKernel,
    aftermath: Aftermath,
) -> Result<Verdict, Verdict> {
    let qemu = Qemu::installed().map_err(Verdict::NoVerdict)?;
    let (file, reason) = kernel.make().map_err(Verdict::NoVerdict)?;
    let mut options = "console=com1 loglvl=all".to_string();
    if aftermath == Aftermath::Stay {
        options += " noreboot";
    }
    let mut recipe = Recipe::new(TEST_IMAGE, options);
    recipe.modules.push((file, String::new()));
    let mut run = context.boot(&qemu, &Machine::default(), &recipe)?;
    let sentence = format!("Paravane can't go on: the first domain can't be built: {reason}");
    let line = run
        .wait_for(&pattern("can't go on")?, DEATH_LIMIT)
        .map_err(|missing| no_line("the sentence", &missing))?;
    if !line.text.trim_end().ends_with(&sentence) {
        return Err(Verdict::Fail(format!(
            "instead of '{sentence}' it says '{}'",
            line.text
        )));
    }
    let verdict = aftermath.of(&mut run)?;
    let crash = pattern(r"PANIC|Backtrace|\bRIP\b")?;
    let dump = run.lines().iter().find(|line| crash.is_match(&line.text));
    Ok(match dump {
        Some(line) => Verdict::Fail(format!("it is reported as a crash: '{}'", line.text)),
        None => verdict,
    })
}
