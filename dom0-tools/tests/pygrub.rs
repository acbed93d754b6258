//! The process that reads guests' disks has no rights while it does.
#![cfg(feature = "domains")]

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use std::fs::{self, File};
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A user and a group that nobody has.
const NOBODY_ELSE: &str = "65522";

fn status_of(process: u32) -> impl Fn(&str) -> String {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    move |name| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}:")));
        line.unwrap()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    }
}

#[test]
fn it_reads_a_disk_and_can_do_nothing_else() {
    let place = std::env::temp_dir().join(format!("pygrub-process-{}", std::process::id()));
    fs::create_dir_all(place.join("root")).unwrap();
    // More than a pipe takes: it waits for who listens.
    fs::write(place.join("root/kernel"), vec![7; 3 << 20]).unwrap();
    let made = Command::new("mke2fs")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .args(["-q", "-t", "ext4", "-d"])
        .args([place.join("root"), place.join("disk")])
        .arg("8M")
        .stdout(Stdio::null())
        .status();
    assert!(made.expect("mke2fs, of the package e2fsprogs").success());
    let word = r#"{"only_menu":false,"choice":"Default","kernel":"/kernel","ramdisk":"","most_kernel_bytes":268435456,"most_ramdisk_bytes":0}"#;
    // Somebody leaves a file open for it.
    let left = File::open(&place).unwrap();
    fcntl(&left, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let mut process = Command::new(env!("CARGO_BIN_EXE_pygrub"))
        .arg(word)
        .stdin(File::open(place.join("disk")).unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(left);
    let mut pipe = process.stdout.take().unwrap();
    let mut head = [0];
    // When it tells of the kernel, it has read the disk.
    pipe.read_exact(&mut head).unwrap();
    let began = Instant::now();
    let mut status = status_of(process.id());
    while status("Seccomp") != "2" && began.elapsed() < Duration::from_secs(10) {
        status = status_of(process.id());
    }
    assert_eq!(head, *b"a");
    assert_eq!(
        (status("Seccomp"), status("NoNewPrivs")),
        ("2".into(), "1".into())
    );
    if nix::unistd::geteuid().is_root() {
        for name in ["Uid", "Gid"] {
            assert_eq!(status(name), [NOBODY_ELSE; 4].join(" "));
        }
        assert_eq!(status("Groups"), "");
        let files = fs::read_dir(format!("/proc/{}/fd", process.id())).unwrap();
        for file in files.flatten() {
            let open = fs::read_link(file.path()).unwrap();
            assert_ne!(open, place, "it has a file that was left open");
        }
        for name in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(status(name), "0000000000000000", "{name}");
        }
    }
    fs::remove_dir_all(&place).unwrap();
    let mut said = Vec::new();
    pipe.read_to_end(&mut said).unwrap();
    assert!(said.len() > 3 << 20, "{}", said.len());
    assert!(process.wait().unwrap().success());
}

#[test]
fn who_runs_it_by_hand_is_told_whom_it_is_for() {
    let output = Command::new(env!("CARGO_BIN_EXE_pygrub")).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        told,
        "pygrub: this is run by xend and xm, for bootloader = 'pygrub'\n"
    );
}
