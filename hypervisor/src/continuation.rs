//! What a hypercall comes to, how one that is interrupted goes on, and lists of calls.
//!
//! There is no stack that a call could sleep on. One that has to give the processor up answers [`Outcome::Again`]:
//! the guest makes the same call again, with arguments that say what is left of it. In a list of calls the
//! arguments are in the guest's memory, and the list itself is what goes on.
#![forbid(unsafe_code)]

use core::mem::{offset_of, size_of};
use guest_abi::errno::Errno;
use guest_abi::hypercall::Hypercall;
use guest_abi::multicall::MulticallEntry;

/// What a hypercall comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is done: the guest's RAX.
    Done(u64),
    /// It is not done: the guest makes the same call again, with these arguments.
    Again(Continuation),
    /// The guest's registers are as they shall be.
    Resume,
}

/// The first arguments of a call that is made again. The others, and so registers that are none, stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Continuation {
    arguments: [u64; 6],
    count: usize,
}

impl Continuation {
    /// The arguments that change.
    #[must_use]
    pub fn arguments(&self) -> &[u64] {
        self.arguments.get(..self.count).unwrap_or(&self.arguments)
    }
}

impl Outcome {
    /// The same call again, with the first arguments changed to these.
    #[must_use]
    pub fn again<const N: usize>(first: [u64; N]) -> Self {
        const { assert!(N <= 6) };
        let mut arguments = [0; 6];
        for (to, from) in arguments.iter_mut().zip(first) {
            *to = from;
        }
        Self::Again(Continuation {
            arguments,
            count: N,
        })
    }
}

impl From<Result<u64, Errno>> for Outcome {
    fn from(answer: Result<u64, Errno>) -> Self {
        Self::Done(match answer {
            Ok(value) => value,
            Err(errno) => errno.to_return() as u64,
        })
    }
}

/// The memory of the guest that calls, which changes at any time. Each access may fail.
pub trait CallersMemory {
    /// Copies an entry of a list in.
    ///
    /// # Errors
    /// It can't be read.
    fn entry(&self, at: u64) -> Result<MulticallEntry, Errno>;
    /// Writes a word of one.
    ///
    /// # Errors
    /// It can't be written.
    fn set_word(&self, at: u64, value: u64) -> Result<(), Errno>;
}

/// A list of `left` hypercalls at `list`, each done by `call`. Stops after an `iret`, whose registers are then in
/// force. Asked by `should_yield` to stop between two calls, or if one of them has stopped, the list goes on there.
#[inline(always)]
pub fn multicall(
    memory: &impl CallersMemory,
    list: u64,
    left: u64,
    should_yield: impl Fn() -> bool,
    mut call: impl FnMut(u64, [u64; 6]) -> Outcome,
) -> Outcome {
    const ENTRY: u64 = size_of::<MulticallEntry>() as u64;
    // The count is 32 bits wide to the guest.
    let (mut list, mut left) = (list, left & 0xffff_ffff);
    while left != 0 {
        let entry = match memory.entry(list) {
            Ok(entry) => entry,
            Err(errno) => return Err(errno).into(),
        };
        let outcome = if entry.op == Hypercall::Multicall as u64 {
            Err(Errno::EINVAL).into()
        } else {
            call(entry.op, entry.args)
        };
        match outcome {
            Outcome::Done(value) => {
                let result = list.wrapping_add(offset_of!(MulticallEntry, result) as u64);
                if let Err(errno) = memory.set_word(result, value) {
                    return Err(errno).into();
                }
            }
            Outcome::Again(continuation) => {
                let at = list.wrapping_add(offset_of!(MulticallEntry, args) as u64);
                for (index, &argument) in (0u64..).zip(continuation.arguments()) {
                    if let Err(errno) = memory.set_word(at.wrapping_add(8 * index), argument) {
                        return Err(errno).into();
                    }
                }
                return Outcome::again([list, left]);
            }
            Outcome::Resume => return Outcome::Resume,
        }
        list = list.wrapping_add(ENTRY);
        left -= 1;
        if left != 0 && should_yield() {
            return Outcome::again([list, left]);
        }
    }
    Ok(0).into()
}

/// Lists of calls in the memory of a guest that changes it, read from bytes: the fuzzer's way in.
#[cfg(any(test, fuzzing))]
pub mod calls {
    use super::*;
    use core::cell::{Cell, RefCell};
    use std::vec::Vec;
    use zerocopy::{FromBytes, IntoBytes};

    const ENTRY: usize = size_of::<MulticallEntry>();
    /// Entries that there is room for.
    const ROOM: usize = 24;
    /// Where the guest's memory begins.
    const BASE: u64 = 0x7000;
    /// Calls that are made: one that adds its argument, one that adds 1 as often as it says and stops in between, and
    /// the one that ends a list.
    const ADD: u64 = 1;
    const COUNT: u64 = 2;
    const IRET: u64 = Hypercall::Iret as u64;

    /// A guest's memory and what its calls have done.
    pub(super) struct Guest {
        pub(super) memory: RefCell<Vec<u8>>,
        /// Accesses that succeed; those that follow fail.
        pub(super) accesses: Cell<u64>,
        /// Entries as they were read.
        read: RefCell<Vec<(u64, u64, [u64; 6])>>,
        /// Calls as they were made.
        made: RefCell<Vec<(u64, [u64; 6])>>,
        pub(super) total: Cell<u64>,
        /// What a call that has stopped wants to be made again with.
        left_of_call: Cell<Option<u64>>,
    }

    impl Guest {
        pub(super) fn new(entries: &[MulticallEntry]) -> Self {
            let mut memory = vec![0; ROOM * ENTRY];
            for (place, entry) in memory.chunks_exact_mut(ENTRY).zip(entries) {
                place.copy_from_slice(entry.as_bytes());
            }
            Self {
                memory: RefCell::new(memory),
                accesses: Cell::new(u64::MAX),
                read: RefCell::default(),
                made: RefCell::default(),
                total: Cell::new(0),
                left_of_call: Cell::new(None),
            }
        }

        fn at(&self, at: u64, bytes: usize) -> Result<core::ops::Range<usize>, Errno> {
            let left = self.accesses.get();
            self.accesses.set(left.saturating_sub(1));
            let start = at.checked_sub(BASE).ok_or(Errno::EFAULT)? as usize;
            let end = start.checked_add(bytes).ok_or(Errno::EFAULT)?;
            if left == 0 || end > ROOM * ENTRY {
                return Err(Errno::EFAULT);
            }
            Ok(start..end)
        }

        fn call(&self, should_yield: &impl Fn() -> bool, op: u64, args: [u64; 6]) -> Outcome {
            self.made.borrow_mut().push((op, args));
            let total = self.total.get();
            match op {
                ADD => {
                    self.total.set(total.wrapping_add(args[0]));
                    Ok(total).into()
                }
                COUNT => {
                    let mut left = args[0] & 0xff;
                    while left != 0 {
                        self.total.set(self.total.get().wrapping_add(1));
                        left -= 1;
                        if left != 0 && should_yield() {
                            self.left_of_call.set(Some(left));
                            return Outcome::again([left]);
                        }
                    }
                    Ok(args[1]).into()
                }
                IRET => Outcome::Resume,
                _ => Err(Errno::ENOSYS).into(),
            }
        }

        /// Makes the call once.
        pub(super) fn enter(
            &self,
            [list, left]: [u64; 2],
            should_yield: impl Fn() -> bool,
        ) -> Outcome {
            self.read.borrow_mut().clear();
            self.made.borrow_mut().clear();
            self.left_of_call.set(None);
            let call = |op, args| self.call(&should_yield, op, args);
            let outcome = multicall(self, list, left, &should_yield, call);
            self.check(list, left, outcome);
            outcome
        }

        /// Each entry was read once, in order, and called as it was read; what is left of the list is told exactly.
        fn check(&self, list: u64, left: u64, outcome: Outcome) {
            let (read, made) = (self.read.borrow(), self.made.borrow());
            for ((index, (at, ..)), expected) in read.iter().enumerate().zip(0u64..) {
                assert_eq!(
                    *at,
                    list.wrapping_add(expected * ENTRY as u64),
                    "entry {index}"
                );
            }
            let called = read
                .iter()
                .filter(|(_, op, _)| *op != Hypercall::Multicall as u64);
            assert!(
                called
                    .map(|(_, op, args)| (*op, *args))
                    .eq(made.iter().copied())
            );
            let done = match outcome {
                Outcome::Again(continuation) => {
                    let &[at, now] = continuation.arguments() else {
                        panic!("{continuation:?}");
                    };
                    let done = at.wrapping_sub(list) / ENTRY as u64;
                    assert_eq!(now, (left & 0xffff_ffff) - done);
                    assert!(now != 0);
                    // The last one that was read may have to go on.
                    let unfinished = (read.len() as u64).wrapping_sub(done);
                    assert_eq!(unfinished, u64::from(self.left_of_call.get().is_some()));
                    if let Some(left) = self.left_of_call.get() {
                        let args = (at - BASE) as usize + offset_of!(MulticallEntry, args);
                        assert_eq!(self.memory.borrow()[args..args + 8], left.to_le_bytes());
                    }
                    return;
                }
                Outcome::Done(0) => left & 0xffff_ffff,
                _ => return,
            };
            assert_eq!(read.len() as u64, done);
        }
    }

    impl CallersMemory for Guest {
        fn entry(&self, at: u64) -> Result<MulticallEntry, Errno> {
            let range = self.at(at, ENTRY)?;
            let entry = MulticallEntry::read_from_bytes(&self.memory.borrow()[range])
                .map_err(|_| Errno::EFAULT)?;
            self.read.borrow_mut().push((at, entry.op, entry.args));
            Ok(entry)
        }

        fn set_word(&self, at: u64, value: u64) -> Result<(), Errno> {
            let range = self.at(at, 8)?;
            self.memory.borrow_mut()[range].copy_from_slice(&value.to_le_bytes());
            Ok(())
        }
    }

    fn entry(byte: u8, a: u8, b: u8) -> MulticallEntry {
        let op = match byte % 8 {
            0..3 => ADD,
            3..6 => COUNT,
            6 => Hypercall::Multicall as u64,
            _ if byte > 240 => IRET,
            _ => u64::from(byte),
        };
        let args = [a.into(), b.into(), 0, 0, 0, 0];
        MulticallEntry {
            op,
            result: 77,
            args,
        }
    }

    /// Makes the call that `bytes` say until it is through, while the guest changes its memory.
    ///
    /// # Panics
    /// A rule is broken.
    pub fn run(bytes: &[u8]) {
        let Some((&[list, left, accesses, lists], bytes)) = bytes.split_first_chunk::<4>() else {
            return;
        };
        let entries: Vec<_> = bytes
            .chunks_exact(3)
            .take(usize::from(lists) % (ROOM + 1))
            .map(|bytes| entry(bytes[0], bytes[1], bytes[2]))
            .collect();
        let guest = Guest::new(&entries);
        if accesses > 127 {
            guest.accesses.set(u64::from(accesses) - 128);
        }
        let mut rest = bytes.iter().copied().skip(3 * entries.len());
        let start = match list {
            0..240 => BASE + u64::from(list % 4) * ENTRY as u64,
            _ => u64::MAX << (list % 16),
        };
        let mut arguments = [start, u64::from(left) | u64::from(list) << 40];
        loop {
            let yields = Cell::new(rest.next().unwrap_or(0));
            let should_yield = || {
                let bits = yields.get();
                yields.set(bits >> 1);
                bits & 1 != 0
            };
            let Outcome::Again(continuation) = guest.enter(arguments, should_yield) else {
                return;
            };
            arguments.copy_from_slice(continuation.arguments());
            // The guest's other vCPUs.
            if let (Some(at), Some(value)) = (rest.next(), rest.next()) {
                let mut memory = guest.memory.borrow_mut();
                let at = usize::from(at) * 5 % memory.len();
                memory[at] = value;
            }
        }
    }

    #[cfg(all(test, not(loom)))]
    mod tests {
        use super::*;
        use crate::made_up_bytes::made_up_bytes;

        #[test]
        fn a_list_interrupted_at_any_point_ends_as_if_it_was_not() {
            let entries: Vec<_> = [
                (0, 5, 0),
                (3, 4, 9),
                (6, 0, 0),
                (3, 3, 8),
                (15, 0, 0),
                (1, 2, 3),
            ]
            .into_iter()
            .map(|(op, a, b)| entry(op, a, b))
            .collect();
            // Says yes to question number `nth`, and how many were asked; or to each of them.
            let run = |yields: &dyn Fn(u64) -> bool| {
                let guest = Guest::new(&entries);
                let (asked, mut calls) = (Cell::new(0), 0);
                let mut arguments = [BASE, entries.len() as u64];
                let outcome = loop {
                    calls += 1;
                    let should_yield = || {
                        asked.set(asked.get() + 1);
                        yields(asked.get())
                    };
                    match guest.enter(arguments, should_yield) {
                        Outcome::Again(next) => arguments.copy_from_slice(next.arguments()),
                        outcome => break outcome,
                    }
                };
                let results: Vec<u8> = guest
                    .memory
                    .borrow()
                    .chunks_exact(ENTRY)
                    .flat_map(|entry| entry[8..16].to_vec())
                    .collect();
                (outcome, results, guest.total.get(), asked.get(), calls)
            };
            let (outcome, results, total, asked, calls) = run(&|_| false);
            assert_eq!((outcome, total, calls), (Outcome::Done(0), 14, 1));
            assert_eq!(
                asked, 10,
                "five ends of calls and five in the middle of one"
            );
            for nth in 1..=asked {
                let other = run(&|question| question == nth);
                assert_eq!((other.0, other.2, other.4), (outcome, total, 2), "{nth}");
                assert_eq!(other.1, results, "{nth}");
            }
            let other = run(&|_| true);
            assert_eq!((other.0, other.2, other.4), (outcome, total, 11));
            assert_eq!(other.1, results);
        }

        #[test]
        fn a_list_ends_with_an_iret_and_where_it_can_not_be_read_or_written() {
            let entries = [entry(0, 1, 0), entry(247, 0, 0), entry(0, 1, 0)];
            let guest = Guest::new(&entries);
            assert_eq!(guest.enter([BASE, 3], || false), Outcome::Resume);
            assert_eq!(guest.total.get(), 1);
            let fault = Outcome::from(Err(Errno::EFAULT));
            for accesses in 0..4 {
                let guest = Guest::new(&[entry(0, 1, 0), entry(0, 1, 0)]);
                guest.accesses.set(accesses);
                assert_eq!(guest.enter([BASE, 2], || false), fault);
                assert_eq!(guest.total.get(), accesses.div_ceil(2));
            }
            for list in [0, BASE - 8, u64::MAX, u64::MAX - 63] {
                assert_eq!(Guest::new(&[]).enter([list, 1], || false), fault);
            }
            // Nothing of an empty list is looked at.
            assert_eq!(
                Guest::new(&[]).enter([0, 7 << 32], || false),
                Outcome::Done(0)
            );
        }

        #[test]
        fn lists_read_from_made_up_bytes_break_no_rule() {
            for bytes in made_up_bytes(3000, 120) {
                run(&bytes);
            }
        }
    }
}
