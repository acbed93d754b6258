//! The life of domains, over a hypervisor and a store that refuse at any step.

use super::Xend;
use super::create::Start;
use super::protocol::{Fault, Request, Response};
use super::server::answer;
use super::testing::{World, config};
use crate::config::domain::Action;
use guest_abi::domctl_domain::DomainInfoFlags;

fn create(xend: &Xend, name: &str) -> Result<u16, Fault> {
    match xend.create(config(name), Start::Running)? {
        Response::Created { domid, .. } => Ok(domid),
        other => panic!("{other:?}"),
    }
}

/// As if the domain had been running for a long time.
fn age(xend: &Xend) {
    for mut record in xend.table.all() {
        record.start_time -= 3600.0;
        xend.table.put(&record);
    }
}

fn end(world: &World, xend: &Xend, domid: u16, reason: u32) {
    world.state().end(domid, reason);
    let uuid = xend
        .table
        .all()
        .into_iter()
        .find(|record| record.domid == Some(domid))
        .unwrap()
        .config
        .uuid;
    xend.see_to_end(uuid, domid);
}

fn is_nothing_left(world: &World, xend: &Xend) {
    let state = world.state();
    assert!(state.domains.is_empty(), "{:?}", state.domains);
    assert!(state.nodes.is_empty(), "{:?}", state.nodes);
    assert!(state.introduced.is_empty());
    assert!(xend.table.all().is_empty());
}

#[test]
fn who_does_not_shut_down_is_noted() {
    let world = World::default();
    world.state().output = b"x".to_vec();
    let xend = world.xend("unresponsive");
    let domid = create(&xend, "etch").unwrap();
    let node = format!("/local/domain/{domid}/xend/unresponsive");
    let noted = || world.state().nodes.get(&node).cloned();
    let ask = || xend.shutdown("etch", "poweroff").unwrap();
    let wait = |seconds: f64| {
        let mut record = xend.table.all().remove(0);
        record.shutdown_asked = record.shutdown_asked.map(|asked| asked - seconds);
        xend.table.put(&record);
        xend.look_at_domains().unwrap();
    };
    wait(1000.0);
    assert_eq!(noted(), None);
    ask();
    wait(290.0);
    assert_eq!(noted(), None);
    // A daemon that takes over goes on counting.
    let xend = world.xend("unresponsive");
    let mut record = xend.table.all().remove(0);
    record.shutdown_asked = record.shutdown_asked.map(|asked| asked - 20.0);
    xend.table.put(&record);
    xend.look_at_domains().unwrap();
    assert_eq!(noted().as_deref(), Some("True"));
    // It is asked again, and the time begins again.
    xend.shutdown("etch", "poweroff").unwrap();
    xend.look_at_domains().unwrap();
    assert_eq!(noted(), None);
    xend.destroy("etch").unwrap();
}

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
    assert_eq!(
        answer(
            &xend,
            Request::Destroy {
                domain: "etch".into()
            }
        ),
        Response::Done
    );
    is_nothing_left(&world, &xend);
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
fn a_reboot_keeps_name_and_identity() {
    let world = World::default();
    world.state().output = b"x".to_vec();
    let xend = world.xend("reboot");
    let domid = create(&xend, "etch").unwrap();
    let before = xend.resolve("etch").unwrap();
    age(&xend);
    end(&world, &xend, domid, 1);
    let after = xend.resolve("etch").unwrap();
    assert_eq!((after.uuid, after.restart_count), (before.uuid, 1));
    assert_ne!(after.domid, Some(domid));
    // The next one comes too soon.
    end(&world, &xend, after.domid.unwrap(), 1);
    is_nothing_left(&world, &xend);
}

#[test]
fn what_is_preserved_stays_until_it_is_destroyed() {
    let world = World::default();
    world.state().output = b"x".to_vec();
    let xend = world.xend("preserved");
    let mut kept = config("etch");
    kept.on_crash = Action::Preserve;
    xend.create(kept, Start::Running).unwrap();
    let domid = xend.resolve("etch").unwrap().domid.unwrap();
    end(&world, &xend, domid, 3);
    assert_eq!(xend.resolve("etch").unwrap().state, "----c-");
    assert_eq!(
        answer(
            &xend,
            Request::Destroy {
                domain: "etch".into()
            }
        ),
        Response::Done
    );
    is_nothing_left(&world, &xend);
}

#[test]
fn a_renamed_one_stays_and_another_starts() {
    let world = World::default();
    world.state().output = b"x".to_vec();
    let xend = world.xend("renamed");
    let mut kept = config("etch");
    kept.on_crash = Action::RenameRestart;
    let uuid = kept.uuid.to_string();
    xend.create(kept, Start::Running).unwrap();
    let domid = xend.resolve("etch").unwrap().domid.unwrap();
    age(&xend);
    end(&world, &xend, domid, 3);
    let fresh = xend.resolve("etch").unwrap();
    assert_eq!(fresh.uuid, uuid);
    let dead = xend.resolve(&domid.to_string()).unwrap();
    assert_eq!(dead.name, format!("Domain-{}", dead.uuid));
    assert_eq!(dead.state, "----c-");
}

#[test]
fn a_killed_daemon_is_continued() {
    let world = World::default();
    world.state().output = b"x".to_vec();
    let xend = world.xend("killed");
    let domid = create(&xend, "etch").unwrap();
    // Killed between making a domain and knowing its number.
    let mut unfinished = super::record::Record::new(config("sarge"), "boot");
    unfinished.config.memory_mib = 1;
    use super::machine::Machine;
    world.create(&unfinished.config).unwrap();
    super::record::save(&world.directory("killed"), &unfinished).unwrap();
    drop(xend);
    let next = world.xend("killed");
    next.take_over().unwrap();
    assert_eq!(next.resolve("etch").unwrap().domid, Some(domid));
    assert!(next.resolve("sarge").is_err());
    assert_eq!(world.state().domains.len(), 1);
    // Ended while nobody looked.
    world.state().domains.remove(&domid);
    drop(next);
    let last = world.xend("killed");
    last.take_over().unwrap();
    assert!(last.table.all().is_empty());
    let left: Vec<_> = world
        .state()
        .nodes
        .keys()
        .filter(|node| node.starts_with(&format!("/local/domain/{domid}/")))
        .cloned()
        .collect();
    assert_eq!(left, [""; 0]);
}

#[test]
fn records_of_another_boot_are_forgotten() {
    let world = World::default();
    let directory = world.directory("boot");
    super::record::save(
        &directory,
        &super::record::Record::new(config("etch"), "former"),
    )
    .unwrap();
    assert!(world.xend("boot").table.all().is_empty());
    assert_eq!(std::fs::read_dir(directory).unwrap().count(), 0);
}

/// What is said of a guest that crashes while it is watched, if that is what is done then.
fn told_of_early_crash(world: &World, xend: &Xend, on_crash: Action) -> String {
    world.state().output = b"one\r\n\r\ntwo\r\n".to_vec();
    world.state().crashes_next = Some(1);
    let mut config = config("etch");
    config.on_crash = on_crash;
    xend.create(config, Start::Running).unwrap_err().to_string()
}

#[test]
fn a_kernel_that_dies_at_once_is_told_with_its_last_words() {
    for (on_crash, test) in [
        (Action::Destroy, "dies-destroy"),
        (Action::Restart, "dies-restart"),
        (Action::RenameRestart, "dies-rename"),
    ] {
        let world = World::default();
        let xend = world.xend(test);
        assert_eq!(
            told_of_early_crash(&world, &xend, on_crash),
            "the guest's kernel has crashed at once. Its last words:\n    one\n    two"
        );
        is_nothing_left(&world, &xend);
    }
}

#[test]
fn a_kernel_that_dies_at_once_is_kept_if_that_is_wanted() {
    let world = World::default();
    let xend = world.xend("dies-preserve");
    assert_eq!(
        told_of_early_crash(&world, &xend, Action::Preserve),
        "the guest's kernel has crashed at once; it is kept, as on_crash = preserve says, until \
         'xm destroy etch'. Its last words:\n    one\n    two"
    );
    assert_eq!(xend.resolve("etch").unwrap().state, "----c-");
    xend.destroy("etch").unwrap();
    is_nothing_left(&world, &xend);
}

#[test]
fn a_kernel_that_dies_at_once_leaves_a_core_if_that_is_wanted() {
    let world = World::default();
    let xend = world.xend("dies-dumped");
    let directory = xend.places.dumps.join("etch");
    assert_eq!(
        told_of_early_crash(&world, &xend, Action::CoredumpDestroy),
        format!(
            "the guest's kernel has crashed at once; its core is in {}. \
             Its last words:\n    one\n    two",
            directory.display()
        )
    );
    assert_eq!(std::fs::read_dir(directory).unwrap().count(), 1);
    is_nothing_left(&world, &xend);
    std::fs::remove_dir_all(&xend.places.dumps).unwrap();
}

#[test]
fn who_stands_idle_lives() {
    let world = World::default();
    let xend = world.xend("idle");
    // It has asked nobody for anything, and does not run.
    create(&xend, "etch").unwrap();
    let looks = world.state().looks;
    assert!((1..=4).contains(&looks), "{looks}");
    xend.destroy("etch").unwrap();
    is_nothing_left(&world, &xend);
}

#[test]
fn who_has_watched_a_domain_is_told_how_it_has_ended() {
    let world = World::default();
    world.state().output = b"Oops\n".to_vec();
    let xend = world.xend("ended");
    let ended = |domid| match answer(&xend, Request::HowEnded { domid }) {
        Response::Ended(end) => end,
        other => panic!("{other:?}"),
    };
    let domid = create(&xend, "etch").unwrap();
    assert_eq!((ended(domid), ended(77)), (None, None));
    world.state().end(domid, 3);
    // Who asks first has it done.
    let told = ended(domid).unwrap();
    is_nothing_left(&world, &xend);
    let sentence = told.crash().unwrap();
    assert!(
        sentence.starts_with("the guest's kernel has crashed 0.")
            && sentence.ends_with(" seconds after its start.")
    );
    assert_eq!(told.last_words, " Its last words:\n    Oops");
    assert_eq!(ended(domid).as_ref(), Some(&told));
    // No crash is told of others.
    let domid = create(&xend, "sarge").unwrap();
    end(&world, &xend, domid, 0);
    let told = ended(domid).unwrap();
    assert_eq!((&*told.reason, told.crash()), ("poweroff", None));
    // One that was destroyed has not ended by itself, and one that suspends goes on.
    let domid = create(&xend, "woody").unwrap();
    world.state().end(domid, 2);
    assert_eq!(ended(domid), None);
    xend.destroy("woody").unwrap();
    assert_eq!(ended(domid), None);
    // Those that are long ago are forgotten.
    for _ in 0..40 {
        let domid = create(&xend, "etch").unwrap();
        end(&world, &xend, domid, 0);
    }
    assert_eq!(ended(1), None);
}

#[test]
fn who_is_kept_after_its_crash_is_told_so() {
    let world = World::default();
    world.state().output = b"Oops\n".to_vec();
    let xend = world.xend("ended-kept");
    let mut config = config("etch");
    config.on_crash = Action::Preserve;
    let _ = xend.create(config, Start::Running).unwrap();
    world.state().end(1, 3);
    let Response::Ended(Some(end)) = answer(&xend, Request::HowEnded { domid: 1 }) else {
        panic!()
    };
    let then = "; it is kept, as on_crash = preserve says, until 'xm destroy etch'";
    assert_eq!(end.then, then);
    xend.destroy("etch").unwrap();
}

#[test]
fn the_store_says_that_a_domain_is_being_started_again() {
    let world = World::default();
    world.state().output = b"x".to_vec();
    let xend = world.xend("restarting");
    let domid = create(&xend, "etch").unwrap();
    let uuid = config("etch").uuid;
    let node = format!("/vm/{uuid}/xend/restart_in_progress");
    assert_eq!(world.state().nodes.get(&node), None);
    // At the step at which it is to run again it is still said.
    age(&xend);
    world.state().noted = Some(node.clone());
    end(&world, &xend, domid, 1);
    assert_eq!(world.state().noted_at_unpause.as_deref(), Some("True"));
    assert_eq!(world.state().nodes.get(&node), None);
    assert_eq!(xend.resolve("etch").unwrap().restart_count, 1);
    // What is left over keeps it from being started once more.
    age(&xend);
    world.state().set(&node, "True");
    let domid = xend.resolve("etch").unwrap().domid.unwrap();
    end(&world, &xend, domid, 1);
    is_nothing_left(&world, &xend);
}

#[test]
fn the_first_domain_is_left_alone() {
    let world = World::default();
    let xend = world.xend("first");
    let first = {
        use super::machine::Machine;
        world.create(&config("x")).unwrap();
        let mut state = world.state();
        let mut info = state.domains.remove(&1).unwrap();
        info.domain = guest_abi::ids::DomId(0);
        info.flags = DomainInfoFlags::RUNNING;
        state.domains.insert(0, info);
        info
    };
    assert_eq!(super::domains::state_of(&first), "r-----");
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
fn what_does_not_fit_is_refused() {
    let world = World::default();
    let xend = world.xend("refused");
    let refused = |change: fn(&mut crate::config::domain::DomainConfig)| {
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
fn who_waits_for_an_end_waits_until_it_is_cleaned_up_behind_it() {
    let world = World::default();
    world.state().output = b"x".to_vec();
    let xend = world.xend("await");
    create(&xend, "etch").unwrap();
    let uuid = config("etch").uuid;
    let lock = xend.table.lock_of(uuid).unwrap();
    let cleaning_up = lock.lock().unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| xend.await_clean_up(&uuid.to_string()));
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!waiting.is_finished());
        drop(cleaning_up);
        waiting.join().unwrap().unwrap();
    });
    // Of one that is not there nothing is left.
    xend.await_clean_up(&config("sarge").uuid.to_string())
        .unwrap();
    xend.await_clean_up("x").unwrap_err();
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
