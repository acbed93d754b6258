//! Kernels packed in another way than their packages have them: what is in a `bzImage` is unpacked and packed again, and
//! the image's header says so. The kernel itself stays as it is. And RAM disks that are packed at all, which are half as much
//! for the boot loader to read.
//!
//! Most machines that boot a stock kernel here are about something else than unpacking it, which is a third of an
//! emulated boot where it is packed by xz. And there are formats that the distribution does not use, in which others pack
//! theirs.

use lzma_rust2::Read as _;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::SystemTime;

/// How a kernel is packed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Packing {
    /// As it is in its package.
    Stock,
    /// lz4 in its old frame format, the quickest to unpack.
    Lz4,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

/// Fields of the header of a `bzImage` (Linux's `Documentation/arch/x86/boot.rst`): how many sectors of set-up code
/// there are, and where the payload is behind them.
const SETUP_SECTORS: usize = 0x1F1;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_BYTES: usize = 0x24C;
const SECTOR: usize = 512;
/// The size of what is packed, behind the payload and counted as a part of it.
const TRAILER: usize = 4;
/// A frame of lz4 in the old format: its signature, and how much a block unpacks to.
const LZ4_SIGNATURE: u32 = 0x184C_2102;
const LZ4_BLOCK: usize = 8 << 20;
/// The header of a gzip member (RFC 1952): deflate, no name, no time, of an unknown system.
const GZIP_HEADER: [u8; 10] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255];
/// How hard `miniz_oxide` tries, of 10.
const GZIP_LEVEL: u8 = 1;

/// What is packed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum What {
    Kernel,
    RamDisk,
}

type Made = HashMap<(PathBuf, What, Packing), Result<PathBuf, String>>;
static MADE: LazyLock<Mutex<Made>> = LazyLock::new(Mutex::default);

/// The kernel of the file `stock`, packed in this way: a file in `directory`, which is made if there is none or an older one.
///
/// # Errors
///
/// A sentence on what is wrong with the image or the files.
pub fn kernel(stock: &Path, packing: Packing, directory: &Path) -> Result<PathBuf, String> {
    packed(stock, What::Kernel, packing, directory)
}

/// The same of a RAM disk, which is not packed in the file `stock`.
///
/// # Errors
///
/// As above.
pub fn ram_disk(stock: &Path, packing: Packing, directory: &Path) -> Result<PathBuf, String> {
    packed(stock, What::RamDisk, packing, directory)
}

fn packed(stock: &Path, what: What, packing: Packing, directory: &Path) -> Result<PathBuf, String> {
    if packing == Packing::Stock {
        return Ok(stock.to_path_buf());
    }
    // Whoever wants it meanwhile waits.
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    made.entry((stock.to_path_buf(), what, packing))
        .or_insert_with(|| make(stock, what, packing, directory))
        .clone()
}

fn make(stock: &Path, what: What, packing: Packing, directory: &Path) -> Result<PathBuf, String> {
    let name = stock.to_string_lossy().replace('/', "-");
    let path = directory.join(format!("{name}-{packing:?}").to_lowercase());
    let changed = |path: &Path| -> Option<SystemTime> { fs::metadata(path).ok()?.modified().ok() };
    if changed(&path).is_some_and(|made| Some(made) > changed(stock)) {
        return Ok(path);
    }
    let error = |error: std::io::Error| format!("{}: {error}", stock.display());
    let bytes = fs::read(stock).map_err(error)?;
    let packed = match what {
        What::Kernel => repacked(&bytes, packing)
            .ok_or_else(|| format!("{}: no bzImage with an xz payload", stock.display()))?,
        What::RamDisk => pack(&bytes, packing),
    };
    let unfinished = path.with_extension("unfinished");
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(&unfinished, packed))
        .and_then(|()| fs::rename(&unfinished, &path))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

/// The same image with another payload; `None` if it is none whose payload is packed by xz.
fn repacked(image: &[u8], packing: Packing) -> Option<Vec<u8>> {
    let field = |at: usize| -> Option<usize> {
        let bytes = image.get(at..)?.first_chunk::<4>()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    let setup = (usize::from(*image.get(SETUP_SECTORS)?) + 1) * SECTOR;
    let start = setup.checked_add(field(PAYLOAD_OFFSET)?)?;
    let payload = image.get(start..)?.get(..field(PAYLOAD_BYTES)?)?;
    let (packed, _) = payload.split_at_checked(payload.len().checked_sub(TRAILER)?)?;
    let bytes = payload.last_chunk::<TRAILER>()?;
    let mut kernel = vec![0; usize::try_from(u32::from_le_bytes(*bytes)).ok()?];
    lzma_rust2::XzReader::new(packed, false)
        .read_exact(&mut kernel)
        .ok()?;
    let mut payload = pack(&kernel, packing);
    payload.extend(u32::try_from(kernel.len()).ok()?.to_le_bytes());
    let mut image = image.get(..start)?.to_vec();
    let bytes = u32::try_from(payload.len()).ok()?.to_le_bytes();
    image
        .get_mut(PAYLOAD_BYTES..)?
        .get_mut(..bytes.len())?
        .copy_from_slice(&bytes);
    image.extend(payload);
    Some(image)
}

fn pack(kernel: &[u8], packing: Packing) -> Vec<u8> {
    match packing {
        Packing::Stock => kernel.to_vec(),
        Packing::Lz4 => {
            let mut packed = LZ4_SIGNATURE.to_le_bytes().to_vec();
            for block in kernel.chunks(LZ4_BLOCK) {
                let block = lz4_flex::block::compress(block);
                packed.extend((block.len() as u32).to_le_bytes());
                packed.extend(block);
            }
            packed
        }
        Packing::Gzip => {
            let sum = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(kernel);
            let mut packed = GZIP_HEADER.to_vec();
            packed.extend(miniz_oxide::deflate::compress_to_vec(kernel, GZIP_LEVEL));
            packed.extend(sum.to_le_bytes());
            packed.extend((kernel.len() as u32).to_le_bytes());
            packed
        }
        Packing::Zstd => {
            use ruzstd::encoding::{CompressionLevel, compress_to_vec};
            compress_to_vec(kernel, CompressionLevel::Fastest)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PAYLOAD_BYTES, PAYLOAD_OFFSET, Packing, SECTOR, SETUP_SECTORS, repacked};
    use lzma_rust2::Write as _;

    #[test]
    fn what_is_no_image_is_none() {
        assert_eq!(repacked(&[], Packing::Lz4), None);
        assert_eq!(repacked(&[0; 4096], Packing::Lz4), None);
        assert_eq!(repacked(&[0xFF; 4096], Packing::Lz4), None);
    }

    #[test]
    fn the_payload_is_another_and_the_rest_is_not() {
        let kernel = b"a kernel ".repeat(100);
        let options = lzma_rust2::XzOptions::with_preset(1);
        let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
        writer.write_all(&kernel).unwrap();
        let mut payload = writer.finish().unwrap();
        payload.extend((kernel.len() as u32).to_le_bytes());
        let mut image = vec![7; 3 * SECTOR + 16];
        image[SETUP_SECTORS] = 2;
        image[PAYLOAD_OFFSET..][..4].copy_from_slice(&16u32.to_le_bytes());
        image[PAYLOAD_BYTES..][..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        image.extend(&payload);
        let start = 3 * SECTOR + 16;
        let other = repacked(&image, Packing::Lz4).unwrap();
        let packed = other.len() - start;
        assert_eq!(other[PAYLOAD_BYTES..][..4], (packed as u32).to_le_bytes());
        assert_eq!(
            other[start + packed - 4..],
            (kernel.len() as u32).to_le_bytes()
        );
        let block = &other[start + 8..start + packed - 4];
        assert_eq!(
            lz4_flex::block::decompress(block, kernel.len()).unwrap(),
            kernel
        );
        let same =
            |image: &[u8]| [&image[..PAYLOAD_BYTES], &image[PAYLOAD_BYTES + 4..start]].concat();
        assert_eq!(same(&other), same(&image));
    }
}
