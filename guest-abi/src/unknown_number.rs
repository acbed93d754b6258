//! The answer when a number from outside belongs to no known item.

use core::fmt;

/// A number that names nothing here, as it came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownNumber<T>(pub T);

impl<T: fmt::Display> fmt::Display for UnknownNumber<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown number {}", self.0)
    }
}

impl<T: fmt::Debug + fmt::Display> core::error::Error for UnknownNumber<T> {}
