//! One port: its whole state in one atomic word.
//!
//! The word is the unit of every decision, so a sender needs no lock and a port never shows a mixture of
//! two states. Its fields:
//!
//! | bits | field |
//! |---|---|
//! | 0-2 | kind of binding |
//! | 3-15 | vCPU that is notified |
//! | 16-31 | the other domain |
//! | 32-48 | the other port, or the number of the interrupt |
//! | 49-63 | deliveries in progress ("pins") |
#![forbid(unsafe_code)]

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::spin_loop;
use guest_abi::ids::{DomId, Port, VcpuId};

/// vCPU numbers that fit in a word, and more than a domain may have.
pub const MAX_VCPUS: u32 = 1 << VCPU_BITS;
/// Port and interrupt numbers that fit in a word.
pub const MAX_DETAIL: u32 = 1 << DETAIL_BITS;

const KIND_MASK: u64 = 0b111;
const VCPU_SHIFT: u32 = 3;
const VCPU_BITS: u32 = 13;
const REMOTE_SHIFT: u32 = 16;
const DETAIL_SHIFT: u32 = 32;
const DETAIL_BITS: u32 = 17;
const PIN_SHIFT: u32 = 49;

const VCPU_MASK: u64 = ((1 << VCPU_BITS) - 1) << VCPU_SHIFT;
const REMOTE_MASK: u64 = 0xFFFF << REMOTE_SHIFT;
const DETAIL_MASK: u64 = ((1 << DETAIL_BITS) - 1) << DETAIL_SHIFT;
const BINDING_MASK: u64 = KIND_MASK | REMOTE_MASK | DETAIL_MASK;
const ONE_PIN: u64 = 1 << PIN_SHIFT;

const FREE: u64 = 0;
const CHANGING: u64 = 1;
const BINDING: u64 = 2;
const UNBOUND: u64 = 3;
const INTERDOMAIN: u64 = 4;
const PIRQ: u64 = 5;
const VIRQ: u64 = 6;
const IPI: u64 = 7;

/// What a port is bound to.
///
/// Who may move it: `Free` to `Changing` by the owner's allocation (under its lock); `Changing` to any
/// other by the one operation of the owner that made it `Changing`; any bound state to `Changing` by
/// whichever of the owner's operations wins the exchange. Another domain makes two moves only, both
/// between states that name that domain: `Unbound` to `Interdomain` (it binds) and `Interdomain` to
/// `Unbound` (it closes its end).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Binding {
    /// Not allocated. Also port 0, always.
    Free,
    /// In the hands of one operation of the owner; to everybody else as good as free.
    Changing,
    /// The owner is connecting this port to that one and will not wait for anything before it says
    /// `Interdomain` or gives up.
    Connecting {
        /// Owner of the other port.
        remote: DomId,
        /// The other port.
        port: Port,
    },
    /// That domain may connect to it.
    Unbound {
        /// Who may.
        remote: DomId,
    },
    /// Connected.
    Interdomain {
        /// Owner of the other port.
        remote: DomId,
        /// The other port.
        port: Port,
    },
    /// A physical interrupt's number.
    Pirq(u32),
    /// A virtual interrupt's number.
    Virq(u32),
    /// An interrupt between vCPUs of the owner.
    Ipi,
}

impl Binding {
    /// The bits; `None` if a number does not fit.
    const fn encode(self) -> Option<u64> {
        let (kind, remote, detail) = match self {
            Self::Free => (FREE, DomId(0), 0),
            Self::Changing => (CHANGING, DomId(0), 0),
            Self::Connecting { remote, port } => (BINDING, remote, port.0),
            Self::Unbound { remote } => (UNBOUND, remote, 0),
            Self::Interdomain { remote, port } => (INTERDOMAIN, remote, port.0),
            Self::Pirq(number) => (PIRQ, DomId(0), number),
            Self::Virq(number) => (VIRQ, DomId(0), number),
            Self::Ipi => (IPI, DomId(0), 0),
        };
        if detail >= MAX_DETAIL {
            return None;
        }
        Some(kind | (remote.0 as u64) << REMOTE_SHIFT | (detail as u64) << DETAIL_SHIFT)
    }

    const fn decode(word: u64) -> Self {
        let remote = DomId((word >> REMOTE_SHIFT) as u16);
        let detail = ((word & DETAIL_MASK) >> DETAIL_SHIFT) as u32;
        match word & KIND_MASK {
            FREE => Self::Free,
            CHANGING => Self::Changing,
            BINDING => Self::Connecting {
                remote,
                port: Port(detail),
            },
            UNBOUND => Self::Unbound { remote },
            INTERDOMAIN => Self::Interdomain {
                remote,
                port: Port(detail),
            },
            PIRQ => Self::Pirq(detail),
            VIRQ => Self::Virq(detail),
            _ => Self::Ipi,
        }
    }

    /// Whether guests see the port as in use.
    #[must_use]
    pub const fn is_bound(self) -> bool {
        !matches!(self, Self::Free | Self::Changing | Self::Connecting { .. })
    }
}

/// A port as it was at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// What it is bound to.
    pub binding: Binding,
    /// Whom it notifies.
    pub vcpu: VcpuId,
}

impl Snapshot {
    const fn decode(word: u64) -> Self {
        Self {
            binding: Binding::decode(word),
            vcpu: VcpuId(((word & VCPU_MASK) >> VCPU_SHIFT) as u32),
        }
    }
}

/// A port's word.
#[derive(Debug)]
pub struct PortWord(AtomicU64);

impl PortWord {
    /// A free port.
    #[must_use]
    pub fn free() -> Self {
        Self(AtomicU64::new(FREE))
    }

    /// The port now.
    #[must_use]
    pub fn load(&self) -> Snapshot {
        Snapshot::decode(self.0.load(Ordering::Acquire))
    }

    /// Holds the port's binding still while an event is delivered to it, if it is bound as `expected`
    /// (and, where `vcpu` is given, notifies that one).
    ///
    /// A pin never waits, so it may be taken anywhere, an interrupt handler included. Whoever takes the
    /// port away waits for pins, which last for a handful of instructions.
    #[must_use]
    pub fn pin(&self, expected: Binding, vcpu: Option<VcpuId>) -> Option<Pin<'_>> {
        let expected = expected.encode()?;
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            let snapshot = Snapshot::decode(word);
            if word & BINDING_MASK != expected || vcpu.is_some_and(|vcpu| vcpu != snapshot.vcpu) {
                return None;
            }
            // A count that would overflow needs more nested deliveries than there are processors.
            let pinned = word.checked_add(ONE_PIN)?;
            match self
                .0
                .compare_exchange_weak(word, pinned, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => {
                    return Some(Pin {
                        word: self,
                        vcpu: snapshot.vcpu,
                    });
                }
                Err(now) => word = now,
            }
        }
    }

    /// Moves the port from `from` to `to`; deliveries in progress go on. Says whether it was `from`.
    pub fn exchange(&self, from: Binding, to: Binding) -> bool {
        let (Some(from), Some(to)) = (from.encode(), to.encode()) else {
            return false;
        };
        self.update(|word| (word & BINDING_MASK == from).then_some(word & !BINDING_MASK | to))
            .is_some()
    }

    /// Makes a bound port `Changing`, which ends new deliveries, and says what it was bound to. `None` if
    /// it is not bound (any more).
    pub fn take(&self) -> Option<Snapshot> {
        self.update(|word| {
            Snapshot::decode(word)
                .binding
                .is_bound()
                .then_some(word & !BINDING_MASK | CHANGING)
        })
        .map(Snapshot::decode)
    }

    /// Waits for the deliveries that began before [`take`](Self::take).
    pub fn drain(&self) {
        while self.0.load(Ordering::Acquire) >> PIN_SHIFT != 0 {
            spin_loop();
        }
    }

    /// Gives a port that the caller holds as `Changing` or `Connecting` its new binding. Says whether
    /// the numbers fit; if not, nothing has changed.
    #[must_use]
    pub fn publish(&self, binding: Binding, vcpu: VcpuId) -> bool {
        let Some(bits) = binding.encode() else {
            return false;
        };
        if vcpu.0 >= MAX_VCPUS {
            return false;
        }
        // Nobody else moves or pins a word in these states, so there is nothing to lose.
        self.0
            .store(bits | u64::from(vcpu.0) << VCPU_SHIFT, Ordering::Release);
        true
    }

    /// Changes the vCPU that is notified if `may` allows it for the binding; returns that binding.
    pub fn retarget(&self, vcpu: VcpuId, may: impl Fn(Binding) -> bool) -> Option<Binding> {
        if vcpu.0 >= MAX_VCPUS {
            return None;
        }
        self.update(|word| {
            may(Binding::decode(word))
                .then_some(word & !VCPU_MASK | u64::from(vcpu.0) << VCPU_SHIFT)
        })
        .map(Binding::decode)
    }

    /// Replaces the word by what `new` makes of it; returns the old one, or `None` if `new` declined.
    fn update(&self, new: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            let next = new(word)?;
            match self
                .0
                .compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return Some(word),
                Err(now) => word = now,
            }
        }
    }
}

/// A delivery in progress: the port keeps its binding until this is dropped.
#[must_use]
#[derive(Debug)]
pub struct Pin<'a> {
    word: &'a PortWord,
    vcpu: VcpuId,
}

impl Pin<'_> {
    /// Whom the port notifies.
    #[must_use]
    pub const fn vcpu(&self) -> VcpuId {
        self.vcpu
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        self.word.0.fetch_sub(ONE_PIN, Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn binding() -> impl Strategy<Value = Binding> {
        let dom = any::<u16>().prop_map(DomId);
        let port = (0..MAX_DETAIL).prop_map(Port);
        prop_oneof![
            Just(Binding::Free),
            Just(Binding::Changing),
            (dom.clone(), port.clone())
                .prop_map(|(remote, port)| Binding::Connecting { remote, port }),
            dom.clone().prop_map(|remote| Binding::Unbound { remote }),
            (dom, port).prop_map(|(remote, port)| Binding::Interdomain { remote, port }),
            (0..MAX_DETAIL).prop_map(Binding::Pirq),
            (0..MAX_DETAIL).prop_map(Binding::Virq),
            Just(Binding::Ipi),
        ]
    }

    proptest! {
        #[test]
        fn a_published_word_reads_back(binding in binding(), vcpu in 0..MAX_VCPUS) {
            let word = PortWord::free();
            prop_assert!(word.publish(binding, VcpuId(vcpu)));
            prop_assert_eq!(word.load(), Snapshot { binding, vcpu: VcpuId(vcpu) });
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused_and_change_nothing() {
        let word = PortWord::free();
        assert!(word.publish(Binding::Ipi, VcpuId(5)));
        let before = word.load();
        assert!(!word.publish(Binding::Pirq(MAX_DETAIL), VcpuId(0)));
        assert!(!word.publish(Binding::Ipi, VcpuId(MAX_VCPUS)));
        assert!(!word.exchange(Binding::Ipi, Binding::Pirq(MAX_DETAIL)));
        assert_eq!(word.retarget(VcpuId(MAX_VCPUS), |_| true), None);
        assert_eq!(word.load(), before);
    }

    #[test]
    fn a_pin_survives_moves_of_the_binding_and_of_the_target() {
        let word = PortWord::free();
        let connected = Binding::Interdomain {
            remote: DomId(3),
            port: Port(9),
        };
        assert!(word.publish(connected, VcpuId(1)));
        let pin = word.pin(connected, None).expect("bound so");
        assert_eq!(pin.vcpu(), VcpuId(1));
        assert!(word.retarget(VcpuId(2), |_| true).is_some());
        assert!(word.exchange(connected, Binding::Unbound { remote: DomId(3) }));
        assert!(word.pin(connected, None).is_none());
        assert_eq!(word.0.load(Ordering::Relaxed) >> PIN_SHIFT, 1);
        drop(pin);
        assert_eq!(word.0.load(Ordering::Relaxed) >> PIN_SHIFT, 0);
        assert_eq!(word.load().vcpu, VcpuId(2));
    }

    #[test]
    fn a_pin_may_insist_on_the_vcpu() {
        let word = PortWord::free();
        assert!(word.publish(Binding::Virq(0), VcpuId(1)));
        assert!(word.pin(Binding::Virq(0), Some(VcpuId(0))).is_none());
        assert!(word.pin(Binding::Virq(1), Some(VcpuId(1))).is_none());
        assert!(word.pin(Binding::Virq(0), Some(VcpuId(1))).is_some());
    }

    #[test]
    fn only_bound_ports_are_taken_and_only_once() {
        let word = PortWord::free();
        assert_eq!(word.take(), None);
        assert!(word.publish(Binding::Ipi, VcpuId(4)));
        assert_eq!(
            word.take(),
            Some(Snapshot {
                binding: Binding::Ipi,
                vcpu: VcpuId(4)
            })
        );
        assert_eq!(word.take(), None);
        assert!(word.publish(
            Binding::Connecting {
                remote: DomId(1),
                port: Port(1)
            },
            VcpuId(0)
        ));
        assert_eq!(word.take(), None);
    }
}
