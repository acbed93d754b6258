use super::*;
use crate::machine::fixtures::{self, GRUB_BIOS, GRUB_UEFI};
use crate::machine::multiboot::BootInfo;
use MemoryKind::{AcpiNvs, AcpiReclaimable, Ram, Reserved, Unusable};
use proptest::prelude::*;

fn entry(base: u64, length: u64, kind: MemoryKind) -> FirmwareRange {
    FirmwareRange { base, length, kind }
}

fn filled(entries: &[FirmwareRange]) -> MemoryMap {
    let mut map = MemoryMap::new();
    map.fill(entries.iter().copied()).unwrap();
    map
}

/// Start, end and kind of each range.
fn plain(map: &MemoryMap) -> Vec<(u64, u64, MemoryKind)> {
    map.ranges()
        .iter()
        .map(|entry| (entry.range.start, entry.range.end, entry.kind))
        .collect()
}

#[test]
fn map_of_a_bios() {
    let info = BootInfo::parse(GRUB_BIOS).unwrap();
    let mut map = MemoryMap::new();
    map.fill(info.firmware_ranges()).unwrap();
    assert_eq!(
        plain(&map),
        [
            (0, 0x9_f000, Ram),
            (0x9_fc00, 0xa_0000, Reserved),
            (0xf_0000, 0x10_0000, Reserved),
            (0x10_0000, 0xffd_f000, Ram),
            (0xffd_f000, 0x1000_0000, Reserved),
            (0xb000_0000, 0xc000_0000, Reserved),
            (0xfed1_c000, 0xfed2_0000, Reserved),
            (0xfffc_0000, 0x1_0000_0000, Reserved),
            (0xfd_0000_0000, 0x100_0000_0000, Reserved),
        ]
    );
    assert_eq!(
        (map.ram_bytes(), map.ram_end()),
        (0x9_f000 + 0xfed_f000, 0xffd_f000)
    );
    assert_eq!(
        (map.kind_of(0x9_f000), map.kind_of(0x9_fc00)),
        (None, Some(Reserved))
    );
}

#[test]
fn denied_ranges_are_added_where_nothing_is_known() {
    let map = filled(&[
        entry(0, 0x1000, Ram),
        entry(0x3000, 0x1000, Ram),
        entry(0x8000, 0x2000, Reserved),
    ]);
    let frame = |start| PhysRange::from_len(start, 0x1000);
    let denied = [frame(0x1000), frame(0x5000), frame(0x9000), frame(0xb000)];
    let found: Vec<_> = map
        .ranges_and(&denied)
        .map(|entry| (entry.range.start, entry.kind))
        .collect();
    assert_eq!(
        found,
        [
            (0, Ram),
            (0x1000, Reserved),
            (0x3000, Ram),
            (0x5000, Reserved),
            (0x8000, Reserved),
            (0xb000, Reserved),
        ]
    );
    assert_eq!(map.ranges_and(&[]).count(), map.ranges().len());
}

#[test]
fn map_of_a_uefi_machine_joins_what_touches() {
    let info = BootInfo::parse(GRUB_UEFI).unwrap();
    let mut map = MemoryMap::new();
    map.fill(info.firmware_ranges()).unwrap();
    // Three entries of reserved memory and runtime code become one range.
    let joined = PhysRange {
        start: 0xf4e_d000,
        end: 0xf76_d000,
    };
    assert!(map.ranges().contains(&MemoryRange {
        range: joined,
        kind: Reserved
    }));
    assert_eq!(map.kind_of(0xf77_e014), Some(AcpiReclaimable));
    assert_eq!(map.kind_of(0x80_0000), Some(AcpiNvs));
    assert_eq!(map.truncated_at(), None);
}

#[test]
fn the_worst_of_overlapping_entries_counts() {
    let map = filled(&[
        entry(0x5000, 0x3000, Reserved),
        entry(0, 0x1_0000, Ram),
        entry(0x7000, 0x2000, Unusable),
        entry(0x2000, 0x1000, AcpiReclaimable),
        entry(0x2800, 0x0800, AcpiNvs),
    ]);
    assert_eq!(
        plain(&map),
        [
            (0, 0x2000, Ram),
            (0x2000, 0x2800, AcpiReclaimable),
            (0x2800, 0x3000, AcpiNvs),
            (0x3000, 0x5000, Ram),
            (0x5000, 0x7000, Reserved),
            (0x7000, 0x9000, Unusable),
            (0x9000, 0x1_0000, Ram),
        ]
    );
}

#[test]
fn ram_is_joined_before_it_is_cut_to_frames() {
    let map = filled(&[entry(0x1800, 0x1800, Ram), entry(0x0800, 0x1000, Ram)]);
    assert_eq!(plain(&map), [(0x1000, 0x3000, Ram)]);
}

#[test]
fn ram_above_four_gib_and_nonsense() {
    let map = filled(&[
        entry(0x1_0000_0000, 0x1_4000_0000, Ram),
        entry(0x5000, 0, Reserved),
        entry(u64::MAX - 4, 100, Reserved),
        entry(PHYS_END - 0x1000, u64::MAX, Ram),
    ]);
    let end = PHYS_END;
    assert_eq!(
        plain(&map),
        [
            (0x1_0000_0000, 0x2_4000_0000, Ram),
            (end - 0x1000, end, Ram)
        ]
    );
    assert_eq!(map.ram_end(), end);
}

#[test]
fn a_full_map_ends_below_what_it_could_not_hold() {
    let entries: Vec<_> = (0..MAX_RANGES as u64 + 10)
        .map(|n| entry(n * 0x2000, 0x1000, Ram))
        .collect();
    let map = filled(&entries);
    let end = MAX_RANGES as u64 * 0x2000;
    assert_eq!(
        (map.ranges().len(), map.truncated_at()),
        (MAX_RANGES, Some(end))
    );
    assert!(map.ram_end() <= end && map.kind_of(end).is_none());
}

#[test]
fn too_many_entries_and_no_ram_are_errors() {
    let mut map = MemoryMap::new();
    let many = core::iter::repeat_n(entry(0, 0x1000, Ram), MAX_FIRMWARE_RANGES + 1);
    assert_eq!(map.fill(many), Err(MemoryMapError::TooManyRanges));
    let all = core::iter::repeat_n(entry(0, 0x1000, Ram), MAX_FIRMWARE_RANGES);
    assert_eq!(map.fill(all), Ok(()));
    assert_eq!(
        map.fill([entry(0x800, 0x1000, Ram)].into_iter()),
        Err(MemoryMapError::NoRam)
    );
    assert_eq!(map.ram_end(), 0);
    assert_eq!(
        MemoryMapError::NoRam.to_string(),
        "memory map: not one whole frame of RAM"
    );
}

#[test]
fn a_cap_takes_ram_only() {
    let mut map = filled(&[
        entry(0, 0x4000, Ram),
        entry(0x8000, 0x4000, Ram),
        entry(0xc000, 0x1000, Reserved),
    ]);
    assert_eq!(map.cap_ram(0x9800), 0x3000);
    assert_eq!(
        plain(&map),
        [
            (0, 0x4000, Ram),
            (0x8000, 0x9000, Ram),
            (0xc000, 0xd000, Reserved)
        ]
    );
    assert_eq!(map.cap_ram(0x8000), 0x1000);
    assert_eq!(map.cap_ram(0x8000), 0);
    assert_eq!(plain(&map), [(0, 0x4000, Ram), (0xc000, 0xd000, Reserved)]);
    assert!(map.is_ram(PhysRange {
        start: 1,
        end: 0x4000
    }));
    assert!(
        !map.is_ram(PhysRange {
            start: 1,
            end: 0x4001
        }) && !map.is_ram(PhysRange { start: 1, end: 1 })
    );
}

#[test]
fn a_place_is_found_from_the_top() {
    let map = filled(&[
        entry(0, 0x10_0000, Ram),
        entry(0x1_0000_0000, 0x10_0000, Ram),
    ]);
    let high = 0x1_0000_0000;
    assert_eq!(
        map.find_top_down(0x3000, 0x1000, u64::MAX, &[]),
        Some(high + 0xf_d000)
    );
    assert_eq!(map.find_top_down(0x3000, 0x1000, high, &[]), Some(0xf_d000));
    assert_eq!(
        map.find_top_down(0x3000, 0x2000, 0xf_c800, &[]),
        Some(0xf_8000)
    );
    let taken = [
        PhysRange {
            start: 0x8_0001,
            end: 0xf_f000,
        },
        PhysRange {
            start: high,
            end: 2 * high,
        },
    ];
    assert_eq!(
        map.find_top_down(0x1000, 0x1000, u64::MAX, &taken),
        Some(0xf_f000)
    );
    assert_eq!(
        map.find_top_down(0x2000, 0x1000, u64::MAX, &taken),
        Some(0x7_e000)
    );
    assert_eq!(map.find_top_down(0x10_1000, 0x1000, u64::MAX, &[]), None);
    assert_eq!(map.find_top_down(1, 1, 0x9_0000, &taken), Some(0x8_0000));
    assert_eq!(map.find_top_down(0, 0x1000, u64::MAX, &[]), None);
    assert_eq!(map.find_top_down(0x1000, 0x1800, u64::MAX, &[]), None);
}

/// A small address space in cells of 1 KiB, so that ranges meet often and rarely at frames.
const CELLS: u64 = 96;
const CELL_BYTES: u64 = 1024;

fn cells() -> impl Strategy<Value = (u64, u64)> {
    (0..CELLS, 0u64..40)
}

fn small_entries() -> impl Strategy<Value = Vec<FirmwareRange>> {
    let kind = prop_oneof![4 => Just(Ram), 1 => Just(AcpiReclaimable), 1 => Just(AcpiNvs), 1 => Just(Reserved), 1 => Just(Unusable)];
    let one = (cells(), kind)
        .prop_map(|((at, len), kind)| entry(at * CELL_BYTES, len * CELL_BYTES, kind));
    prop::collection::vec(one, 0..10)
}

fn small_ranges() -> impl Strategy<Value = Vec<PhysRange>> {
    let one = cells().prop_map(|(at, len)| PhysRange::from_len(at * CELL_BYTES, len * CELL_BYTES));
    prop::collection::vec(one, 0..6)
}

/// What firmware says of one cell: the worst of all.
fn said(entries: &[FirmwareRange], address: u64) -> Option<MemoryKind> {
    let covers =
        |entry: &&FirmwareRange| entry.base <= address && address - entry.base < entry.length;
    entries.iter().filter(covers).map(|entry| entry.kind).max()
}

/// Whether the whole frame at `address` is RAM and outside of `avoid`.
fn is_free_frame(entries: &[FirmwareRange], avoid: &[PhysRange], address: u64) -> bool {
    let is_ram = (0..4).all(|cell| said(entries, address + cell * CELL_BYTES) == Some(Ram));
    let frame = PhysRange::from_len(address, FRAME_BYTES);
    is_ram && !avoid.iter().any(|range| range.overlaps(&frame))
}

fn frames() -> impl DoubleEndedIterator<Item = u64> + Clone {
    (0..(CELLS + 40) / 4).map(|frame| frame * FRAME_BYTES)
}

proptest! {
    #![proptest_config(fixtures::cases(2000))]

    #[test]
    fn the_map_says_of_each_address_what_firmware_says(entries in small_entries()) {
        let mut map = MemoryMap::new();
        let result = map.fill(entries.iter().copied());
        for address in (0..CELLS + 40).map(|cell| cell * CELL_BYTES) {
            let frame = address & !(FRAME_BYTES - 1);
            let expected = match said(&entries, address) {
                Some(Ram) if !is_free_frame(&entries, &[], frame) => None,
                other => other,
            };
            prop_assert_eq!(map.kind_of(address), expected, "at {:#x}", address);
        }
        for pair in map.ranges().windows(2) {
            prop_assert!(pair[0].range.end <= pair[1].range.start);
            prop_assert!(pair[0].range.end < pair[1].range.start || pair[0].kind != pair[1].kind);
        }
        prop_assert!(map.ranges().iter().all(|entry| !entry.range.is_empty()));
        let nr_frames = frames().filter(|&frame| is_free_frame(&entries, &[], frame)).count() as u64;
        prop_assert_eq!(map.ram_bytes(), nr_frames * FRAME_BYTES);
        prop_assert_eq!(result.is_ok(), nr_frames > 0);
    }

    #[test]
    fn free_frames_are_those_that_nothing_touches(entries in small_entries(), avoid in small_ranges()) {
        let mut map = MemoryMap::new();
        let _ = map.fill(entries.iter().copied());
        let gaps: Vec<_> = map.free(&avoid).collect();
        let expected: Vec<_> = frames().filter(|&frame| is_free_frame(&entries, &avoid, frame)).collect();
        let found: Vec<_> = gaps.iter().flat_map(|gap| (gap.start..gap.end).step_by(FRAME_BYTES as usize)).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn the_place_found_is_the_highest(
        entries in small_entries(),
        avoid in small_ranges(),
        nr_frames in 1u64..5,
        align_shift in 12u32..15,
        below in 0..CELLS * CELL_BYTES,
    ) {
        let mut map = MemoryMap::new();
        let _ = map.fill(entries.iter().copied());
        let (bytes, align) = (nr_frames * FRAME_BYTES, 1 << align_shift);
        let is_place = |start: &u64| {
            let mut inside = (0..nr_frames).map(|frame| start + frame * FRAME_BYTES);
            start.is_multiple_of(align) && start + bytes <= below && inside.all(|frame| is_free_frame(&entries, &avoid, frame))
        };
        prop_assert_eq!(map.find_top_down(bytes, align, below, &avoid), frames().rev().find(is_place));
    }

    #[test]
    fn any_numbers_are_survived(
        raw in prop::collection::vec((any::<u64>(), any::<u64>(), 0u32..8), 0..30),
        avoid in prop::collection::vec((any::<u64>(), any::<u64>()), 0..8),
        bytes in any::<u64>(),
    ) {
        let entries = raw.iter().map(|&(base, length, kind)| entry(base >> (base % 64), length >> (length % 64), MemoryKind::from_e820(kind)));
        let avoid: Vec<_> = avoid.iter().map(|&(start, end)| PhysRange { start, end }).collect();
        let mut map = MemoryMap::new();
        let _ = map.fill(entries);
        prop_assert!(map.ram_end() <= PHYS_END);
        prop_assert!(map.free(&avoid).all(|gap| map.is_ram(gap)));
        if let Some(start) = map.find_top_down(bytes, 0x1000, u64::MAX, &avoid) {
            prop_assert!(map.is_ram(PhysRange::from_len(start, bytes)));
        }
        map.cap_ram(bytes);
        prop_assert!(map.ram_end() <= bytes);
    }
}
