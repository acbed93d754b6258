//! Memory: targets, limits, and the first domain that gives some up.

use super::Xend;
use super::create::Start;
use super::protocol::{Fault, Response};
use super::store_tree::describe_first;
use super::testing::{World, config};
use std::sync::Arc;

const TARGET: &str = "/local/domain/0/memory/target";
const MIB: u64 = 1 << 8;

/// A daemon with these settings.
fn start(test: &str, settings: &str) -> (World, Arc<Xend>) {
    let world = World::default();
    world.state().output = b"x".to_vec();
    let path = world.directory(test).with_extension("settings");
    std::fs::write(&path, settings).unwrap();
    let xend = world.xend(test);
    describe_first(&mut world.clone(), 512 << 10, 2).unwrap();
    (world, xend)
}

fn create(xend: &Xend, name: &str, mib: u64) -> Result<u16, Fault> {
    let mut config = config(name);
    (config.memory_mib, config.maxmem_mib) = (mib, mib);
    match xend.create(config, Start::Running)? {
        Response::Created { domid, .. } => Ok(domid),
        other => panic!("{other:?}"),
    }
}

/// What is refused, in a sentence.
fn refused<T: std::fmt::Debug>(answer: Result<T, Fault>) -> String {
    answer.unwrap_err().to_string()
}

fn sum_is_exact(xend: &Xend) {
    let memory = xend.memory().unwrap();
    let rows: u64 = memory.domains.iter().map(|row| row.current_kib).sum();
    assert_eq!(rows, memory.domains_kib);
    let sum = memory.hypervisor_kib + memory.domains_kib + memory.free_kib;
    assert_eq!(sum, memory.total_kib);
}

const STATIC: &str = "memory_dynamic_max must be less than or equal to memory_static_max";

#[test]
fn a_guest_gets_a_target_and_a_limit() {
    let (world, xend) = start("target", "");
    let domid = create(&xend, "etch", 128).unwrap();
    let node = |path: &str| world.state().nodes.get(path).cloned().unwrap_or_default();
    let home = |name: &str| node(&format!("/local/domain/{domid}/memory/{name}"));
    let uuid = xend.resolve("etch").unwrap().uuid;
    let vm = |name: &str| node(&format!("/vm/{uuid}/{name}"));
    let shown = || {
        let view = xend.resolve("etch").unwrap();
        (view.memory_mib, view.maxmem_mib)
    };
    let limit = || world.state().domains[&domid].max_pages;
    assert_eq!((home("target"), limit()), ("131072".into(), 128 * MIB));
    assert_eq!(xend.set_memory("etch", 64), Ok(Response::Done));
    assert_eq!(
        (home("target"), vm("memory")),
        ("65536".into(), "64".into())
    );
    assert_eq!((shown(), limit()), ((64, 128), 128 * MIB));
    assert_eq!(refused(xend.set_memory("etch", 129)), STATIC);
    assert_eq!(refused(xend.limit_memory("etch", 63)), STATIC);
    assert_eq!(xend.limit_memory("etch", 200), Ok(Response::Done));
    assert_eq!((shown(), limit()), ((64, 200), 200 * MIB));
    assert_eq!(
        (home("static-max"), vm("maxmem")),
        ("204800".into(), "200".into())
    );
    assert_eq!(xend.set_memory("etch", 200), Ok(Response::Done));
    assert_eq!(home("target"), "204800");
    assert!(refused(xend.set_memory("etch", 0)).contains("at least"));
    let far = refused(xend.limit_memory("etch", u64::MAX));
    assert!(far.contains("the most is"), "{far}");
    assert_eq!(
        refused(xend.set_memory("none", 5)),
        "Domain 'none' does not exist."
    );
    assert_eq!((shown(), limit()), ((200, 200), 200 * MIB));
}

#[test]
fn what_can_t_be_written_changes_nothing() {
    let (world, xend) = start("unwritten", "(dom0-min-mem 100)");
    let domid = create(&xend, "etch", 128).unwrap();
    create(&xend, "sarge", 890).unwrap();
    xend.limit_memory("etch", 200).unwrap();
    let seen = || {
        let state = world.state();
        (
            state.nodes.clone(),
            state.domains[&domid].max_pages,
            xend.table.all(),
        )
    };
    let before = seen();
    let mut step = 0;
    loop {
        step += 1;
        world.state().refuse_at(step);
        let limited = xend.limit_memory("etch", 300);
        world.state().refuse_at = None;
        if limited.is_ok() {
            break;
        }
        assert_eq!(seen(), before, "step {step}");
    }
    assert!(step > 2, "{step}");
    // It has all that was free, so that the first domain has to give up some; but for its last step, which is the guest's.
    let before = seen();
    let mut step = 0;
    loop {
        step += 1;
        world.state().refuse_at(step);
        let set = xend.set_memory("etch", 200);
        world.state().refuse_at = None;
        if set.is_ok() {
            break;
        }
        assert_eq!(seen().0, before.0, "step {step}");
        assert_eq!(seen().2, before.2, "step {step}");
        // It has it again, too.
        while world.state().memory.first < 512 * MIB {
            xend.free_kib().unwrap();
        }
    }
    assert!(step > 1, "{step}");
    assert!(world.state().first_target() < Some(512 << 10));
}

#[test]
fn the_first_domain_gives_up_what_a_guest_needs() {
    let (world, xend) = start("gives", "(dom0-min-mem 256)");
    assert_eq!(create(&xend, "etch", 1200), Ok(1));
    let state = world.state();
    // 1.5 GiB and 4 MiB of the hypervisor's; the guest's and 2 MiB for what the hypervisor needs for it.
    assert_eq!(state.first_target(), Some((1536 - 4 - 1202) << 10));
    assert_eq!(state.memory.first, 330 * MIB);
    drop(state);
    assert_eq!(xend.resolve("0").unwrap().memory_mib, 330);
    assert_eq!(xend.memory().unwrap().last_refusal, None);
    sum_is_exact(&xend);
}

#[test]
fn who_counts_otherwise_is_asked_for_more() {
    let (world, xend) = start("nudged", "(dom0-min-mem 256)");
    world.state().memory.uncounted = 2 * MIB;
    assert_eq!(create(&xend, "etch", 1200), Ok(1));
    let target = world.state().first_target();
    assert!(
        ((330 - 6) << 10..=(330 - 2) << 10).contains(&target.unwrap()),
        "{target:?}"
    );
    assert_eq!(xend.memory().unwrap().last_refusal, None);
}

#[test]
fn a_start_that_is_refused_leaves_the_first_domain_s_target() {
    for (test, settings, mib, is_stuck, sentence) in [
        (
            "refused-off",
            "(dom0-min-mem 256)(enable-dom0-ballooning no)",
            1100,
            false,
            "Not enough free memory and enable-dom0-ballooning is False, so I cannot release any more.  \
             I need 1128448 KiB but only have 1044480.",
        ),
        (
            "refused-usual",
            "",
            1100,
            false,
            "Not enough free memory and enable-dom0-ballooning is False, so I cannot release any more.  \
             I need 1128448 KiB but only have 1044480.",
        ),
        (
            "refused-least",
            "(dom0-min-mem 450)",
            1100,
            false,
            "I need 1128448 KiB, but dom0_min_mem is 460800 and shrinking to 460800 KiB would leave only \
             1107968 KiB free.",
        ),
        (
            "refused-stuck",
            "(dom0-min-mem 100)",
            1100,
            true,
            "Not enough memory is available, and dom0 cannot be shrunk any further: I need 1128448 KiB, \
             1085440 are free, and its kernel gives up no more on its way to ",
        ),
    ] {
        let (world, xend) = start(test, settings);
        if is_stuck {
            world.state().memory.first_least = 472 * MIB;
        }
        let said = refused(create(&xend, "etch", mib));
        assert!(said.starts_with(sentence), "{said}");
        assert_eq!(world.state().first_target(), Some(512 << 10), "{test}");
        assert!(world.state().domains.is_empty());
        assert!(xend.table.all().is_empty());
        let refusal = xend.memory().unwrap().last_refusal.unwrap();
        assert_eq!((&*refusal.name, refusal.reason), ("etch", said));
        assert!(refusal.time > 1e9);
        sum_is_exact(&xend);
        // What there is enough for is started.
        assert!(create(&xend, "sarge", 1000).is_ok());
        let _ = std::fs::remove_file(world.directory(test).with_extension("settings"));
    }
}

#[test]
fn the_first_domain_keeps_its_least_and_what_its_programs_use() {
    let (world, xend) = start("keeps", "(dom0-min-mem 330)");
    assert_eq!(create(&xend, "etch", 1200), Ok(1));
    assert_eq!(world.state().memory.first_had, 330 * MIB);
    xend.destroy("etch").unwrap();
    xend.set_memory("Domain-0", 512).unwrap();
    while world.state().memory.first < 512 * MIB {
        xend.free_kib().unwrap();
    }
    let said = refused(create(&xend, "etch", 1201));
    assert!(said.contains("dom0_min_mem is 337920"), "{said}");
    // Programs use all but 150 MiB, and some of these it keeps.
    world.state().memory.spare_kib = Some(150 << 10);
    let said = refused(create(&xend, "etch", 1200));
    assert!(
        said.starts_with(
            "Not enough memory is available, and dom0 cannot be shrunk any further: its programs"
        ),
        "{said}"
    );
    assert!(create(&xend, "etch", 1100).is_ok());
    assert_eq!(world.state().memory.first_had, 330 * MIB);
}

#[test]
fn a_start_that_fails_gives_back_what_was_given_for_it() {
    let (world, xend) = start("fails-late", "(dom0-min-mem 256)");
    let mut step = 0;
    let mut were_given = 0;
    loop {
        step += 1;
        world.state().refuse_at(step);
        let created = create(&xend, "etch", 1200);
        world.state().refuse_at = None;
        if created.is_ok() {
            break;
        }
        let state = world.state();
        were_given += u32::from(state.memory.first < 512 * MIB);
        assert_eq!(state.first_target(), Some(512 << 10), "step {step}");
        assert_eq!(state.claimed_pages(), 0);
        drop(state);
        while world.state().memory.first < 512 * MIB {
            xend.free_kib().unwrap();
        }
    }
    assert!(were_given > 20, "{were_given}");
}

#[test]
fn a_first_domain_whose_target_is_gone_gets_none_of_what_it_gave() {
    let (world, xend) = start("no-target", "");
    world.state().nodes.remove(TARGET);
    xend.first_takes_back(1 << 10);
    assert_eq!(world.state().first_target(), None);
}

#[test]
fn two_that_are_started_at_once_each_have_their_own() {
    let (world, xend) = start("at-once", "(dom0-min-mem 100)");
    std::thread::scope(|scope| {
        let starts = ["one", "two", "three", "four", "five"].map(|name| {
            let xend = &xend;
            scope.spawn(move || create(xend, name, 280))
        });
        let domids = starts.map(|start| start.join().unwrap());
        assert!(domids.iter().all(Result::is_ok), "{domids:?}");
    });
    assert!(world.state().memory.first >= 100 * MIB);
    sum_is_exact(&xend);
}

#[test]
fn the_first_domain_gets_a_target_within_what_it_may_have() {
    let (world, xend) = start("first", "(dom0-min-mem 196)");
    let target = || world.state().nodes.get(TARGET).cloned();
    assert_eq!(xend.set_memory("Domain-0", 196), Ok(Response::Done));
    assert_eq!(target().as_deref(), Some("200704"));
    assert_eq!(xend.resolve("Domain-0").unwrap().memory_mib, 196);
    assert_eq!(
        refused(xend.set_memory("0", 195)),
        "memory_dynamic_max too small"
    );
    assert_eq!(refused(xend.set_memory("0", 1537)), STATIC);
    assert_eq!(xend.limit_memory("0", 600), Ok(Response::Done));
    assert_eq!(refused(xend.limit_memory("0", 195)), STATIC);
    assert_eq!(refused(xend.set_memory("0", 601)), STATIC);
    assert_eq!(world.state().memory.first_most, 600 * MIB);
    assert_eq!(target().as_deref(), Some("200704"));
    while world.state().memory.first > 196 * MIB {
        xend.free_kib().unwrap();
    }
    let row = xend.memory().unwrap().domains.remove(0);
    assert_eq!((row.current_kib, row.target_kib), (200_704, 200_704));
    assert_eq!(
        (row.maximum_kib, row.ballooned_kib),
        (Some(614_400), 413_696)
    );
    // Others have the rest.
    create(&xend, "etch", 1200).unwrap();
    let said = refused(xend.set_memory("0", 400));
    assert_eq!(
        said,
        "Not enough free memory: I need 208896 KiB but only have 139264."
    );
    assert_eq!(target().as_deref(), Some("200704"));
}

#[test]
fn accounts_are_shown() {
    let (world, xend) = start("accounts", "");
    let domid = create(&xend, "etch", 128).unwrap();
    xend.limit_memory("etch", 256).unwrap();
    xend.set_memory("etch", 100).unwrap();
    world.state().domains.get_mut(&domid).unwrap().tot_pages = 110 * MIB;
    let memory = xend.memory().unwrap();
    let kib = |mib: u64| mib << 10;
    assert_eq!(memory.total_kib, kib(1536));
    assert_eq!(memory.hypervisor_kib, kib(4));
    assert_eq!(memory.domains_kib, kib(512 + 110));
    assert_eq!(memory.free_kib, kib(1536 - 4 - 512 - 110));
    assert_eq!((memory.claimed_kib, memory.last_refusal), (0, None));
    let [first, etch] = memory.domains.as_slice() else {
        panic!("{:?}", memory.domains);
    };
    assert_eq!(
        (&*first.name, first.domid, first.maximum_kib),
        ("Domain-0", 0, None)
    );
    assert_eq!(
        (&*etch.name, etch.current_kib, etch.target_kib),
        ("etch", kib(110), kib(100))
    );
    assert_eq!(
        (etch.maximum_kib, etch.ballooned_kib),
        (Some(kib(256)), kib(146))
    );
    // Without a limit: less than at its start.
    xend.set_memory("0", 500).unwrap();
    while world.state().memory.first > 500 * MIB {
        xend.free_kib().unwrap();
    }
    assert_eq!(xend.memory().unwrap().domains[0].ballooned_kib, kib(12));
}
