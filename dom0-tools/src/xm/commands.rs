//! The subcommands: their names, arguments and options, from which help, manual pages and completion are made.

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

const fn host(
    name: &'static str,
    arguments: &'static str,
    help: &'static str,
    options: &'static [Opt],
) -> Command {
    let mut command = offered(name, arguments, help, options, false);
    command.group = Group::Host;
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
const CREATE: &[Opt] = &[
    opt(Some('h'), "help", "", "Print this help."),
    opt(
        None,
        "help_config",
        "",
        "Print the available configuration variables (vars) for the configuration script.",
    ),
    opt(Some('q'), "quiet", "", "Quiet."),
    opt(
        None,
        "path",
        "PATH",
        "Search path for configuration scripts. The value of PATH is a colon-separated directory list.",
    ),
    opt(
        Some('f'),
        "defconfig",
        "FILE",
        "Use the given Python configuration script.",
    ),
    opt(
        Some('F'),
        "config",
        "FILE",
        "Domain configuration to use (SXP).",
    ),
    opt(
        Some('n'),
        "dryrun",
        "",
        "Dry run - prints the resulting configuration in SXP but does not create the domain.",
    ),
    opt(Some('x'), "xmldryrun", "", "XML dry run - not offered."),
    opt(Some('s'), "skipdtd", "", "Skip DTD checking - not offered."),
    opt(
        Some('p'),
        "paused",
        "",
        "Leave the domain paused after it is created.",
    ),
    opt(
        Some('c'),
        "console_autoconnect",
        "",
        "Connect to the console after the domain is created.",
    ),
    opt(
        None,
        "vncviewer",
        "",
        "Connect to the VNC display after the domain is created.",
    ),
    opt(
        None,
        "vncviewer-autopass",
        "",
        "Pass VNC password to viewer via stdin.",
    ),
    JSON,
];
const SHUTDOWN: &[Opt] = &[
    opt(Some('a'), "all", "", "Shutdown all guest domains."),
    opt(
        Some('w'),
        "wait",
        "",
        "Wait for the domain to complete shutdown before returning.",
    ),
    opt(Some('H'), "halt", "", "Shutdown without reboot."),
    opt(Some('R'), "reboot", "", "Shutdown and reboot."),
];
const REBOOT: &[Opt] = &[
    opt(Some('a'), "all", "", "Reboot all guest domains."),
    opt(
        Some('w'),
        "wait",
        "",
        "Wait for the reboot to complete before returning.",
    ),
    opt(Some('H'), "halt", "", "Shutdown without reboot."),
    opt(Some('R'), "reboot", "", "Shutdown and reboot."),
];

/// All of them, in the order of the long help.
pub const COMMANDS: &[Command] = &[
    offered(
        "console",
        "[-q|--quiet] [-n NUM] <Domain>",
        "Attach to <Domain>'s console.",
        &[
            opt(
                Some('q'),
                "quiet",
                "",
                "Do not print an error message if the domain does not exist.",
            ),
            opt(Some('n'), "num", "NUM", "Console number."),
        ],
        true,
    ),
    later(
        "vncviewer",
        "[--[vncviewer-]autopass] <Domain>",
        "Attach to <Domain>'s VNC server.",
        Group::Domain,
        true,
    ),
    offered(
        "create",
        "<ConfigFile> [options] [vars]",
        "Create a domain based on <ConfigFile>.",
        CREATE,
        true,
    ),
    later(
        "new",
        "<ConfigFile> [options] [vars]",
        "Adds a domain to Xend domain management.",
        Group::Domain,
        true,
    ),
    later(
        "delete",
        "<DomainName>",
        "Remove a domain from Xend domain management.",
        Group::Domain,
        true,
    ),
    offered(
        "destroy",
        "<Domain>",
        "Terminate a domain immediately.",
        &[],
        true,
    ),
    offered(
        "domid",
        "<DomainName>",
        "Convert a domain name to domain id.",
        &[JSON],
        false,
    ),
    offered(
        "domname",
        "<DomId>",
        "Convert a domain id to domain name.",
        &[JSON],
        false,
    ),
    offered(
        "domstate",
        "<DomName>",
        "Get the state of a domain.",
        &[JSON],
        false,
    ),
    offered(
        "dump-core",
        "[-L|--live] [-C|--crash] [-R|--reset] <Domain> [Filename]",
        "Dump core for a specific domain.",
        &[
            opt(
                Some('L'),
                "live",
                "",
                "Dump core without pausing the domain.",
            ),
            opt(Some('C'), "crash", "", "Crash domain after dumping core."),
            opt(Some('R'), "reset", "", "Reset domain after dumping core."),
        ],
        true,
    ),
    offered("help", "", "Display this message.", &[], true),
    offered(
        "list",
        "[options] [Domain, ...]",
        "List information about all/some domains.",
        &[
            opt(Some('l'), "long", "", "Output all VM details in SXP."),
            opt(None, "label", "", "Include security labels."),
            opt(
                None,
                "state",
                "STATE",
                "Select only VMs with the specified state.",
            ),
            opt(
                None,
                "pool",
                "POOL",
                "Select only VMs in the specified cpu pool.",
            ),
            opt(Some('v'), "vcpus", "", "Deprecated: xm vcpu-list."),
            JSON,
        ],
        true,
    ),
    later(
        "mem-max",
        "<Domain> <Mem>",
        "Set the maximum amount reservation for a domain.",
        Group::Domain,
        false,
    ),
    later(
        "mem-set",
        "<Domain> <Mem>",
        "Set the current memory usage for a domain.",
        Group::Domain,
        true,
    ),
    later(
        "migrate",
        "<Domain> <Host>",
        "Migrate a domain to another machine.",
        Group::Domain,
        true,
    ),
    offered(
        "pause",
        "<Domain>",
        "Pause execution of a domain.",
        &[],
        true,
    ),
    offered(
        "reboot",
        "<Domain> [-waRH]",
        "Reboot a domain.",
        REBOOT,
        true,
    ),
    offered(
        "rename",
        "<Domain> <NewDomainName>",
        "Rename a domain.",
        &[],
        false,
    ),
    offered("reset", "<Domain>", "Reset a domain.", &[], true),
    later(
        "restore",
        "<CheckpointFile> [-p]",
        "Restore a domain from a saved state.",
        Group::Domain,
        true,
    ),
    later(
        "resume",
        "<DomainName>",
        "Resume a Xend managed domain.",
        Group::Domain,
        true,
    ),
    later(
        "save",
        "[-c|--checkpoint] <Domain> <CheckpointFile>",
        "Save a domain state to restore later.",
        Group::Domain,
        true,
    ),
    offered(
        "shutdown",
        "<Domain> [-waRH]",
        "Shutdown a domain.",
        SHUTDOWN,
        true,
    ),
    later(
        "start",
        "<DomainName>",
        "Start a Xend managed domain.",
        Group::Domain,
        true,
    ),
    later(
        "suspend",
        "<DomainName>",
        "Suspend a Xend managed domain.",
        Group::Domain,
        true,
    ),
    offered(
        "sysrq",
        "<Domain> <letter>",
        "Send a sysrq to a domain.",
        &[],
        false,
    ),
    later(
        "trigger",
        "<Domain> <nmi|reset|init|s3resume|power> [<VCPU>]",
        "Send a trigger to a domain.",
        Group::Domain,
        false,
    ),
    later(
        "top",
        "",
        "Monitor a host and the domains in real time.",
        Group::Host,
        true,
    ),
    offered("unpause", "<Domain>", "Unpause a paused domain.", &[], true),
    offered(
        "uptime",
        "[-s] [Domain, ...]",
        "Print uptime for all/some domains.",
        &[
            opt(Some('s'), "short", "", "Short, without a header."),
            JSON,
        ],
        true,
    ),
    offered(
        "vcpu-list",
        "[Domain, ...]",
        "List the VCPUs for all/some domains.",
        &[JSON],
        false,
    ),
    offered(
        "vcpu-pin",
        "<Domain> <VCPU|all> <CPUs|all>",
        "Set which CPUs a VCPU can use.",
        &[],
        false,
    ),
    offered(
        "vcpu-set",
        "<Domain> <vCPUs>",
        "Set the number of active VCPUs for allowed for the domain.",
        &[],
        true,
    ),
    host(
        "dmesg",
        "[-c|--clear]",
        "Read and/or clear Xend's message buffer.",
        &[
            opt(
                Some('c'),
                "clear",
                "",
                "Clear dmesg buffer as well as printing it.",
            ),
            JSON,
        ],
    ),
    host(
        "debug-keys",
        "<Keys>",
        "Send debug keys to the hypervisor.",
        &[],
    ),
    host(
        "info",
        "[-c|--config] [-n|--numa]",
        "Get information about Xen host.",
        &[
            opt(
                Some('c'),
                "config",
                "",
                "List Xend configuration parameters.",
            ),
            opt(
                Some('n'),
                "numa",
                "",
                "List host NUMA topology information.",
            ),
            JSON,
        ],
    ),
    host("log", "", "Print Xend log.", &[JSON]),
    later(
        "serve",
        "",
        "Proxy Xend XMLRPC over stdio.",
        Group::Host,
        false,
    ),
    later(
        "sched-credit",
        "[-d <Domain> [-w[=WEIGHT]|-c[=CAP]]]",
        "Get/set credit scheduler parameters.",
        Group::Scheduler,
        false,
    ),
    later(
        "sched-credit2",
        "[-d <Domain> [-w[=WEIGHT]]",
        "Get/set credit2 scheduler parameters.",
        Group::Scheduler,
        false,
    ),
    later(
        "sched-sedf",
        "<Domain> [options]",
        "Get/set EDF parameters.",
        Group::Scheduler,
        false,
    ),
    later(
        "block-attach",
        "<Domain> <BackDev> <FrontDev> <Mode> [BackDomain]",
        "Create a new virtual block device.",
        Group::Device,
        false,
    ),
    later(
        "block-detach",
        "<Domain> <DevId> [-f|--force]",
        "Destroy a domain's virtual block device.",
        Group::Device,
        false,
    ),
    later(
        "block-list",
        "<Domain> [--long]",
        "List virtual block devices for a domain.",
        Group::Device,
        false,
    ),
    later(
        "block-configure",
        "<Domain> <BackDev> <FrontDev> <Mode> [BackDomain]",
        "Change block device configuration.",
        Group::Device,
        false,
    ),
    later(
        "network-attach",
        "<Domain> [type=<type>] [mac=<mac>] [bridge=<bridge>] ...",
        "Create a new virtual network device.",
        Group::Device,
        false,
    ),
    later(
        "network-detach",
        "<Domain> <DevId|mac> [-f|--force]",
        "Destroy a domain's virtual network device.",
        Group::Device,
        false,
    ),
    later(
        "network-list",
        "<Domain> [--long]",
        "List virtual network interfaces for a domain.",
        Group::Device,
        false,
    ),
    later(
        "network2-attach",
        "<Domain> ...",
        "Create a new version 2 virtual network device.",
        Group::Device,
        false,
    ),
    later(
        "network2-detach",
        "<Domain> <DevId> [-f|--force]",
        "Destroy a domain's version 2 virtual network device.",
        Group::Device,
        false,
    ),
    later(
        "network2-list",
        "<Domain> [--long]",
        "List version 2 virtual network interfaces for a domain.",
        Group::Device,
        false,
    ),
    later(
        "pci-attach",
        "[-o <options>] <Domain> <domain:bus:slot.func> [virtual slot]",
        "Insert a new pass-through pci device.",
        Group::Device,
        false,
    ),
    later(
        "pci-detach",
        "<Domain> <domain:bus:slot.func>",
        "Remove a domain's pass-through pci device.",
        Group::Device,
        false,
    ),
    later(
        "pci-list",
        "<Domain>",
        "List pass-through pci devices for a domain.",
        Group::Device,
        false,
    ),
    later(
        "pci-list-assignable-devices",
        "",
        "List all the assignable pci devices.",
        Group::Device,
        false,
    ),
    later(
        "scsi-attach",
        "<Domain> <PhysScsiDevice> <VirtScsiDevice> [BackDomain]",
        "Attach a new SCSI device.",
        Group::Device,
        false,
    ),
    later(
        "scsi-detach",
        "<Domain> <VirtScsiDevice>",
        "Detach a specified SCSI device.",
        Group::Device,
        false,
    ),
    later(
        "scsi-list",
        "<Domain> [--long]",
        "List all SCSI devices currently attached.",
        Group::Device,
        false,
    ),
    later(
        "usb-add",
        "<domain> <[host:bus.addr] [host:vendor_id:product_id]>",
        "Add the usb device to FV VM.",
        Group::Device,
        false,
    ),
    later(
        "usb-del",
        "<domain> <[host:bus.addr] [host:vendor_id:product_id]>",
        "Delete the usb device from FV VM.",
        Group::Device,
        false,
    ),
    later(
        "usb-attach",
        "<Domain> <DevId> <PortNumber> <BusId>",
        "Attach a new USB device.",
        Group::Device,
        false,
    ),
    later(
        "usb-detach",
        "<Domain> <DevId> <PortNumber>",
        "Detach a specified USB device.",
        Group::Device,
        false,
    ),
    later(
        "usb-list",
        "<Domain>",
        "List domain's attachment state of all virtual ports.",
        Group::Device,
        false,
    ),
    later(
        "usb-list-assignable-devices",
        "",
        "List all the assignable usb devices.",
        Group::Device,
        false,
    ),
    later(
        "usb-hc-create",
        "<Domain> <USBSpecVer> <NumberOfPorts>",
        "Create a domain's new virtual USB host controller.",
        Group::Device,
        false,
    ),
    later(
        "usb-hc-destroy",
        "<Domain> <DevId>",
        "Destroy a domain's virtual USB host controller.",
        Group::Device,
        false,
    ),
    later(
        "vnet-list",
        "[-l|--long]",
        "List Vnets.",
        Group::Vnet,
        false,
    ),
    later(
        "vnet-create",
        "<ConfigFile>",
        "Create a vnet from ConfigFile.",
        Group::Vnet,
        false,
    ),
    later(
        "vnet-delete",
        "<VnetId>",
        "Delete a Vnet.",
        Group::Vnet,
        false,
    ),
    later(
        "network-new",
        "<NetworkName>",
        "Create a network.",
        Group::Vnet,
        false,
    ),
    later(
        "network-del",
        "<NetworkName>",
        "Delete a network.",
        Group::Vnet,
        false,
    ),
    later("network-show", "", "Show networks.", Group::Vnet, false),
    later(
        "setpolicy",
        "<type> <policyfile>",
        "Set the policy of the system.",
        Group::Security,
        false,
    ),
    later(
        "resetpolicy",
        "",
        "Set the policy of the system to the default policy.",
        Group::Security,
        false,
    ),
    later(
        "getpolicy",
        "[options]",
        "Get the policy of the system.",
        Group::Security,
        false,
    ),
    later("labels", "", "List labels.", Group::Security, false),
    later(
        "addlabel",
        "<label> {dom <ConfigFile>|res <resource>|mgt <domain>} [policy]",
        "Add security label to domain.",
        Group::Security,
        false,
    ),
    later(
        "rmlabel",
        "{dom <ConfigFile>|res <Resource>|mgt <domain>}",
        "Remove a security label from domain.",
        Group::Security,
        false,
    ),
    later(
        "getlabel",
        "{dom <ConfigFile>|res <resource>|mgt <domain>}",
        "Show security label for domain or resource.",
        Group::Security,
        false,
    ),
    later(
        "dry-run",
        "<ConfigFile>",
        "Test if a domain can access its resources.",
        Group::Security,
        false,
    ),
    later(
        "resources",
        "",
        "Show info for each labeled resource.",
        Group::Security,
        false,
    ),
    later(
        "dumppolicy",
        "",
        "Print hypervisor ACM state information.",
        Group::Security,
        false,
    ),
    later(
        "getenforce",
        "",
        "Returns the current enforcing mode.",
        Group::Security,
        false,
    ),
    later(
        "setenforce",
        "[ (Enforcing | 1) | (Permissive | 0) ]",
        "Modifies the current enforcing mode.",
        Group::Security,
        false,
    ),
    later(
        "tmem-list",
        "[-l|--long] [-a|--all] [domain-id]",
        "List tmem pools.",
        Group::Tmem,
        false,
    ),
    later(
        "tmem-thaw",
        "{-a|--all|<domain-id>}",
        "Thaw tmem pools.",
        Group::Tmem,
        false,
    ),
    later(
        "tmem-freeze",
        "{-a|--all|<domain-id>}",
        "Freeze tmem pools.",
        Group::Tmem,
        false,
    ),
    later(
        "tmem-destroy",
        "{-a|--all|<domain-id>}",
        "Destroy tmem pools.",
        Group::Tmem,
        false,
    ),
    later(
        "tmem-set",
        "{-a|--all|<domain-id>} [weight=..] [cap=..] [compress=..]",
        "Change tmem settings.",
        Group::Tmem,
        false,
    ),
    later(
        "tmem-freeable",
        "",
        "Print freeable tmem (in MiB).",
        Group::Tmem,
        false,
    ),
    later(
        "tmem-shared-auth",
        "{-a|--all|<domain-id>} --uuid=<uuid> --auth={0|1}",
        "De/authenticate shared tmem pool.",
        Group::Tmem,
        false,
    ),
    later(
        "cpupool-create",
        "<ConfigFile> [vars]",
        "Create a CPU pool based an ConfigFile.",
        Group::Cpupool,
        false,
    ),
    later(
        "cpupool-new",
        "<ConfigFile> [vars]",
        "Adds a CPU pool to Xend CPU pool management.",
        Group::Cpupool,
        false,
    ),
    later(
        "cpupool-start",
        "<CPU Pool>",
        "Starts a Xend CPU pool.",
        Group::Cpupool,
        false,
    ),
    later(
        "cpupool-list",
        "[<CPU Pool>] [-l|--long] [-c|--cpus]",
        "List CPU pools on host.",
        Group::Cpupool,
        false,
    ),
    later(
        "cpupool-destroy",
        "<CPU Pool>",
        "Deactivates a CPU pool.",
        Group::Cpupool,
        false,
    ),
    later(
        "cpupool-delete",
        "<CPU Pool>",
        "Removes a CPU pool from Xend management.",
        Group::Cpupool,
        false,
    ),
    later(
        "cpupool-cpu-add",
        "<CPU Pool> <CPU nr>",
        "Adds a CPU to a CPU pool.",
        Group::Cpupool,
        false,
    ),
    later(
        "cpupool-cpu-remove",
        "<CPU Pool> <CPU nr>",
        "Removes a CPU from a CPU pool.",
        Group::Cpupool,
        false,
    ),
    later(
        "cpupool-migrate",
        "<Domain> <CPU Pool>",
        "Moves a domain into a CPU pool.",
        Group::Cpupool,
        false,
    ),
    later(
        "shell",
        "",
        "Launch an interactive shell.",
        Group::Other,
        true,
    ),
    later(
        "event-monitor",
        "",
        "Monitor system events.",
        Group::Other,
        false,
    ),
];

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
    let exact = |name: &str| COMMANDS.iter().find(|command| command.name == name);
    if let Some(command) = exact(word) {
        return Some(Found::Command(command));
    }
    if let Some((_, new)) = ALIASES.iter().find(|(old, _)| *old == word) {
        return exact(new).map(Found::Deprecated);
    }
    if word.len() < 2 {
        return None;
    }
    let mut candidates = COMMANDS
        .iter()
        .filter(|command| command.name.starts_with(word));
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
        for (index, command) in COMMANDS.iter().enumerate() {
            assert!(
                !COMMANDS[index + 1..]
                    .iter()
                    .any(|other| other.name == command.name)
            );
        }
        for (old, _) in ALIASES {
            assert!(name(old).is_some(), "{old}");
        }
    }
}
