//! Growth and version of a table.

use super::*;
use crate::grant::environment::*;
use crate::grant::*;
use crate::sync::atomic::Ordering::SeqCst;
use guest_abi::errno::Errno;
use guest_abi::grant_op::GrantStatus;
use guest_abi::ids::Mfn;

#[test]
fn a_table_grows_to_its_limit() {
    let machine = machine();
    let domain = machine.domain(0);
    assert_eq!(domain.grants().size(), (1, 2));
    assert_eq!(domain.grants().set_up(domain, 0), GrantStatus::Okay);
    assert_eq!(domain.grants().set_up(domain, 1), GrantStatus::Okay);
    assert_eq!(domain.grants().size(), (1, 2));
    for nr_frames in [3, u32::MAX] {
        assert_eq!(
            domain.grants().set_up(domain, nr_frames),
            GrantStatus::GeneralError
        );
        assert_eq!(
            domain.grants().grow(domain, nr_frames),
            Err(GrowError::TooMany)
        );
    }
    assert_eq!(domain.grants().size(), (1, 2));
    assert_eq!(domain.grants().set_up(domain, 2), GrantStatus::Okay);
    assert_eq!(domain.grants().size(), (2, 2));
    assert_eq!(domain.entries().frame(1), Some(Mfn(0x1001)));
    domain.entries.write(1023, PERMIT, 1, 2);
    map_ok(&machine, 1023, HOST, 0x1000);
    machine.check();
}

#[test]
fn no_memory_for_a_grant_frame_is_a_general_error_and_can_be_tried_again() {
    let machine = machine();
    let domain = machine.domain(0);
    let charged = domain.charged.load(SeqCst);
    domain.charge_limit.store(charged, SeqCst);
    assert_eq!(domain.grants().set_up(domain, 2), GrantStatus::GeneralError);
    assert_eq!(domain.charged.load(SeqCst), charged);
    domain.charge_limit.store(usize::MAX, SeqCst);
    domain.entries.frames_available.store(1, SeqCst);
    assert_eq!(domain.grants().set_up(domain, 2), GrantStatus::GeneralError);
    assert_eq!(domain.grants().size(), (1, 2));
    domain.entries.frames_available.store(2, SeqCst);
    assert_eq!(domain.grants().set_up(domain, 2), GrantStatus::Okay);
    assert_eq!(domain.charged.load(SeqCst), charged * 2);
}

#[test]
fn only_version_1_is_offered() {
    let machine = machine();
    let table = machine.domain(0).grants();
    assert_eq!(table.version(), 1);
    assert_eq!(table.set_version(1), Ok(()));
    assert_eq!(table.set_version(2), Err(Errno::ENOSYS));
    for version in [0, 3, u32::MAX] {
        assert_eq!(table.set_version(version), Err(Errno::EINVAL));
    }
    assert_eq!(table.status_frames(0), GrantStatus::Okay);
    assert_eq!(table.status_frames(1), GrantStatus::GeneralError);
}
