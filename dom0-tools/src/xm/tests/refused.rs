//! What is refused, or has failed, and how that is told.

use super::{Stub, typed, typed_with};
use crate::xend::protocol::Fault;

const PAUSE_USAGE: &str = "Usage: xm pause <Domain>\n\nPause execution of a domain.\n\n";

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
    assert_eq!(out, crate::xm::help::short());
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
fn what_is_not_offered_says_so() {
    let all = crate::xm::commands::all().filter(|command| !command.is_offered);
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
