//! What tools are told who ask for what can't be: vCPUs, processors, frames and pools that there are not, sizes that nothing
//! has, and memory that can't be read.

use super::super::prelude::*;
use crate::control::{Guest, create, ordinary, simple};
use guest_abi::domctl::{Domctl, DomctlOp as Op};
use guest_abi::sysctl::{Sysctl, SysctlOp};

/// Who is asked about: a domain with memory and two vCPUs that were never set up, one that has not even got its vCPUs, the
/// first domain, or a number.
#[derive(Clone, Copy, Debug)]
enum Who {
    Guest,
    Bare,
    First,
    Number(u16),
}
use Who::{Bare, First, Number};

/// Words of an argument that stand for what is known only here: the address of a set of processors without any, with the
/// first, with the sixth; of a page; an address of nothing; and the guest's number, in the upper half.
const EMPTY: u64 = 0xe000_0000_0000_0001;
const ONE: u64 = EMPTY + 1;
const FAR: u64 = EMPTY + 2;
const BUFFER: u64 = EMPTY + 3;
const UNREADABLE: u64 = 0x1000;
const GUEST: u64 = 0xfffe;

type Told = Result<u64, Errno>;

/// In this order: some go on from what those before have left.
#[rustfmt::skip]
const ABOUT_DOMAINS: &[(Op, Who, &[u64], Told)] = &[
    (Op::SetVcpuAffinity, Who::Guest, &[1 << 32 | 5, ONE, 8, 0, 0], Err(Errno::EINVAL)),
    (Op::SetVcpuAffinity, Bare, &[1 << 32 | 1, ONE, 8, 0, 0], Err(Errno::ESRCH)),
    (Op::SetVcpuAffinity, Who::Guest, &[0, ONE, 8, 0, 0], Err(Errno::EINVAL)),
    (Op::SetVcpuAffinity, Who::Guest, &[8 << 32, ONE, 8, 0, 0], Ok(0)),
    (Op::SetVcpuAffinity, Who::Guest, &[1 << 32, 0, 0, 0, 0], Err(Errno::EINVAL)),
    (Op::SetVcpuAffinity, Who::Guest, &[2 << 32, 0, 0, 0, 0], Err(Errno::EINVAL)),
    (Op::SetVcpuAffinity, Who::Guest, &[1 << 32, EMPTY, 8, 0, 0], Err(Errno::EINVAL)),
    (Op::SetVcpuAffinity, Who::Guest, &[1 << 32, ONE, 0, 0, 0], Err(Errno::EINVAL)),
    (Op::SetVcpuAffinity, Who::Guest, &[2 << 32, 0, 0, EMPTY, 8], Ok(0)),
    (Op::SetVcpuAffinity, Who::Guest, &[2 << 32, 0, 0, FAR, 8], Ok(0)),
    (Op::SetVcpuAffinity, Who::Guest, &[1 << 32, FAR, 8, 0, 0], Err(Errno::EINVAL)),
    (Op::SetVcpuAffinity, Who::Guest, &[1 << 32, UNREADABLE, 8, 0, 0], Err(Errno::EFAULT)),
    (Op::SetVcpuAffinity, Who::Guest, &[4 << 32, 0, 0, 0, 0], Ok(0)),
    (Op::GetVcpuAffinity, Who::Guest, &[1 << 32 | 5, ONE, 8, 0, 0], Err(Errno::EINVAL)),
    (Op::GetVcpuAffinity, Bare, &[1 << 32 | 1, ONE, 8, 0, 0], Err(Errno::ESRCH)),
    (Op::GetVcpuAffinity, Who::Guest, &[0, ONE, 8, 0, 0], Err(Errno::EINVAL)),
    (Op::GetVcpuAffinity, Who::Guest, &[8 << 32, ONE, 8, 0, 0], Ok(0)),
    (Op::GetVcpuAffinity, Who::Guest, &[1 << 32, 0, 0, 0, 0], Err(Errno::EINVAL)),
    (Op::GetVcpuAffinity, Who::Guest, &[2 << 32, 0, 0, 0, 0], Err(Errno::EINVAL)),
    (Op::GetVcpuAffinity, Who::Guest, &[1 << 32, EMPTY, 8, 0, 0], Ok(0)),
    (Op::GetVcpuAffinity, Who::Guest, &[1 << 32, ONE, 0, 0, 0], Ok(0)),
    (Op::GetVcpuAffinity, Who::Guest, &[2 << 32, 0, 0, EMPTY, 8], Ok(0)),
    (Op::GetVcpuAffinity, Who::Guest, &[2 << 32, 0, 0, FAR, 8], Ok(0)),
    (Op::GetVcpuAffinity, Who::Guest, &[1 << 32, FAR, 8, 0, 0], Ok(0)),
    (Op::GetVcpuAffinity, Who::Guest, &[1 << 32, UNREADABLE, 8, 0, 0], Err(Errno::EFAULT)),
    (Op::GetVcpuAffinity, Who::Guest, &[4 << 32, 0, 0, 0, 0], Ok(0)),
    (Op::SetVcpuContext, Who::Guest, &[5, BUFFER], Err(Errno::EINVAL)),
    (Op::SetVcpuContext, Bare, &[1, BUFFER], Err(Errno::EINVAL)),
    (Op::SetVcpuContext, First, &[0, BUFFER], Err(Errno::EINVAL)),
    (Op::GetVcpuContext, Who::Guest, &[5, BUFFER], Err(Errno::EINVAL)),
    (Op::GetVcpuContext, Bare, &[1, BUFFER], Err(Errno::EINVAL)),
    (Op::GetVcpuContext, First, &[0, BUFFER], Err(Errno::EINVAL)),
    (Op::GetVcpuInfo, Who::Guest, &[5], Err(Errno::EINVAL)),
    (Op::GetVcpuInfo, Bare, &[1], Err(Errno::ESRCH)),
    (Op::SendTrigger, Who::Guest, &[0], Ok(0)),
    (Op::SendTrigger, Who::Guest, &[5 << 32], Err(Errno::ESRCH)),
    (Op::SendTrigger, Who::Guest, &[1], Err(Errno::ENOSYS)),
    (Op::SendTrigger, Who::Guest, &[5 << 32 | 1], Err(Errno::ESRCH)),
    (Op::SendTrigger, Who::Guest, &[2], Err(Errno::ENOSYS)),
    (Op::SendTrigger, Who::Guest, &[5 << 32 | 2], Err(Errno::ESRCH)),
    (Op::SendTrigger, Who::Guest, &[3], Err(Errno::EINVAL)),
    (Op::SendTrigger, Who::Guest, &[5 << 32 | 3], Err(Errno::ESRCH)),
    (Op::SendTrigger, Who::Guest, &[4], Err(Errno::EINVAL)),
    (Op::SendTrigger, Who::Guest, &[5 << 32 | 4], Err(Errno::ESRCH)),
    (Op::SendTrigger, Who::Guest, &[5], Err(Errno::ENOSYS)),
    (Op::SendTrigger, Who::Guest, &[5 << 32 | 5], Err(Errno::ESRCH)),
    (Op::SendTrigger, Who::Guest, &[99], Err(Errno::ENOSYS)),
    (Op::SendTrigger, Who::Guest, &[5 << 32 | 99], Err(Errno::ESRCH)),
    (Op::SendTrigger, Bare, &[1 << 32], Err(Errno::ESRCH)),
    (Op::SchedulerOp, Who::Guest, &[4, 0xffff0000], Err(Errno::EINVAL)),
    (Op::SchedulerOp, Who::Guest, &[1 << 32 | 4, 0xffff0000], Err(Errno::EINVAL)),
    (Op::SchedulerOp, Who::Guest, &[2 << 32 | 4, 0xffff0000], Err(Errno::EINVAL)),
    (Op::SchedulerOp, Who::Guest, &[3 << 32 | 4, 0xffff0000], Err(Errno::EINVAL)),
    (Op::SchedulerOp, Who::Guest, &[9 << 32 | 4, 0xffff0000], Err(Errno::EINVAL)),
    (Op::SchedulerOp, Who::Guest, &[5, 0xffff0000], Ok(0)),
    (Op::SchedulerOp, Who::Guest, &[1 << 32 | 5, 0xffff0000], Ok(0)),
    (Op::SchedulerOp, Who::Guest, &[2 << 32 | 5, 0xffff0000], Err(Errno::EINVAL)),
    (Op::SchedulerOp, Who::Guest, &[3 << 32 | 5, 0xffff0000], Err(Errno::EINVAL)),
    (Op::SchedulerOp, Who::Guest, &[9 << 32 | 5, 0xffff0000], Err(Errno::EINVAL)),
    (Op::SchedulerOp, Who::Guest, &[6, 0xffff0000], Err(Errno::EINVAL)),
    (Op::SchedulerOp, Who::Guest, &[1 << 32 | 6, 0xffff0000], Err(Errno::EINVAL)),
    (Op::SchedulerOp, Who::Guest, &[2 << 32 | 6, 0xffff0000], Err(Errno::EINVAL)),
    (Op::SchedulerOp, Who::Guest, &[3 << 32 | 6, 0xffff0000], Err(Errno::EINVAL)),
    (Op::SchedulerOp, Who::Guest, &[9 << 32 | 6, 0xffff0000], Err(Errno::EINVAL)),
    (Op::SchedulerOp, Who::Guest, &[7, 0xffff0000], Err(Errno::EINVAL)),
    (Op::SchedulerOp, Who::Guest, &[1 << 32 | 7, 0xffff0000], Err(Errno::EINVAL)),
    (Op::SchedulerOp, Who::Guest, &[2 << 32 | 7, 0xffff0000], Err(Errno::EINVAL)),
    (Op::SchedulerOp, Who::Guest, &[3 << 32 | 7, 0xffff0000], Err(Errno::EINVAL)),
    (Op::SchedulerOp, Who::Guest, &[9 << 32 | 7, 0xffff0000], Err(Errno::EINVAL)),
    (Op::SchedulerOp, Who::Guest, &[5, 0x3e80000], Ok(0)),
    (Op::SchedulerOp, Who::Guest, &[1 << 32 | 5], Ok(0)),
    (Op::SchedulerOp, Who::Guest, &[5, 0xffffffff], Ok(0)),
    (Op::SchedulerOp, Who::Guest, &[1 << 32 | 5], Ok(0)),
    (Op::SchedulerOp, Who::Guest, &[5, 256], Ok(0)),
    (Op::SetDebugging, First, &[1], Err(Errno::EINVAL)),
    (Op::GetTscInfo, Who::Guest, &[9], Ok(0)),
    (Op::GetTscInfo, Who::Guest, &[2], Ok(0)),
    (Op::GetTscInfo, Who::Guest, &[0], Ok(0)),
    (Op::GetTscInfo, First, &[0], Err(Errno::EINVAL)),
    (Op::SetTscInfo, First, &[0], Err(Errno::EINVAL)),
    (Op::SetTscInfo, Who::Guest, &[9], Err(Errno::EINVAL)),
    (Op::SetTscInfo, Bare, &[0], Ok(0)),
    (Op::Subscribe, Who::Guest, &[5], Ok(0)),
    (Op::Subscribe, Who::Guest, &[0x4c4b40], Ok(0)),
    (Op::SetNodeAffinity, Who::Guest, &[EMPTY, 8], Err(Errno::EINVAL)),
    (Op::SetNodeAffinity, Who::Guest, &[FAR, 8], Err(Errno::EINVAL)),
    (Op::SetNodeAffinity, Who::Guest, &[ONE, 8], Ok(0)),
    (Op::SetNodeAffinity, Who::Guest, &[0, 0], Err(Errno::EINVAL)),
    (Op::GetNodeAffinity, Who::Guest, &[EMPTY, 0], Ok(0)),
    (Op::GetNodeAffinity, Who::Guest, &[0, 8], Err(Errno::EFAULT)),
    (Op::GetPageFrameInfo, Who::Guest, &[1025, BUFFER], Err(Errno::E2BIG)),
    (Op::GetPageFrameInfo, Who::Guest, &[0, BUFFER], Ok(0)),
    (Op::GetPageFrameInfo, Who::Guest, &[1, 0], Err(Errno::EFAULT)),
    (Op::GetPageFrameInfo, Who::Guest, &[1, UNREADABLE], Err(Errno::EFAULT)),
    (Op::SetAddressSize, Who::Guest, &[32], Err(Errno::EOPNOTSUPP)),
    (Op::SetAddressSize, Who::Guest, &[64], Ok(0)),
    (Op::GetAddressSize, Who::Guest, &[0], Ok(0)),
    (Op::SetAddressSize, Bare, &[64], Ok(0)),
    (Op::SetAddressSize, Bare, &[33], Err(Errno::EINVAL)),
    (Op::MaxMem, Who::Guest, &[0], Ok(0)),
    (Op::MaxMem, Who::Guest, &[4], Ok(0)),
    (Op::MaxMem, Who::Guest, &[u64::MAX], Ok(0)),
    (Op::MaxMem, Who::Guest, &[64], Ok(0)),
    (Op::HypercallInit, Who::Guest, &[u64::MAX], Err(Errno::EINVAL)),
    (Op::SetExtVcpuContext, Who::Guest, &[0], Err(Errno::EINVAL)),
    (Op::SetExtVcpuContext, Who::Guest, &[8 << 32], Err(Errno::EINVAL)),
    (Op::SetExtVcpuContext, Who::Guest, &[24 << 32], Err(Errno::EINVAL)),
    (Op::SetExtVcpuContext, Who::Guest, &[128 << 32], Ok(0)),
    (Op::SetExtVcpuContext, Who::Guest, &[0x1000 << 32], Ok(0)),
    (Op::SetExtVcpuContext, Who::Guest, &[128 << 32 | 5], Err(Errno::ESRCH)),
    (Op::SetExtVcpuContext, Bare, &[128 << 32 | 1], Err(Errno::ESRCH)),
    (Op::SetExtVcpuContext, First, &[128 << 32], Err(Errno::ESRCH)),
    (Op::GetExtVcpuContext, Who::Guest, &[0], Ok(0)),
    (Op::GetExtVcpuContext, Who::Guest, &[8 << 32], Ok(0)),
    (Op::GetExtVcpuContext, Who::Guest, &[24 << 32], Ok(0)),
    (Op::GetExtVcpuContext, Who::Guest, &[128 << 32], Ok(0)),
    (Op::GetExtVcpuContext, Who::Guest, &[0x1000 << 32], Ok(0)),
    (Op::GetExtVcpuContext, Who::Guest, &[128 << 32 | 5], Err(Errno::ESRCH)),
    (Op::GetExtVcpuContext, Bare, &[128 << 32 | 1], Err(Errno::ESRCH)),
    (Op::GetExtVcpuContext, First, &[128 << 32], Err(Errno::ESRCH)),
    (Op::SetVcpuExtendedState, Who::Guest, &[0, 0, 0, 0], Err(Errno::EINVAL)),
    (Op::SetVcpuExtendedState, Who::Guest, &[5, 0, 0, 0], Err(Errno::ESRCH)),
    (Op::SetVcpuExtendedState, Bare, &[1, 0, 0, 0], Err(Errno::ESRCH)),
    (Op::SetVcpuExtendedState, Who::Guest, &[0, 0, 8, BUFFER], Err(Errno::EINVAL)),
    (Op::SetVcpuExtendedState, Who::Guest, &[0, 0, 16, BUFFER], Ok(0)),
    (Op::SetVcpuExtendedState, Who::Guest, &[0, 0, 0x1000, BUFFER], Err(Errno::EINVAL)),
    (Op::SetVcpuExtendedState, Who::Guest, &[0, 3, 0, 0], Err(Errno::EINVAL)),
    (Op::SetVcpuExtendedState, First, &[0, 0, 0, 0], Err(Errno::EINVAL)),
    (Op::GetVcpuExtendedState, Who::Guest, &[0, 0, 0, 0], Ok(0)),
    (Op::GetVcpuExtendedState, Who::Guest, &[5, 0, 0, 0], Err(Errno::ESRCH)),
    (Op::GetVcpuExtendedState, Bare, &[1, 0, 0, 0], Err(Errno::ESRCH)),
    (Op::GetVcpuExtendedState, Who::Guest, &[0, 0, 8, BUFFER], Err(Errno::EINVAL)),
    (Op::GetVcpuExtendedState, Who::Guest, &[0, 0, 16, BUFFER], Err(Errno::EINVAL)),
    (Op::GetVcpuExtendedState, Who::Guest, &[0, 0, 0x1000, BUFFER], Err(Errno::EINVAL)),
    (Op::GetVcpuExtendedState, Who::Guest, &[0, 3, 0, 0], Ok(0)),
    (Op::GetVcpuExtendedState, First, &[0, 0, 0, 0], Err(Errno::EINVAL)),
    (Op::GetVcpuMsrs, Who::Guest, &[0, 0], Ok(0)),
    (Op::GetVcpuMsrs, Who::Guest, &[5, 0], Err(Errno::ESRCH)),
    (Op::GetVcpuMsrs, Bare, &[1, 0], Err(Errno::ESRCH)),
    (Op::GetVcpuMsrs, Who::Guest, &[1 << 32, BUFFER], Ok(0)),
    (Op::GetVcpuMsrs, Who::Guest, &[100 << 32, BUFFER], Ok(0)),
    (Op::GetVcpuMsrs, Who::Guest, &[1 << 32, 0], Ok(0)),
    (Op::GetVcpuMsrs, First, &[0, 0], Err(Errno::EINVAL)),
    (Op::SetVcpuMsrs, Who::Guest, &[0, 0], Ok(0)),
    (Op::SetVcpuMsrs, Who::Guest, &[5, 0], Err(Errno::ESRCH)),
    (Op::SetVcpuMsrs, Bare, &[1, 0], Err(Errno::ESRCH)),
    (Op::SetVcpuMsrs, Who::Guest, &[1 << 32, BUFFER], Err(Errno::EINVAL)),
    (Op::SetVcpuMsrs, Who::Guest, &[100 << 32, BUFFER], Err(Errno::EINVAL)),
    (Op::SetVcpuMsrs, Who::Guest, &[1 << 32, 0], Err(Errno::EFAULT)),
    (Op::SetVcpuMsrs, First, &[0, 0], Err(Errno::EINVAL)),
    (Op::GetCpuPolicy, Who::Guest, &[0, 0, 0, 0, 0], Ok(0)),
    (Op::GetCpuPolicy, Who::Guest, &[100 << 32 | 100, 0, 0, 0, 0], Ok(0)),
    (Op::GetCpuPolicy, Who::Guest, &[1 << 32 | 1, BUFFER, BUFFER, 0, 0], Err(Errno::ENOBUFS)),
    (Op::SetCpuPolicy, Who::Guest, &[0, 0, 0, 0, 0], Ok(0)),
    (Op::SetCpuPolicy, Who::Guest, &[1, 0, 0, 0, 0], Err(Errno::EFAULT)),
    (Op::SetCpuPolicy, Who::Guest, &[1 << 32 | 0x1388, BUFFER, BUFFER, 0, 0], Err(Errno::E2BIG)),
    (Op::SetCpuPolicy, First, &[0, 0, 0, 0, 0], Err(Errno::EINVAL)),
    (Op::IrqPermission, Who::Guest, &[0x100000], Err(Errno::EINVAL)),
    (Op::IrqPermission, Who::Guest, &[1 << 32 | 0x100000], Err(Errno::EINVAL)),
    (Op::IomemPermission, Who::Guest, &[u64::MAX, 2, 0], Err(Errno::EINVAL)),
    (Op::IomemPermission, Who::Guest, &[16, 0, 0], Err(Errno::EINVAL)),
    (Op::IomemPermission, Who::Guest, &[16, 1, 0], Ok(0)),
    (Op::IoportPermission, Who::Guest, &[2 << 32 | 0xffff, 0], Err(Errno::EINVAL)),
    (Op::IoportPermission, Who::Guest, &[128, 0], Err(Errno::EINVAL)),
    (Op::IoportPermission, Who::Guest, &[1 << 32 | 128, 0], Ok(0)),
    (Op::UnpauseDomain, Who::Guest, &[], Ok(0)),
    (Op::UnpauseDomain, Who::Guest, &[], Err(Errno::EINVAL)),
    (Op::PauseDomain, Who::Guest, &[], Ok(0)),
    (Op::ResumeDomain, Who::Guest, &[], Ok(0)),
    (Op::GetDomainInfo, Number(0x7ff0), &[], Err(Errno::EINVAL)),
    (Op::UnpauseDomain, Number(0x7ff0), &[], Err(Errno::ESRCH)),
    (Op::ResumeDomain, Number(0x7ff0), &[], Err(Errno::ESRCH)),
    (Op::GetDomainInfo, Number(0x7ff1), &[], Err(Errno::EINVAL)),
    (Op::UnpauseDomain, Number(0x7ff1), &[], Err(Errno::ESRCH)),
    (Op::ResumeDomain, Number(0x7ff1), &[], Err(Errno::ESRCH)),
    (Op::GetDomainInfo, Number(0x7ff2), &[], Err(Errno::EINVAL)),
    (Op::UnpauseDomain, Number(0x7ff2), &[], Err(Errno::ESRCH)),
    (Op::ResumeDomain, Number(0x7ff2), &[], Err(Errno::ESRCH)),
    (Op::GetDomainInfo, Number(0x7ff3), &[], Err(Errno::EINVAL)),
    (Op::UnpauseDomain, Number(0x7ff3), &[], Err(Errno::ESRCH)),
    (Op::ResumeDomain, Number(0x7ff3), &[], Err(Errno::ESRCH)),
    (Op::GetDomainInfo, Number(0x7ff4), &[], Err(Errno::EINVAL)),
    (Op::UnpauseDomain, Number(0x7ff4), &[], Err(Errno::ESRCH)),
    (Op::ResumeDomain, Number(0x7ff4), &[], Err(Errno::ESRCH)),
    (Op::GetDomainInfo, Number(0x7fff), &[], Err(Errno::EINVAL)),
    (Op::UnpauseDomain, Number(0x7fff), &[], Err(Errno::ESRCH)),
    (Op::ResumeDomain, Number(0x7fff), &[], Err(Errno::ESRCH)),
    (Op::GetDomainInfo, Number(0xffff), &[], Err(Errno::EINVAL)),
    (Op::UnpauseDomain, Number(0xffff), &[], Err(Errno::ESRCH)),
    (Op::ResumeDomain, Number(0xffff), &[], Err(Errno::ESRCH)),
    (Op::GetDomainInfo, Number(0x4000), &[], Err(Errno::ESRCH)),
];

#[rustfmt::skip]
const ABOUT_THE_MACHINE: &[(SysctlOp, &[u64], Told)] = &[
    (SysctlOp::ReadConsole, &[0, 0, 0], Ok(0)),
    (SysctlOp::ReadConsole, &[0, 0, 16], Err(Errno::EFAULT)),
    (SysctlOp::ReadConsole, &[0, UNREADABLE, 16], Err(Errno::EFAULT)),
    (SysctlOp::ReadConsole, &[0xffffffff00000100, BUFFER, 8], Ok(0)),
    (SysctlOp::GetDomainInfoList, &[0, BUFFER, 0], Ok(0)),
    (SysctlOp::GetDomainInfoList, &[8 << 32, 0, 0], Err(Errno::EFAULT)),
    (SysctlOp::GetDomainInfoList, &[8 << 32, UNREADABLE, 0], Err(Errno::EFAULT)),
    (SysctlOp::GetDomainInfoList, &[8 << 32 | 0x7000, BUFFER, 0], Ok(0)),
    (SysctlOp::DebugKeys, &[0, 0], Ok(0)),
    (SysctlOp::DebugKeys, &[0, 1], Err(Errno::EFAULT)),
    (SysctlOp::GetCpuInfo, &[0, BUFFER], Ok(0)),
    (SysctlOp::GetCpuInfo, &[1, 0], Err(Errno::EFAULT)),
    (SysctlOp::GetCpuInfo, &[64, BUFFER], Ok(0)),
    (SysctlOp::AvailHeap, &[0, 0], Ok(0)),
    (SysctlOp::AvailHeap, &[0, 5], Ok(0)),
    (SysctlOp::AvailHeap, &[0, 0xffffffff], Ok(0)),
    (SysctlOp::CpuTopologyInfo, &[0, 0], Ok(0)),
    (SysctlOp::CpuTopologyInfo, &[0, BUFFER], Ok(0)),
    (SysctlOp::CpuTopologyInfo, &[1, BUFFER], Ok(0)),
    (SysctlOp::CpuTopologyInfo, &[64, BUFFER], Ok(0)),
    (SysctlOp::CpuTopologyInfo, &[1, 0], Ok(0)),
    (SysctlOp::NumaInfo, &[0, 0, 0], Ok(0)),
    (SysctlOp::NumaInfo, &[0, BUFFER, 0], Ok(0)),
    (SysctlOp::NumaInfo, &[1, BUFFER, BUFFER], Ok(0)),
    (SysctlOp::NumaInfo, &[64, BUFFER, BUFFER], Ok(0)),
    (SysctlOp::CpupoolOp, &[0, GUEST << 32 | 5, 0, BUFFER, 8], Err(Errno::ENOSYS)),
    (SysctlOp::CpupoolOp, &[1 << 32, GUEST << 32 | 5, 0, BUFFER, 8], Err(Errno::ENOSYS)),
    (SysctlOp::CpupoolOp, &[0xffffffff00000000, GUEST << 32 | 5, 0, BUFFER, 8], Err(Errno::ENOSYS)),
    (SysctlOp::CpupoolOp, &[2, GUEST << 32 | 5, 0, BUFFER, 8], Err(Errno::EBUSY)),
    (SysctlOp::CpupoolOp, &[1 << 32 | 2, GUEST << 32 | 5, 0, BUFFER, 8], Err(Errno::ENOENT)),
    (SysctlOp::CpupoolOp, &[0xffffffff00000002, GUEST << 32 | 5, 0, BUFFER, 8], Err(Errno::ENOENT)),
    (SysctlOp::CpupoolOp, &[3, GUEST << 32 | 5, 0, BUFFER, 8], Ok(0)),
    (SysctlOp::CpupoolOp, &[1 << 32 | 3, GUEST << 32 | 5, 0, BUFFER, 8], Err(Errno::ENOENT)),
    (SysctlOp::CpupoolOp, &[0xffffffff00000003, GUEST << 32 | 5, 0, BUFFER, 8], Err(Errno::ENOENT)),
    (SysctlOp::CpupoolOp, &[4, GUEST << 32 | 5, 0, BUFFER, 8], Err(Errno::ENODEV)),
    (SysctlOp::CpupoolOp, &[1 << 32 | 4, GUEST << 32 | 5, 0, BUFFER, 8], Err(Errno::ENOENT)),
    (SysctlOp::CpupoolOp, &[0xffffffff00000004, GUEST << 32 | 5, 0, BUFFER, 8], Err(Errno::ENOENT)),
    (SysctlOp::CpupoolOp, &[1 << 32 | 6, GUEST << 32 | 5, 0, BUFFER, 8], Err(Errno::ENOENT)),
    (SysctlOp::CpupoolOp, &[0xffffffff00000006, GUEST << 32 | 5, 0, BUFFER, 8], Err(Errno::ENOENT)),
    (SysctlOp::CpupoolOp, &[7, GUEST << 32 | 5, 0, BUFFER, 8], Ok(0)),
    (SysctlOp::CpupoolOp, &[1 << 32 | 7, GUEST << 32 | 5, 0, BUFFER, 8], Ok(0)),
    (SysctlOp::CpupoolOp, &[0xffffffff00000007, GUEST << 32 | 5, 0, BUFFER, 8], Ok(0)),
    (SysctlOp::CpupoolOp, &[8, GUEST << 32 | 5, 0, BUFFER, 8], Err(Errno::ENOSYS)),
    (SysctlOp::CpupoolOp, &[1 << 32 | 8, GUEST << 32 | 5, 0, BUFFER, 8], Err(Errno::ENOSYS)),
    (SysctlOp::CpupoolOp, &[0xffffffff00000008, GUEST << 32 | 5, 0, BUFFER, 8], Err(Errno::ENOSYS)),
    (SysctlOp::CpupoolOp, &[7, 0, 0, BUFFER, 0], Ok(0)),
    (SysctlOp::CpupoolOp, &[5 << 32 | 6, GUEST << 32, 0, 0, 0], Err(Errno::ENOENT)),
    (SysctlOp::CpupoolOp, &[6, 77 << 32, 0, 0, 0], Err(Errno::ESRCH)),
    (SysctlOp::SchedulerOp, &[5 << 32, 1], Ok(0)),
    (SysctlOp::SchedulerOp, &[5 << 32, 9], Err(Errno::EINVAL)),
    (SysctlOp::SchedulerOp, &[5 << 32 | 5, 1], Err(Errno::ESRCH)),
    (SysctlOp::SchedulerOp, &[5 << 32 | 5, 9], Err(Errno::EINVAL)),
    (SysctlOp::SchedulerOp, &[6 << 32, 1], Err(Errno::EINVAL)),
    (SysctlOp::SchedulerOp, &[6 << 32, 9], Err(Errno::EINVAL)),
    (SysctlOp::SchedulerOp, &[6 << 32 | 5, 1], Err(Errno::ESRCH)),
    (SysctlOp::SchedulerOp, &[6 << 32 | 5, 9], Err(Errno::EINVAL)),
    (SysctlOp::SchedulerOp, &[5 << 32, 0, 1000 << 32], Err(Errno::EINVAL)),
    (SysctlOp::SchedulerOp, &[5 << 32, 0, 1000 << 32 | 0x1388], Err(Errno::EINVAL)),
    (SysctlOp::SchedulerOp, &[5 << 32, 0, 5 << 32 | 30], Err(Errno::EINVAL)),
    (SysctlOp::SchedulerOp, &[5 << 32, 0, 0x927c0 << 32 | 30], Err(Errno::EINVAL)),
    (SysctlOp::SchedulerOp, &[5 << 32, 0, 0x1388 << 32 | 1], Err(Errno::EINVAL)),
    (SysctlOp::SchedulerOp, &[5 << 32, 0, 1000 << 32 | 30, 0x30d40], Err(Errno::EINVAL)),
    (SysctlOp::GetCpuFeatureset, &[9], Ok(0)),
    (SysctlOp::GetCpuFeatureset, &[0, 0], Ok(0)),
    (SysctlOp::GetCpuFeatureset, &[1 << 32, BUFFER], Err(Errno::ENOBUFS)),
    (SysctlOp::GetCpuFeatureset, &[99 << 32, BUFFER], Ok(0)),
    (SysctlOp::GetCpuPolicy, &[99, 0, 0, 0], Err(Errno::EINVAL)),
    (SysctlOp::GetCpuPolicy, &[6, 0, 0, 0], Err(Errno::EINVAL)),
    (SysctlOp::GetCpuPolicy, &[0, 0, 0, 0], Ok(0)),
    (SysctlOp::GetCpuPolicy, &[1 << 32, 1, BUFFER, BUFFER], Err(Errno::ENOBUFS)),
    (SysctlOp::SchedulerId, &[], Ok(0)),
];

/// The argument's words, with addresses.
struct Words {
    sets: [[u64; 8]; 3],
    buffer: [u64; 512],
    guest: DomId,
}

impl Words {
    fn new(guest: DomId) -> Self {
        Self {
            sets: [[0; 8], [1; 8], [1 << 5; 8]],
            buffer: [0; 512],
            guest,
        }
    }

    /// As they are before a call: some write there.
    fn filled(&mut self, words: &[u64]) -> [u64; 16] {
        *self = Self::new(self.guest);
        let mut filled = [0; 16];
        for (to, &word) in filled.iter_mut().zip(words) {
            *to = match word {
                EMPTY..=FAR => self.sets[(word - EMPTY) as usize].as_ptr() as u64,
                BUFFER => self.buffer.as_ptr() as u64,
                _ if word >> 32 == GUEST => u64::from(self.guest.0) << 32 | word & 0xffff,
                _ => word,
            };
        }
        filled
    }
}

pub(crate) fn run() {
    let guest = Guest::empty(2);
    let bare = create(&ordinary(2)).expect("no domain");
    let mut words = Words::new(guest.id);
    let mut wrong = 0;
    let mut judge = |place: usize, op: u32, outcome: Told, wanted: Told| {
        if outcome != wanted {
            println!("row {place}, operation {op}: {outcome:?}, not {wanted:?}");
            wrong += 1;
        }
    };
    for (place, &(op, who, argument, wanted)) in ABOUT_DOMAINS.iter().enumerate() {
        let mut wish = Domctl::new_zeroed();
        wish.cmd = op.number();
        wish.interface_version = guest_abi::domctl::INTERFACE_VERSION;
        wish.domain = match who {
            Who::Guest => guest.id,
            Bare => bare,
            First => DomId(0),
            Number(number) => DomId(number),
        };
        wish.u.write(&words.filled(argument));
        judge(place, op.number(), hypercall!(Domctl, &mut wish), wanted);
    }
    for (place, &(op, argument, wanted)) in ABOUT_THE_MACHINE.iter().enumerate() {
        let mut wish = Sysctl::new_zeroed();
        wish.cmd = op.number();
        wish.interface_version = guest_abi::sysctl::INTERFACE_VERSION;
        wish.u.write(&words.filled(argument));
        judge(place, op.number(), hypercall!(Sysctl, &mut wish), wanted);
    }
    assert_eq!(wrong, 0, "wrong answers");
    assert_eq!(simple(Op::DestroyDomain, bare), Ok(0));
    guest.end();
}
