//! Where words for people go: every line of our own into the log ring, and to the serial line and the screen as far
//! as the administrator wants them.
//!
//! Order of locks: the console lock is the last one that anybody takes, so a line may be written while any
//! other lock is held. Interrupts are off while it is held. (The count of printed messages has a lock that is
//! released before.)

#![forbid(unsafe_code)]

pub mod input;
pub mod keys;
mod levels;
mod ring;

pub use ring::LogRing;

use crate::lock::IrqLock;
use crate::options::{LogThreshold, Options};
use crate::sync::rank;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};
use levels::{Admission, Class};
use log::{Level, LevelFilter, Log, Metadata, Record};
use spin::Once;

/// Bytes of log that are kept for the first domain to read.
const RING_BYTES: usize = 64 * 1024;
/// The most devices that show what is written.
const MAX_SINKS: usize = 2;

/// A device that shows bytes to people.
pub trait Sink: Sync {
    /// Shows `bytes`; a line ends with `\n` alone. May wait for the device, but not for ever.
    fn write(&self, bytes: &[u8]);
}

struct Console {
    ring: LogRing<RING_BYTES>,
    at_line_start: bool,
    /// Devices show a line of a guest's that has not ended.
    is_guests_line: bool,
}

static CONSOLE: IrqLock<Console, { rank::CONSOLE }> = IrqLock::new(Console {
    ring: LogRing::new(),
    at_line_start: true,
    is_guests_line: false,
});
static SINKS: [Once<&'static dyn Sink>; MAX_SINKS] = [const { Once::new() }; MAX_SINKS];
/// Nanoseconds since start, for the stamp before each line.
static CLOCK: Once<fn() -> u64> = Once::new();
/// The machine is dying: the console lock may be held by a processor that was stopped, so go round it.
static DYING: AtomicBool = AtomicBool::new(false);

/// From now on `sink` shows everything that is written. What was written before is shown to it at once.
pub fn add_sink(sink: &'static dyn Sink) {
    let console = CONSOLE.lock();
    let mut piece = [0; 256];
    let mut position = console.ring.start();
    loop {
        let (next, count) = console.ring.read(position, &mut piece);
        if count == 0 {
            break;
        }
        sink.write(&piece[..count]);
        position = next;
    }
    for slot in &SINKS {
        if !slot.is_completed() {
            slot.call_once(|| sink);
            return;
        }
    }
}

/// Says how the console learns the time: a function that returns nanoseconds since start.
pub fn set_clock(clock: fn() -> u64) {
    CLOCK.call_once(|| clock);
}

/// From now on lines are written without the lock and without the ring: the other processors stand still
/// and one of them may hold it.
pub fn start_dying() {
    DYING.store(true, Ordering::Relaxed);
}

/// Writes text as it is, without a time stamp.
pub fn write(text: &str) {
    if DYING.load(Ordering::Relaxed) {
        show(text.as_bytes());
    } else {
        let mut console = CONSOLE.lock();
        console.put(text.as_bytes());
    }
}

fn show(bytes: &[u8]) {
    for sink in SINKS.iter().filter_map(Once::get) {
        sink.write(bytes);
    }
}

impl Console {
    fn put(&mut self, bytes: &[u8]) {
        if let Some(&last) = bytes.last() {
            self.ring.write(bytes);
            show(bytes);
            self.at_line_start = last == b'\n';
            self.is_guests_line = false;
        }
    }

    /// Shows what a guest prints. It is not logged: what somebody types at the first domain's shell, and what its kernel tells
    /// at length, is nothing that readers of the hypervisor's log look for.
    fn put_guests(&mut self, bytes: &[u8]) {
        if let Some(&last) = bytes.last() {
            show(bytes);
            self.is_guests_line = last != b'\n';
        }
    }

    fn line(&mut self, text: fmt::Arguments<'_>) {
        if self.is_guests_line {
            show(b"\n");
        } else if !self.at_line_start {
            self.put(b"\n");
        }
        // Our writers do not fail; a failing `Display` of an argument shortens its line.
        let _ = write_line(&mut Locked(self), text);
    }
}

struct Locked<'a>(&'a mut Console);

impl Write for Locked<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.put(text.as_bytes());
        Ok(())
    }
}

struct Unlocked;

impl Write for Unlocked {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        show(text.as_bytes());
        Ok(())
    }
}

/// Writes one line about what an administrator has asked for and will not have. It is written whatever the log level
/// is: a mistake is never passed over in silence.
pub fn warning(text: fmt::Arguments<'_>) {
    line(format_args!("warning: {text}"));
}

/// Writes one line with its time stamp.
pub fn line(text: fmt::Arguments<'_>) {
    if DYING.load(Ordering::Relaxed) {
        let _ = write_line(&mut Unlocked, text);
    } else {
        CONSOLE.lock().line(text);
    }
}

fn write_line(out: &mut impl Write, text: fmt::Arguments<'_>) -> fmt::Result {
    let mut stamped = Stamped {
        out,
        us: CLOCK.get().map_or(0, |now| now() / 1000),
    };
    stamped.stamp()?;
    write!(stamped, "{text}")?;
    stamped.out.write_str("\n")
}

/// Writes the stamp before every line but the first, of a text that has more than one.
struct Stamped<'a, W> {
    out: &'a mut W,
    us: u64,
}

impl<W: Write> Stamped<'_, W> {
    fn stamp(&mut self) -> fmt::Result {
        let (seconds, us) = (self.us / 1_000_000, self.us % 1_000_000);
        write!(self.out, "(PV) [{seconds:5}.{us:06}] ")
    }
}

impl<W: Write> Write for Stamped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut lines = text.split('\n');
        self.out.write_str(lines.next().unwrap_or_default())?;
        for line in lines {
            self.out.write_str("\n")?;
            self.stamp()?;
            self.out.write_str(line)?;
        }
        Ok(())
    }
}

/// Target of messages that a guest causes, for the `log` crate's macros: `guest_loglvl=` is for them, and
/// `loglvl=` for all others.
pub const GUEST: &str = "guest";

static OWN_MESSAGES: Class = Class::new(Options::DEFAULT.loglvl);
static GUEST_MESSAGES: Class = Class::new(Options::DEFAULT.guest_loglvl);

fn class(target: &str) -> &'static Class {
    if target == GUEST {
        &GUEST_MESSAGES
    } else {
        &OWN_MESSAGES
    }
}

struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        class(metadata.target()).may_print(metadata.level())
    }

    fn log(&self, record: &Record<'_>) {
        let now_ns = CLOCK.get().map_or(0, |now| now());
        let admission = class(record.target()).admit(record.level(), now_ns);
        let Admission::Print { nr_dropped } = admission else {
            return;
        };
        if nr_dropped != 0 {
            line(format_args!(
                "warning: {nr_dropped} messages were too many and are not shown"
            ));
        }
        match record.level() {
            Level::Error => line(format_args!("error: {}", record.args())),
            Level::Warn => line(format_args!("warning: {}", record.args())),
            _ => line(format_args!("{}", record.args())),
        }
    }

    fn flush(&self) {}
}

/// Makes the macros of the `log` crate write to the console what is important enough: the hypervisor's own
/// messages by `own`, those that guests cause (target [`GUEST`]) by `guest`.
pub fn start_logging(own: LogThreshold, guest: LogThreshold) {
    static LOGGER: Logger = Logger;
    OWN_MESSAGES.set(own);
    GUEST_MESSAGES.set(guest);
    // A second call finds the same logger in place.
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(LevelFilter::Debug);
}

/// Shows what a guest prints, as it is, and does not log it.
pub fn write_guest(bytes: &[u8]) {
    if !DYING.load(Ordering::Relaxed) {
        CONSOLE.lock().put_guests(bytes);
    }
}

/// Positions of the oldest byte of the log that is kept, and behind the newest.
pub fn log_range() -> (u64, u64) {
    let console = CONSOLE.lock();
    (console.ring.start(), console.ring.end())
}

/// Copies bytes of the log from a position on. Returns the position behind the last one, and how many there are.
pub fn read_log(from: u64, buffer: &mut [u8]) -> (u64, usize) {
    CONSOLE.lock().ring.read(from, buffer)
}

/// Forgets the log before a position, for who reads it.
pub fn clear_log_to(position: u64) {
    CONSOLE.lock().ring.clear_to(position);
}

/// The position of which a reader knows the lower half, in a log that begins at `start` and ends at `end`: one
/// that is not there any more, or not yet, is the beginning.
#[must_use]
pub const fn position_of(lower: u32, start: u64, end: u64) -> u64 {
    let back = (end as u32).wrapping_sub(lower) as u64;
    if back <= end - start {
        end - back
    } else {
        start
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Console, LogRing, position_of, write_line};

    #[test]
    fn what_a_guest_prints_is_not_logged() {
        let mut console = Console {
            ring: LogRing::new(),
            at_line_start: true,
            is_guests_line: false,
        };
        console.line(format_args!("a"));
        console.put_guests(b"# xl dmesg");
        console.line(format_args!("b"));
        console.put_guests(b"\n# \n");
        console.put(b"c");
        console.line(format_args!("d"));
        let mut buffer = [0; 256];
        let (_, count) = console.ring.read(0, &mut buffer);
        let stamp = "(PV) [    0.000000] ";
        assert_eq!(
            String::from_utf8_lossy(&buffer[..count]),
            format!("{stamp}a\n{stamp}b\nc\n{stamp}d\n")
        );
    }

    #[test]
    fn each_line_of_a_message_has_its_stamp() {
        let mut text = String::new();
        write_line(&mut text, format_args!("a {} c", "b\nb")).unwrap();
        assert_eq!(text, "(PV) [    0.000000] a b\n(PV) [    0.000000] b c\n");
    }

    #[test]
    fn a_reader_goes_on_where_it_was_even_over_4_gib() {
        assert_eq!(position_of(7, 0, 10), 7);
        assert_eq!(position_of(10, 0, 10), 10);
        assert_eq!(position_of(3, 5, 10), 5, "what is gone is skipped");
        assert_eq!(position_of(11, 5, 10), 5, "what is to come is not awaited");
        let far = (1 << 32) + 10;
        assert_eq!(position_of(u32::MAX, far - 100, far), (1 << 32) - 1);
        assert_eq!(position_of(5, far - 100, far), (1 << 32) + 5);
    }
}
