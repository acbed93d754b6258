use super::encode::{Encoder, Frame, Line};
use super::format::{Header, PLACEHOLDER, ROWS_PER_BLOCK};
use super::{SymbolTable, SymbolTableError};

const BASE: u64 = 0xffff_82d0_4020_0000;

fn frame(function: &str, file: &str, line: u32) -> Frame {
    Frame {
        function: function.into(),
        line: Line {
            file: file.into(),
            line,
        },
    }
}

/// `outer` at 0..0x40 with `leaf` inlined through `middle` at 0x10..0x20; nothing at 0x40..0x80; an
/// assembly routine without lines at 0x80..0x90.
fn sample() -> Vec<u8> {
    let mut encoder = Encoder::new(BASE, 0x90);
    encoder.set(0, 0, &[frame("room::outer", "hypervisor/src/room.rs", 10)]);
    encoder.set(
        0x10,
        0,
        &[
            frame(
                "<T as core::fmt::Debug>::leaf",
                "spin-0.12.3/src/mutex.rs",
                70_000,
            ),
            frame("room::middle", "hypervisor/src/room.rs", 3),
            frame("room::outer", "hypervisor/src/room.rs", 11),
        ],
    );
    encoder.set(
        0x20,
        0,
        &[frame("room::outer", "hypervisor/src/room.rs", 12)],
    );
    encoder.set(0x40, 0, &[]);
    encoder.set(0x80, 0x80, &[frame("entry_stub", "", 0)]);
    encoder.finish()
}

fn bytes_of(header: &Header) -> Vec<u8> {
    let mut bytes = header.magic.to_vec();
    bytes.extend(header.version.to_le_bytes());
    bytes.extend(header.total_len.to_le_bytes());
    bytes.extend(header.base.to_le_bytes());
    for count in [
        header.code_len,
        header.blocks_count,
        header.groups_count,
        header.files_count,
        header.scopes_len,
        header.rows_len,
        header.strings_len,
        header.reserved,
    ] {
        bytes.extend(count.to_le_bytes());
    }
    bytes
}

#[test]
fn an_address_is_found_in_its_function_file_and_line() {
    let bytes = sample();
    let table = SymbolTable::parse(&bytes).unwrap();
    for (offset, line) in [(0, 10), (0xf, 10), (0x20, 12), (0x3f, 12)] {
        let location = table.locate(BASE + offset).unwrap();
        assert_eq!(
            (
                location.function,
                location.file,
                location.line,
                location.offset,
                location.is_inlined
            ),
            ("room::outer", "hypervisor/src/room.rs", line, offset, false)
        );
    }
    let stub = table.locate(BASE + 0x8f).unwrap();
    assert_eq!(
        (stub.function, stub.file, stub.line, stub.offset),
        ("entry_stub", "", 0, 0xf)
    );
}

#[test]
fn inlined_functions_are_listed_from_the_innermost_out() {
    let bytes = sample();
    let frames: Vec<_> = SymbolTable::parse(&bytes)
        .unwrap()
        .frames(BASE + 0x18)
        .map(|place| {
            (
                place.function,
                place.file,
                place.line,
                place.offset,
                place.is_inlined,
            )
        })
        .collect();
    assert_eq!(
        frames,
        [
            (
                "<T as core::fmt::Debug>::leaf",
                "spin-0.12.3/src/mutex.rs",
                70_000,
                0x18,
                true
            ),
            ("room::middle", "hypervisor/src/room.rs", 3, 0x18, true),
            ("room::outer", "hypervisor/src/room.rs", 11, 0x18, false),
        ]
    );
}

#[test]
fn addresses_outside_the_code_and_in_its_gaps_are_unknown() {
    let bytes = sample();
    let table = SymbolTable::parse(&bytes).unwrap();
    for address in [
        0,
        BASE - 1,
        BASE + 0x40,
        BASE + 0x7f,
        BASE + 0x90,
        BASE + (1 << 32),
        u64::MAX,
    ] {
        assert_eq!(table.locate(address), None, "{address:#x}");
    }
}

#[test]
fn every_row_of_many_blocks_is_found() {
    let rows = 5 * ROWS_PER_BLOCK as u32 + 7;
    let line_of = |row: u32| row.wrapping_mul(2_654_435_761) >> 8;
    let mut encoder = Encoder::new(BASE, rows * 3);
    for row in 0..rows {
        let function = format!("f{}", row % 11);
        encoder.set(
            row * 3,
            row * 3,
            &[frame(&function, &format!("{}.rs", row % 7), line_of(row))],
        );
    }
    let bytes = encoder.finish();
    let table = SymbolTable::parse(&bytes).unwrap();
    for at in 0..rows * 3 {
        let (row, location) = (at / 3, table.locate(BASE + u64::from(at)).unwrap());
        assert_eq!(location.function, format!("f{}", row % 11));
        assert_eq!(location.file, format!("{}.rs", row % 7));
        assert_eq!(
            (location.line, location.offset),
            (line_of(row), u64::from(at % 3))
        );
    }
}

#[test]
fn what_is_said_last_about_an_address_holds() {
    let mut encoder = Encoder::new(BASE, 8);
    encoder.set(0, 0, &[frame("first", "a.rs", 1)]);
    encoder.set(4, 0, &[frame("second", "a.rs", 2)]);
    encoder.set(4, 0, &[frame("first", "a.rs", 1)]);
    let bytes = encoder.finish();
    assert_eq!(
        SymbolTable::parse(&bytes)
            .unwrap()
            .locate(BASE + 4)
            .unwrap()
            .function,
        "first"
    );
}

#[test]
fn the_placeholder_is_an_empty_table() {
    let bytes = bytes_of(&PLACEHOLDER);
    let table = SymbolTable::parse(&bytes).unwrap();
    assert_eq!(table.locate(0), None);
    assert_eq!(table.locate(BASE), None);
    assert_eq!(Header::read(bytes.first_chunk().unwrap()), PLACEHOLDER);
}

#[test]
fn other_bytes_are_refused_by_name() {
    let good = sample();
    assert_eq!(
        SymbolTable::parse(&[]).unwrap_err(),
        SymbolTableError::Truncated
    );
    assert_eq!(
        SymbolTable::parse(&good[..good.len() - 1]).unwrap_err(),
        SymbolTableError::Truncated
    );
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        SymbolTable::parse(&bytes).unwrap_err()
    };
    assert_eq!(with(0, b'x'), SymbolTableError::BadMagic);
    assert_eq!(with(8, 9), SymbolTableError::UnknownVersion(9));
    assert_eq!(with(28, 200), SymbolTableError::InconsistentLengths);
    assert_eq!(with(51, 0xff), SymbolTableError::InconsistentLengths);
}

#[test]
fn bytes_after_the_table_are_ignored() {
    let mut bytes = sample();
    bytes.extend([0xff; 100]);
    assert!(SymbolTable::parse(&bytes).unwrap().locate(BASE).is_some());
}

#[test]
fn scopes_of_many_groups_are_found_with_all_their_callers() {
    let nr_functions = 40;
    let mut encoder = Encoder::new(BASE, nr_functions * 16);
    for function in 0..nr_functions {
        // Each function has its predecessors inlined into it, up to seven.
        let inlined = (function.saturating_sub(7)..function)
            .map(|inlined| frame(&format!("f{inlined}"), "inlined.rs", 1000 + inlined));
        let mut frames: Vec<_> = inlined.collect();
        frames.push(frame(&format!("f{function}"), "outer.rs", function));
        encoder.set(function * 16, function * 16, &frames);
    }
    let bytes = encoder.finish();
    let table = SymbolTable::parse(&bytes).unwrap();
    for function in 0..nr_functions {
        let frames: Vec<_> = table.frames(BASE + u64::from(function) * 16 + 5).collect();
        assert_eq!(frames.len(), function.min(7) as usize + 1);
        for (location, expected) in frames.iter().zip(function.saturating_sub(7)..) {
            let line = if expected == function {
                function
            } else {
                1000 + expected
            };
            assert_eq!(location.function, format!("f{expected}"));
            assert_eq!((location.line, location.offset), (line, 5));
            assert_eq!(location.is_inlined, expected != function);
        }
    }
}

/// The table is read while reporting a fault, perhaps of the very memory that it is in.
#[test]
fn damage_gives_wrong_answers_at_worst() {
    let good = sample();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    let nr_rounds = if cfg!(miri) { 20 } else { 20_000 };
    for _ in 0..nr_rounds {
        let mut bytes = good.clone();
        for _ in 0..1 + random() % 4 {
            let at = random() % bytes.len();
            bytes[at] = [0, 0xff, 0x80, 0x7f, random() as u8][random() % 5];
        }
        if let Ok(table) = SymbolTable::parse(&bytes) {
            for offset in (0..0x98).step_by(8) {
                assert!(table.frames(BASE + offset).count() <= 64);
            }
        }
    }
}
