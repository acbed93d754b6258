//! The kernel that most cases run in.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
kernels::notes!();

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("a paravirtualized kernel does not run here: make test-reference boots it");
    std::process::exit(1);
}
