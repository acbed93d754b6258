//! The top of the repository has what it is to have, and nothing else.

use std::io::Write;
use std::path::Path;
use std::process::Command;

const TOP_LEVEL: [&str; 16] = [
    ".cargo",
    ".ci",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "Makefile",
    "README.md",
    "boot",
    "docs",
    "dom0-tools",
    "guest-abi",
    "hypervisor",
    "rust-toolchain.toml",
    "tests",
];

/// Says that a test can't do its work, straight to the terminal: what a passing test prints is hidden. It is
/// counted by this line.
fn skip(why: &str) {
    let note = format!("\n*** SKIPPED: the top level is not looked at: {why}\n");
    let _ = std::io::stderr().write_all(note.as_bytes());
}

#[test]
fn the_top_level_is_fixed() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let listed = Command::new("git")
        .args(["ls-files"])
        .current_dir(top)
        .output();
    let Ok(listed) = listed else {
        return skip("there is no git here");
    };
    if !listed.status.success() {
        return skip("this is no clone");
    }
    let text = String::from_utf8(listed.stdout).unwrap();
    let mut found: Vec<_> = text
        .lines()
        .filter_map(|file| file.split('/').next())
        .collect();
    found.dedup();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found, TOP_LEVEL);
}
