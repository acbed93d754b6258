//! The hypervisor's lock: a spin lock that also says what interrupts do while it is held.
//!
//! An [`IrqLock`] keeps interrupts off on its processor while held, so that an interrupt handler may take
//! it as well. On the host (under test) there are no interrupts to keep off.
//!
//! `unsafe` is here for one function, which frees a lock that somebody else holds: a processor that dies must be able to say
//! why, though another one, or the code that it has interrupted, was just writing to the console.

use crate::sync::{order, rank};
use core::ops::{Deref, DerefMut};
use spin::mutex::{SpinMutex, SpinMutexGuard};

/// A spin lock that holds interrupts off. Not fair, not recursive; hold it shortly.
pub struct IrqLock<T, const RANK: u8 = { rank::LEAF }>(SpinMutex<T>);

/// Access to what an [`IrqLock`] protects. Interrupts go back to what they were when it is dropped.
pub struct IrqLockGuard<'a, T, const RANK: u8 = { rank::LEAF }> {
    // Declared first: the lock is released before interrupts come back on.
    inner: SpinMutexGuard<'a, T>,
    _order: order::Held<RANK>,
    _interrupts: InterruptsOff,
}

impl<T, const RANK: u8> IrqLock<T, RANK> {
    /// A free lock around `value`.
    pub const fn new(value: T) -> Self {
        Self(SpinMutex::new(value))
    }

    /// Waits for the lock.
    #[cfg_attr(feature = "planted-faults", track_caller)]
    pub fn lock(&self) -> IrqLockGuard<'_, T, RANK> {
        let interrupts = InterruptsOff::new();
        let order = order::Held::new();
        IrqLockGuard {
            inner: self.0.lock(),
            _order: order,
            _interrupts: interrupts,
        }
    }

    /// Takes the lock if nobody holds it.
    #[cfg_attr(feature = "planted-faults", track_caller)]
    pub fn try_lock(&self) -> Option<IrqLockGuard<'_, T, RANK>> {
        let interrupts = InterruptsOff::new();
        let inner = self.0.try_lock()?;
        Some(IrqLockGuard {
            inner,
            _order: order::Held::tried(),
            _interrupts: interrupts,
        })
    }
}

impl<T, const RANK: u8> IrqLock<T, RANK> {
    /// Frees the lock, whoever holds it.
    ///
    /// # Safety
    /// Whoever held it will never run again.
    pub unsafe fn break_open(&self) {
        // SAFETY: the holder's guard is never used or dropped (caller).
        unsafe { self.0.force_unlock() };
    }
}

impl<T, const RANK: u8> Deref for IrqLockGuard<'_, T, RANK> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T, const RANK: u8> DerefMut for IrqLockGuard<'_, T, RANK> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

/// Interrupts are off on this processor while this lives. Stays on the processor that made it.
pub struct InterruptsOff {
    were_on: bool,
    _not_send: core::marker::PhantomData<*const ()>,
}

impl InterruptsOff {
    /// Switches interrupts off, remembering what they were.
    #[must_use]
    pub fn new() -> Self {
        #[cfg(target_os = "none")]
        let were_on = {
            let on = x86_64::instructions::interrupts::are_enabled();
            x86_64::instructions::interrupts::disable();
            on
        };
        #[cfg(not(target_os = "none"))]
        let were_on = false;
        Self {
            were_on,
            _not_send: core::marker::PhantomData,
        }
    }
}

impl Default for InterruptsOff {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for InterruptsOff {
    fn drop(&mut self) {
        #[cfg(target_os = "none")]
        if self.were_on {
            x86_64::instructions::interrupts::enable();
        }
        #[cfg(not(target_os = "none"))]
        let _ = self.were_on;
    }
}
