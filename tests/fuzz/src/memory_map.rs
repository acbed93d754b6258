//! A firmware memory map of any entries: what the cleaned map calls RAM, every entry calls RAM.
//!
//! The input is the number of ranges to avoid, those ranges (`start: u64, end: u64`), and the map's entries
//! (`base: u64, length: u64, type: u32`), little-endian.

use hypervisor::machine::PhysRange;
use hypervisor::machine::memory_map::{FirmwareRange, MemoryKind, MemoryMap, MemoryMapError};

pub fn run(input: &[u8]) {
    let Some((nr_avoid, mut rest)) = input.split_first() else {
        return;
    };
    let avoid: Vec<_> = (0..nr_avoid % 8)
        .map_while(|_| {
            Some(PhysRange {
                start: take_u64(&mut rest)?,
                end: take_u64(&mut rest)?,
            })
        })
        .collect();
    let entries: Vec<_> = core::iter::from_fn(|| take_entry(&mut rest)).collect();
    let mut map = MemoryMap::new();
    if map.fill(entries.iter().copied()) == Err(MemoryMapError::TooManyRanges) {
        assert!(map.ranges().is_empty());
        return;
    }
    check(&map, &entries);
    for gap in map.free(&avoid) {
        assert!(map.is_ram(gap) && !avoid.iter().any(|range| range.overlaps(&gap)));
    }
    let wanted = entries.first().map_or(0x1000, |entry| entry.length);
    for (bytes, align) in [(wanted, 0x1000), (0x5000, 0x20_0000), (1, 1)] {
        if let Some(start) = map.find_top_down(bytes, align, u64::MAX, &avoid) {
            let place = PhysRange::from_len(start, bytes);
            assert!(map.is_ram(place) && start.is_multiple_of(align));
            assert!(!avoid.iter().any(|range| range.overlaps(&place)));
        }
    }
    map.cap_ram(wanted);
    assert!(map.ram_end() <= wanted);
    check(&map, &entries);
}

fn check(map: &MemoryMap, entries: &[FirmwareRange]) {
    for pair in map.ranges().windows(2) {
        assert!(pair[0].range.end <= pair[1].range.start);
    }
    for ram in map.ram() {
        assert!(
            !ram.is_empty() && ram.start.is_multiple_of(0x1000) && ram.end.is_multiple_of(0x1000)
        );
        for entry in entries.iter().filter(|entry| entry.kind != MemoryKind::Ram) {
            assert!(!PhysRange::from_len(entry.base, entry.length).overlaps(&ram));
        }
        let says_ram = |at: u64| {
            entries
                .iter()
                .any(|entry| entry.base <= at && at - entry.base < entry.length)
        };
        assert!(says_ram(ram.start) && says_ram(ram.end - 1));
        assert_eq!(map.kind_of(ram.start), Some(MemoryKind::Ram));
    }
    assert!(map.ram_bytes() <= map.ram_end());
}

fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u64::from_le_bytes(*bytes))
}

fn take_entry(rest: &mut &[u8]) -> Option<FirmwareRange> {
    let (base, length) = (take_u64(rest)?, take_u64(rest)?);
    let (kind, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(FirmwareRange {
        base,
        length,
        kind: MemoryKind::from_e820(u32::from_le_bytes(*kind)),
    })
}
