//! The virtual I/O privilege level.

use super::GuestMode;

/// A virtual I/O privilege level, 0 to 3. The hardware's is always 0.
///
/// The guest kernel counts as privilege level 1 and its user space as 3, though both run in ring 3. A kernel that has asked
/// for the architecture's I/O privilege level counts as 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Iopl(u8);

impl Iopl {
    /// No I/O without a permission bitmap.
    pub const NONE: Self = Self(0);

    /// What a kernel at privilege level 0 may do, whatever the level is: everything.
    pub const OF_LEVEL_0: Self = Self(3);

    /// The level that a guest asks for; `None` above 3.
    #[must_use]
    pub const fn new(level: u32) -> Option<Self> {
        if level <= 3 {
            Some(Self(level as u8))
        } else {
            None
        }
    }

    /// 0 to 3.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.0
    }

    /// The level as it is in RFLAGS, bits 12 and 13, for guests that keep it there.
    #[must_use]
    pub const fn in_rflags(self) -> u64 {
        (self.0 as u64) << 12
    }

    /// The level in an RFLAGS image.
    #[must_use]
    pub const fn of_rflags(rflags: u64) -> Self {
        Self((rflags >> 12) as u8 & 3)
    }

    /// Whether code in `mode` may execute instructions that are sensitive to the level.
    #[must_use]
    pub const fn permits(self, mode: GuestMode) -> bool {
        match mode {
            GuestMode::Kernel => self.0 >= 1,
            GuestMode::User => self.0 == 3,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn kernel_needs_one_and_user_needs_three() {
        let permitted = |mode| [0, 1, 2, 3].map(|level| Iopl::new(level).unwrap().permits(mode));
        assert_eq!(permitted(GuestMode::Kernel), [false, true, true, true]);
        assert_eq!(permitted(GuestMode::User), [false, false, false, true]);
        assert!(Iopl::OF_LEVEL_0.permits(GuestMode::Kernel));
        assert_eq!(Iopl::new(4), None);
        assert_eq!(Iopl::new(u32::MAX), None);
    }

    #[test]
    fn survives_a_trip_through_rflags() {
        for level in 0..4 {
            let iopl = Iopl::new(level).unwrap();
            assert_eq!(Iopl::of_rflags(iopl.in_rflags() | !0x3000), iopl);
        }
    }
}
