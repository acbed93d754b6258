//! Addresses of the hypervisor are page faults like others, but for the machine-to-physical table, which
//! can be read and not written.

use super::super::prelude::*;

pub(crate) fn run() {
    let own = Vaddr::M2P_START.0 + Frame::alloc().mfn().0 * 8;
    assert_eq!(
        probe!("mov {tmp}, [{address}]"; address = in(reg) own, tmp = out(reg) _),
        None
    );
    let trap = probe!("mov qword ptr [{address}], 0"; address = in(reg) own);
    let trap = trap::expect(trap, PF, PF_PRESENT | PF_WRITE);
    assert_eq!(trap.cr2, own);

    // Every root slot of the hypervisor, near its start and in its middle: nothing there is readable but
    // what belongs to the table.
    for slot in 256..272u64 {
        for offset in [0x1000, 0x20_0000_0000, 0x40_0000_0000] {
            let address = 0xffff_0000_0000_0000 | slot << 39 | offset;
            let trap =
                probe!("mov {tmp}, [{address}]"; address = in(reg) address, tmp = out(reg) _);
            match trap {
                None => assert!(address < Vaddr::M2P_END.0, "{address:#x} is readable"),
                Some(trap) => {
                    assert_eq!((trap.frame.vector, trap.cr2), (PF, address));
                    assert_eq!(
                        trap.frame.error_code & (PF_USER | PF_WRITE),
                        0,
                        "{address:#x}"
                    );
                }
            }
        }
    }
}
