//! Disks of every kind, images that a process serves, and drives.

use super::Class;
use super::running::Detach;
use super::tests::{calls, create, disk, hasty, is_nothing_left, with};
use crate::config::devices::Device;
use crate::config::disk::Disk;
use crate::xend::protocol::{Fault, Response};
use crate::xend::testing_devices::Next;

#[test]
fn disks_of_every_number_and_kind_are_told_to_those_who_serve_them() {
    let (world, xend) = hasty("kinds");
    let disks = [
        disk("phy:vg0/etch,xvdq,r"),
        disk("nbd:storage 2000,sda1,w"),
        disk("phy:0x301,hdc:cdrom,r"),
    ];
    let domid = create(&xend, with("etch", &disks)).unwrap();
    let state = world.state();
    let node = |path: &str| state.nodes[path].clone();
    let frontend = format!("/local/domain/{domid}/device/vbd");
    let backend = format!("/local/domain/0/backend/vbd/{domid}");
    let extended = format!("{frontend}/268439552");
    assert_eq!(node(&format!("{extended}/virtual-device-ext")), "268439552");
    assert!(
        !state
            .nodes
            .contains_key(&format!("{extended}/virtual-device"))
    );
    assert_eq!(
        node(&format!("{backend}/268439552/params")),
        "/dev/vg0/etch"
    );
    assert_eq!(node(&format!("{backend}/268439552/bootable")), "1");
    assert_eq!(node(&format!("{backend}/2049/bootable")), "0");
    assert_eq!(node(&format!("{backend}/2049/type")), "nbd");
    assert_eq!(node(&format!("{backend}/5632/params")), "0x301");
    assert_eq!(node(&format!("{frontend}/5632/device-type")), "cdrom");
    drop(state);
    xend.destroy("etch").unwrap();
    is_nothing_left(&world, &xend);
}

#[test]
fn images_are_told_to_the_script_that_has_them_served() {
    let (world, xend) = hasty("images");
    let disks = [
        disk("tap:aio:/srv/a.img,xvda,w"),
        disk("tap2:tapdisk:vhd:/srv/b c.vhd,xvdb,r"),
        disk("qcow2:/srv/c.qcow2,xvdc,w"),
        disk("tap:sync:/srv/d.img,xvdd,w"),
    ];
    let domid = create(&xend, with("etch", &disks)).unwrap();
    let state = world.state();
    for (number, kind, image, format, cache) in [
        (51712, "tap", "/srv/a.img", "raw", "writeback"),
        (51728, "tap2", "/srv/b c.vhd", "vpc", "writeback"),
        (51744, "qcow2", "/srv/c.qcow2", "qcow2", "writeback"),
        (51760, "tap", "/srv/d.img", "raw", "writethrough"),
    ] {
        let node = |name: &str| {
            let path = format!("/local/domain/0/backend/vbd/{domid}/{number}/{name}");
            state.nodes[&path].clone()
        };
        assert_eq!(node("type"), kind);
        assert_eq!(node("image"), image);
        assert_eq!(node("format"), format);
        assert_eq!(node("cache"), cache);
    }
    let call = state.drivers.last.clone().unwrap();
    assert_eq!(call.program.to_str(), Some("/etc/xen/scripts/blktap"));
    assert_eq!(call.words, ["add"]);
    drop(state);
    xend.destroy("etch").unwrap();
    is_nothing_left(&world, &xend);
}

fn drive(text: &str) -> Disk {
    Disk::parse(text).unwrap()
}

#[test]
fn the_disk_in_a_drive_is_changed() {
    let (world, xend) = hasty("drive");
    let devices = [disk("phy:a,xvda,w"), disk(",xvdc:cdrom,r")];
    let domid = create(&xend, with("etch", &devices)).unwrap();
    let backend = format!("/local/domain/0/backend/vbd/{domid}/51744");
    let inside = || {
        let state = world.state();
        let is_there = state.drivers.backends.contains(&backend);
        let params = state.nodes.get(&format!("{backend}/params")).cloned();
        assert_eq!(is_there, params.is_some());
        params
    };
    let kept = || match &xend.table.all()[0].config.devices[1] {
        Device::Disk(disk) => disk.to_string(),
        other => panic!("{other:?}"),
    };
    let listed = || match xend.devices_of("etch", Class::Block) {
        Ok(Response::Devices(views)) => views.len(),
        other => panic!("{other:?}"),
    };
    // Nothing is in the store of an empty one, and nothing was run for it.
    assert_eq!((inside(), listed()), (None, 2));
    assert_eq!(calls(&world), [format!("add backend/vbd/{domid}/51712")]);

    let change = |text: &str| xend.configure("etch", &drive(text));
    assert_eq!(change("file:/one.iso,xvdc:cdrom,r"), Ok(Response::Done));
    assert_eq!(inside().as_deref(), Some("/one.iso"));
    // It is one, whatever else is said of it.
    assert_eq!(change("file:/two.iso,51744,w"), Ok(Response::Done));
    assert_eq!(inside().as_deref(), Some("/two.iso"));
    assert_eq!(kept(), "file:/two.iso,xvdc:cdrom,r");
    let undone = format!("remove backend/vbd/{domid}/51744");
    assert_eq!(
        calls(&world).iter().filter(|call| **call == undone).count(),
        1
    );

    // What can't be put in leaves what was there.
    let text = |result: Result<Response, Fault>| result.unwrap_err().to_string();
    world.state().drivers.next = Next::Says("error", "/none.iso does not exist.");
    assert_eq!(
        text(change("file:/none.iso,xvdc:cdrom,r")),
        "Device 51744 (vbd) could not be connected. /none.iso does not exist."
    );
    assert_eq!(inside().as_deref(), Some("/two.iso"));
    assert_eq!(kept(), "file:/two.iso,xvdc:cdrom,r");
    assert_eq!(
        text(change("iscsi:x,xvdc:cdrom,r")),
        "Block device type \"iscsi\" is invalid."
    );
    assert_eq!(inside().as_deref(), Some("/two.iso"));
    assert_eq!(
        text(change("file:/x.img,xvda,w")),
        "Refusing to reconfigure device vbd:51712 to file:/x.img,xvda,w: only the disk in a drive (VDEV:cdrom) can be \
         changed"
    );
    assert_eq!(
        text(change("file:/x.img,xvdd,w")),
        "Device xvdd not connected"
    );
    world.state().drivers.guests_are_stubborn = true;
    assert_eq!(
        text(change(",xvdc:cdrom,r")),
        "Device 51744 (vbd) could not be disconnected. The guest has not closed it within 0 seconds; --force does not ask it."
    );
    world.state().drivers.guests_are_stubborn = false;
    assert_eq!(change(",xvdc:cdrom,r"), Ok(Response::Done));
    assert_eq!((inside(), listed()), (None, 2));
    assert_eq!(kept(), ",xvdc:cdrom,r");
    // An empty one goes like any other.
    assert_eq!(
        xend.detach("etch", Class::Block, "xvdc", Detach::Asking),
        Ok(Response::Done)
    );
    assert_eq!(listed(), 1);
    xend.destroy("etch").unwrap();
    is_nothing_left(&world, &xend);
}

#[test]
fn an_image_that_nobody_serves_any_more_is_told_of_once() {
    let (world, xend) = hasty("lost-server");
    world.state().drivers.next = Next::Serves(77);
    let disks = [disk("tap:aio:/srv/a.img,xvda,w"), disk("phy:b,xvdb,w")];
    let domid = create(&xend, with("etch", &disks)).unwrap();
    let node = format!("/local/domain/0/backend/vbd/{domid}/51712/hotplug-error");
    let told = || world.state().nodes.get(&node).cloned();
    xend.look_at_servers();
    assert_eq!(told(), None);
    world.state().drivers.servers.clear();
    xend.look_at_servers();
    let sentence = told().unwrap();
    assert!(
        sentence.starts_with("the process that served its image, 77, has ended"),
        "{sentence}"
    );
    world.state().nodes.remove(&node);
    xend.look_at_servers();
    assert_eq!(told(), None);
    // It is the same device as before, and can be detached.
    assert_eq!(
        xend.detach("etch", Class::Block, "xvda", Detach::Asking),
        Ok(Response::Done)
    );
    assert_eq!(xend.table.all()[0].devices.len(), 1);
    xend.destroy("etch").unwrap();
    is_nothing_left(&world, &xend);
}
