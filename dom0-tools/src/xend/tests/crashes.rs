//! Kernels that crash: at once, so that who makes the guest is told, and while somebody looks.

use super::{create, end, is_nothing_left};
use crate::config::domain::Action;
use crate::xend::Xend;
use crate::xend::create::Start;
use crate::xend::protocol::{Request, Response};
use crate::xend::server::answer;
use crate::xend::testing::{World, config};

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
