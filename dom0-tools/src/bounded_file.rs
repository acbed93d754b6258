//! Reading files that others have named or filled: a daemon neither waits for a pipe that nobody writes to, nor reads
//! without end.
#![forbid(unsafe_code)]

use nix::fcntl::OFlag;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a file, if it is one, and not a pipe, a device or a directory.
///
/// # Errors
///
/// If it is none, or can't be opened.
pub fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(file)
}

/// What a file has.
///
/// # Errors
///
/// If it can't be read, or has more than so many bytes.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read_all(&open(path)?, most)
}

/// What is left of a file.
///
/// # Errors
///
/// If it can't be read, or has more than so many bytes.
pub fn read_all(file: &File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {most} bytes"),
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn only_files_are_read_and_not_for_long() {
        let directory = std::env::temp_dir().join(format!("bounded-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [&*path, Path::new("/dev/zero"), &directory] {
            assert_eq!(
                read(path, 9).unwrap_err().to_string(),
                "it is not a regular file"
            );
        }
        let path = directory.join("file");
        fs::write(&path, "123456789").unwrap();
        assert_eq!(read(&path, 9).unwrap(), b"123456789");
        let error = read(&path, 8).unwrap_err();
        assert_eq!(error.to_string(), "it has more than 8 bytes");
        // Files of which the kernel does not say how long they are.
        assert!(read(Path::new("/proc/self/maps"), 8).is_err());
        assert!(read(&directory.join("none"), 8).is_err());
        fs::remove_dir_all(&directory).unwrap();
    }
}
