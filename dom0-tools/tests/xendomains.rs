//! `xendomains`, with an `xm` that only notes what it is asked and keeps a list of names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Knows `create`, `list`, `shutdown` and `restore`; a name that begins with `bad` is never started, and `save` fails but
/// for the guest `saved`.
const XM: &str = r#"#!/bin/sh
cd "$PLACE"
case "$*" in
*--dryrun*) printf '(vm\n    (name %s)\n    (memory 64)\n)\n' "$(basename "$5")"; exit ;;
"list -l")
    printf '(domain\n    (domid 0)\n    (name Domain-0)\n)\n'
    n=0
    for guest in $(cat running); do
        n=$((n + 1))
        printf '(domain\n    (domid %s)\n    (name %s)\n    (device (vif (name no)))\n)\n' $n "$guest"
    done
    exit
    ;;
list) [ ! -e no-xend ]; exit ;;
esac
echo "xm $*" >>asked
case "$1 $*" in
create*bad*) exit 1 ;;
create*) basename "$4" >>running ;;
restore*) basename "$2" >>running ;;
"save save saved "*) sed -i /saved/d running; printf 'LinuxGuestRecord...' >"$3" ;;
save* | migrate*) printf half >"$3"; exit 1 ;;
shutdown*--all*) : >running ;;
shutdown*) sed -i "/^$2\$/d" running ;;
esac
"#;

struct Place(PathBuf);

impl Place {
    fn new(test: &str, settings: &str) -> Self {
        let place = std::env::temp_dir().join(format!("xendomains-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&place);
        for directory in ["auto", "save", "lock", "bin", "etc"] {
            fs::create_dir_all(place.join(directory)).unwrap();
        }
        fs::write(place.join("running"), "").unwrap();
        let usual = format!(
            "XENDOMAINS_AUTO={0}/auto\nXENDOMAINS_SAVE={0}/save\nXENDOMAINS_CREATE_USLEEP=0\n{settings}\n",
            place.display()
        );
        fs::write(place.join("etc/xendomains"), usual).unwrap();
        // The script with places of its own.
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("xendomains");
        let script = fs::read_to_string(script).unwrap();
        let at = |name: &str| place.join(name).display().to_string();
        let script = script
            .replace("/etc/default", &at("etc"))
            .replace("/etc/sysconfig", &at("none"))
            .replace("/var/lock", &at("lock"));
        fs::write(place.join("xendomains"), script).unwrap();
        fs::write(place.join("bin/xm"), XM).unwrap();
        let made = Command::new("chmod")
            .arg("+x")
            .arg(place.join("bin/xm"))
            .status();
        assert!(made.unwrap().success());
        Self(place)
    }

    fn file(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    /// Its lines, and its status.
    fn run(&self, word: &str) -> (Vec<String>, i32) {
        let path = std::env::var("PATH").unwrap();
        let output = Command::new("sh")
            .arg(self.0.join("xendomains"))
            .arg(word)
            .env("PLACE", &self.0)
            .env("PATH", format!("{}:{path}", self.0.join("bin").display()))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let lines = text.lines().map(str::to_owned).collect();
        (lines, output.status.code().unwrap())
    }

    /// What was asked of `xm`, without the place's own name.
    fn asked(&self) -> Vec<String> {
        let text = fs::read_to_string(self.0.join("asked")).unwrap_or_default();
        let _ = fs::remove_file(self.0.join("asked"));
        let place = format!("{}/", self.0.display());
        text.lines().map(|line| line.replace(&place, "")).collect()
    }

    fn running(&self) -> String {
        fs::read_to_string(self.0.join("running")).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn guests_are_started_in_the_order_of_their_files() {
    let place = Place::new("started", "");
    for name in ["b", "a", "bad", "c"] {
        place.file(&format!("auto/{name}"), "");
    }
    place.file("running", "c\n");
    assert_eq!(place.run("status").1, 3);
    let (lines, status) = place.run("start");
    assert_eq!(
        lines,
        ["a started", "b started", "bad not started", "c (skip)"]
    );
    assert_eq!(status, 1);
    assert_eq!(
        place.asked(),
        [
            "xm create --quiet --defconfig auto/a",
            "xm create --quiet --defconfig auto/b",
            "xm create --quiet --defconfig auto/bad"
        ]
    );
    assert_eq!(place.running(), "c\na\nb\n");
    assert_eq!(place.run("status").1, 0);
    assert_eq!(place.run("begin").1, 2);
}

#[test]
fn who_was_saved_is_restored_and_not_started() {
    let place = Place::new("restored", "");
    place.file("auto/saved", "");
    place.file("save/saved", "LinuxGuestRecord and more");
    place.file("save/other", "something else");
    let (lines, status) = place.run("start");
    assert_eq!(
        (lines, status),
        (vec!["saved restored".into(), "saved (skip)".into()], 0)
    );
    assert_eq!(place.asked(), ["xm restore save/saved"]);
    assert!(!place.0.join("save/saved").exists() && place.0.join("save/other").exists());
}

#[test]
fn guests_are_saved_or_shut_down_and_others_at_the_end() {
    let place = Place::new("ended", "XENDOMAINS_SYSRQ='s u'\nXENDOMAINS_USLEEP=1000");
    place.file("auto/a", "");
    place.file("auto/gone", "");
    place.file("auto/saved", "");
    place.file("running", "a\nsaved\nother\n");
    let (lines, status) = place.run("stop");
    assert_eq!(lines, ["a shut down", "saved saved", "all shut down"]);
    assert_eq!(status, 0);
    assert_eq!(
        place.asked(),
        [
            "xm sysrq a s",
            "xm sysrq a u",
            "xm save a save/a",
            "xm shutdown a --wait",
            "xm sysrq saved s",
            "xm sysrq saved u",
            "xm save saved save/saved",
            "xm shutdown --all --wait"
        ]
    );
    assert!(!place.0.join("save/a").exists());
    assert_eq!(place.running(), "");
}

#[test]
fn all_are_ended_if_that_is_wanted_and_nobody_else_has_to_be() {
    let place = Place::new(
        "all",
        "XENDOMAINS_AUTO_ONLY=false\nXENDOMAINS_SAVE=\nXENDOMAINS_MIGRATE='there --live'",
    );
    place.file("running", "x\ny\n");
    assert_eq!(place.run("stop").0, ["x shut down", "y shut down"]);
    assert_eq!(
        place.asked(),
        [
            "xm migrate x there --live",
            "xm shutdown x --wait",
            "xm migrate y there --live",
            "xm shutdown y --wait"
        ]
    );
}

#[test]
fn without_settings_or_xend_nothing_is_done() {
    let place = Place::new("nothing", "");
    place.file("auto/a", "");
    place.file("no-xend", "");
    assert_eq!(place.run("start").1, 1);
    fs::remove_file(place.0.join("etc/xendomains")).unwrap();
    assert_eq!(place.run("start").1, 6);
    assert_eq!(place.asked(), [""; 0]);
}
