//! Every interleaving of the concurrent parts, checked by loom:
//! `RUSTFLAGS="--cfg loom" cargo test --release -p hypervisor --lib event::loom_models`.

use super::port::Binding;
use super::test_domain::{TestDomain, TestDomains, TestVcpu};
use super::wait::{self, Wait};
use super::*;
use crate::sync::atomic::Ordering::SeqCst;
use guest_abi::event_channel::Virq;
use guest_abi::ids::{DomId, Port, VcpuId};
use loom::sync::Arc;
use loom::thread;

const V0: VcpuId = VcpuId(0);
const D0: DomId = DomId(0);
const D1: DomId = DomId(1);

fn domains(count: u16) -> Arc<TestDomains> {
    Arc::new(TestDomains(
        (0..count).map(|id| TestDomain::new(id, 3, 1, 1)).collect(),
    ))
}

/// Runs `f` beside the rest of the model.
fn beside<T: 'static>(
    domains: &Arc<TestDomains>,
    f: impl FnOnce(&TestDomains) -> T + 'static,
) -> thread::JoinHandle<T> {
    let domains = Arc::clone(domains);
    thread::spawn(move || f(&domains))
}

fn binding(domain: &TestDomain, port: Port) -> Binding {
    domain.ports().snapshot(port).expect("exists").binding
}

/// A pending, unmasked event is known to its vCPU.
fn assert_known(domain: &TestDomain, vcpu: &TestVcpu, port: Port) {
    if domain.shared.is_pending(port) && !domain.shared.is_masked(port) {
        assert_ne!(vcpu.selector.load(SeqCst), 0);
        assert_ne!(vcpu.upcall_pending.load(SeqCst), 0);
    }
}

/// What a guest's upcall does, up to the first event of each word.
fn handle_upcall(domain: &TestDomain) {
    let vcpu = domain.vcpu(V0);
    vcpu.upcall_pending.swap(0, SeqCst);
    crate::sync::model_fence();
    if vcpu.selector.swap(0, SeqCst) != 0 {
        crate::sync::model_fence();
        let pending = domain.shared.pending[0].load(SeqCst);
        let unmasked = pending & !domain.shared.mask[0].load(SeqCst);
        domain.shared.pending[0].fetch_and(!unmasked, SeqCst);
    }
}

#[test]
fn a_block_never_misses_an_event() {
    loom::model(|| {
        let domains = domains(1);
        let port = bind_ipi(&domains.0[0], V0).expect("free");
        let sender = beside(&domains, move |d| send(d, &d.0[0], port));
        let domain = &domains.0[0];
        let wait = wait::block(domain, V0, &domain.vcpu(V0).run);
        assert_eq!(sender.join().expect("no panic"), Ok(()));
        assert!(domain.vcpu(V0).run.is_runnable(), "{wait:?}");
        assert_known(domain, domain.vcpu(V0), port);
    });
}

#[test]
fn a_block_with_the_upcall_masked_before_never_misses_an_event() {
    loom::model(|| {
        let domains = domains(1);
        let port = bind_ipi(&domains.0[0], V0).expect("free");
        domains.0[0].vcpu(V0).upcall_mask.store(1, SeqCst);
        let sender = beside(&domains, move |d| send(d, &d.0[0], port));
        let domain = &domains.0[0];
        if wait::block(domain, V0, &domain.vcpu(V0).run) == Wait::Ready {
            // The guest handles it and blocks again; there is nothing more to come.
            handle_upcall(domain);
        }
        assert_eq!(sender.join().expect("no panic"), Ok(()));
        assert!(domain.vcpu(V0).run.is_runnable());
        assert_eq!(domain.vcpu(V0).upcall_mask.load(SeqCst), 0);
    });
}

#[test]
fn a_poll_never_misses_its_port_though_masked() {
    for ports in [1, 2] {
        loom::model(move || {
            let domains = domains(1);
            let port = bind_ipi(&domains.0[0], V0).expect("free");
            domains.0[0].shared.mask[0].store(u64::MAX, SeqCst);
            let sender = beside(&domains, move |d| send(d, &d.0[0], port));
            let domain = &domains.0[0];
            let ports = &[port, Port(3)][..ports];
            let wait = wait::poll(domain, V0, &domain.vcpu(V0).run, ports).expect("ports exist");
            assert_eq!(sender.join().expect("no panic"), Ok(()));
            assert!(domain.vcpu(V0).run.is_runnable(), "{wait:?}");
        });
    }
}

#[test]
fn a_late_end_of_one_poll_leaves_the_next_one_wakeable() {
    // Three threads: all schedules with up to three preemptions.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let domains = domains(1);
        let port = bind_ipi(&domains.0[0], V0).expect("free");
        domains.0[0].shared.mask[0].store(u64::MAX, SeqCst);
        // A timer of an earlier poll fires while the vCPU polls anew and the event is sent.
        let timer = beside(&domains, |d| {
            let _ = wait::end(&d.0[0], V0, &d.0[0].vcpu(V0).run);
        });
        let sender = beside(&domains, move |d| send(d, &d.0[0], port));
        let domain = &domains.0[0];
        let _ = wait::poll(domain, V0, &domain.vcpu(V0).run, &[port]).expect("port exists");
        timer.join().expect("no panic");
        assert_eq!(sender.join().expect("no panic"), Ok(()));
        assert!(domain.vcpu(V0).run.is_runnable());
    });
}

#[test]
fn an_upcall_under_way_and_a_new_event_do_not_lose_it() {
    loom::model(|| {
        let domains = domains(1);
        let port = bind_ipi(&domains.0[0], V0).expect("free");
        let other = bind_ipi(&domains.0[0], V0).expect("free");
        assert_eq!(send(&*domains, &domains.0[0], other), Ok(()));
        let sender = beside(&domains, move |d| send(d, &d.0[0], port));
        handle_upcall(&domains.0[0]);
        assert_eq!(sender.join().expect("no panic"), Ok(()));
        assert_known(&domains.0[0], domains.0[0].vcpu(V0), port);
    });
}

#[test]
fn unmasking_and_sending_do_not_lose_the_event_between_them() {
    loom::model(|| {
        let domains = domains(1);
        let port = bind_ipi(&domains.0[0], V0).expect("free");
        domains.0[0].shared.mask[0].store(u64::MAX, SeqCst);
        let sender = beside(&domains, move |d| send(d, &d.0[0], port));
        assert_eq!(unmask(&domains.0[0], port), Ok(()));
        assert_eq!(sender.join().expect("no panic"), Ok(()));
        let domain = &domains.0[0];
        assert!(domain.shared.is_pending(port) && !domain.shared.is_masked(port));
        assert_known(domain, domain.vcpu(V0), port);
    });
}

#[test]
fn an_event_never_reaches_the_next_user_of_a_port() {
    loom::model(|| {
        let domains = domains(2);
        let far = alloc_unbound(&domains.0[1], D0).expect("free");
        let near = bind_interdomain(&*domains, &domains.0[0], D1, far).expect("unbound for us");
        let sender = beside(&domains, move |d| send(d, &d.0[0], near));
        let one = &domains.0[1];
        assert_eq!(close(&*domains, one, far), Ok(()));
        let next = bind_ipi(one, V0).expect("free");
        assert_eq!(next, far);
        assert!(!one.shared.is_pending(next));
        assert_eq!(sender.join().expect("no panic"), Ok(()));
        assert!(!one.shared.is_pending(next));
        assert_eq!(
            binding(&domains.0[0], near),
            Binding::Unbound { remote: D1 }
        );
    });
}

#[test]
fn both_ends_closed_at_once_become_free() {
    loom::model(|| {
        let domains = domains(2);
        let far = alloc_unbound(&domains.0[1], D0).expect("free");
        let near = bind_interdomain(&*domains, &domains.0[0], D1, far).expect("unbound for us");
        let other = beside(&domains, move |d| close(d, &d.0[0], near));
        assert_eq!(close(&*domains, &domains.0[1], far), Ok(()));
        assert_eq!(other.join().expect("no panic"), Ok(()));
        assert_eq!(binding(&domains.0[0], near), Binding::Free);
        assert_eq!(binding(&domains.0[1], far), Binding::Free);
    });
}

#[test]
fn connecting_to_a_port_that_is_being_closed_fails_or_ends_unbound() {
    loom::model(|| {
        let domains = domains(2);
        let far = alloc_unbound(&domains.0[1], D0).expect("free");
        let closer = beside(&domains, move |d| close(d, &d.0[1], far));
        let result = bind_interdomain(&*domains, &domains.0[0], D1, far);
        assert_eq!(closer.join().expect("no panic"), Ok(()));
        assert_eq!(binding(&domains.0[1], far), Binding::Free);
        let expected = match result {
            Ok(_) => Binding::Unbound { remote: D1 },
            Err(error) => {
                assert_eq!(error, EventError::Invalid);
                Binding::Free
            }
        };
        assert_eq!(binding(&domains.0[0], Port(1)), expected);
    });
}

#[test]
fn one_of_two_vcpus_connects_to_an_unbound_port() {
    loom::model(|| {
        let domains = domains(2);
        let far = alloc_unbound(&domains.0[1], D0).expect("free");
        let other = beside(&domains, move |d| bind_interdomain(d, &d.0[0], D1, far));
        let mine = bind_interdomain(&*domains, &domains.0[0], D1, far);
        let theirs = other.join().expect("no panic");
        let (won, lost) = if mine.is_ok() {
            (mine, theirs)
        } else {
            (theirs, mine)
        };
        assert_eq!(lost, Err(EventError::Invalid));
        let near = won.expect("one of them");
        assert_eq!(
            binding(&domains.0[1], far),
            Binding::Interdomain {
                remote: D0,
                port: near
            }
        );
        assert_eq!(
            binding(&domains.0[0], near),
            Binding::Interdomain {
                remote: D1,
                port: far
            }
        );
        let unused = if near == Port(1) { Port(2) } else { Port(1) };
        assert_eq!(binding(&domains.0[0], unused), Binding::Free);
    });
}

#[test]
fn an_event_sent_while_connecting_is_covered_by_the_first_pending() {
    loom::model(|| {
        let domains = domains(2);
        let far = alloc_unbound(&domains.0[1], D0).expect("free");
        let sender = beside(&domains, move |d| send(d, &d.0[1], far));
        let near = bind_interdomain(&*domains, &domains.0[0], D1, far).expect("unbound for us");
        assert_eq!(sender.join().expect("no panic"), Ok(()));
        assert!(domains.0[0].shared.is_pending(near));
        assert_known(&domains.0[0], domains.0[0].vcpu(V0), near);
    });
}

#[test]
fn a_virq_raised_while_its_port_is_closed_stays_with_it() {
    loom::model(|| {
        let domains = domains(1);
        let timer = Virq::Timer.number();
        let port = bind_virq(&domains.0[0], timer, V0).expect("free");
        let raiser = beside(&domains, move |d| raise_virq(&d.0[0], timer, V0));
        let domain = &domains.0[0];
        assert_eq!(close(&*domains, domain, port), Ok(()));
        let next = alloc_unbound(domain, D1).expect("free");
        assert_eq!(next, port);
        let _ = raiser.join().expect("no panic");
        assert!(!domain.shared.is_pending(next));
        assert_eq!(bind_virq(domain, timer, V0), Ok(Port(2)));
    });
}
