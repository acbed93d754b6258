//! Unpacked kernels, kept so that the next guest of the same kernel starts fast.
//!
//! A kernel is known by what its file holds, not by its name: the key is a hash of all its bytes. A link whose name
//! is the file's place, size and times of change leads to it, so that a file that was seen before is not hashed again:
//! no change leaves all of these as they were. Of what is unpacked only the part that is loaded is kept. Files come into
//! being whole or not at all; which ones are kept is decided by when they were used.

use super::error::BuildError;
use crate::bounded_file;
use crate::device::mapped_file::MappedFile;
use hypervisor::image::ImageError;
use hypervisor::image::bzimage::{self, KernelFile, Payload};
use hypervisor::image::elf::Kernel;
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Deref;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// The longest kernel or RAM disk that is read.
const MAX_FILE_BYTES: u64 = 4 << 30;
/// Unpacked kernels that are kept.
const MAX_KEPT: usize = 4;

/// Where unpacked kernels are kept.
pub struct ImageCache {
    directory: PathBuf,
    /// The one that was used last stays mapped: its pages are found without asking the file system again.
    last: Mutex<Option<(FileId, Arc<MappedFile>)>>,
}

/// Device, number and length of a file.
type FileId = (u64, u64, u64);

/// An unpacked kernel.
#[derive(Clone)]
pub enum Image {
    /// It is in memory.
    Own(Vec<u8>),
    /// It is a file of the cache, which is never written again.
    Mapped(Arc<MappedFile>),
}

impl Default for Image {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

impl Deref for Image {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Mapped(file) => file,
        }
    }
}

/// Where an image came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// It was unpacked now.
    Unpacked,
    /// It had been unpacked before.
    Kept,
    /// It is not packed.
    Plain,
}

/// A kernel's file that was looked at.
enum Found<'f> {
    /// It is not packed.
    Plain(Image),
    /// It is kept here.
    Kept(Image, PathBuf),
    /// It is packed, and belongs there.
    Packed(Payload<'f>, PathBuf),
}

impl ImageCache {
    /// Keeps them in this directory, which is made when it is needed.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            last: Mutex::default(),
        }
    }

    /// The unpacked kernel of a file.
    ///
    /// # Errors
    ///
    /// If the file can't be read or is no kernel.
    pub fn unpacked(&self, path: &Path) -> Result<(Image, Source), BuildError> {
        // Asked before the file is read: a change meanwhile makes the name wrong, which costs a hash, not a kernel.
        let link = fs::metadata(path).ok().map(|seen| self.link_of(&seen));
        if let Some(link) = &link
            && let Some(image) = self.kept(link)
        {
            touch(link);
            return Ok((image, Source::Kept));
        }
        let file = read(path)?;
        let (payload, kept) = match self.find(&file)? {
            Found::Plain(image) => return Ok((image, Source::Plain)),
            Found::Kept(image, kept) => {
                touch(&kept);
                self.link(link.as_deref(), &kept);
                return Ok((image, Source::Kept));
            }
            Found::Packed(payload, kept) => (payload, kept),
        };
        let mut image = unpack(&payload)?;
        cut(&mut image);
        match self.keep(&kept, &image) {
            Ok(()) => self.link(link.as_deref(), &kept),
            Err(error) => log::warn!(
                "{}: {error}: the next guest of this kernel starts slowly too",
                kept.display()
            ),
        }
        Ok((Image::Own(image), Source::Unpacked))
    }

    /// The unpacked kernel of a file that comes from a guest, of at most so many bytes. It is not kept: that would take room from
    /// the kernels of others.
    ///
    /// # Errors
    ///
    /// If it is no kernel, or is longer.
    pub fn unpacked_of_guest(
        &self,
        file: &[u8],
        most: usize,
    ) -> Result<(Image, Source), BuildError> {
        let payload = match self.find(file)? {
            Found::Plain(image) => return Ok((image, Source::Plain)),
            Found::Kept(image, _) => return Ok((image, Source::Kept)),
            Found::Packed(payload, _) => payload,
        };
        let bytes = payload.unpacked_len;
        if bytes > most {
            return Err(BuildError::UnpacksToMore { bytes, most });
        }
        Ok((Image::Own(unpack(&payload)?), Source::Unpacked))
    }

    /// What is known of a kernel's file.
    fn find<'f>(&self, file: &'f [u8]) -> Result<Found<'f>, BuildError> {
        let payload = match bzimage::open(file).map_err(ImageError::from)? {
            KernelFile::Elf(elf) => {
                Kernel::parse(elf).map_err(ImageError::from)?;
                return Ok(Found::Plain(Image::Own(elf.to_vec())));
            }
            KernelFile::Packed(payload) => payload,
        };
        let kept = self
            .directory
            .join(format!("{}.elf", blake3::hash(file).to_hex()));
        Ok(match self.kept(&kept) {
            Some(image) => Found::Kept(image, kept),
            None => Found::Packed(payload, kept),
        })
    }

    /// A kernel of the cache.
    fn kept(&self, path: &Path) -> Option<Image> {
        let file = File::open(path).ok()?;
        let metadata = file.metadata().ok()?;
        let id = (metadata.dev(), metadata.ino(), metadata.len());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // While it is mapped, no other file gets its number.
        if let Some((_, mapped)) = last.as_ref().filter(|(known, _)| *known == id) {
            return Some(Image::Mapped(Arc::clone(mapped)));
        }
        let mapped = Arc::new(MappedFile::open(&file).ok()?);
        Kernel::parse(&mapped).ok()?;
        *last = Some((id, Arc::clone(&mapped)));
        Some(Image::Mapped(mapped))
    }

    /// The link for a file that looks so.
    fn link_of(&self, seen: &fs::Metadata) -> PathBuf {
        let (place, size) = ((seen.dev(), seen.ino()), seen.size());
        let written = (seen.mtime(), seen.mtime_nsec());
        let changed = (seen.ctime(), seen.ctime_nsec());
        let name = format!("{place:?}{size}{written:?}{changed:?}.link");
        self.directory.join(name.replace(['(', ')', ',', ' '], "-"))
    }

    /// Makes a link to what is kept. Without it the file is hashed again.
    fn link(&self, link: Option<&Path>, kept: &Path) {
        if let (Some(link), Some(name)) = (link, kept.file_name()) {
            let _ = fs::remove_file(link);
            if let Err(error) = std::os::unix::fs::symlink(name, link) {
                log::debug!("{}: {error}", link.display());
            }
        }
    }

    fn keep(&self, path: &Path, image: &[u8]) -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)?;
        self.forget_oldest()?;
        let unfinished = path.with_extension(format!("unfinished-{}", std::process::id()));
        let written = fs::write(&unfinished, image).and_then(|()| fs::rename(&unfinished, path));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    /// Makes room for one more.
    fn forget_oldest(&self) -> io::Result<()> {
        let mut kept: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            match fs::metadata(&path) {
                Ok(_)
                    if path
                        .extension()
                        .is_some_and(|extension| extension == "link") => {}
                Ok(metadata) => kept.push((metadata.modified()?, path)),
                // A link to what is no longer there.
                Err(_) => fs::remove_file(&path)?,
            }
        }
        kept.sort();
        let excess = (kept.len() + 1).saturating_sub(MAX_KEPT);
        for (_, path) in kept.iter().take(excess) {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

/// All bytes of a file.
///
/// # Errors
///
/// If it can't be read.
pub fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    let failed = |error| BuildError::File(path.to_owned(), error);
    let file = bounded_file::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.len() > MAX_FILE_BYTES {
        return Err(failed(io::Error::other(format!(
            "it has {} bytes; at most {MAX_FILE_BYTES} are possible",
            metadata.len()
        ))));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    file.take(MAX_FILE_BYTES)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(bytes)
}

/// Notes that a file was used now.
fn touch(path: &Path) {
    if let Ok(file) = File::open(path) {
        let _ = file.set_modified(SystemTime::now());
    }
}

/// Unpacks a kernel, whose length is what its file says: there may be no memory for it.
fn unpack(payload: &Payload<'_>) -> Result<Vec<u8>, BuildError> {
    let length = payload.unpacked_len;
    let mut image = Vec::new();
    image
        .try_reserve_exact(length)
        .map_err(|_| BuildError::NoRoom(length))?;
    image.resize(length, 0);
    payload
        .unpack(&mut image, &mut |_| {})
        .map_err(ImageError::from)?;
    Kernel::parse(&image).map_err(ImageError::from)?;
    Ok(image)
}

/// Cuts off what is not loaded: sections for debuggers, which are at the end. What is left is the same kernel.
fn cut(image: &mut Vec<u8>) {
    /// Where the file header says where section headers are, how long they are, and how many.
    const SECTION_HEADERS: [std::ops::Range<usize>; 2] = [40..48, 58..64];
    let Ok(kernel) = Kernel::parse(image) else {
        return;
    };
    let start = image.as_ptr() as usize;
    let ends = kernel.segments().iter().map(|segment| {
        // A segment's bytes are a part of the image.
        segment.bytes.as_ptr() as usize - start + segment.bytes.len()
    });
    let Some(end) = ends.max() else { return };
    let mut shorter = image.get(..end).unwrap_or_default().to_vec();
    for range in SECTION_HEADERS {
        if let Some(field) = shorter.get_mut(range) {
            field.fill(0);
        }
    }
    let is_same = Kernel::parse(&shorter)
        .is_ok_and(|cut| cut.notes() == kernel.notes() && cut.segments() == kernel.segments());
    drop(kernel);
    if is_same {
        *image = shorter;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_kernel_is_refused_by_name() {
        let directory = std::env::temp_dir().join(format!("image-cache-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("vmlinuz");
        let cache = ImageCache::new(&directory.join("kept"));
        let refusal = |content: Option<&[u8]>| {
            match content {
                Some(content) => fs::write(&path, content).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            cache.unpacked(&path).map(drop).unwrap_err().to_string()
        };
        assert!(refusal(Some(b"hello, world")).contains("68 65 6c 6c"));
        assert!(refusal(Some(b"\x7FELF")).contains("file header"));
        let missing = refusal(None);
        assert!(
            missing.contains("vmlinuz") && missing.contains("No such file"),
            "{missing}"
        );
        assert!(
            BuildError::NoMemory {
                wanted_kib: 8,
                got_kib: 4
            }
            .to_string()
            .contains("I need 8 KiB but only have 4.")
        );
        fs::remove_dir_all(&directory).unwrap();
    }

    /// The file of a kernel that says to be so long when it is unpacked, and is damaged.
    fn kernel_of(unpacked_len: u32) -> Vec<u8> {
        const SETUP_BYTES: usize = 1024;
        let payload_len = 16_u32;
        let mut file = vec![0; SETUP_BYTES];
        file[0x1f1] = 1;
        file[0x202..0x206].copy_from_slice(b"HdrS");
        file[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
        file[0x24c..0x250].copy_from_slice(&payload_len.to_le_bytes());
        file.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0, 0]);
        file.extend_from_slice(&unpacked_len.to_le_bytes());
        file
    }

    #[test]
    fn a_guest_can_not_say_how_much_memory_its_kernel_takes() {
        let directory = std::env::temp_dir().join(format!("image-guest-{}", std::process::id()));
        let cache = ImageCache::new(&directory);
        let refusal = |bytes, most| match cache.unpacked_of_guest(&kernel_of(bytes), most) {
            Ok(_) => panic!("{bytes}"),
            Err(error) => error,
        };
        let long = refusal(1 << 30, 64 << 20);
        assert!(
            matches!(long, BuildError::UnpacksToMore { bytes, most } if (bytes, most) == (1 << 30, 64 << 20)),
            "{long}"
        );
        assert!(matches!(refusal(4096, 4096), BuildError::Image(_)));
        // Nothing of it is kept.
        assert!(!directory.exists());
    }

    #[test]
    fn the_least_used_kernels_are_forgotten() {
        let directory = std::env::temp_dir().join(format!("image-kept-{}", std::process::id()));
        let cache = ImageCache::new(&directory);
        for number in 0_u64..6 {
            let path = directory.join(format!("{number}.elf"));
            cache.keep(&path, b"kernel").unwrap();
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(number);
            File::open(&path).unwrap().set_modified(time).unwrap();
        }
        let mut names: Vec<_> = fs::read_dir(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["2.elf", "3.elf", "4.elf", "5.elf"]);
        // A link lives as long as what it leads to.
        let link = cache.link_of(&fs::metadata(directory.join("2.elf")).unwrap());
        cache.link(Some(&link), &directory.join("2.elf"));
        assert_eq!(fs::read(&link).unwrap(), b"kernel");
        for number in 7..9 {
            cache
                .keep(&directory.join(format!("{number}.elf")), b"kernel")
                .unwrap();
        }
        assert!(fs::symlink_metadata(&link).is_err());
        fs::remove_dir_all(&directory).unwrap();
    }
}
