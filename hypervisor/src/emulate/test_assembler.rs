//! Assembling the instruction that a test is about.

use super::insn::CodeSize;
use super::test_machine::CODE;
use iced_x86::code_asm::CodeAssembler;

/// Assembles 64-bit code.
pub(super) fn assemble(
    build: impl FnOnce(&mut CodeAssembler) -> Result<(), iced_x86::IcedError>,
) -> Vec<u8> {
    assemble_for(CodeSize::Bits64, build)
}

/// Assembles code of some size.
pub(super) fn assemble_for(
    size: CodeSize,
    build: impl FnOnce(&mut CodeAssembler) -> Result<(), iced_x86::IcedError>,
) -> Vec<u8> {
    let bitness = if size == CodeSize::Bits64 { 64 } else { 32 };
    let mut assembler = CodeAssembler::new(bitness).unwrap();
    build(&mut assembler).unwrap();
    assembler.assemble(CODE).unwrap()
}
