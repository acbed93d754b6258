//! How the programs of the first domain are linked.

use std::env;

/// What is started anew for every command, by whom it serves. At an address of their own they have nothing to relocate
/// then, and an emulator that keeps translated code finds it again. The daemons, which others talk to, lie anywhere.
const COMMANDS: [&str; 4] = ["xm", "xm-evaluate", "xenstore", "xenconsole"];

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
    for command in COMMANDS {
        // A program that is not built here, for its features, is none to cargo.
        if command == "xm-evaluate" && env::var_os("CARGO_FEATURE_EVALUATOR").is_none() {
            continue;
        }
        for option in ["-static", "-no-pie"] {
            println!("cargo::rustc-link-arg-bin={command}={option}");
        }
    }
}
