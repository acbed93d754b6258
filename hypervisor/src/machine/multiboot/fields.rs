//! Walking the tags and reading their fields, every read bounded by its tag.
#![forbid(unsafe_code)]

use super::MAX_BLOCK_BYTES;
use super::error::{BootInfoError, Field, Tag};
use crate::machine::BootText;

/// A tag's `type` and `size`.
const HEADER_BYTES: u32 = 8;
/// A block's header and an end tag.
pub(super) const MIN_BLOCK_BYTES: u32 = 16;

/// Little-endian `u32` at `offset`.
pub(super) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let field = bytes.get(offset..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*field))
}

/// Little-endian `u64` at `offset`.
pub(super) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    let field = bytes.get(offset..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*field))
}

/// The tags of a block, one after the other. Each step moves on by 8 bytes or more, so it ends.
pub(super) struct Tags<'a> {
    /// The block, cut to its total size.
    block: &'a [u8],
    /// Where the next tag starts.
    offset: usize,
}

impl<'a> Tags<'a> {
    /// Checks the block's header.
    pub(super) fn new(block: &'a [u8]) -> Result<Self, BootInfoError> {
        let given = u32::try_from(block.len()).unwrap_or(u32::MAX);
        let Some(header) = block.first_chunk::<8>() else {
            return Err(BootInfoError::below(
                Tag::Block,
                Field::TotalSize,
                given,
                MIN_BLOCK_BYTES,
            ));
        };
        let total = super::block_bytes(*header)?;
        let Some(block) = block.get(..total as usize) else {
            return Err(BootInfoError::above(
                Tag::Block,
                Field::TotalSize,
                total,
                given.min(MAX_BLOCK_BYTES),
            ));
        };
        Ok(Self {
            block,
            offset: HEADER_BYTES as usize,
        })
    }

    /// The next tag; `None` after the end tag.
    pub(super) fn next_tag(&mut self) -> Result<Option<TagReader<'a>>, BootInfoError> {
        let rest = self.block.get(self.offset..).unwrap_or_default();
        let (Some(number), Some(size)) = (u32_at(rest, 0), u32_at(rest, 4)) else {
            return Err(BootInfoError::NoEndTag {
                total: self.block.len() as u32,
            });
        };
        let tag = Tag::from(number);
        if size < HEADER_BYTES {
            return Err(BootInfoError::below(tag, Field::Size, size, HEADER_BYTES));
        }
        let Some(whole) = rest.get(..size as usize) else {
            return Err(BootInfoError::above(
                tag,
                Field::Size,
                size,
                rest.len() as u32,
            ));
        };
        if tag == Tag::End {
            return Ok(None);
        }
        self.offset = self
            .offset
            .saturating_add(whole.len().next_multiple_of(HEADER_BYTES as usize));
        Ok(Some(TagReader {
            tag,
            payload: &whole[HEADER_BYTES as usize..],
        }))
    }
}

/// One tag's payload. Offsets count from the payload's first byte.
#[derive(Clone, Copy)]
pub(super) struct TagReader<'a> {
    pub(super) tag: Tag,
    payload: &'a [u8],
}

impl<'a> TagReader<'a> {
    /// The error for a tag that should be long enough for a payload of `payload_bytes`.
    fn short(&self, payload_bytes: usize) -> BootInfoError {
        let minimum = (payload_bytes as u32).saturating_add(HEADER_BYTES);
        let size = (self.payload.len() as u32).saturating_add(HEADER_BYTES);
        BootInfoError::below(self.tag, Field::Size, size, minimum)
    }

    pub(super) fn u8(&self, offset: usize) -> Result<u8, BootInfoError> {
        self.payload
            .get(offset)
            .copied()
            .ok_or_else(|| self.short(offset + 1))
    }

    pub(super) fn u16(&self, offset: usize) -> Result<u16, BootInfoError> {
        Ok(u16::from_le_bytes(*self.array(offset)?))
    }

    pub(super) fn u32(&self, offset: usize) -> Result<u32, BootInfoError> {
        Ok(u32::from_le_bytes(*self.array(offset)?))
    }

    pub(super) fn u64(&self, offset: usize) -> Result<u64, BootInfoError> {
        Ok(u64::from_le_bytes(*self.array(offset)?))
    }

    /// The `N` bytes at `offset`.
    pub(super) fn array<const N: usize>(
        &self,
        offset: usize,
    ) -> Result<&'a [u8; N], BootInfoError> {
        let bytes = self
            .payload
            .get(offset..)
            .and_then(<[u8]>::first_chunk::<N>);
        bytes.ok_or_else(|| self.short(offset + N))
    }

    /// All bytes from `offset` to the end of the tag.
    pub(super) fn bytes_from(&self, offset: usize) -> Result<&'a [u8], BootInfoError> {
        self.payload.get(offset..).ok_or_else(|| self.short(offset))
    }

    /// The zero-terminated string at `offset`.
    pub(super) fn string(&self, offset: usize) -> Result<BootText<'a>, BootInfoError> {
        let bytes = self.bytes_from(offset)?;
        match bytes.iter().position(|&byte| byte == 0) {
            Some(end) => Ok(BootText(&bytes[..end])),
            None => Err(BootInfoError::Unterminated {
                tag: self.tag,
                bytes: bytes.len() as u32,
            }),
        }
    }

    /// Checks that `stride` fits a structure of `minimum` bytes and divides `bytes`; the stride to use.
    pub(super) fn stride(
        &self,
        stride: u32,
        minimum: usize,
        bytes: usize,
    ) -> Result<usize, BootInfoError> {
        if (stride as usize) < minimum {
            return Err(BootInfoError::below(
                self.tag,
                Field::EntrySize,
                stride,
                minimum as u32,
            ));
        }
        if !bytes.is_multiple_of(stride as usize) {
            return Err(BootInfoError::Uneven {
                tag: self.tag,
                entry_bytes: stride,
                bytes: bytes as u32,
            });
        }
        Ok(stride as usize)
    }
}
