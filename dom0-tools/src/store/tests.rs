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
    assert_eq!(fix.ask(dom0, Write, 0, "/a/b\0x\0y"), ok("OK|"));
    assert_eq!(fix.ask(dom0, Read, 0, "/a/b\0"), ok("x|y"));
    assert_eq!(fix.ask(dom0, Read, 0, "/a\0"), ok(""));
    assert_eq!(fix.ask(dom0, Mkdir, 0, "/a/c\0"), ok("OK|"));
    assert_eq!(fix.ask(dom0, Mkdir, 0, "/a/b\0"), ok("OK|"));
    assert_eq!(fix.ask(dom0, Directory, 0, "/a\0"), ok("b|c|"));
    assert_eq!(fix.ask(dom0, Directory, 0, "/a/b\0"), ok(""));
    assert_eq!(fix.ask(dom0, Rm, 0, "/a/b\0"), ok("OK|"));
    assert_eq!(fix.ask(dom0, Rm, 0, "/a/b\0"), ok("OK|"));
    assert_eq!(fix.ask(dom0, Rm, 0, "/a/b/c\0"), err("ENOENT"));
    assert_eq!(fix.ask(dom0, Read, 0, "/a/b\0"), err("ENOENT"));
    assert_eq!(fix.ask(dom0, Write, 0, "rel\0v"), ok("OK|"));
    assert_eq!(fix.ask(dom0, Read, 0, "/local/domain/0/rel\0"), ok("v"));
}

#[test]
fn what_is_not_well_formed_is_refused() {
    let mut fix = Fixture::new();
    let dom0 = fix.dom0;
    for (message_type, payload) in [
        (Read, ""),
        (Read, "/a"),
        (Read, "/a\0b\0"),
        (Read, "/a/\0"),
        (Read, "@releaseDomain\0"),
        (Write, "/a"),
        (Write, "@releaseDomain\0x"),
        (SetPerms, "/a\0"),
        (SetPerms, "/tool\0x0\0"),
        (Watch, "/a\0"),
        (Watch, "/a\0token\0x\0"),
        (Watch, "@other\0token\0"),
        (Unwatch, "/a\0"),
        (TransactionEnd, "X\0"),
        (Introduce, "3\0100\0"),
        (Introduce, "0\0100\01\0"),
        (Introduce, "3\0-1\01\0"),
        (GetDomainPath, "x\0"),
        (DirectoryPart, "/tool\0x\0"),
    ] {
        assert_eq!(
            fix.ask(dom0, message_type, 0, payload),
            err("EINVAL"),
            "{message_type:?} {payload:?}"
        );
    }
    for unknown in [WatchEvent, Error] {
        assert_eq!(fix.ask(dom0, unknown, 0, "\0"), err("ENOSYS"));
    }
}

#[test]
fn permissions_are_shown_and_set() {
    let mut fix = Fixture::new();
    let (dom0, guest) = (fix.dom0, fix.add_guest(3));
    assert_eq!(fix.ask(guest, GetPerms, 0, "/local/domain/3\0"), ok("n3|"));
    assert_eq!(fix.ask(guest, Write, 0, "a\0v"), ok("OK|"));
    assert_eq!(fix.ask(guest, SetPerms, 0, "a\0n3\0r4\0"), ok("OK|"));
    assert_eq!(
        fix.ask(dom0, GetPerms, 0, "/local/domain/3/a\0"),
        ok("n3|r4|")
    );
    let other = fix.add_guest(4);
    assert_eq!(fix.ask(other, Read, 0, "/local/domain/3/a\0"), ok("v"));
    assert_eq!(
        fix.ask(other, Read, 0, "/local/domain/3/b\0"),
        err("EACCES")
    );
    assert_eq!(
        fix.ask(other, Write, 0, "/local/domain/3/a\0"),
        err("EACCES")
    );
    assert_eq!(fix.ask(guest, SetPerms, 0, "a\0n4\0"), err("EPERM"));
}

#[test]
fn a_watch_is_told_at_once_and_of_all_below() {
    let mut fix = Fixture::new();
    let dom0 = fix.dom0;
    assert_eq!(fix.ask(dom0, Watch, 0, "/a\0tok\0"), ok("OK|"));
    assert_eq!(fix.events(dom0), ["/a|tok|"]);
    assert_eq!(fix.ask(dom0, Watch, 0, "/a\0tok\0"), err("EEXIST"));
    fix.ask(dom0, Write, 0, "/a/b/c\0x").unwrap();
    assert_eq!(fix.events(dom0), ["/a/b/c|tok|"]);
    fix.ask(dom0, SetPerms, 0, "/a/b\0n0\0").unwrap();
    fix.ask(dom0, Mkdir, 0, "/a/d\0").unwrap();
    fix.ask(dom0, Mkdir, 0, "/ab\0").unwrap();
    fix.ask(dom0, Read, 0, "/a/b\0").unwrap();
    fix.ask(dom0, Rm, 0, "/a\0").unwrap();
    assert_eq!(fix.events(dom0), ["/a/b|tok|", "/a/d|tok|", "/a|tok|"]);
    assert_eq!(fix.ask(dom0, Unwatch, 0, "/a\0tok\0"), ok("OK|"));
    assert_eq!(fix.ask(dom0, Unwatch, 0, "/a\0tok\0"), err("ENOENT"));
    fix.ask(dom0, Write, 0, "/a\0x").unwrap();
    assert_eq!(fix.events(dom0), [""; 0]);
}

#[test]
fn a_watch_with_a_depth_is_told_of_so_many_levels() {
    let mut fix = Fixture::new();
    let dom0 = fix.dom0;
    fix.ask(dom0, Watch, 0, "/a\0one\01\0").unwrap();
    fix.ask(dom0, Watch, 0, "/a\0none\00\0").unwrap();
    fix.events(dom0);
    for path in ["/a\0", "/a/b\0", "/a/b/c\0"] {
        fix.ask(dom0, Write, 0, path).unwrap();
    }
    assert_eq!(fix.events(dom0), ["/a|one|", "/a|none|", "/a/b|one|"]);
}

#[test]
fn removing_a_node_tells_watches_of_what_was_below() {
    let mut fix = Fixture::new();
    let dom0 = fix.dom0;
    fix.ask(dom0, Write, 0, "/a/b/c\0x").unwrap();
    for path in ["/a/b/c", "/a/b/none", "/a-x", "/a", "/a0"] {
        fix.ask(dom0, Watch, 0, &format!("{path}\0t\0")).unwrap();
    }
    fix.events(dom0);
    fix.ask(dom0, Rm, 0, "/a/b\0").unwrap();
    assert_eq!(fix.events(dom0), ["/a/b|t|", "/a/b/c|t|"]);
}

#[test]
fn relative_watches_are_told_relative_names() {
    let mut fix = Fixture::new();
    let guest = fix.add_guest(3);
    fix.ask(guest, Watch, 0, "device\0rel\0").unwrap();
    fix.ask(guest, Watch, 0, "/local/domain/3/device\0abs\0")
        .unwrap();
    assert_eq!(
        fix.events(guest),
        ["device|rel|", "/local/domain/3/device|abs|"]
    );
    fix.ask(guest, Write, 0, "device/vbd\0x").unwrap();
    assert_eq!(
        fix.events(guest),
        ["device/vbd|rel|", "/local/domain/3/device/vbd|abs|"]
    );
}

#[test]
fn who_may_not_read_a_node_is_not_told_of_it() {
    let mut fix = Fixture::new();
    let (dom0, one, other) = (fix.dom0, fix.add_guest(3), fix.add_guest(4));
    fix.ask(other, Watch, 0, "/local/domain\0t\0").unwrap();
    fix.ask(other, Watch, 0, "@releaseDomain\0t\0").unwrap();
    fix.events(other);
    fix.ask(one, Write, 0, "secret\0x").unwrap();
    fix.ask(one, Rm, 0, "secret\0").unwrap();
    fix.ask(dom0, Release, 0, "3\0").unwrap();
    assert_eq!(fix.events(other), [""; 0]);
    // It is told when the right is given, and when it is taken away.
    fix.ask(other, Write, 0, "mine\0x").unwrap();
    let one = fix.add_guest(3);
    fix.ask(one, Watch, 0, "/local/domain/4/mine\0t\0").unwrap();
    fix.events(one);
    fix.ask(other, SetPerms, 0, "mine\0n4\0r3\0").unwrap();
    assert_eq!(fix.events(one), ["/local/domain/4/mine|t|"]);
    fix.ask(other, SetPerms, 0, "mine\0n4\0").unwrap();
    assert_eq!(fix.events(one), ["/local/domain/4/mine|t|"]);
    // Who may know of domains is said by permissions as well.
    fix.ask(dom0, SetPerms, 0, "@releaseDomain\0n0\0r4\0")
        .unwrap();
    assert_eq!(fix.ask(dom0, GetPerms, 0, "@releaseDomain\0"), ok("n0|r4|"));
    fix.events(other);
    fix.ask(dom0, Release, 0, "3\0").unwrap();
    assert_eq!(fix.events(other), ["@releaseDomain|t|"]);
}

#[test]
fn a_transaction_is_isolated_and_told_after_its_end() {
    let mut fix = Fixture::new();
    let dom0 = fix.dom0;
    fix.ask(dom0, Write, 0, "/a\01").unwrap();
    fix.ask(dom0, Watch, 0, "/\0t\0").unwrap();
    fix.events(dom0);
    let transaction = fix.begin(dom0);
    fix.ask(dom0, Write, transaction, "/a\02").unwrap();
    fix.ask(dom0, Write, transaction, "/b\03").unwrap();
    assert_eq!(fix.ask(dom0, Read, transaction, "/a\0"), ok("2"));
    assert_eq!(fix.ask(dom0, Read, 0, "/a\0"), ok("1"));
    assert_eq!(fix.events(dom0), [""; 0]);
    assert_eq!(fix.ask(dom0, TransactionEnd, transaction, "T\0"), ok("OK|"));
    assert_eq!(fix.events(dom0), ["/a|t|", "/b|t|"]);
    assert_eq!(fix.ask(dom0, Read, 0, "/a\0"), ok("2"));
    assert_eq!(
        fix.ask(dom0, TransactionEnd, transaction, "T\0"),
        err("ENOENT")
    );
    assert_eq!(fix.ask(dom0, Read, transaction, "/a\0"), err("ENOENT"));
}

#[test]
fn a_transaction_that_is_given_up_leaves_nothing() {
    let mut fix = Fixture::new();
    let dom0 = fix.dom0;
    let transaction = fix.begin(dom0);
    fix.ask(dom0, Write, transaction, "/a\02").unwrap();
    assert_eq!(
        fix.ask(dom0, TransactionStart, transaction, "\0"),
        err("EBUSY")
    );
    assert_eq!(fix.ask(dom0, TransactionEnd, transaction, "F\0"), ok("OK|"));
    assert_eq!(fix.ask(dom0, Read, 0, "/a\0"), err("ENOENT"));
}

#[test]
fn a_conflict_is_told_and_changes_nothing() {
    let mut fix = Fixture::new();
    let dom0 = fix.dom0;
    fix.ask(dom0, Write, 0, "/a\01").unwrap();
    let transaction = fix.begin(dom0);
    fix.ask(dom0, Read, transaction, "/a\0").unwrap();
    fix.ask(dom0, Write, transaction, "/b\02").unwrap();
    fix.ask(dom0, Write, 0, "/a\02").unwrap();
    assert_eq!(
        fix.ask(dom0, TransactionEnd, transaction, "T\0"),
        err("EAGAIN")
    );
    assert_eq!(fix.ask(dom0, Read, 0, "/b\0"), err("ENOENT"));
    assert_eq!(fix.store.counts().conflicts, 1);
}

#[test]
fn large_directories_are_listed_in_parts() {
    let mut fix = Fixture::new();
    let dom0 = fix.dom0;
    let mut names = Vec::new();
    for number in 0..700 {
        let name = format!("child{number:04}");
        fix.ask(dom0, Write, 0, &format!("/d/{name}\0")).unwrap();
        names.push(name);
    }
    assert_eq!(fix.ask(dom0, Directory, 0, "/d\0"), err("E2BIG"));
    let mut list = String::new();
    let mut generation = None;
    while !list.ends_with("||") {
        let request = format!("/d\0{}\0", list.len());
        let part = fix.ask(dom0, DirectoryPart, 0, &request).unwrap();
        let (number, rest) = part.split_once('|').unwrap();
        assert_eq!(*generation.get_or_insert(number.to_owned()), number);
        assert!(!rest.is_empty());
        list.push_str(rest);
    }
    assert_eq!(list, names.join("|") + "||");
    fix.ask(dom0, Rm, 0, "/d/child0000\0").unwrap();
    let part = fix.ask(dom0, DirectoryPart, 0, "/d\00\0").unwrap();
    assert_ne!(part.split_once('|').unwrap().0, generation.unwrap());
    fix.ask(dom0, Mkdir, 0, "/e\0").unwrap();
    let empty = fix.ask(dom0, DirectoryPart, 0, "/e\00\0").unwrap();
    assert!(empty.ends_with("||") && empty.matches('|').count() == 2);
}

#[test]
fn domains_are_introduced_and_released() {
    let mut fix = Fixture::new();
    let dom0 = fix.dom0;
    fix.ask(dom0, Watch, 0, "@introduceDomain\0i\0").unwrap();
    fix.ask(dom0, Watch, 0, "@releaseDomain\0r\0").unwrap();
    assert_eq!(
        fix.events(dom0),
        ["@introduceDomain|i|", "@releaseDomain|r|"]
    );
    assert_eq!(fix.ask(dom0, IsDomainIntroduced, 0, "3\0"), ok("F|"));
    assert_eq!(fix.ask(dom0, IsDomainIntroduced, 0, "0\0"), ok("T|"));
    let guest = fix.add_guest(3);
    assert_eq!(fix.events(dom0), ["@introduceDomain|i|"]);
    assert_eq!(fix.ask(dom0, IsDomainIntroduced, 0, "3\0"), ok("T|"));
    assert!(fix.host.connected.contains_key(&DomId(3)));
    assert_eq!(
        fix.ask(dom0, GetDomainPath, 0, "3\0"),
        ok("/local/domain/3|")
    );
    for request in [Introduce, Release, Resume, SetTarget, Control] {
        assert_eq!(fix.ask(guest, request, 0, "3\0100\01\0"), err("EACCES"));
    }
    fix.host.statuses.insert(DomId(9), Status::Gone);
    assert_eq!(fix.ask(dom0, Introduce, 0, "9\0100\01\0"), err("ENOENT"));
    let unmappable = format!("5\0{}\01\0", 0xbad);
    assert_eq!(fix.ask(dom0, Introduce, 0, &unmappable), err("EINVAL"));
    assert_eq!(fix.ask(dom0, IsDomainIntroduced, 0, "5\0"), ok("F|"));
    assert_eq!(fix.ask(dom0, Release, 0, "3\0"), ok("OK|"));
    assert_eq!(fix.events(dom0), ["@releaseDomain|r|"]);
    assert_eq!(fix.ask(dom0, Release, 0, "3\0"), err("ENOENT"));
    assert!(fix.host.connected.is_empty() && fix.store.client(guest).is_none());
}

#[test]
fn introducing_again_begins_anew() {
    let mut fix = Fixture::new();
    let (dom0, guest) = (fix.dom0, fix.add_guest(3));
    fix.ask(guest, Watch, 0, "a\0t\0").unwrap();
    fix.begin(guest);
    assert_eq!(fix.ask(dom0, Introduce, 0, "3\0200\07\0"), ok("OK|"));
    let client = fix.store.client(guest).unwrap();
    assert_eq!((client.nr_watches(), client.nr_transactions()), (0, 0));
    assert_eq!(fix.host.connected[&DomId(3)].0, 200);
}

#[test]
fn a_domain_that_shuts_down_is_told_of_once_until_it_is_resumed() {
    let mut fix = Fixture::new();
    let dom0 = fix.dom0;
    fix.add_guest(3);
    fix.ask(dom0, Watch, 0, "@releaseDomain\0r\0").unwrap();
    fix.events(dom0);
    let look = |fix: &mut Fixture| {
        fix.store.look_at_domains(&mut fix.host);
        fix.events(dom0).len()
    };
    assert_eq!(look(&mut fix), 0);
    fix.host.statuses.insert(DomId(3), Status::ShutDown);
    assert_eq!((look(&mut fix), look(&mut fix)), (1, 0));
    fix.ask(dom0, Resume, 0, "3\0").unwrap();
    assert_eq!((look(&mut fix), look(&mut fix)), (1, 0));
    assert!(fix.store.is_introduced(DomId(3)));
    fix.host.statuses.insert(DomId(3), Status::Gone);
    assert_eq!((look(&mut fix), look(&mut fix)), (1, 0));
    assert!(!fix.store.is_introduced(DomId(3)));
    assert_eq!(fix.ask(dom0, GetPerms, 0, "/local/domain/3\0"), ok("n0|"));
}

#[test]
fn a_target_lends_its_rights_while_it_is_there() {
    let mut fix = Fixture::new();
    let (dom0, _, model) = (fix.dom0, fix.add_guest(3), fix.add_guest(4));
    let read = |fix: &mut Fixture| fix.ask(model, Read, 0, "/local/domain/3\0");
    assert_eq!(read(&mut fix), err("EACCES"));
    assert_eq!(fix.ask(dom0, SetTarget, 0, "4\03\0"), ok("OK|"));
    assert_eq!(read(&mut fix), ok(""));
    assert_eq!(fix.ask(dom0, SetTarget, 0, "4\00\0"), err("EINVAL"));
    fix.ask(dom0, Release, 0, "3\0").unwrap();
    assert_eq!(read(&mut fix), err("EACCES"));
}

#[test]
fn watches_are_reset_with_what_waits() {
    let mut fix = Fixture::new();
    let (dom0, guest) = (fix.dom0, fix.add_guest(3));
    fix.ask(guest, Watch, 0, "a\0t\0").unwrap();
    let transaction = fix.begin(guest);
    fix.ask(dom0, Write, 0, "/local/domain/3/a\0").unwrap();
    fix.events(guest);
    fix.ask(dom0, Write, 0, "/local/domain/3/a\0").unwrap();
    assert_eq!(fix.ask(guest, ResetWatches, 0, "\0"), ok("OK|"));
    fix.ask(dom0, Write, 0, "/local/domain/3/a\0").unwrap();
    assert_eq!(
        fix.ask(guest, TransactionEnd, transaction, "T\0"),
        err("ENOENT")
    );
    assert_eq!(fix.store.find_damage(), None);
}

#[test]
fn who_may_only_look_changes_nothing() {
    let mut fix = Fixture::new();
    let looker = fix.store.connect_socket(2, super::client::Mode::ReadOnly);
    assert_eq!(fix.ask(looker, Read, 0, "/tool\0"), ok(""));
    for (request, payload) in [
        (Write, "/a\0"),
        (Mkdir, "/a\0"),
        (Rm, "/tool\0"),
        (SetPerms, "/tool\0n0\0"),
        (SetPerms, "@releaseDomain\0b0\0"),
        (Introduce, "3\01\01\0"),
        (Control, "help\0"),
    ] {
        assert_eq!(fix.ask(looker, request, 0, payload), err("EROFS"));
    }
}

#[test]
fn watches_and_transactions_have_quotas() {
    let mut fix = Fixture::new();
    let guest = fix.add_guest(3);
    for number in 0..128 {
        let watch = format!("{number}\0t\0");
        assert_eq!(fix.ask(guest, Watch, 0, &watch), ok("OK|"));
    }
    assert_eq!(fix.ask(guest, Watch, 0, "more\0t\0"), err("E2BIG"));
    for _ in 0..10 {
        fix.begin(guest);
    }
    assert_eq!(fix.ask(guest, TransactionStart, 0, "\0"), err("ENOSPC"));
    let long = "x".repeat(2049);
    let absolute = format!("/{}\0", "x".repeat(2049));
    assert_eq!(fix.ask(guest, Read, 0, &format!("{long}\0")), err("EINVAL"));
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
    let help = control("help\0").unwrap();
    for command in ["check", "log", "memreport", "print", "quota"] {
        assert!(help.contains(command), "{help}");
        assert_ne!(control(&format!("{command}\0")), err("ENOSYS"));
    }
    assert_eq!(control("check\0"), ok("OK\n|"));
    assert_eq!(control("nonsense\0"), err("ENOSYS"));
    assert!(control("quota\0").unwrap().contains("nodes"));
    assert_eq!(control("quota\0set\0nodes\02\0"), ok("OK\n|"));
    assert_eq!(control("quota\0set\0node\02\0"), err("EINVAL"));
    assert!(control("quota\03\0").unwrap().contains("1 of         2"));
    let guest = ClientId::Domain(DomId(3));
    assert_eq!(fix.ask(guest, Write, 0, "a\0"), ok("OK|"));
    assert_eq!(fix.ask(guest, Write, 0, "b\0"), err("ENOSPC"));
}

#[test]
fn a_restored_store_knows_what_the_former_knew() {
    let mut fix = Fixture::new();
    let (dom0, guest) = (fix.dom0, fix.add_guest(3));
    fix.add_guest(4);
    fix.add_guest(5);
    fix.ask(guest, Write, 0, "a/b\0v").unwrap();
    fix.ask(guest, Write, 0, "c\0v").unwrap();
    fix.ask(guest, Rm, 0, "c\0").unwrap();
    fix.ask(guest, SetPerms, 0, "a\0n3\0r4\0").unwrap();
    fix.ask(guest, Watch, 0, "a\0t\0").unwrap();
    fix.ask(guest, Watch, 0, "c\0t\01\0").unwrap();
    fix.ask(guest, Watch, 0, "d\0t\0").unwrap();
    fix.ask(guest, Unwatch, 0, "d\0t\0").unwrap();
    fix.ask(dom0, SetPerms, 0, "@releaseDomain\0n0\0r4\0")
        .unwrap();
    fix.ask(dom0, SetTarget, 0, "4\03\0").unwrap();
    fix.ask(dom0, Release, 0, "5\0").unwrap();
    let transaction = fix.begin(guest);
    fix.ask(guest, Write, transaction, "x/y\0v").unwrap();
    let (ended, given_up) = (fix.begin(guest), fix.begin(guest));
    fix.ask(guest, Write, ended, "e/f\0v").unwrap();
    fix.ask(guest, Write, ended, "e/g\0v").unwrap();
    fix.ask(guest, Rm, ended, "e\0").unwrap();
    fix.ask(guest, Write, ended, "e/h\0v").unwrap();
    fix.ask(guest, TransactionEnd, ended, "T\0").unwrap();
    fix.ask(guest, TransactionEnd, given_up, "F\0").unwrap();

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
        assert_eq!(again.ask(guest, Read, transaction, "a/b\0"), ok("v"));
        assert_eq!(again.ask(guest, Write, transaction, "x/y\0v"), ok("OK|"));
        assert_eq!(
            again.ask(guest, TransactionEnd, transaction, "T\0"),
            err("EAGAIN")
        );
        assert_eq!(again.ask(guest, Read, 0, "x/y\0"), err("ENOENT"));
    }
}
