//! Files of logs, which stay small: one that is full is called `FILE.1` from then on, the former `FILE.1` is called
//! `FILE.2`, and so on; the oldest is removed.
//!
//! What is written is written whole or not at all, so a full disk leaves a gap and no half lines. The first piece that
//! can be written again is preceded by a sentence on what is missing. The newest counts most: a file that can't be
//! renamed is emptied instead. Others may move the file away, and have what is in it then; or empty it. Who follows
//! them is told to open it anew.

use nix::fcntl::OFlag;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What a file has at most.
pub const MOST_BYTES: u64 = 1 << 20;
/// Old files that are kept.
pub const OLD_FILES: u32 = 5;

/// Who may read a file that is new; one that is there keeps its mode and its owner, also when it becomes an old one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Readers {
    /// Its owner, and the owner's group.
    Group,
    /// Its owner.
    Owner,
}

impl Readers {
    const fn modes(self) -> (u32, u32) {
        match self {
            Self::Group => (0o640, 0o755),
            Self::Owner => (0o600, 0o700),
        }
    }
}

/// What could not be written.
#[derive(Debug)]
pub struct Gap {
    /// Pieces that are missing.
    pub pieces: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Why the first of them is.
    pub why: String,
}

/// See the module.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    readers: Readers,
    file: File,
    gap: Option<Gap>,
}

fn open(path: &Path, readers: Readers) -> io::Result<File> {
    let (mode, directory_mode) = readers.modes();
    if let Some(directory) = path.parent() {
        let mut builder = DirBuilder::new();
        let builder = builder.recursive(true).mode(directory_mode);
        builder.create(directory)?;
    }
    // A pipe that nobody reads must not make the daemon wait.
    let mut options = OpenOptions::new();
    let options = options.append(true).create(true).mode(mode);
    options.custom_flags(OFlag::O_NONBLOCK.bits()).open(path)
}

/// The name of an old file.
fn old(path: &Path, number: u32) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(format!(".{number}"));
    name.into()
}

/// Whether a file has this name.
fn is_same(file: &Metadata, path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|there| (there.dev(), there.ino()) == (file.dev(), file.ino()))
}

impl LogFile {
    /// Opens a file, or makes it and its directory.
    ///
    /// # Errors
    ///
    /// If it can't.
    pub fn open(path: &Path, readers: Readers) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            readers,
            file: open(path, readers)?,
            gap: None,
        })
    }

    /// Its name.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it again, because somebody has moved it away.
    ///
    /// # Errors
    ///
    /// If it can't: what was open stays so.
    pub fn reopen(&mut self) -> io::Result<()> {
        self.file = open(&self.path, self.readers)?;
        Ok(())
    }

    /// Goes on in this file, and tells there what is missing. Is that the one which is open, nothing happens.
    ///
    /// # Errors
    ///
    /// If it can't be opened: what was open stays so.
    pub fn move_to(&mut self, path: &Path) -> io::Result<()> {
        if path == self.path && is_same(&self.file.metadata()?, path) {
            return Ok(());
        }
        self.file = open(path, self.readers)?;
        path.clone_into(&mut self.path);
        Ok(())
    }

    /// Writes a piece, behind what `tell` says of those that are missing before it. Returns the error if this is the
    /// first that is missing.
    pub fn write(&mut self, piece: &[u8], tell: impl FnOnce(&Gap) -> String) -> Option<io::Error> {
        let told = self.gap.as_ref().map(tell);
        let written = match told {
            Some(told) => self.put(&[told.as_bytes(), piece].concat()),
            None => self.put(piece),
        };
        match (written, &mut self.gap) {
            (Ok(()), gap) => {
                *gap = None;
                None
            }
            (Err(_), Some(gap)) => {
                gap.pieces += 1;
                gap.bytes += piece.len() as u64;
                None
            }
            (Err(error), gap) => {
                *gap = Some(Gap {
                    pieces: 1,
                    bytes: piece.len() as u64,
                    why: error.to_string(),
                });
                Some(error)
            }
        }
    }

    /// All of it, or nothing.
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Whoever else has the file may have made it shorter.
        let mut found = self.file.metadata()?;
        if found.is_file() && found.len() > 0 && found.len() + bytes.len() as u64 > MOST_BYTES {
            self.rotate()?;
            found = self.file.metadata()?;
        }
        let written = self.file.write_all(bytes);
        if written.is_err() && found.is_file() {
            let _ = self.file.set_len(found.len());
        }
        written
    }

    /// Makes this file an old one, and begins a new one; one that can't be renamed is emptied.
    fn rotate(&mut self) -> io::Result<()> {
        // Of a link, what it leads to.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let former = self.file.metadata()?;
        let is_there = || is_same(&former, &path);
        if !is_there() {
            // Somebody has moved it away: it is an archive by now, and nobody's to cut.
            return self.reopen();
        }
        // One that is not there, or can't be renamed, keeps no newer one.
        for number in (1..OLD_FILES).rev() {
            let _ = fs::rename(old(&path, number), old(&path, number + 1));
        }
        if fs::rename(&path, old(&path, 1)).is_err() {
            return match is_there() {
                true => self.file.set_len(0),
                false => self.reopen(),
            };
        }
        if let Err(error) = self.reopen() {
            // It is tried again with the next piece, and must not cost an old file each time.
            let _ = fs::rename(old(&path, 1), &path);
            for number in 1..OLD_FILES {
                let _ = fs::rename(old(&path, number + 1), old(&path, number));
            }
            return Err(error);
        }
        // As far as it may: who can't give it away keeps it.
        let _ = std::os::unix::fs::fchown(&self.file, Some(former.uid()), Some(former.gid()));
        let mode = Permissions::from_mode(former.mode() & 0o777);
        let _ = self.file.set_permissions(mode);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    fn directory(test: &str) -> PathBuf {
        let name = format!("log-file-{test}-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&directory);
        directory
    }

    fn silent(_: &Gap) -> String {
        panic!("nothing is missing")
    }

    fn told(gap: &Gap) -> String {
        format!("({}, {}, {})", gap.pieces, gap.bytes, gap.why)
    }

    /// A piece of a kind, a third of a file.
    fn third(kind: u8) -> Vec<u8> {
        vec![kind; MOST_BYTES as usize / 3]
    }

    fn first_bytes(path: &Path) -> Vec<u8> {
        let names = (0..=OLD_FILES + 1).map(|number| match number {
            0 => path.to_owned(),
            number => old(path, number),
        });
        let files = names.filter_map(|name| fs::read(name).ok());
        files.map(|file| file.first().copied().unwrap()).collect()
    }

    #[test]
    fn files_are_bounded_and_the_newest_are_kept() {
        let directory = directory("bounded");
        let path = directory.join("deep/x.log");
        let mut log = LogFile::open(&path, Readers::Owner).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        // What an administrator has changed stays so.
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        for kind in b'a'..=b'i' {
            for _ in 0..3 {
                assert!(log.write(&third(kind), silent).is_none());
            }
        }
        assert_eq!(first_bytes(&path), b"ihgfed");
        let sizes = fs::read_dir(path.parent().unwrap()).unwrap();
        let sizes: Vec<_> = sizes
            .map(|file| file.unwrap().metadata().unwrap().len())
            .collect();
        assert!(
            sizes.iter().all(|&size| size <= MOST_BYTES) && sizes.iter().sum::<u64>() > 5 << 20
        );
        assert_eq!((mode(&path), mode(&old(&path, 1))), (0o644, 0o644));
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn one_that_is_moved_or_emptied_by_others_is_followed() {
        let directory = directory("moved");
        let path = directory.join("x.log");
        let mut log = LogFile::open(&path, Readers::Group).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o640);
        for kind in [b'a'; 3] {
            log.write(&third(kind), silent);
        }
        // Emptied: there is room again.
        File::options()
            .write(true)
            .truncate(true)
            .open(&path)
            .unwrap();
        log.write(&third(b'b'), silent);
        assert_eq!(first_bytes(&path), b"b");
        // Moved, and nobody has said so: what others have begun there is not renamed.
        fs::rename(&path, directory.join("moved")).unwrap();
        fs::write(&path, "other's").unwrap();
        for kind in [b'c'; 3] {
            log.write(&third(kind), silent);
        }
        assert_eq!(first_bytes(&path), b"o");
        assert_eq!(fs::read(&path).unwrap().len(), 7 + third(0).len());
        fs::remove_file(&path).unwrap();
        log.reopen().unwrap();
        log.write(b"d", silent);
        assert_eq!(first_bytes(&path), b"d");
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn of_a_link_the_file_is_renamed() {
        let directory = directory("link");
        fs::create_dir_all(directory.join("disk")).unwrap();
        let (path, true_path) = (directory.join("x.log"), directory.join("disk/x.log"));
        std::os::unix::fs::symlink(&true_path, &path).unwrap();
        let mut log = LogFile::open(&path, Readers::Owner).unwrap();
        for kind in *b"aaab" {
            log.write(&third(kind), silent);
        }
        assert_eq!(first_bytes(&true_path), b"ba");
        assert_eq!(first_bytes(&path), b"b");
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn one_that_can_t_be_renamed_is_emptied() {
        let directory = directory("emptied");
        let path = directory.join("x.log");
        let mut log = LogFile::open(&path, Readers::Owner).unwrap();
        fs::create_dir_all(old(&path, 1).join("full")).unwrap();
        fs::create_dir_all(old(&path, 2).join("full")).unwrap();
        for kind in *b"aaab" {
            log.write(&third(kind), silent);
        }
        assert_eq!(fs::read(&path).unwrap(), third(b'b'));
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_device_is_only_written_to() {
        let mut log = LogFile::open(Path::new("/dev/null"), Readers::Owner).unwrap();
        for _ in 0..4 {
            assert!(log.write(&third(b'a'), silent).is_none());
        }
        // A disk that is full, as far as who writes can see.
        let mut log = LogFile::open(Path::new("/dev/full"), Readers::Owner).unwrap();
        let error = log.write(b"abc", silent).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(log.write(b"de", told).is_none());
        log.path = directory("full").join("x.log");
        log.reopen().unwrap();
        assert!(log.write(b" fg", told).is_none());
        assert!(log.write(b" h", silent).is_none());
        let text = fs::read_to_string(&log.path).unwrap();
        assert_eq!(text, "(2, 5, No space left on device (os error 28)) fg h");
        fs::remove_dir_all(log.path.parent().unwrap()).unwrap();
    }

    /// Set in a process of a test's own, whose limits are no other test's affair.
    const OWN_PROCESS: &str = "TEST_LOG_FILE_DIRECTORY";

    /// Runs a test once more, in a process of its own behind a shell's command, and returns the directory that it had;
    /// there, `Err` with this directory.
    fn in_own_process(test: &str, command: &str) -> Result<PathBuf, PathBuf> {
        if let Some(directory) = std::env::var_os(OWN_PROCESS) {
            return Err(directory.into());
        }
        let directory = directory(test);
        let status = std::process::Command::new("sh")
            .args(["-c", &format!("{command}; exec \"$0\" --exact \"$1\"")])
            .arg(std::env::current_exe().unwrap())
            .arg(format!("daemon::log_file::tests::{test}"))
            .env(OWN_PROCESS, &directory)
            .stdout(std::process::Stdio::null())
            .status();
        assert!(status.unwrap().success());
        Ok(directory)
    }

    /// Of a piece that has no room, the kernel writes the beginning.
    #[test]
    fn no_half_piece_is_left_where_room_ends() {
        let this = "no_half_piece_is_left_where_room_ends";
        let directory = match in_own_process(this, "trap '' XFSZ; ulimit -f 2") {
            Ok(directory) => {
                let text = fs::read_to_string(directory.join("x.log")).unwrap();
                assert!(text.ends_with("abc") && text.len() < 2048, "{text}");
                return fs::remove_dir_all(&directory).unwrap();
            }
            Err(directory) => directory,
        };
        let path = directory.join("x.log");
        let mut log = LogFile::open(&path, Readers::Owner).unwrap();
        assert!(log.write(&[b'0'; 500], silent).is_none());
        let error = log.write(&[b'1'; 5000], silent).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(path.metadata().unwrap().len(), 500);
        assert!(log.write(b"abc", told).is_none());
        assert!(fs::read_to_string(&path).unwrap().contains("(1, 5000, "));
    }

    #[test]
    fn an_archive_is_not_cut_where_there_can_be_no_new_file() {
        let directory = directory("archive");
        let (path, archive) = (directory.join("x.log"), directory.join("archive"));
        let mut log = LogFile::open(&path, Readers::Owner).unwrap();
        for kind in *b"aaa" {
            log.write(&third(kind), silent);
        }
        fs::rename(&path, &archive).unwrap();
        fs::create_dir(&path).unwrap();
        let error = log.write(&third(b'b'), silent).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
        assert_eq!(fs::read(&archive).unwrap(), third(b'a').repeat(3));
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn nothing_is_lost_where_no_file_can_be_opened() {
        let this = "nothing_is_lost_where_no_file_can_be_opened";
        let directory = match in_own_process(this, ":") {
            Ok(directory) => return fs::remove_dir_all(&directory).unwrap(),
            Err(directory) => directory,
        };
        let path = directory.join("x.log");
        let mut log = LogFile::open(&path, Readers::Owner).unwrap();
        for kind in *b"aaabbbccc" {
            log.write(&third(kind), silent);
        }
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, 0, hard).unwrap();
        let refused = log.write(&third(b'd'), silent);
        for _ in 0..OLD_FILES {
            assert!(log.write(&third(b'd'), told).is_none());
        }
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
        let error = refused.unwrap().raw_os_error();
        assert_eq!(error, Some(nix::errno::Errno::EMFILE as i32));
        assert_eq!(first_bytes(&path), b"cba");
        assert!(log.write(&third(b'd'), told).is_none());
        assert_eq!(first_bytes(&path), b"(cba");
    }
}
