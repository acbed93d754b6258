//! The kernel that takes its list of frames, and its RAM disk, outside of the initial mapping.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
kernels::notes!(
    // 15: where the list is wanted, root slot 1.
    "note 15, .quad 0x8000000000",
    // 16: the RAM disk need not be mapped.
    "note 16, .long 1",
);

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("a paravirtualized kernel does not run here: make test-reference boots it");
    std::process::exit(1);
}
