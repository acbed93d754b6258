//! Growing what a lock protects without asking for memory, or giving it back, while the lock is held.
//!
//! Memory of a page or more comes from the frame allocator, which may have to wait until other processors have
//! flushed. Whoever holds a lock that keeps interrupts off must not wait for that: the others may be waiting for
//! the lock, with interrupts off as well.
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// There is no memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory;

/// A collection that has memory for so many elements, used or not.
pub trait Grow: Sized {
    /// For how many.
    fn room(&self) -> usize;

    /// An empty one with memory for so many.
    ///
    /// # Errors
    /// There is not so much.
    fn with_room(elements: usize) -> Result<Self, OutOfMemory>;

    /// Moves everything to one with more room, without taking memory.
    fn move_to(&mut self, larger: &mut Self);
}

impl<T> Grow for Vec<T> {
    fn room(&self) -> usize {
        self.capacity()
    }
    fn with_room(elements: usize) -> Result<Self, OutOfMemory> {
        let mut new = Self::new();
        new.try_reserve_exact(elements).map_err(|_| OutOfMemory)?;
        Ok(new)
    }
    fn move_to(&mut self, larger: &mut Self) {
        larger.append(self);
    }
}

impl<T> Grow for VecDeque<T> {
    fn room(&self) -> usize {
        self.capacity()
    }
    fn with_room(elements: usize) -> Result<Self, OutOfMemory> {
        let mut new = Self::new();
        new.try_reserve_exact(elements).map_err(|_| OutOfMemory)?;
        Ok(new)
    }
    fn move_to(&mut self, larger: &mut Self) {
        larger.append(self);
    }
}

/// Makes room for `wanted` elements in all. `locked` calls its argument with the lock held, and holds it no longer.
///
/// # Errors
/// There is no memory; nothing has changed.
pub fn make_room<C: Grow>(
    wanted: usize,
    mut locked: impl FnMut(&mut dyn FnMut(&mut C)),
) -> Result<(), OutOfMemory> {
    let mut has = 0;
    locked(&mut |collection| has = collection.room());
    if has >= wanted {
        return Ok(());
    }
    // Twice as much as there was, so that growing by one again and again costs a few moves of each element in all.
    let mut other = C::with_room(wanted.max(has.saturating_mul(2)))
        .or_else(|OutOfMemory| C::with_room(wanted))?;
    locked(&mut |collection| {
        // Somebody else may have been quicker.
        if collection.room() < other.room() {
            collection.move_to(&mut other);
            core::mem::swap(collection, &mut other);
        }
    });
    // What is not needed any more is given back here.
    Ok(())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    std::thread_local! {
        static IS_LOCKED: Cell<bool> = const { Cell::new(false) };
    }

    /// A collection that notices when memory is taken or given back while it is locked.
    struct Watched(Vec<u32>);

    impl Drop for Watched {
        fn drop(&mut self) {
            assert!(!IS_LOCKED.get(), "memory is given back under the lock");
        }
    }

    impl Grow for Watched {
        fn room(&self) -> usize {
            self.0.room()
        }
        fn with_room(elements: usize) -> Result<Self, OutOfMemory> {
            assert!(!IS_LOCKED.get(), "memory is taken under the lock");
            Vec::with_room(elements).map(Self)
        }
        fn move_to(&mut self, larger: &mut Self) {
            let before = larger.0.capacity();
            self.0.move_to(&mut larger.0);
            assert_eq!(larger.0.capacity(), before, "memory is taken");
        }
    }

    #[test]
    fn memory_is_taken_and_given_back_without_the_lock() {
        let collection = RefCell::new(Watched(vec![1, 2, 3]));
        let locked = |action: &mut dyn FnMut(&mut Watched)| {
            IS_LOCKED.set(true);
            action(&mut collection.borrow_mut());
            IS_LOCKED.set(false);
        };
        assert_eq!(make_room(100, locked), Ok(()));
        assert_eq!(collection.borrow().0, [1, 2, 3]);
        assert!(collection.borrow().room() >= 100);
        let room = collection.borrow().room();
        assert_eq!(make_room(50, locked), Ok(()));
        assert_eq!(collection.borrow().room(), room);
    }

    #[test]
    fn without_memory_nothing_changes() {
        let mut elements = VecDeque::from([1, 2]);
        elements.rotate_left(1);
        let result = make_room(usize::MAX, |action: &mut dyn FnMut(&mut VecDeque<i32>)| {
            action(&mut elements);
        });
        assert_eq!(
            (result, elements.make_contiguous()),
            (Err(OutOfMemory), &mut [2, 1][..])
        );
    }

    #[test]
    fn whoever_is_quicker_wins() {
        let mut elements: Vec<u8> = Vec::new();
        let mut turn = 0;
        make_room(10, |action: &mut dyn FnMut(&mut Vec<u8>)| {
            if turn == 1 {
                elements.reserve_exact(1000);
                elements.push(7);
            }
            turn += 1;
            action(&mut elements);
        })
        .unwrap();
        assert!(elements.capacity() >= 1000 && elements == [7]);
    }
}
