//! What the subcommands print: texts that programs read, so each column is where it has always been.

use crate::sxp::Sxp;
use crate::xend::view::{DomainView, HostView, VcpuView};
use serde::Serialize;
use std::fmt::Write;

/// A domain's number in a column, where those that do not run have none.
fn or_blank(domid: Option<u16>) -> String {
    domid.map_or_else(String::new, |domid| domid.to_string())
}

/// A domain's number in a sentence, as programs know it.
#[must_use]
pub fn or_none(domid: Option<u16>) -> String {
    domid.map_or_else(|| "None".to_owned(), |domid| domid.to_string())
}

/// `xm list`.
#[must_use]
pub fn list(views: &[DomainView], has_labels: bool) -> String {
    let mut text = format!(
        "{:<40} {:>5} {:>5} {:>5} {:>10} {:>9}",
        "Name", "ID", "Mem", "VCPUs", "State", "Time(s)"
    );
    text.push_str(if has_labels { " Label     \n" } else { "\n" });
    for view in views {
        let _ = write!(
            text,
            "{:<40} {:>5} {:>5} {:>5} {:>10} {:>8.1}",
            view.name,
            or_blank(view.domid),
            view.memory_mib,
            view.online_vcpus,
            view.state,
            view.cpu_seconds
        );
        text.push_str(if has_labels { "           \n" } else { "\n" });
    }
    text
}

/// The number that stands for a domain's state in `list --long`.
#[must_use]
pub fn status(view: &DomainView) -> u8 {
    let has = |letter| view.state.contains(letter);
    if view.domid.is_none() {
        if view.is_suspended { 3 } else { 0 }
    } else if has('c') {
        5
    } else if has('s') || has('d') {
        4
    } else if has('p') {
        1
    } else {
        2
    }
}

/// Whether a domain is in a state that `list --state` names.
#[must_use]
pub fn is_in_state(view: &DomainView, state: &str) -> bool {
    match &*state.to_ascii_lowercase() {
        "all" => true,
        "running" => status(view) == 2,
        "paused" => status(view) == 1,
        "halted" => status(view) == 0,
        "suspended" => status(view) == 3,
        "shutdown" => status(view) == 4,
        "crashed" => status(view) == 5,
        _ => false,
    }
}

/// `xm list --long`, for one domain.
#[must_use]
pub fn long(view: &DomainView) -> String {
    let domid = view.domid.map(|domid| Sxp::pair("domid", domid));
    let mut fields: Vec<_> = domid.into_iter().collect();
    match &view.config {
        Some(config) => fields.extend(config.sxp_fields()),
        None => fields.extend([
            Sxp::pair("vcpus", view.vcpus),
            Sxp::pair("uuid", &view.uuid),
            Sxp::pair("name", &view.name),
            Sxp::pair("maxmem", view.maxmem_mib),
            Sxp::pair("memory", view.memory_mib),
        ]),
    }
    fields.push(Sxp::pair("start_time", format!("{:.2}", view.start_time)));
    fields.push(Sxp::pair("cpu_time", format!("{:.4}", view.cpu_seconds)));
    fields.push(Sxp::pair("online_vcpus", view.online_vcpus));
    if let Some(config) = &view.config {
        fields.push(config.sxp_image());
    }
    fields.push(Sxp::pair("status", status(view)));
    if view.domid.is_some() {
        fields.push(Sxp::pair("state", &view.state));
    }
    if let Some(config) = &view.config {
        if view.domid.is_some() {
            fields.push(Sxp::pair("store_mfn", view.store_mfn));
            fields.push(Sxp::pair("console_mfn", view.console_mfn));
        }
        fields.extend(config.sxp_devices());
    }
    Sxp::list("domain", fields).pretty()
}

/// `xm vcpu-list`.
#[must_use]
pub fn vcpus(views: &[VcpuView]) -> String {
    let mut text = format!(
        "{:<32} {:>5} {:>5} {:>5} {:>5} {:>9} CPU Affinity\n",
        "Name", "ID", "VCPU", "CPU", "State", "Time(s)"
    );
    for view in views {
        let cpu = match (view.domid, view.cpu) {
            (None, _) => String::new(),
            (Some(_), None) => "-".to_owned(),
            (Some(_), Some(cpu)) => cpu.to_string(),
        };
        let domid = or_blank(view.domid);
        let _ = writeln!(
            text,
            "{:<32} {domid:>5} {:>5} {cpu:>5} {:>5}  {:>8.1} {}",
            view.name, view.vcpu, view.state, view.cpu_seconds, view.affinity
        );
    }
    text
}

/// Days, hours, minutes and seconds.
fn duration(seconds: u64) -> String {
    let (days, rest) = (seconds / 86400, seconds % 86400);
    let days = match days {
        0 => String::new(),
        1 => "1 day, ".to_owned(),
        days => format!("{days} days, "),
    };
    format!(
        "{days}{:>2}:{:02}:{:02}",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

/// How long a domain has been running.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct UptimeRow {
    /// Its name.
    pub name: String,
    /// Its number, if it runs.
    pub domid: Option<u16>,
    /// How long, in whole seconds.
    pub uptime_seconds: u64,
}

/// `xm uptime`.
#[must_use]
pub fn uptime(rows: &[UptimeRow]) -> String {
    let mut text = format!("{:<33} {:>4} {} \n", "Name", "ID", "Uptime");
    for row in rows {
        let domid = or_blank(row.domid);
        let uptime = duration(row.uptime_seconds);
        let _ = writeln!(text, "{:<32} {domid:>5} {uptime}", row.name);
    }
    text
}

/// `xm uptime --short`; `time` is the time of day.
#[must_use]
pub fn short_uptime(time: &str, rows: &[UptimeRow]) -> String {
    let mut text = String::new();
    for row in rows {
        let (name, seconds) = (&row.name, row.uptime_seconds);
        let (days, rest) = (seconds / 86400, seconds % 86400);
        let days = match days {
            0 => String::new(),
            1 => "1 day, ".to_owned(),
            days => format!("{days} days, "),
        };
        let domid = or_none(row.domid);
        let _ = writeln!(
            text,
            " {time} up {days}{}:{:02}, {name} ({domid})",
            rest / 3600,
            rest / 60 % 60
        );
    }
    text
}

/// The word of `xm domstate`.
#[must_use]
pub fn domain_state(view: &DomainView) -> &'static str {
    let has = |letter| view.state.contains(letter);
    if view.domid.is_none() {
        "shutoff"
    } else if has('b') {
        "idle"
    } else if has('s') || has('d') {
        "shutdown"
    } else if has('c') {
        "crashed"
    } else if has('p') {
        if view.paused_by_admin {
            "paused by admin"
        } else {
            "paused"
        }
    } else {
        "running"
    }
}

/// `xm info`.
#[must_use]
pub fn info(host: &HostView, has_topology: bool) -> String {
    let mut text = String::new();
    for (name, value) in &host.fields {
        let is_list = matches!(&**name, "virt_caps" | "xen_caps" | "xen_commandline");
        if value.is_empty() && !is_list {
            let _ = writeln!(text, "{name:<23}: (none)");
        } else {
            let _ = writeln!(text, "{name:<23}: {value}");
        }
        if has_topology && name == "free_cpus" {
            text.push_str(&topology(host));
        }
    }
    text
}

fn topology(host: &HostView) -> String {
    let mut text = format!("{:<23}:\ncpu:    core    socket     node\n", "cpu_topology");
    for (cpu, (core, socket, node)) in host.cpu_topology.iter().enumerate() {
        let _ = writeln!(text, "{cpu:>3}:{core:>8} {socket:>8} {node:>8}");
    }
    let _ = write!(
        text,
        "{:<23}:\nnode: TotalMemory FreeMemory dma32Memory NodeDist:",
        "numa_info"
    );
    for node in 0..host.nodes.len() {
        let _ = write!(text, "{node:>4} ");
    }
    text.push('\n');
    for (node, (total, free, distances)) in host.nodes.iter().enumerate() {
        let distances: String = distances.iter().map(|one| format!("{one:>4} ")).collect();
        // How much of it lies below 4 GiB is not said by the hypervisor.
        let _ = writeln!(
            text,
            "{node:>4}:  {total:>8}MB {free:>8}MB  {:>8}MB         :{distances}",
            0
        );
    }
    text
}

/// `xm info --config`.
#[must_use]
pub fn settings(host: &HostView) -> String {
    let lines = host.settings.iter();
    lines
        .map(|(name, value)| {
            let value = if value.is_empty() { "(none)" } else { value };
            format!("{name:<38}: {value}\n")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(name: &str, domid: u16, state: &str, cpu_seconds: f64) -> DomainView {
        DomainView {
            domid: Some(domid),
            name: name.to_owned(),
            uuid: "06ed00fe-1162-4fc4-b5d8-11993ee4a8b9".to_owned(),
            memory_mib: 128,
            maxmem_mib: 256,
            online_vcpus: 1,
            vcpus: 1,
            state: state.to_owned(),
            is_suspended: false,
            cpu_seconds,
            start_time: 1_220_433_463.65,
            paused_by_admin: false,
            restart_count: 0,
            store_mfn: 131_071,
            console_mfn: 131_070,
            config: None,
        }
    }

    #[test]
    fn lists_have_their_columns() {
        let mut first = view("Domain-0", 0, "r-----", 2311.4);
        (first.memory_mib, first.online_vcpus) = (1459, 2);
        assert_eq!(
            list(&[first, view("etch", 3, "-b----", 12.68)], false),
            "Name                                        ID   Mem VCPUs      State   Time(s)\n\
             Domain-0                                     0  1459     2     r-----   2311.4\n\
             etch                                         3   128     1     -b----     12.7\n"
        );
    }

    #[test]
    fn virtual_processors_have_their_columns() {
        let row = |name: &str, domid, vcpu, cpu, state: &str, seconds, affinity: &str| VcpuView {
            name: name.into(),
            domid: Some(domid),
            vcpu,
            cpu,
            state: state.into(),
            cpu_seconds: seconds,
            affinity: affinity.into(),
        };
        assert_eq!(
            vcpus(&[
                row("Domain-0", 0, 0, Some(1), "r--", 1200.31, "any cpu"),
                row("etch", 3, 0, Some(0), "-b-", 12.7, "0-1,3"),
                row("etch", 3, 1, None, "--p", 0.0, "any cpu"),
            ]),
            "Name                                ID  VCPU   CPU State   Time(s) CPU Affinity\n\
             Domain-0                             0     0     1   r--    1200.3 any cpu\n\
             etch                                 3     0     0   -b-      12.7 0-1,3\n\
             etch                                 3     1     -   --p       0.0 any cpu\n"
        );
    }

    #[test]
    fn uptimes_have_their_columns() {
        let row = |name: &str, domid, uptime_seconds| UptimeRow {
            name: name.to_owned(),
            domid: Some(domid),
            uptime_seconds,
        };
        let rows = [
            row("Domain-0", 0, 2 * 86400 + 13 * 3600 + 41 * 60 + 5),
            row("etch", 3, 4 * 3600 + 7 * 60 + 9),
        ];
        assert_eq!(
            uptime(&rows),
            "Name                                ID Uptime \n\
             Domain-0                             0 2 days, 13:41:05\n\
             etch                                 3  4:07:09\n"
        );
        assert_eq!(
            short_uptime("10:34:37", &rows),
            " 10:34:37 up 2 days, 13:41, Domain-0 (0)\n 10:34:37 up 4:07, etch (3)\n"
        );
    }

    #[test]
    fn long_lists_say_what_programs_look_for() {
        let text = long(&view("etch", 3, "-b----", 12.7345));
        assert!(text.starts_with("(domain\n    (domid 3)\n"), "{text}");
        for line in [
            "    (name etch)",
            "    (maxmem 256)",
            "    (memory 128)",
            "    (vcpus 1)",
            "    (cpu_time 12.7345)",
            "    (status 2)",
            "    (state -b----)",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} in {text}");
        }
        assert_eq!(
            text.lines().filter(|line| line.contains("status")).count(),
            1
        );
        for (state, number) in [
            ("r-----", 2),
            ("------", 2),
            ("--p---", 1),
            ("---s--", 4),
            ("----c-", 5),
            ("-----d", 4),
        ] {
            assert_eq!(status(&view("x", 1, state, 0.0)), number, "{state}");
        }
    }

    #[test]
    fn states_have_words() {
        for (state, word) in [
            ("-b----", "idle"),
            ("---s--", "shutdown"),
            ("-----d", "shutdown"),
            ("r-----", "running"),
            ("------", "running"),
            ("----c-", "crashed"),
            ("--p---", "paused"),
        ] {
            assert_eq!(domain_state(&view("x", 1, state, 0.0)), word, "{state}");
        }
        let mut paused = view("x", 1, "--p---", 0.0);
        paused.paused_by_admin = true;
        assert_eq!(domain_state(&paused), "paused by admin");
    }

    #[test]
    fn the_machine_is_shown_by_fields() {
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let host = HostView {
            fields: vec![
                field("host", "talon"),
                field("virt_caps", ""),
                field("free_cpus", "0"),
                field("xen_changeset", ""),
            ],
            cpu_topology: vec![(0, 0, 0), (1, 0, 0)],
            nodes: vec![(4086, 2514, vec![10])],
            settings: vec![
                field("logfile", "/var/log/xen/xend.log"),
                field("keymap", ""),
            ],
        };
        assert_eq!(
            info(&host, true),
            "host                   : talon\nvirt_caps              : \nfree_cpus              : 0\n\
             cpu_topology           :\ncpu:    core    socket     node\n  0:       0        0        0\n  \
             1:       1        0        0\n\
             numa_info              :\nnode: TotalMemory FreeMemory dma32Memory NodeDist:   0 \n   \
             0:      4086MB     2514MB         0MB         :  10 \nxen_changeset          : (none)\n"
        );
        assert!(!info(&host, false).contains("cpu_topology"));
        assert_eq!(
            settings(&host),
            "logfile                               : /var/log/xen/xend.log\n\
             keymap                                : (none)\n"
        );
    }
}
