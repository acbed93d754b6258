//! Atomics and the plain spin lock, as one choice of two: the processor's, or those of the model checker
//! `loom` when the models are run (`RUSTFLAGS="--cfg loom" cargo test -p hypervisor --lib loom`).
//!
//! A [`Lock`] is for state that interrupt handlers never touch; it leaves interrupts as they are. Each
//! lock has a rank in its type. A thread that holds a lock may only take locks of higher rank; host tests
//! assert it on every acquisition, so a wrong order fails even where it does not deadlock.
#![forbid(unsafe_code)]

use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

/// Atomic integers and fences.
pub mod atomic {
    #[cfg(not(loom))]
    pub use core::sync::atomic::{
        AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
    #[cfg(loom)]
    pub use loom::sync::atomic::{
        AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
}

/// The body of a loop that waits for another processor.
#[inline]
pub fn spin_loop() {
    #[cfg(not(loom))]
    core::hint::spin_loop();
    #[cfg(loom)]
    loom::thread::yield_now();
}

/// A full barrier for the model checker, which honours sequential consistency in fences only.
///
/// Stands where a locked instruction is followed by a read of something else, all of them `SeqCst`: on
/// the processor, and in the language, those need no fence between them.
#[inline]
pub fn model_fence() {
    #[cfg(loom)]
    loom::sync::atomic::fence(loom::sync::atomic::Ordering::SeqCst);
}

/// A constructor that is `const`, but for the model checker, whose locks and atomics are made at run time.
macro_rules! const_unless_modelled {
    ($(#[$attribute:meta])* pub fn new($($name:ident: $type:ty),*) -> Self $body:block) => {
        $(#[$attribute])*
        #[cfg(not(loom))]
        #[must_use]
        pub const fn new($($name: $type),*) -> Self $body
        $(#[$attribute])*
        #[cfg(loom)]
        #[must_use]
        pub fn new($($name: $type),*) -> Self $body
    };
}
pub(crate) use const_unless_modelled;

/// Ranks of locks, outermost first. Each one's owner says in its module header what it protects.
pub mod rank {
    /// Numbers of a domain's physical interrupts.
    pub const PIRQS: u8 = 30;
    /// Which messages of PCI functions are interrupts.
    pub const PCI_MESSAGES: u8 = 32;
    /// The list of PCI functions that are announced.
    pub const PCI_DEVICES: u8 = 35;
    /// What a domain is told about its memory; held for a look.
    pub const MEMORY_MAP: u8 = 38;
    /// A domain's event-channel allocation.
    pub const EVENT_PORTS: u8 = 40;
    /// Growth of a domain's grant table.
    pub const GRANT_TABLE: u8 = 50;
    /// One active grant entry.
    pub const GRANT_ENTRY: u8 = 60;
    /// A domain's page tables: frame types and everything in table entries.
    pub const PAGE_TABLES: u8 = 65;
    /// A domain's list of free mapping handles.
    pub const GRANT_HANDLES: u8 = 70;
    /// A processor's run queue.
    pub const RUN_QUEUE: u8 = 80;
    /// A domain's list of frames.
    pub const DOMAIN_FRAMES: u8 = 90;
    /// The frame allocator.
    pub const FRAME_ALLOCATOR: u8 = 100;
}

#[cfg(not(loom))]
type Inner<T> = spin::mutex::SpinMutex<T>;
#[cfg(not(loom))]
type InnerGuard<'a, T> = spin::mutex::SpinMutexGuard<'a, T>;
#[cfg(loom)]
type Inner<T> = loom::sync::Mutex<T>;
#[cfg(loom)]
type InnerGuard<'a, T> = loom::sync::MutexGuard<'a, T>;

/// A spin lock of rank `RANK`. Not recursive; hold it for a bounded, short time.
#[derive(Debug)]
pub struct Lock<T, const RANK: u8>(Inner<T>);

impl<T, const RANK: u8> Lock<T, RANK> {
    /// A free lock around `value`.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self(Inner::new(value))
    }

    /// A free lock around `value`.
    #[cfg(loom)]
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(Inner::new(value))
    }

    /// Waits for the lock.
    #[inline]
    pub fn lock(&self) -> LockGuard<'_, T, RANK> {
        let order = order::Held::<RANK>::new();
        #[cfg(not(loom))]
        let inner = self.0.lock();
        #[cfg(loom)]
        let inner = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        LockGuard {
            inner,
            _order: order,
            _not_send: PhantomData,
        }
    }

    /// Takes the lock if nobody holds it.
    #[inline]
    pub fn try_lock(&self) -> Option<LockGuard<'_, T, RANK>> {
        #[cfg(not(loom))]
        let inner = self.0.try_lock()?;
        #[cfg(loom)]
        let inner = self.0.try_lock().ok()?;
        // Trying can't deadlock, so only what is taken while holding this counts.
        Some(LockGuard {
            inner,
            _order: order::Held::<RANK>::tried(),
            _not_send: PhantomData,
        })
    }
}

/// Access to what a [`Lock`] protects, on the processor that took it.
#[derive(Debug)]
pub struct LockGuard<'a, T, const RANK: u8> {
    inner: InnerGuard<'a, T>,
    _order: order::Held<RANK>,
    _not_send: PhantomData<*const ()>,
}

impl<T, const RANK: u8> Deref for LockGuard<'_, T, RANK> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T, const RANK: u8> DerefMut for LockGuard<'_, T, RANK> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

#[cfg(not(all(test, not(loom))))]
mod order {
    /// Nothing to remember outside of host tests.
    #[derive(Debug)]
    pub(super) struct Held<const RANK: u8>;

    impl<const RANK: u8> Held<RANK> {
        #[inline]
        pub(super) const fn new() -> Self {
            Self
        }

        #[inline]
        pub(super) const fn tried() -> Self {
            Self
        }
    }
}

#[cfg(all(test, not(loom)))]
mod order {
    use std::cell::RefCell;

    std::thread_local! {
        static RANKS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }

    /// Remembers, for its thread, that a lock of this rank is held.
    #[derive(Debug)]
    pub(super) struct Held<const RANK: u8>;

    impl<const RANK: u8> Held<RANK> {
        pub(super) fn new() -> Self {
            RANKS.with_borrow(|ranks| {
                if let Some(highest) = ranks.iter().max() {
                    assert!(
                        *highest < RANK,
                        "lock of rank {RANK} taken while holding rank {highest}"
                    );
                }
            });
            Self::tried()
        }

        pub(super) fn tried() -> Self {
            RANKS.with_borrow_mut(|ranks| ranks.push(RANK));
            Self
        }
    }

    impl<const RANK: u8> Drop for Held<RANK> {
        fn drop(&mut self) {
            RANKS.with_borrow_mut(|ranks| {
                if let Some(at) = ranks.iter().rposition(|rank| *rank == RANK) {
                    ranks.remove(at);
                }
            });
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn locks_exclude_and_release() {
        let lock = Lock::<u32, 1>::new(7);
        {
            let mut guard = lock.lock();
            *guard += 1;
            assert!(lock.try_lock().is_none());
        }
        assert_eq!(*lock.lock(), 8);
    }

    #[test]
    fn rising_ranks_are_accepted_in_any_release_order() {
        let (outer, inner) = (Lock::<(), 1>::new(()), Lock::<(), 2>::new(()));
        let first = outer.lock();
        let second = inner.lock();
        drop(first);
        drop(second);
        drop(outer.lock());
    }

    #[test]
    #[should_panic(expected = "lock of rank 1 taken while holding rank 2")]
    fn falling_ranks_are_caught() {
        let (outer, inner) = (Lock::<(), 1>::new(()), Lock::<(), 2>::new(()));
        let _inner = inner.lock();
        let _outer = outer.lock();
    }
}
