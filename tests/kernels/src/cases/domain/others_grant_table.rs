//! An ordinary domain sets up, and asks about, its own grant table only: of others it is told that it may not.

use super::super::prelude::*;
use super::call_list::{List, maker_of_calls};
use crate::control::Guest;
use guest_abi::grant_op::{GrantStatus, GrantTableOp};
use guest_abi::hypercall::Hypercall;

/// A domain that there is not.
const NOBODY: DomId = DomId(77);
/// Frames that are asked for.
const FRAMES: u64 = 2;

pub(crate) fn run() {
    let guest = Guest::with_code(maker_of_calls());
    let mut list = List::new(&guest);
    let asked = [
        (DomId(0), GrantStatus::PermissionDenied),
        (NOBODY, GrantStatus::BadDomain),
        (guest.id, GrantStatus::Okay),
        (DomId::SELF, GrantStatus::Okay),
    ];
    let operation = |list: &mut List<'_>, op: GrantTableOp, content: &[u64], answer| {
        let arguments = [op.number().into(), list.content_at(), 1, 0];
        list.add(
            Hypercall::GrantTableOp,
            arguments,
            content,
            op.number().into(),
            answer,
        )
    };
    // The frames are listed behind the argument.
    let set_up = asked.map(|(id, _)| {
        let content = [u64::from(id.0) | FRAMES << 32, 0, list.content_at() + 24];
        operation(&mut list, GrantTableOp::SetupTable, &content, 0)
    });
    let sizes =
        asked.map(|(id, _)| operation(&mut list, GrantTableOp::QuerySize, &[id.0.into(), 0], 0));
    let versions = asked.map(|(id, status)| {
        let answer = match status {
            GrantStatus::Okay => 0,
            GrantStatus::BadDomain => Errno::ESRCH.to_return(),
            _ => Errno::EPERM.to_return(),
        };
        operation(&mut list, GrantTableOp::GetVersion, &[id.0.into()], answer)
    });
    assert_eq!(list.run(|_, _| false), 0, "wrong answers");
    for (index, (id, status)) in asked.into_iter().enumerate() {
        let is_done = status == GrantStatus::Okay;
        let found = list.content(set_up[index], 1) as i16;
        assert_eq!(found, status.number(), "set up for {id:?}");
        for word in 0..FRAMES as usize {
            let is_listed = list.content(set_up[index], 3 + word) != 0;
            assert_eq!(is_listed, is_done, "frame {word} of {id:?}");
        }
        let found = (list.content(sizes[index], 1) >> 32) as i16;
        assert_eq!(found, status.number(), "size of {id:?}");
        // Of nobody else's table a number is told.
        let frames = list.content(sizes[index], 0) >> 32;
        let most = list.content(sizes[index], 1) & 0xffff_ffff;
        assert_eq!((frames >= FRAMES, most != 0), (is_done, is_done), "{id:?}");
        let version = list.content(versions[index], 0) >> 32;
        assert_eq!(version, u64::from(is_done), "version of {id:?}");
    }
    guest.end();
}
