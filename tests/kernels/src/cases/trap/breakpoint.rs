//! INT3 is vector 3, and INT 4 vector 4, without an error code, after the instruction, whatever the descriptor's privilege
//! level says.

use super::super::prelude::*;

pub(crate) fn run() {
    for dpl in [0, 3] {
        let entry = trap::info(BP as u8, dpl);
        assert_eq!(trap::set_table(&[entry]), Ok(0));
        let trap = probe!("int3");
        assert_eq!(trap::expect(trap, BP, 0).offset, 1, "DPL {dpl}");
        assert_eq!(trap::set_table(&[trap::info(OF as u8, dpl)]), Ok(0));
        let trap = probe!("int 4");
        assert_eq!(trap::expect(trap, OF, 0).offset, 2, "DPL {dpl}");
    }
}
