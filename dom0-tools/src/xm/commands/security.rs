//! Subcommands about security labels.

use super::{Command, Group, later};

/// In the order of the long help.
pub(super) const SECURITY: &[Command] = &[
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
];
