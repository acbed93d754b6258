//! Random operations of three domains, and of guests that scribble over their shared bits, against a
//! model that is too plain to be wrong.

use super::port::Binding;
use super::test_domain::{TestDomain, TestDomains};
use super::wait::{self, Wait};
use super::*;
use crate::sync::atomic::Ordering::SeqCst;
use guest_abi::event_channel::BindPirqFlags;
use guest_abi::ids::{DomId, Port, VcpuId};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const DOMAINS: u16 = 3;
const VCPUS: u32 = 2;
/// Few, so that they run out.
const MAX_PORT: u32 = 70;

#[derive(Clone, Copy, Debug)]
enum Op {
    AllocUnbound(u16, u16),
    BindInterdomain(u16, u16, u32),
    BindVirq(u16, u32, u32),
    BindIpi(u16, u32),
    BindPirq(u16, u32),
    BindVcpu(u16, u32, u32),
    Close(u16, u32),
    Send(u16, u32),
    Unmask(u16, u32),
    RaiseVirq(u16, u32, u32),
    RaisePirq(u16, u32, u32),
    Reset(u16),
    Block(u16, u32),
    Poll(u16, u32, u32, u32),
    TimeOut(u16, u32),
    GuestFlipsMask(u16, u32),
    GuestFlipsPending(u16, u32),
    GuestFlipsUpcallMask(u16, u32),
    GuestFlipsSelector(u16, u32, u32),
    GuestHandlesUpcall(u16, u32),
}

fn op() -> impl Strategy<Value = Op> {
    use Op::*;
    let dom = 0..DOMAINS;
    // Mostly low numbers, where the ports in use are; sometimes the edges.
    let port = prop_oneof![9 => 0u32..12, 1 => 60u32..80, 1 => Just(127u32), 1 => Just(128), 1 => Just(4096)];
    let vcpu = 0..=VCPUS;
    let virq = prop_oneof![Just(0u32), Just(1), Just(2), Just(23), Just(24)];
    prop_oneof![
        4 => (dom.clone(), 0..=DOMAINS).prop_map(|(a, b)| AllocUnbound(a, b)),
        6 => (dom.clone(), 0..=DOMAINS, port.clone()).prop_map(|(a, b, c)| BindInterdomain(a, b, c)),
        2 => (dom.clone(), virq.clone(), vcpu.clone()).prop_map(|(a, b, c)| BindVirq(a, b, c)),
        2 => (dom.clone(), vcpu.clone()).prop_map(|(a, b)| BindIpi(a, b)),
        1 => (dom.clone(), 0u32..5).prop_map(|(a, b)| BindPirq(a, b)),
        2 => (dom.clone(), port.clone(), vcpu.clone()).prop_map(|(a, b, c)| BindVcpu(a, b, c)),
        5 => (dom.clone(), port.clone()).prop_map(|(a, b)| Close(a, b)),
        9 => (dom.clone(), port.clone()).prop_map(|(a, b)| Send(a, b)),
        3 => (dom.clone(), port.clone()).prop_map(|(a, b)| Unmask(a, b)),
        2 => (dom.clone(), virq, 0..VCPUS).prop_map(|(a, b, c)| RaiseVirq(a, b, c)),
        1 => (dom.clone(), 2u32..4, port.clone()).prop_map(|(a, b, c)| RaisePirq(a, b, c)),
        1 => dom.clone().prop_map(Reset),
        2 => (dom.clone(), 0..VCPUS).prop_map(|(a, b)| Block(a, b)),
        3 => (dom.clone(), 0..VCPUS, port.clone(), port.clone()).prop_map(|(a, b, c, d)| Poll(a, b, c, d)),
        2 => (dom.clone(), 0..VCPUS).prop_map(|(a, b)| TimeOut(a, b)),
        3 => (dom.clone(), 0..MAX_PORT).prop_map(|(a, b)| GuestFlipsMask(a, b)),
        1 => (dom.clone(), 0..MAX_PORT).prop_map(|(a, b)| GuestFlipsPending(a, b)),
        1 => (dom.clone(), 0..VCPUS).prop_map(|(a, b)| GuestFlipsUpcallMask(a, b)),
        1 => (dom.clone(), 0..VCPUS, 0u32..64).prop_map(|(a, b, c)| GuestFlipsSelector(a, b, c)),
        6 => (dom, 0..VCPUS).prop_map(|(a, b)| GuestHandlesUpcall(a, b)),
    ]
}

#[derive(Clone, Debug, PartialEq)]
enum Waiting {
    No,
    Block,
    Poll(Vec<u32>),
}

#[derive(Debug)]
struct ModelDomain {
    /// In use: what it is, and whom it notifies.
    ports: BTreeMap<u32, (Binding, u32)>,
    pending: BTreeSet<u32>,
    masked: BTreeSet<u32>,
    selectors: [BTreeSet<u32>; VCPUS as usize],
    upcall: [bool; VCPUS as usize],
    upcall_masked: [bool; VCPUS as usize],
    waiting: [Waiting; VCPUS as usize],
}

impl ModelDomain {
    fn new() -> Self {
        Self {
            ports: BTreeMap::new(),
            pending: BTreeSet::new(),
            masked: BTreeSet::new(),
            selectors: [const { BTreeSet::new() }; 2],
            upcall: [false; 2],
            upcall_masked: [false; 2],
            waiting: [Waiting::No, Waiting::No],
        }
    }

    fn allocate(&mut self, binding: Binding, vcpu: u32) -> Result<Port, EventError> {
        let port = (1..=MAX_PORT)
            .find(|port| !self.ports.contains_key(port))
            .ok_or(EventError::NoPort)?;
        self.ports.insert(port, (binding, vcpu));
        self.pending.remove(&port);
        Ok(Port(port))
    }

    fn free(&mut self, port: u32) {
        self.ports.remove(&port);
        self.pending.remove(&port);
    }

    fn make_known(&mut self, port: u32, vcpu: u32) {
        let vcpu = vcpu as usize;
        if self.selectors[vcpu].insert(port / 64) && !self.upcall[vcpu] {
            self.upcall[vcpu] = true;
            self.waiting[vcpu] = Waiting::No;
        }
    }

    fn raise(&mut self, port: u32) {
        let (_, vcpu) = self.ports[&port];
        if !self.pending.insert(port) {
            return;
        }
        if !self.masked.contains(&port) {
            self.make_known(port, vcpu);
        }
        for waiting in &mut self.waiting {
            // With one port the poll is for that; with several, any event ends it.
            if matches!(waiting, Waiting::Poll(ports) if ports.len() != 1 || ports.contains(&port))
            {
                *waiting = Waiting::No;
            }
        }
    }

    fn find(&self, wanted: Binding, vcpu: Option<u32>) -> Option<u32> {
        let is_it = |(_, (binding, at)): &(&u32, &(Binding, u32))| {
            *binding == wanted && vcpu.is_none_or(|vcpu| vcpu == *at)
        };
        self.ports.iter().find(is_it).map(|(port, _)| *port)
    }
}

const fn exists(port: u32) -> bool {
    port < 128
}

const fn own_virq(virq: u32) -> bool {
    virq < 2
}

struct Model(Vec<ModelDomain>);

impl Model {
    fn close(&mut self, dom: u16, port: u32) -> Result<(), EventError> {
        let (binding, _) = *self.0[usize::from(dom)]
            .ports
            .get(&port)
            .ok_or(EventError::Invalid)?;
        if let Binding::Interdomain { remote, port: peer } = binding {
            let peer = self.0[usize::from(remote.0)]
                .ports
                .get_mut(&peer.0)
                .expect("connected");
            peer.0 = Binding::Unbound { remote: DomId(dom) };
        }
        self.0[usize::from(dom)].free(port);
        Ok(())
    }

    fn apply(&mut self, op: Op) -> String {
        use EventError::*;
        use Op::*;
        match op {
            AllocUnbound(dom, remote) => {
                let binding = Binding::Unbound {
                    remote: DomId(remote),
                };
                format!("{:?}", self.0[usize::from(dom)].allocate(binding, 0))
            }
            BindInterdomain(dom, remote, port) => {
                let result = if remote >= DOMAINS {
                    Err(NoSuchDomain)
                } else {
                    let binding = Binding::Interdomain {
                        remote: DomId(remote),
                        port: Port(port),
                    };
                    self.0[usize::from(dom)]
                        .allocate(binding, 0)
                        .and_then(|local| {
                            let wanted = Binding::Unbound { remote: DomId(dom) };
                            match self.0[usize::from(remote)].ports.get_mut(&port) {
                                Some((peer, _)) if *peer == wanted => {
                                    *peer = Binding::Interdomain {
                                        remote: DomId(dom),
                                        port: local,
                                    };
                                    self.0[usize::from(dom)].raise(local.0);
                                    Ok(local)
                                }
                                _ => {
                                    self.0[usize::from(dom)].free(local.0);
                                    Err(Invalid)
                                }
                            }
                        })
                };
                format!("{result:?}")
            }
            BindVirq(dom, virq, vcpu) => {
                let domain = &mut self.0[usize::from(dom)];
                let own = own_virq(virq).then_some(vcpu);
                let result = if virq >= 24 || !own_virq(virq) && vcpu != 0 {
                    Err(Invalid)
                } else if vcpu >= VCPUS {
                    Err(NoSuchVcpu)
                } else if domain.find(Binding::Virq(virq), own).is_some() {
                    Err(InUse)
                } else {
                    domain.allocate(Binding::Virq(virq), vcpu)
                };
                format!("{result:?}")
            }
            BindIpi(dom, vcpu) => {
                let domain = &mut self.0[usize::from(dom)];
                let result = if vcpu >= VCPUS {
                    Err(NoSuchVcpu)
                } else {
                    domain.allocate(Binding::Ipi, vcpu)
                };
                format!("{result:?}")
            }
            BindPirq(dom, pirq) => {
                let domain = &mut self.0[usize::from(dom)];
                let in_use = domain.find(Binding::Pirq(pirq), None).is_some();
                let result = domain.allocate(Binding::Pirq(pirq), 0).and_then(|port| {
                    let refusal = match pirq {
                        0 => Busy,
                        1 => NotPermitted,
                        2 | 3 if !in_use => return Ok(port),
                        2 | 3 => InUse,
                        _ => Invalid,
                    };
                    domain.free(port.0);
                    Err(refusal)
                });
                format!("{result:?}")
            }
            BindVcpu(dom, port, vcpu) => {
                let domain = &mut self.0[usize::from(dom)];
                let result = if vcpu >= VCPUS {
                    Err(NoSuchVcpu)
                } else {
                    match domain.ports.get_mut(&port) {
                        None | Some((Binding::Ipi | Binding::Virq(0 | 1), _)) => Err(Invalid),
                        Some((_, at)) => {
                            *at = vcpu;
                            Ok(())
                        }
                    }
                };
                format!("{result:?}")
            }
            Close(dom, port) => format!("{:?}", self.close(dom, port)),
            Send(dom, port) => {
                let result = match self.0[usize::from(dom)].ports.get(&port) {
                    Some((Binding::Interdomain { remote, port }, _)) => {
                        let (remote, port) = (*remote, *port);
                        self.0[usize::from(remote.0)].raise(port.0);
                        Ok(())
                    }
                    Some((Binding::Ipi, _)) => {
                        self.0[usize::from(dom)].raise(port);
                        Ok(())
                    }
                    Some((Binding::Unbound { .. }, _)) => Ok(()),
                    _ => Err(Invalid),
                };
                format!("{result:?}")
            }
            Unmask(dom, port) => {
                let domain = &mut self.0[usize::from(dom)];
                if let Some((_, vcpu)) = domain.ports.get(&port).copied()
                    && domain.masked.remove(&port)
                    && domain.pending.contains(&port)
                {
                    domain.make_known(port, vcpu);
                }
                format!("{:?}", if exists(port) { Ok(()) } else { Err(Invalid) })
            }
            RaiseVirq(dom, virq, vcpu) => {
                let domain = &mut self.0[usize::from(dom)];
                let port = domain.find(Binding::Virq(virq), own_virq(virq).then_some(vcpu));
                if let Some(port) = port {
                    domain.raise(port);
                }
                format!("{:?}", port.is_some())
            }
            RaisePirq(dom, pirq, port) => {
                let domain = &mut self.0[usize::from(dom)];
                let is_it = domain
                    .ports
                    .get(&port)
                    .is_some_and(|(b, _)| *b == Binding::Pirq(pirq));
                if is_it {
                    domain.raise(port);
                }
                format!("{is_it:?}")
            }
            Reset(dom) => {
                for port in 1..=MAX_PORT {
                    let _ = self.close(dom, port);
                }
                format!("{:?}", Progress::Done)
            }
            Block(dom, vcpu) => {
                let (domain, vcpu) = (&mut self.0[usize::from(dom)], vcpu as usize);
                domain.upcall_masked[vcpu] = false;
                let wait = if domain.upcall[vcpu] {
                    Wait::Ready
                } else {
                    Wait::Sleep
                };
                domain.waiting[vcpu] = if wait == Wait::Ready {
                    Waiting::No
                } else {
                    Waiting::Block
                };
                format!("{wait:?}")
            }
            Poll(dom, vcpu, a, b) => {
                let (domain, vcpu) = (&mut self.0[usize::from(dom)], vcpu as usize);
                let ports = polled(a, b);
                let result = if ports.iter().any(|port| !exists(*port)) {
                    Err(Invalid)
                } else if domain.upcall[vcpu] && !domain.upcall_masked[vcpu]
                    || ports.iter().any(|port| domain.pending.contains(port))
                {
                    Ok(Wait::Ready)
                } else {
                    domain.waiting[vcpu] = Waiting::Poll(ports);
                    Ok(Wait::Sleep)
                };
                format!("{result:?}")
            }
            TimeOut(dom, vcpu) => {
                self.0[usize::from(dom)].waiting[vcpu as usize] = Waiting::No;
                String::new()
            }
            GuestFlipsMask(dom, port) => flip(&mut self.0[usize::from(dom)].masked, port),
            GuestFlipsPending(dom, port) => flip(&mut self.0[usize::from(dom)].pending, port),
            GuestFlipsUpcallMask(dom, vcpu) => {
                self.0[usize::from(dom)].upcall_masked[vcpu as usize] ^= true;
                String::new()
            }
            GuestFlipsSelector(dom, vcpu, word) => {
                flip(&mut self.0[usize::from(dom)].selectors[vcpu as usize], word)
            }
            GuestHandlesUpcall(dom, vcpu) => {
                let (domain, vcpu) = (&mut self.0[usize::from(dom)], vcpu as usize);
                domain.upcall[vcpu] = false;
                for word in std::mem::take(&mut domain.selectors[vcpu]) {
                    let ModelDomain {
                        pending, masked, ..
                    } = domain;
                    pending.retain(|port| port / 64 != word || masked.contains(port));
                }
                String::new()
            }
        }
    }

    /// A vCPU that waits does nothing; its operations are left out on both sides.
    fn is_asleep(&self, op: Op) -> bool {
        match op {
            Op::Block(dom, vcpu) | Op::Poll(dom, vcpu, ..) | Op::GuestHandlesUpcall(dom, vcpu) => {
                self.0[usize::from(dom)].waiting[vcpu as usize] != Waiting::No
            }
            _ => false,
        }
    }
}

fn flip(set: &mut BTreeSet<u32>, number: u32) -> String {
    if !set.remove(&number) {
        set.insert(number);
    }
    String::new()
}

fn polled(a: u32, b: u32) -> Vec<u32> {
    if a == b { vec![a] } else { vec![a, b] }
}

fn apply(domains: &TestDomains, op: Op) -> String {
    use Op::*;
    let d = |dom: u16| &domains.0[usize::from(dom)];
    match op {
        AllocUnbound(dom, remote) => format!("{:?}", alloc_unbound(d(dom), DomId(remote))),
        BindInterdomain(dom, remote, port) => {
            format!(
                "{:?}",
                bind_interdomain(domains, d(dom), DomId(remote), Port(port))
            )
        }
        BindVirq(dom, virq, vcpu) => format!("{:?}", bind_virq(d(dom), virq, VcpuId(vcpu))),
        BindIpi(dom, vcpu) => format!("{:?}", bind_ipi(d(dom), VcpuId(vcpu))),
        BindPirq(dom, pirq) => format!("{:?}", bind_pirq(d(dom), pirq, BindPirqFlags::empty())),
        BindVcpu(dom, port, vcpu) => format!("{:?}", bind_vcpu(d(dom), Port(port), VcpuId(vcpu))),
        Close(dom, port) => format!("{:?}", close(domains, d(dom), Port(port))),
        Send(dom, port) => format!("{:?}", send(domains, d(dom), Port(port))),
        Unmask(dom, port) => format!("{:?}", unmask(d(dom), Port(port))),
        RaiseVirq(dom, virq, vcpu) => format!("{:?}", raise_virq(d(dom), virq, VcpuId(vcpu))),
        RaisePirq(dom, pirq, port) => format!("{:?}", raise_pirq(d(dom), pirq, Port(port))),
        Reset(dom) => format!("{:?}", close_all(domains, d(dom), Port(1), || false)),
        Block(dom, vcpu) => {
            let vcpu = VcpuId(vcpu);
            format!("{:?}", wait::block(d(dom), vcpu, &d(dom).vcpu(vcpu).run))
        }
        Poll(dom, vcpu, a, b) => {
            let vcpu = VcpuId(vcpu);
            let ports: Vec<_> = polled(a, b).into_iter().map(Port).collect();
            format!(
                "{:?}",
                wait::poll(d(dom), vcpu, &d(dom).vcpu(vcpu).run, &ports)
            )
        }
        TimeOut(dom, vcpu) => {
            let vcpu = VcpuId(vcpu);
            let _ = wait::end(d(dom), vcpu, &d(dom).vcpu(vcpu).run);
            String::new()
        }
        GuestFlipsMask(dom, port) => {
            d(dom).shared.mask[(port / 64) as usize].fetch_xor(1 << (port % 64), SeqCst);
            String::new()
        }
        GuestFlipsPending(dom, port) => {
            d(dom).shared.pending[(port / 64) as usize].fetch_xor(1 << (port % 64), SeqCst);
            String::new()
        }
        GuestFlipsUpcallMask(dom, vcpu) => {
            d(dom).vcpu(VcpuId(vcpu)).upcall_mask.fetch_xor(1, SeqCst);
            String::new()
        }
        GuestFlipsSelector(dom, vcpu, word) => {
            d(dom)
                .vcpu(VcpuId(vcpu))
                .selector
                .fetch_xor(1 << word, SeqCst);
            String::new()
        }
        GuestHandlesUpcall(dom, vcpu) => {
            let vcpu = d(dom).vcpu(VcpuId(vcpu));
            vcpu.upcall_pending.store(0, SeqCst);
            let selected = vcpu.selector.swap(0, SeqCst);
            let shared = &d(dom).shared;
            for word in (0..64).filter(|word| selected >> word & 1 != 0) {
                if let (Some(pending), Some(mask)) =
                    (shared.pending.get(word), shared.mask.get(word))
                {
                    pending.fetch_and(mask.load(SeqCst), SeqCst);
                }
            }
            String::new()
        }
    }
}

fn compare(domains: &TestDomains, model: &Model) -> Result<(), TestCaseError> {
    for (domain, model) in domains.0.iter().zip(&model.0) {
        for port in 0..=128 {
            let real = domain.ports().snapshot(Port(port));
            let expected = exists(port).then(|| {
                model
                    .ports
                    .get(&port)
                    .copied()
                    .unwrap_or((Binding::Free, 0))
            });
            prop_assert_eq!(real.map(|s| (s.binding, s.vcpu.0)), expected, "{}", port);
        }
        for (bits, set) in [
            (&domain.shared.pending, &model.pending),
            (&domain.shared.mask, &model.masked),
        ] {
            let real: BTreeSet<u32> = (0..128)
                .filter(|p| bits[(p / 64) as usize].load(SeqCst) >> (p % 64) & 1 != 0)
                .collect();
            prop_assert_eq!(&real, set);
        }
        for vcpu in 0..VCPUS as usize {
            let real = &domain.shared.vcpus[vcpu];
            let selected: BTreeSet<u32> = (0..64)
                .filter(|w| real.selector.load(SeqCst) >> w & 1 != 0)
                .collect();
            prop_assert_eq!(&selected, &model.selectors[vcpu]);
            prop_assert_eq!(real.upcall_pending.load(SeqCst) != 0, model.upcall[vcpu]);
            prop_assert_eq!(
                real.upcall_mask.load(SeqCst) != 0,
                model.upcall_masked[vcpu]
            );
            prop_assert_eq!(real.run.is_blocked(), model.waiting[vcpu] != Waiting::No);
        }
    }
    Ok(())
}

/// Each call does to the domains what it does to the model.
fn agree(ops: Vec<Op>) -> Result<(), TestCaseError> {
    let domains = TestDomains(
        (0..DOMAINS)
            .map(|id| TestDomain::new(id, MAX_PORT, VCPUS, 2))
            .collect(),
    );
    let mut model = Model((0..DOMAINS).map(|_| ModelDomain::new()).collect());
    for op in ops {
        if model.is_asleep(op) {
            continue;
        }
        let expected = model.apply(op);
        prop_assert_eq!(apply(&domains, op), expected, "{:?}", op);
        compare(&domains, &model)?;
    }
    Ok(())
}

#[test]
fn a_poll_of_port_0_ends_by_no_other_port() {
    use Op::*;
    let ops = vec![
        Poll(2, 1, 0, 0),
        AllocUnbound(2, 0),
        BindIpi(2, 0),
        Send(2, 2),
    ];
    agree(ops).expect("as the model");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::test_cases::cases(64), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn three_domains_agree_with_the_model(ops in proptest::collection::vec(op(), 1..300)) {
        agree(ops)?;
    }
}
