//! Finding the kernel proper in a kernel file.
//!
//! A bzImage is real-mode code, a setup header, a small unpacker, and in it the compressed ELF file. We
//! need only the last: since boot protocol 2.08 the header says where it is. The payload ends with the
//! unpacked length as a little-endian 32-bit number behind the compressed stream.

use super::decompress::{self, Compression, DecodeError};
use core::fmt;

/// Offset of the number of 512-byte setup sectors behind the first; 0 means 4.
const SETUP_SECTORS: usize = 0x1F1;
/// Offset of [`HEADER_MAGIC`].
const MAGIC: usize = 0x202;
/// Offset of the protocol version: major in the high byte.
const VERSION: usize = 0x206;
/// Offset of the payload's position, from the end of the setup sectors.
const PAYLOAD_OFFSET: usize = 0x248;
/// Offset of the payload's length in bytes.
const PAYLOAD_LENGTH: usize = 0x24C;
/// End of the last field read here.
const HEADER_END: usize = 0x250;

const HEADER_MAGIC: &[u8] = b"HdrS";
const SECTOR: usize = 512;
/// The first protocol with a payload position in its header.
const OLDEST_VERSION: u16 = 0x0208;
/// Bytes of the unpacked length behind the compressed stream.
const LENGTH_TRAILER: usize = 4;

/// The longest unpacked kernel file that is accepted, in bytes. A kernel must fit into the 1 GiB of its
/// initial mapping, so a longer one cannot run anyway.
pub const MAX_UNPACKED_LEN: usize = 1 << 30;

/// A kernel file, opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelFile<'a> {
    /// The ELF file itself.
    Elf(&'a [u8]),
    /// A compressed ELF file.
    Packed(Payload<'a>),
}

/// A compressed kernel inside a bzImage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    /// How it is compressed.
    pub compression: Compression,
    /// The compressed stream, without the length that follows it.
    pub stream: &'a [u8],
    /// Bytes that it declares to unpack to; 1 to [`MAX_UNPACKED_LEN`].
    pub unpacked_len: usize,
}

/// Why a file is not a kernel file that we can open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BzImageError {
    /// Neither an ELF file nor a bzImage; the first four bytes (fewer if the file is shorter).
    NotAKernel([u8; 4]),
    /// A bare compressed stream; its unpacked length is not known.
    BareStream(Compression),
    /// The setup header's protocol has no payload position.
    ProtocolTooOld(u16),
    /// The payload lies outside the file.
    PayloadOutside {
        /// First byte of the payload in the file.
        offset: u64,
        /// Its length in bytes.
        len: u64,
        /// Length of the file in bytes.
        file_len: usize,
    },
    /// The payload starts with none of the known signatures.
    UnknownCompression([u8; 4]),
    /// The declared unpacked length is 0 or above [`MAX_UNPACKED_LEN`].
    UnpackedLength(u32),
}

impl fmt::Display for BzImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotAKernel([a, b, c, d]) => write!(
                f,
                "the file begins with {a:02x} {b:02x} {c:02x} {d:02x}: it is neither a bzImage nor an ELF \
                 file; give the kernel (vmlinuz)"
            ),
            Self::BareStream(compression) => write!(
                f,
                "the file is a bare {compression} stream; give the bzImage (vmlinuz), or unpack it first"
            ),
            Self::ProtocolTooOld(version) => write!(
                f,
                "the bzImage has boot protocol {}.{:02}; its payload can be found from 2.08 on",
                version >> 8,
                version & 0xFF
            ),
            Self::PayloadOutside {
                offset,
                len,
                file_len,
            } => write!(
                f,
                "the bzImage is truncated: its payload of {len} bytes at {offset} exceeds the file's \
                 {file_len} bytes; copy the kernel again"
            ),
            Self::UnknownCompression([a, b, c, d]) => write!(
                f,
                "the bzImage's payload begins with {a:02x} {b:02x} {c:02x} {d:02x}, which is no known \
                 compression; gzip, xz, lz4 and zstd are understood"
            ),
            Self::UnpackedLength(len) => write!(
                f,
                "the bzImage declares {len} unpacked bytes; 1 to {MAX_UNPACKED_LEN} are possible"
            ),
        }
    }
}

/// Finds the kernel in `file`.
///
/// # Errors
///
/// The file is not a kernel file, or is cut off.
pub fn open(file: &[u8]) -> Result<KernelFile<'_>, BzImageError> {
    if Compression::detect(file) == Some(Compression::None) {
        return Ok(KernelFile::Elf(file));
    }
    let header = match file.get(..HEADER_END) {
        Some(header)
            if header
                .get(MAGIC..)
                .is_some_and(|tail| tail.starts_with(HEADER_MAGIC)) =>
        {
            header
        }
        _ => {
            return Err(match Compression::detect(file) {
                Some(compression) => BzImageError::BareStream(compression),
                None => BzImageError::NotAKernel(first_bytes(file)),
            });
        }
    };
    let version = u16::from_le_bytes(field(header, VERSION));
    if version < OLDEST_VERSION {
        return Err(BzImageError::ProtocolTooOld(version));
    }
    let [setup_sectors] = field(header, SETUP_SECTORS);
    let setup_sectors = if setup_sectors == 0 {
        4
    } else {
        u64::from(setup_sectors)
    };
    let payload_offset = u32::from_le_bytes(field(header, PAYLOAD_OFFSET));
    let len = u64::from(u32::from_le_bytes(field(header, PAYLOAD_LENGTH)));
    // At most 256 * 512 + 2^32: no overflow.
    let offset = (setup_sectors + 1) * SECTOR as u64 + u64::from(payload_offset);
    let outside = BzImageError::PayloadOutside {
        offset,
        len,
        file_len: file.len(),
    };
    let payload = subslice(file, offset, len).ok_or(outside)?;

    match Compression::detect(payload) {
        Some(Compression::None) => Ok(KernelFile::Elf(payload)),
        Some(compression) => {
            let (stream, trailer) = payload
                .split_last_chunk::<LENGTH_TRAILER>()
                .ok_or(outside)?;
            let declared = u32::from_le_bytes(*trailer);
            match usize::try_from(declared) {
                Ok(unpacked_len @ 1..=MAX_UNPACKED_LEN) => Ok(KernelFile::Packed(Payload {
                    compression,
                    stream,
                    unpacked_len,
                })),
                _ => Err(BzImageError::UnpackedLength(declared)),
            }
        }
        None => Err(BzImageError::UnknownCompression(first_bytes(payload))),
    }
}

impl Payload<'_> {
    /// Unpacks into `output`, which must be [`Self::unpacked_len`] bytes long. `progress` is told now and
    /// then how many bytes of [`Self::stream`] are consumed.
    ///
    /// # Errors
    ///
    /// The stream is damaged, or does not unpack to exactly the declared length.
    pub fn unpack(
        &self,
        output: &mut [u8],
        progress: &mut dyn FnMut(usize),
    ) -> Result<(), DecodeError> {
        let unpacked = decompress::decompress(self.compression, self.stream, output, progress)?;
        if unpacked == self.unpacked_len {
            Ok(())
        } else {
            let declared = self.unpacked_len;
            Err(DecodeError::TooShort {
                compression: self.compression,
                unpacked,
                declared,
            })
        }
    }
}

/// `N` bytes at `offset`, a constant below [`HEADER_END`] - `N`; `header` is [`HEADER_END`] bytes long.
fn field<const N: usize>(header: &[u8], offset: usize) -> [u8; N] {
    header
        .get(offset..)
        .and_then(|tail| tail.first_chunk())
        .copied()
        .unwrap_or([0; N])
}

fn subslice(bytes: &[u8], offset: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let len = usize::try_from(len).ok()?;
    bytes.get(start..start.checked_add(len)?)
}

fn first_bytes(bytes: &[u8]) -> [u8; 4] {
    let mut first = [0; 4];
    for (to, from) in first.iter_mut().zip(bytes) {
        *to = *from;
    }
    first
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::image::elf::Kernel;
    use crate::image::testing::{TestKernel, bzimage, bzimage_around, pack};

    const OFFERED: [Compression; 4] = [
        Compression::Gzip,
        Compression::Xz,
        Compression::Lz4Legacy,
        Compression::Zstd,
    ];

    fn unpack(file: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let KernelFile::Packed(payload) = open(file).unwrap() else {
            panic!("not packed")
        };
        let mut output = vec![0xAA; payload.unpacked_len];
        payload.unpack(&mut output, &mut |_| {})?;
        Ok(output)
    }

    #[test]
    fn a_kernel_of_every_compression_unpacks_to_itself() {
        let elf = TestKernel::linux().elf();
        for compression in OFFERED {
            let unpacked = unpack(&bzimage(&pack(compression, &elf), elf.len())).unwrap();
            assert!(unpacked == elf, "{compression}");
            assert!(Kernel::parse(&unpacked).is_ok());
        }
    }

    #[test]
    fn an_elf_file_passes_through_bare_or_as_payload() {
        let elf = TestKernel::linux().elf();
        assert_eq!(open(&elf), Ok(KernelFile::Elf(&elf)));
        let file = bzimage_around(&elf);
        assert_eq!(open(&file), Ok(KernelFile::Elf(&elf)));
    }

    #[test]
    fn a_declared_length_that_is_not_the_real_one_is_refused() {
        let elf = TestKernel::linux().elf();
        for compression in OFFERED {
            let stream = pack(compression, &elf);
            assert_eq!(
                unpack(&bzimage(&stream, elf.len() - 1)),
                Err(DecodeError::DoesNotFit {
                    compression,
                    limit: elf.len() - 1
                })
            );
            assert_eq!(
                unpack(&bzimage(&stream, elf.len() + 1)),
                Err(DecodeError::TooShort {
                    compression,
                    unpacked: elf.len(),
                    declared: elf.len() + 1
                })
            );
        }
    }

    #[test]
    fn a_damaged_payload_is_refused() {
        let elf = TestKernel::linux().elf();
        for compression in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
            let mut stream = pack(compression, &elf);
            let middle = stream.len() / 2;
            stream[middle] ^= 0x10;
            assert!(
                unpack(&bzimage(&stream, elf.len())).is_err(),
                "{compression}"
            );
            stream.truncate(middle);
            assert!(
                unpack(&bzimage(&stream, elf.len())).is_err(),
                "{compression}"
            );
        }
    }

    #[test]
    fn compressions_that_are_not_offered_are_refused_by_name() {
        for (compression, name) in [
            (Compression::Bzip2, "bzip2"),
            (Compression::LzmaAlone, "lzma"),
            (Compression::Lzo, "lzo"),
        ] {
            let error = unpack(&bzimage(&pack(compression, &[]), 1000)).unwrap_err();
            assert_eq!(error, DecodeError::NotOffered(compression));
            assert!(error.to_string().contains(name), "{error}");
        }
        assert_eq!(
            open(&bzimage(b"????????", 1000)),
            Err(BzImageError::UnknownCompression(*b"????"))
        );
    }

    #[test]
    fn files_that_are_no_bzimage_are_refused() {
        assert_eq!(open(b""), Err(BzImageError::NotAKernel([0; 4])));
        assert_eq!(
            open(b"MZ"),
            Err(BzImageError::NotAKernel([b'M', b'Z', 0, 0]))
        );
        assert_eq!(
            open(&[0x55; 0x1000]),
            Err(BzImageError::NotAKernel([0x55; 4]))
        );
        let stream = pack(Compression::Gzip, b"kernel");
        assert_eq!(
            open(&stream),
            Err(BzImageError::BareStream(Compression::Gzip))
        );
        let mut old = bzimage(&stream, 6);
        old[0x206] = 7;
        old[0x207] = 2;
        assert_eq!(open(&old), Err(BzImageError::ProtocolTooOld(0x207)));
    }

    #[test]
    fn a_payload_outside_the_file_is_refused_at_every_cut() {
        let stream = pack(Compression::Gzip, b"kernel");
        let file = bzimage(&stream, 6);
        let payload_end = 4 * SECTOR + 0x2C + stream.len() + LENGTH_TRAILER;
        for len in HEADER_END..payload_end {
            let error = open(&file[..len]).unwrap_err();
            assert!(
                matches!(error, BzImageError::PayloadOutside { .. }),
                "{len}: {error:?}"
            );
        }
        assert!(open(&file[..payload_end]).is_ok());
        let mut huge = file;
        huge[PAYLOAD_OFFSET..HEADER_END].fill(0xFF);
        assert!(matches!(
            open(&huge),
            Err(BzImageError::PayloadOutside { .. })
        ));
    }

    #[test]
    fn lengths_that_no_kernel_has_are_refused() {
        let stream = pack(Compression::Gzip, b"kernel");
        for len in [0, MAX_UNPACKED_LEN + 1, u32::MAX as usize] {
            assert_eq!(
                open(&bzimage(&stream, len)),
                Err(BzImageError::UnpackedLength(len as u32))
            );
        }
        assert!(open(&bzimage(&stream, MAX_UNPACKED_LEN)).is_ok());
    }

    #[test]
    fn no_setup_sectors_mean_four() {
        let stream = pack(Compression::Gzip, b"kernel");
        let mut file = bzimage(&stream, 6);
        file[SETUP_SECTORS] = 0;
        file.splice(0x400..0x400, [0; SECTOR]);
        assert_eq!(unpack(&file).unwrap(), b"kernel");
    }
}
