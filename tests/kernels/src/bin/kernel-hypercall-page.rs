//! The kernel that asks for a page of hypercall stubs.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
kernels::notes!(
    // 2: the page of hypercall stubs.
    "note 2, .quad hypercall_page",
);

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("a paravirtualized kernel does not run here: make test-reference boots it");
    std::process::exit(1);
}
