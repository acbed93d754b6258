//! The table agrees with the public C headers, and the comparison notices when it does not.

use std::path::Path;

use abi_check::{Program, REQUIRE_VARIABLE, Toolchain};
use guest_abi::table::{CName, Field, Interface, Layout, Number, Row, Text};

/// The toolchain, or `None` after a loud message. Panics where the check is required.
fn toolchain() -> Option<Toolchain> {
    match Toolchain::find(Path::new(env!("CARGO_TARGET_TMPDIR"))) {
        Ok(toolchain) => Some(toolchain),
        Err(missing) => {
            let required = std::env::var(REQUIRE_VARIABLE).is_ok_and(|value| value == "1");
            assert!(!required, "{REQUIRE_VARIABLE}=1, but there is {missing}");
            // Straight to the terminal: the test harness hides what a passing test prints.
            let note =
                format!("\n*** SKIPPED: guest-abi is not compared with the C headers: {missing}\n");
            let _ = std::io::Write::write_all(&mut std::io::stderr(), note.as_bytes());
            None
        }
    }
}

#[test]
fn every_layout_number_and_text_agrees_with_the_headers() {
    let Some(toolchain) = toolchain() else { return };
    let program = Program::new(guest_abi::INTERFACES);
    assert!(!program.is_empty());
    let mismatches = toolchain
        .compare("guest_abi", &program)
        .unwrap_or_else(|error| panic!("{error}"));
    let report: Vec<String> = mismatches.iter().map(ToString::to_string).collect();
    assert!(
        report.is_empty(),
        "{} of {} facts differ:\n{}",
        report.len(),
        program.len(),
        report.join("\n")
    );
    println!("{} facts agree", program.len());
}

/// A table in which each row has one known fault.
const FAULTY: Interface = Interface {
    module: "faulty",
    headers: &["xen/xen.h", "xen/arch-x86/cpuid.h", "xen/io/xs_wire.h"],
    rows: &[&[
        Row::Layout(Layout {
            name: "MmuUpdate",
            size: 24,
            align: 4,
            c: CName::Named("struct mmu_update"),
            fields: &[
                Field {
                    name: "ptr",
                    offset: 8,
                    size: 4,
                    c: CName::Named("ptr"),
                },
                Field {
                    name: "val",
                    offset: 8,
                    size: 8,
                    c: CName::Padding,
                },
            ],
        }),
        Row::Number(Number {
            name: "ITERATE",
            value: 24,
            size: 8,
            c: CName::Named("__HYPERVISOR_iret"),
        }),
        Row::Text(Text {
            name: "NONE",
            value: "SOME",
            c: CName::Named("XS_WRITE_NONE"),
        }),
    ]],
};

#[test]
fn each_kind_of_fault_is_reported() {
    let Some(toolchain) = toolchain() else { return };
    let mismatches = toolchain
        .compare("faulty", &Program::new(&[&FAULTY]))
        .unwrap_or_else(|error| panic!("{error}"));
    let report: Vec<String> = mismatches.iter().map(ToString::to_string).collect();
    assert_eq!(
        report,
        [
            "faulty::MmuUpdate: size: guest-abi says 24, the headers say 16",
            "faulty::MmuUpdate: alignment: guest-abi says 4, the headers say 8",
            "faulty::MmuUpdate.ptr: offset: guest-abi says 8, the headers say 0",
            "faulty::MmuUpdate.ptr: size: guest-abi says 4, the headers say 8",
            "faulty::MmuUpdate.val: bytes in use: guest-abi says 0, the headers say 8",
            "faulty::ITERATE: guest-abi says 24, the headers say 23",
            "faulty::NONE: guest-abi says SOME, the headers say NONE",
        ]
    );
}
