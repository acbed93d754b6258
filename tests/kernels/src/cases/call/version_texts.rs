//! What the hypervisor says about itself in texts: each ends within its place, and the capabilities name
//! the guests that can be built.

use super::super::prelude::*;
use guest_abi::version::{
    CAPABILITIES_SIZE, CAPABILITY_64BIT, CHANGESET_SIZE, COMMAND_LINE_SIZE, CompileInfo,
    EXTRA_VERSION_SIZE, VersionOp,
};

pub(crate) fn run() {
    const MARK: u8 = 0xee;
    for (op, size) in [
        (VersionOp::ExtraVersion, EXTRA_VERSION_SIZE),
        (VersionOp::Capabilities, CAPABILITIES_SIZE),
        (VersionOp::Changeset, CHANGESET_SIZE),
        (VersionOp::CommandLine, COMMAND_LINE_SIZE),
        (VersionOp::CompileInfo, size_of::<CompileInfo>()),
    ] {
        let mut text = [MARK; 1100];
        assert_eq!(hypercall!(Version, op.number(), &mut text), Ok(0), "{op:?}");
        assert!(
            text[size..].iter().all(|&byte| byte == MARK),
            "{op:?} is longer than {size}"
        );
        assert!(text[..size].contains(&0), "{op:?} does not end");
        let content = text.split(|&byte| byte == 0).next().unwrap_or_default();
        match op {
            VersionOp::Capabilities => {
                let name = CAPABILITY_64BIT.as_bytes();
                let mut words = content.split(|&byte| byte == b' ');
                assert!(words.any(|word| word == name), "the capabilities");
            }
            VersionOp::CommandLine => {
                let option = b"dom0_mem=";
                let found = content.windows(option.len()).any(|window| window == option);
                assert!(found, "the command line");
            }
            _ => {}
        }
    }
}
