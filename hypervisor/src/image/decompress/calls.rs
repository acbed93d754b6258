//! The filter for x86 code: call and jump instructions that say where they go are turned back into ones that say how
//! far away that is.
//!
//! Code calls the same functions from many places. Packers write the target into each call, because then all calls of
//! one function look alike, where the distances in the real instructions all differ. What is a call is a guess, made
//! from bytes alone, by packers and here in exactly the same way.
#![forbid(unsafe_code)]

/// Bytes of an instruction: the opcode and an address.
const LENGTH: usize = 5;

/// Undoes the filter in `code`, all of a stream of which the first byte is taken to be at address `start`.
pub(super) fn undo(code: &mut [u8], start: u32) {
    // Which of the three bytes before `base` are opcodes of what was left alone: bit 0 is the latest.
    let (mut opcodes, mut base) = (0_u32, 0_usize);
    let mut from = 0;
    while let Some(at) = find(code, from) {
        let Some([_, address @ ..]) = code
            .get_mut(at..)
            .and_then(<[u8]>::first_chunk_mut::<LENGTH>)
        else {
            return;
        };
        opcodes = match at - base {
            moved @ 0..3 => opcodes << moved & 0b111,
            _ => 0,
        };
        base = at;
        // How far back the first of them is.
        let overlap = u32::BITS - opcodes.leading_zeros();
        let is_call = is_far(address[3])
            && match overlap {
                0 => true,
                // Two may overlap if the first one can't be a call. Of more it is not known what they are.
                _ => opcodes.is_power_of_two() && !is_far(address[3 - overlap as usize]),
            };
        if is_call {
            let behind = start.wrapping_add((at + LENGTH) as u32);
            let distance = distance(u32::from_le_bytes(*address), behind, overlap);
            *address = distance.to_le_bytes();
            from = at + LENGTH;
        } else {
            opcodes = opcodes << 1 | 1;
            base = at + 1;
            from = base;
        }
    }
}

/// Whether this is the highest byte of an address that is looked at: those less than 16 MiB away in either direction.
fn is_far(highest: u8) -> bool {
    matches!(highest, 0x00 | 0xFF)
}

/// How far `target` is from `behind`. Where the instruction shares its last bytes with one that begins `overlap` bytes
/// earlier, the byte that is the other one's highest must not become one with which that one would be a call: then the
/// packer has inverted what is below. Twice is not needed, as the byte that is there now is none of those.
fn distance(target: u32, behind: u32, overlap: u32) -> u32 {
    let mut distance = target.wrapping_sub(behind);
    if overlap != 0 && is_far((distance >> (24 - 8 * overlap)) as u8) {
        distance = (distance ^ u32::MAX >> (8 * overlap)).wrapping_sub(behind);
    }
    // A sign and 24 bits below it.
    let sign = (distance >> 24 & 1).wrapping_neg() << 24;
    distance & 0x00FF_FFFF | sign
}

/// The first opcode of a call or a jump from `from` on. Most bytes are none: eight are looked at at once.
fn find(code: &[u8], from: usize) -> Option<usize> {
    const LOW: u64 = u64::MAX / 0xFF;
    const HIGH: u64 = LOW << 7;
    /// 0xE8 is a call and 0xE9 a jump.
    const fn unlike(bytes: u64) -> u64 {
        bytes & (LOW * 0xFE) ^ (LOW * 0xE8)
    }
    let tail = code.get(from..)?;
    let (words, rest) = tail.as_chunks();
    for (index, word) in words.iter().enumerate() {
        // The lowest bit that is left belongs to the first byte that is zero.
        let unlike = unlike(u64::from_le_bytes(*word));
        let zeroes = unlike.wrapping_sub(LOW) & !unlike & HIGH;
        if zeroes != 0 {
            return Some(from + index * 8 + zeroes.trailing_zeros() as usize / 8);
        }
    }
    let in_rest = rest.iter().position(|byte| byte & 0xFE == 0xE8)?;
    Some(code.len() - rest.len() + in_rest)
}
