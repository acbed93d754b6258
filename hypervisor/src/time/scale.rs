//! Ticks of the time stamp counter to nanoseconds, in the fixed-point form that guests are given.
#![forbid(unsafe_code)]

/// Nanoseconds in a second.
pub const NS_PER_SECOND: u64 = 1_000_000_000;

/// The rate of a counter: a tick lasts `mul / 2^32` nanoseconds after the tick count has been shifted
/// left by `shift` (right, if negative).
///
/// `mul` has its highest bit set, so its rounding is at most 2^-32 of the rate: a clock that follows it
/// is off by less than a nanosecond in four seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TscScale {
    /// Nanoseconds for each shifted tick, times 2^32.
    pub mul: u32,
    /// Shift to the left.
    pub shift: i8,
}

impl TscScale {
    /// The scale for a counter of that many ticks a second. `None` for zero.
    #[must_use]
    pub const fn from_hz(hz: u64) -> Option<Self> {
        if hz == 0 {
            return None;
        }
        // Wanted: mul = 10^9 * 2^32 / (hz * 2^shift), between 2^31 and 2^32. All steps fit in 128 bits:
        // 10^9 < 2^30, and no rate of 64 bits needs a shift by more than 63.
        let mut shift: i8 = 0;
        let mut numerator = (NS_PER_SECOND as u128) << 32;
        let mut denominator = hz as u128;
        while numerator / denominator > u32::MAX as u128 {
            denominator <<= 1;
            shift += 1;
        }
        while numerator / denominator <= (u32::MAX / 2) as u128 {
            numerator <<= 1;
            shift -= 1;
        }
        let rounded = (numerator + denominator / 2) / denominator;
        // Rounding may reach 2^32 by a hair; the largest number is as near.
        let mul = if rounded > u32::MAX as u128 {
            u32::MAX
        } else {
            rounded as u32
        };
        Some(Self { mul, shift })
    }

    /// The scale for a counter of that many thousand ticks a second. `None` for zero and for rates beyond
    /// 64 bits.
    #[must_use]
    pub const fn from_khz(khz: u64) -> Option<Self> {
        match khz.checked_mul(1000) {
            Some(hz) => Self::from_hz(hz),
            None => None,
        }
    }

    /// Nanoseconds of that many ticks, rounded down. Saturates after 584 years.
    #[must_use]
    pub const fn ticks_to_ns(self, ticks: u64) -> u64 {
        let left = self.shift as i32;
        // A product of 96 bits. Clocks ask for it at every turn: one multiplication and one shift do for all rates that there
        // are.
        let (product, right) = if left < 0 {
            let ticks = ticks >> (left.unsigned_abs() & 63);
            ((ticks as u128).wrapping_mul(self.mul as u128), 32)
        } else {
            let product = (ticks as u128).wrapping_mul(self.mul as u128);
            (product, 32 - left)
        };
        let ns = if right >= 0 {
            product >> right
        } else {
            match product.checked_mul(1 << (right.unsigned_abs() & 63)) {
                Some(ns) => ns,
                None => u128::MAX,
            }
        };
        if ns > u64::MAX as u128 {
            u64::MAX
        } else {
            ns as u64
        }
    }

    /// The smallest number of ticks that last at least that long. Saturates.
    ///
    /// For programming a comparator that must not fire early.
    #[must_use]
    pub const fn ns_to_ticks(self, ns: u64) -> u64 {
        // ticks = ceil(ns * 2^32 / mul) shifted back; a right shift in the other direction drops low
        // bits of the tick count, so the answer is the first count that has the needed high bits.
        let shifted = ((ns as u128) << 32).div_ceil(self.mul as u128);
        let ticks = if self.shift >= 0 {
            shifted.div_ceil(1 << (self.shift as u32 & 63))
        } else {
            match shifted.checked_mul(1 << (self.shift.unsigned_abs() as u32 & 63)) {
                Some(ticks) => ticks,
                None => u128::MAX,
            }
        };
        if ticks > u64::MAX as u128 {
            u64::MAX
        } else {
            ticks as u64
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a guest kernel computes for the rate of its counter, in thousands a second.
    fn khz_as_a_guest_sees_it(scale: TscScale) -> u64 {
        let khz = (1_000_000u64 << 32) / u64::from(scale.mul);
        if scale.shift < 0 {
            khz << -scale.shift
        } else {
            khz >> scale.shift
        }
    }

    /// What a guest adds to `system_time`.
    fn ns_as_a_guest_sees_it(scale: TscScale, ticks: u64) -> u64 {
        let shifted = if scale.shift < 0 {
            ticks >> -scale.shift
        } else {
            ticks << scale.shift
        };
        ((u128::from(shifted) * u128::from(scale.mul)) >> 32) as u64
    }

    #[test]
    fn known_rates() {
        // One tick a nanosecond: 2^31 with a shift of one, since 2^32 does not fit.
        let expected = TscScale {
            mul: 1 << 31,
            shift: 1,
        };
        assert_eq!(TscScale::from_khz(1_000_000), Some(expected));
        assert_eq!(
            TscScale::from_khz(2_000_000),
            Some(TscScale {
                mul: 1 << 31,
                shift: 0
            })
        );
        assert_eq!(
            TscScale::from_khz(4_000_000),
            Some(TscScale {
                mul: 1 << 31,
                shift: -1
            })
        );
        assert_eq!(TscScale::from_khz(0), None);
        assert_eq!(TscScale::from_khz(u64::MAX), None);
    }

    #[test]
    fn extreme_rates_are_exact_or_saturate() {
        let slowest = TscScale::from_hz(1).expect("not zero");
        assert_eq!(slowest.ticks_to_ns(3), 3 * NS_PER_SECOND);
        assert_eq!(slowest.ticks_to_ns(u64::MAX), u64::MAX);
        let fastest = TscScale::from_hz(u64::MAX).expect("not zero");
        assert!(fastest.ticks_to_ns(u64::MAX).abs_diff(NS_PER_SECOND) <= 1);
        assert_eq!(fastest.ns_to_ticks(u64::MAX), u64::MAX);
    }

    proptest! {
        #[test]
        fn the_error_is_below_2_to_the_minus_32(
            hz in prop_oneof![1_000u64..=10_000_000_000, 1u64..=u64::MAX],
            seconds in 1u64..100_000
        ) {
            let scale = TscScale::from_hz(hz).expect("not zero");
            prop_assert!(scale.mul >= 1 << 31);
            let ticks = u128::from(hz) * u128::from(seconds);
            prop_assume!(ticks <= u128::from(u64::MAX));
            let ns = scale.ticks_to_ns(ticks as u64);
            let exact = seconds * NS_PER_SECOND;
            // The rounding of mul, of the result, and of the bits that a right shift drops.
            let dropped = if scale.shift < 0 { scale.ticks_to_ns(1 << -scale.shift) } else { 0 };
            prop_assert!(ns.abs_diff(exact) <= (exact >> 32) + dropped + 2, "{} {}", ns, exact);
        }

        #[test]
        fn a_guest_computes_the_same(khz in 100_000u64..10_000_000, ticks in 0u64..1 << 40) {
            let scale = TscScale::from_khz(khz).expect("in range");
            prop_assert_eq!(scale.ticks_to_ns(ticks), ns_as_a_guest_sees_it(scale, ticks));
            prop_assert!(khz_as_a_guest_sees_it(scale).abs_diff(khz) <= 8);
        }

        #[test]
        fn time_never_goes_back(khz in 1_000u64..10_000_000, a in any::<u64>(), b in any::<u64>()) {
            let scale = TscScale::from_khz(khz).expect("in range");
            let (a, b) = (a.min(b), a.max(b));
            prop_assert!(scale.ticks_to_ns(a) <= scale.ticks_to_ns(b));
        }

        #[test]
        fn a_comparator_set_from_it_is_not_early_and_hardly_late(
            khz in 1_000u64..10_000_000,
            ns in 0u64..1 << 52
        ) {
            let scale = TscScale::from_khz(khz).expect("in range");
            let ticks = scale.ns_to_ticks(ns);
            prop_assert!(scale.ticks_to_ns(ticks) >= ns);
            let step = 1u64 << scale.shift.unsigned_abs();
            if ticks >= step {
                prop_assert!(scale.ticks_to_ns(ticks - step) < ns);
            }
        }
    }
}
