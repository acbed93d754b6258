//! Devices over a store and a kernel that refuse, forget and are slow.

use super::scripts::ScriptFailure;
use super::{Class, running::Detach};
use crate::config::devices::Device;
use crate::config::disk::Disk;
use crate::config::domain::{Action, DomainConfig};
use crate::config::vif::Vif;
use crate::xend::Xend;
use crate::xend::create::Start;
use crate::xend::protocol::{Fault, Response};
use crate::xend::record::Phase;
use crate::xend::testing::{World, config};
use crate::xend::testing_devices::Next;
use std::sync::Arc;
use std::time::Duration;

const MAC: &str = "00:16:3e:00:00:11";

pub(super) fn disk(text: &str) -> Device {
    Device::Disk(Disk::parse(text).unwrap())
}

pub(super) fn vif(text: &str) -> Device {
    Device::Vif(Vif::parse(text).unwrap())
}

pub(super) fn with(name: &str, devices: &[Device]) -> DomainConfig {
    let mut config = config(name);
    config.devices = devices.to_vec();
    config
}

pub(super) fn both() -> DomainConfig {
    with(
        "etch",
        &[
            disk("file:/srv/etch.img,xvda,w"),
            vif(&format!(
                "mac={MAC},bridge=xenbr0,rate=250KB/s,vifname=etch.0"
            )),
        ],
    )
}

/// A daemon whose limits are over at once.
pub(super) fn hasty(test: &str) -> (World, Arc<Xend>) {
    let world = World::default();
    world.state().output = b"x".to_vec();
    let settings = world.directory(test).with_extension("settings");
    std::fs::write(
        settings,
        "(device-create-timeout 0)(device-destroy-timeout 0)",
    )
    .unwrap();
    let xend = world.xend(test);
    (world, xend)
}

pub(super) fn create(xend: &Xend, config: DomainConfig) -> Result<u16, Fault> {
    match xend.create(config, Start::Running)? {
        Response::Created { domid, .. } => Ok(domid),
        other => panic!("{other:?}"),
    }
}

pub(super) fn sentence(created: Result<u16, Fault>) -> String {
    created.unwrap_err().to_string()
}

pub(super) fn is_nothing_left(world: &World, xend: &Xend) {
    let state = world.state();
    assert!(state.domains.is_empty(), "{:?}", state.domains);
    assert!(state.nodes.is_empty(), "{:?}", state.nodes);
    assert!(state.drivers.backends.is_empty());
    assert!(xend.table.all().is_empty());
}

/// What was done by scripts.
pub(super) fn calls(world: &World) -> Vec<String> {
    let calls = world.state().drivers.calls.clone();
    let calls = calls.into_iter();
    calls
        .map(|(what, backend)| format!("{what} {backend}"))
        .collect()
}

#[test]
fn both_directories_are_complete_and_belong_to_whom_they_should() {
    let (world, xend) = hasty("directories");
    let domid = create(&xend, both()).unwrap();
    let state = world.state();
    let node = |path: &str| {
        state
            .nodes
            .get(path)
            .cloned()
            .unwrap_or_else(|| panic!("no {path}"))
    };
    let frontend = format!("/local/domain/{domid}/device/vbd/51712");
    let backend = format!("/local/domain/0/backend/vbd/{domid}/51712");
    for (name, value) in [
        ("virtual-device", "51712"),
        ("device-type", "disk"),
        ("backend", &backend),
        ("backend-id", "0"),
        ("state", "1"),
    ] {
        assert_eq!(node(&format!("{frontend}/{name}")), value, "{name}");
        let perms = &state.perms[&format!("{frontend}/{name}")];
        assert_eq!(perms, &[format!("n{domid}"), "r0".to_owned()], "{name}");
    }
    for (name, value) in [
        ("domain", "etch"),
        ("frontend", &frontend),
        ("frontend-id", &domid.to_string()),
        ("dev", "xvda"),
        ("type", "file"),
        ("params", "/srv/etch.img"),
        ("mode", "w"),
        ("bootable", "1"),
        ("online", "1"),
        ("hotplug-status", "connected"),
    ] {
        assert_eq!(node(&format!("{backend}/{name}")), value, "{name}");
        if name != "hotplug-status" {
            let perms = &state.perms[&format!("{backend}/{name}")];
            assert_eq!(perms, &["n0".to_owned(), format!("r{domid}")], "{name}");
        }
    }
    assert_eq!(
        state.perms[&frontend],
        [format!("n{domid}"), "r0".to_owned()]
    );
    assert_eq!(
        state.perms[&backend],
        ["n0".to_owned(), format!("r{domid}")]
    );
    let uuid = config("etch").uuid;
    assert_eq!(
        node(&format!("/vm/{uuid}/device/vbd/51712/frontend")),
        frontend
    );

    let frontend = format!("/local/domain/{domid}/device/vif/0");
    let backend = format!("/local/domain/0/backend/vif/{domid}/0");
    assert_eq!(node(&format!("{frontend}/mac")), MAC);
    assert_eq!(node(&format!("{frontend}/handle")), "0");
    for (name, value) in [
        ("script", "/etc/xen/scripts/vif-bridge"),
        ("mac", MAC),
        ("handle", "0"),
        ("bridge", "xenbr0"),
        ("vifname", "etch.0"),
        ("rate", "12500,50000"),
    ] {
        assert_eq!(node(&format!("{backend}/{name}")), value, "{name}");
    }
    let call = state.drivers.last.clone().unwrap();
    assert_eq!(call.words, ["online", "type_if=vif"]);
    let variable = |name: &str| {
        let mut variables = call.variables.iter();
        variables
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value.clone())
            .unwrap()
    };
    assert_eq!(variable("XENBUS_TYPE"), "vif");
    assert_eq!(variable("XENBUS_PATH"), format!("backend/vif/{domid}/0"));
    assert_eq!(variable("XENBUS_BASE_PATH"), "backend");
    assert_eq!(variable("vif"), format!("vif{domid}.0"));
    assert_eq!(variable("script"), "/etc/xen/scripts/vif-bridge");
    drop(state);

    xend.destroy("etch").unwrap();
    assert_eq!(
        calls(&world)[2..],
        [
            format!("remove backend/vbd/{domid}/51712"),
            format!("offline backend/vif/{domid}/0")
        ]
    );
    is_nothing_left(&world, &xend);
}

#[test]
fn what_can_not_be_connected_is_refused_before_anything_is_made() {
    let (world, xend) = hasty("refused");
    for (devices, told) in [
        (
            vec![disk("qcow2:srv/x,xvda,w")],
            "Block device type \"qcow2\" is invalid.",
        ),
        (
            vec![disk("iscsi:x,xvda,w")],
            "Block device type \"iscsi\" is invalid.",
        ),
        (
            vec![disk("phy:a,xvda,w,storage")],
            "a backend in the domain 'storage' can't be used",
        ),
        (
            vec![vif("backend=router")],
            "a backend in the domain 'router' can't be used",
        ),
        (
            vec![vif("script=theirs")],
            "Device 0 (vif) could not be connected. /etc/xen/scripts/theirs is no program.",
        ),
        (
            vec![disk("phy:a,xvda1,w"), disk("phy:b,/dev/xvda1,w")],
            "Device xvda1 (51713, vbd) is already connected.",
        ),
        (
            vec![Device::Pci("0000:01:00.0".into())],
            "a device of kind pci can't be connected",
        ),
    ] {
        let told_so = sentence(create(&xend, with("etch", &devices)));
        assert!(told_so.starts_with(told), "{told_so}");
        is_nothing_left(&world, &xend);
    }
    assert_eq!(calls(&world), [""; 0]);
}

#[test]
fn what_goes_wrong_is_one_sentence_and_everything_is_taken_back() {
    let (world, xend) = hasty("taken-back");
    let slow = ScriptFailure::TookTooLong(Duration::from_secs(3));
    let failed = ScriptFailure::Status {
        status: "exit status: 2".into(),
        said: "no such thing".into(),
    };
    for (next, told) in [
        (
            Next::Says("error", "/srv/etch.img does not exist."),
            "Device 51712 (vbd) could not be connected. /srv/etch.img does not exist.",
        ),
        (
            Next::Says(
                "busy",
                "File x is mounted in a guest domain,\nand so cannot be mounted now.",
            ),
            "Device 51712 (vbd) could not be connected. \nFile x is mounted in a guest domain,\n\
             and so cannot be mounted now.",
        ),
        (
            Next::Fails(slow),
            "Device 51712 (vbd) could not be connected. /etc/xen/scripts/block has not ended within 3 seconds, and was \
             killed (device-create-timeout).",
        ),
        (
            Next::Fails(failed),
            "Device 51712 (vbd) could not be connected. /etc/xen/scripts/block has failed (exit status: 2): no such thing.",
        ),
        (
            Next::Forgets,
            "Device 51712 (vbd) could not be connected. Hotplug scripts not working.",
        ),
        (
            Next::OpensNothing,
            "Device 51712 (vbd) could not be connected. Its backend says: 6 creating vbd structure",
        ),
    ] {
        world.state().drivers.next = next;
        world.state().drivers.calls.clear();
        assert_eq!(sentence(create(&xend, both())), told);
        is_nothing_left(&world, &xend);
        // Whatever its script has done is undone, and that of the other device, too.
        let undone = calls(&world);
        assert!(undone[1].starts_with("remove backend/vbd/"), "{undone:?}");
        assert!(undone[2].starts_with("offline backend/vif/"), "{undone:?}");
    }
    world.state().drivers.are_missing = true;
    assert_eq!(
        sentence(create(&xend, both())),
        "Device 51712 (vbd) could not be connected. Backend device not found: the kernel's driver xen-blkback has not \
         taken it."
    );
    is_nothing_left(&world, &xend);
}

#[test]
fn a_creation_that_fails_at_any_step_leaves_no_device() {
    let (world, xend) = hasty("steps-of-devices");
    for step in 1.. {
        world.state().refuse_at(step);
        let created = create(&xend, both());
        world.state().refuse_at = None;
        if created.is_ok() {
            assert!(step > 50);
            break;
        }
        is_nothing_left(&world, &xend);
    }
}

#[test]
fn devices_come_with_a_guest_that_is_started_again_and_keep_their_addresses() {
    let (world, xend) = hasty("started-again");
    let mut config = with("etch", &[vif(""), disk("phy:a,xvda,w")]);
    config.on_reboot = Action::Restart;
    let domid = create(&xend, config).unwrap();
    let mac = |domid: u16| {
        let path = format!("/local/domain/{domid}/device/vif/0/mac");
        world.state().nodes[&path].clone()
    };
    let first = mac(domid);
    assert!(first.starts_with("00:16:3e:"), "{first}");
    let mut record = xend.table.all().remove(0);
    record.start_time -= 3600.0;
    xend.table.put(&record);
    world.state().end(domid, 1);
    xend.see_to_end(record.config.uuid, domid);
    assert_eq!(mac(domid + 1), first);
    let old = format!("/local/domain/0/backend/vbd/{domid}/51712/state");
    assert!(!world.state().nodes.contains_key(&old));
    assert_eq!(world.state().drivers.backends.len(), 2);
    xend.destroy("etch").unwrap();
    is_nothing_left(&world, &xend);
}

#[test]
fn a_dead_guest_that_is_kept_under_another_name_has_no_devices() {
    let (world, xend) = hasty("kept-without");
    let mut config = both();
    config.on_crash = Action::RenameRestart;
    let domid = create(&xend, config).unwrap();
    let mut record = xend.table.all().remove(0);
    record.start_time -= 3600.0;
    xend.table.put(&record);
    world.state().end(domid, 3);
    xend.see_to_end(record.config.uuid, domid);
    let devices = |domid: u16| {
        let records = xend.table.all();
        let record = records
            .iter()
            .find(|record| record.domid == Some(domid))
            .unwrap();
        (record.devices.len(), record.config.devices.len())
    };
    assert_eq!(devices(domid), (0, 0));
    assert_eq!(devices(domid + 1), (2, 2));
}

#[test]
fn a_daemon_that_was_killed_is_cleaned_up_behind() {
    let (world, xend) = hasty("killed-while-plugging");
    let domid = create(&xend, both()).unwrap();
    // As it is while the script of the second device runs.
    let mut record = xend.table.all().remove(0);
    record.phase = Phase::Building;
    record.devices[1].is_connected = false;
    xend.table.put(&record);
    drop(xend);
    let xend = world.xend("killed-while-plugging");
    xend.take_over().unwrap();
    assert!(xend.table.all().is_empty() && world.state().domains.is_empty());
    assert!(world.state().drivers.backends.is_empty());
    let vif = format!("backend/vif/{domid}/0");
    assert_eq!(world.state().drivers.orphans, std::slice::from_ref(&vif));
    assert!(calls(&world).contains(&format!("offline {vif}")));
    assert!(calls(&world).contains(&format!("remove backend/vbd/{domid}/51712")));
}

#[test]
fn a_device_that_was_being_attached_is_taken_out_and_its_guest_goes_on() {
    let (world, xend) = hasty("killed-while-attaching");
    let domid = create(&xend, with("etch", &[disk("phy:a,xvda,w")])).unwrap();
    xend.attach("etch", disk("phy:b,xvdb,w")).unwrap();
    let mut record = xend.table.all().remove(0);
    record.config.devices.pop();
    record.devices[1].is_connected = false;
    xend.table.put(&record);
    drop(xend);
    let xend = world.xend("killed-while-attaching");
    xend.take_over().unwrap();
    let record = xend.table.all().remove(0);
    assert_eq!((record.domid, record.devices.len()), (Some(domid), 1));
    assert_eq!(
        world.state().drivers.backends,
        [format!("/local/domain/0/backend/vbd/{domid}/51712")]
    );
    xend.destroy("etch").unwrap();
}

#[test]
fn devices_are_attached_and_detached_while_a_guest_runs() {
    let (world, xend) = hasty("attached");
    let domid = create(&xend, both()).unwrap();
    xend.attach("etch", disk("phy:b,xvdb,r")).unwrap();
    xend.attach("etch", vif("mac=00:16:3e:00:00:12")).unwrap();
    assert_eq!(xend.table.all()[0].config.devices.len(), 4);
    let text = |result: Result<Response, Fault>| result.unwrap_err().to_string();
    assert_eq!(
        text(xend.attach("etch", disk("phy:c,xvdb,w"))),
        "Device xvdb (51728, vbd) is already connected."
    );
    world.state().drivers.next = Next::Says("error", "/dev/c does not exist.");
    assert_eq!(
        text(xend.attach("etch", disk("phy:c,xvdc,w"))),
        "Device 51744 (vbd) could not be connected. /dev/c does not exist."
    );
    let listed = |class| match xend.devices_of("etch", class) {
        Ok(Response::Devices(views)) => views,
        other => panic!("{other:?}"),
    };
    assert_eq!(listed(Class::Block).len(), 2);
    assert_eq!(
        listed(Class::Network)[1].mac.as_deref(),
        Some("00:16:3e:00:00:12")
    );
    assert_eq!(
        listed(Class::Network)[1].backend,
        format!("/local/domain/0/backend/vif/{domid}/1")
    );
    assert_eq!(xend.devices_of("Domain-0", Class::Block).ok(), None);

    let detach = |class, named: &str| xend.detach("etch", class, named, Detach::Asking);
    assert_eq!(
        text(detach(Class::Block, "xvdz")),
        "Device xvdz not connected"
    );
    assert_eq!(
        text(detach(Class::Block, "51744")),
        "Device 51744 not connected"
    );
    assert_eq!(text(detach(Class::Network, "7")), "Device 7 not connected");
    assert_eq!(
        text(detach(Class::Network, "00:16:3e:00:00:99")),
        "Cannot find device '00:16:3e:00:00:99' in domain 'etch'"
    );
    for (class, named) in [
        (Class::Block, "/dev/xvdb"),
        (Class::Block, "vbd/51712"),
        (Class::Network, "00:16:3e:00:00:12"),
        (Class::Network, "0"),
    ] {
        assert_eq!(detach(class, named), Ok(Response::Done), "{named}");
    }
    assert!(xend.table.all()[0].config.devices.is_empty());
    assert!(world.state().drivers.backends.is_empty());
    xend.destroy("etch").unwrap();
    is_nothing_left(&world, &xend);
}

#[test]
fn a_guest_that_does_not_give_a_device_back_is_told_of_and_forced() {
    let (world, xend) = hasty("stubborn");
    let domid = create(&xend, both()).unwrap();
    world.state().drivers.guests_are_stubborn = true;
    let asked = |how| xend.detach("etch", Class::Block, "xvda", how);
    let refusal = |result: Result<Response, Fault>| result.unwrap_err().to_string();
    assert_eq!(
        refusal(asked(Detach::Asking)),
        "Device 51712 (vbd) could not be disconnected. The guest has not closed it within 0 seconds; --force does not ask it."
    );
    // What it says is its own: no more than a line is shown.
    let error = format!("/local/domain/{domid}/error/device/vbd/51712/error");
    world
        .state()
        .nodes
        .insert(error, format!("16 in use\x1b[2J\n{}", "x".repeat(5000)));
    let told = refusal(asked(Detach::Asking));
    assert!(
        told.contains("The guest says: 16 in use?[2J?xxx") && told.len() < 400,
        "{told}"
    );
    assert_eq!(xend.table.all()[0].devices.len(), 2);
    assert_eq!(asked(Detach::Forced), Ok(Response::Done));
    assert_eq!(xend.table.all()[0].devices.len(), 1);
    xend.destroy("etch").unwrap();
    is_nothing_left(&world, &xend);
}

#[test]
fn what_a_guest_writes_about_its_devices_misleads_nobody() {
    let (world, xend) = hasty("misleading");
    let domid = create(&xend, both()).unwrap();
    let frontend = format!("/local/domain/{domid}/device/vbd/51712");
    for (name, value) in [
        ("backend", "/local/domain/0/memory"),
        ("backend-id", "7"),
        ("state", "99999999999999999999"),
        ("ring-ref", "-1\n\x1b]0;x"),
        ("event-channel", "12"),
    ] {
        let node = format!("{frontend}/{name}");
        world.state().nodes.insert(node, value.to_owned());
    }
    world
        .state()
        .nodes
        .insert("/local/domain/0/memory/target".into(), "1".into());
    for extra in 0..500 {
        let node = format!("{frontend}/y{extra}");
        world.state().nodes.insert(node, String::new());
    }
    let Ok(Response::Devices(views)) = xend.devices_of("etch", Class::Block) else {
        panic!()
    };
    let view = &views[0];
    assert_eq!(
        view.backend,
        format!("/local/domain/0/backend/vbd/{domid}/51712")
    );
    assert_eq!(
        (view.number_of("state"), view.number_of("event-channel")),
        (None, Some(12))
    );
    assert!(view.frontend.len() <= 64);
    assert!(
        !view
            .frontend
            .iter()
            .any(|(_, value)| value.contains(char::is_control))
    );
    // It is its own backend that is taken down, and not what the guest names.
    xend.detach("etch", Class::Block, "xvda", Detach::Asking)
        .unwrap();
    assert!(
        world
            .state()
            .drivers
            .backends
            .iter()
            .all(|one| !one.contains("/vbd/"))
    );
    assert_eq!(world.state().nodes["/local/domain/0/memory/target"], "1");
}

#[test]
fn the_first_domains_network_is_ready_while_the_daemon_or_a_guest_is() {
    let (world, xend) = hasty("network");
    let words = || world.state().drivers.last.take().map(|call| call.words);
    xend.start_network();
    assert_eq!(words(), None);
    let settings = world.directory("network").with_extension("settings");
    let text = "(network-script 'network-bridge netdev=eth1 bridge=xenbr1')";
    std::fs::write(settings, text).unwrap();
    xend.reload().unwrap();
    xend.start_network();
    let called = world.state().drivers.last.clone().unwrap();
    assert_eq!(
        called.program.to_str(),
        Some("/etc/xen/scripts/network-bridge")
    );
    assert_eq!(words().unwrap(), ["start", "netdev=eth1", "bridge=xenbr1"]);
    create(&xend, with("etch", &[])).unwrap();
    xend.stop_network();
    assert_eq!(words(), None);
    xend.destroy("etch").unwrap();
    xend.stop_network();
    assert_eq!(words().unwrap()[0], "stop");
}
