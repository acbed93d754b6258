//! Hands the linker the image's layout. Only for the bare-metal target: on the host the crate is an
//! ordinary library and its binary an ordinary program.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let manifest = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let script = format!("{manifest}/../boot/linker.ld");
    println!("cargo::rerun-if-changed={script}");
    // The addresses are final: nothing relocates the image, so it is no position-independent executable
    // to the linker, although its code is.
    for argument in [
        "--no-pie",
        "-static",
        "-nostdlib",
        "-zmax-page-size=4096",
        "--build-id=sha1",
    ] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    println!("cargo::rustc-link-arg-bins=-T{script}");
}
