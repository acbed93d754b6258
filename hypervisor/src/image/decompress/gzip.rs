//! gzip: a small header, one DEFLATE stream, and a trailer with CRC-32 and length.

use super::{Compression, DecodeError, STEP, alloc::boxed::Box, checksum::Checksum};
use miniz_oxide::inflate::{
    TINFLStatus,
    core::{DecompressorOxide, inflate_flags},
};

/// The decoder's state, rounded up.
pub(super) const HEAP: usize = 16 << 10;

const DEFLATE: u8 = 8;
const HAS_HEADER_CRC: u8 = 1 << 1;
const HAS_EXTRA: u8 = 1 << 2;
const HAS_NAME: u8 = 1 << 3;
const HAS_COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

const TRUNCATED: DecodeError = DecodeError::Truncated(Compression::Gzip);

const fn damaged(detail: &'static str) -> DecodeError {
    DecodeError::Damaged {
        compression: Compression::Gzip,
        detail,
    }
}

pub(super) fn decompress(
    input: &[u8],
    output: &mut [u8],
    progress: &mut dyn FnMut(usize),
) -> Result<usize, DecodeError> {
    if !super::heap_has(HEAP) {
        return Err(DecodeError::OutOfMemory {
            compression: Compression::Gzip,
            needed: HEAP,
        });
    }
    let mut rest = skip_header(input)?;
    let mut state = Box::<DecompressorOxide>::default();
    let mut crc = Checksum::crc32();
    let mut written = 0_usize;
    loop {
        let limit = written.saturating_add(STEP).min(output.len());
        let target = output.get_mut(..limit).unwrap_or_default();
        let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let (status, consumed, produced) =
            miniz_oxide::inflate::core::decompress(&mut state, rest, target, written, flags);
        rest = rest.get(consumed..).unwrap_or_default();
        let end = written.saturating_add(produced);
        crc.update(output.get(written..end).unwrap_or_default());
        written = end;
        progress(input.len().saturating_sub(rest.len()));
        match status {
            TINFLStatus::Done => break,
            TINFLStatus::HasMoreOutput if written < output.len() => {}
            TINFLStatus::HasMoreOutput => {
                return Err(DecodeError::DoesNotFit {
                    compression: Compression::Gzip,
                    limit: output.len(),
                });
            }
            TINFLStatus::FailedCannotMakeProgress | TINFLStatus::NeedsMoreInput => {
                return Err(TRUNCATED);
            }
            _ => return Err(damaged("invalid DEFLATE data")),
        }
    }
    let (expected_crc, rest) = rest.split_first_chunk::<4>().ok_or(TRUNCATED)?;
    let (expected_len, _) = rest.split_first_chunk().ok_or(TRUNCATED)?;
    if !crc.is(expected_crc) {
        return Err(DecodeError::ChecksumWrong(Compression::Gzip));
    }
    // The format keeps the length modulo 2^32.
    if u32::from_le_bytes(*expected_len) != written as u32 {
        return Err(damaged("its length is not the one in its trailer"));
    }
    Ok(written)
}

/// The bytes behind the gzip header.
fn skip_header(input: &[u8]) -> Result<&[u8], DecodeError> {
    let ([_, _, method, flags, ..], mut rest) = input.split_first_chunk::<10>().ok_or(TRUNCATED)?;
    if *method != DEFLATE {
        return Err(damaged("its compression method is not DEFLATE"));
    }
    if flags & RESERVED != 0 {
        return Err(damaged("reserved header flags are set"));
    }
    if flags & HAS_EXTRA != 0 {
        let (len, behind) = rest.split_first_chunk().ok_or(TRUNCATED)?;
        rest = behind
            .get(usize::from(u16::from_le_bytes(*len))..)
            .ok_or(TRUNCATED)?;
    }
    for has_text in [HAS_NAME, HAS_COMMENT] {
        if flags & has_text != 0 {
            let end = rest.iter().position(|byte| *byte == 0).ok_or(TRUNCATED)?;
            rest = rest.get(end.saturating_add(1)..).ok_or(TRUNCATED)?;
        }
    }
    if flags & HAS_HEADER_CRC != 0 {
        rest = rest.get(2..).ok_or(TRUNCATED)?;
    }
    Ok(rest)
}
