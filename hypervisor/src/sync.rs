//! Atomics and the plain spin lock, as one choice of two: the processor's, or those of the model checker
//! `loom` when the models are run (`RUSTFLAGS="--cfg loom" cargo test -p hypervisor --lib loom`).
//!
//! A [`Lock`] is for state that interrupt handlers never touch; it leaves interrupts as they are. Each
//! lock has a rank in its type, and so has each [`IrqLock`](crate::lock::IrqLock). Who holds a lock may only take locks of
//! higher rank; host tests and the image for the tests assert it on every acquisition, so a wrong order fails even where it
//! does not deadlock.
#![forbid(unsafe_code)]

use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

/// Atomic integers and fences.
pub mod atomic {
    #[cfg(not(loom))]
    pub use core::sync::atomic::{
        AtomicBool, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering,
        fence,
    };
    #[cfg(loom)]
    pub use loom::sync::atomic::{
        AtomicBool, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering,
        fence,
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
///
/// Those below [`INTERRUPT_LINE`](rank::INTERRUPT_LINE) leave interrupts as they are: an interrupt's handler, whose locks
/// count as taken under those of whom it interrupts, takes those from there on, which keep interrupts off.
pub mod rank {
    /// What is found out while the machine starts.
    pub const BOOT: u8 = 1;
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
    /// A domain's list of frames.
    pub const DOMAIN_FRAMES: u8 = 90;
    /// A line by which devices interrupt.
    pub const INTERRUPT_LINE: u8 = 120;
    /// Which of a domain's vCPUs are up, and whether all are stopped because it has ended.
    pub const UPS_AND_DOWNS: u8 = 125;
    /// A vCPU's processor for a while.
    pub const AFFINITY_OVERRIDE: u8 = 127;
    /// A processor's run queue.
    pub const RUN_QUEUE: u8 = 130;
    /// What a domain's cap leaves it.
    pub const SHARE: u8 = 132;
    /// The machine's date.
    pub const WALL_CLOCK: u8 = 140;
    /// The list of domains.
    pub const DOMAINS: u8 = 150;
    /// The date as a domain is shown it.
    pub const GUEST_WALL_CLOCK: u8 = 160;
    /// A message by which a device interrupts.
    pub const MESSAGE: u8 = 180;
    /// A vCPU's timers, a domain's watchdogs: what has entries in the queues of processors.
    pub const TIMERS: u8 = 190;
    /// What firmware's tables say.
    pub const FIRMWARE: u8 = 195;
    /// What is taken under any of those above, one of them at a time.
    pub const LEAF: u8 = 200;
    /// The window for device registers, and the hypervisor's own page tables.
    pub const OWN_TABLES: u8 = 205;
    /// Growth of the heap.
    pub const HEAP_GROWTH: u8 = 207;
    /// The frame allocator.
    pub const FRAME_ALLOCATOR: u8 = 210;
    /// Memory before there is an allocator.
    pub const BOOT_MEMORY: u8 = 215;
    /// The heap: whatever is held, something may be put there.
    pub const HEAP: u8 = 225;
    /// How much guests may say.
    pub const CONSOLE_LIMIT: u8 = 249;
    /// The console: whatever is held, something may be said.
    pub const CONSOLE: u8 = 250;
    /// A device that shows what the console is given.
    pub const CONSOLE_DEVICE: u8 = 251;
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
    #[cfg_attr(feature = "planted-faults", track_caller)]
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
    #[cfg_attr(feature = "planted-faults", track_caller)]
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

#[cfg(not(any(
    all(test, not(loom)),
    all(target_os = "none", feature = "planted-faults")
)))]
pub(crate) mod order {
    /// Nothing to remember: neither a test on the host nor an image that checks.
    #[derive(Debug)]
    pub(crate) struct Held<const RANK: u8>;

    impl<const RANK: u8> Held<RANK> {
        #[inline]
        pub(crate) const fn new() -> Self {
            Self
        }

        #[inline]
        pub(crate) const fn tried() -> Self {
            Self
        }
    }
}

/// In the image that can be told to die: each processor remembers what it holds.
#[cfg(all(target_os = "none", feature = "planted-faults"))]
pub(crate) mod order {
    use crate::arch::lock_order;

    /// Remembers, for its processor, that a lock of this rank is held.
    #[derive(Debug)]
    pub(crate) struct Held<const RANK: u8>;

    impl<const RANK: u8> Held<RANK> {
        #[track_caller]
        pub(crate) fn new() -> Self {
            lock_order::check(RANK);
            Self::tried()
        }

        #[track_caller]
        pub(crate) fn tried() -> Self {
            lock_order::hold(RANK);
            Self
        }
    }

    impl<const RANK: u8> Drop for Held<RANK> {
        fn drop(&mut self) {
            lock_order::let_go(RANK);
        }
    }
}

#[cfg(all(test, not(loom)))]
pub(crate) mod order {
    use std::cell::RefCell;

    std::thread_local! {
        static RANKS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }

    /// Remembers, for its thread, that a lock of this rank is held.
    #[derive(Debug)]
    pub(crate) struct Held<const RANK: u8>;

    impl<const RANK: u8> Held<RANK> {
        pub(crate) fn new() -> Self {
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

        pub(crate) fn tried() -> Self {
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
