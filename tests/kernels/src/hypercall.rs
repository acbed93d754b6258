//! Hypercalls: from typed arguments to the instruction, and from RAX to a result.
//!
//! They are safe to call although they can change what lies behind an address: the tests change only what
//! frames from [`crate::memory::Frame`] hold or map, and no reference ever points into those.

use core::arch::asm;
use guest_abi::errno::Errno;
use guest_abi::hypercall::Hypercall;
use guest_abi::ids::{DomId, Mfn, Vaddr};

/// What a hypercall returns.
pub(crate) type Outcome = Result<u64, Errno>;

/// What can be an argument: 64 bits.
pub(crate) trait Argument {
    fn bits(self) -> u64;
}

macro_rules! number_arguments {
    ($($number:ty),*) => { $(
        impl Argument for $number {
            fn bits(self) -> u64 {
                self as u64
            }
        }
    )* };
}
number_arguments!(u64, u32, u16, i32, usize);

impl Argument for Mfn {
    fn bits(self) -> u64 {
        self.0
    }
}

impl Argument for Vaddr {
    fn bits(self) -> u64 {
        self.0
    }
}

impl Argument for DomId {
    fn bits(self) -> u64 {
        u64::from(self.0)
    }
}

impl<T> Argument for &[T] {
    fn bits(self) -> u64 {
        self.as_ptr() as u64
    }
}

impl<T> Argument for &mut [T] {
    fn bits(self) -> u64 {
        self.as_mut_ptr() as u64
    }
}

impl<T> Argument for &T {
    fn bits(self) -> u64 {
        core::ptr::from_ref(self) as u64
    }
}

impl<T> Argument for &mut T {
    fn bits(self) -> u64 {
        core::ptr::from_mut(self) as u64
    }
}

/// The instruction, with any number in RAX. Returns RAX.
pub(crate) fn raw(number: u64, arguments: [u64; 5]) -> u64 {
    let [rdi, rsi, rdx, r10, r8] = arguments;
    let result;
    // SAFETY: a hypercall changes RAX, RCX and R11, the registers of its arguments if it was interrupted and
    // went on with what remained, memory that its arguments name, and what is said in
    // the module's description. Events that are delivered on its way out preserve all registers.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            inlateout("rdi") rdi => _,
            inlateout("rsi") rsi => _,
            inlateout("rdx") rdx => _,
            inlateout("r10") r10 => _,
            inlateout("r8") r8 => _,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// RAX as a result: the highest 4095 numbers are negative error numbers.
pub(crate) fn outcome(rax: u64) -> Outcome {
    let signed = rax as i64;
    if (-4095..0).contains(&signed) {
        let number = -signed as i32;
        match Errno::try_from(number) {
            Ok(errno) => Err(errno),
            Err(_) => panic!("the hypercall returned -{number}, which is no known error"),
        }
    } else {
        Ok(rax)
    }
}

/// A hypercall with its arguments. Those not given are zero.
pub(crate) fn call(number: Hypercall, given: &[u64]) -> Outcome {
    let mut arguments = [0; 5];
    arguments[..given.len()].copy_from_slice(given);
    outcome(raw(number.number(), arguments))
}

/// `hypercall!(SchedOp, SchedOp::Yield.number(), …)`: a hypercall by name with any arguments.
macro_rules! hypercall {
    ($name:ident $(, $argument:expr)* $(,)?) => {
        $crate::hypercall::call(
            guest_abi::hypercall::Hypercall::$name,
            &[$($crate::hypercall::Argument::bits($argument)),*],
        )
    };
}
pub(crate) use hypercall;
