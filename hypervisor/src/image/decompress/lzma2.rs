//! LZMA2, straight into the output, which is the dictionary as well.
//!
//! A stream is a sequence of chunks: bytes as they are, or LZMA, each with its length before and after. A decoder of
//! our own, because those of crates decode into a dictionary and copy from there, keep the coder in memory between two
//! bits, and took three quarters of the time in which a first domain's kernel starts (of 5.9 s under emulation).
//! They are what this one is tested against.
//!
//! Whatever the bytes are, nothing is written beyond the output, nothing is read before its beginning, and the time is
//! bounded by the length of input and output.
#![forbid(unsafe_code)]

extern crate alloc;

use super::range::{EVEN, RangeDecoder, entry};
use alloc::boxed::Box;

/// Why there is no output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lzma2Error {
    /// The input ends in the middle.
    Truncated,
    /// More comes out than there is room for.
    DoesNotFit,
    /// In the format's own terms.
    Damaged(&'static str),
    /// The heap is full.
    OutOfMemory,
}

/// Shortest match.
const MIN_LENGTH: u32 = 2;
/// Kinds of what came last; 12 are used. The first seven end with a literal.
const STATES: usize = 16;
const FIRST_STATE_AFTER_MATCH: u32 = 7;
/// Distances below this are coded by their slot alone, those below the next one by learned bits.
const FIRST_SLOT_WITH_BITS: u32 = 4;
const FIRST_SLOT_WITH_EVEN_BITS: u32 = 14;
/// Of a long distance, this many of the lowest bits are learned.
const ALIGN_BITS: u32 = 4;

/// What is learned of lengths.
#[derive(Clone)]
struct Lengths {
    choice: [u16; 2],
    low: [[u16; 8]; 16],
    mid: [[u16; 8]; 16],
    high: [u16; 256],
}

impl Lengths {
    const NEW: Self = Self {
        choice: [EVEN; 2],
        low: [[EVEN; 8]; 16],
        mid: [[EVEN; 8]; 16],
        high: [EVEN; 256],
    };

    #[inline(always)]
    fn decode(&mut self, coder: &mut RangeDecoder<'_>, position: u32) -> u32 {
        if coder.bit(entry(&mut self.choice, 0)) == 0 {
            MIN_LENGTH + coder.number(3, entry(&mut self.low, position))
        } else if coder.bit(entry(&mut self.choice, 1)) == 0 {
            MIN_LENGTH + 8 + coder.number(3, entry(&mut self.mid, position))
        } else {
            MIN_LENGTH + 16 + coder.number(8, &mut self.high)
        }
    }
}

/// What is learned, but of literals.
#[derive(Clone)]
struct Model {
    is_match: [[u16; 16]; STATES],
    is_repeated: [u16; STATES],
    is_not_latest: [u16; STATES],
    is_longer_than_one: [[u16; 16]; STATES],
    is_not_second: [u16; STATES],
    is_not_third: [u16; STATES],
    lengths: Lengths,
    repeated_lengths: Lengths,
    slots: [[u16; 64]; 4],
    distances: [u16; 128],
    align: [u16; 1 << ALIGN_BITS],
}

impl Model {
    const NEW: Self = Self {
        is_match: [[EVEN; 16]; STATES],
        is_repeated: [EVEN; STATES],
        is_not_latest: [EVEN; STATES],
        is_longer_than_one: [[EVEN; 16]; STATES],
        is_not_second: [EVEN; STATES],
        is_not_third: [EVEN; STATES],
        lengths: Lengths::NEW,
        repeated_lengths: Lengths::NEW,
        slots: [[EVEN; 64]; 4],
        distances: [EVEN; 128],
        align: [EVEN; 1 << ALIGN_BITS],
    };
}

/// What is learned of literals in one context: a third each for those that follow a literal and those that follow a
/// match whose next byte has a 0 or a 1 at the same place; the last quarter is not used.
type Literals = [u16; 1024];

/// The distance less one of the latest match, and of those before it.
type Distances = [u32; 4];

/// Which bits of a position and of the byte before matter.
#[derive(Clone, Copy)]
struct Properties {
    /// Of the byte before, for a literal.
    context_bits: u32,
    context_mask: u32,
    position_mask: u32,
}

impl Properties {
    fn new(byte: u8) -> Option<Self> {
        let (context_bits, rest) = (u32::from(byte % 9), byte / 9);
        let (literal_position_bits, position_bits) = (u32::from(rest % 5), u32::from(rest / 5));
        (position_bits <= 4 && context_bits + literal_position_bits <= 4).then_some(Self {
            context_bits,
            context_mask: (1 << literal_position_bits) - 1,
            position_mask: (1 << position_bits) - 1,
        })
    }
}

/// A decoder of chunks of LZMA.
struct Lzma {
    model: Box<Model>,
    literals: Box<[Literals; 16]>,
    properties: Properties,
    state: u32,
    distances: Distances,
}

impl Lzma {
    /// Bytes on the heap.
    const HEAP: usize = size_of::<Model>() + size_of::<[Literals; 16]>();

    fn new() -> Result<Self, Lzma2Error> {
        let mut literals = alloc::vec::Vec::new();
        literals
            .try_reserve_exact(16)
            .map_err(|_| Lzma2Error::OutOfMemory)?;
        literals.resize(16, [EVEN; 1024]);
        let literals = literals.into_boxed_slice().try_into();
        Ok(Self {
            model: Box::new(Model::NEW),
            literals: literals.map_err(|_| Lzma2Error::OutOfMemory)?,
            properties: Properties {
                context_bits: 0,
                context_mask: 0,
                position_mask: 0,
            },
            state: 0,
            distances: [0; 4],
        })
    }

    /// Forgets what was learned.
    fn reset(&mut self) {
        *self.model = Model::NEW;
        for table in self.literals.iter_mut() {
            table.fill(EVEN);
        }
        self.state = 0;
        self.distances = [0; 4];
    }

    /// Decodes a chunk that fills `output` from `at` on to its end. What is before that is the dictionary, of which
    /// distances up to `reach` may be used.
    fn decode(
        &mut self,
        input: &[u8],
        output: &mut [u8],
        mut at: usize,
        reach: usize,
    ) -> Result<(), Lzma2Error> {
        const DAMAGED: Lzma2Error = Lzma2Error::Damaged("a chunk's bytes make no sense");
        let mut coder = RangeDecoder::new(input).ok_or(DAMAGED)?;
        let (model, literals) = (&mut *self.model, &mut *self.literals);
        let properties = self.properties;
        let mut state = self.state;
        let [mut latest, mut second, mut third, mut fourth] = self.distances;
        while at < output.len() {
            let place = at as u32 & properties.position_mask;
            if coder.bit(entry(entry(&mut model.is_match, state), place)) == 0 {
                let before = at.checked_sub(1).map_or(0, |before| output[before]);
                let context = (at as u32 & properties.context_mask) << properties.context_bits
                    | u32::from(before) >> (8 - properties.context_bits);
                let table = entry(literals, context);
                let byte = if state < FIRST_STATE_AFTER_MATCH {
                    coder.number(8, table) as u8
                } else {
                    let there = at.checked_sub(latest as usize + 1);
                    let like = there.and_then(|there| output.get(there)).ok_or(DAMAGED)?;
                    literal_after_match(&mut coder, table, u32::from(*like))
                };
                output[at] = byte;
                at += 1;
                state = match state {
                    0..4 => 0,
                    4..10 => state - 3,
                    _ => state - 6,
                };
                continue;
            }
            let length = if coder.bit(entry(&mut model.is_repeated, state)) == 0 {
                let length = model.lengths.decode(&mut coder, place);
                (fourth, third, second) = (third, second, latest);
                latest = distance(&mut coder, model, length);
                state = if state < FIRST_STATE_AFTER_MATCH {
                    7
                } else {
                    10
                };
                length
            } else {
                if coder.bit(entry(&mut model.is_not_latest, state)) == 0 {
                    let is_longer = entry(entry(&mut model.is_longer_than_one, state), place);
                    if coder.bit(is_longer) == 0 {
                        state = if state < FIRST_STATE_AFTER_MATCH {
                            9
                        } else {
                            11
                        };
                        copy(output, at, latest, 1, reach).ok_or(DAMAGED)?;
                        at += 1;
                        continue;
                    }
                } else if coder.bit(entry(&mut model.is_not_second, state)) == 0 {
                    (latest, second) = (second, latest);
                } else if coder.bit(entry(&mut model.is_not_third, state)) == 0 {
                    (latest, second, third) = (third, latest, second);
                } else {
                    (latest, second, third, fourth) = (fourth, latest, second, third);
                }
                state = if state < FIRST_STATE_AFTER_MATCH {
                    8
                } else {
                    11
                };
                model.repeated_lengths.decode(&mut coder, place)
            };
            copy(output, at, latest, length as usize, reach).ok_or(DAMAGED)?;
            at += length as usize;
        }
        self.state = state;
        self.distances = [latest, second, third, fourth];
        if coder.is_finished() {
            Ok(())
        } else {
            Err(DAMAGED)
        }
    }
}

/// The distance, less one, of a match of this length.
#[inline(always)]
fn distance(coder: &mut RangeDecoder<'_>, model: &mut Model, length: u32) -> u32 {
    let slot = coder.number(6, entry(&mut model.slots, (length - MIN_LENGTH).min(3)));
    if slot < FIRST_SLOT_WITH_BITS {
        return slot;
    }
    let bits = (slot >> 1) - 1;
    let high = (2 | slot & 1) << bits;
    if slot < FIRST_SLOT_WITH_EVEN_BITS {
        let first = high.wrapping_sub(slot + 1);
        high | coder.reversed(bits, &mut model.distances, first)
    } else {
        let even = coder.even(bits - ALIGN_BITS);
        high | even << ALIGN_BITS | coder.reversed(ALIGN_BITS, &mut model.align, 0)
    }
}

/// A literal where a match has just ended: most likely not the byte with which it would have gone on.
#[inline(always)]
fn literal_after_match(coder: &mut RangeDecoder<'_>, table: &mut Literals, like: u32) -> u8 {
    let mut symbol = 1;
    let mut like = like << 1;
    // As long as all bits were the same.
    let mut same = 0x100;
    for _ in 0..8 {
        let expected = like & same;
        let index = (same | symbol).wrapping_add(expected);
        let bit = coder.bit(entry(table, index));
        symbol = symbol << 1 | bit;
        same &= if bit == 0 { !like } else { like };
        like <<= 1;
    }
    symbol as u8
}

/// Repeats `length` bytes from `distance` + 1 bytes back. `None`: there is nothing, or there is no room.
#[inline(always)]
fn copy(output: &mut [u8], at: usize, distance: u32, length: usize, reach: usize) -> Option<()> {
    let back = distance as usize + 1;
    let from = at.checked_sub(back).filter(|_| back <= reach)?;
    let end = at.checked_add(length).filter(|&end| end <= output.len())?;
    if length <= back {
        output.copy_within(from..from + length, at);
    } else {
        // It runs into itself.
        for to in at..end {
            output[to] = output[to - back];
        }
    }
    Some(())
}

/// Bytes of heap that [`decode`] needs.
pub(super) const HEAP: usize = Lzma::HEAP;

/// Takes chunks off `input` until the last one, and unpacks them to the start of `output`. A match may go back
/// `dictionary` bytes. `progress` hears of what is left of the input. Returns how much has come out.
pub(super) fn decode(
    input: &mut &[u8],
    mut output: &mut [u8],
    dictionary: usize,
    progress: &mut dyn FnMut(&[u8]),
) -> Result<usize, Lzma2Error> {
    const NO_START: Lzma2Error = Lzma2Error::Damaged("a chunk relies on what was not there");
    let mut lzma = Lzma::new()?;
    // In `output`, which begins where the dictionary does.
    let (mut at, mut before) = (0_usize, 0_usize);
    let (mut has_dictionary, mut has_properties, mut has_state) = (false, false, false);
    loop {
        progress(input);
        let [control] = take(input)?;
        if control == 0 {
            return Ok(before + at);
        }
        if control == 1 || control >= 0xE0 {
            output = core::mem::take(&mut output).split_at_mut(at).1;
            before += core::mem::take(&mut at);
            (has_dictionary, has_properties) = (true, false);
        } else if !has_dictionary {
            return Err(NO_START);
        }
        if (3..0x80).contains(&control) {
            return Err(Lzma2Error::Damaged("an unknown kind of chunk"));
        }
        let unpacked_low = usize::from(u16::from_be_bytes(take(input)?)) + 1;
        if control < 0x80 {
            let bytes = input
                .split_off(..unpacked_low)
                .ok_or(Lzma2Error::Truncated)?;
            let room = output.get_mut(at..at + unpacked_low);
            room.ok_or(Lzma2Error::DoesNotFit)?.copy_from_slice(bytes);
            at += unpacked_low;
            continue;
        }
        let end = at + (usize::from(control & 0x1F) << 16) + unpacked_low;
        let packed = usize::from(u16::from_be_bytes(take(input)?)) + 1;
        if control >= 0xC0 {
            let [byte] = take(input)?;
            let properties = Properties::new(byte);
            lzma.properties = properties.ok_or(Lzma2Error::Damaged("unknown properties"))?;
            has_properties = true;
        }
        if control >= 0xA0 {
            lzma.reset();
            has_state = true;
        }
        if !has_properties || !has_state {
            return Err(NO_START);
        }
        let bytes = input.split_off(..packed).ok_or(Lzma2Error::Truncated)?;
        let chunk = output.get_mut(..end).ok_or(Lzma2Error::DoesNotFit)?;
        lzma.decode(bytes, chunk, at, dictionary)?;
        at = end;
    }
}

/// Takes some bytes off the input.
fn take<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], Lzma2Error> {
    let (taken, rest) = input.split_first_chunk().ok_or(Lzma2Error::Truncated)?;
    *input = rest;
    Ok(*taken)
}
