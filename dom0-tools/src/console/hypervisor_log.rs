//! What the hypervisor prints, in a file.

use super::line_times::{LineTimes, Times};
use crate::control::error::ControlError;
use crate::daemon::log_file::{Gap, LogFile};
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
    file: LogFile,
    lines: LineTimes,
    index: Option<u32>,
    is_refused: bool,
}

impl<S: Source> HypervisorLog<S> {
    /// Begins with what the hypervisor still knows.
    pub const fn new(source: S, file: LogFile, times: Times) -> Self {
        Self {
            source,
            file,
            lines: LineTimes::new(times),
            index: None,
            is_refused: false,
        }
    }

    /// Writes what has come.
    pub fn look(&mut self) {
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
            if let Some(error) = self.file.write(&self.lines.with_times(&bytes), about_gap) {
                log::warn!(
                    "{}: {error}: what the hypervisor prints is not logged until it can be",
                    self.file.path().display()
                );
            }
            if bytes.len() < AT_ONCE {
                return;
            }
        }
    }

    /// The file was moved away.
    pub fn reopen(&mut self) {
        if let Err(error) = self.file.reopen() {
            log::warn!("{}: {error}", self.file.path().display());
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
    use crate::daemon::log_file::Readers;
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
        let file = LogFile::open(&path, Readers::Group).unwrap();
        let mut log = HypervisorLog::new(printed.clone(), file, Times::NotShown);
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
}
