//! Decoding and emulating the few instructions that a deprivileged guest kernel executes and that trap.
//!
//! A paravirtualized kernel runs in ring 3, so what it does with privilege arrives here as an
//! exception: #GP for `CLI`, `OUT`, `WRMSR` and their like ([`privileged`]); #UD for the marked `CPUID`
//! ([`forced`]); #PF for a store to one of its own page tables, which it may only map read-only
//! ([`pte_write`]). Each of the three reads the instruction ([`fetch`], [`decode`]), executes it
//! ([`execute`]), and says in an [`Outcome`] what the exception handler has to do next.
//!
//! Three rules hold throughout:
//!
//! * **The bytes are an allegation.** Another virtual processor may have replaced the instruction
//!   since it trapped. So nothing is inferred from the fact that it trapped: whatever is decoded is
//!   executed with the guest's own rights or not at all, and instruction bytes are read once.
//! * **All or nothing.** Registers change only after the last step that can fail. (A repeated string
//!   operation is a sequence of such instructions; the iterations that were completed stay so.)
//! * **What is not on the list is not emulated**, and the guest gets the exception as it came.
//!
//! Everything here is host-testable logic: registers, memory and the machine are behind
//! [`GuestContext`], [`InsnMachine`] and [`privileged::PvCpu`].
#![forbid(unsafe_code)]

pub mod alu;
mod cursor;
pub mod decode;
pub mod execute;
pub mod fetch;
pub mod forced;
pub mod insn;
pub mod machine;
mod memory_op;
mod modrm;
mod opcodes;
mod operand;
pub mod ports;
mod prefixes;
pub mod privileged;
pub mod pte_write;
pub mod segment;
mod string;

#[cfg(all(test, not(loom)))]
mod decode_tests;
#[cfg(all(test, not(loom)))]
mod execute_tests;
#[cfg(all(test, not(loom)))]
mod machine_tests;
#[cfg(all(test, not(loom)))]
mod oracle;
#[cfg(all(test, not(loom)))]
mod privileged_tests;
#[cfg(all(test, not(loom)))]
mod test_assembler;
#[cfg(all(test, not(loom)))]
mod test_machine;
#[cfg(all(test, not(loom)))]
mod test_random;

pub use insn::{Gpr, Insn, Width};
pub use machine::{Exchange, Fault, GuestContext, InsnMachine, Outcome, Stop};
