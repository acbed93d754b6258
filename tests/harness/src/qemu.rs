//! Which QEMU runs a machine.

use std::path::PathBuf;
use std::process::Command;

/// A QEMU for x86_64.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Qemu {
    /// The command.
    pub command: PathBuf,
    /// Its version, major and minor.
    pub version: (u32, u32),
}

/// The first version whose emulated processors have an x2APIC.
const FIRST_WITH_X2APIC: (u32, u32) = (9, 0);
/// The first version that gives a software interrupt that a gate refuses the gate's number as error code, not twice it.
const FIRST_WITH_RIGHT_INTERRUPTS: (u32, u32) = (8, 0);
/// The first version that divides the time to the next timer's end, where it counts instructions, among the processors.
const FIRST_WITH_FAIR_TURNS: (u32, u32) = (8, 1);

impl Qemu {
    /// The QEMU of this name or path, if it starts.
    pub fn find(command: impl Into<PathBuf>) -> Result<Self, String> {
        let command = command.into();
        let output = Command::new(&command)
            .arg("--version")
            .output()
            .map_err(|error| format!("{} does not start: {error}", command.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = version_in(&text)
            .ok_or_else(|| format!("{} --version says no version: {text}", command.display()))?;
        Ok(Self { command, version })
    }

    /// The one on the path, or the one that the environment's `QEMU` names.
    pub fn installed() -> Result<Self, String> {
        Self::find(std::env::var_os("QEMU").unwrap_or_else(|| "qemu-system-x86_64".into()))
    }

    /// One whose emulated processors have an x2APIC.
    pub fn with_x2apic() -> Result<Self, String> {
        Self::from_version(FIRST_WITH_X2APIC, "emulates an x2APIC")
    }

    /// One whose emulated processors give a refused `INT n` the error code that real ones give it.
    pub fn with_right_interrupts() -> Result<Self, String> {
        Self::from_version(
            FIRST_WITH_RIGHT_INTERRUPTS,
            "gives INT n its right error code",
        )
    }

    /// One for [`Machine::by_instructions`](crate::machine::Machine::by_instructions), of so many processors: several have to take
    /// turns.
    pub fn that_counts(processors: u32) -> Result<Self, String> {
        match processors {
            1 => Self::installed(),
            _ => Self::from_version(FIRST_WITH_FAIR_TURNS, "shares counted time fairly"),
        }
    }

    /// One of this version or a later one: the installed one, the one that the environment's `NEWER_QEMU` names, or
    /// the one that `tests/newer-qemu` unpacks.
    fn from_version(first: (u32, u32), which: &str) -> Result<Self, String> {
        let newer =
            std::env::var_os("NEWER_QEMU").unwrap_or_else(|| "build/newer-qemu/qemu".into());
        let candidates = [Self::installed(), Self::find(newer)];
        let found = candidates
            .iter()
            .flatten()
            .find(|qemu| qemu.version >= first);
        found.cloned().ok_or_else(|| {
            format!(
                "no QEMU here {which} (needs {}.{}; tests/newer-qemu fetches one)",
                first.0, first.1
            )
        })
    }
}

/// The version in what `--version` prints.
fn version_in(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text
        .split("version ")
        .nth(1)?
        .split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn the_version_is_read() {
        assert_eq!(
            version_in("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)"),
            Some((7, 2))
        );
        assert_eq!(
            version_in("QEMU emulator version 10.0.2 (Debian)\nCopyright"),
            Some((10, 0))
        );
        assert_eq!(version_in("no such thing"), None);
    }
}
