//! An exception without a handler crashes the domain.

use super::super::prelude::*;
use crate::verdict;
use core::arch::asm;

pub(crate) fn run() {
    assert_eq!(hypercall!(SetTrapTable, 0u64), Ok(0));
    verdict::expect_crash();
    // SAFETY: this ends the domain.
    unsafe { asm!("ud2") };
    panic!("the domain runs on");
}
