//! The protocol, message by message.

use super::domains::Status;
use super::testing::Fixture;
use super::{ClientId, Store};
use guest_abi::ids::DomId;
use guest_abi::store_wire::MessageType::{
    Control, Directory, DirectoryPart, Error, GetDomainPath, GetPerms, Introduce,
    IsDomainIntroduced, Mkdir, Read, Release, ResetWatches, Resume, Rm, SetPerms, SetTarget,
    TransactionEnd, TransactionStart, Unwatch, Watch, WatchEvent, Write,
};

fn ok(text: &str) -> Result<String, String> {
    Ok(text.into())
}

fn err(name: &str) -> Result<String, String> {
    Err(name.into())
}

#[test]
fn nodes_are_written_read_listed_and_removed() {
    let mut fix = Fixture::new();
    let dom0 = fix.dom0;
    assert_eq!(fix.ask(dom0, Write, 0, "/a/b|x|y"), ok("OK|"));
    assert_eq!(fix.ask(dom0, Read, 0, "/a/b|"), ok("x|y"));
    assert_eq!(fix.ask(dom0, Read, 0, "/a|"), ok(""));
    assert_eq!(fix.ask(dom0, Mkdir, 0, "/a/c|"), ok("OK|"));
    assert_eq!(fix.ask(dom0, Mkdir, 0, "/a/b|"), ok("OK|"));
    assert_eq!(fix.ask(dom0, Directory, 0, "/a|"), ok("b|c|"));
    assert_eq!(fix.ask(dom0, Directory, 0, "/a/b|"), ok(""));
    assert_eq!(fix.ask(dom0, Rm, 0, "/a/b|"), ok("OK|"));
    assert_eq!(fix.ask(dom0, Rm, 0, "/a/b|"), ok("OK|"));
    assert_eq!(fix.ask(dom0, Rm, 0, "/a/b/c|"), err("ENOENT"));
    assert_eq!(fix.ask(dom0, Read, 0, "/a/b|"), err("ENOENT"));
    assert_eq!(fix.ask(dom0, Write, 0, "rel|v"), ok("OK|"));
    assert_eq!(fix.ask(dom0, Read, 0, "/local/domain/0/rel|"), ok("v"));
}

#[test]
fn what_is_not_well_formed_is_refused() {
    let mut fix = Fixture::new();
    let dom0 = fix.dom0;
    for (message_type, payload) in [
        (Read, ""),
        (Read, "/a"),
        (Read, "/a|b|"),
        (Read, "/a/|"),
        (Read, "@releaseDomain|"),
        (Write, "/a"),
        (Write, "@releaseDomain|x"),
        (SetPerms, "/a|"),
        (SetPerms, "/tool|x0|"),
        (Watch, "/a|"),
        (Watch, "/a|token|x|"),
        (Watch, "@other|token|"),
        (Unwatch, "/a|"),
        (TransactionEnd, "X|"),
        (Introduce, "3|100|"),
        (Introduce, "0|100|1|"),
        (Introduce, "3|-1|1|"),
        (GetDomainPath, "x|"),
        (DirectoryPart, "/tool|x|"),
    ] {
        assert_eq!(
            fix.ask(dom0, message_type, 0, payload),
            err("EINVAL"),
            "{message_type:?} {payload:?}"
        );
    }
    for unknown in [WatchEvent, Error] {
        assert_eq!(fix.ask(dom0, unknown, 0, "|"), err("ENOSYS"));
    }
}

#[test]
fn permissions_are_shown_and_set() {
    let mut fix = Fixture::new();
    let (dom0, guest) = (fix.dom0, fix.add_guest(3));
    assert_eq!(fix.ask(guest, GetPerms, 0, "/local/domain/3|"), ok("n3|"));
    assert_eq!(fix.ask(guest, Write, 0, "a|v"), ok("OK|"));
    assert_eq!(fix.ask(guest, SetPerms, 0, "a|n3|r4|"), ok("OK|"));
    assert_eq!(
        fix.ask(dom0, GetPerms, 0, "/local/domain/3/a|"),
        ok("n3|r4|")
    );
    let other = fix.add_guest(4);
    assert_eq!(fix.ask(other, Read, 0, "/local/domain/3/a|"), ok("v"));
    assert_eq!(fix.ask(other, Read, 0, "/local/domain/3/b|"), err("EACCES"));
    assert_eq!(
        fix.ask(other, Write, 0, "/local/domain/3/a|"),
        err("EACCES")
    );
    assert_eq!(fix.ask(guest, SetPerms, 0, "a|n4|"), err("EPERM"));
}

#[test]
fn a_watch_is_told_at_once_and_of_all_below() {
    let mut fix = Fixture::new();
    let dom0 = fix.dom0;
    assert_eq!(fix.ask(dom0, Watch, 0, "/a|tok|"), ok("OK|"));
    assert_eq!(fix.events(dom0), ["/a|tok|"]);
    assert_eq!(fix.ask(dom0, Watch, 0, "/a|tok|"), err("EEXIST"));
    fix.ask(dom0, Write, 0, "/a/b/c|x").unwrap();
    assert_eq!(fix.events(dom0), ["/a/b/c|tok|"]);
    fix.ask(dom0, SetPerms, 0, "/a/b|n0|").unwrap();
    fix.ask(dom0, Mkdir, 0, "/a/d|").unwrap();
    fix.ask(dom0, Mkdir, 0, "/ab|").unwrap();
    fix.ask(dom0, Read, 0, "/a/b|").unwrap();
    fix.ask(dom0, Rm, 0, "/a|").unwrap();
    assert_eq!(fix.events(dom0), ["/a/b|tok|", "/a/d|tok|", "/a|tok|"]);
    assert_eq!(fix.ask(dom0, Unwatch, 0, "/a|tok|"), ok("OK|"));
    assert_eq!(fix.ask(dom0, Unwatch, 0, "/a|tok|"), err("ENOENT"));
    fix.ask(dom0, Write, 0, "/a|x").unwrap();
    assert_eq!(fix.events(dom0), [""; 0]);
}

#[test]
fn a_watch_with_a_depth_is_told_of_so_many_levels() {
    let mut fix = Fixture::new();
    let dom0 = fix.dom0;
    fix.ask(dom0, Watch, 0, "/a|one|1|").unwrap();
    fix.ask(dom0, Watch, 0, "/a|none|0|").unwrap();
    fix.events(dom0);
    for path in ["/a|", "/a/b|", "/a/b/c|"] {
        fix.ask(dom0, Write, 0, path).unwrap();
    }
    assert_eq!(fix.events(dom0), ["/a|one|", "/a|none|", "/a/b|one|"]);
}

#[test]
fn removing_a_node_tells_watches_of_what_was_below() {
    let mut fix = Fixture::new();
    let dom0 = fix.dom0;
    fix.ask(dom0, Write, 0, "/a/b/c|x").unwrap();
    for path in ["/a/b/c", "/a/b/none", "/a-x", "/a", "/a0"] {
        fix.ask(dom0, Watch, 0, &format!("{path}|t|")).unwrap();
    }
    fix.events(dom0);
    fix.ask(dom0, Rm, 0, "/a/b|").unwrap();
    assert_eq!(fix.events(dom0), ["/a/b|t|", "/a/b/c|t|"]);
}

#[test]
fn relative_watches_are_told_relative_names() {
    let mut fix = Fixture::new();
    let guest = fix.add_guest(3);
    fix.ask(guest, Watch, 0, "device|rel|").unwrap();
    fix.ask(guest, Watch, 0, "/local/domain/3/device|abs|")
        .unwrap();
    assert_eq!(
        fix.events(guest),
        ["device|rel|", "/local/domain/3/device|abs|"]
    );
    fix.ask(guest, Write, 0, "device/vbd|x").unwrap();
    assert_eq!(
        fix.events(guest),
        ["device/vbd|rel|", "/local/domain/3/device/vbd|abs|"]
    );
}

#[test]
fn who_may_not_read_a_node_is_not_told_of_it() {
    let mut fix = Fixture::new();
    let (dom0, one, other) = (fix.dom0, fix.add_guest(3), fix.add_guest(4));
    fix.ask(other, Watch, 0, "/local/domain|t|").unwrap();
    fix.ask(other, Watch, 0, "@releaseDomain|t|").unwrap();
    fix.events(other);
    fix.ask(one, Write, 0, "secret|x").unwrap();
    fix.ask(one, Rm, 0, "secret|").unwrap();
    fix.ask(dom0, Release, 0, "3|").unwrap();
    assert_eq!(fix.events(other), [""; 0]);
    // It is told when the right is given, and when it is taken away.
    fix.ask(other, Write, 0, "mine|x").unwrap();
    let one = fix.add_guest(3);
    fix.ask(one, Watch, 0, "/local/domain/4/mine|t|").unwrap();
    fix.events(one);
    fix.ask(other, SetPerms, 0, "mine|n4|r3|").unwrap();
    assert_eq!(fix.events(one), ["/local/domain/4/mine|t|"]);
    fix.ask(other, SetPerms, 0, "mine|n4|").unwrap();
    assert_eq!(fix.events(one), ["/local/domain/4/mine|t|"]);
    // Who may know of domains is said by permissions as well.
    fix.ask(dom0, SetPerms, 0, "@releaseDomain|n0|r4|").unwrap();
    assert_eq!(fix.ask(dom0, GetPerms, 0, "@releaseDomain|"), ok("n0|r4|"));
    fix.events(other);
    fix.ask(dom0, Release, 0, "3|").unwrap();
    assert_eq!(fix.events(other), ["@releaseDomain|t|"]);
}

#[test]
fn a_transaction_is_isolated_and_told_after_its_end() {
    let mut fix = Fixture::new();
    let dom0 = fix.dom0;
    fix.ask(dom0, Write, 0, "/a|1").unwrap();
    fix.ask(dom0, Watch, 0, "/|t|").unwrap();
    fix.events(dom0);
    let transaction = fix.begin(dom0);
    fix.ask(dom0, Write, transaction, "/a|2").unwrap();
    fix.ask(dom0, Write, transaction, "/b|3").unwrap();
    assert_eq!(fix.ask(dom0, Read, transaction, "/a|"), ok("2"));
    assert_eq!(fix.ask(dom0, Read, 0, "/a|"), ok("1"));
    assert_eq!(fix.events(dom0), [""; 0]);
    assert_eq!(fix.ask(dom0, TransactionEnd, transaction, "T|"), ok("OK|"));
    assert_eq!(fix.events(dom0), ["/a|t|", "/b|t|"]);
    assert_eq!(fix.ask(dom0, Read, 0, "/a|"), ok("2"));
    assert_eq!(
        fix.ask(dom0, TransactionEnd, transaction, "T|"),
        err("ENOENT")
    );
    assert_eq!(fix.ask(dom0, Read, transaction, "/a|"), err("ENOENT"));
}

#[test]
fn a_transaction_that_is_given_up_leaves_nothing() {
    let mut fix = Fixture::new();
    let dom0 = fix.dom0;
    let transaction = fix.begin(dom0);
    fix.ask(dom0, Write, transaction, "/a|2").unwrap();
    assert_eq!(
        fix.ask(dom0, TransactionStart, transaction, "|"),
        err("EBUSY")
    );
    assert_eq!(fix.ask(dom0, TransactionEnd, transaction, "F|"), ok("OK|"));
    assert_eq!(fix.ask(dom0, Read, 0, "/a|"), err("ENOENT"));
}

#[test]
fn a_conflict_is_told_and_changes_nothing() {
    let mut fix = Fixture::new();
    let dom0 = fix.dom0;
    fix.ask(dom0, Write, 0, "/a|1").unwrap();
    let transaction = fix.begin(dom0);
    fix.ask(dom0, Read, transaction, "/a|").unwrap();
    fix.ask(dom0, Write, transaction, "/b|2").unwrap();
    fix.ask(dom0, Write, 0, "/a|2").unwrap();
    assert_eq!(
        fix.ask(dom0, TransactionEnd, transaction, "T|"),
        err("EAGAIN")
    );
    assert_eq!(fix.ask(dom0, Read, 0, "/b|"), err("ENOENT"));
    assert_eq!(fix.store.counts().conflicts, 1);
}

#[test]
fn large_directories_are_listed_in_parts() {
    let mut fix = Fixture::new();
    let dom0 = fix.dom0;
    let mut names = Vec::new();
    for number in 0..700 {
        let name = format!("child{number:04}");
        fix.ask(dom0, Write, 0, &format!("/d/{name}|")).unwrap();
        names.push(name);
    }
    assert_eq!(fix.ask(dom0, Directory, 0, "/d|"), err("E2BIG"));
    let mut list = String::new();
    let mut generation = None;
    while !list.ends_with("||") {
        let request = format!("/d|{}|", list.len());
        let part = fix.ask(dom0, DirectoryPart, 0, &request).unwrap();
        let (number, rest) = part.split_once('|').unwrap();
        assert_eq!(*generation.get_or_insert(number.to_owned()), number);
        assert!(!rest.is_empty());
        list.push_str(rest);
    }
    assert_eq!(list, names.join("|") + "||");
    fix.ask(dom0, Rm, 0, "/d/child0000|").unwrap();
    let part = fix.ask(dom0, DirectoryPart, 0, "/d|0|").unwrap();
    assert_ne!(part.split_once('|').unwrap().0, generation.unwrap());
    fix.ask(dom0, Mkdir, 0, "/e|").unwrap();
    let empty = fix.ask(dom0, DirectoryPart, 0, "/e|0|").unwrap();
    assert!(empty.ends_with("||") && empty.matches('|').count() == 2);
}

#[test]
fn domains_are_introduced_and_released() {
    let mut fix = Fixture::new();
    let dom0 = fix.dom0;
    fix.ask(dom0, Watch, 0, "@introduceDomain|i|").unwrap();
    fix.ask(dom0, Watch, 0, "@releaseDomain|r|").unwrap();
    assert_eq!(
        fix.events(dom0),
        ["@introduceDomain|i|", "@releaseDomain|r|"]
    );
    assert_eq!(fix.ask(dom0, IsDomainIntroduced, 0, "3|"), ok("F|"));
    assert_eq!(fix.ask(dom0, IsDomainIntroduced, 0, "0|"), ok("T|"));
    let guest = fix.add_guest(3);
    assert_eq!(fix.events(dom0), ["@introduceDomain|i|"]);
    assert_eq!(fix.ask(dom0, IsDomainIntroduced, 0, "3|"), ok("T|"));
    assert!(fix.host.connected.contains_key(&DomId(3)));
    assert_eq!(
        fix.ask(dom0, GetDomainPath, 0, "3|"),
        ok("/local/domain/3|")
    );
    for request in [Introduce, Release, Resume, SetTarget, Control] {
        assert_eq!(fix.ask(guest, request, 0, "3|100|1|"), err("EACCES"));
    }
    fix.host.statuses.insert(DomId(9), Status::Gone);
    assert_eq!(fix.ask(dom0, Introduce, 0, "9|100|1|"), err("ENOENT"));
    let unmappable = format!("5|{}|1|", 0xbad);
    assert_eq!(fix.ask(dom0, Introduce, 0, &unmappable), err("EINVAL"));
    assert_eq!(fix.ask(dom0, IsDomainIntroduced, 0, "5|"), ok("F|"));
    assert_eq!(fix.ask(dom0, Release, 0, "3|"), ok("OK|"));
    assert_eq!(fix.events(dom0), ["@releaseDomain|r|"]);
    assert_eq!(fix.ask(dom0, Release, 0, "3|"), err("ENOENT"));
    assert!(fix.host.connected.is_empty() && fix.store.client(guest).is_none());
}

#[test]
fn introducing_again_begins_anew() {
    let mut fix = Fixture::new();
    let (dom0, guest) = (fix.dom0, fix.add_guest(3));
    fix.ask(guest, Watch, 0, "a|t|").unwrap();
    fix.begin(guest);
    assert_eq!(fix.ask(dom0, Introduce, 0, "3|200|7|"), ok("OK|"));
    let client = fix.store.client(guest).unwrap();
    assert_eq!((client.nr_watches(), client.nr_transactions()), (0, 0));
    assert_eq!(fix.host.connected[&DomId(3)].0, 200);
}

#[test]
fn a_domain_that_shuts_down_is_told_of_once_until_it_is_resumed() {
    let mut fix = Fixture::new();
    let dom0 = fix.dom0;
    fix.add_guest(3);
    fix.ask(dom0, Watch, 0, "@releaseDomain|r|").unwrap();
    fix.events(dom0);
    let look = |fix: &mut Fixture| {
        fix.store.look_at_domains(&mut fix.host);
        fix.events(dom0).len()
    };
    assert_eq!(look(&mut fix), 0);
    fix.host.statuses.insert(DomId(3), Status::ShutDown);
    assert_eq!((look(&mut fix), look(&mut fix)), (1, 0));
    fix.ask(dom0, Resume, 0, "3|").unwrap();
    assert_eq!((look(&mut fix), look(&mut fix)), (1, 0));
    assert!(fix.store.is_introduced(DomId(3)));
    fix.host.statuses.insert(DomId(3), Status::Gone);
    assert_eq!((look(&mut fix), look(&mut fix)), (1, 0));
    assert!(!fix.store.is_introduced(DomId(3)));
    assert_eq!(fix.ask(dom0, GetPerms, 0, "/local/domain/3|"), ok("n0|"));
}

#[test]
fn a_target_lends_its_rights_while_it_is_there() {
    let mut fix = Fixture::new();
    let (dom0, _, model) = (fix.dom0, fix.add_guest(3), fix.add_guest(4));
    let read = |fix: &mut Fixture| fix.ask(model, Read, 0, "/local/domain/3|");
    assert_eq!(read(&mut fix), err("EACCES"));
    assert_eq!(fix.ask(dom0, SetTarget, 0, "4|3|"), ok("OK|"));
    assert_eq!(read(&mut fix), ok(""));
    assert_eq!(fix.ask(dom0, SetTarget, 0, "4|0|"), err("EINVAL"));
    fix.ask(dom0, Release, 0, "3|").unwrap();
    assert_eq!(read(&mut fix), err("EACCES"));
}

#[test]
fn watches_are_reset_with_what_waits() {
    let mut fix = Fixture::new();
    let (dom0, guest) = (fix.dom0, fix.add_guest(3));
    fix.ask(guest, Watch, 0, "a|t|").unwrap();
    let transaction = fix.begin(guest);
    fix.ask(dom0, Write, 0, "/local/domain/3/a|").unwrap();
    fix.events(guest);
    fix.ask(dom0, Write, 0, "/local/domain/3/a|").unwrap();
    assert_eq!(fix.ask(guest, ResetWatches, 0, "|"), ok("OK|"));
    fix.ask(dom0, Write, 0, "/local/domain/3/a|").unwrap();
    assert_eq!(
        fix.ask(guest, TransactionEnd, transaction, "T|"),
        err("ENOENT")
    );
    assert_eq!(fix.store.find_damage(), None);
}

#[test]
fn who_may_only_look_changes_nothing() {
    let mut fix = Fixture::new();
    let looker = fix.store.connect_socket(2, super::client::Mode::ReadOnly);
    assert_eq!(fix.ask(looker, Read, 0, "/tool|"), ok(""));
    for (request, payload) in [
        (Write, "/a|"),
        (Mkdir, "/a|"),
        (Rm, "/tool|"),
        (SetPerms, "/tool|n0|"),
        (SetPerms, "@releaseDomain|b0|"),
        (Introduce, "3|1|1|"),
        (Control, "help|"),
    ] {
        assert_eq!(fix.ask(looker, request, 0, payload), err("EROFS"));
    }
}

#[test]
fn watches_and_transactions_have_quotas() {
    let mut fix = Fixture::new();
    let guest = fix.add_guest(3);
    for number in 0..128 {
        let watch = format!("{number}|t|");
        assert_eq!(fix.ask(guest, Watch, 0, &watch), ok("OK|"));
    }
    assert_eq!(fix.ask(guest, Watch, 0, "more|t|"), err("E2BIG"));
    for _ in 0..10 {
        fix.begin(guest);
    }
    assert_eq!(fix.ask(guest, TransactionStart, 0, "|"), err("ENOSPC"));
    let long = "x".repeat(2049);
    let absolute = format!("/{}|", "x".repeat(2049));
    assert_eq!(fix.ask(guest, Read, 0, &format!("{long}|")), err("EINVAL"));
    assert_eq!(fix.ask(guest, Read, 0, &absolute), err("EINVAL"));
    let dom0 = fix.dom0;
    assert_eq!(fix.ask(dom0, Read, 0, &absolute), err("ENOENT"));
}

#[test]
fn control_answers_administrators() {
    let mut fix = Fixture::new();
    let dom0 = fix.dom0;
    fix.add_guest(3);
    let mut control = |words: &str| fix.ask(dom0, Control, 0, words);
    let help = control("help|").unwrap();
    for command in ["check", "log", "memreport", "print", "quota"] {
        assert!(help.contains(command), "{help}");
        assert_ne!(control(&format!("{command}|")), err("ENOSYS"));
    }
    assert_eq!(control("check|"), ok("OK\n|"));
    assert_eq!(control("nonsense|"), err("ENOSYS"));
    assert!(control("quota|").unwrap().contains("nodes"));
    assert_eq!(control("quota|set|nodes|2|"), ok("OK\n|"));
    assert_eq!(control("quota|set|node|2|"), err("EINVAL"));
    assert!(control("quota|3|").unwrap().contains("1 of         2"));
    let guest = ClientId::Domain(DomId(3));
    assert_eq!(fix.ask(guest, Write, 0, "a|"), ok("OK|"));
    assert_eq!(fix.ask(guest, Write, 0, "b|"), err("ENOSPC"));
}

#[test]
fn a_restored_store_knows_what_the_former_knew() {
    let mut fix = Fixture::new();
    let (dom0, guest) = (fix.dom0, fix.add_guest(3));
    fix.add_guest(4);
    fix.add_guest(5);
    fix.ask(guest, Write, 0, "a/b|v").unwrap();
    fix.ask(guest, Write, 0, "c|v").unwrap();
    fix.ask(guest, Rm, 0, "c|").unwrap();
    fix.ask(guest, SetPerms, 0, "a|n3|r4|").unwrap();
    fix.ask(guest, Watch, 0, "a|t|").unwrap();
    fix.ask(guest, Watch, 0, "c|t|1|").unwrap();
    fix.ask(guest, Watch, 0, "d|t|").unwrap();
    fix.ask(guest, Unwatch, 0, "d|t|").unwrap();
    fix.ask(dom0, SetPerms, 0, "@releaseDomain|n0|r4|").unwrap();
    fix.ask(dom0, SetTarget, 0, "4|3|").unwrap();
    fix.ask(dom0, Release, 0, "5|").unwrap();
    let transaction = fix.begin(guest);
    fix.ask(guest, Write, transaction, "x/y|v").unwrap();
    let (ended, given_up) = (fix.begin(guest), fix.begin(guest));
    fix.ask(guest, Write, ended, "e/f|v").unwrap();
    fix.ask(guest, Write, ended, "e/g|v").unwrap();
    fix.ask(guest, Rm, ended, "e|").unwrap();
    fix.ask(guest, Write, ended, "e/h|v").unwrap();
    fix.ask(guest, TransactionEnd, ended, "T|").unwrap();
    fix.ask(guest, TransactionEnd, given_up, "F|").unwrap();

    let shown = |store: &Store| -> Vec<String> {
        store.all_records().map(|one| format!("{one:?}")).collect()
    };
    // The records of the way there, after those of an empty store, and those of the state.
    let first = Store::new().all_records().collect::<Vec<_>>();
    let way: Vec<_> = first.into_iter().chain(fix.store.take_records()).collect();
    let state: Vec<_> = fix.store.all_records().collect();
    for records in [way, state] {
        let mut restored = Store::new();
        restored.restore(records).unwrap();
        assert_eq!(shown(&restored), shown(&fix.store));
        assert_eq!(restored.find_damage(), None);
        let mut again = Fixture::new();
        again.store = restored;
        again.store.tell_everybody();
        assert_eq!(again.events(guest), ["a|t|", "c|t|"]);
        assert_eq!(again.ask(guest, Read, transaction, "a/b|"), ok("v"));
        assert_eq!(again.ask(guest, Write, transaction, "x/y|v"), ok("OK|"));
        assert_eq!(
            again.ask(guest, TransactionEnd, transaction, "T|"),
            err("EAGAIN")
        );
        assert_eq!(again.ask(guest, Read, 0, "x/y|"), err("ENOENT"));
    }
}
