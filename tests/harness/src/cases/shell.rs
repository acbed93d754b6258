//! The shell of a stock Debian kernel as the first domain: booting to it, and talking with it.
//!
//! `boot/make-dom0` makes what is booted. Where that can't be had, whoever asks for it is told to skip.

use super::kernels::Hypervisor;
use super::{no_line, pattern};
use crate::iso::Recipe;
use crate::machine::{Machine, Reader, Threads};
use crate::qemu::Qemu;
use crate::repack::{self, Packing};
use crate::run::Run;
use crate::suite::Context;
use crate::verdict::{Ending, Verdict};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The last word gets into the environment: what a person would be shown who waits is not what cases wait for.
const KERNEL_LINE: &str = "console=hvc0 earlyprintk=xen XM_PROGRESS=off";
/// Where kernels are that are packed in another way.
const REPACKED: &str = "build/repacked";
/// What the shell asks with.
pub(super) const PROMPT: &str = r"dom0# $";
/// From QEMU's start to the shell: half a minute where there is nothing else to do.
pub(super) const SHELL_LIMIT: Duration = Duration::from_secs(900);
/// From a command to its end.
pub(super) const COMMAND_LIMIT: Duration = Duration::from_secs(60);
/// From `poweroff` to the machine's end: processes are given time to end.
const END_LIMIT: Duration = Duration::from_secs(60);

/// A kernel that `boot/make-dom0` makes ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kernel {
    /// The distribution's newest.
    Stable,
    /// The oldest that the distribution still has.
    Older,
    /// The newest of the distribution's backports.
    Backports,
    /// For virtual machines in clouds: it can't be a first domain.
    Cloud,
}

impl Kernel {
    /// Its name, as `boot/make-dom0` takes it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Older => "older",
            Self::Backports => "backports",
            Self::Cloud => "cloud",
        }
    }

    fn directory(self) -> PathBuf {
        PathBuf::from("build").join(match self {
            Self::Stable => "dom0".to_string(),
            other => format!("dom0-{}", other.name()),
        })
    }

    /// Its version, as `uname -r` says it.
    pub(super) fn release(self) -> Result<String, Verdict> {
        let path = self.file("release")?;
        std::fs::read_to_string(&path)
            .map(|text| text.trim().to_string())
            .map_err(|error| Verdict::NoVerdict(format!("{}: {error}", path.display())))
    }

    /// One of its files.
    fn file(self, name: &str) -> Result<PathBuf, Verdict> {
        let path = self.directory().join(name);
        if path.exists() {
            Ok(path)
        } else {
            Err(Verdict::Skipped(format!(
                "there is no {}: boot/make-dom0 {} makes it",
                path.display(),
                self.name()
            )))
        }
    }
}

/// Whether the kernel has died of a breakpoint: it sets them for a moment where it changes its own code.
fn has_met_a_breakpoint(run: &Run) -> bool {
    let lines = run.lines();
    lines.iter().any(|line| line.text.contains("Oops: int3: "))
}

/// What is booted, and on what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Boot<'a> {
    pub(super) hypervisor: Hypervisor,
    pub(super) kernel: Kernel,
    pub(super) machine: &'a Machine,
    /// Another image than the hypervisor's.
    pub(super) image: Option<&'a str>,
    /// More of the hypervisor's options, each after a blank.
    pub(super) options: &'a str,
    /// More of the kernel's command line, each word after a blank.
    pub(super) words: &'a str,
    /// How the kernel is packed on our hypervisor, and its own RAM disk if it is by lz4; on the reference they are as they
    /// are in the package.
    pub(super) packing: Packing,
    /// Another RAM disk than the kernel's, which must be there.
    pub(super) initrd: Option<&'a Path>,
    /// How the processors are emulated, whatever the machine says. On threads of their own they execute, once in many
    /// boots, code that the kernel has replaced, under any hypervisor (`emulator/patched-code` shows it).
    pub(super) threads: Threads,
    /// What reads the disc, whatever the machine says.
    pub(super) reader: Reader,
}

impl<'a> Boot<'a> {
    /// The distribution's newest kernel, packed so that it is unpacked quickly, on the image that is shipped.
    pub(super) fn of(machine: &'a Machine) -> Self {
        Self {
            hypervisor: Hypervisor::Paravane,
            kernel: Kernel::Stable,
            machine,
            image: None,
            options: "",
            words: "",
            packing: Packing::Lz4,
            initrd: None,
            threads: Threads::One,
            reader: Reader::Virtio,
        }
    }

    /// Starts the machine.
    pub(super) fn start(&self, context: &Context<'_>) -> Result<Run, Verdict> {
        let image = self.image.unwrap_or(self.hypervisor.image());
        if !Path::new(image).exists() {
            return Err(Verdict::Skipped(format!("there is no {image}")));
        }
        let options = format!("console=com1 loglvl=all dom0_mem=512M{}", self.options);
        let mut recipe = Recipe::new(image, options);
        let line = format!("{KERNEL_LINE}{}", self.words);
        let packing = match self.hypervisor {
            Hypervisor::Paravane => self.packing,
            Hypervisor::Reference => Packing::Stock,
        };
        let repacked = Path::new(REPACKED);
        let kernel = repack::kernel(&self.kernel.file("vmlinuz")?, packing, repacked)
            .map_err(Verdict::NoVerdict)?;
        recipe.modules.push((kernel, line));
        let initrd = match (self.initrd, packing) {
            (Some(path), _) => path.to_path_buf(),
            (None, Packing::Lz4) => {
                repack::ram_disk(&self.kernel.file("initrd")?, packing, repacked)
                    .map_err(Verdict::NoVerdict)?
            }
            (None, _) => self.kernel.file("initrd")?,
        };
        recipe.modules.push((initrd, String::new()));
        let qemu = Qemu::installed().map_err(Verdict::NoVerdict)?;
        let machine = Machine {
            threads: self.threads,
            reader: self.reader,
            ..self.machine.clone()
        };
        context.boot(&qemu, &machine, &recipe)
    }

    /// Starts the machine and waits for the shell.
    pub(super) fn shell(&self, context: &Context<'_>) -> Result<Shell, Verdict> {
        let mut run = self.start(context)?;
        let wanted = pattern(&format!("{PROMPT}|PANIC|Hardware Dom0"))?;
        let line = run
            .wait_for_prompt(&wanted, SHELL_LIMIT)
            .map_err(|missing| no_line("the shell's prompt", &missing))?;
        if !pattern(PROMPT)?.is_match(&line.text) {
            return Err(match self.threads {
                Threads::Many if has_met_a_breakpoint(&run) => Verdict::EmulatorFailed(
                    "the kernel has met a breakpoint that it had replaced".into(),
                ),
                _ => Verdict::Fail(line.text),
            });
        }
        Ok(Shell {
            run,
            after: line.at,
        })
    }
}

/// A machine whose first domain has come to its shell.
pub(super) struct Shell {
    pub(super) run: Run,
    /// From QEMU's start to the prompt.
    pub(super) after: Duration,
}

impl Shell {
    /// Types on the serial line.
    pub(super) fn send(&mut self, text: &str) -> Result<(), Verdict> {
        self.run
            .send(text)
            .map_err(|error| Verdict::NoVerdict(format!("nothing can be typed: {error}")))
    }

    /// Waits for a line.
    pub(super) fn must_say(&mut self, text: &str) -> Result<(), Verdict> {
        self.must_say_within(text, COMMAND_LIMIT)
    }

    /// As [`Self::must_say`], for what takes its time.
    pub(super) fn must_say_within(&mut self, text: &str, limit: Duration) -> Result<(), Verdict> {
        self.run
            .wait_for(&pattern(text)?, limit)
            .map(|_| ())
            .map_err(|missing| no_line(&format!("'{text}'"), &missing))
    }

    /// Waits for somebody else's prompt.
    pub(super) fn must_ask(&mut self, prompt: &str, limit: Duration) -> Result<(), Verdict> {
        self.run
            .wait_for_prompt(&pattern(prompt)?, limit)
            .map(|_| ())
            .map_err(|missing| no_line(&format!("the prompt '{prompt}'"), &missing))
    }

    /// Waits for the next prompt: what is typed before it comes is shown twice.
    pub(super) fn must_prompt(&mut self) -> Result<(), Verdict> {
        self.run
            .wait_for_prompt(&pattern(PROMPT)?, COMMAND_LIMIT)
            .map(|_| ())
            .map_err(|missing| no_line("the shell's prompt", &missing))
    }

    /// Runs a command that is not longer than a line of the terminal, and returns what it prints.
    pub(super) fn output(&mut self, command: &str) -> Result<Vec<String>, Verdict> {
        self.output_within(command, COMMAND_LIMIT)
    }

    /// As [`Self::output`], for commands that take their time.
    pub(super) fn output_within(
        &mut self,
        command: &str,
        limit: Duration,
    ) -> Result<Vec<String>, Verdict> {
        let before = self.run.lines().len();
        self.send(&format!("{command}; echo done-$?\n"))?;
        let line = self
            .run
            .wait_for(&pattern(r"^done-\d+$")?, limit)
            .map_err(|missing| no_line(&format!("the end of '{command}'"), &missing))?;
        self.must_prompt()?;
        if line.text != "done-0" {
            return Err(Verdict::Fail(format!(
                "'{command}' ends with {}",
                line.text
            )));
        }
        // The kernel speaks in between.
        let kernel = pattern(r"^\[ *\d+\.\d+\] ")?;
        let lines = self.run.lines().iter().skip(before);
        let said = lines
            .map(|line| line.text.trim_end().to_string())
            .filter(|line| !line.starts_with("done-") && !line.contains("dom0#"))
            .filter(|line| !kernel.is_match(line));
        Ok(said.collect())
    }

    /// Runs a command that must print one line, this one.
    pub(super) fn must_print(&mut self, command: &str, wanted: &str) -> Result<(), Verdict> {
        self.must_print_within(command, wanted, COMMAND_LIMIT)
    }

    /// As [`Self::must_print`], for commands that take their time.
    pub(super) fn must_print_within(
        &mut self,
        command: &str,
        wanted: &str,
        limit: Duration,
    ) -> Result<(), Verdict> {
        match self.output_within(command, limit)?.as_slice() {
            [line] if line == wanted => Ok(()),
            lines => Err(Verdict::Fail(format!(
                "'{command}' prints {lines:?} instead of '{wanted}'"
            ))),
        }
    }

    /// The machine must end by itself.
    pub(super) fn must_end(&mut self) -> Result<(), Verdict> {
        match self.run.wait_for_end(END_LIMIT) {
            Ending::Exited(0) => Ok(()),
            ending => Err(Verdict::Fail(format!("the machine does not end: {ending}"))),
        }
    }

    /// Neither kernel nor hypervisor has complained.
    pub(super) fn must_be_healthy(&self) -> Result<(), Verdict> {
        let complaint =
            pattern(r"WARNING:|BUG:|Oops:|Call Trace:|rcu.*stall|cut here|invalid opcode")?;
        // GRUB warns, too: of UEFI without a screen.
        let is_meant =
            |text: &str| text.contains("sysrq") || text.contains("WARNING: no console will");
        let lines = self.run.lines();
        match lines
            .iter()
            .find(|line| complaint.is_match(&line.text) && !is_meant(&line.text))
        {
            // A crash that was asked for ends in a report.
            Some(_)
                if lines
                    .iter()
                    .any(|line| line.text.contains("sysrq: Trigger a crash")) =>
            {
                Ok(())
            }
            Some(line) => Err(Verdict::Fail(format!("a complaint: {}", line.text))),
            None => Ok(()),
        }
    }
}
