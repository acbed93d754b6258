//! Zstandard frames.
//!
//! A kernel is compressed from a pipe at the highest level, so its frame asks for a window of 128 MiB
//! without saying how long it is. Nothing can lie further back than the output is long, so the decoder is
//! handed a frame header that asks for no larger window than that.

use super::{Compression, DecodeError};
use ruzstd::{
    decoding::{BlockDecodingStrategy, FrameDecoder, errors::FrameDecoderError},
    io::Read,
};

const FRAME_MAGIC: u32 = 0xFD2F_B528;
const SKIPPABLE_MAGIC: core::ops::RangeInclusive<u32> = 0x184D_2A50..=0x184D_2A5F;
/// Magic, descriptor, window, dictionary identifier, content size at their longest.
const MAX_HEADER: usize = 4 + 1 + 1 + 4 + 8;
/// The largest block of the format, and the smallest window that we ask for.
const MAX_BLOCK: u64 = 128 << 10;
/// Tables and block buffers of the decoder, and the slack that its window keeps, rounded up.
const STATE: usize = 1 << 20;

const TRUNCATED: DecodeError = DecodeError::Truncated(Compression::Zstd);

const fn damaged(detail: &'static str) -> DecodeError {
    DecodeError::Damaged {
        compression: Compression::Zstd,
        detail,
    }
}

pub(super) fn decompress(
    input: &[u8],
    output: &mut [u8],
    progress: &mut dyn FnMut(usize),
) -> Result<usize, DecodeError> {
    let limit = output.len();
    let does_not_fit = DecodeError::DoesNotFit {
        compression: Compression::Zstd,
        limit,
    };
    let mut rest = input;
    let mut free = output;
    while let Some(magic) = rest.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)) {
        if SKIPPABLE_MAGIC.contains(&magic) {
            rest = skip(rest).ok_or(TRUNCATED)?;
            continue;
        }
        if magic != FRAME_MAGIC {
            break;
        }
        let header = Header::parse(rest)?;
        if header.content_len.is_some_and(|len| len > limit as u64) {
            return Err(does_not_fit);
        }
        let needed = ring_len(header.window(limit)).saturating_add(STATE);
        if !super::heap_has(needed) {
            return Err(DecodeError::OutOfMemory {
                compression: Compression::Zstd,
                needed,
            });
        }
        // A decoder of its own for each frame: reusing one keeps its buffers, and they only grow.
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(u64::MAX);
        decoder
            .init(
                header
                    .bytes_for(limit)
                    .get(..header.len)
                    .unwrap_or_default(),
            )
            .map_err(decode_error)?;
        rest = rest.get(header.len..).unwrap_or_default();
        loop {
            let is_last = decoder
                .decode_blocks(&mut rest, BlockDecodingStrategy::UptoBlocks(1))
                .map_err(decode_error)?;
            while decoder.can_collect() != 0 {
                let written = decoder
                    .read(free)
                    .map_err(|_| damaged("its window cannot be read"))?;
                if written == 0 {
                    return Err(does_not_fit);
                }
                free = free.get_mut(written..).unwrap_or_default();
            }
            progress(input.len().saturating_sub(rest.len()));
            if is_last {
                break;
            }
        }
        if decoder
            .get_checksum_from_data()
            .is_some_and(|sum| decoder.get_calculated_checksum() != Some(sum))
        {
            return Err(DecodeError::ChecksumWrong(Compression::Zstd));
        }
    }
    if rest.len() == input.len() {
        return Err(TRUNCATED);
    }
    Ok(limit.saturating_sub(free.len()))
}

/// See [`super::heap_needed`]; exact for the first frame, which in a kernel is the only one.
pub(super) fn heap_needed(input: &[u8], output_len: usize) -> usize {
    let window = Header::parse(input).map_or(0, |header| header.window(output_len));
    ring_len(window).saturating_add(STATE)
}

/// Bytes that the crate allocates for a window: a power of two above a slack of two blocks. It grows once
/// more if the slack leaves no room for one block beside the window.
fn ring_len(window: u64) -> usize {
    let slack = 2 * MAX_BLOCK;
    let above = |len: u64| {
        len.saturating_sub(slack)
            .checked_next_power_of_two()
            .unwrap_or(u64::MAX)
            .saturating_add(slack + 1)
    };
    let first = above(window);
    let with_block = window.saturating_add(MAX_BLOCK);
    let grown = if first > with_block {
        0
    } else {
        above(with_block)
    };
    usize::try_from(first.saturating_add(grown)).unwrap_or(usize::MAX)
}

/// What is behind a skippable frame.
fn skip(frame: &[u8]) -> Option<&[u8]> {
    let len = frame
        .get(4..)?
        .first_chunk()
        .map(|bytes| u32::from_le_bytes(*bytes))?;
    frame.get(8..)?.get(usize::try_from(len).ok()?..)
}

/// A frame header.
struct Header {
    bytes: [u8; MAX_HEADER],
    /// Bytes of `bytes` that are the header.
    len: usize,
    /// Exponent and mantissa of the window; a frame in a single segment has none.
    window_byte: Option<u8>,
    /// Bytes that the frame unpacks to, if it says so.
    content_len: Option<u64>,
}

const DESCRIPTOR: usize = 4;
const WINDOW: usize = 5;
const SINGLE_SEGMENT: u8 = 1 << 5;

impl Header {
    fn parse(frame: &[u8]) -> Result<Self, DecodeError> {
        let descriptor = *frame.get(DESCRIPTOR).ok_or(TRUNCATED)?;
        let is_single = descriptor & SINGLE_SEGMENT != 0;
        let dictionary_len = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let content_field_len = match descriptor >> 6 {
            0 => usize::from(is_single),
            exponent => 1 << exponent,
        };
        let content_at = WINDOW + usize::from(!is_single) + dictionary_len;
        let len = content_at + content_field_len;
        let header = frame.get(..len).ok_or(TRUNCATED)?;
        let mut bytes = [0; MAX_HEADER];
        for (to, from) in bytes.iter_mut().zip(header) {
            *to = *from;
        }
        let content = header.get(content_at..).unwrap_or_default();
        let value = content
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte));
        let content_len = match content_field_len {
            0 => None,
            2 => Some(value + 256),
            _ => Some(value),
        };
        let window_byte = header.get(WINDOW).copied().filter(|_| !is_single);
        Ok(Self {
            bytes,
            len,
            window_byte,
            content_len,
        })
    }

    /// The window in bytes that the decoder is asked to keep for an output of `limit` bytes.
    fn window(&self, limit: usize) -> u64 {
        match self.window_byte {
            Some(byte) => window_len(byte.min(sufficient_window(limit))),
            None => self.content_len.unwrap_or(0).min(limit as u64),
        }
    }

    /// The header with no larger a window than an output of `limit` bytes can use.
    fn bytes_for(&self, limit: usize) -> [u8; MAX_HEADER] {
        let mut bytes = self.bytes;
        if let Some(byte) = self.window_byte {
            bytes[WINDOW] = byte.min(sufficient_window(limit));
        }
        bytes
    }
}

/// The window in bytes that a window byte means: five bits of exponent, three of mantissa. Larger bytes
/// mean larger windows.
pub(super) fn window_len(byte: u8) -> u64 {
    let base = 1_u64 << (10 + (byte >> 3));
    base + base / 8 * u64::from(byte & 7)
}

/// The smallest window byte with which every match in an output of `limit` bytes is inside the window.
pub(super) fn sufficient_window(limit: usize) -> u8 {
    let needed = (limit as u64).max(MAX_BLOCK);
    (0..=u8::MAX)
        .find(|byte| window_len(*byte) >= needed)
        .unwrap_or(u8::MAX)
}

fn decode_error(error: FrameDecoderError) -> DecodeError {
    use ruzstd::decoding::errors::{
        BlockHeaderReadError, DecodeBlockContentError, DecompressBlockError,
    };
    match error {
        FrameDecoderError::FailedToReadChecksum(_)
        | FrameDecoderError::FailedToReadBlockHeader(BlockHeaderReadError::ReadError(_))
        | FrameDecoderError::FailedToReadBlockBody(
            DecodeBlockContentError::ReadError { .. }
            | DecodeBlockContentError::DecompressBlockError(
                DecompressBlockError::BlockContentReadError(_),
            ),
        ) => TRUNCATED,
        FrameDecoderError::FailedToReadBlockHeader(_) => damaged("invalid block header"),
        FrameDecoderError::FailedToReadBlockBody(_) => damaged("invalid block"),
        FrameDecoderError::DictNotProvided { .. } => DecodeError::Unsupported {
            compression: Compression::Zstd,
            detail: "a dictionary",
        },
        _ => damaged("invalid frame header"),
    }
}
