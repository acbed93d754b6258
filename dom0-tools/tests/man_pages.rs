//! The manual pages as they are written for the packages.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Requests that pages are made of. A line that begins with a point and has none of them would be a word of the text.
const REQUESTS: [&str; 14] = [
    "B", "BR", "I", "IP", "PP", "RE", "RS", "SH", "TH", "TP", "br", "fi", "ie", "nf",
];

/// What `clap_mangen` writes before each page for quotation marks.
const PREAMBLE: [&str; 2] = [".ie \\n(.g .ds Aq \\(aq", ".el .ds Aq '"];

fn check_structure(name: &str, page: &str) {
    let lines = page.lines().filter(|line| !PREAMBLE.contains(line));
    for line in lines {
        if let Some(request) = line.strip_prefix('.') {
            let request = request.split(' ').next().unwrap_or_default();
            assert!(REQUESTS.contains(&request), "{name}: {line}");
        }
        assert!(!line.starts_with('\''), "{name}: {line}");
    }
    assert_eq!(page.matches("\n.SH NAME\n").count(), 1, "{name}");
    assert_eq!(
        page.matches("\n.nf\n").count(),
        page.matches("\n.fi\n").count()
    );
}

/// What the formatter of `man` warns of; `None` where there is none.
fn warnings(path: &Path) -> Option<String> {
    let groff = Command::new("groff")
        .args(["-mandoc", "-ww", "-z", "-Tutf8"])
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    Some(String::from_utf8_lossy(&groff.stderr).into_owned())
}

#[test]
fn every_page_is_written_and_can_be_read() {
    let directory = std::env::temp_dir().join(format!("man-pages-{}", std::process::id()));
    let written = Command::new(env!("CARGO_BIN_EXE_man-pages"))
        .arg(&directory)
        .status()
        .unwrap();
    assert!(written.success());
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        check_structure(&name, &fs::read_to_string(&path).unwrap());
        match warnings(&path) {
            Some(warnings) => assert_eq!(warnings, "", "{name}"),
            None => eprintln!("SKIPPED: {name} is not formatted: there is no groff"),
        }
        names.insert(name);
    }
    fs::remove_dir_all(&directory).unwrap();
    // Those that the help of xm names, and some of the others.
    for name in [
        "xm.1",
        "xmdomain.cfg.5",
        "xend.8",
        "xentop.1",
        "xenstore-read.1",
    ] {
        assert!(names.contains(name), "{name}: {names:?}");
    }
}
