//! What is asked of `xend`, and waited for.

use super::{Stub, all, asked, typed, typed_with, view};
use crate::xend::protocol::Request;
use crate::xend::testing::config;
use crate::xend::view::DomainView;
use std::collections::VecDeque;

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

#[test]
fn who_does_not_come_back_has_failed_to_reboot() {
    let mut stub = Stub::default();
    let told = "Domain etch destroyed for failing to reboot\n";
    assert_eq!(
        typed_with("reboot -w etch", &mut stub),
        (told.into(), String::new(), 1)
    );
}
