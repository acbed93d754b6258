//! The date in the machine's battery-backed clock.
//!
//! Registers and formats are those of the MC146818 and its successors in PCs: status A bit 7 says that an
//! update is under way, status B bit 2 that numbers are binary and bit 1 that hours run to 24; ACPI names the
//! register of the century, if there is one.
#![forbid(unsafe_code)]

use core::fmt;

const STATUS_A: u8 = 0x0A;
const STATUS_B: u8 = 0x0B;
const UPDATE_UNDER_WAY: u8 = 1 << 7;
const IS_BINARY: u8 = 1 << 2;
const IS_24_HOUR: u8 = 1 << 1;
/// In hours that run to 12.
const PM: u8 = 1 << 7;
/// Attempts to find the clock at rest. An update takes 2 ms each second; a read a few microseconds.
const ATTEMPTS: u32 = 100_000;
/// Years of two digits below this are of the 21st century.
const FIRST_YEAR: u8 = 70;

/// The clock's registers.
pub trait Cmos {
    /// Reads a register.
    fn read(&self, register: u8) -> u8;
}

/// The registers of a date, as read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Raw {
    second: u8,
    minute: u8,
    hour: u8,
    day: u8,
    month: u8,
    year: u8,
    century: Option<u8>,
    status_b: u8,
}

/// Why the clock's date can't be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CmosError {
    /// It never was at rest, or never gave the same date twice.
    Busy,
    /// A field is out of range.
    Field {
        /// Its name.
        name: &'static str,
        /// The register's content.
        raw: u8,
    },
}

impl fmt::Display for CmosError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("the CMOS clock is never at rest"),
            Self::Field { name, raw } => {
                write!(
                    f,
                    "the CMOS clock's {name} register holds {raw:#04x}, which is no {name}"
                )
            }
        }
    }
}

impl core::error::Error for CmosError {}

/// Seconds since 1970 by the clock, which is taken to show UTC.
pub fn read_utc<C: Cmos>(cmos: &C, century_register: Option<u8>) -> Result<u64, CmosError> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        if cmos.read(STATUS_A) & UPDATE_UNDER_WAY != 0 {
            last = None;
            continue;
        }
        let raw = Raw {
            second: cmos.read(0x00),
            minute: cmos.read(0x02),
            hour: cmos.read(0x04),
            day: cmos.read(0x07),
            month: cmos.read(0x08),
            year: cmos.read(0x09),
            century: century_register.map(|register| cmos.read(register)),
            status_b: cmos.read(STATUS_B),
        };
        // An update may have begun in between; the same twice is a date.
        if last == Some(raw) {
            return raw.to_utc();
        }
        last = Some(raw);
    }
    Err(CmosError::Busy)
}

impl Raw {
    fn to_utc(self) -> Result<u64, CmosError> {
        let second = self.number("second", self.second, 0, 59)?;
        let minute = self.number("minute", self.minute, 0, 59)?;
        let hour = self.hour()?;
        let month = self.number("month", self.month, 1, 12)?;
        let year_of_century = self.number("year", self.year, 0, 99)?;
        let year = 100 * self.century(year_of_century) + u64::from(year_of_century);
        let last_day = days_in_month(year, month);
        let day = self.number("day", self.day, 1, last_day)?;
        let seconds = u64::from(hour) * 3600 + u64::from(minute) * 60 + u64::from(second);
        Ok(days_since_1970(year, month, day) * 86_400 + seconds)
    }

    fn number(&self, name: &'static str, raw: u8, low: u8, high: u8) -> Result<u8, CmosError> {
        let value = self
            .decode(raw)
            .filter(|value| (low..=high).contains(value));
        value.ok_or(CmosError::Field { name, raw })
    }

    fn decode(&self, raw: u8) -> Option<u8> {
        if self.status_b & IS_BINARY != 0 {
            return Some(raw);
        }
        let (tens, ones) = (raw >> 4, raw & 0xF);
        (tens <= 9 && ones <= 9).then_some(tens * 10 + ones)
    }

    fn hour(&self) -> Result<u8, CmosError> {
        if self.status_b & IS_24_HOUR != 0 {
            return self.number("hour", self.hour, 0, 23);
        }
        let of_12 = self.number("hour", self.hour & !PM, 1, 12)? % 12;
        Ok(if self.hour & PM != 0 {
            of_12 + 12
        } else {
            of_12
        })
    }

    /// Some machines have a century register that holds nonsense; no date before 1970 is believed.
    fn century(&self, year_of_century: u8) -> u64 {
        match self.century.and_then(|raw| self.decode(raw)) {
            Some(century @ 20..=99) => u64::from(century),
            Some(19) if year_of_century >= FIRST_YEAR => 19,
            _ if year_of_century < FIRST_YEAR => 20,
            _ => 19,
        }
    }
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
}

const fn days_in_month(year: u64, month: u8) -> u8 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1 January 1970 to that date, which is not before it.
const fn days_since_1970(year: u64, month: u8, day: u8) -> u64 {
    // Leap days before the year: those of its predecessors, less the ones up to 1969.
    let before = year - 1;
    let leap_days = before / 4 - before / 100 + before / 400 - (1969 / 4 - 1969 / 100 + 1969 / 400);
    let mut days = (year - 1970) * 365 + leap_days;
    let mut earlier = 1;
    while earlier < month {
        days += days_in_month(year, earlier) as u64;
        earlier += 1;
    }
    days + day as u64 - 1
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use core::cell::Cell;
    use proptest::prelude::*;

    struct Fixed([u8; 128]);

    impl Cmos for Fixed {
        fn read(&self, register: u8) -> u8 {
            self.0[usize::from(register)]
        }
    }

    const BCD_24: u8 = IS_24_HOUR;
    const BINARY_24: u8 = IS_24_HOUR | IS_BINARY;
    const CENTURY: u8 = 0x32;

    /// Status B, then second, minute, hour, day, month, year, century.
    fn cmos(status_b: u8, [second, minute, hour, day, month, year, century]: [u8; 7]) -> Fixed {
        let mut registers = [0; 128];
        for (register, value) in [
            (0x00, second),
            (0x02, minute),
            (0x04, hour),
            (0x07, day),
            (0x08, month),
            (0x09, year),
            (0x0B, status_b),
            (CENTURY, century),
        ] {
            registers[usize::from(register)] = value;
        }
        Fixed(registers)
    }

    #[test]
    fn known_dates() {
        let utc = |clock: Fixed| read_utc(&clock, Some(CENTURY));
        assert_eq!(utc(cmos(BCD_24, [0, 0, 0, 1, 1, 0x70, 0x19])), Ok(0));
        assert_eq!(
            utc(cmos(BCD_24, [0x40, 0x46, 0x01, 0x09, 0x09, 0x01, 0x20])),
            Ok(1_000_000_000)
        );
        assert_eq!(
            utc(cmos(BINARY_24, [40, 46, 1, 9, 9, 1, 20])),
            Ok(1_000_000_000)
        );
        assert_eq!(
            utc(cmos(BCD_24, [0x20, 0x33, 0x03, 0x18, 0x05, 0x33, 0x20])),
            Ok(2_000_000_000)
        );
        assert_eq!(
            utc(cmos(BCD_24, [0x59, 0x59, 0x23, 0x31, 0x12, 0x99, 0x19])),
            Ok(946_684_799)
        );
        assert_eq!(
            utc(cmos(BCD_24, [0, 0, 0, 0x29, 0x02, 0x00, 0x20])),
            Ok(951_782_400)
        );
        assert_eq!(
            utc(cmos(BCD_24, [0, 0, 0, 0x01, 0x03, 0x00, 0x21])),
            Ok(4_107_542_400)
        );
    }

    #[test]
    fn hours_of_a_12_hour_clock() {
        for (raw, hour) in [
            (0x12, 0),
            (0x01, 1),
            (0x11, 11),
            (0x92, 12),
            (0x81, 13),
            (0x91, 23),
        ] {
            let clock = cmos(0, [0, 0, raw, 1, 1, 0x70, 0x19]);
            assert_eq!(read_utc(&clock, Some(CENTURY)), Ok(hour * 3600), "{raw:#x}");
        }
        for raw in [0x00, 0x13, 0x80, 0x93] {
            let clock = cmos(0, [0, 0, raw, 1, 1, 0x70, 0x19]);
            let error = read_utc(&clock, Some(CENTURY)).expect_err("no hour");
            assert!(
                matches!(error, CmosError::Field { name: "hour", .. }),
                "{raw:#x}"
            );
        }
    }

    #[test]
    fn years_without_a_usable_century() {
        let year = |raw: u8, register: Option<u8>, century: u8| {
            let utc =
                read_utc(&cmos(BCD_24, [0, 0, 0, 1, 1, raw, century]), register).expect("a date");
            1970 + utc / 31_556_952 + u64::from(utc % 31_556_952 > 31_000_000)
        };
        assert_eq!(year(0x70, None, 0), 1970);
        assert_eq!(year(0x99, None, 0), 1999);
        assert_eq!(year(0x69, None, 0), 2069);
        for nonsense in [0x00, 0x18, 0xFF, 0x1F] {
            assert_eq!(year(0x24, Some(CENTURY), nonsense), 2024, "{nonsense:#x}");
        }
        // 1969 and before are not believed.
        assert_eq!(year(0x24, Some(CENTURY), 0x19), 2024);
    }

    #[test]
    fn a_field_out_of_range_is_named() {
        let cases = [
            (cmos(BCD_24, [0x60, 0, 0, 1, 1, 1, 0x20]), "second"),
            (cmos(BCD_24, [0, 0x5A, 0, 1, 1, 1, 0x20]), "minute"),
            (cmos(BINARY_24, [0, 0, 24, 1, 1, 1, 20]), "hour"),
            (cmos(BCD_24, [0, 0, 0, 0, 1, 1, 0x20]), "day"),
            (cmos(BCD_24, [0, 0, 0, 0x29, 2, 0x23, 0x20]), "day"),
            (cmos(BCD_24, [0, 0, 0, 0x31, 4, 0x23, 0x20]), "day"),
            (cmos(BCD_24, [0, 0, 0, 1, 0x13, 1, 0x20]), "month"),
            (cmos(BCD_24, [0, 0, 0, 1, 0, 1, 0x20]), "month"),
            (cmos(BINARY_24, [0, 0, 0, 1, 1, 100, 20]), "year"),
        ];
        for (clock, expected) in cases {
            let error = read_utc(&clock, Some(CENTURY)).expect_err("out of range");
            assert!(
                matches!(error, CmosError::Field { name, .. } if name == expected),
                "{error}"
            );
        }
        let error = CmosError::Field {
            name: "month",
            raw: 0x13,
        };
        assert_eq!(
            error.to_string(),
            "the CMOS clock's month register holds 0x13, which is no month"
        );
    }

    #[test]
    fn a_date_is_believed_when_read_twice_alike_at_rest() {
        /// Busy for a while; then a second passes between two reads; then at rest.
        struct Ticking {
            reads: Cell<u32>,
        }
        impl Cmos for Ticking {
            fn read(&self, register: u8) -> u8 {
                self.reads.set(self.reads.get() + 1);
                match (register, self.reads.get()) {
                    (STATUS_A, ..10) => UPDATE_UNDER_WAY,
                    (0x00, ..15) => 0x59,
                    (0x02, 15..) => 0x01,
                    (STATUS_B, _) => BCD_24,
                    (0x07 | 0x08, _) => 1,
                    (0x09, _) => 0x70,
                    _ => 0,
                }
            }
        }
        assert_eq!(
            read_utc(
                &Ticking {
                    reads: Cell::new(0)
                },
                None
            ),
            Ok(60)
        );

        struct Stuck;
        impl Cmos for Stuck {
            fn read(&self, _: u8) -> u8 {
                0xFF
            }
        }
        assert_eq!(read_utc(&Stuck, None), Err(CmosError::Busy));
    }

    proptest! {
        #[test]
        fn days_follow_each_other(day in 0u64..100_000) {
            // Walk the calendar from 1970 and compare.
            let (mut year, mut month, mut rest) = (1970, 1, day);
            while rest >= u64::from(days_in_month(year, month)) {
                rest -= u64::from(days_in_month(year, month));
                (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            }
            prop_assert_eq!(days_since_1970(year, month, rest as u8 + 1), day);
        }
    }
}
