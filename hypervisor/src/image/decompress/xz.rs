//! xz: blocks of LZMA2 data, most often behind the x86 branch filter, each followed by a checksum; then
//! an index of the blocks and a footer.
//!
//! This is the container; [`lzma2`] unpacks what is in it, and [`calls`] undoes the filter.

use super::lzma2::{self, Lzma2Error};
use super::{Compression, DecodeError, calls, checksum};
use checksum::{Checksum, crc32};

/// Bytes of heap for what the decoder learns.
pub(super) const HEAP: usize = lzma2::HEAP;

const MAGIC: [u8; 6] = *b"\xFD7zXZ\0";
const FOOTER_MAGIC: [u8; 2] = *b"YZ";
const FILTER_X86: u64 = 0x04;
const FILTER_LZMA2: u64 = 0x21;

const TRUNCATED: DecodeError = DecodeError::Truncated(Compression::Xz);
const CHECKSUM_WRONG: DecodeError = DecodeError::ChecksumWrong(Compression::Xz);

const fn damaged(detail: &'static str) -> DecodeError {
    DecodeError::Damaged {
        compression: Compression::Xz,
        detail,
    }
}

const fn unsupported(detail: &'static str) -> DecodeError {
    DecodeError::Unsupported {
        compression: Compression::Xz,
        detail,
    }
}

pub(super) fn decompress(
    input: &[u8],
    output: &mut [u8],
    progress: &mut dyn FnMut(usize),
) -> Result<usize, DecodeError> {
    let mut rest = input;
    let flags = stream_header(&mut rest)?;
    let mut written = 0_usize;
    let mut blocks = Records::new();
    // A header size of 0 marks the index.
    while *rest.first().ok_or(TRUNCATED)? != 0 {
        let start = rest;
        let header = BlockHeader::take(&mut rest)?;
        let header_len = start.len().saturating_sub(rest.len());
        let free = output.get_mut(written..).unwrap_or_default();
        let mut checksum = new_checksum(flags)?;

        let mut report = |behind: &[u8]| progress(input.len().saturating_sub(behind.len()));
        let data = rest;
        let block_len = block_data(&header, &mut rest, free, &mut checksum, &mut report)?;
        written = written.saturating_add(block_len);
        let data_len = data.len().saturating_sub(rest.len());
        if header.packed_len.is_some_and(|len| len != data_len as u64)
            || header
                .unpacked_len
                .is_some_and(|len| len != block_len as u64)
        {
            return Err(damaged("a block has not the length in its header"));
        }
        zeros(&mut rest, data_len.wrapping_neg() % 4)?;
        let checksum_len = checksum.len();
        if !checksum.is(take(&mut rest, checksum_len)?) {
            return Err(CHECKSUM_WRONG);
        }
        let unpadded = header_len
            .saturating_add(data_len)
            .saturating_add(checksum_len);
        blocks.add(unpadded as u64, block_len as u64);
    }
    let index_len = index(&mut rest, &blocks)?;
    footer(&mut rest, index_len, flags)?;
    progress(input.len().saturating_sub(rest.len()));
    Ok(written)
}

/// Decodes one block's data into the start of `output` and returns its unpacked length. `report` is given
/// what is not consumed yet.
fn block_data(
    header: &BlockHeader,
    rest: &mut &[u8],
    output: &mut [u8],
    checksum: &mut Checksum,
    report: &mut dyn FnMut(&[u8]),
) -> Result<usize, DecodeError> {
    const OUT_OF_MEMORY: DecodeError = DecodeError::OutOfMemory {
        compression: Compression::Xz,
        needed: HEAP,
    };
    if !super::heap_has(HEAP) {
        return Err(OUT_OF_MEMORY);
    }
    let limit = output.len();
    let dictionary = header.dictionary as usize;
    let written = lzma2::decode(rest, output, dictionary, report).map_err(|error| match error {
        Lzma2Error::Truncated => TRUNCATED,
        Lzma2Error::Damaged(detail) => damaged(detail),
        Lzma2Error::OutOfMemory => OUT_OF_MEMORY,
        Lzma2Error::DoesNotFit => DecodeError::DoesNotFit {
            compression: Compression::Xz,
            limit,
        },
    })?;
    let block = output.get_mut(..written).unwrap_or_default();
    if let Some(start) = header.x86_start {
        calls::undo(block, start);
    }
    checksum.update(block);
    Ok(written)
}

/// What a block says of itself.
struct BlockHeader {
    packed_len: Option<u64>,
    unpacked_len: Option<u64>,
    /// Address of the first byte for the x86 filter, if the block uses it.
    x86_start: Option<u32>,
    /// Bytes of dictionary: how far back a match may go. They are the output's own.
    dictionary: u32,
}

impl BlockHeader {
    fn take(rest: &mut &[u8]) -> Result<Self, DecodeError> {
        let size = usize::from(*rest.first().ok_or(TRUNCATED)?);
        let header = take(rest, (size + 1) * 4)?;
        let (header, stored) = header.split_last_chunk().ok_or(TRUNCATED)?;
        if crc32(header) != u32::from_le_bytes(*stored) {
            return Err(CHECKSUM_WRONG);
        }
        let malformed = |_| damaged("a block header is malformed");
        let mut fields = header.get(2..).unwrap_or_default();
        let flags = header.get(1).copied().unwrap_or_default();
        if flags & 0x3C != 0 {
            return Err(unsupported("a block header with reserved flags"));
        }
        let mut length = |bit| {
            (flags & bit != 0)
                .then(|| number(&mut fields).map_err(malformed))
                .transpose()
        };
        let (packed_len, unpacked_len) = (length(0x40)?, length(0x80)?);

        let mut x86_start = None;
        let mut dictionary = None;
        for _ in 0..=(flags & 3) {
            let filter = number(&mut fields).map_err(malformed)?;
            let len = number(&mut fields).map_err(malformed)?;
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            let properties = take(&mut fields, len).map_err(malformed)?;
            match (filter, properties) {
                (FILTER_X86, []) if x86_start.is_none() && dictionary.is_none() => {
                    x86_start = Some(0)
                }
                (FILTER_X86, properties) if x86_start.is_none() && dictionary.is_none() => {
                    let start = properties
                        .try_into()
                        .map_err(|_| damaged("an x86 filter is malformed"))?;
                    x86_start = Some(u32::from_le_bytes(start));
                }
                (FILTER_LZMA2, [size]) if dictionary.is_none() => {
                    dictionary = Some(dictionary_len(*size)?)
                }
                _ => {
                    return Err(unsupported(
                        "a filter other than LZMA2, or x86 before LZMA2",
                    ));
                }
            }
        }
        if fields.iter().any(|byte| *byte != 0) {
            return Err(unsupported("a block header with unknown fields"));
        }
        let dictionary = dictionary.ok_or(unsupported("a block without LZMA2"))?;
        Ok(Self {
            packed_len,
            unpacked_len,
            x86_start,
            dictionary,
        })
    }
}

/// The dictionary size in bytes that LZMA2's property byte means: 2 or 3, shifted.
fn dictionary_len(property: u8) -> Result<u32, DecodeError> {
    match property {
        0..40 => Ok((2 | u32::from(property & 1)) << (property / 2 + 11)),
        40 => Ok(u32::MAX),
        _ => Err(damaged("its dictionary size is malformed")),
    }
}

/// The sizes of blocks, or the index's claim of them: their number and a digest, so that no list is kept.
#[derive(PartialEq, Eq)]
struct Records {
    count: u64,
    digest: u32,
}

impl Records {
    const fn new() -> Self {
        Self {
            count: 0,
            digest: 0,
        }
    }

    fn add(&mut self, unpadded_len: u64, unpacked_len: u64) {
        let mut record = [0; 20];
        let fields = [
            &self.digest.to_le_bytes()[..],
            &unpadded_len.to_le_bytes(),
            &unpacked_len.to_le_bytes(),
        ];
        for (to, from) in record.iter_mut().zip(fields.iter().copied().flatten()) {
            *to = *from;
        }
        self.digest = crc32(&record);
        self.count += 1;
    }
}

/// Takes the stream header and returns the two bytes of its flags.
fn stream_header(rest: &mut &[u8]) -> Result<[u8; 2], DecodeError> {
    if take(rest, MAGIC.len())? != MAGIC {
        return Err(damaged("no stream header"));
    }
    let flags: [u8; 2] = take_array(rest)?;
    if crc32(&flags) != u32::from_le_bytes(take_array(rest)?) {
        return Err(CHECKSUM_WRONG);
    }
    Ok(flags)
}

/// The checksum that the stream's flags ask for.
fn new_checksum(flags: [u8; 2]) -> Result<Checksum, DecodeError> {
    match flags {
        [0, 0x00] => Ok(Checksum::None),
        [0, 0x01] => Ok(Checksum::crc32()),
        [0, 0x04] => Ok(Checksum::crc64()),
        [0, 0x0A] => Err(unsupported("SHA-256 as its checksum")),
        _ => Err(unsupported("an unknown checksum")),
    }
}

/// Takes the index, compares it with the blocks, and returns its length.
fn index(rest: &mut &[u8], blocks: &Records) -> Result<usize, DecodeError> {
    let start = *rest;
    take(rest, 1)?;
    let count = number(rest)?;
    if count != blocks.count {
        return Err(damaged("its index does not list its blocks"));
    }
    let mut listed = Records::new();
    for _ in 0..count {
        let unpadded_len = number(rest)?;
        listed.add(unpadded_len, number(rest)?);
    }
    if listed != *blocks {
        return Err(damaged("its index does not list its blocks"));
    }
    let len = start.len().saturating_sub(rest.len());
    zeros(rest, len.wrapping_neg() % 4)?;
    let len = start.len().saturating_sub(rest.len());
    if crc32(start.get(..len).unwrap_or_default()) != u32::from_le_bytes(take_array(rest)?) {
        return Err(CHECKSUM_WRONG);
    }
    Ok(len + 4)
}

fn footer(rest: &mut &[u8], index_len: usize, header_flags: [u8; 2]) -> Result<(), DecodeError> {
    let stored = u32::from_le_bytes(take_array(rest)?);
    let fields = take(rest, 6)?;
    if crc32(fields) != stored {
        return Err(CHECKSUM_WRONG);
    }
    // The index length in units of four bytes, less one.
    let (backward, flags) = fields.split_first_chunk().ok_or(TRUNCATED)?;
    if (u64::from(u32::from_le_bytes(*backward)) + 1) * 4 != index_len as u64
        || flags != header_flags
    {
        return Err(damaged("its footer contradicts its header or index"));
    }
    if take_array(rest)? != FOOTER_MAGIC {
        return Err(damaged("no stream footer"));
    }
    Ok(())
}

/// Takes `len` bytes off `rest`.
fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], DecodeError> {
    let (taken, behind) = rest.split_at_checked(len).ok_or(TRUNCATED)?;
    *rest = behind;
    Ok(taken)
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], DecodeError> {
    let (taken, behind) = rest.split_first_chunk().ok_or(TRUNCATED)?;
    *rest = behind;
    Ok(*taken)
}

/// Takes `len` bytes of padding.
fn zeros(rest: &mut &[u8], len: usize) -> Result<(), DecodeError> {
    if take(rest, len)?.iter().any(|byte| *byte != 0) {
        return Err(damaged("its padding is not zero"));
    }
    Ok(())
}

/// Takes a number of the container: 7 bits a byte, the least significant first, at most nine bytes.
fn number(rest: &mut &[u8]) -> Result<u64, DecodeError> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let [byte] = take_array(rest)?;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(damaged("a number is too long"))
}
