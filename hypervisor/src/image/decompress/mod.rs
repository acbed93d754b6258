//! Unpacking kernel payloads: one function in front of one decoder for each format.
//!
//! The decoders are existing crates, but for xz; each submodule here adapts one. All share these rules: the output
//! is bounded by the buffer given, memory by a constant or by the output's length, and the checksum that
//! the format carries is compared before the bytes are called good.
//!
//! | format | decoder | heap beside the output |
//! |---|---|---|
//! | gzip | `miniz_oxide`, straight into the output | 11 KiB of state |
//! | xz | our own, straight into the output | 40 KiB of state |
//! | lz4, legacy frames | `lz4_flex`, straight into the output | none |
//! | zstd | `ruzstd`, through its window | the window, rounded up to a power of two, plus 1 MiB |
//!
//! [`heap_needed`] says how much before it is used. As configured here the decoders for gzip and lz4 forbid `unsafe`,
//! as does ours; the one for zstd has it in its ring buffer. Why xz has a decoder of our own is said in [`lzma2`].

extern crate alloc;

use core::fmt;

mod calls;
mod checksum;
mod gzip;
mod lz4;
mod lzma2;
mod range;
mod xz;
mod zstd;

#[cfg(all(test, not(loom)))]
mod lzma2_tests;
#[cfg(all(test, not(loom)))]
mod tests;

/// Bytes unpacked between two reports of progress, where the format lets us choose.
const STEP: usize = 1 << 20;

/// A way to compress a kernel, known by the first bytes of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not compressed: an ELF file.
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// The xz container with LZMA2, most often behind the x86 branch filter.
    Xz,
    /// lz4 blocks of 8 MiB in the old frame format.
    Lz4Legacy,
    /// Zstandard (RFC 8878).
    Zstd,
    /// bzip2: recognised, not unpacked.
    Bzip2,
    /// LZMA without a container: recognised, not unpacked.
    LzmaAlone,
    /// lzop: recognised, not unpacked.
    Lzo,
}

/// First bytes of each format.
const SIGNATURES: [(&[u8], Compression); 8] = [
    (b"\x7FELF", Compression::None),
    (b"\x1F\x8B", Compression::Gzip),
    (b"\xFD7zXZ\0", Compression::Xz),
    (b"\x02\x21\x4C\x18", Compression::Lz4Legacy),
    (b"\x28\xB5\x2F\xFD", Compression::Zstd),
    (b"BZh", Compression::Bzip2),
    (b"\x5D\0\0", Compression::LzmaAlone),
    (b"\x89LZ", Compression::Lzo),
];

impl Compression {
    /// The format that `bytes` begin with.
    #[must_use]
    pub fn detect(bytes: &[u8]) -> Option<Self> {
        SIGNATURES
            .iter()
            .find(|(signature, _)| bytes.starts_with(signature))
            .map(|(_, compression)| *compression)
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "uncompressed",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Lz4Legacy => "lz4",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::LzmaAlone => "lzma",
            Self::Lzo => "lzo",
        })
    }
}

/// Why a stream was not unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The stream ends in the middle.
    Truncated(Compression),
    /// The bytes contradict a checksum that the stream carries.
    ChecksumWrong(Compression),
    /// The bytes are not a stream of this format.
    Damaged {
        /// The format.
        compression: Compression,
        /// What is wrong, in the format's own terms.
        detail: &'static str,
    },
    /// The stream uses a part of the format that is not offered.
    Unsupported {
        /// The format.
        compression: Compression,
        /// Which part.
        detail: &'static str,
    },
    /// The format is known and not offered.
    NotOffered(Compression),
    /// The stream unpacks to more than the output's length.
    DoesNotFit {
        /// The format.
        compression: Compression,
        /// Length of the output in bytes.
        limit: usize,
    },
    /// The stream unpacks to less than was declared.
    TooShort {
        /// The format.
        compression: Compression,
        /// Bytes that came out.
        unpacked: usize,
        /// Bytes that were declared.
        declared: usize,
    },
    /// The heap has not the memory that the decoder needs.
    OutOfMemory {
        /// The format.
        compression: Compression,
        /// Bytes needed, as [`heap_needed`] says.
        needed: usize,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const AGAIN: &str = "copy or install the kernel again";
        match *self {
            Self::Truncated(compression) => {
                write!(
                    f,
                    "the kernel's {compression} payload is truncated; {AGAIN}"
                )
            }
            Self::ChecksumWrong(compression) => {
                write!(
                    f,
                    "the kernel's {compression} payload is damaged: its checksum is wrong; {AGAIN}"
                )
            }
            Self::Damaged {
                compression,
                detail,
            } => {
                write!(
                    f,
                    "the kernel's {compression} payload is damaged: {detail}; {AGAIN}"
                )
            }
            Self::Unsupported {
                compression,
                detail,
            } => write!(
                f,
                "the kernel's {compression} payload uses what we do not unpack: {detail}; compress the \
                 kernel in another way"
            ),
            Self::NotOffered(compression) => write!(
                f,
                "the kernel is compressed with {compression}; only gzip, xz, lz4 and zstd are unpacked"
            ),
            Self::DoesNotFit { compression, limit } => write!(
                f,
                "the kernel's {compression} payload unpacks to more than the {limit} bytes that the file \
                 declares; {AGAIN}"
            ),
            Self::TooShort {
                compression,
                unpacked,
                declared,
            } => write!(
                f,
                "the kernel's {compression} payload unpacks to {unpacked} bytes where the file declares \
                 {declared}; {AGAIN}"
            ),
            Self::OutOfMemory {
                compression,
                needed,
            } => write!(
                f,
                "unpacking the kernel's {compression} payload needs {needed} bytes of heap, which are not \
                 free; give the machine more memory or use a kernel compressed with gzip or lz4"
            ),
        }
    }
}

/// Unpacks `input` into `output` and returns the number of bytes written. Bytes of `input` behind the end
/// of the stream are ignored. `progress` is told now and then how many bytes of `input` are consumed.
///
/// # Errors
///
/// See [`DecodeError`]; `output` then holds an arbitrary part of the unpacked bytes.
pub fn decompress(
    compression: Compression,
    input: &[u8],
    output: &mut [u8],
    progress: &mut dyn FnMut(usize),
) -> Result<usize, DecodeError> {
    match compression {
        Compression::None => {
            let limit = output.len();
            let target = output
                .get_mut(..input.len())
                .ok_or(DecodeError::DoesNotFit { compression, limit })?;
            target.copy_from_slice(input);
            progress(input.len());
            Ok(input.len())
        }
        Compression::Gzip => gzip::decompress(input, output, progress),
        Compression::Xz => xz::decompress(input, output, progress),
        Compression::Lz4Legacy => lz4::decompress(input, output, progress),
        Compression::Zstd => zstd::decompress(input, output, progress),
        Compression::Bzip2 | Compression::LzmaAlone | Compression::Lzo => {
            Err(DecodeError::NotOffered(compression))
        }
    }
}

/// Bytes of heap that [`decompress`] needs at most for this stream, beside its output of `output_len`
/// bytes. A caller whose heap is small grows it by this much for the time of the call.
#[must_use]
pub fn heap_needed(compression: Compression, input: &[u8], output_len: usize) -> usize {
    match compression {
        Compression::Gzip => gzip::HEAP,
        Compression::Xz => xz::HEAP,
        Compression::Zstd => zstd::heap_needed(input, output_len),
        Compression::None
        | Compression::Lz4Legacy
        | Compression::Bzip2
        | Compression::LzmaAlone
        | Compression::Lzo => 0,
    }
}

/// Whether the heap has `bytes` free in one piece now. Decoders whose own allocations cannot fail
/// gracefully are started only after this.
fn heap_has(bytes: usize) -> bool {
    alloc::vec::Vec::<u8>::new()
        .try_reserve_exact(bytes)
        .is_ok()
}
