//! Subcommands about the machine, and about what domains share of it.

use super::{Command, Group, JSON, later, of_group, offered, opt};

/// The machine and its hypervisor.
pub(super) const HOST: &[Command] = &[
    Command {
        group: Group::Host,
        ..offered(
            "top",
            "",
            "Monitor a host and the domains in real time.",
            &[JSON],
            true,
        )
    },
    of_group(
        Group::Host,
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
    of_group(
        Group::Host,
        "debug-keys",
        "<Keys>",
        "Send debug keys to the hypervisor.",
        &[],
    ),
    of_group(
        Group::Host,
        "info",
        "[-c|--config] [-n|--numa] [-m|--memory]",
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
            opt(
                Some('m'),
                "memory",
                "",
                "List where the memory is, and why the last start was refused.",
            ),
            JSON,
        ],
    ),
    of_group(Group::Host, "log", "", "Print Xend log.", &[JSON]),
    later(
        "serve",
        "",
        "Proxy Xend XMLRPC over stdio.",
        Group::Host,
        false,
    ),
];

const SCHED_CREDIT: Command = of_group(
    Group::Scheduler,
    "sched-credit",
    "[-d <Domain> [-w[=WEIGHT]|-c[=CAP]]]",
    "Get/set credit scheduler parameters.",
    &[
        opt(Some('d'), "domain", "DOMAIN", "Domain to see or to change."),
        opt(Some('w'), "weight", "WEIGHT", "Weight (int)."),
        opt(
            Some('c'),
            "cap",
            "CAP",
            "Cap (int), in percent of a processor.",
        ),
        opt(
            Some('s'),
            "schedparam",
            "",
            "See or change the scheduler itself.",
        ),
        opt(Some('t'), "tslice_ms", "MS", "With -s: the time slice."),
        opt(Some('r'), "ratelimit_us", "US", "With -s: the rate limit."),
        JSON,
    ],
);

/// Its processors' time.
pub(super) const SCHEDULER: &[Command] = &[
    SCHED_CREDIT,
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
];

/// Memory that domains share.
pub(super) const TMEM: &[Command] = &[
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
];

/// Pools of processors.
pub(super) const CPUPOOL: &[Command] = &[
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
    of_group(
        Group::Cpupool,
        "cpupool-list",
        "[<CPU Pool>] [-l|--long] [-c|--cpus]",
        "List CPU pools on host.",
        &[
            opt(Some('l'), "long", "", "Output all CPU pool details in SXP."),
            opt(Some('c'), "cpus", "", "Output list of CPUs used by a pool"),
            JSON,
        ],
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
];

/// The rest.
pub(super) const OTHER: &[Command] = &[
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
