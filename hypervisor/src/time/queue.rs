//! A processor's timers: which is due next.
//!
//! A binary heap over slots. Memory is taken by [`make_room`](crate::growth::make_room) alone, before timers are registered;
//! registering, setting, cancelling and expiring never allocate, and take time logarithmic in the number of timers that
//! are set. Equal deadlines expire in the order in which they were set.
#![forbid(unsafe_code)]

extern crate alloc;

use crate::growth::{Grow, OutOfMemory};
use alloc::vec::Vec;

/// A registered timer of one queue.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TimerId(u32);

/// There is no room for another timer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoRoom;

/// In [`Slot::heap_index`]: not set.
const NOT_SET: u32 = u32::MAX;
/// End of the list of free slots.
const NO_SLOT: u32 = u32::MAX;

#[derive(Debug)]
struct Slot<T> {
    /// `None`: the slot is free.
    what: Option<T>,
    deadline_ns: u64,
    /// Orders equal deadlines.
    sequence: u64,
    /// Position in the heap, or [`NOT_SET`].
    heap_index: u32,
    /// While the slot is free: the next free one, or [`NO_SLOT`].
    next_free: u32,
}

/// Timers that say `T` when they expire.
#[derive(Debug)]
pub struct TimerQueue<T> {
    slots: Vec<Slot<T>>,
    /// Slots that are set, each before its children at twice its index plus one and plus two. Its
    /// capacity is at least the number of slots.
    heap: Vec<u32>,
    first_free: u32,
    next_sequence: u64,
}

impl<T> Grow for TimerQueue<T> {
    fn room(&self) -> usize {
        self.slots.room().min(self.heap.room())
    }
    fn with_room(timers: usize) -> Result<Self, OutOfMemory> {
        Ok(Self {
            slots: Vec::with_room(timers)?,
            heap: Vec::with_room(timers)?,
            first_free: NO_SLOT,
            next_sequence: 0,
        })
    }
    fn move_to(&mut self, larger: &mut Self) {
        self.slots.move_to(&mut larger.slots);
        self.heap.move_to(&mut larger.heap);
        larger.first_free = core::mem::replace(&mut self.first_free, NO_SLOT);
        larger.next_sequence = self.next_sequence;
    }
}

impl<T: Clone> TimerQueue<T> {
    /// No timers.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            slots: Vec::new(),
            heap: Vec::new(),
            first_free: NO_SLOT,
            next_sequence: 0,
        }
    }

    /// Adds a timer, which is not set.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn register(&mut self, what: T) -> Result<TimerId, NoRoom> {
        let free = self.first_free;
        if let Some(slot) = self.slots.get_mut(free as usize) {
            self.first_free = slot.next_free;
            slot.what = Some(what);
            return Ok(TimerId(free));
        }
        let index = u32::try_from(self.slots.len()).map_err(|_| NoRoom)?;
        if index == NOT_SET || self.slots.len() >= self.room() {
            return Err(NoRoom);
        }
        self.slots.push(Slot {
            what: Some(what),
            deadline_ns: 0,
            sequence: 0,
            heap_index: NOT_SET,
            next_free: NO_SLOT,
        });
        Ok(TimerId(index))
    }

    /// Removes a timer, set or not.
    pub fn unregister(&mut self, timer: TimerId) {
        self.cancel(timer);
        if let Some(slot) = self.slots.get_mut(timer.0 as usize)
            && slot.what.take().is_some()
        {
            slot.next_free = self.first_free;
            self.first_free = timer.0;
        }
    }

    /// Sets a timer, whether or not it is set already. A deadline in the past is due at once.
    pub fn set(&mut self, timer: TimerId, deadline_ns: u64) {
        let Some(slot) = self
            .slots
            .get_mut(timer.0 as usize)
            .filter(|slot| slot.what.is_some())
        else {
            return;
        };
        slot.deadline_ns = deadline_ns;
        slot.sequence = self.next_sequence;
        // 2^64 settings take longer than the machine lasts.
        self.next_sequence = self.next_sequence.wrapping_add(1);
        let index = slot.heap_index as usize;
        if slot.heap_index != NOT_SET {
            self.sift_down(index);
            self.sift_up(index);
            return;
        }
        let index = self.heap.len();
        slot.heap_index = index as u32;
        debug_assert!(self.heap.len() < self.heap.capacity());
        self.heap.push(timer.0);
        self.sift_up(index);
    }

    /// Cancels a timer; says whether it was set.
    pub fn cancel(&mut self, timer: TimerId) -> bool {
        let Some(slot) = self
            .slots
            .get_mut(timer.0 as usize)
            .filter(|slot| slot.heap_index != NOT_SET)
        else {
            return false;
        };
        let index = slot.heap_index as usize;
        slot.heap_index = NOT_SET;
        let last = self.heap.len().saturating_sub(1);
        self.heap.swap_remove(index);
        if index < last {
            self.note_position(index);
            self.sift_down(index);
            self.sift_up(index);
        }
        true
    }

    /// When a timer is due, if it is set.
    #[must_use]
    pub fn deadline(&self, timer: TimerId) -> Option<u64> {
        let slot = self.slots.get(timer.0 as usize)?;
        (slot.heap_index != NOT_SET).then_some(slot.deadline_ns)
    }

    /// When the next timer is due: what to program the processor's own timer with.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        let first = *self.heap.first()?;
        self.slots.get(first as usize).map(|slot| slot.deadline_ns)
    }

    /// Takes the next timer that is due at `now_ns` off the queue: it is not set any more, and whoever
    /// handles it may set it again.
    pub fn expire(&mut self, now_ns: u64) -> Option<(TimerId, T)> {
        let first = TimerId(*self.heap.first()?);
        let slot = self.slots.get(first.0 as usize)?;
        if slot.deadline_ns > now_ns {
            return None;
        }
        let what = slot.what.clone()?;
        self.cancel(first);
        Some((first, what))
    }

    fn key(&self, heap_index: usize) -> Option<(u64, u64)> {
        let slot = self.slots.get(*self.heap.get(heap_index)? as usize)?;
        Some((slot.deadline_ns, slot.sequence))
    }

    fn note_position(&mut self, heap_index: usize) {
        let slot = self
            .heap
            .get(heap_index)
            .and_then(|slot| self.slots.get_mut(*slot as usize));
        if let Some(slot) = slot {
            slot.heap_index = heap_index as u32;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.note_position(a);
        self.note_position(b);
    }

    fn sift_up(&mut self, mut index: usize) {
        while index != 0 {
            let parent = (index - 1) / 2;
            if self.key(parent) <= self.key(index) {
                return;
            }
            self.swap(parent, index);
            index = parent;
        }
    }

    fn sift_down(&mut self, mut index: usize) {
        loop {
            // Indices are those of a vector, so doubling them does not overflow.
            let (left, right) = (index * 2 + 1, index * 2 + 2);
            let mut least = index;
            for child in [left, right] {
                if child < self.heap.len() && self.key(child) < self.key(least) {
                    least = child;
                }
            }
            if least == index {
                return;
            }
            self.swap(least, index);
            index = least;
        }
    }
}

impl<T: Clone> Default for TimerQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn queue(timers: u32) -> (TimerQueue<u32>, Vec<TimerId>) {
        let mut queue = TimerQueue::with_room(timers as usize).expect("memory");
        let ids = (0..timers)
            .map(|what| queue.register(what).expect("room"))
            .collect();
        (queue, ids)
    }

    fn expired(queue: &mut TimerQueue<u32>, now_ns: u64) -> Vec<u32> {
        core::iter::from_fn(|| queue.expire(now_ns))
            .map(|(_, what)| what)
            .collect()
    }

    #[test]
    fn timers_expire_once_in_order_and_never_early() {
        let (mut queue, ids) = queue(3);
        queue.set(ids[0], 300);
        queue.set(ids[1], 100);
        queue.set(ids[2], 200);
        assert_eq!(queue.next_deadline(), Some(100));
        assert!(expired(&mut queue, 99).is_empty());
        assert_eq!(expired(&mut queue, 100), [1]);
        assert!(expired(&mut queue, 100).is_empty());
        assert_eq!(queue.next_deadline(), Some(200));
        assert_eq!(expired(&mut queue, u64::MAX), [2, 0]);
        assert!(expired(&mut queue, u64::MAX).is_empty());
        assert_eq!(queue.next_deadline(), None);
    }

    #[test]
    fn a_queue_grows_with_all_that_is_in_it() {
        let (mut full, ids) = queue(3);
        full.set(ids[0], 30);
        full.set(ids[1], 10);
        full.set(ids[2], 10);
        full.unregister(ids[2]);
        let free = full.register(9).expect("the place of the one that is gone");
        full.unregister(free);
        // A vector may have more room than was asked for.
        let spare = full.room() - 3;
        let mut extra: Vec<_> = (0..spare + 1)
            .map(|_| full.register(5).expect("room"))
            .collect();
        assert_eq!(full.register(6), Err(NoRoom));
        full.unregister(extra.pop().expect("one"));
        let room = full.room() + 5;
        let mut locked = |action: &mut dyn FnMut(&mut TimerQueue<u32>)| action(&mut full);
        crate::growth::make_room(room, &mut locked).expect("memory");
        let late = full.register(7).expect("room");
        full.set(late, 10);
        assert_eq!(expired(&mut full, 100), [1, 7, 0]);
        for what in 0..5 {
            full.register(what).expect("room");
        }
    }

    #[test]
    fn equal_deadlines_expire_in_the_order_they_were_set() {
        let (mut queue, ids) = queue(8);
        for id in [5, 2, 7, 0, 1, 6, 3, 4] {
            queue.set(ids[id], 10);
        }
        queue.set(ids[7], 10);
        assert_eq!(expired(&mut queue, 10), [5, 2, 0, 1, 6, 3, 4, 7]);
    }

    #[test]
    fn a_past_deadline_is_due_at_once() {
        let (mut queue, ids) = queue(1);
        queue.set(ids[0], 0);
        assert_eq!(expired(&mut queue, 5), [0]);
    }

    #[test]
    fn a_cancelled_timer_does_not_expire_and_setting_again_moves_it() {
        let (mut queue, ids) = queue(2);
        assert!(!queue.cancel(ids[0]));
        queue.set(ids[0], 10);
        queue.set(ids[1], 20);
        assert!(queue.cancel(ids[0]));
        assert!(!queue.cancel(ids[0]));
        queue.set(ids[1], 5);
        assert_eq!(queue.deadline(ids[1]), Some(5));
        assert_eq!(expired(&mut queue, 100), [1]);
    }

    #[test]
    fn a_removed_timer_is_gone_and_its_place_is_used_again() {
        let (mut queue, ids) = queue(2);
        queue.set(ids[0], 1);
        queue.unregister(ids[0]);
        queue.set(ids[0], 1);
        assert!(expired(&mut queue, 9).is_empty());
        let again = queue.register(77).expect("room");
        assert_eq!(again, ids[0]);
        queue.set(again, 1);
        assert_eq!(expired(&mut queue, 9), [77]);
    }

    #[test]
    fn setting_never_allocates() {
        let (mut queue, ids) = queue(100);
        let capacity = queue.heap.capacity();
        for (id, deadline) in ids.iter().zip((0..100).rev()) {
            queue.set(*id, deadline);
        }
        assert_eq!(queue.heap.capacity(), capacity);
        assert_eq!(
            expired(&mut queue, 1000),
            (0..100).rev().collect::<Vec<_>>()
        );
    }

    #[derive(Clone, Debug)]
    enum Op {
        Set(usize, u64),
        Cancel(usize),
        Advance(u64),
    }

    proptest! {
        #[test]
        fn a_sorted_list_agrees(ops in proptest::collection::vec(
            prop_oneof![
                4 => (0usize..12, 0u64..60).prop_map(|(id, after)| Op::Set(id, after)),
                1 => (0usize..12).prop_map(Op::Cancel),
                2 => (0u64..20).prop_map(Op::Advance),
            ], 1..200
        )) {
            let (mut queue, ids) = queue(12);
            let mut model: Vec<(u64, u32)> = Vec::new();
            let mut now = 0;
            for op in ops {
                match op {
                    Op::Set(id, after) => {
                        queue.set(ids[id], now + after);
                        model.retain(|(_, what)| *what != id as u32);
                        model.push((now + after, id as u32));
                        model.sort_by_key(|(deadline, _)| *deadline);
                    }
                    Op::Cancel(id) => {
                        let before = model.len();
                        model.retain(|(_, what)| *what != id as u32);
                        prop_assert_eq!(queue.cancel(ids[id]), model.len() != before);
                    }
                    Op::Advance(by) => {
                        now += by;
                        let due: Vec<u32> =
                            model.iter().filter(|(deadline, _)| *deadline <= now).map(|(_, what)| *what).collect();
                        model.retain(|(deadline, _)| *deadline > now);
                        prop_assert_eq!(expired(&mut queue, now), due);
                    }
                }
                prop_assert_eq!(queue.next_deadline(), model.first().map(|(deadline, _)| *deadline));
            }
        }
    }
}
