//! INT3 is vector 3, without an error code, after the instruction, whatever the descriptor's privilege
//! level says.

use super::super::prelude::*;

pub(crate) fn run() {
    for dpl in [0, 3] {
        let entry = trap::info(BP as u8, dpl);
        assert_eq!(trap::set_table(&[entry]), Ok(0));
        let trap = probe!("int3");
        assert_eq!(trap::expect(trap, BP, 0).offset, 1, "DPL {dpl}");
    }
}
