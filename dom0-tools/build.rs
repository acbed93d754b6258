//! How the programs of the first domain are linked.

use std::env;

/// What is started anew for every command, by whom it serves. At an address of their own they have nothing to relocate
/// then, and an emulator that keeps translated code finds it again. The daemons, which others talk to, lie anywhere.
const COMMANDS: [(&str, &str); 6] = [
    ("dom0-tools", "xm"),
    ("dom0-tools", "pygrub"),
    ("dom0-tools", "xenstore"),
    ("dom0-tools", "xenconsole"),
    ("evaluator", "xm-evaluate"),
    ("top", "xentop"),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Only where `boot/build-tools` asks for static programs, and with its library: others are static as they come, and
    // have start files of their own for it.
    let target = |what: &str| env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    let is_known = target("OS") == "linux" && target("ENV") == "gnu" && target("ARCH") == "x86_64";
    let features = target("FEATURE");
    if !is_known || !features.split(',').any(|feature| feature == "crt-static") {
        return;
    }
    // All these packages have this script.
    let package = env::var("CARGO_PKG_NAME").unwrap_or_default();
    for (_, command) in COMMANDS.iter().filter(|(of, _)| *of == package) {
        for option in ["-static", "-no-pie"] {
            println!("cargo::rustc-link-arg-bin={command}={option}");
        }
    }
}
