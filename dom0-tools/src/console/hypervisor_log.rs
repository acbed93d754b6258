//! What the hypervisor prints, in a file.

use super::line_times::{LineTimes, Times};
use crate::control::error::ControlError;
use crate::daemon::log_file::{Gap, LogFile, Readers};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Between two looks: the hypervisor tells nobody that it has printed something.
pub const PAUSE: Duration = Duration::from_secs(1);
/// Bytes that are read at once.
const AT_ONCE: usize = 16 << 10;
/// How often in one look, so that guests do not wait for long.
const TIMES: usize = 16;

/// Where it is read.
pub trait Source {
    /// What was printed since an index, at most so many bytes, and the index behind it; `None`: all that is known.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    fn read(&mut self, index: Option<u32>, most: usize) -> Result<(Vec<u8>, u32), ControlError>;
}

/// See the module.
pub struct HypervisorLog<S> {
    source: S,
    path: PathBuf,
    /// None if it could not be opened: guests have consoles all the same.
    file: Option<LogFile>,
    lines: LineTimes,
    index: Option<u32>,
    is_refused: bool,
}

impl<S: Source> HypervisorLog<S> {
    /// Begins with what the hypervisor still knows.
    pub fn new(source: S, path: &Path, times: Times) -> Self {
        let mut new = Self {
            source,
            path: path.to_owned(),
            file: None,
            lines: LineTimes::new(times),
            index: None,
            is_refused: false,
        };
        new.reopen();
        new
    }

    /// Writes what has come.
    pub fn look(&mut self) {
        let Some(file) = &mut self.file else { return };
        for _ in 0..TIMES {
            let (bytes, index) = match self.source.read(self.index, AT_ONCE) {
                Ok(read) => read,
                Err(error) => {
                    if !std::mem::replace(&mut self.is_refused, true) {
                        log::warn!("what the hypervisor prints is not logged: {error}");
                    }
                    return;
                }
            };
            self.is_refused = false;
            self.index = Some(index);
            if bytes.is_empty() {
                return;
            }
            if let Some(error) = file.write(&self.lines.with_times(&bytes), about_gap) {
                log::warn!(
                    "{}: {error}: what the hypervisor prints is not logged until it can be",
                    file.path().display()
                );
            }
            if bytes.len() < AT_ONCE {
                return;
            }
        }
    }

    /// The file was moved away, or can be opened by now.
    pub fn reopen(&mut self) {
        let name = self.path.display();
        match &mut self.file {
            Some(file) => {
                if let Err(error) = file.reopen() {
                    log::warn!("{name}: {error}");
                }
            }
            None => match LogFile::open(&self.path, Readers::Group) {
                Ok(file) => self.file = Some(file),
                Err(error) => log::warn!(
                    "{name}: {error}: what the hypervisor prints is not logged; mend that, and send xenconsoled a HUP"
                ),
            },
        }
    }
}

/// What is said in a file of what others print.
pub(super) fn about_gap(gap: &Gap) -> String {
    format!(
        "\n[xenconsoled: {} bytes are missing here, which could not be written: {}]\n",
        gap.bytes, gap.why
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;
    use std::cell::RefCell;
    use std::fs;
    use std::rc::Rc;

    #[derive(Default)]
    struct Printed {
        text: Vec<u8>,
        is_refused: bool,
    }

    impl Source for Rc<RefCell<Printed>> {
        fn read(
            &mut self,
            index: Option<u32>,
            most: usize,
        ) -> Result<(Vec<u8>, u32), ControlError> {
            let printed = self.borrow();
            if printed.is_refused {
                return Err(ControlError::new("a test", Errno::EPERM));
            }
            let begin = index.unwrap_or(0) as usize;
            let end = printed.text.len().min(begin + most);
            Ok((printed.text[begin..end].to_vec(), end as u32))
        }
    }

    #[test]
    fn each_byte_is_logged_once() {
        let name = format!("hypervisor-log-{}", std::process::id());
        let path = std::env::temp_dir().join(name).join("hypervisor.log");
        let printed = Rc::<RefCell<Printed>>::default();
        let mut log = HypervisorLog::new(printed.clone(), &path, Times::NotShown);
        let print = |text: &str| printed.borrow_mut().text.extend(text.bytes());
        print("booted\n");
        log.look();
        log.look();
        print("a domain\n");
        printed.borrow_mut().is_refused = true;
        log.look();
        assert_eq!(fs::read_to_string(&path).unwrap(), "booted\n");
        printed.borrow_mut().is_refused = false;
        log.look();
        // More than is read at once, and than in one look.
        print(&"x".repeat(AT_ONCE * (TIMES + 1)));
        log.look();
        log.look();
        let text = fs::read(&path).unwrap();
        assert_eq!(text, printed.borrow().text);
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn one_that_can_t_be_opened_is_so_later_and_nothing_is_missing() {
        let name = format!("hypervisor-log-later-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::write(&directory, "in the way").unwrap();
        let path = directory.join("hypervisor.log");
        let printed = Rc::<RefCell<Printed>>::default();
        let mut log = HypervisorLog::new(printed.clone(), &path, Times::NotShown);
        printed.borrow_mut().text.extend(b"booted\n");
        log.look();
        fs::remove_file(&directory).unwrap();
        log.reopen();
        log.look();
        assert_eq!(fs::read_to_string(&path).unwrap(), "booted\n");
        fs::remove_dir_all(&directory).unwrap();
    }
}
