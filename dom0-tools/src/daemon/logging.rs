//! The daemons' log: lines with a time and a level, to a [file](super::log_file) or to standard error. What is traced may
//! go to a file of its own.

use super::log_file::{Gap, LogFile, Readers};
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

enum Output {
    StandardError,
    File(LogFile),
}

impl Output {
    fn go_to(&mut self, path: &Path) -> io::Result<()> {
        match self {
            Self::StandardError => *self = Self::File(LogFile::open(path, Readers::Group)?),
            // One that has been open before is so only once, and what is missing is told wherever it goes on.
            Self::File(file) => file.move_to(path)?,
        }
        Ok(())
    }
}

struct Logger {
    output: Mutex<Output>,
    /// Where lines of [`Level::Trace`] go, if not with the others.
    traced: Mutex<Option<LogFile>>,
}

static LOGGER: Logger = Logger {
    output: Mutex::new(Output::StandardError),
    traced: Mutex::new(None),
};

/// Begins to log, into the file if one is given.
///
/// # Errors
///
/// If the file can't be opened: what was before goes on.
pub fn start(file: Option<&Path>, level: LevelFilter) -> io::Result<()> {
    if let Some(path) = file {
        output().go_to(path)?;
    }
    // A second start only changes where to and how much.
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(level);
    Ok(())
}

/// Begins to write what is traced into a file of its own.
///
/// # Errors
///
/// If the file can't be opened.
pub fn trace_into(file: &Path) -> io::Result<()> {
    *traced() = Some(LogFile::open(file, Readers::Group)?);
    log::set_max_level(LevelFilter::Trace);
    Ok(())
}

/// Opens the files again, which somebody has moved away.
pub fn reopen() {
    let again = |file: &mut LogFile| {
        let reopened = file.reopen();
        reopened.map_err(|error| format!("{}: {error}", file.path().display()))
    };
    let of_log = match &mut *output() {
        Output::StandardError => Ok(()),
        Output::File(file) => again(file),
    };
    let of_trace = traced().as_mut().map_or(Ok(()), again);
    for sentence in [of_log, of_trace].into_iter().filter_map(Result::err) {
        log::error!("{sentence}: the log goes on where it was");
    }
}

fn output() -> MutexGuard<'static, Output> {
    let locked = LOGGER.output.lock();
    locked.unwrap_or_else(PoisonError::into_inner)
}

fn traced() -> MutexGuard<'static, Option<LogFile>> {
    let locked = LOGGER.traced.lock();
    locked.unwrap_or_else(PoisonError::into_inner)
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // Programs read the log of `xend` in this form.
        let module = record.module_path().unwrap_or_default();
        let module = module.rsplit("::").next().unwrap_or_default();
        let text = record.args().to_string();
        let line = line(
            record.level(),
            module,
            record.line().unwrap_or(0),
            shortened(&text),
        );
        if record.level() == Level::Trace
            && let Some(file) = &mut *traced()
        {
            let _ = file.write(line.as_bytes(), about_gap);
            return;
        }
        match &mut *output() {
            // Nobody is left to be told that it can't be written.
            Output::StandardError => drop(io::stderr().write_all(line.as_bytes())),
            Output::File(file) => drop(file.write(line.as_bytes(), about_gap)),
        }
    }

    fn flush(&self) {}
}

/// Bytes of a text that are written.
const MOST_TEXT: usize = 16 << 10;

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(MOST_TEXT)]
}

fn line(level: Level, module: &str, number: u32, text: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = now.map_or(0, |now| now.as_secs());
    let process = std::process::id();
    format!(
        "[{} {process}] {level} ({module}:{number}) {text}\n",
        utc(seconds)
    )
}

fn about_gap(gap: &Gap) -> String {
    let text = format!(
        "{} lines are missing here, which could not be written: {}",
        gap.pieces, gap.why
    );
    line(Level::Error, "logging", line!(), &text)
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
    use super::*;

    #[test]
    fn lines_have_the_form_that_programs_read_and_are_not_long() {
        let gap = Gap {
            pieces: 3,
            bytes: 400,
            why: "No space left on device".to_owned(),
        };
        let line = about_gap(&gap);
        let (time, rest) = line.split_once("] ").unwrap();
        assert!(time.starts_with("[2") && time.ends_with(&format!(" {}", std::process::id())));
        let sentence =
            "3 lines are missing here, which could not be written: No space left on device";
        assert!(rest.starts_with("ERROR (logging:") && rest.ends_with(&format!(") {sentence}\n")));
        let long = "é".repeat(MOST_TEXT);
        assert_eq!(shortened(&long).len(), MOST_TEXT);
        assert_eq!(shortened("short"), "short");
    }

    #[test]
    fn where_it_goes_on_what_is_missing_is_told() {
        let directory = format!("logging-{}", std::process::id());
        let directory = std::env::temp_dir().join(directory);
        let mut output = Output::StandardError;
        let write = |output: &mut Output, line: &str| match output {
            Output::StandardError => panic!("it is not opened"),
            Output::File(file) => drop(file.write(line.as_bytes(), about_gap)),
        };
        output.go_to(Path::new("/dev/full")).unwrap();
        write(&mut output, "one\n");
        let paths = [directory.join("a.log"), directory.join("b.log")];
        for path in &paths {
            output.go_to(path).unwrap();
            // As it is, and when somebody has moved it away.
            output.go_to(path).unwrap();
            write(&mut output, "two\n");
            std::fs::rename(path, path.with_extension("old")).unwrap();
            output.go_to(path).unwrap();
            write(&mut output, "three\n");
        }
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let told = read(&paths[0].with_extension("old"));
        assert!(told.contains("1 lines are missing here"), "{told}");
        assert!(told.ends_with("\ntwo\n"), "{told}");
        assert_eq!(read(&paths[0]), "three\n");
        assert_eq!(read(&paths[1].with_extension("old")), "two\n");
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn times_are_shown_as_people_read_them() {
        assert_eq!(utc(0), "1970-01-01 00:00:00");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(utc(1_795_735_757), "2026-11-26 23:29:17");
        assert_eq!(utc(4_107_542_399), "2100-02-28 23:59:59");
        assert_eq!(utc(4_107_542_400), "2100-03-01 00:00:00");
    }
}
