//! What nearly every case uses.

pub(crate) use crate::hypercall::hypercall;
pub(crate) use crate::memory::{self, Frame};
pub(crate) use crate::trap::{self, probe, rflags};
pub(crate) use crate::user::{self, user_code};
pub(crate) use crate::verdict::skip;
pub(crate) use crate::{event, smp};
pub(crate) use guest_abi::errno::Errno;
pub(crate) use guest_abi::ids::{DomId, Mfn, Pfn, Port, Vaddr, VcpuId};
pub(crate) use zerocopy::FromZeros;

/// Vectors.
pub(crate) const DE: u64 = 0;
pub(crate) const DB: u64 = 1;
pub(crate) const NMI: u64 = 2;
pub(crate) const BP: u64 = 3;
pub(crate) const OF: u64 = 4;
pub(crate) const BR: u64 = 5;
pub(crate) const UD: u64 = 6;
pub(crate) const NM: u64 = 7;
pub(crate) const NP: u64 = 11;
pub(crate) const SS: u64 = 12;
pub(crate) const GP: u64 = 13;
pub(crate) const PF: u64 = 14;
pub(crate) const MF: u64 = 16;
pub(crate) const AC: u64 = 17;
pub(crate) const XF: u64 = 19;

/// Bits of a page fault's error code.
pub(crate) const PF_PRESENT: u64 = 1 << 0;
pub(crate) const PF_WRITE: u64 = 1 << 1;
pub(crate) const PF_USER: u64 = 1 << 2;
pub(crate) const PF_RESERVED: u64 = 1 << 3;
pub(crate) const PF_FETCH: u64 = 1 << 4;

/// An address that no processor accepts.
pub(crate) const NON_CANONICAL: u64 = 0x8000_0000_0000_0000;
