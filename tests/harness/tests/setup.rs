//! `boot/setup` where packages are missing and nobody may install them: one message that lists them and says
//! the exact command, and status 1.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the script itself needs; everything else is missing on the path that it gets.
const TOOLS: [&str; 5] = ["bash", "env", "dirname", "id", "mkdir"];
/// The user that owns nothing.
const NOBODY: &str = "65534";

fn find(tool: &str) -> PathBuf {
    let path = std::env::var("PATH").unwrap();
    let found = path
        .split(':')
        .map(|directory| Path::new(directory).join(tool))
        .find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{tool} is not on the path"))
}

fn script(file: &Path, text: &str) {
    fs::write(file, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(file, Permissions::from_mode(0o755)).unwrap();
}

/// A tree with `boot/setup` and a path on which there is little, a toolchain that needs nothing, and an
/// apt-get that must not be called.
fn fresh_machine(top: &Path) {
    let bin = top.join("bin");
    fs::create_dir_all(top.join("boot")).unwrap();
    fs::create_dir_all(&bin).unwrap();
    let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../boot/setup");
    fs::copy(setup, top.join("boot/setup")).unwrap();
    for tool in TOOLS {
        symlink(find(tool), bin.join(tool)).unwrap();
    }
    fs::write(top.join("libcore-0.rlib"), "").unwrap();
    script(&bin.join("cargo"), "exit 0");
    script(&bin.join("rustc"), &format!("echo {}", top.display()));
    script(&bin.join("apt-get"), "echo apt-get was called; exit 0");
    for directory in [top, &bin, &top.join("boot")] {
        fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
    }
}

fn run(top: &Path) -> (Option<i32>, String) {
    let mut command = if fs::metadata("/proc/self").unwrap().uid() == 0 {
        let mut command = Command::new(find("setpriv"));
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--"]);
        command.arg(top.join("boot/setup"));
        command
    } else {
        Command::new(top.join("boot/setup"))
    };
    let output = command
        .env_clear()
        .env("PATH", top.join("bin"))
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn without_root_and_sudo_the_missing_packages_and_the_command_are_said() {
    let top = std::env::temp_dir().join(format!("paravane-setup-{}", std::process::id()));
    fresh_machine(&top);
    let (status, text) = run(&top);
    // One whose sudo wants a password that nobody is there to type is no better off.
    script(&top.join("bin/sudo"), "exit 1");
    let with_sudo = run(&top);
    fs::remove_dir_all(&top).unwrap();

    assert_eq!(status, Some(1), "{text}");
    assert_eq!(with_sudo, (status, text.clone()));
    let packages = text
        .lines()
        .next()
        .and_then(|line| line.split("these packages are missing: ").nth(1))
        .and_then(|rest| rest.split('.').next())
        .unwrap_or_else(|| panic!("no list: {text}"));
    for package in [
        "qemu-system-x86",
        "grub-common",
        "xorriso",
        "mtools",
        "binutils",
        "gcc",
    ] {
        assert!(
            packages.split(' ').any(|word| word == package),
            "{package}: {text}"
        );
    }
    let command =
        format!("    apt-get update && apt-get install --yes --no-install-recommends {packages}");
    assert_eq!(text.lines().nth(1), Some(command.as_str()), "{text}");
    assert_eq!(text.lines().count(), 2, "{text}");
}
