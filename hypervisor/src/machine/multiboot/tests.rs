use super::*;
use crate::machine::fixtures::{self, GRUB_BIOS, GRUB_UEFI};
use proptest::prelude::*;

const RAM: MemoryKind = MemoryKind::Ram;

/// A block of these tags; `size` of each tag is right.
fn block(tags: &[(u32, &[u8])]) -> Vec<u8> {
    let mut block = vec![0; 8];
    for (number, payload) in tags.iter().chain(&[(0, [].as_slice())]) {
        block.extend(number.to_le_bytes());
        block.extend((payload.len() as u32 + 8).to_le_bytes());
        block.extend(*payload);
        block.resize(block.len().next_multiple_of(8), 0);
    }
    let total = block.len() as u32;
    block[..4].copy_from_slice(&total.to_le_bytes());
    block
}

/// The sentence with which `block` is refused.
fn refusal(block: &[u8]) -> String {
    BootInfo::parse(block)
        .expect_err("a damaged block is refused")
        .to_string()
}

#[test]
fn block_of_grub_on_a_bios() {
    let info = BootInfo::parse(GRUB_BIOS).unwrap();
    let line = "console=com1,vga com1=115200,8n1 loglvl=all \"quoted word\" dom0_mem=512M";
    assert_eq!(info.command_line.as_str(), Some(line));
    assert_eq!(info.loader_name.as_str(), Some("GRUB 2.06-13+deb12u2"));
    let arguments = BootText(b"root=/dev/xvda ro");
    let modules = [
        Module {
            range: PhysRange {
                start: 0x10_1000,
                end: 0x10_100a,
            },
            arguments,
        },
        Module {
            range: PhysRange {
                start: 0x10_2000,
                end: 0x10_3388,
            },
            arguments: BootText(b""),
        },
    ];
    assert_eq!(&info.modules[..], modules);
    assert_eq!(
        info.basic_memory,
        Some(BasicMemory {
            lower_kib: 639,
            upper_kib: 260_988
        })
    );
    let map: Vec<_> = info.memory_map.unwrap().iter().collect();
    assert_eq!(map.len(), 9);
    assert_eq!(
        map[0],
        FirmwareRange {
            base: 0,
            length: 0x9_fc00,
            kind: RAM
        }
    );
    let last = FirmwareRange {
        base: 0xfd_0000_0000,
        length: 0x3_0000_0000,
        kind: MemoryKind::Reserved,
    };
    assert_eq!(map[8], last);
    let text = Framebuffer {
        address: 0xb_8000,
        bytes_per_line: 160,
        width: 80,
        height: 25,
        bits_per_pixel: 16,
        kind: FramebufferKind::Text,
    };
    assert_eq!(info.framebuffer, Some(text));
    assert_eq!(info.rsdp_v1.map(<[u8]>::len), Some(20));
    assert!(
        info.rsdp_v2.is_none()
            && info.efi64_system_table.is_none()
            && info.efi_memory_map.is_none()
    );
    assert_eq!(info.load_base, Some(0x20_0000));
    assert_eq!(info.firmware_ranges().collect::<Vec<_>>(), map);
}

#[test]
fn block_of_grub_on_uefi() {
    let info = BootInfo::parse(GRUB_UEFI).unwrap();
    assert_eq!(info.modules.len(), 2);
    let field = |position| RgbField { position, bits: 8 };
    let screen = Framebuffer {
        address: 0xc000_0000,
        bytes_per_line: 2400,
        width: 800,
        height: 600,
        bits_per_pixel: 24,
        kind: FramebufferKind::Rgb {
            red: field(16),
            green: field(8),
            blue: field(0),
        },
    };
    assert_eq!(info.framebuffer, Some(screen));
    assert_eq!(info.efi64_system_table, Some(0xf5e_c018));
    assert_eq!(info.rsdp_v2.map(<[u8]>::len), Some(36));
    let efi = info.efi_memory_map.unwrap();
    assert_eq!(
        (
            efi.descriptor_bytes,
            efi.descriptor_version,
            efi.descriptors.len()
        ),
        (48, 1, 6240)
    );
    assert!(!info.is_boot_services_running);
    let map: Vec<_> = info.memory_map.unwrap().iter().collect();
    assert_eq!(map.len(), 19);
    // GRUB passes EFI runtime code as a type of its own, which is nobody's RAM.
    let runtime = FirmwareRange {
        base: 0xf5e_d000,
        length: 0x10_0000,
        kind: MemoryKind::Reserved,
    };
    assert_eq!(map[11], runtime);
}

#[test]
fn blocks_that_another_implementation_writes() {
    use multiboot2::MaybeDynSized as _;
    use multiboot2::{
        BasicMemoryInfoTag, BootLoaderNameTag, ImageLoadPhysAddrTag, MemoryMapTag, ModuleTag,
    };
    use multiboot2::{
        Builder, CommandLineTag, EFIBootServicesNotExitedTag, EFISdt32Tag, MemoryArea,
        MemoryAreaType,
    };
    let area = |base, length, kind: MemoryAreaType| MemoryArea::new(base, length, kind);
    let block = Builder::new()
        .cmdline(CommandLineTag::new("maxcpus=2"))
        .bootloader(BootLoaderNameTag::new("tests"))
        .add_module(ModuleTag::new(0x1000, 0x2000, "kernel"))
        .meminfo(BasicMemoryInfoTag::new(640, 1024))
        .mmap(MemoryMapTag::new(&[
            area(0, 0x9_f000, MemoryAreaType::Available),
            area(0x10_0000, 5, MemoryAreaType::Custom(99)),
        ]))
        .efi32(EFISdt32Tag::new(77))
        .efi_bs(EFIBootServicesNotExitedTag::new())
        .image_load_addr(ImageLoadPhysAddrTag::new(0x40_0000))
        .build();
    let info = BootInfo::parse(block.as_bytes()).unwrap();
    assert_eq!(info.command_line.0, b"maxcpus=2");
    assert_eq!(info.loader_name.0, b"tests");
    let kernel = Module {
        range: PhysRange {
            start: 0x1000,
            end: 0x2000,
        },
        arguments: BootText(b"kernel"),
    };
    assert_eq!(&info.modules[..], [kernel]);
    assert_eq!(
        info.basic_memory,
        Some(BasicMemory {
            lower_kib: 640,
            upper_kib: 1024
        })
    );
    let map: Vec<_> = info.firmware_ranges().collect();
    let odd = FirmwareRange {
        base: 0x10_0000,
        length: 5,
        kind: MemoryKind::Reserved,
    };
    assert_eq!(
        map,
        [
            FirmwareRange {
                base: 0,
                length: 0x9_f000,
                kind: RAM
            },
            odd
        ]
    );
    assert_eq!(info.efi32_system_table, Some(77));
    assert!(info.is_boot_services_running);
    assert_eq!(info.load_base, Some(0x40_0000));
}

#[test]
fn basic_sizes_stand_in_for_a_missing_map() {
    let block = block(&[(4, &[0x7f, 2, 0, 0, 0, 4, 0, 0])]);
    let ranges: Vec<_> = BootInfo::parse(&block).unwrap().firmware_ranges().collect();
    let low = FirmwareRange {
        base: 0,
        length: 639 << 10,
        kind: RAM,
    };
    assert_eq!(
        ranges,
        [
            low,
            FirmwareRange {
                base: 1 << 20,
                length: 1 << 20,
                kind: RAM
            }
        ]
    );
}

#[test]
fn the_first_of_two_equal_tags_counts() {
    let block = block(&[
        (1, b"a\0"),
        (1, b"b\0"),
        (21, &[1, 0, 0, 0]),
        (21, &[2, 0, 0, 0]),
    ]);
    let info = BootInfo::parse(&block).unwrap();
    assert_eq!(
        (info.command_line.0, info.load_base),
        (b"a".as_slice(), Some(1))
    );
}

#[test]
fn modules_above_the_limit_are_counted() {
    let module = [0, 0x10, 0, 0, 0, 0x20, 0, 0, 0];
    let block = block(&vec![(3, module.as_slice()); MAX_MODULES + 3]);
    let info = BootInfo::parse(&block).unwrap();
    assert_eq!(
        (info.modules.len(), info.modules.ignored()),
        (MAX_MODULES, 3)
    );
}

#[test]
fn vbe_and_palette() {
    let mut vbe = vec![0; 776];
    vbe[..8].copy_from_slice(&[0x18, 0x41, 0, 0xc0, 1, 0, 2, 0]);
    let mut palette = vec![0; 24];
    palette[20] = 8;
    palette.extend([2, 0, 1, 2, 3, 4, 5, 6]);
    let whole = block(&[(7, &vbe), (8, &palette)]);
    let info = BootInfo::parse(&whole).unwrap();
    let vbe_info = info.vbe.unwrap();
    assert_eq!(
        (
            vbe_info.mode,
            vbe_info.interface_segment,
            vbe_info.interface_bytes
        ),
        (0x4118, 0xc000, 2)
    );
    assert_eq!(
        info.framebuffer.unwrap().kind,
        FramebufferKind::Indexed { colours: 2 }
    );
    assert_eq!(
        refusal(&block(&[(7, &vbe[..775])])),
        "multiboot2 VBE tag: size is 783, must be at least 784"
    );
    palette[24] = 3;
    let sentence = "multiboot2 framebuffer tag: number of colours is 3, can be at most 2";
    assert_eq!(refusal(&block(&[(8, &palette)])), sentence);
}

#[test]
fn each_damage_has_its_sentence() {
    let cases: &[(&[u8], &str)] = &[
        (
            &[],
            "multiboot2 information block: total_size is 0, must be at least 16",
        ),
        (
            &[15, 0, 0, 0, 0, 0, 0, 0],
            "multiboot2 information block: total_size is 15, must be at least 16",
        ),
        (
            &[32, 0, 0, 0, 0, 0, 0, 0],
            "multiboot2 information block: total_size is 32, can be at most 8",
        ),
        (
            &[0, 0, 32, 0, 0, 0, 0, 0],
            "multiboot2 information block: total_size is 2097152, can be at most 1048576",
        ),
    ];
    for (block, sentence) in cases {
        assert_eq!(refusal(block), *sentence);
    }
    let mut unending = block(&[(9, &[0; 8])]);
    let end = unending.len() - 8;
    unending.truncate(end);
    unending[0] = end as u8;
    assert_eq!(
        refusal(&unending),
        "multiboot2 information block: no end tag within its total_size of 24"
    );
    let mut short = block(&[(9, &[])]);
    short[12] = 7;
    assert_eq!(
        refusal(&short),
        "multiboot2 tag of type 9: size is 7, must be at least 8"
    );
    let mut long = block(&[(9, &[])]);
    long[12] = 17;
    assert_eq!(
        refusal(&long),
        "multiboot2 tag of type 9: size is 17, can be at most 16"
    );

    let map = |stride: u8, entries: &[u8]| [&[stride, 0, 0, 0, 0, 0, 0, 0], entries].concat();
    let tags: &[(u32, &[u8], &str)] = &[
        (
            1,
            b"no end",
            "command line tag: string has no zero byte within its 6 bytes",
        ),
        (
            3,
            b"12345678",
            "module tag: string has no zero byte within its 0 bytes",
        ),
        (3, b"1234567", "module tag: size is 15, must be at least 16"),
        (
            3,
            &[1, 0, 0, 0, 0, 0, 0, 0, 0],
            "module tag: mod_end is 0, must be at least 1",
        ),
        (
            4,
            &[0; 7],
            "basic memory tag: size is 15, must be at least 16",
        ),
        (
            6,
            &map(0, &[]),
            "memory map tag: entry_size is 0, must be at least 24",
        ),
        (
            6,
            &map(24, &[0; 25]),
            "memory map tag: entry_size is 24, which does not divide its 25 bytes of entries",
        ),
        (
            6,
            &map(24, &[0; 24 * 1025]),
            "memory map tag: number of entries is 1025, can be at most 1024",
        ),
        (
            8,
            &[0; 21],
            "framebuffer tag: size is 29, must be at least 30",
        ),
        (
            12,
            &[0; 4],
            "64-bit EFI system table tag: size is 12, must be at least 16",
        ),
        (
            17,
            &map(39, &[]),
            "EFI memory map tag: entry_size is 39, must be at least 40",
        ),
        (
            21,
            &[0; 3],
            "load base address tag: size is 11, must be at least 12",
        ),
    ];
    for (number, payload, sentence) in tags {
        assert_eq!(
            refusal(&block(&[(*number, payload)])),
            format!("multiboot2 {sentence}")
        );
    }
}

/// Reads everything that a block offers; says how it went.
fn read_all(block: &[u8]) -> Result<(), BootInfoError> {
    let info = BootInfo::parse(block)?;
    assert!(info.firmware_ranges().count() <= MAX_MEMORY_MAP_ENTRIES);
    assert!(
        info.modules
            .iter()
            .all(|module| module.range.start <= module.range.end)
    );
    let _ = format!(
        "{} {} {:?}",
        info.command_line, info.loader_name, info.modules
    );
    Ok(())
}

#[test]
fn every_truncation_is_refused() {
    for whole in [GRUB_BIOS, GRUB_UEFI] {
        for length in 0..whole.len() {
            let error = read_all(&whole[..length]).unwrap_err();
            assert!(matches!(
                error,
                BootInfoError::Below {
                    tag: Tag::Block,
                    ..
                } | BootInfoError::Above {
                    tag: Tag::Block,
                    ..
                }
            ));
        }
    }
}

#[test]
fn every_changed_byte_is_survived() {
    for whole in [GRUB_BIOS, GRUB_UEFI] {
        let mut block = whole.to_vec();
        for offset in 0..block.len() {
            for change in [0x01, 0x04, 0x10, 0x80, 0xff] {
                block[offset] ^= change;
                if let Err(error) = read_all(&block) {
                    assert!(error.to_string().starts_with("multiboot2 "));
                }
                block[offset] = whole[offset];
            }
        }
    }
}

proptest! {
    #![proptest_config(fixtures::cases(2000))]

    /// Tags with believable numbers and any payload, cut anywhere.
    #[test]
    fn any_chain_of_tags_is_read_or_refused(
        tags in prop::collection::vec((0u32..23, prop::collection::vec(any::<u8>(), 0..80)), 0..12),
        change in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let tags: Vec<_> = tags.iter().map(|(number, payload)| (*number, payload.as_slice())).collect();
        let mut block = block(&tags);
        if let Some((at, value)) = change {
            let at = at.index(block.len());
            block[at] = value;
        }
        let _ = read_all(&block);
    }
}
