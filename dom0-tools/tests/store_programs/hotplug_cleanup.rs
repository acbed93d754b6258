//! What the script `xen-hotplug-cleanup` removes of a device, by a real store.

use crate::daemon::Daemon;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

/// A guest with two disks, one of which the backend has complained of.
const GUEST: &str = "write /local/domain/3/vm /vm/u \
    /local/domain/0/backend/vbd/3/51712/frontend /local/domain/3/device/vbd/51712 \
    /local/domain/0/error/backend/vbd/3/51712/error x /local/domain/3/device/vbd/51712/state 6 \
    /local/domain/3/error/device/vbd/51712/error x /vm/u/device/vbd/51712/frontend y \
    /local/domain/0/backend/vbd/3/51728/frontend /local/domain/3/device/vbd/51728 \
    /local/domain/3/device/vbd/51728/state 4";
/// Of its other disk.
const OTHER: &str =
    "/local/domain/0/backend/vbd/3/51728/frontend = \"/local/domain/3/device/vbd/51728\"";

fn clean_up(daemon: &Daemon, path: &str, words: &[&str]) -> Output {
    for tool in ["read", "write", "exists", "rm"] {
        let link = daemon.directory.join(format!("xenstore-{tool}"));
        let _ = symlink(env!("CARGO_BIN_EXE_xenstore"), link);
    }
    let system = std::env::var("PATH").unwrap_or_default();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/xen-hotplug-cleanup");
    Command::new(script)
        .args(words)
        .env("PATH", format!("{}:{system}", daemon.directory.display()))
        .env("XENSTORED_PATH", daemon.directory.join("socket"))
        .env("XENBUS_PATH", path)
        .envs(words.iter().filter_map(|word| word.split_once('=')))
        .output()
        .unwrap()
}

#[test]
fn all_of_a_device_is_removed_and_nothing_else() {
    for path in ["backend/vbd/3/51712", "/local/domain/0/backend/vbd/3/51712"] {
        let daemon = Daemon::start();
        daemon.run(GUEST);
        for _ in 0..2 {
            let ended = clean_up(&daemon, path, &["remove"]);
            assert!(ended.status.success(), "{ended:?}");
            assert_eq!(ended.stderr, b"", "{ended:?}");
            let left = daemon.run("ls -f");
            assert!(!left.contains("51712"), "{left}");
            assert!(left.contains(OTHER), "{left}");
            assert!(
                left.contains("/local/domain/3/device/vbd/51728/state = \"4\""),
                "{left}"
            );
        }
    }
}

#[test]
fn what_is_no_device_s_directory_is_refused() {
    let daemon = Daemon::start();
    daemon.run(GUEST);
    let before = daemon.run("ls -f");
    for path in [
        "backend/vbd/3",
        "/",
        "backend/vbd/3/51712/x",
        "backend/vbd/3/",
        "/vm/u/device/vbd",
    ] {
        let ended = clean_up(&daemon, path, &[]);
        assert_eq!(ended.status.code(), Some(1), "{path}");
        let said = String::from_utf8_lossy(&ended.stderr);
        let told =
            format!("xen-hotplug-cleanup: XENBUS_PATH={path}: write backend/CLASS/DOMAIN/DEVICE\n");
        assert_eq!(said, told);
    }
    assert_eq!(
        clean_up(&daemon, "backend/vbd/3/51712", &["add"])
            .status
            .code(),
        Some(2)
    );
    assert_eq!(daemon.run("ls -f"), before);
    // xend does it, and says so to those whom udev calls.
    daemon.run("write libxl/disable_udev 1");
    let before = daemon.run("ls -f");
    let ended = clean_up(&daemon, "backend/vbd/3/51712", &["UDEV_CALL=1", "remove"]);
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(daemon.run("ls -f"), before);
}
