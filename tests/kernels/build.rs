//! Hands the linker the layout of a paravirtualized kernel. On the host the crate is the catalogue only.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let manifest = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let script = format!("{manifest}/kernel.ld");
    println!("cargo::rerun-if-changed={script}");
    for argument in [
        "--no-pie",
        "-static",
        "-nostdlib",
        "-zmax-page-size=4096",
        "--no-warn-rwx-segments",
    ] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    println!("cargo::rustc-link-arg-bins=-T{script}");
}
