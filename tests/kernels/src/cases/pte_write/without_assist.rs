//! The first domain's stores into page tables are carried out also without the assist for it: its stores to what it
//! may only read are looked at in any case, as they may be to a device.

use super::super::prelude::*;
use super::Live;
use guest_abi::vm_assist::{VmAssist, VmAssistCommand};

pub(crate) fn run() {
    let live = Live::new();
    let assist = VmAssist::WritablePagetables.number();
    let outcome = hypercall!(VmAssist, VmAssistCommand::Disable.number(), assist);
    assert_eq!(outcome, Ok(0));
    for value in [live.value, 0] {
        let trap = probe!("mov [{at}], {value}"; at = in(reg) live.at(1), value = in(reg) value);
        assert_eq!((trap, live.read(1)), (None, value));
    }
}
