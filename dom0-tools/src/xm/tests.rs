//! Command lines, and everything they print, against a `xend` that has two guests.

use super::client::Xend;
use super::progress::Progress;
use super::run::{Session, run};
use crate::config::error::ConfigError;
use crate::xend::devices::running::DeviceView;
use crate::xend::protocol::{Fault, Request, Response};
use crate::xend::testing::config;
use crate::xend::view::{
    CreditRow, DomainView, HostView, MemoryRow, MemoryView, Refusal, VcpuView,
};
use std::collections::VecDeque;
use std::io;

/// What was asked, and what is answered.
#[derive(Default)]
struct Stub {
    asked: Vec<Request>,
    is_away: bool,
    /// Domains that are gone when they are listed again.
    is_ending: bool,
    /// What is listed instead, one after the other.
    listed: VecDeque<Vec<DomainView>>,
    /// What is answered to all that lists nothing.
    refusal: Option<Fault>,
    /// Domains that are made are gone at once.
    has_finished: bool,
}

fn view(name: &str, domid: u16, state: &str) -> DomainView {
    DomainView {
        domid: Some(domid),
        name: name.to_owned(),
        uuid: format!("00000000-0000-0000-0000-00000000000{domid}"),
        memory_mib: 128,
        maxmem_mib: 128,
        online_vcpus: 1,
        vcpus: 2,
        state: state.to_owned(),
        is_suspended: false,
        cpu_seconds: 12.7,
        start_time: 0.0,
        paused_by_admin: true,
        restart_count: 0,
        store_mfn: 0,
        console_mfn: 0,
        config: None,
    }
}

fn all() -> Vec<DomainView> {
    vec![
        view("Domain-0", 0, "r-----"),
        view("etch", 3, "-b----"),
        view("sarge", 4, "--p---"),
    ]
}

fn memory() -> MemoryView {
    MemoryView {
        total_kib: 1_000_000,
        hypervisor_kib: 20_000,
        domains_kib: 780_000,
        free_kib: 200_000,
        claimed_kib: 65_536,
        last_refusal: Some(Refusal {
            name: "sarge".into(),
            time: 86_400.0 + 61.5,
            reason: "I need 5 KiB but only have 4.".into(),
        }),
        domains: vec![
            MemoryRow {
                name: "Domain-0".into(),
                domid: 0,
                current_kib: 700_000,
                target_kib: 700_000,
                maximum_kib: None,
                ballooned_kib: 100_000,
            },
            MemoryRow {
                name: "etch".into(),
                domid: 3,
                current_kib: 80_000,
                target_kib: 65_536,
                maximum_kib: Some(131_072),
                ballooned_kib: 51_072,
            },
        ],
    }
}

impl Xend for Stub {
    fn ask(&mut self, request: &Request) -> io::Result<Response> {
        if self.is_away {
            return Err(io::Error::from_raw_os_error(
                nix::errno::Errno::ECONNREFUSED as i32,
            ));
        }
        self.asked.push(request.clone());
        if let Some(refusal) = &self.refusal
            && !matches!(request, Request::List { .. })
        {
            return Ok(Response::Fault(refusal.clone()));
        }
        let known = |domain: &String| {
            let found = all()
                .into_iter()
                .find(|view| view.name == *domain || view.key() == *domain);
            found.ok_or_else(|| Fault::NoDomain(domain.clone()))
        };
        let known_or_made = |domain: &String| match &**domain {
            "5" if !self.has_finished => Ok(view("made", 5, "-b----")),
            _ => known(domain),
        };
        let answer = match request {
            Request::List { domains } if domains.is_empty() && !self.listed.is_empty() => {
                let views = self.listed.pop_front().unwrap_or_default();
                Ok(Response::Domains(views))
            }
            Request::List { domains } if domains.is_empty() => {
                let mut views = all();
                if self.is_ending {
                    views.truncate(1);
                }
                self.is_ending = self
                    .asked
                    .iter()
                    .any(|asked| matches!(asked, Request::Shutdown { .. }));
                if self.is_ending {
                    views.truncate(1);
                }
                Ok(Response::Domains(views))
            }
            Request::List { domains } => domains
                .iter()
                .map(known)
                .collect::<Result<_, _>>()
                .map(Response::Domains),
            Request::Vcpus { .. } => Ok(Response::Vcpus(vec![VcpuView {
                name: "etch".into(),
                domid: Some(3),
                vcpu: 0,
                cpu: Some(1),
                state: "-b-".into(),
                cpu_seconds: 1.25,
                affinity: "any cpu".into(),
            }])),
            Request::Shares { .. } => Ok(Response::Shares(vec![CreditRow {
                name: "etch".into(),
                domid: Some(3),
                weight: Some(256),
                cap: Some(0),
            }])),
            Request::Schedule {
                tslice_ms,
                ratelimit_us,
            } => Ok(Response::Schedule {
                tslice_ms: tslice_ms.unwrap_or(30),
                ratelimit_us: ratelimit_us.unwrap_or(1000),
            }),
            Request::Host => Ok(Response::Host(Box::new(HostView {
                fields: vec![("host".into(), "talon".into())],
                cpu_topology: vec![(0, 0, 0), (1, 0, 0)],
                ..HostView::default()
            }))),
            Request::Memory => Ok(Response::Memory(Box::new(memory()))),
            Request::Dmesg { .. } | Request::Log => Ok(Response::Text("(XEN) booted\n".into())),
            Request::Destroy { domain }
            | Request::Pause { domain }
            | Request::Unpause { domain } => {
                known_or_made(domain).and_then(|view| match view.domid {
                    Some(0) => Err(Fault::text("Cannot pause privileged domain Domain-0")),
                    _ => Ok(Response::Done),
                })
            }
            Request::Devices { .. } => Ok(Response::Devices(vec![DeviceView {
                number: 51712,
                backend: "/local/domain/0/backend/vbd/3/51712".into(),
                mac: Some("00:16:3e:00:00:11".into()),
                frontend: Vec::new(),
            }])),
            Request::Start { .. } => Ok(Response::Created {
                domid: 5,
                warnings: Vec::new(),
            }),
            _ => Ok(Response::Done),
        };
        Ok(answer.unwrap_or_else(Response::Fault))
    }
}

/// Standard output, standard error, status.
fn typed(line: &str) -> (String, String, u8) {
    typed_with(line, &mut Stub::default())
}

fn typed_with(line: &str, stub: &mut Stub) -> (String, String, u8) {
    let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = run(
        &words,
        &mut Session {
            xend: stub,
            evaluate: &|path, _| {
                Err(ConfigError::Failed {
                    origin: None,
                    reason: format!("{} is not to be read", path.display()),
                })
            },
            progress: Progress::Hidden,
            out: &mut out,
            err: &mut err,
        },
    );
    (
        String::from_utf8(out).unwrap(),
        String::from_utf8(err).unwrap(),
        status,
    )
}

fn asked(line: &str) -> Vec<Request> {
    let mut stub = Stub::default();
    let (out, err, status) = typed_with(line, &mut stub);
    assert_eq!((&*out, &*err, status), ("", "", 0), "{line}");
    stub.asked
}

const PAUSE_USAGE: &str = "Usage: xm pause <Domain>\n\nPause execution of a domain.\n\n";

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

#[test]
fn actions_are_silent() {
    let domain = || "etch".to_owned();
    assert_eq!(asked("pause etch"), [Request::Pause { domain: domain() }]);
    assert_eq!(
        asked("unpause etch"),
        [Request::Unpause { domain: domain() }]
    );
    assert_eq!(
        asked("destroy etch"),
        [Request::Destroy { domain: domain() }]
    );
    assert_eq!(asked("reset etch"), [Request::Reset { domain: domain() }]);
    let name = || "woody".to_owned();
    assert_eq!(
        asked("rename etch woody"),
        [Request::Rename {
            domain: domain(),
            name: name()
        }]
    );
    assert_eq!(
        asked("sysrq etch s"),
        [Request::Sysrq {
            domain: domain(),
            letter: "s".into()
        }]
    );
    assert_eq!(
        asked("vcpu-set etch 2"),
        [Request::SetVcpus {
            domain: domain(),
            count: 2
        }]
    );
    assert_eq!(
        asked("mem-set etch 131072k"),
        [Request::SetMemory {
            domain: domain(),
            mib: 128
        }]
    );
    assert_eq!(
        asked("mem-max etch 1g"),
        [Request::LimitMemory {
            domain: domain(),
            mib: 1024
        }]
    );
    assert_eq!(
        asked("vcpu-pin etch all 0-1"),
        [Request::PinVcpu {
            domain: domain(),
            vcpu: None,
            cpus: "0-1".into()
        }]
    );
}

#[test]
fn errors_go_to_standard_error_and_usage_to_standard_output() {
    for (line, out, err, status) in [
        (
            "pause woody",
            "",
            "Error: Domain 'woody' does not exist.\n",
            3,
        ),
        (
            "pause Domain-0",
            PAUSE_USAGE,
            "Error: Cannot pause privileged domain Domain-0\n",
            1,
        ),
        (
            "pause",
            PAUSE_USAGE,
            "Error: 'xm pause' requires 1 argument.\n\n",
            1,
        ),
        (
            "pause -z",
            PAUSE_USAGE,
            "Error: option -z not recognized\n",
            1,
        ),
        (
            "pause --zz",
            PAUSE_USAGE,
            "Error: option --zz not recognized\n",
            1,
        ),
        ("pause -h", PAUSE_USAGE, "", 1),
        ("pause --help", PAUSE_USAGE, "", 1),
        (
            "migrate etch host",
            "",
            "Error: xm migrate is not there yet.\n",
            1,
        ),
        (
            "sched-sedf etch",
            "",
            "Error: Xen is running with the credit scheduler\n",
            1,
        ),
        (
            "sched-credit2 -d etch",
            "",
            "Error: Xen is running with the credit scheduler\n",
            1,
        ),
        ("console -q woody", "", "", 1),
    ] {
        assert_eq!(
            typed(line),
            (out.to_owned(), err.to_owned(), status),
            "{line}"
        );
    }
    assert_eq!(
        typed("rename etch").1,
        "Error: 'xm rename' requires 2 arguments.\n\n"
    );
    assert_eq!(
        typed("mem-set etch").1,
        "Error: 'xm mem-set' requires 2 arguments.\n\n"
    );
    let usage = "Usage: xm mem-set <Domain> <Mem>\n\n\
                 Set the current memory usage for a domain.\n\n";
    let invalid = (usage.into(), "Error: Invalid argument.\n".into(), 1);
    assert_eq!(typed("mem-set etch much"), invalid);
    assert_eq!(typed("vcpu-set etch x").1, "Error: Invalid argument.\n");
    assert_eq!(typed("vcpu-pin etch 0 3-1").1, "Error: Invalid argument.\n");
    let crossed = typed("dump-core -CR etch").1;
    assert_eq!(
        crossed,
        "Error: You may not specify more than one '-CR' option\n"
    );
    assert_eq!(typed("dump-core").1, "Error: Expects 1 or 2 argument(s)\n");
    let (out, err, status) = typed("foo");
    assert_eq!((&*err, status), ("Error: Subcommand foo not found!\n", 1));
    assert_eq!(out, super::help::short());
    assert_eq!(typed("").2, 1);
    assert_eq!(typed("help whatever").2, 0);
    let (_, err, _) = typed("balloon etch 5");
    assert!(err.starts_with("Command balloon is deprecated.  Please use xm mem-set instead.\n"));
}

#[test]
fn a_missing_daemon_is_told() {
    let mut stub = Stub {
        is_away: true,
        ..Stub::default()
    };
    let (out, err, status) = typed_with("list", &mut stub);
    assert_eq!(
        (&*out, &*err, status),
        (
            "",
            "Error: Unable to connect to xend: Connection refused. Is xend running?\n",
            1
        )
    );
}

#[test]
fn shutdowns_are_asked_for_and_waited_for() {
    let shutdown = |domain: &str, reason: &str| Request::Shutdown {
        domain: domain.into(),
        reason: reason.into(),
    };
    assert_eq!(asked("shutdown etch")[1], shutdown("3", "poweroff"));
    assert_eq!(asked("shutdown -H etch")[1], shutdown("3", "halt"));
    assert_eq!(asked("reboot etch")[1], shutdown("3", "reboot"));
    assert_eq!(
        asked("shutdown -a")[1..],
        [shutdown("3", "poweroff"), shutdown("4", "poweroff")]
    );
    // Until nothing is left of them.
    let mut stub = Stub::default();
    let (_, _, status) = typed_with("shutdown -wa", &mut stub);
    assert_eq!(status, 0);
    let cleaned = stub.asked.into_iter().filter_map(|request| match request {
        Request::AwaitCleanUp { uuid } => Some(uuid),
        _ => None,
    });
    let gone = all().into_iter().filter(|view| view.domid != Some(0));
    assert!(cleaned.eq(gone.map(|view| view.uuid)));
    assert_eq!(
        typed("shutdown -wa"),
        (
            "Domain etch terminated\nDomain sarge terminated\nAll domains terminated\n".into(),
            String::new(),
            0
        )
    );
    assert_eq!(
        typed("shutdown -H -R etch").1,
        "Error: Can't specify halt and reboot\n"
    );
    assert_eq!(typed("shutdown").1, "Error: No domain parameter given\n");
    assert_eq!(
        typed("shutdown a b").1,
        "Error: No multiple domain parameters allowed\n"
    );
}

#[test]
fn a_reboot_is_over_when_the_domain_is_built() {
    let again = |config| DomainView {
        domid: Some(5),
        restart_count: 1,
        config,
        ..view("etch", 3, "--p---")
    };
    let mut stub = Stub {
        listed: VecDeque::from([
            vec![view("etch", 3, "-b----")],
            Vec::new(),
            // It has a number, and no console yet.
            vec![again(None)],
            vec![again(Some(config("etch")))],
        ]),
        ..Stub::default()
    };
    assert_eq!(
        typed_with("reboot -w etch", &mut stub),
        (
            "Domain etch rebooted\nAll domains rebooted\n".into(),
            String::new(),
            0
        )
    );
    assert!(stub.listed.is_empty());
}

#[test]
fn domains_that_are_kept_are_started_and_deleted_in_silence() {
    let mut stub = Stub::default();
    let silence = (String::new(), String::new(), 0);
    assert_eq!(typed_with("start -p etch", &mut stub), silence);
    assert_eq!(typed_with("start etch", &mut stub), silence);
    assert_eq!(typed_with("delete etch", &mut stub), silence);
    let start = |paused| Request::Start {
        domain: "etch".into(),
        paused,
    };
    let delete = Request::Delete {
        domain: "etch".into(),
    };
    assert_eq!(stub.asked, [start(true), start(false), delete]);
    assert_eq!(typed("start").1, "Error: Expects 1 argument\n");
    let told = "Error: xm suspend comes with xm save, which is not there yet.\n";
    assert_eq!(typed("suspend etch").1, told);
}

/// What a command prints that data is asked of: with `--json` nothing but that, and each value has a name.
#[test]
fn all_that_prints_data_prints_it_for_programs() {
    let sxp = std::env::temp_dir().join(format!("xm-json-{}.sxp", std::process::id()));
    std::fs::write(&sxp, "(vm (name etch) (image (linux (kernel /k))))").unwrap();
    let dry_run = format!("-n -F {}", sxp.display());
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
    let taking = super::commands::all().filter(|command| {
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

#[test]
fn what_is_not_offered_says_so() {
    let all = super::commands::all().filter(|command| !command.is_offered);
    let mut count = 0;
    for command in all {
        let name = command.name;
        let (out, err, status) = typed(&format!("{name} etch 5"));
        let told = match name {
            "sched-credit2" | "sched-sedf" => "Xen is running with the credit scheduler".to_owned(),
            "suspend" | "resume" => {
                format!("xm {name} comes with xm save, which is not there yet.")
            }
            _ if name.starts_with("cpupool-") => {
                format!("xm {name} is not offered: all processors are in Pool-0.")
            }
            _ => format!("xm {name} is not there yet."),
        };
        assert_eq!((&*out, err, status), ("", format!("Error: {told}\n"), 1));
        count += 1;
    }
    assert_eq!(count, NOT_OFFERED.len());
    for name in NOT_OFFERED {
        let told = typed(name).1;
        assert!(
            told.starts_with("Error: ") && !told.contains("not found"),
            "{name}: {told}"
        );
    }
}

/// Every other subcommand that administrators know, written down apart from the tables.
const NOT_OFFERED: &[&str] = &[
    "vncviewer",
    "migrate",
    "restore",
    "resume",
    "save",
    "suspend",
    "trigger",
    "serve",
    "sched-credit2",
    "sched-sedf",
    "pci-attach",
    "pci-detach",
    "pci-list",
    "pci-list-assignable-devices",
    "scsi-attach",
    "scsi-detach",
    "scsi-list",
    "usb-add",
    "usb-del",
    "usb-attach",
    "usb-detach",
    "usb-list",
    "usb-list-assignable-devices",
    "usb-hc-create",
    "usb-hc-destroy",
    "network2-attach",
    "network2-detach",
    "network2-list",
    "vnet-list",
    "vnet-create",
    "vnet-delete",
    "network-new",
    "network-del",
    "network-show",
    "setpolicy",
    "getpolicy",
    "resetpolicy",
    "labels",
    "addlabel",
    "rmlabel",
    "getlabel",
    "dry-run",
    "resources",
    "dumppolicy",
    "getenforce",
    "setenforce",
    "tmem-list",
    "tmem-thaw",
    "tmem-freeze",
    "tmem-destroy",
    "tmem-set",
    "tmem-freeable",
    "tmem-shared-auth",
    "cpupool-create",
    "cpupool-new",
    "cpupool-start",
    "cpupool-destroy",
    "cpupool-delete",
    "cpupool-cpu-add",
    "cpupool-cpu-remove",
    "cpupool-migrate",
    "shell",
    "event-monitor",
];

#[test]
fn sentences_of_xend_are_printed_to_the_character() {
    for (line, sentence) in [
        ("start etch", "Domain is already running"),
        ("delete etch", "Domain is not halted."),
        ("shutdown etch", "Domain is not running"),
        ("reset etch", "Cannot reset privileged domain Domain-0"),
    ] {
        let mut stub = Stub {
            refusal: Some(Fault::text(sentence)),
            ..Stub::default()
        };
        let (out, err, status) = typed_with(line, &mut stub);
        assert_eq!((err, status), (format!("Error: {sentence}\n"), 1));
        let name = line.split(' ').next().unwrap();
        assert!(out.starts_with(&format!("Usage: xm {name} ")), "{out}");
    }
}

#[test]
fn wrong_counts_of_arguments_are_told_by_what_would_be_right() {
    for (line, least, most) in [
        ("network-attach", 1, 11),
        (
            "network-attach etch a=1 b=2 c=3 d=4 e=5 f=6 g=7 h=8 i=9 j=10 k=11",
            1,
            11,
        ),
        ("block-attach etch", 4, 5),
        ("block-detach etch", 2, 3),
        ("cpupool-list a b", 0, 1),
    ] {
        let name = line.split(' ').next().unwrap();
        let told = format!("Error: 'xm {name}' requires between {least} and {most} arguments.\n\n");
        let (out, err, status) = typed(line);
        assert_eq!((err, status), (told, 1));
        assert!(out.starts_with(&format!("Usage: xm {name} ")), "{out}");
    }
}

#[test]
fn who_does_not_come_back_has_failed_to_reboot() {
    let mut stub = Stub::default();
    let told = "Domain etch destroyed for failing to reboot\n";
    assert_eq!(
        typed_with("reboot -w etch", &mut stub),
        (told.into(), String::new(), 1)
    );
}

#[test]
fn whose_console_can_not_be_shown_is_told_why() {
    // There is no store here.
    let mut stub = Stub::default();
    let (_, err, status) = typed_with("start -c etch", &mut stub);
    assert_eq!((&*err, status), ("Error: Could not start console\n", 1));
    let mut stub = Stub {
        has_finished: true,
        ..Stub::default()
    };
    let (_, err, status) = typed_with("start -c etch", &mut stub);
    assert_eq!((&*err, status), ("Error: Domain has already finished\n", 1));
}
