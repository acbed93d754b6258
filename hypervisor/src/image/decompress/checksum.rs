//! The checksums that the formats carry, fed with the output piece by piece while it is in the cache.

use crc::{CRC_32_ISO_HDLC, CRC_64_XZ, Crc, Digest, Table};

/// Sixteen bytes a step: every gzip and nearly every xz kernel goes through it.
static CRC32: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISO_HDLC);
/// A byte a step: what `xz` uses by default, but no kernel's build.
static CRC64: Crc<u64, Table<1>> = Crc::<u64, Table<1>>::new(&CRC_64_XZ);

/// CRC-32 of all of `bytes`.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    CRC32.checksum(bytes)
}

/// A checksum under way.
pub(super) enum Checksum {
    None,
    Crc32(Digest<'static, u32, Table<16>>),
    Crc64(Digest<'static, u64, Table<1>>),
}

impl Checksum {
    pub(super) fn crc32() -> Self {
        Self::Crc32(CRC32.digest())
    }

    pub(super) fn crc64() -> Self {
        Self::Crc64(CRC64.digest())
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::None => {}
            Self::Crc32(digest) => digest.update(bytes),
            Self::Crc64(digest) => digest.update(bytes),
        }
    }

    /// Bytes of the checksum in a file.
    pub(super) const fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Crc32(_) => 4,
            Self::Crc64(_) => 8,
        }
    }

    /// Whether `stored`, little endian, is this checksum.
    pub(super) fn is(self, stored: &[u8]) -> bool {
        match self {
            Self::None => stored.is_empty(),
            Self::Crc32(digest) => stored == digest.finalize().to_le_bytes(),
            Self::Crc64(digest) => stored == digest.finalize().to_le_bytes(),
        }
    }
}
