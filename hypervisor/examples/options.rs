//! Prints the documentation of the boot options: `cargo run -p hypervisor --example options > docs/OPTIONS.md`.

fn main() {
    print!("{}", hypervisor::options::documentation());
}
