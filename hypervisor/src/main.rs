//! The hypervisor's image. Everything is in the library; here only the entry is named.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

#[cfg(target_os = "none")]
use hypervisor as _;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("paravane is a bare-metal image: build it with `make`, start it with `make run`");
    std::process::exit(1);
}
