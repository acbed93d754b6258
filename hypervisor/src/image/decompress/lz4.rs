//! lz4 in the old frame format that kernels use: a signature, then blocks, each behind its compressed
//! length, until the input ends. The format has no checksum.

use super::{Compression, DecodeError};
use lz4_flex::block::DecompressError;

const SIGNATURE_LEN: usize = 4;
/// Read as a block length, this is the signature of a frame that was appended.
const SIGNATURE: u32 = 0x184C_2102;
/// Every block but the last unpacks to this many bytes.
const BLOCK: usize = 8 << 20;
/// No encoder makes a block of more bytes than this, incompressible data included.
const MAX_PACKED_BLOCK: usize = BLOCK + BLOCK / 255 + 16;

const TRUNCATED: DecodeError = DecodeError::Truncated(Compression::Lz4Legacy);

const fn damaged(detail: &'static str) -> DecodeError {
    DecodeError::Damaged {
        compression: Compression::Lz4Legacy,
        detail,
    }
}

pub(super) fn decompress(
    input: &[u8],
    output: &mut [u8],
    progress: &mut dyn FnMut(usize),
) -> Result<usize, DecodeError> {
    let limit = output.len();
    let mut rest = input.get(SIGNATURE_LEN..).ok_or(TRUNCATED)?;
    let mut free = output;
    while !rest.is_empty() {
        let (len, behind) = rest.split_first_chunk().ok_or(TRUNCATED)?;
        let len = u32::from_le_bytes(*len);
        if len == SIGNATURE {
            rest = behind;
            continue;
        }
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len == 0 || len > MAX_PACKED_BLOCK {
            return Err(damaged("a block has an impossible length"));
        }
        let (block, behind) = behind.split_at_checked(len).ok_or(TRUNCATED)?;
        let space = free.len().min(BLOCK);
        let target = free.get_mut(..space).unwrap_or_default();
        let written =
            lz4_flex::block::decompress_into(block, target).map_err(|error| match error {
                DecompressError::OutputTooSmall { .. } if space < BLOCK => {
                    DecodeError::DoesNotFit {
                        compression: Compression::Lz4Legacy,
                        limit,
                    }
                }
                DecompressError::OutputTooSmall { .. } => {
                    damaged("a block unpacks to more than 8 MiB")
                }
                DecompressError::OffsetOutOfBounds => damaged("a match lies before its block"),
                _ => damaged("a block ends in the middle of a sequence"),
            })?;
        free = free.get_mut(written..).unwrap_or_default();
        rest = behind;
        progress(input.len().saturating_sub(rest.len()));
    }
    Ok(limit.saturating_sub(free.len()))
}
