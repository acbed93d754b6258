//! Domains for the tests of this room: shared bits in plain atomics, kicks that are counted.

use super::domain::{EventDomain, EventDomains, Pirqs, SharedInfo};
use super::error::EventError;
use super::table::PortTable;
use super::wait;
use crate::sched::run_state::{Change, RunState};
use crate::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use guest_abi::ids::{DomId, Port, VcpuId};

pub(super) struct TestVcpu {
    pub(super) selector: AtomicU64,
    pub(super) upcall_pending: AtomicU8,
    pub(super) upcall_mask: AtomicU8,
    pub(super) kicks: AtomicU32,
    /// Wake-ups that the scheduler has heard of.
    pub(super) wakes: AtomicU32,
    pub(super) run: RunState,
}

pub(super) struct TestShared {
    pub(super) pending: Vec<AtomicU64>,
    pub(super) mask: Vec<AtomicU64>,
    pub(super) vcpus: Vec<TestVcpu>,
}

/// Physical interrupts 0 to 3: 0 is the hypervisor's, 1 not permitted, 2 and 3 free to use.
pub(super) struct TestPirqs {
    ports: Vec<AtomicU32>,
    pub(super) active: Vec<AtomicU32>,
}

pub(super) struct TestDomain {
    id: DomId,
    ports: PortTable,
    pub(super) shared: TestShared,
    pub(super) pirqs: TestPirqs,
    pub(super) charged: AtomicUsize,
    pub(super) charge_limit: usize,
}

impl TestDomain {
    /// `words` of 64 ports each have shared bits.
    pub(super) fn new(id: u16, max_port: u32, vcpus: u32, words: usize) -> Self {
        let bits = || (0..words).map(|_| AtomicU64::new(0)).collect();
        let vcpus_made = (0..vcpus).map(|_| {
            let run = RunState::down();
            let _ = run.up();
            assert!(run.start_running());
            TestVcpu {
                selector: AtomicU64::new(0),
                upcall_pending: AtomicU8::new(0),
                upcall_mask: AtomicU8::new(0),
                kicks: AtomicU32::new(0),
                wakes: AtomicU32::new(0),
                run,
            }
        });
        Self {
            id: DomId(id),
            ports: PortTable::new(max_port, vcpus).expect("small"),
            shared: TestShared {
                pending: bits(),
                mask: bits(),
                vcpus: vcpus_made.collect(),
            },
            pirqs: TestPirqs {
                ports: (0..4).map(|_| AtomicU32::new(0)).collect(),
                active: (0..4).map(|_| AtomicU32::new(0)).collect(),
            },
            charged: AtomicUsize::new(0),
            charge_limit: usize::MAX,
        }
    }

    pub(super) fn vcpu(&self, vcpu: VcpuId) -> &TestVcpu {
        &self.shared.vcpus[vcpu.0 as usize]
    }
}

const fn split(port: Port) -> (usize, u64) {
    ((port.0 / 64) as usize, 1 << (port.0 % 64))
}

impl SharedInfo for TestShared {
    fn set_pending(&self, port: Port) -> bool {
        let (word, bit) = split(port);
        self.pending[word].fetch_or(bit, Ordering::SeqCst) & bit != 0
    }

    fn clear_pending(&self, port: Port) {
        let (word, bit) = split(port);
        self.pending[word].fetch_and(!bit, Ordering::SeqCst);
    }

    fn is_pending(&self, port: Port) -> bool {
        let (word, bit) = split(port);
        self.pending[word].load(Ordering::SeqCst) & bit != 0
    }

    fn is_masked(&self, port: Port) -> bool {
        let (word, bit) = split(port);
        self.mask[word].load(Ordering::SeqCst) & bit != 0
    }

    fn clear_mask(&self, port: Port) -> bool {
        let (word, bit) = split(port);
        self.mask[word].fetch_and(!bit, Ordering::SeqCst) & bit != 0
    }

    fn select(&self, vcpu: VcpuId, word: u32) -> bool {
        let bit = 1 << word;
        self.vcpus[vcpu.0 as usize]
            .selector
            .fetch_or(bit, Ordering::SeqCst)
            & bit
            != 0
    }

    fn set_upcall_pending(&self, vcpu: VcpuId) -> bool {
        self.vcpus[vcpu.0 as usize]
            .upcall_pending
            .swap(1, Ordering::SeqCst)
            != 0
    }

    fn is_upcall_pending(&self, vcpu: VcpuId) -> bool {
        self.vcpus[vcpu.0 as usize]
            .upcall_pending
            .load(Ordering::SeqCst)
            != 0
    }

    fn clear_upcall_mask(&self, vcpu: VcpuId) {
        self.vcpus[vcpu.0 as usize]
            .upcall_mask
            .swap(0, Ordering::SeqCst);
    }

    fn is_upcall_masked(&self, vcpu: VcpuId) -> bool {
        self.vcpus[vcpu.0 as usize]
            .upcall_mask
            .load(Ordering::SeqCst)
            != 0
    }
}

impl Pirqs for TestPirqs {
    fn bind(&self, pirq: u32, port: Port, _is_shared: bool) -> Result<(), EventError> {
        match pirq {
            0 => return Err(EventError::Busy),
            1 => return Err(EventError::NotPermitted),
            _ => {}
        }
        let slot = self.ports.get(pirq as usize).ok_or(EventError::Invalid)?;
        slot.compare_exchange(0, port.0, Ordering::SeqCst, Ordering::SeqCst)
            .map(|_| ())
            .map_err(|_| EventError::InUse)
    }

    fn activate(&self, pirq: u32, port: Port) {
        if self.ports[pirq as usize].load(Ordering::SeqCst) == port.0 {
            self.active[pirq as usize].store(1, Ordering::SeqCst);
        }
    }

    fn unbind(&self, pirq: u32, port: Port) {
        let slot = &self.ports[pirq as usize];
        if slot
            .compare_exchange(port.0, 0, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
        {
            self.active[pirq as usize].store(0, Ordering::SeqCst);
        }
    }

    fn retarget(&self, _pirq: u32, _vcpu: VcpuId) {}
}

impl EventDomain for TestDomain {
    type Shared = TestShared;
    type Pirqs = TestPirqs;

    fn id(&self) -> DomId {
        self.id
    }

    fn ports(&self) -> &PortTable {
        &self.ports
    }

    fn shared(&self) -> &TestShared {
        &self.shared
    }

    fn pirqs(&self) -> &TestPirqs {
        &self.pirqs
    }

    fn has_vcpu(&self, vcpu: VcpuId) -> bool {
        (vcpu.0 as usize) < self.shared.vcpus.len()
    }

    fn kick(&self, vcpu: VcpuId) {
        self.vcpu(vcpu).kicks.fetch_add(1, Ordering::SeqCst);
        if wait::end(self, vcpu, &self.vcpu(vcpu).run) == Change::BecameRunnable {
            self.vcpu(vcpu).wakes.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn charge(&self, bytes: usize) -> Result<(), EventError> {
        let total = self.charged.fetch_add(bytes, Ordering::SeqCst) + bytes;
        if total > self.charge_limit {
            self.uncharge(bytes);
            return Err(EventError::NoMemory);
        }
        Ok(())
    }

    fn uncharge(&self, bytes: usize) {
        self.charged.fetch_sub(bytes, Ordering::SeqCst);
    }
}

/// Domains 0, 1, 2, ….
pub(super) struct TestDomains(pub(super) Vec<TestDomain>);

impl EventDomains for TestDomains {
    type Domain = TestDomain;
    type Ref<'a> = &'a TestDomain;

    fn get(&self, id: DomId) -> Option<&TestDomain> {
        self.0.get(usize::from(id.0))
    }
}
