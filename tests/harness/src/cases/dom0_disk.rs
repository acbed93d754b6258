//! A full Debian on a disk as the first domain, up to a login: as `boot/make-disk` makes it, and as an administrator
//! makes it of a plain Debian by what `docs/INSTALL.md` says for those who have no packages (`dom0_packages` has them). The
//! commands that the document shows are typed as they stand there.

use super::boot::BOOT_COMPLETE;
use super::manual::commands_of;
use super::shell::Shell;
use super::{Extent, IMAGE, no_line, pattern};
use crate::iso::Recipe;
use crate::machine::{Machine, Medium, Threads};
use crate::qemu::Qemu;
use crate::run::Run;
use crate::suite::{Case, Context};
use crate::verdict::{Ending, Verdict};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const DISK: &str = "build/disk/disk.img";
pub(super) const MANUAL: &str = "docs/INSTALL.md";
/// The section with the commands.
const SECTION: &str = "## On a Debian machine, by hand";
/// The command that ends the first part.
pub(super) const REBOOT: &str = "reboot";
/// From QEMU's start to a login: a minute where there is nothing else to do.
const LOGIN_LIMIT: Duration = Duration::from_secs(1500);
/// From a command to its end.
pub(super) const COMMAND_LIMIT: Duration = Duration::from_secs(600);
const MEMORY_MIB: u32 = 1024;
/// GRUB's menu waits for a second only.
const NEXT_ENTRY: &str = "\x0e\r";

/// All cases, which take a disk that takes minutes to make.
pub fn cases(extent: Extent) -> Vec<Case> {
    if extent == Extent::AllPairs {
        return Vec::new();
    }
    vec![
        Case::new("dom0/disk-installed-2cpu", |context| {
            is_installed(context).unwrap_or_else(|verdict| verdict)
        }),
        Case::new("dom0/disk-login-2cpu", |context| {
            boots_to_login(context).unwrap_or_else(|verdict| verdict)
        }),
    ]
}

/// A disk of the case's own.
pub(super) struct OwnDisk(PathBuf);

impl OwnDisk {
    pub(super) fn new(name: &str) -> Result<Self, Verdict> {
        if !Path::new(DISK).exists() {
            return Err(Verdict::Skipped(format!(
                "there is no {DISK}: boot/make-disk makes it"
            )));
        }
        let own = Path::new(DISK).with_file_name(name);
        let status = Command::new("cp")
            .arg("--sparse=always")
            .args([Path::new(DISK), &own])
            .status();
        match status {
            Ok(status) if status.success() => Ok(Self(own)),
            other => Err(Verdict::NoVerdict(format!(
                "{DISK} can't be copied: {other:?}"
            ))),
        }
    }

    /// Starts a machine from the disk, with the hypervisor's ISO in its drive.
    fn start(&self, context: &Context<'_>) -> Result<Run, Verdict> {
        self.start_with(context, MEMORY_MIB, &Recipe::new(IMAGE, ""), Vec::new())
    }

    /// Starts a machine with so much memory and more devices from the disk, with another disc in its drive.
    pub(super) fn start_with(
        &self,
        context: &Context<'_>,
        memory_mib: u32,
        disc: &Recipe,
        extra: Vec<String>,
    ) -> Result<Run, Verdict> {
        let qemu = Qemu::installed().map_err(Verdict::NoVerdict)?;
        let machine = Machine {
            processors: 2,
            threads: Threads::One,
            memory_mib,
            extra,
            ..Machine::default()
        };
        let medium = Medium::Disk {
            disk: self.0.clone(),
            disc: context.iso(disc)?,
        };
        context.boot_from(&qemu, &machine, &medium)
    }
}

impl Drop for OwnDisk {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Waits for the login on the serial line and logs root in.
pub(super) fn log_in(mut run: Run) -> Result<Shell, Verdict> {
    let mut wait = |text: &str| {
        run.wait_for_prompt(&pattern(text)?, LOGIN_LIMIT)
            .map_err(|missing| no_line(&format!("'{text}'"), &missing))
    };
    let login = wait("dom0 login: $")?;
    let mut shell = Shell {
        after: login.at,
        run,
    };
    shell.send("root\n")?;
    shell
        .run
        .wait_for_prompt(&pattern("root@dom0:~# $")?, LOGIN_LIMIT)
        .map_err(|missing| no_line("root's prompt", &missing))?;
    shell.send("PS1='dom0# '\n")?;
    // The echo of the line has the prompt in quotes.
    shell.must_prompt()?;
    Ok(shell)
}

/// The hypervisor has loaded the system.
pub(super) fn must_be_first_domain(shell: &mut Shell) -> Result<(), Verdict> {
    let complete = pattern(BOOT_COMPLETE)?;
    if !shell
        .run
        .lines()
        .iter()
        .any(|line| complete.is_match(&line.text))
    {
        return Err(Verdict::Fail("the hypervisor has not come up".into()));
    }
    shell.must_print("cat /sys/hypervisor/type", "xen")?;
    shell.must_print("tty", "/dev/hvc0")?;
    shell.must_print("nproc", "2")?;
    // A service that has not come up in its own time, on a machine with other work to do, is no fault.
    shell.must_print(
        "systemctl --failed --no-legend --plain | cut -d' ' -f1 | xargs -r systemctl show -p Result --value \
         | grep -v -e timeout -e '^$' | wc -l",
        "0",
    )
}

/// Turns the machine off by this command.
pub(super) fn turn_off(shell: &mut Shell, command: &str) -> Result<(), Verdict> {
    shell.send(&format!("{command}\n"))?;
    let off = pattern(r"The first domain turns the machine off \(ACPI S5\)")?;
    shell
        .run
        .wait_for(&off, COMMAND_LIMIT)
        .map_err(|missing| no_line("the machine's end", &missing))?;
    shell.must_end()
}

/// What `boot/make-disk` has made boots into the hypervisor.
fn boots_to_login(context: &Context<'_>) -> Result<Verdict, Verdict> {
    let disk = OwnDisk::new("login.img")?;
    let mut shell = log_in(disk.start(context)?)?;
    must_be_first_domain(&mut shell)?;
    turn_off(&mut shell, "halt -p")?;
    shell.must_be_healthy()?;
    let seconds = shell.after.as_secs_f64();
    Ok(Verdict::Pass(format!("a login after {seconds:.1} s")))
}

/// Chooses the Debian alone in the menu that `boot/make-disk` has written, logs in, and removes what the manual's commands
/// are to make.
pub(super) fn plain_debian(mut run: Run) -> Result<Shell, Verdict> {
    run.wait_for_prompt(&pattern("Debian GNU/Linux")?, LOGIN_LIMIT)
        .map_err(|missing| no_line("GRUB's menu", &missing))?;
    run.send(NEXT_ENTRY)
        .map_err(|error| Verdict::NoVerdict(format!("nothing can be typed: {error}")))?;
    let mut plain = log_in(run)?;
    must_be_alone(&mut plain)?;
    plain.output("rm /boot/paravane && echo >/boot/grub/grub.cfg")?;
    Ok(plain)
}

/// There is no hypervisor. From here on the kernel, which speaks for long after a slow start, does not write behind prompts.
pub(super) fn must_be_alone(shell: &mut Shell) -> Result<(), Verdict> {
    shell.output("dmesg --console-level 1")?;
    shell.must_print("test -e /sys/hypervisor/type; echo $?", "1")
}

/// The machine has been asked to start anew, or to turn itself off: both end the emulator.
pub(super) fn must_end(shell: &mut Shell) -> Result<(), Verdict> {
    match shell.run.wait_for_end(COMMAND_LIMIT) {
        Ending::Exited(0) => Ok(()),
        ending => Err(Verdict::Fail(format!("the machine does not end: {ending}"))),
    }
}

/// A plain Debian becomes one on the hypervisor by the manual's commands.
fn is_installed(context: &Context<'_>) -> Result<Verdict, Verdict> {
    let blocks = commands_of(MANUAL, SECTION)?;
    let is_last = |block: &Vec<String>| block.last().is_some_and(|line| line == REBOOT);
    let Some(position) = blocks.iter().position(is_last) else {
        return Err(Verdict::Fail(format!(
            "{MANUAL} has no block of commands that ends with {REBOOT}"
        )));
    };
    let (before, after) = blocks.split_at(position + 1);

    let disk = OwnDisk::new("installed.img")?;
    let mut plain = plain_debian(disk.start(context)?)?;
    for block in before {
        type_block(&mut plain, block)?;
    }
    must_end(&mut plain)?;

    let mut shell = log_in(disk.start(context)?)?;
    for block in after {
        type_block(&mut shell, block)?;
    }
    must_be_first_domain(&mut shell)?;
    turn_off(&mut shell, "systemctl poweroff")?;
    shell.must_be_healthy()?;
    let seconds = shell.after.as_secs_f64();
    Ok(Verdict::Pass(format!("a login after {seconds:.1} s")))
}

/// Types a block of commands, and sees that all have worked.
pub(super) fn type_block(shell: &mut Shell, block: &[String]) -> Result<(), Verdict> {
    shell.output("set -e")?;
    let lines: String = block.iter().map(|line| format!("{line}\n")).collect();
    if block.last().is_some_and(|line| line == REBOOT) {
        return shell.send(&lines);
    }
    shell.send(&lines)?;
    shell.output_within("set +e", COMMAND_LIMIT).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::super::manual::commands_in;
    use super::{MANUAL, REBOOT, SECTION};
    use std::path::Path;

    #[test]
    fn the_manual_has_commands_before_and_after_the_restart() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let manual = std::fs::read_to_string(top.join(MANUAL)).unwrap();
        let blocks = commands_in(&manual, SECTION);
        let restart = blocks
            .iter()
            .position(|block| block.last().unwrap() == REBOOT);
        assert!(restart.is_some_and(|position| position > 0 && position + 1 < blocks.len()));
    }
}
