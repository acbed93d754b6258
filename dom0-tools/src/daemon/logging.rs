//! The daemons' log: lines with a time and a level, to a file or to standard error.

use log::{LevelFilter, Log, Metadata, Record};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

enum Output {
    StandardError,
    File(PathBuf, File),
}

struct Logger(Mutex<Output>);

static LOGGER: Logger = Logger(Mutex::new(Output::StandardError));

/// Begins to log, into the file if one is given.
///
/// # Errors
///
/// If the file can't be opened.
pub fn start(file: Option<&Path>, level: LevelFilter) -> io::Result<()> {
    if let Some(path) = file {
        let opened = open(path)?;
        *output() = Output::File(path.to_owned(), opened);
    }
    // A second start only changes where to and how much.
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(level);
    Ok(())
}

/// Opens the file again, which somebody has moved away.
pub fn reopen() {
    let mut output = output();
    if let Output::File(path, file) = &mut *output
        && let Ok(opened) = open(path)
    {
        *file = opened;
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    OpenOptions::new().append(true).create(true).open(path)
}

fn output() -> std::sync::MutexGuard<'static, Output> {
    let locked = LOGGER.0.lock();
    locked.unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = now.map_or(0, |now| now.as_secs());
        // Programs read the log of `xend` in this form.
        let module = record.module_path().unwrap_or_default();
        let line = format!(
            "[{} {}] {} ({}:{}) {}\n",
            utc(seconds),
            std::process::id(),
            record.level(),
            module.rsplit("::").next().unwrap_or_default(),
            record.line().unwrap_or(0),
            record.args()
        );
        // Nobody is left to be told that it can't be written.
        let _ = match &mut *output() {
            Output::StandardError => io::stderr().write_all(line.as_bytes()),
            Output::File(_, file) => file.write_all(line.as_bytes()),
        };
    }

    fn flush(&self) {}
}

/// Year, month, day, hour, minute and second, for seconds since 1970.
#[must_use]
pub fn date_and_time(seconds: u64) -> [u64; 6] {
    // Years from March to February, so that the odd day is the last one.
    let (days, time) = (seconds / 86400 + 719_468, seconds % 86400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    [year, month, day, time / 3600, time / 60 % 60, time % 60]
}

fn utc(seconds: u64) -> String {
    let [year, month, day, hour, minute, second] = date_and_time(seconds);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn times_are_shown_as_people_read_them() {
        assert_eq!(utc(0), "1970-01-01 00:00:00");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(utc(1_795_735_757), "2026-11-26 23:29:17");
        assert_eq!(utc(4_107_542_399), "2100-02-28 23:59:59");
        assert_eq!(utc(4_107_542_400), "2100-03-01 00:00:00");
    }
}
