//! Ports: how they begin, what they are bound to, how they end.

use super::*;
use crate::event::port::Binding;
use crate::event::test_domain::{TestDomain, TestDomains};
use crate::event::*;
use crate::sync::atomic::Ordering::SeqCst;
use guest_abi::errno::Errno;
use guest_abi::event_channel::{BindPirqFlags, ChannelStatus, NR_PORTS_2L, NR_VIRQS, Virq};
use guest_abi::ids::{DomId, Port, VcpuId};

#[test]
fn ports_are_handed_out_from_the_lowest_and_zero_never() {
    let domain = TestDomain::new(0, NR_PORTS_2L, 1, 64);
    for expected in 1..=200 {
        assert_eq!(alloc_unbound(&domain, D1), Ok(Port(expected)));
    }
    let domains = TestDomains(vec![domain]);
    for port in [150, 3, 70] {
        assert_eq!(close(&domains, &domains.0[0], Port(port)), Ok(()));
    }
    for expected in [3, 70, 150, 201] {
        assert_eq!(alloc_unbound(&domains.0[0], D1), Ok(Port(expected)));
    }
}

#[test]
fn the_last_port_is_the_configured_one_and_then_there_are_none() {
    let domain = TestDomain::new(0, 5, 1, 64);
    for expected in 1..=5 {
        assert_eq!(bind_ipi(&domain, V0), Ok(Port(expected)));
    }
    assert_eq!(bind_ipi(&domain, V0), Err(EventError::NoPort));
    assert_eq!(Errno::from(EventError::NoPort), Errno::ENOSPC);
}

#[test]
fn all_4095_ports_can_be_had() {
    let domain = TestDomain::new(0, u32::MAX, 1, 64);
    for expected in 1..NR_PORTS_2L {
        assert_eq!(bind_ipi(&domain, V0), Ok(Port(expected)));
    }
    assert_eq!(bind_ipi(&domain, V0), Err(EventError::NoPort));
}

#[test]
fn memory_for_ports_is_charged_and_its_refusal_changes_nothing() {
    let mut domain = TestDomain::new(0, NR_PORTS_2L, 1, 64);
    domain.charge_limit = 1024;
    for _ in 1..256 {
        assert!(bind_ipi(&domain, V0).is_ok());
    }
    assert_eq!(domain.charged.load(SeqCst), 1024);
    assert_eq!(bind_ipi(&domain, V0), Err(EventError::NoMemory));
    assert_eq!(domain.charged.load(SeqCst), 1024);
    domain.charge_limit = 2048;
    assert_eq!(bind_ipi(&domain, V0), Ok(Port(256)));
}

#[test]
fn a_port_starts_and_ends_with_nothing_pending() {
    let domains = two();
    let domain = &domains.0[0];
    domain.shared.set_pending(Port(1));
    let port = bind_ipi(domain, V0).expect("free");
    assert!(!domain.shared.is_pending(port));
    domain.shared.set_pending(port);
    assert_eq!(close(&domains, domain, port), Ok(()));
    assert!(!domain.shared.is_pending(port));
}

#[test]
fn connecting_makes_the_new_port_pending_and_both_ends_say_so() {
    let domains = two();
    let [zero, one] = &domains.0[..] else {
        unreachable!()
    };
    let _ = alloc_unbound(one, D1);
    let far = alloc_unbound(one, D0).expect("free");
    let near = bind_interdomain(&domains, zero, D1, far).expect("unbound for us");
    assert_upcall(zero, V0, near);
    assert!(!one.shared.is_pending(far));

    let ours = status(zero, near).expect("exists");
    assert_eq!(ours.status, ChannelStatus::Interdomain.number());
    assert_eq!(
        (ours.remote_dom, ours.remote_port, ours.vcpu),
        (D1, far, V0)
    );
    let theirs = status(one, far).expect("exists");
    assert_eq!(theirs.status, ChannelStatus::Interdomain.number());
    assert_eq!((theirs.remote_dom, theirs.remote_port), (D0, near));
}

#[test]
fn a_domain_may_connect_to_itself() {
    let domains = two();
    let zero = &domains.0[0];
    let far = alloc_unbound(zero, D0).expect("free");
    let near = bind_interdomain(&domains, zero, DomId::SELF, far).expect("unbound for us");
    quiesce(zero);
    assert_eq!(send(&domains, zero, near), Ok(()));
    assert_upcall(zero, V0, far);
    assert_eq!(close(&domains, zero, near), Ok(()));
    assert_eq!(
        zero.ports().snapshot(far).expect("exists").binding,
        Binding::Unbound { remote: D0 }
    );
}

#[test]
fn connecting_is_refused_unless_the_other_port_waits_for_us() {
    let domains = two();
    let [zero, one] = &domains.0[..] else {
        unreachable!()
    };
    let for_itself = alloc_unbound(one, D1).expect("free");
    let ipi = bind_ipi(one, V0).expect("free");
    for port in [
        Port(0),
        for_itself,
        ipi,
        Port(3),
        Port(500),
        Port(NR_PORTS_2L),
        Port(u32::MAX),
    ] {
        assert_eq!(
            bind_interdomain(&domains, zero, D1, port),
            Err(EventError::Invalid),
            "{port}"
        );
    }
    assert_eq!(
        bind_interdomain(&domains, zero, DomId(7), ipi),
        Err(EventError::NoSuchDomain)
    );
    assert_eq!(
        bind_interdomain(&domains, zero, DomId::IO, ipi),
        Err(EventError::NoSuchDomain)
    );
    // Each refusal gave its port back.
    assert_eq!(bind_ipi(zero, V0), Ok(Port(1)));
    assert_eq!(Errno::from(EventError::NoSuchDomain), Errno::ESRCH);
}

#[test]
fn an_unbound_port_is_taken_once() {
    let domains = two();
    let [zero, one] = &domains.0[..] else {
        unreachable!()
    };
    let far = alloc_unbound(one, D0).expect("free");
    assert!(bind_interdomain(&domains, zero, D1, far).is_ok());
    assert_eq!(
        bind_interdomain(&domains, zero, D1, far),
        Err(EventError::Invalid)
    );
}

#[test]
fn sending_raises_the_other_end_only() {
    let (domains, near, far) = connected();
    let [zero, one] = &domains.0[..] else {
        unreachable!()
    };
    assert_eq!(send(&domains, zero, near), Ok(()));
    assert_upcall(one, V0, far);
    assert!(!zero.shared.is_pending(near));
    // Already pending: nothing more happens.
    assert_eq!(send(&domains, zero, near), Ok(()));
    assert_eq!(one.vcpu(V0).kicks.load(SeqCst), 1);
}

#[test]
fn sending_to_nobody_succeeds_and_sending_on_what_is_no_channel_does_not() {
    let domains = two();
    let zero = &domains.0[0];
    let unbound = alloc_unbound(zero, D1).expect("free");
    assert_eq!(send(&domains, zero, unbound), Ok(()));
    let virq = bind_virq(zero, Virq::Debug.number(), V0).expect("free");
    let pirq = bind_pirq(zero, 2, BindPirqFlags::empty()).expect("free");
    for port in [
        Port(0),
        virq,
        pirq,
        Port(9),
        Port(300),
        Port(4096),
        Port(u32::MAX),
    ] {
        assert_eq!(
            send(&domains, zero, port),
            Err(EventError::Invalid),
            "{port}"
        );
    }
}

#[test]
fn closing_leaves_the_other_end_unbound_for_the_closer() {
    let (domains, near, far) = connected();
    let [zero, one] = &domains.0[..] else {
        unreachable!()
    };
    assert_eq!(bind_vcpu(one, far, V1), Ok(()));
    assert_eq!(close(&domains, zero, near), Ok(()));
    assert_eq!(
        status(zero, near).expect("exists").status,
        ChannelStatus::Closed.number()
    );
    let theirs = status(one, far).expect("exists");
    assert_eq!(theirs.status, ChannelStatus::Unbound.number());
    assert_eq!((theirs.remote_dom, theirs.vcpu), (D0, V1));
    assert_eq!(send(&domains, one, far), Ok(()));
    assert!(!zero.shared.is_pending(near));
    // And it can be had again.
    assert_eq!(bind_interdomain(&domains, zero, D1, far), Ok(near));
}

#[test]
fn only_ports_in_use_can_be_closed() {
    let domains = two();
    let zero = &domains.0[0];
    for port in [Port(0), Port(1), Port(4095), Port(4096), Port(u32::MAX)] {
        assert_eq!(close(&domains, zero, port), Err(EventError::Invalid));
    }
    let port = bind_ipi(zero, V0).expect("free");
    assert_eq!(close(&domains, zero, Port(0)), Err(EventError::Invalid));
    assert_eq!(close(&domains, zero, port), Ok(()));
    assert_eq!(close(&domains, zero, port), Err(EventError::Invalid));
}

#[test]
fn every_virq_number_can_be_bound_once() {
    let domain = TestDomain::new(0, NR_PORTS_2L, 2, 64);
    for virq in 0..NR_VIRQS {
        assert!(bind_virq(&domain, virq, V0).is_ok(), "{virq}");
        assert_eq!(
            bind_virq(&domain, virq, V0),
            Err(EventError::InUse),
            "{virq}"
        );
    }
    for virq in [NR_VIRQS, 0x8000_0000, u32::MAX] {
        assert_eq!(bind_virq(&domain, virq, V0), Err(EventError::Invalid));
    }
    assert_eq!(Errno::from(EventError::InUse), Errno::EEXIST);
}

#[test]
fn each_vcpu_has_its_own_timer_and_the_domain_has_one_console() {
    let domain = TestDomain::new(0, NR_PORTS_2L, 2, 64);
    let own = [Virq::Timer, Virq::Debug, Virq::Profiler, Virq::Pmu];
    for virq in 0..NR_VIRQS {
        let is_own = own.iter().any(|own| own.number() == virq);
        let expected = if is_own {
            Ok(())
        } else {
            Err(EventError::Invalid)
        };
        assert_eq!(bind_virq(&domain, virq, V1).map(|_| ()), expected, "{virq}");
    }
    assert_eq!(
        bind_virq(&domain, Virq::Timer.number(), VcpuId(2)),
        Err(EventError::NoSuchVcpu)
    );
    assert_eq!(
        bind_virq(&domain, Virq::Timer.number(), VcpuId(u32::MAX)),
        Err(EventError::NoSuchVcpu)
    );
    assert_eq!(
        bind_virq(&domain, Virq::Console.number(), VcpuId(2)),
        Err(EventError::Invalid)
    );
    assert_eq!(Errno::from(EventError::NoSuchVcpu), Errno::ENOENT);
}

#[test]
fn a_raised_virq_arrives_where_it_is_bound_and_nowhere_else() {
    let domains = two();
    let zero = &domains.0[0];
    let timer = Virq::Timer.number();
    assert!(!raise_virq(zero, timer, V1));
    let port = bind_virq(zero, timer, V1).expect("free");
    assert!(!raise_virq(zero, timer, V0));
    assert!(raise_virq(zero, timer, V1));
    assert_upcall(zero, V1, port);
    assert_eq!(zero.ports().virq_port(timer, V1), Some(port));
    assert_eq!(close(&domains, zero, port), Ok(()));
    assert!(!raise_virq(zero, timer, V1));
    assert_eq!(bind_virq(zero, timer, V1), Ok(port));
    assert!(!raise_virq(zero, NR_VIRQS, V0));
}

#[test]
fn a_global_virq_follows_its_port_to_another_vcpu() {
    let domains = two();
    let zero = &domains.0[0];
    let console = Virq::Console.number();
    let port = bind_virq(zero, console, V0).expect("free");
    assert_eq!(bind_vcpu(zero, port, V1), Ok(()));
    assert!(raise_virq(zero, console, V0));
    assert_upcall(zero, V1, port);
    assert_eq!(close(&domains, zero, port), Ok(()));
    assert!(bind_virq(zero, console, V0).is_ok());
}

#[test]
fn notifications_move_except_of_ports_made_for_one_vcpu() {
    let (domains, near, _) = connected();
    let zero = &domains.0[0];
    let unbound = alloc_unbound(zero, D1).expect("free");
    let ipi = bind_ipi(zero, V0).expect("free");
    let timer = bind_virq(zero, Virq::Timer.number(), V0).expect("free");
    let console = bind_virq(zero, Virq::Console.number(), V0).expect("free");
    let pirq = bind_pirq(zero, 2, BindPirqFlags::WILL_SHARE).expect("free");
    for port in [near, unbound, console, pirq] {
        assert_eq!(bind_vcpu(zero, port, V1), Ok(()));
        assert_eq!(status(zero, port).expect("exists").vcpu, V1);
    }
    for port in [ipi, timer, Port(0), Port(100), Port(4096)] {
        assert_eq!(
            bind_vcpu(zero, port, V1),
            Err(EventError::Invalid),
            "{port}"
        );
    }
    assert_eq!(
        bind_vcpu(zero, near, VcpuId(2)),
        Err(EventError::NoSuchVcpu)
    );
    assert_eq!(
        bind_vcpu(zero, Port(4096), VcpuId(9)),
        Err(EventError::NoSuchVcpu)
    );
}

#[test]
fn an_ipi_reaches_the_vcpu_that_it_was_made_for() {
    let domains = two();
    let zero = &domains.0[0];
    let port = bind_ipi(zero, V1).expect("free");
    assert_eq!(send(&domains, zero, port), Ok(()));
    assert_upcall(zero, V1, port);
    assert_eq!(bind_ipi(zero, VcpuId(2)), Err(EventError::NoSuchVcpu));
}

#[test]
fn a_pirq_is_bound_once_and_activated_after_its_port_is() {
    let domains = two();
    let zero = &domains.0[0];
    let refusals = [
        (0, EventError::Busy, Errno::EBUSY),
        (1, EventError::NotPermitted, Errno::EPERM),
        (4, EventError::Invalid, Errno::EINVAL),
        (u32::MAX, EventError::Invalid, Errno::EINVAL),
    ];
    for (pirq, error, errno) in refusals {
        assert_eq!(bind_pirq(zero, pirq, BindPirqFlags::empty()), Err(error));
        assert_eq!(Errno::from(error), errno);
    }
    let port = bind_pirq(zero, 3, BindPirqFlags::empty()).expect("free");
    assert_eq!(port, Port(1));
    assert_eq!(zero.pirqs.active[3].load(SeqCst), 1);
    assert_eq!(
        bind_pirq(zero, 3, BindPirqFlags::empty()),
        Err(EventError::InUse)
    );
    assert_eq!(status(zero, port).expect("exists").interrupt(), 3);
    assert!(raise_pirq(zero, 3, port));
    assert_upcall(zero, V0, port);
    assert!(!raise_pirq(zero, 2, port));
    assert_eq!(close(&domains, zero, port), Ok(()));
    assert_eq!(zero.pirqs.active[3].load(SeqCst), 0);
    assert!(!raise_pirq(zero, 3, port));
    assert_eq!(bind_pirq(zero, 3, BindPirqFlags::empty()), Ok(port));
}

#[test]
fn status_refuses_only_numbers_out_of_range() {
    let domains = two();
    let zero = &domains.0[0];
    assert_eq!(status(zero, Port(NR_PORTS_2L)), Err(EventError::Invalid));
    let port = bind_ipi(zero, V1).expect("free");
    let zeroth = status(zero, Port(0)).expect("exists");
    assert_eq!(
        (zeroth.status, zeroth.vcpu),
        (ChannelStatus::Closed.number(), V0)
    );
    let ipi = status(zero, port).expect("exists");
    assert_eq!(
        (ipi.status, ipi.vcpu, ipi.interrupt()),
        (ChannelStatus::Ipi.number(), V1, 0)
    );
}

#[test]
fn closing_all_stops_when_asked_and_goes_on_from_there() {
    let (domains, _, far) = connected();
    let zero = &domains.0[0];
    for _ in 0..150 {
        assert!(bind_ipi(zero, V0).is_ok());
    }
    let mut calls = 0;
    let mut at = Port(1);
    let mut rounds = 0;
    loop {
        let stop = || {
            calls += 1;
            calls % 10 == 0
        };
        match close_all(&domains, zero, at, stop) {
            Progress::Done => break,
            Progress::At(next) => {
                assert!(next > at);
                at = next;
            }
        }
        rounds += 1;
    }
    assert!(rounds > 10);
    for port in 1..=151 {
        assert_eq!(
            zero.ports().snapshot(Port(port)).expect("exists").binding,
            Binding::Free
        );
    }
    assert_eq!(
        domains.0[1].ports().snapshot(far).expect("exists").binding,
        Binding::Unbound { remote: D0 }
    );
    assert_eq!(bind_ipi(zero, V0), Ok(Port(1)));
}

#[test]
fn a_dying_domain_gets_no_ports_and_its_peers_keep_theirs() {
    let (domains, near, far) = connected();
    let [zero, one] = &domains.0[..] else {
        unreachable!()
    };
    let waiting = alloc_unbound(one, D0).expect("free");
    one.ports().close_for_good();
    assert_eq!(alloc_unbound(one, D0), Err(EventError::Invalid));
    assert_eq!(close_all(&domains, one, Port(1), || false), Progress::Done);
    assert_eq!(
        zero.ports().snapshot(near).expect("exists").binding,
        Binding::Unbound { remote: D1 }
    );
    assert_eq!(send(&domains, zero, near), Ok(()));
    assert!(!one.shared.is_pending(far));
    assert_eq!(
        bind_interdomain(&domains, zero, D1, waiting),
        Err(EventError::Invalid)
    );
    assert_eq!(close(&domains, zero, near), Ok(()));
}

/// Another domain makes a port of one that is at its end: it has taken a number, and binds that when all others are closed.
#[test]
fn a_port_that_is_being_made_when_its_domain_ends_is_closed() {
    let domains = TestDomains(vec![
        TestDomain::new(0, NR_PORTS_2L, 1, 64),
        TestDomain::new(1, NR_PORTS_2L, 1, 64),
    ]);
    let [zero, one] = &domains.0[..] else {
        unreachable!()
    };
    let first = alloc_unbound(one, D0).expect("free");
    let fresh = one.ports().allocate(one).expect("free");
    let last = alloc_unbound(one, D0).expect("free");
    // Nobody waits for it where the domain goes on.
    assert_eq!(close_all(&domains, one, last, || false), Progress::Done);
    one.ports().close_for_good();
    let held = Progress::At(fresh.port);
    assert_eq!(close_all(&domains, one, first, || false), held);
    assert_eq!(close_all(&domains, one, fresh.port, || false), held);
    let port = fresh.port;
    assert!(fresh.word.publish(Binding::Unbound { remote: D0 }, V0));
    assert_eq!(close_all(&domains, one, port, || false), Progress::Done);
    assert_eq!(
        bind_interdomain(&domains, zero, D1, port),
        Err(EventError::Invalid)
    );
}
