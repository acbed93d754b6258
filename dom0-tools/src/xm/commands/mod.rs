//! The subcommands: their names, arguments and options, from which help, manual pages and completion are made.

mod device;
mod domain;
mod machine;
mod security;

/// Which part of the long help a subcommand is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// Domains.
    Domain,
    /// The machine.
    Host,
    /// Schedulers.
    Scheduler,
    /// Devices.
    Device,
    /// Networks between domains.
    Vnet,
    /// Security labels.
    Security,
    /// Memory that domains share.
    Tmem,
    /// Pools of processors.
    Cpupool,
    /// The rest.
    Other,
}

/// An option of a subcommand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opt {
    /// Its letter, if it has one.
    pub short: Option<char>,
    /// Its name.
    pub long: &'static str,
    /// What its value is called; empty for none.
    pub value: &'static str,
    /// What it does.
    pub help: &'static str,
}

/// A subcommand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Command {
    /// Its name.
    pub name: &'static str,
    /// Its arguments, as people are shown them.
    pub arguments: &'static str,
    /// What it does.
    pub help: &'static str,
    /// Its options.
    pub options: &'static [Opt],
    /// Where it is in the long help.
    pub group: Group,
    /// It is in the short help too.
    pub is_common: bool,
    /// It is there.
    pub is_offered: bool,
}

const fn opt(
    short: Option<char>,
    long: &'static str,
    value: &'static str,
    help: &'static str,
) -> Opt {
    Opt {
        short,
        long,
        value,
        help,
    }
}

const fn offered(
    name: &'static str,
    arguments: &'static str,
    help: &'static str,
    options: &'static [Opt],
    is_common: bool,
) -> Command {
    Command {
        name,
        arguments,
        help,
        options,
        group: Group::Domain,
        is_common,
        is_offered: true,
    }
}

/// One of another group than the domains'.
const fn of_group(
    group: Group,
    name: &'static str,
    arguments: &'static str,
    help: &'static str,
    options: &'static [Opt],
) -> Command {
    let mut command = offered(name, arguments, help, options, false);
    command.group = group;
    command
}

const fn later(
    name: &'static str,
    arguments: &'static str,
    help: &'static str,
    group: Group,
    is_common: bool,
) -> Command {
    let mut command = offered(name, arguments, help, &[], is_common);
    command.group = group;
    command.is_offered = false;
    command
}
const JSON: Opt = opt(None, "json", "", "Print JSON.");

/// All of them, group by group, in the order of the long help.
const GROUPS: [&[Command]; 9] = [
    domain::DOMAIN,
    machine::HOST,
    machine::SCHEDULER,
    device::DEVICE,
    device::VNET,
    security::SECURITY,
    machine::TMEM,
    machine::CPUPOOL,
    machine::OTHER,
];

/// All of them, in the order of the long help.
pub fn all() -> impl Iterator<Item = &'static Command> {
    GROUPS.into_iter().flatten()
}

/// Old names and what they are called now.
pub const ALIASES: &[(&str, &str)] = &[
    ("balloon", "mem-set"),
    ("set-vcpus", "vcpu-set"),
    ("vif-list", "network-list"),
    ("vbd-create", "block-attach"),
    ("vbd-destroy", "block-detach"),
    ("vbd-list", "block-list"),
    ("pool-create", "cpupool-create"),
    ("pool-new", "cpupool-new"),
    ("pool-start", "cpupool-start"),
    ("pool-list", "cpupool-list"),
    ("pool-destroy", "cpupool-destroy"),
    ("pool-delete", "cpupool-delete"),
    ("pool-cpu-add", "cpupool-cpu-add"),
    ("pool-cpu-remove", "cpupool-cpu-remove"),
    ("pool-migrate", "cpupool-migrate"),
];

/// What a typed word means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// A subcommand.
    Command(&'static Command),
    /// The old name of one.
    Deprecated(&'static Command),
}

/// The subcommand of a word: its name, an old name, or the beginning of one name only.
#[must_use]
pub fn find(word: &str) -> Option<Found> {
    let exact = |name: &str| all().find(|command| command.name == name);
    if let Some(command) = exact(word) {
        return Some(Found::Command(command));
    }
    if let Some((_, new)) = ALIASES.iter().find(|(old, _)| *old == word) {
        return exact(new).map(Found::Deprecated);
    }
    if word.len() < 2 {
        return None;
    }
    let mut candidates = all().filter(|command| command.name.starts_with(word));
    match (candidates.next(), candidates.next()) {
        (Some(command), None) => Some(Found::Command(command)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(word: &str) -> Option<&'static str> {
        find(word).map(|(Found::Command(command) | Found::Deprecated(command))| command.name)
    }

    #[test]
    fn words_lead_to_subcommands() {
        assert_eq!(name("list"), Some("list"));
        assert_eq!(name("debug"), Some("debug-keys"));
        assert_eq!(name("li"), Some("list"));
        assert_eq!(name("d"), None);
        assert_eq!(name("re"), None, "several begin so");
        assert_eq!(name("foo"), None);
        assert_eq!(name("balloon"), Some("mem-set"));
        assert!(matches!(find("vif-list"), Some(Found::Deprecated(_))));
        // A whole name wins over longer ones that begin with it.
        assert_eq!(name("sched-credit"), Some("sched-credit"));
    }

    #[test]
    fn names_are_unique_and_old_ones_lead_somewhere() {
        for (index, command) in all().enumerate() {
            assert!(
                !all()
                    .skip(index + 1)
                    .any(|other| other.name == command.name)
            );
        }
        for (old, _) in ALIASES {
            assert!(name(old).is_some(), "{old}");
        }
    }
}
