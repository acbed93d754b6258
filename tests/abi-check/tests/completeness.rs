//! Nothing of `guest-abi` stays outside the table.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use guest_abi::table::{CName, Row};

/// Files that may define layouts by hand: the macros, the newtypes (checked by their users) and bytes of no
/// layout.
const OUTSIDE: [&str; 3] = ["define.rs", "ids.rs", "payload.rs"];

fn source_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-abi/src")
}

fn source_files(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("guest-abi has a source directory") {
        let path = entry.expect("directory entries can be read").path();
        if path.is_dir() {
            source_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Relative path and text of every source file.
fn sources() -> Vec<(String, String)> {
    let root = source_directory();
    let mut files = Vec::new();
    source_files(&root, &mut files);
    files
        .iter()
        .map(|path| {
            let name = path.strip_prefix(&root).expect("found below the root");
            let text = std::fs::read_to_string(path).expect("source files are text");
            (name.to_string_lossy().into_owned(), text)
        })
        .collect()
}

#[test]
fn every_module_with_definitions_is_in_the_list() {
    let listed: BTreeSet<&str> = guest_abi::INTERFACES
        .iter()
        .map(|interface| interface.module)
        .collect();
    assert_eq!(
        listed.len(),
        guest_abi::INTERFACES.len(),
        "a module is listed twice"
    );
    let mut defined = BTreeSet::new();
    for (name, text) in sources() {
        if text.lines().any(|line| line == "abi! {") {
            let path = name.trim_end_matches(".rs").trim_end_matches("/mod");
            defined.insert(format!("guest_abi::{}", path.replace('/', "::")));
        }
    }
    let listed: BTreeSet<String> = listed.into_iter().map(str::to_owned).collect();
    assert_eq!(defined, listed);
}

#[test]
fn no_layout_is_defined_outside_the_macros() {
    for (name, text) in sources() {
        if !OUTSIDE.contains(&name.as_str()) {
            assert!(
                !text.contains("#[repr("),
                "{name} defines a layout outside `abi!`"
            );
        }
    }
}

#[test]
fn no_number_is_defined_outside_the_macros() {
    for (name, text) in sources() {
        if OUTSIDE.contains(&name.as_str()) || name == "lib.rs" {
            continue;
        }
        for line in text.lines() {
            // Definitions inside `abi!` are indented twice; free constants are not.
            assert!(
                !line.starts_with("pub const ") || line.contains(" fn "),
                "{name} defines a constant outside `abi!`: {line}"
            );
        }
    }
}

/// What the headers lack: name and reason. Shown by `cargo test -p abi-check -- --no-capture absent`.
fn absent() -> Vec<(String, &'static str)> {
    let mut absent = Vec::new();
    for interface in guest_abi::INTERFACES {
        let mut note = |name: String, c: CName| {
            if let CName::Absent(reason) = c {
                absent.push((format!("{}::{name}", interface.module), reason));
            }
        };
        for row in interface.rows.iter().copied().flatten() {
            match row {
                Row::Number(number) => note(number.name.to_owned(), number.c),
                Row::Text(text) => note(text.name.to_owned(), text.c),
                Row::Layout(layout) => {
                    note(layout.name.to_owned(), layout.c);
                    for field in layout.fields {
                        note(format!("{}.{}", layout.name, field.name), field.c);
                    }
                }
            }
        }
    }
    absent
}

#[test]
fn every_item_that_is_absent_from_the_headers_says_why() {
    for (name, reason) in absent() {
        println!("{name}: {reason}");
        assert!(
            reason.split_whitespace().count() > 1,
            "{name} says nothing about why the headers lack it"
        );
    }
}
