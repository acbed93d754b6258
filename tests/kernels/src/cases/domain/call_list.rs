//! A list of hypercalls that an ordinary domain makes.

use super::super::prelude::*;
use crate::control::{BASE, FRAMES, Guest};
use guest_abi::hypercall::Hypercall;

// Makes the calls of the list in RSI: entries of 16 words, with a number and three arguments in the first four; the results
// replace the numbers, and a number of -1 ends the list. Then what RSI points to is 1; when it is 0, once more.
user_code!(
    makes_calls,
    "mov r15, rsi",
    "5: lea r14, [r15 + 4096]",
    "2: mov rax, [r14]",
    "cmp rax, -1",
    "je 3f",
    "mov rdi, [r14 + 8]",
    "mov rsi, [r14 + 16]",
    "mov rdx, [r14 + 24]",
    "mov r10d, [r14 + 32]",
    "syscall",
    "mov [r14], rax",
    "add r14, 128",
    "jmp 2b",
    "3: mov qword ptr [r15], 1",
    "4: mov eax, 29", // sched_op yield
    "xor edi, edi",
    "syscall",
    "cmp qword ptr [r15], 0",
    "jne 4b",
    "jmp 5b",
);

/// Code that makes the calls of a list.
pub(super) fn maker_of_calls() -> *const u8 {
    makes_calls()
}

/// Page of the first entry, behind the one by which the two talk.
const LIST: usize = crate::control::DATA + 1;
/// Words of an entry, and where the argument begins in it.
const ENTRY: usize = 16;
const CONTENT: usize = 5;
const PER_PAGE: usize = 512 / ENTRY;
/// The last page has room for arguments that are longer than their entry.
const MOST: usize = (FRAMES - LIST) * PER_PAGE - 2;

/// What a call returns.
pub(super) type Answer = i64;

/// A call of a list.
#[derive(Clone, Copy)]
pub(super) struct Made {
    /// Its number, and which operation of it that is, to tell people.
    pub(super) call: u64,
    pub(super) which: u64,
    /// What it is to return.
    answer: Answer,
}

/// The calls of one list.
pub(super) struct List<'g> {
    guest: &'g Guest,
    made: [Made; MOST],
    count: usize,
}

impl<'g> List<'g> {
    pub(super) fn new(guest: &'g Guest) -> Self {
        let none = Made {
            call: 0,
            which: 0,
            answer: 0,
        };
        Self {
            guest,
            made: [none; MOST],
            count: 0,
        }
    }

    /// Whether there are any of this hypercall.
    pub(super) fn asks_for(&self, call: Hypercall) -> bool {
        self.made[..self.count]
            .iter()
            .any(|made| made.call == call.number())
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    fn place(index: usize) -> (usize, usize) {
        (LIST + index / PER_PAGE, index % PER_PAGE * ENTRY)
    }

    fn write(&self, index: usize, word: usize, value: u64) {
        let (page, first) = Self::place(index);
        self.guest.window.write(page, first + word, value);
    }

    /// Where the next call's argument will be.
    pub(super) fn content_at(&self) -> u64 {
        let (page, first) = Self::place(self.count);
        BASE + page as u64 * 4096 + (first + CONTENT) as u64 * 8
    }

    /// A word of the argument of call `index`.
    pub(super) fn content(&self, index: usize, word: usize) -> u64 {
        let (page, first) = Self::place(index);
        self.guest.window.read(page, first + CONTENT + word)
    }

    /// One more call, of which `which` is told if its answer is wrong. Returns its place.
    pub(super) fn add(
        &mut self,
        call: Hypercall,
        arguments: [u64; 4],
        content: &[u64],
        which: u64,
        answer: Answer,
    ) -> usize {
        let index = self.count;
        self.write(index, 0, call.number());
        for (word, value) in (1..).zip(arguments) {
            self.write(index, word, value);
        }
        for (word, value) in (CONTENT..ENTRY).zip(content) {
            self.write(index, word, *value);
        }
        self.made[index] = Made {
            call: call.number(),
            which,
            answer,
        };
        self.count += 1;
        index
    }

    /// Lets the guest make them all, and says how many answers are wrong: not what was told, and none that
    /// `may_be_instead`.
    pub(super) fn run(&self, may_be_instead: impl Fn(&Made, Answer) -> bool) -> u32 {
        self.write(self.count, 0, u64::MAX);
        self.guest.start();
        self.guest.wait_for(0, 1);
        let mut wrong = 0;
        for (index, made) in self.made[..self.count].iter().enumerate() {
            let (page, first) = Self::place(index);
            let result = self.guest.window.read(page, first) as i64;
            let Made {
                call,
                which,
                answer,
            } = *made;
            if result != answer && !may_be_instead(made, result) {
                println!("hypercall {call}, operation {which}: {result}, not {answer}");
                wrong += 1;
            }
        }
        wrong
    }
}
