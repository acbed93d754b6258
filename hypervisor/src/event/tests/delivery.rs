//! Masks, upcalls and waiting.

use super::*;
use crate::event::wait::{self, Wait};
use crate::event::*;
use crate::sync::atomic::Ordering::SeqCst;
use guest_abi::ids::Port;

#[test]
fn a_masked_port_becomes_pending_without_an_upcall_until_it_is_unmasked() {
    let (domains, near, far) = connected();
    let [zero, one] = &domains.0[..] else {
        unreachable!()
    };
    one.shared.mask[0].store(1 << far.0, SeqCst);
    assert_eq!(send(&domains, zero, near), Ok(()));
    assert!(one.shared.is_pending(far));
    assert!(!one.shared.is_upcall_pending(V0));
    assert_eq!(unmask(one, far), Ok(()));
    assert_upcall(one, V0, far);
    // Unmasking what is not masked does nothing.
    quiesce(one);
    assert_eq!(unmask(one, far), Ok(()));
    assert!(!one.shared.is_upcall_pending(V0));
}

#[test]
fn unmasking_reaches_the_vcpu_that_the_port_notifies() {
    let (domains, near, far) = connected();
    let [zero, one] = &domains.0[..] else {
        unreachable!()
    };
    one.shared.mask[0].store(1 << far.0, SeqCst);
    assert_eq!(bind_vcpu(one, far, V1), Ok(()));
    assert_eq!(send(&domains, zero, near), Ok(()));
    assert_eq!(unmask(one, far), Ok(()));
    assert_upcall(one, V1, far);
}

#[test]
fn unmasking_a_free_port_does_nothing_and_one_out_of_range_is_refused() {
    let domains = two();
    let zero = &domains.0[0];
    assert_eq!(unmask(zero, Port(0)), Ok(()));
    assert_eq!(unmask(zero, Port(4095)), Err(EventError::Invalid));
    let port = bind_ipi(zero, V0).expect("free");
    assert_eq!(close(&domains, zero, port), Ok(()));
    zero.shared.mask[0].store(u64::MAX, SeqCst);
    zero.shared.set_pending(port);
    assert_eq!(unmask(zero, port), Ok(()));
    assert!(zero.shared.is_masked(port));
    assert!(!zero.shared.is_upcall_pending(V0));
    assert_eq!(unmask(zero, Port(4096)), Err(EventError::Invalid));
}

#[test]
fn blocking_unmasks_and_sleeps_only_if_nothing_is_pending() {
    let (domains, near, far) = connected();
    let [zero, one] = &domains.0[..] else {
        unreachable!()
    };
    let vcpu = one.vcpu(V0);
    vcpu.upcall_mask.store(1, SeqCst);
    assert_eq!(wait::block(one, V0, &vcpu.run), Wait::Sleep);
    assert_eq!(vcpu.upcall_mask.load(SeqCst), 0);
    assert!(!vcpu.run.is_runnable());
    assert_eq!(send(&domains, zero, near), Ok(()));
    assert!(vcpu.run.is_runnable());
    assert!(one.shared.is_pending(far));
    assert_eq!(wait::block(one, V0, &vcpu.run), Wait::Ready);
    assert!(vcpu.run.is_runnable());
}

#[test]
fn a_masked_event_ends_a_poll_for_its_port_but_not_a_block() {
    let (domains, near, far) = connected();
    let [zero, one] = &domains.0[..] else {
        unreachable!()
    };
    let other = bind_ipi(one, V0).expect("free");
    one.shared.mask[0].store(u64::MAX, SeqCst);
    let run = &one.vcpu(V0).run;
    for (ports, is_woken) in [
        (&[far][..], true),
        (&[other, far][..], true),
        (&[other][..], false),
        (&[][..], true),
    ] {
        one.shared.clear_pending(far);
        assert_eq!(wait::poll(one, V0, run, ports), Ok(Wait::Sleep));
        assert_eq!(send(&domains, zero, near), Ok(()));
        assert_eq!(run.is_runnable(), is_woken, "{ports:?}");
        let _ = wait::end(one, V0, run);
        assert!(run.is_runnable());
    }
    one.shared.clear_pending(far);
    assert_eq!(wait::block(one, V0, run), Wait::Sleep);
    assert_eq!(send(&domains, zero, near), Ok(()));
    assert!(!run.is_runnable());
}

#[test]
fn polling_returns_at_once_if_there_is_something() {
    let (domains, near, far) = connected();
    let [zero, one] = &domains.0[..] else {
        unreachable!()
    };
    let run = &one.vcpu(V0).run;
    one.shared.mask[0].store(u64::MAX, SeqCst);
    assert_eq!(send(&domains, zero, near), Ok(()));
    assert_eq!(wait::poll(one, V0, run, &[far]), Ok(Wait::Ready));
    assert!(run.is_runnable());
    // A deliverable upcall, whatever its port; a masked one does not count.
    one.shared.clear_pending(far);
    one.vcpu(V0).upcall_pending.store(1, SeqCst);
    assert_eq!(wait::poll(one, V0, run, &[far]), Ok(Wait::Ready));
    one.vcpu(V0).upcall_mask.store(1, SeqCst);
    assert_eq!(wait::poll(one, V0, run, &[far]), Ok(Wait::Sleep));
    let _ = wait::end(one, V0, run);
}

#[test]
fn polling_refuses_bad_ports_and_too_many() {
    let domains = two();
    let zero = &domains.0[0];
    let port = bind_ipi(zero, V0).expect("free");
    let run = &zero.vcpu(V0).run;
    assert_eq!(
        wait::poll(zero, V0, run, &[port, Port(4096)]),
        Err(EventError::Invalid)
    );
    assert_eq!(
        wait::poll(zero, V0, run, &[port; wait::MAX_POLLED + 1]),
        Err(EventError::Invalid)
    );
    assert!(run.is_runnable());
    assert_eq!(
        wait::poll(zero, V0, run, &[port; wait::MAX_POLLED]),
        Ok(Wait::Sleep)
    );
}

#[test]
fn no_wake_up_is_left_behind_when_a_poll_ended_otherwise() {
    let (domains, near, far) = connected();
    let [zero, one] = &domains.0[..] else {
        unreachable!()
    };
    let vcpu = one.vcpu(V1);
    assert_eq!(wait::poll(one, V1, &vcpu.run, &[far]), Ok(Wait::Sleep));
    let _ = wait::end(one, V1, &vcpu.run);
    assert_eq!(send(&domains, zero, near), Ok(()));
    assert_eq!(vcpu.kicks.load(SeqCst), 0);
}
