//! Ends of domains, what is done then, and what a daemon finds that another has left.

use super::{age, create, end, is_destroyed, is_nothing_left};
use crate::config::domain::Action;
use crate::xend::create::Start;
use crate::xend::machine::Machine;
use crate::xend::record::{self, Record};
use crate::xend::testing::{World, config};

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
    is_destroyed(&world, &xend);
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
fn a_killed_daemon_is_continued() {
    let world = World::default();
    world.state().output = b"x".to_vec();
    let xend = world.xend("killed");
    let domid = create(&xend, "etch").unwrap();
    // Killed between making a domain and knowing its number.
    let mut unfinished = Record::new(config("sarge"), "boot");
    unfinished.config.memory_mib = 1;
    world.create(&unfinished.config).unwrap();
    record::save(&world.directory("killed"), &unfinished).unwrap();
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
    record::save(&directory, &Record::new(config("etch"), "former")).unwrap();
    assert!(world.xend("boot").table.all().is_empty());
    assert_eq!(std::fs::read_dir(directory).unwrap().count(), 0);
}
