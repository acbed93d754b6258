//! A multiboot2 information block of any content: it is read, or refused by name.

use hypervisor::machine::memory_map::{MAX_FIRMWARE_RANGES, MemoryMap};
use hypervisor::machine::multiboot::{self, BootInfo};

pub fn run(block: &[u8]) {
    let info = match BootInfo::parse(block) {
        Ok(info) => info,
        Err(error) => {
            assert!(error.to_string().starts_with("multiboot2 "));
            return;
        }
    };
    let header = block
        .first_chunk()
        .expect("a block that was read has a header");
    let bytes = multiboot::block_bytes(*header).expect("a block that was read has a length");
    assert!(bytes as usize <= block.len());
    let _ = format!("{info:?} {} {}", info.command_line, info.loader_name);
    for module in &info.modules {
        assert!(module.range.start <= module.range.end);
    }
    if let Some(map) = info.efi_memory_map {
        assert!(
            map.descriptors
                .len()
                .is_multiple_of(map.descriptor_bytes as usize)
        );
    }
    assert!(info.firmware_ranges().count() <= MAX_FIRMWARE_RANGES);
    let _ = MemoryMap::new().fill(info.firmware_ranges());
}
