//! Control of one domain.

use super::privcmd::{Locked, Privcmd};
use crate::control::cpu_list::CpuList;
use crate::control::error::ControlError;
use guest_abi::bitmap::Bitmap;
use guest_abi::domctl::{Domctl, DomctlOp, INTERFACE_VERSION};
use guest_abi::domctl_domain::{
    CreateDomain, DomainInfo, SendTrigger, SetDomainHandle, SetTimeOffset, Trigger,
};
use guest_abi::domctl_memory::{AddressSize, HypercallInit, MaxMem};
use guest_abi::domctl_vcpu::{
    AffinityFlags, MaxVcpus, Scheduler, SchedulerCommand, SchedulerCredit, SchedulerOp, TscInfo,
    VcpuAffinity, VcpuContext, VcpuState,
};
use guest_abi::hypercall::Hypercall;
use guest_abi::ids::{DomId, Mfn, Vaddr};
use guest_abi::payload::Payload;
use guest_abi::vcpu_context::VcpuGuestContext;
use nix::errno::Errno;
use zerocopy::{FromZeros, Immutable, IntoBytes};

/// Where in a call's memory that begins with a [`Domctl`] something else may lie.
const BEHIND: usize = 1024;

/// What an operation answers.
struct Answer {
    domain: DomId,
    payload: Payload<16>,
}

impl Privcmd {
    /// An operation without pointers in its payload.
    fn plain_domctl<T: IntoBytes + Immutable>(
        &self,
        doing: &'static str,
        operation: DomctlOp,
        domain: DomId,
        payload: &T,
    ) -> Result<Answer, ControlError> {
        let mut memory = self.locked(size_of::<Domctl>())?;
        // SAFETY: the callers, all of them in this module, use it for structures without pointers.
        let answer = unsafe { self.domctl(&mut memory, operation, domain, payload) };
        self.give_back(memory);
        answer.map_err(|errno| ControlError::new(doing, errno))
    }

    /// # Safety
    ///
    /// Addresses in the payload are of as much [`Locked`] memory as the operation uses.
    unsafe fn domctl<T: IntoBytes + Immutable>(
        &self,
        memory: &mut Locked,
        operation: DomctlOp,
        domain: DomId,
        payload: &T,
    ) -> Result<Answer, Errno> {
        let mut union = Payload::ZERO;
        for (to, from) in union.as_mut_bytes().iter_mut().zip(payload.as_bytes()) {
            *to = *from;
        }
        memory.write(
            0,
            &Domctl {
                cmd: operation as u32,
                interface_version: INTERFACE_VERSION,
                domain,
                pad: [0; 3],
                u: union,
            },
        );
        // SAFETY: the structure is in locked memory that is longer; the rest is the caller's promise.
        unsafe { self.call(Hypercall::Domctl, [memory.address(0).0, 0, 0, 0, 0]) }?;
        let answer: Domctl = memory.read(0);
        Ok(Answer {
            domain: answer.domain,
            payload: answer.u,
        })
    }

    /// Makes a domain, and says which number it has.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn create_domain(&self, create: &CreateDomain) -> Result<DomId, ControlError> {
        let doing = "making a domain";
        let answer = self.plain_domctl(doing, DomctlOp::CreateDomain, DomId(0), create)?;
        Ok(answer.domain)
    }

    /// Ends a domain. It may linger until the last of its frames is given back.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn destroy_domain(&self, domain: DomId) -> Result<(), ControlError> {
        let doing = "destroying the domain";
        loop {
            match self.plain_domctl(doing, DomctlOp::DestroyDomain, domain, &0_u64) {
                Err(error) if matches!(error.errno, Errno::EAGAIN | Errno::EINTR) => {}
                other => return other.map(drop),
            }
        }
    }

    /// Stops a domain.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn pause_domain(&self, domain: DomId) -> Result<(), ControlError> {
        let doing = "pausing the domain";
        self.plain_domctl(doing, DomctlOp::PauseDomain, domain, &0_u64)
            .map(drop)
    }

    /// Lets a domain go on.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn unpause_domain(&self, domain: DomId) -> Result<(), ControlError> {
        let doing = "unpausing the domain";
        self.plain_domctl(doing, DomctlOp::UnpauseDomain, domain, &0_u64)
            .map(drop)
    }

    /// How a domain is; `None` if there is none of this number.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn domain_info(&self, domain: DomId) -> Result<Option<DomainInfo>, ControlError> {
        let doing = "asking for a domain's state";
        match self.plain_domctl(doing, DomctlOp::GetDomainInfo, domain, &0_u64) {
            Ok(answer) => {
                let info: DomainInfo = answer.payload.read();
                // The answer is about the next domain if there is none of this number.
                Ok(Some(info).filter(|info| info.domain == domain))
            }
            Err(error) if error.is_no_domain() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives a domain another identity.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn set_handle(&self, domain: DomId, handle: [u8; 16]) -> Result<(), ControlError> {
        let doing = "setting the domain's identity";
        let payload = SetDomainHandle { handle };
        self.plain_domctl(doing, DomctlOp::SetDomainHandle, domain, &payload)
            .map(drop)
    }

    /// Makes the domain's vCPUs.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn set_max_vcpus(&self, domain: DomId, count: u32) -> Result<(), ControlError> {
        let doing = "making virtual processors";
        self.plain_domctl(doing, DomctlOp::MaxVcpus, domain, &MaxVcpus { max: count })
            .map(drop)
    }

    /// Limits a domain's memory.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn set_max_memory(&self, domain: DomId, kib: u64) -> Result<(), ControlError> {
        let limit = MaxMem { max_memkb: kib };
        self.plain_domctl("limiting memory", DomctlOp::MaxMem, domain, &limit)
            .map(drop)
    }

    /// Says that the domain's addresses have 64 bits.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn set_address_size(&self, domain: DomId) -> Result<(), ControlError> {
        let size = AddressSize { size: 64 };
        let doing = "setting the width of addresses";
        self.plain_domctl(doing, DomctlOp::SetAddressSize, domain, &size)
            .map(drop)
    }

    /// Fills a frame of the domain with stubs for hypercalls.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn init_hypercall_page(&self, domain: DomId, frame: Mfn) -> Result<(), ControlError> {
        let page = HypercallInit { gmfn: frame.0 };
        let doing = "filling the hypercall page";
        self.plain_domctl(doing, DomctlOp::HypercallInit, domain, &page)
            .map(drop)
    }

    /// Says how the domain sees the time stamp counter.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn set_tsc_mode(&self, domain: DomId, mode: u32) -> Result<(), ControlError> {
        let mut info = TscInfo::new_zeroed();
        info.tsc_mode = mode;
        let doing = "setting tsc_mode";
        self.plain_domctl(doing, DomctlOp::SetTscInfo, domain, &info)
            .map(drop)
    }

    /// Says how the domain's wall clock differs from UTC.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn set_time_offset(&self, domain: DomId, seconds: i64) -> Result<(), ControlError> {
        let offset = SetTimeOffset {
            time_offset_seconds: seconds,
        };
        let doing = "setting the wall clock";
        self.plain_domctl(doing, DomctlOp::SetTimeOffset, domain, &offset)
            .map(drop)
    }

    /// Sets weight and cap under the credit scheduler.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn set_credit(&self, domain: DomId, credit: SchedulerCredit) -> Result<(), ControlError> {
        let operation = SchedulerOp {
            sched_id: Scheduler::Credit as u32,
            cmd: SchedulerCommand::PutInfo as u32,
            u: Payload::of(&credit),
        };
        let doing = "setting weight and cap";
        self.plain_domctl(doing, DomctlOp::SchedulerOp, domain, &operation)
            .map(drop)
    }

    /// Weight and cap under the credit scheduler.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn credit(&self, domain: DomId) -> Result<SchedulerCredit, ControlError> {
        let operation = SchedulerOp {
            sched_id: Scheduler::Credit as u32,
            cmd: SchedulerCommand::GetInfo as u32,
            u: Payload::ZERO,
        };
        let doing = "reading weight and cap";
        let answer = self.plain_domctl(doing, DomctlOp::SchedulerOp, domain, &operation)?;
        Ok(answer.payload.read::<SchedulerOp>().u.read())
    }

    /// Interrupts vCPU 0 as hardware would by an NMI.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn send_nmi(&self, domain: DomId, vcpu: u32) -> Result<(), ControlError> {
        let trigger = SendTrigger {
            trigger: Trigger::Nmi as u32,
            vcpu,
        };
        let doing = "sending an NMI";
        self.plain_domctl(doing, DomctlOp::SendTrigger, domain, &trigger)
            .map(drop)
    }

    /// How a vCPU is; `None` if there is none of this number.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn vcpu_state(&self, domain: DomId, vcpu: u32) -> Result<Option<VcpuState>, ControlError> {
        let mut state = VcpuState::new_zeroed();
        state.vcpu = vcpu;
        let doing = "asking for a virtual processor's state";
        match self.plain_domctl(doing, DomctlOp::GetVcpuInfo, domain, &state) {
            Ok(answer) => Ok(Some(answer.payload.read())),
            Err(error) if error.is_no_domain() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a vCPU's context.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn set_vcpu_context(
        &self,
        domain: DomId,
        vcpu: u32,
        context: &VcpuGuestContext,
    ) -> Result<(), ControlError> {
        let mut memory = self.locked(BEHIND + size_of::<VcpuGuestContext>())?;
        memory.write(BEHIND, context);
        let payload = VcpuContext {
            vcpu,
            pad0: [0; 4],
            ctxt: memory.address(BEHIND),
        };
        // SAFETY: the address is of a whole context in this locked memory.
        let answer =
            unsafe { self.domctl(&mut memory, DomctlOp::SetVcpuContext, domain, &payload) };
        self.give_back(memory);
        answer
            .map(drop)
            .map_err(|errno| ControlError::new("setting a virtual processor's registers", errno))
    }

    /// Reads a vCPU's context.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn vcpu_context(
        &self,
        domain: DomId,
        vcpu: u32,
    ) -> Result<Box<VcpuGuestContext>, ControlError> {
        let mut memory = self.locked(BEHIND + size_of::<VcpuGuestContext>())?;
        let payload = VcpuContext {
            vcpu,
            pad0: [0; 4],
            ctxt: memory.address(BEHIND),
        };
        // SAFETY: the address is of room for a whole context in this locked memory.
        let answer =
            unsafe { self.domctl(&mut memory, DomctlOp::GetVcpuContext, domain, &payload) };
        let context = Box::new(memory.read(BEHIND));
        self.give_back(memory);
        answer
            .map(|_| context)
            .map_err(|errno| ControlError::new("reading a virtual processor's registers", errno))
    }

    /// Says on which processors a vCPU may run.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn set_affinity(
        &self,
        domain: DomId,
        vcpu: u32,
        cpus: &CpuList,
    ) -> Result<(), ControlError> {
        let bytes = cpus.bitmap();
        self.affinity(DomctlOp::SetVcpuAffinity, domain, vcpu, &bytes)
            .map(drop)
            .map_err(|errno| ControlError::new("pinning a virtual processor", errno))
    }

    /// On which of the first `nr_cpus` processors a vCPU may run.
    ///
    /// # Errors
    ///
    /// The hypervisor's.
    pub fn affinity_of(
        &self,
        domain: DomId,
        vcpu: u32,
        nr_cpus: u32,
    ) -> Result<CpuList, ControlError> {
        let room = vec![0; nr_cpus.div_ceil(8) as usize];
        self.affinity(DomctlOp::GetVcpuAffinity, domain, vcpu, &room)
            .map(|bytes| CpuList::from_bitmap(&bytes, nr_cpus))
            .map_err(|errno| ControlError::new("asking where a virtual processor may run", errno))
    }

    fn affinity(
        &self,
        operation: DomctlOp,
        domain: DomId,
        vcpu: u32,
        bytes: &[u8],
    ) -> Result<Vec<u8>, Errno> {
        let mut memory = self
            .locked(BEHIND + bytes.len())
            .map_err(|error| error.errno)?;
        memory.write(BEHIND, bytes);
        let empty = Bitmap {
            bitmap: Vaddr(0),
            nr_bits: 0,
            pad0: [0; 4],
        };
        let payload = VcpuAffinity {
            vcpu,
            flags: AffinityFlags::HARD,
            cpumap_hard: Bitmap {
                bitmap: memory.address(BEHIND),
                nr_bits: bytes.len() as u32 * 8,
                pad0: [0; 4],
            },
            cpumap_soft: empty,
        };
        // SAFETY: the address is of as many bits as are said, in this locked memory.
        let answer = unsafe { self.domctl(&mut memory, operation, domain, &payload) };
        let map = memory.read_list(BEHIND, bytes.len());
        self.give_back(memory);
        answer.map(|_| map)
    }
}
