//! The union at the end of a control operation.
//!
//! What the union holds depends on the operation's number. Each possible content is a structure of its
//! own; [`Payload`] is the bytes, and converts by copying:
//!
//! ```
//! use guest_abi::platform::{PlatformOperation, SetTime32};
//! use zerocopy::FromZeros;
//!
//! let mut operation = PlatformOperation::new_zeroed();
//! operation.u.write(&SetTime32 { secs: 1, nsecs: 2, system_time: 3 });
//! let time: SetTime32 = operation.u.read();
//! assert_eq!(time.system_time, 3);
//! ```

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `WORDS` times 8 bytes that hold one of several structures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Payload<const WORDS: usize>(pub [u64; WORDS]);

impl<const WORDS: usize> Payload<WORDS> {
    /// Bytes of the union.
    pub const SIZE: usize = 8 * WORDS;

    /// Nothing but zeroes.
    pub const ZERO: Self = Self([0; WORDS]);

    /// A union that holds `content` and zeroes behind it.
    #[must_use]
    pub fn of<T: IntoBytes + Immutable>(content: &T) -> Self {
        let mut payload = Self::ZERO;
        payload.write(content);
        payload
    }

    /// The content, copied out. A `T` that does not fit does not compile.
    #[must_use]
    pub fn read<T: FromBytes>(&self) -> T {
        const { assert!(size_of::<T>() <= Self::SIZE) };
        match T::read_from_prefix(self.as_bytes()) {
            Ok((content, _)) => content,
            // The assertion above excludes it; zeroes are a harmless answer.
            Err(_) => T::new_zeroed(),
        }
    }

    /// Replaces the first bytes by `content` and keeps those behind it. A `T` that does not fit does
    /// not compile.
    pub fn write<T: IntoBytes + Immutable>(&mut self, content: &T) {
        const { assert!(size_of::<T>() <= Self::SIZE) };
        for (to, from) in self.as_mut_bytes().iter_mut().zip(content.as_bytes()) {
            *to = *from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Payload;

    #[test]
    fn a_written_content_is_read_back_and_the_rest_is_kept() {
        let mut payload = Payload([u64::MAX; 3]);
        payload.write(&[1_u32, 2, 3]);
        assert_eq!(payload.read::<[u32; 3]>(), [1, 2, 3]);
        assert_eq!(
            payload.read::<[u32; 6]>(),
            [1, 2, 3, u32::MAX, u32::MAX, u32::MAX]
        );
    }

    #[test]
    fn a_new_payload_has_zeroes_behind_its_content() {
        let payload = Payload::<2>::of(&0xAB_u8);
        assert_eq!(payload.0, [0xAB, 0]);
    }

    #[test]
    fn a_content_may_fill_the_whole_payload() {
        let payload = Payload::<2>::of(&[7_u64, 8]);
        assert_eq!(payload.read::<[u64; 2]>(), [7, 8]);
    }
}
