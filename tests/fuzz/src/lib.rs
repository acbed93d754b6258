//! What is fuzzed: functions that take bytes of any content, and panic where something is wrong with what is made of
//! them. `fuzz_targets/` has a program of the fuzzer's engine for each; the tests here try the committed seeds.

mod acpi_tables;
mod command_line;
mod control_operations;
mod efi_tables;
mod insn_decode;
mod insn_execute;
mod kernel_image;
mod memory_map;
mod multiboot_info;
#[cfg(feature = "engine")]
mod store_wire;
mod symbol_table;

#[path = "../../../hypervisor/src/machine/fixtures/sparse_memory.rs"]
mod sparse_memory;

// What shared sources name by the paths of their home.
use hypervisor::cpu_policy;
use hypervisor::machine::{PhysRead, PhysReadError};

pub use acpi_tables::run as acpi_tables;
pub use command_line::run as command_line;
pub use control_operations::run as control_operations;
pub use efi_tables::run as efi_tables;
pub use hypervisor::continuation::calls::run as multicall;
pub use hypervisor::domain::state_calls::run as processor_state;
pub use hypervisor::event::calls::run as event_channels;
pub use hypervisor::event::vcpu_calls::run as vcpu_operations;
pub use hypervisor::grant::calls::run as grant_tables;
pub use hypervisor::irq::calls::run as physical_interrupts;
pub use hypervisor::mm::calls::run as page_tables;
pub use hypervisor::mm::memory_calls::run as memory_operations;
pub use hypervisor::platform::calls::run as platform_calls;
pub use insn_decode::run as insn_decode;
pub use insn_execute::run as insn_execute;
pub use kernel_image::run as kernel_image;
pub use memory_map::run as memory_map;
pub use multiboot_info::run as multiboot_info;
#[cfg(feature = "engine")]
pub use store_wire::run as store_wire;
pub use symbol_table::run as symbol_table;

#[cfg(test)]
mod seeds {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    /// Tries all seeds of a target.
    fn run(name: &str, target: fn(&[u8])) {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("seeds")
            .join(name);
        let mut count = 0;
        for seed in fs::read_dir(&directory).expect("a target has seeds") {
            let path = seed.expect("readable").path();
            // Shown if the test fails.
            println!("{}", path.display());
            target(&fs::read(&path).expect("readable"));
            count += 1;
        }
        assert_ne!(count, 0, "{} is empty", directory.display());
        target(&[]);
    }

    macro_rules! tests {
        ($($name:ident)*) => {
            const NAMES: &[&str] = &[$(stringify!($name)),*];
            $(
                #[test]
                fn $name() {
                    run(stringify!($name), crate::$name);
                }
            )*
        };
    }

    tests! {
        acpi_tables command_line control_operations efi_tables event_channels grant_tables insn_decode insn_execute
        kernel_image memory_map memory_operations multiboot_info multicall page_tables physical_interrupts platform_calls
        processor_state symbol_table vcpu_operations
    }

    #[test]
    fn every_target_is_among_these() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
        let targets: BTreeSet<String> = fs::read_dir(directory)
            .expect("there are targets")
            .map(|target| target.expect("readable").path())
            .map(|path| {
                path.file_stem()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        // What is of the first domain's programs is tried by `dom0-tools/tests/store_wire_seeds.rs`.
        let names = NAMES.iter().chain(&["store_wire"]);
        assert_eq!(targets, names.map(|&name| name.to_owned()).collect());
    }
}
