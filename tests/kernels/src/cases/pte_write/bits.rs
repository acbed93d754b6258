//! BTS, BTR and BTC on an entry, locked and not, by immediate and by register, with the old bit in the
//! carry flag; a register's bit number reaches beyond the word.

use super::super::prelude::*;
use super::Live;

pub(crate) fn run() {
    let live = Live::new();
    let at = live.at(0);
    let mut was_set: u8;
    let trap = probe!("lock btr qword ptr [{at}], 1", "setc {was}"; at = in(reg) at, was = out(reg_byte) was_set);
    assert_eq!((trap, was_set, live.read(0)), (None, 1, live.value & !2));
    let trap = probe!("lock bts qword ptr [{at}], 1", "setc {was}"; at = in(reg) at, was = out(reg_byte) was_set);
    assert_eq!((trap, was_set, live.read(0)), (None, 0, live.value));
    let trap = probe!("btc qword ptr [{at}], 6", "setc {was}"; at = in(reg) at, was = out(reg_byte) was_set);
    assert_eq!((trap, was_set, live.read(0)), (None, 1, live.value & !0x40));
    let trap = probe!("bts qword ptr [{at}], {bit}", "setc {was}"; at = in(reg) at, bit = in(reg) 6u64, was = out(reg_byte) was_set);
    assert_eq!((trap, was_set, live.read(0)), (None, 0, live.value));
    // Bit 128 + 1 is bit 1 two words on.
    assert_eq!(
        memory::set_entry(live.tables.l1.word_address(2), live.value),
        Ok(0)
    );
    let trap = probe!("lock btr qword ptr [{at}], {bit}", "setc {was}"; at = in(reg) at, bit = in(reg) 129u64, was = out(reg_byte) was_set);
    assert_eq!((trap, was_set, live.read(2)), (None, 1, live.value & !2));
    assert_eq!(live.read(0), live.value);
}
