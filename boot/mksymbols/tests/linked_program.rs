//! A small C program, linked as high as the hypervisor is, gets a table that knows its functions.

use mksymbols::symbols::{Header, PLACEHOLDER, SymbolTable};
use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol};
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = "\
static inline __attribute__((always_inline)) int inlined(volatile int *p) {
    return *p + 1;
}
__attribute__((noinline)) int called(volatile int *p) {
    int n = inlined(p);
    return n * 3;
}
__attribute__((noreturn)) void _start(void) {
    static volatile int cell;
    for (;;) called(&cell);
}
__asm__(\".pushsection .text\\n.type stub, @function\\nstub: nop\\n nop\\n ret\\n.size stub, . - stub\\n.popsection\\n\");
";

/// `{table}` is the placeholder, as assembler data.
const TABLE: &str =
    "__asm__(\".pushsection .symbols,\\\"a\\\"\\n.balign 8\\n.byte {table}\\n.popsection\\n\");\n";

const SCRIPT: &str = "\
PHDRS { text PT_LOAD FLAGS(5); data PT_LOAD FLAGS(6); symbols PT_LOAD FLAGS(4); }
SECTIONS {
    . = 0xffff82d040200000;
    .text : { *(.text .text.*) } :text
    .data ALIGN(4096) : { *(.data .bss) } :data
    .symbols ALIGN(4096) : { *(.symbols) } :symbols
    /DISCARD/ : { *(.comment .note* .eh_frame) }
}
";

/// A directory of this test that the next run of it starts anew.
fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// Compiles and links `source` in `directory`.
fn link(directory: &Path, source: &str) -> PathBuf {
    std::fs::write(directory.join("program.c"), source).unwrap();
    std::fs::write(directory.join("layout.ld"), SCRIPT).unwrap();
    let output = Command::new("cc")
        .args([
            "-g",
            "-O2",
            "-ffreestanding",
            "-fno-stack-protector",
            "-fPIC",
            "-fcf-protection=none",
        ])
        .args([
            "-nostdlib",
            "-static",
            "-no-pie",
            "-Wl,-T,layout.ld,--build-id=none,-z,max-page-size=4096",
        ])
        .args(["program.c", "-o", "linked"])
        .current_dir(directory)
        .output()
        .expect("a C compiler");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    directory.join("linked")
}

fn source_with_table() -> String {
    let header = PLACEHOLDER;
    let mut bytes = header.magic.to_vec();
    bytes.extend(header.version.to_le_bytes());
    bytes.extend(header.total_len.to_le_bytes());
    bytes.resize(Header::LEN, 0);
    let bytes: Vec<String> = bytes.iter().map(u8::to_string).collect();
    SOURCE.to_string() + &TABLE.replace("{table}", &bytes.join(","))
}

#[test]
fn the_image_carries_its_symbols_and_nothing_that_is_not_loaded() {
    let directory = directory("carries");
    let linked = link(&directory, &source_with_table());
    let image = directory.join("image");
    mksymbols::make(&linked, &image).unwrap();

    let before = std::fs::read(&linked).unwrap();
    let before = object::File::parse(&*before).unwrap();
    let after = std::fs::read(&image).unwrap();
    let after = object::File::parse(&*after).unwrap();

    for name in [".text", ".data"] {
        let (old, new) = (before.section_by_name(name), after.section_by_name(name));
        let (old, new) = (old.unwrap(), new.unwrap());
        assert_eq!(
            (old.address(), old.size()),
            (new.address(), new.size()),
            "{name}"
        );
        assert_eq!(old.data().unwrap(), new.data().unwrap(), "{name}");
    }
    let sections: Vec<_> = after
        .sections()
        .map(|section| section.name().unwrap().to_string())
        .collect();
    assert!(
        !sections.iter().any(|name| name.starts_with(".debug")),
        "{sections:?}"
    );

    let table_section = after.section_by_name(".symbols").unwrap();
    let segment = after.segments().last().unwrap();
    assert_eq!(segment.data().unwrap(), table_section.data().unwrap());
    assert_eq!(segment.size(), table_section.size());

    let address = |name| {
        let of = |file: &object::File<'_>| {
            file.symbols()
                .find(|s| s.name() == Ok(name))
                .unwrap()
                .address()
        };
        assert_eq!(of(&before), of(&after), "{name}");
        of(&after)
    };
    let table = SymbolTable::parse(table_section.data().unwrap()).unwrap();
    let called = address("called");
    let frames: Vec<_> = table
        .frames(called)
        .map(|f| (f.function, f.file, f.line, f.is_inlined))
        .collect();
    assert_eq!(
        frames.last().map(|frame| (frame.0, frame.3)),
        Some(("called", false)),
        "{frames:?}: the function itself is outermost"
    );
    assert!(frames[0].1.ends_with("program.c"), "{frames:?}");

    let size = after
        .symbols()
        .find(|symbol| symbol.name() == Ok("called"))
        .unwrap()
        .size();
    let has_inlined = (called..called + size).any(|at| {
        let frames: Vec<_> = table.frames(at).map(|f| (f.function, f.line)).collect();
        frames == [("inlined", 2), ("called", 5)]
    });
    assert!(
        has_inlined,
        "the inlined function's line and its call's are known"
    );

    let stub = table.locate(address("stub") + 2).unwrap();
    assert_eq!(
        (stub.function, stub.offset, stub.line),
        ("stub", 2, 0),
        "assembly has a name, no line"
    );
}

#[test]
fn a_program_without_room_for_the_table_is_refused_by_name() {
    let directory = directory("refused");
    let linked = link(&directory, SOURCE);
    let error = mksymbols::make(&linked, &directory.join("image"))
        .unwrap_err()
        .to_string();
    assert!(error.contains(".symbols"), "{error}");
    assert!(!directory.join("image").exists(), "no half image is left");
}

#[test]
fn other_files_are_refused() {
    let directory = directory("other");
    for (name, bytes) in [
        ("empty", &b""[..]),
        ("text", b"#!/bin/sh\n"),
        ("short", b"\x7fELF\x02\x01\x01"),
    ] {
        let file = directory.join(name);
        std::fs::write(&file, bytes).unwrap();
        assert!(
            mksymbols::make(&file, &directory.join("image")).is_err(),
            "{name}"
        );
    }
}
