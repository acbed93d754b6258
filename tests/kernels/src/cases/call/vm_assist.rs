//! The assists that a 64-bit kernel knows can be switched on and off; others are refused.

use super::super::prelude::*;
use guest_abi::vm_assist::{VmAssist, VmAssistCommand};

pub(crate) fn run() {
    for assist in [
        VmAssist::FourGbSegments,
        VmAssist::WritablePagetables,
        VmAssist::PaeExtendedCr3,
        VmAssist::ArchitecturalIopl,
        VmAssist::RunstateUpdateFlag,
        VmAssist::M2pStrict,
    ] {
        for command in [
            VmAssistCommand::Enable,
            VmAssistCommand::Disable,
            VmAssistCommand::Disable,
            VmAssistCommand::Enable,
        ] {
            let outcome = hypercall!(VmAssist, command.number(), assist.number());
            // What only 32-bit guests have any use of may be refused or ignored.
            let is_for_32bit =
                matches!(assist, VmAssist::FourGbSegments | VmAssist::PaeExtendedCr3);
            assert!(
                outcome == Ok(0) || is_for_32bit && outcome == Err(Errno::EINVAL),
                "{command:?} {assist:?}: {outcome:?}"
            );
        }
    }
    for assist in [6u64, 31, 33, 64, 1000] {
        assert_eq!(
            hypercall!(VmAssist, 0u64, assist),
            Err(Errno::EINVAL),
            "assist {assist}"
        );
    }
    assert_eq!(
        hypercall!(VmAssist, 2u64, 2u64),
        Err(Errno::ENOSYS),
        "command 2"
    );
}
