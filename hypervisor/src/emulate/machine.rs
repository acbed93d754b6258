//! What the emulator needs from the world: a guest's registers and memory, and the machine that the
//! guest believes to have.

use super::insn::{Gpr, Segment, Width};
use crate::cpu_policy::cpuid::{CpuidOrigin, Leaf};

/// RFLAGS: trap flag, single step.
pub const RFLAGS_TF: u64 = 1 << 8;
/// RFLAGS: direction flag, string operations go down.
pub const RFLAGS_DF: u64 = 1 << 10;
/// RFLAGS: resume flag, no instruction breakpoint on the next instruction.
pub const RFLAGS_RF: u64 = 1 << 16;
/// DR6: the exception is due to single step.
pub const DR6_SINGLE_STEP: u64 = 1 << 14;

/// An exception for the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Exception vector, 0 to 31.
    pub vector: u8,
    /// Error code, for the vectors that have one.
    pub error_code: Option<u32>,
    /// Faulting address, for a page fault.
    pub cr2: Option<u64>,
}

impl Fault {
    /// #UD.
    pub const INVALID_OPCODE: Self = Self {
        vector: 6,
        error_code: None,
        cr2: None,
    };
    /// #SS(0).
    pub const STACK_SEGMENT: Self = Self {
        vector: 12,
        error_code: Some(0),
        cr2: None,
    };
    /// #GP(0).
    pub const GENERAL_PROTECTION: Self = Self {
        vector: 13,
        error_code: Some(0),
        cr2: None,
    };

    /// #PF at `address`.
    #[must_use]
    pub const fn page(address: u64, error_code: u32) -> Self {
        Self {
            vector: 14,
            error_code: Some(error_code),
            cr2: Some(address),
        }
    }
}

/// Why an instruction was not completed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// The instruction raises this exception.
    Fault(Fault),
    /// Nothing was wrong but time: let the guest execute the instruction again.
    Retry,
    /// Not something that is emulated. The guest gets the exception that brought it here.
    Unhandleable,
}

/// What the exception handler has to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Outcome {
    /// Executed, RIP and flags included. Bits that are not zero are to be set in the guest's DR6, and #DB to
    /// be delivered: [`DR6_SINGLE_STEP`] or I/O breakpoints. (After one iteration of a repeated string operation
    /// RIP is still at the instruction.)
    Done {
        /// Bits for DR6, 0 for no exception.
        debug: u64,
    },
    /// Return to the guest as it is now: it executes the instruction, or what is left of it, again.
    Retry,
    /// Deliver this exception at the instruction.
    Inject(Fault),
    /// Deliver the exception that brought us here.
    NotHandled,
}

impl Outcome {
    #[inline(always)]
    pub(super) fn of(result: Result<u64, Stop>) -> Self {
        match result {
            Ok(debug) => Self::Done { debug },
            Err(Stop::Fault(fault)) => Self::Inject(fault),
            Err(Stop::Retry) => Self::Retry,
            Err(Stop::Unhandleable) => Self::NotHandled,
        }
    }
}

/// How a compare-and-exchange ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Exchange {
    /// The new value is in place.
    Written,
    /// Memory no longer held the expected value; nothing was written.
    Changed,
}

/// The code segment that a guest executes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CodeSegment {
    /// 64-bit code; base and limit do not exist.
    Bits64,
    /// 32-bit code.
    Bits32 {
        /// Linear address of offset 0.
        base: u32,
        /// Highest valid offset.
        limit: u32,
    },
    /// 16-bit code. Of its instructions those are emulated that are the same in 32-bit code, and trap wherever they are.
    Bits16 {
        /// Linear address of offset 0.
        base: u32,
        /// Highest valid offset.
        limit: u32,
    },
    /// Anything else. Instructions are not emulated there.
    Unsupported,
    /// Its descriptor can't be read now: the guest is to execute the instruction again.
    NotNow,
}

/// A data segment as 32-bit code sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DataSegment {
    /// Linear address of offset 0.
    pub base: u32,
    /// The limit, in bytes: the highest valid offset, or for expand-down segments the highest invalid one.
    pub limit: u32,
    /// Whether it may be read. (Code segments may forbid it.)
    pub is_readable: bool,
    /// Whether it may be written.
    pub is_writable: bool,
    /// Whether valid offsets are those *above* the limit.
    pub is_expand_down: bool,
    /// Whether offsets of an expand-down segment end at 4 GiB and not at 64 KiB.
    pub is_big: bool,
}

/// Instruction bytes ended before the window was full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShortFetch {
    /// Number of bytes at the start of the window that are good.
    pub available: u8,
    /// The exception that fetching the next byte raises.
    pub fault: Fault,
}

/// A trapped guest: registers, segments, and memory as the guest may reach it now.
///
/// Duties of the implementor: memory is accessed with the rights of the guest at CPL 3, and never in the
/// hypervisor's own range, whatever address is asked for; a failed access is the exception that the guest's
/// own access would have raised, with CR2 the first byte that could not be accessed.
pub trait GuestContext {
    /// A general-purpose register, all 64 bits.
    fn gpr(&self, register: Gpr) -> u64;
    /// Sets all 64 bits of a general-purpose register.
    fn set_gpr(&mut self, register: Gpr, value: u64);
    /// The instruction pointer, an offset in the code segment.
    fn rip(&self) -> u64;
    /// Sets the instruction pointer.
    fn set_rip(&mut self, rip: u64);
    /// RFLAGS as the processor saved them.
    fn rflags(&self) -> u64;
    /// Replaces RFLAGS. Only arithmetic flags and RF ever differ from what [`Self::rflags`] returned.
    fn set_rflags(&mut self, rflags: u64);
    /// The code segment.
    fn code_segment(&mut self) -> CodeSegment;
    /// Base of FS or GS for 64-bit code. No other segment is asked for.
    fn segment_base(&mut self, segment: Segment) -> u64;
    /// A data segment for 32-bit code; `None` for a null or unusable selector.
    ///
    /// # Errors
    ///
    /// If its descriptor can't be read now.
    fn data_segment(&mut self, segment: Segment) -> Result<Option<DataSegment>, Stop>;

    /// Reads the instruction bytes at a linear address, as many as there are up to 16.
    ///
    /// # Errors
    ///
    /// How many bytes are good, and what fetching the next one raises.
    fn fetch(&mut self, address: u64, window: &mut [u8; 16]) -> Result<(), ShortFetch>;

    /// Reads memory at a linear address, zero-extended.
    ///
    /// # Errors
    ///
    /// The exception that the access raises, or a reason not to emulate it.
    fn read(&mut self, address: u64, width: Width) -> Result<u64, Stop>;

    /// Writes the low part of `value` to memory at a linear address.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    fn write(&mut self, address: u64, width: Width, value: u64) -> Result<(), Stop>;

    /// Checks that [`Self::write`] would succeed, for instructions whose read has side effects.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    fn probe_write(&mut self, address: u64, width: Width) -> Result<(), Stop>;

    /// Atomically writes `new` if memory holds `old`. Always called after a [`Self::read`] of the same operand.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    fn compare_exchange(
        &mut self,
        address: u64,
        width: Width,
        old: u64,
        new: u64,
    ) -> Result<Exchange, Stop>;
}

/// The machine that privileged instructions act on. Each hook decides by itself whether the guest may.
///
/// # Errors
///
/// Every hook may return the exception that the instruction raises, [`Stop::Retry`], or
/// [`Stop::Unhandleable`]; it must not have changed anything then.
#[allow(clippy::missing_errors_doc)] // Said once, above.
pub trait InsnMachine: GuestContext {
    /// Reads an I/O port.
    fn read_port(&mut self, port: u16, width: Width) -> Result<u32, Stop>;
    /// Writes an I/O port.
    fn write_port(&mut self, port: u16, width: Width, value: u32) -> Result<(), Stop>;
    /// DR6 bits of the I/O breakpoints that an access to these ports hits.
    fn io_breakpoints(&mut self, _port: u16, _width: Width) -> u64 {
        0
    }
    /// Reads control register 0, 2, 3, 4 or 8.
    fn read_cr(&mut self, number: u8) -> Result<u64, Stop>;
    /// Writes control register 0, 2, 3, 4 or 8.
    fn write_cr(&mut self, number: u8, value: u64) -> Result<(), Stop>;
    /// Clears CR0.TS.
    fn clear_task_switched(&mut self) -> Result<(), Stop>;
    /// Reads debug register 0 to 7.
    fn read_dr(&mut self, number: u8) -> Result<u64, Stop>;
    /// Writes debug register 0 to 7.
    fn write_dr(&mut self, number: u8, value: u64) -> Result<(), Stop>;
    /// Reads a model-specific register.
    fn read_msr(&mut self, msr: u32) -> Result<u64, Stop>;
    /// Writes a model-specific register.
    fn write_msr(&mut self, msr: u32, value: u64) -> Result<(), Stop>;
    /// CPUID, marked or trapped.
    fn cpuid(&mut self, origin: CpuidOrigin, leaf: u32, subleaf: u32) -> Result<Leaf, Stop>;
    /// The guest's time-stamp counter.
    fn time_stamp(&mut self) -> Result<u64, Stop>;
    /// The value that `RDTSCP` returns beside the time stamp.
    fn time_stamp_aux(&mut self) -> Result<u32, Stop>;
    /// Writes back and invalidates caches, as far as the guest may.
    fn write_back_caches(&mut self) -> Result<(), Stop>;
    /// Reads an extended control register.
    fn read_xcr(&mut self, index: u32) -> Result<u64, Stop>;
    /// Writes an extended control register.
    fn write_xcr(&mut self, index: u32, value: u64) -> Result<(), Stop>;
    /// Invalidates the translation of one linear address.
    fn invalidate_page(&mut self, address: u64) -> Result<(), Stop>;
}
