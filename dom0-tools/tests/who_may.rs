//! Who calls `xm` without being root is told so, whether anybody answers or not.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};
use std::{env, fs};

/// Nobody in particular.
const OTHER: u32 = 65_534;

#[test]
fn others_than_root_are_told_that_they_are() {
    // They can read neither this directory nor what is below it, perhaps.
    let directory = env::temp_dir().join(format!("xm-who-may-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    let xm = directory.join("xm");
    fs::copy(env!("CARGO_BIN_EXE_xm"), &xm).unwrap();
    let run = |uid: Option<u32>| -> Output {
        let mut command = Command::new(&xm);
        command
            .arg("list")
            .env("XEND_SOCKET", directory.join("nobody"))
            .current_dir("/");
        if let Some(uid) = uid {
            command.uid(uid).gid(uid);
        }
        command.output().unwrap()
    };
    let is_root = nix::unistd::geteuid().is_root();
    let other = run(is_root.then_some(OTHER));
    assert_eq!(
        String::from_utf8(other.stderr).unwrap(),
        "Error: Most commands need root access. Please try again as root.\n"
    );
    assert_eq!((other.status.code(), &*other.stdout), (Some(1), &b""[..]));
    if is_root {
        let root = run(None);
        assert_eq!(
            String::from_utf8(root.stderr).unwrap(),
            "Error: Unable to connect to xend: No such file or directory. Is xend running?\n"
        );
    } else {
        eprintln!("SKIPPED: what root is told, for this is not root");
    }
    fs::remove_dir_all(&directory).unwrap();
}
