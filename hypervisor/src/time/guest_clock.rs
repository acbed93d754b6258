//! What guests are told of time: each vCPU's clock and the domain's wall clock.
//!
//! Both lie in memory that guests read without a lock. The writer makes a version odd, changes the rest,
//! and makes it even again; a reader starts over if the version was odd or has changed. The versions
//! come from the hypervisor's own count, never from the area, which the guest may scribble on.
#![forbid(unsafe_code)]

use super::clock::SystemClock;
use super::scale::NS_PER_SECOND;
use guest_abi::time::{ClockFlags, VcpuTimeInfo};
use zerocopy::FromZeros;

/// An area could not be written: the guest has unmapped it. It keeps what it had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AreaFault;

/// An area with a version, as the guest sees it. Stores become visible in the order of the calls.
pub trait VersionedArea<T> {
    /// Writes the version alone.
    fn store_version(&self, version: u32) -> Result<(), AreaFault>;
    /// Writes everything but the version.
    fn store_body(&self, body: &T) -> Result<(), AreaFault>;
}

/// The count of versions of one piece of content, which may be published to several areas.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Version(u32);

impl Version {
    /// Publishes new content to an area. If the area can't be written, the guest learns nothing new.
    pub fn publish<T>(&mut self, area: &impl VersionedArea<T>, body: &T) -> Result<(), AreaFault> {
        // Wraps, as readers only compare for equality; odd and even alternate across the wrap.
        let odd = self.0.wrapping_add(1);
        self.0 = self.0.wrapping_add(2);
        area.store_version(odd)?;
        area.store_body(body)?;
        area.store_version(self.0)
    }
}

/// A vCPU's clock as of `clock`, which is that of the processor it runs on. `is_tsc_stable`: counters
/// agree on all processors and never change their rate.
#[must_use]
pub fn vcpu_time_info(clock: &SystemClock, is_tsc_stable: bool) -> VcpuTimeInfo {
    let mut info = VcpuTimeInfo::new_zeroed();
    info.tsc_timestamp = clock.base_tsc;
    info.system_time = clock.base_ns;
    info.tsc_to_system_mul = clock.scale.mul;
    info.tsc_shift = clock.scale.shift;
    info.flags.set(ClockFlags::TSC_STABLE, is_tsc_stable);
    info
}

/// UTC at system time 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WallClock {
    /// Seconds since 1970.
    pub seconds: u64,
    /// Nanoseconds beyond, below a second.
    pub nanoseconds: u32,
}

impl WallClock {
    /// It was `seconds` and `nanoseconds` (any number) after 1970 at that system time. A time before
    /// system time 0 would have been 1970 counts as 1970.
    #[must_use]
    pub const fn from_utc(seconds: u64, nanoseconds: u32, system_time_ns: u64) -> Self {
        let utc = seconds as u128 * NS_PER_SECOND as u128 + nanoseconds as u128;
        let start = utc.saturating_sub(system_time_ns as u128);
        // A count of 2^64 seconds and one more nanosecond's worth of seconds does not exist in 128 bits
        // of nanoseconds; the quotient of the largest input is 2^64 + 3.
        let seconds = start / NS_PER_SECOND as u128;
        Self {
            seconds: if seconds > u64::MAX as u128 {
                u64::MAX
            } else {
                seconds as u64
            },
            nanoseconds: (start % NS_PER_SECOND as u128) as u32,
        }
    }

    /// The wall clock of a domain whose clock is set off by that many seconds.
    #[must_use]
    pub const fn offset_by(self, seconds: i64) -> Self {
        Self {
            seconds: self.seconds.saturating_add_signed(seconds),
            nanoseconds: self.nanoseconds,
        }
    }

    /// The low and the high half of the seconds, as `shared_info` has them.
    #[must_use]
    pub const fn halves(self) -> (u32, u32) {
        (self.seconds as u32, (self.seconds >> 32) as u32)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::time::scale::TscScale;
    use core::cell::{Cell, RefCell};

    /// An area with a reader that tries after every store.
    struct Area {
        version: Cell<u32>,
        body: Cell<(u64, u64)>,
        log: RefCell<Vec<String>>,
        fails: Cell<bool>,
    }

    impl Area {
        fn new() -> Self {
            let log = RefCell::new(Vec::new());
            Self {
                version: Cell::new(0),
                body: Cell::new((0, 0)),
                log,
                fails: Cell::new(false),
            }
        }
    }

    impl VersionedArea<(u64, u64)> for Area {
        fn store_version(&self, version: u32) -> Result<(), AreaFault> {
            if self.fails.get() {
                return Err(AreaFault);
            }
            self.version.set(version);
            self.log.borrow_mut().push(format!("version {version}"));
            Ok(())
        }

        fn store_body(&self, body: &(u64, u64)) -> Result<(), AreaFault> {
            assert_eq!(
                self.version.get() & 1,
                1,
                "a reader may take what is being written"
            );
            self.body.set(*body);
            self.log.borrow_mut().push("body".into());
            Ok(())
        }
    }

    #[test]
    fn a_version_is_odd_while_the_body_changes() {
        let area = Area::new();
        let mut version = Version::default();
        assert_eq!(version.publish(&area, &(1, 2)), Ok(()));
        // The guest scribbles over its version; ours goes on regardless.
        area.version.set(0xDEAD_BEEF);
        assert_eq!(version.publish(&area, &(3, 4)), Ok(()));
        assert_eq!(
            *area.log.borrow(),
            [
                "version 1",
                "body",
                "version 2",
                "version 3",
                "body",
                "version 4"
            ]
        );
        assert_eq!(area.body.get(), (3, 4));
    }

    #[test]
    fn versions_stay_odd_and_even_across_the_wrap() {
        let area = Area::new();
        let mut version = Version(u32::MAX - 1);
        assert_eq!(version.publish(&area, &(1, 2)), Ok(()));
        assert_eq!(
            *area.log.borrow(),
            [
                format!("version {}", u32::MAX),
                "body".into(),
                "version 0".into()
            ]
        );
    }

    #[test]
    fn a_lost_area_is_reported_and_the_next_version_is_still_new() {
        let area = Area::new();
        let mut version = Version::default();
        area.fails.set(true);
        assert_eq!(version.publish(&area, &(1, 2)), Err(AreaFault));
        area.fails.set(false);
        assert_eq!(version.publish(&area, &(1, 2)), Ok(()));
        assert_eq!(area.version.get(), 4);
    }

    #[test]
    fn a_vcpu_clock_says_what_the_processor_clock_says() {
        let clock = SystemClock {
            base_tsc: 11,
            base_ns: 22,
            scale: TscScale::from_khz(3_000_000).expect("not zero"),
        };
        let info = vcpu_time_info(&clock, true);
        assert_eq!((info.tsc_timestamp, info.system_time), (11, 22));
        assert_eq!(
            (info.tsc_to_system_mul, info.tsc_shift),
            (clock.scale.mul, clock.scale.shift)
        );
        assert_eq!(info.flags, ClockFlags::TSC_STABLE);
        assert_eq!((info.version, info.pad0, info.pad1), (0, 0, [0; 2]));
        assert_eq!(vcpu_time_info(&clock, false).flags, ClockFlags::empty());
    }

    #[test]
    fn the_wall_clock_is_that_of_system_time_zero() {
        let clock = WallClock::from_utc(1_700_000_000, 250, 3_000_000_500);
        assert_eq!(
            clock,
            WallClock {
                seconds: 1_699_999_996,
                nanoseconds: 999_999_750
            }
        );
        assert_eq!(clock.offset_by(-3600).seconds, 1_699_996_396);
        assert_eq!(clock.offset_by(i64::MIN).seconds, 0);
        let early = WallClock::from_utc(1, 0, u64::MAX);
        assert_eq!(
            early,
            WallClock {
                seconds: 0,
                nanoseconds: 0
            }
        );
        let late = WallClock::from_utc(u64::MAX, u32::MAX, 0);
        assert_eq!(late.seconds, u64::MAX);
        assert_eq!(
            WallClock {
                seconds: 0x1_2345_6789,
                nanoseconds: 0
            }
            .halves(),
            (0x2345_6789, 1)
        );
    }
}
