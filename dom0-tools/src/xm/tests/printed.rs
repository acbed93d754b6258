//! What is printed, for people and for programs.

use super::{all, asked, memory, typed};
use crate::xend::protocol::Request;
use crate::xend::view::{DomainView, MemoryView};

#[test]
fn shares_are_printed_for_people_and_for_programs() {
    let table = "Name                                ID Weight  Cap\n\
                 etch                                 3    256    0\n";
    assert_eq!(typed("sched-credit -d etch").0, table);
    let row = "[\n  {\n    \"name\": \"etch\",\n    \"domid\": 3,\n    \"weight\": 256,\n    \"cap\": 0\n  }\n]\n";
    assert_eq!(typed("sched-credit --json -d etch").0, row);
    let line = "Cpupool Pool-0: tslice=10ms ratelimit=1000us\n";
    assert_eq!(typed("sched-credit -s -t 10").0, line);
    let (out, err, _) = typed("sched-credit -s --json");
    let parsed: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&parsed["tslice_ms"], &*err), (&30.into(), ""));
}

#[test]
fn lists_are_printed() {
    let header =
        "Name                                        ID   Mem VCPUs      State   Time(s)\n";
    let etch = "etch                                         3   128     1     -b----     12.7\n";
    assert_eq!(
        typed("list etch"),
        (format!("{header}{etch}"), String::new(), 0)
    );
    assert_eq!(typed("list").0.lines().count(), 4);
    assert_eq!(typed("list --state=paused").0.lines().count(), 2);
    assert_eq!(typed("list --state=nonsense").0, header);
    let (out, err, status) = typed("list etch woody");
    assert_eq!(
        (&*out, &*err, status),
        ("", "Error: Domain 'woody' does not exist.\n", 3)
    );
    let (out, err, _) = typed("list -v");
    assert_eq!(err, "xm list -v is deprecated.  Please use xm vcpu-list.\n");
    assert!(out.starts_with("Name                                ID  VCPU"));
    let (_, err, status) = typed("list --state=running etch");
    assert_eq!(
        (&*err, status),
        (
            "Error: You may specify either a state or a particular VM, but not both\n",
            1
        )
    );
    let json: Vec<DomainView> = serde_json::from_str(&typed("list --json").0).unwrap();
    assert_eq!(json, all());
    assert!(typed("list -l etch").0.contains("\n    (status 2)\n"));
}

#[test]
fn names_numbers_and_states_are_printed() {
    assert_eq!(typed("domid etch").0, "3\n");
    assert_eq!(typed("domname 4").0, "sarge\n");
    assert_eq!(typed("domstate etch").0, "idle\n");
    assert_eq!(typed("domstate sarge").0, "paused by admin\n");
    assert_eq!(
        typed("uptime etch").0.lines().nth(1),
        Some("etch                                 3  0:00:00")
    );
    let json: serde_json::Value = serde_json::from_str(&typed("uptime etch --json").0).unwrap();
    let row = serde_json::json!([{ "name": "etch", "domid": 3, "uptime_seconds": 0 }]);
    assert_eq!(json, row);
}

#[test]
fn the_machine_is_printed() {
    assert_eq!(typed("info").0, "host                   : talon\n");
    assert_eq!(typed("dmesg"), ("(XEN) booted\n".into(), String::new(), 0));
    assert_eq!(typed("log").0, "(XEN) booted\n");
    assert_eq!(typed("dmesg x").1, "Error: No parameter required\n");
    assert_eq!(asked("debug R"), [Request::DebugKeys { keys: "R".into() }]);
}

#[test]
fn where_memory_is_is_printed() {
    let text = "total_kib              : 1000000\n\
                hypervisor_kib         : 20000\n\
                domains_kib            : 780000\n\
                free_kib               : 200000\n\
                claimed_kib            : 65536\n\
                last_refusal           : 1970-01-02 00:01:01 sarge: I need 5 KiB but only have 4.\n\
                Name                                ID    Current     Target    Maximum  Ballooned\n\
                Domain-0                             0     700000     700000  unlimited     100000\n\
                etch                                 3      80000      65536     131072      51072\n";
    assert_eq!(typed("info --memory"), (text.into(), String::new(), 0));
    assert_eq!(typed("info -m").0, text);
    let json: MemoryView = serde_json::from_str(&typed("info --memory --json").0).unwrap();
    assert_eq!(json, memory());
}

#[test]
fn there_is_one_pool_of_processors() {
    let header = "Name               CPUs   Sched     Active   Domain count\n";
    let row = "Pool-0               2    credit       y          3\n";
    assert_eq!(typed("cpupool-list").0, format!("{header}{row}"));
    assert_eq!(typed("cpupool-list Pool-0").0, format!("{header}{row}"));
    let cpus = typed("cpupool-list -c").0;
    assert_eq!(cpus.lines().nth(1), Some("Pool-0           0,1"));
    let long = typed("cpupool-list --long").0;
    let long_of_it = typed("cpupool-list -l Pool-0").0;
    assert!(long.starts_with("(cpu_pool\n    (name_label Pool-0)\n") && long == long_of_it);
    assert!(long.contains("\n    (host_CPUs (0 1))\n    (activated 1)\n    (started_VMs 3)\n"));
    assert_eq!(
        typed("cpupool-list Pool-1").1,
        "Error: Pool 'Pool-1' does not exist.\n"
    );
    for other in [
        "cpupool-create f",
        "cpupool-destroy Pool-0",
        "cpupool-migrate etch Pool-0",
    ] {
        let name = other.split(' ').next().unwrap();
        let (out, err, status) = typed(other);
        assert_eq!(
            (&*out, err, status),
            (
                "",
                format!("Error: xm {name} is not offered: all processors are in Pool-0.\n"),
                1
            )
        );
    }
}

/// What a command prints that data is asked of: with `--json` nothing but that, and each value has a name.
#[test]
fn all_that_prints_data_prints_it_for_programs() {
    let sxp = std::env::temp_dir().join(format!("xm-json-{}.sxp", std::process::id()));
    std::fs::write(&sxp, "(vm (name etch) (image (linux (kernel /k))))").unwrap();
    let (make, dry_run) = (
        format!("-F {}", sxp.display()),
        format!("-n -F {}", sxp.display()),
    );
    // The command, its arguments, and a field of what it prints.
    let printing = [
        ("list", "", "/0/name"),
        ("list", "etch", "/0/state"),
        ("vcpu-list", "", "/0/cpu_seconds"),
        ("uptime", "", "/0/uptime_seconds"),
        ("domid", "etch", "/domid"),
        ("domname", "3", "/name"),
        ("domstate", "etch", "/state"),
        ("info", "", "/cpu_topology"),
        ("info", "--numa", "/cpu_topology"),
        ("info", "--memory", "/free_kib"),
        ("dmesg", "", "/text"),
        ("dmesg", "--clear", "/text"),
        ("log", "", "/text"),
        ("sched-credit", "", "/0/weight"),
        ("sched-credit", "-s", "/tslice_ms"),
        ("cpupool-list", "", "/0/cpus"),
        ("cpupool-list", "--long", "/0/cpus"),
        ("create", &*make, "/domid"),
        ("create", &*dry_run, "/kernel"),
        ("new", &*dry_run, "/kernel"),
        ("block-list", "etch", "/0/virtual_device"),
        ("block-list", "--long etch", "/0/virtual_device"),
        ("network-list", "etch", "/0/mac"),
    ];
    for (name, arguments, field) in printing {
        let (out, err, status) = typed(&format!("{name} --json {arguments}"));
        assert_eq!((&*err, status), ("", 0), "{name} {arguments}");
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert!(value.pointer(field).is_some(), "{name} {arguments}: {out}");
        let is_named = |value: &serde_json::Value| value.is_object();
        let rows = value.as_array().map(Vec::as_slice);
        assert!(
            rows.unwrap_or(std::slice::from_ref(&value))
                .iter()
                .all(is_named)
        );
    }
    std::fs::remove_file(&sxp).unwrap();
    // xentop's are its own, and no other subcommand takes the option.
    let taking = crate::xm::commands::all().filter(|command| {
        let options = command.options.iter();
        command.is_offered && options.clone().any(|option| option.long == "json")
    });
    for command in taking.filter(|command| command.name != "top") {
        assert!(
            printing.iter().any(|(name, ..)| *name == command.name),
            "{}",
            command.name
        );
    }
}
