//! How domains are made, what is refused, and what is done to those that run.

use super::{age, create, end, is_destroyed, is_nothing_left};
use crate::config::domain::DomainConfig;
use crate::xend::create::Start;
use crate::xend::domains::state_of;
use crate::xend::machine::Machine;
use crate::xend::protocol::{Fault, Request, Response};
use crate::xend::server::answer;
use crate::xend::testing::{World, config};
use guest_abi::domctl_domain::DomainInfoFlags;
use guest_abi::ids::DomId;

#[test]
fn a_domain_is_made_listed_and_destroyed() {
    let world = World::default();
    world.state().output = b"Linux".to_vec();
    let xend = world.xend("made");
    let domid = create(&xend, "etch").unwrap();
    let view = xend.resolve("etch").unwrap();
    assert_eq!(
        (view.domid, &*view.state, view.memory_mib),
        (Some(domid), "-b----", 64)
    );
    for same in [domid.to_string(), view.uuid.clone()] {
        assert_eq!(xend.resolve(&same), Ok(view.clone()));
    }
    assert_eq!(xend.resolve("sarge"), Err(Fault::NoDomain("sarge".into())));
    assert_eq!(
        world
            .state()
            .nodes
            .get(&format!("/local/domain/{domid}/memory/target")),
        Some(&"65536".to_owned())
    );
    let destroy = |domain: &str| {
        answer(
            &xend,
            Request::Destroy {
                domain: domain.into(),
            },
        )
    };
    assert_eq!(destroy("etch"), Response::Done);
    assert_eq!(
        destroy("etch"),
        Response::Fault(Fault::NoDomain("etch".into()))
    );
    is_nothing_left(&world, &xend);
}

#[test]
fn a_create_that_fails_at_any_step_leaves_nothing() {
    let world = World::default();
    world.state().output = b"Linux".to_vec();
    let xend = world.xend("fails");
    let mut step = 0;
    loop {
        step += 1;
        world.state().refuse_at(step);
        let created = create(&xend, "etch");
        if created.is_ok() {
            break;
        }
        world.state().refuse_at = None;
        is_nothing_left(&world, &xend);
    }
    // Files, creation, set-up, building, some nodes, introduction, unpausing.
    assert!(step > 20, "{step}");
    world.state().refuse_at = None;
    is_destroyed(&world, &xend);
}

#[test]
fn names_are_unique() {
    let world = World::default();
    world.state().output = b"x".to_vec();
    let xend = world.xend("unique");
    let domid = create(&xend, "etch").unwrap();
    assert_eq!(
        create(&xend, "etch"),
        Err(Fault::text(format!(
            "Domain 'etch' already exists with ID '{domid}'"
        )))
    );
    create(&xend, "sarge").unwrap();
    let rename = |name: &str| {
        answer(
            &xend,
            Request::Rename {
                domain: "sarge".into(),
                name: name.into(),
            },
        )
    };
    assert_eq!(
        rename("etch"),
        Response::Fault(Fault::text(format!(
            "VM name 'etch' already exists as domain {domid}"
        )))
    );
    assert_eq!(
        rename("a b"),
        Response::Fault(Fault::text("Invalid VM Name"))
    );
    assert_eq!(rename("woody"), Response::Done);
    assert!(xend.resolve("woody").is_ok() && xend.resolve("sarge").is_err());
}

#[test]
fn what_does_not_fit_is_refused() {
    let world = World::default();
    let xend = world.xend("refused");
    let refused = |change: fn(&mut DomainConfig)| {
        let mut config = config("etch");
        change(&mut config);
        xend.create(config, Start::Running).unwrap_err().to_string()
    };
    assert_eq!(
        refused(|config| config.memory_mib = 1 << 20),
        "Not enough free memory and enable-dom0-ballooning is False, so I cannot release any more.  \
         I need 1073743872 KiB but only have 1044480."
    );
    assert_eq!(
        refused(|config| config.kernel = "/nonexistent/vmlinuz".into()),
        "Kernel image does not exist: /nonexistent/vmlinuz"
    );
    assert_eq!(
        refused(|config| config.ramdisk = "/nonexistent/initrd".into()),
        "Kernel ramdisk does not exist: /nonexistent/initrd"
    );
    // With a boot loader the kernel is on the disk, and there must be one.
    assert_eq!(
        refused(|config| config.bootloader = "pygrub".into()),
        "pygrub takes the kernel from the domain's first disk, and it has no disk"
    );
    assert_eq!(
        refused(|config| config.bootloader = "other".into()),
        "bootloader = other: only pygrub is offered"
    );
    assert_eq!(
        refused(|config| config.name = "a b".into()),
        "Invalid VM Name"
    );
    assert_eq!(
        refused(|config| config.features = "pea".into()),
        "features = 'pea': pea is no feature that a guest has here; write some of \
         writable_page_tables|pae_pgdir_above_4gb|dom0|linux_rsdp_unrestricted"
    );
    assert_eq!(
        refused(|config| config.features = "dom0".into()),
        "the kernel does not have dom0, which features requires; leave that out, or take another kernel"
    );
    is_nothing_left(&world, &xend);
}

#[test]
fn what_has_no_effect_is_told() {
    let world = World::default();
    world.state().output = b"x".to_vec();
    let xend = world.xend("warns");
    let mut warned = config("etch");
    warned.on_xend_stop = "suspend".to_owned();
    let Ok(Response::Created { warnings, .. }) = xend.create(warned, Start::Running) else {
        panic!()
    };
    assert_eq!(warnings, ["on_xend_stop = suspend has no effect yet"]);
}

#[test]
fn the_first_domain_is_left_alone() {
    let world = World::default();
    let xend = world.xend("first");
    let first = {
        world.create(&config("x")).unwrap();
        let mut state = world.state();
        let mut info = state.domains.remove(&1).unwrap();
        info.domain = DomId(0);
        info.flags = DomainInfoFlags::RUNNING;
        state.domains.insert(0, info);
        info
    };
    assert_eq!(state_of(&first), "r-----");
    let domain = || "Domain-0".to_owned();
    for (request, complaint) in [
        (
            Request::Destroy { domain: domain() },
            "Cannot destroy privileged domain Domain-0",
        ),
        (
            Request::Pause { domain: domain() },
            "Cannot pause privileged domain Domain-0",
        ),
        (
            Request::Unpause { domain: domain() },
            "Cannot unpause privileged domain Domain-0",
        ),
        (
            Request::Reset { domain: domain() },
            "Cannot reset privileged domain Domain-0",
        ),
        (
            Request::Shutdown {
                domain: domain(),
                reason: "poweroff".into(),
            },
            "Domain 0 cannot be shutdown",
        ),
    ] {
        assert_eq!(
            answer(&xend, request),
            Response::Fault(Fault::text(complaint))
        );
    }
}

#[test]
fn virtual_processors_are_pinned_each_to_its_own_list() {
    let world = World::default();
    world.state().output = b"x".to_vec();
    let xend = world.xend("pins");
    let places = || {
        let vcpus = xend.vcpus(&["etch".to_owned()]).unwrap();
        let places = vcpus.into_iter().map(|vcpu| vcpu.affinity);
        places.collect::<Vec<_>>()
    };
    let mut pinned = config("etch");
    pinned.vcpus = 3;
    pinned.cpus = vec!["1".into(), String::new(), "0".into()];
    let _ = xend.create(pinned, Start::Running).unwrap();
    assert_eq!(places(), ["1", "any cpu", "0"]);
    let pin = |vcpu, cpus: &str| {
        let request = Request::PinVcpu {
            domain: "etch".into(),
            vcpu,
            cpus: cpus.into(),
        };
        answer(&xend, request)
    };
    assert_eq!(pin(Some(1), "0-1,^0"), Response::Done);
    assert_eq!(places(), ["1", "1", "0"]);
    assert_eq!(pin(None, "0"), Response::Done);
    assert_eq!(places(), ["0", "0", "0"]);
    assert_eq!(pin(Some(2), "all"), Response::Done);
    assert_eq!(places(), ["0", "0", "any cpu"]);
    // It is built again as it was pinned last.
    let record = || xend.table.all().pop().unwrap();
    assert_eq!(record().config.cpus, ["0", "0", "0-1"]);
    age(&xend);
    end(&world, &xend, record().domid.unwrap(), 1);
    assert_eq!(places(), ["0", "0", "any cpu"]);
    for (vcpu, cpus) in [(Some(3), "0"), (Some(0), "x"), (None, "7")] {
        assert!(matches!(pin(vcpu, cpus), Response::Fault(_)), "{cpus}");
    }
    assert_eq!(places(), ["0", "0", "any cpu"]);
}

#[test]
fn clocks_show_local_time_where_that_is_wanted() {
    let mut config = config("etch");
    assert_eq!(config.clock_adds(7200), 0);
    config.rtc_timeoffset = -5;
    assert_eq!(config.clock_adds(7200), -5);
    config.localtime = true;
    assert_eq!(config.clock_adds(7200), 7195);
}

#[test]
fn the_first_domain_has_as_many_processors_as_the_settings_say() {
    let world = World::default();
    let xend = world.xend("first-processors");
    {
        world.create(&config("x")).unwrap();
        let mut state = world.state();
        let mut info = state.domains.remove(&1).unwrap();
        (info.domain, info.max_vcpu_id) = (DomId(0), 3);
        state.domains.insert(0, info);
    }
    let path = world
        .directory("first-processors")
        .with_extension("settings");
    let reload = |text: &str| {
        std::fs::write(&path, text).unwrap();
        xend.reload().unwrap();
    };
    let online = || {
        let state = world.state();
        let is = |vcpu| {
            state
                .nodes
                .get(&format!("/local/domain/0/cpu/{vcpu}/availability"))
        };
        (0..5)
            .filter_map(is)
            .map(|node| node == "online")
            .collect::<Vec<_>>()
    };
    xend.limit_first_vcpus();
    reload("(console-limit 64)");
    assert_eq!(online(), [false; 0], "nothing is said of them");
    reload("(dom0-cpus 2)");
    assert_eq!(online(), [true, true, false, false]);
    reload("(dom0-cpus 9)");
    assert_eq!(online(), [true; 4]);
    reload("(dom0-cpus 1)");
    assert_eq!(online(), [true, false, false, false]);
    // What others have done meanwhile stays until something else is said.
    xend.set_vcpus("Domain-0", 3).unwrap();
    reload("(dom0-cpus 1)");
    assert_eq!(online(), [true, true, true, false]);
    xend.limit_first_vcpus();
    assert_eq!(online(), [true, false, false, false]);
    reload("");
    assert_eq!(online(), [true; 4]);
}
