//! Replacing small files that only their owner may read: who is interrupted leaves what was there before.
#![forbid(unsafe_code)]

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// How long a file is to be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lasting {
    /// As long as the machine runs.
    ThisBoot,
    /// When the machine is started again, too, however it has ended.
    Always,
}

/// Writes a file, and its directory if there is none.
///
/// # Errors
///
/// If it can't be written; what was there before is there then.
pub fn replace(path: &Path, content: &[u8], lasting: Lasting) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
    }
    let unfinished = path.with_extension("unfinished");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(content)?;
    if lasting == Lasting::Always {
        file.sync_all()?;
    }
    fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_whole_and_is_nobody_elses_to_read() {
        let directory = std::env::temp_dir().join(format!("whole-file-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        let path = directory.join("own").join("one.json");
        for content in ["a long content", "short"] {
            replace(&path, content.as_bytes(), Lasting::Always).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        // What can't be written leaves the one before: a directory is in its way.
        fs::create_dir(path.with_extension("unfinished")).unwrap();
        assert!(replace(&path, b"other", Lasting::ThisBoot).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "short");
        fs::remove_dir_all(&directory).unwrap();
    }
}
