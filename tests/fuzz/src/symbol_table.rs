//! A symbol table of any bytes, as damage may have left it: whatever address is asked for, the answer is wrong or
//! missing at worst, and comes to an end.
//!
//! The input is an address, then the table; it is tried as it is, and again with the header made right.

use hypervisor::symbols::{Header, SymbolTable};

/// Where the header says how long all of the table is.
const TOTAL_LEN_AT: usize = core::mem::offset_of!(Header, total_len);
/// Where it says how long the strings are, which come last.
const STRINGS_LEN_AT: usize = core::mem::offset_of!(Header, strings_len);

pub fn run(input: &[u8]) {
    let Some((address, table)) = input.split_first_chunk() else {
        return;
    };
    let address = u64::from_le_bytes(*address);
    look_up(table, address);
    look_up(&repaired(table), address);
}

fn look_up(bytes: &[u8], address: u64) {
    let Ok(table) = SymbolTable::parse(bytes) else {
        return;
    };
    for address in [
        address,
        address.wrapping_add(1),
        address.wrapping_add(0x100),
        0,
        u64::MAX,
    ] {
        let frames = table.frames(address);
        assert!(frames.clone().count() <= 64, "inlining has an end");
        for place in frames {
            let _ = format!(
                "{}+{:#x} {}:{}",
                place.function, place.offset, place.file, place.line
            );
        }
        assert_eq!(table.locate(address), table.frames(address).next());
    }
}

/// The table with a length that is right, and with strings up to its end.
fn repaired(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let Ok(total) = u32::try_from(bytes.len()) else {
        return bytes;
    };
    let number = |bytes: &[u8], at: usize| {
        let number = bytes.get(at..at + 4)?.first_chunk()?;
        Some(u32::from_le_bytes(*number))
    };
    let (Some(said), Some(strings)) =
        (number(&bytes, TOTAL_LEN_AT), number(&bytes, STRINGS_LEN_AT))
    else {
        return bytes;
    };
    let more = total.wrapping_sub(said);
    bytes[TOTAL_LEN_AT..TOTAL_LEN_AT + 4].copy_from_slice(&total.to_le_bytes());
    bytes[STRINGS_LEN_AT..STRINGS_LEN_AT + 4]
        .copy_from_slice(&strings.wrapping_add(more).to_le_bytes());
    bytes
}
