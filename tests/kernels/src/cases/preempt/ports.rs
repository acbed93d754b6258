//! All ports are closed at once, the timer's last.

use super::super::prelude::*;
use super::{gives_way, listen};
use crate::clock;
use guest_abi::event_channel::ChannelStatus;

/// The last port that there is.
const LAST: Port = Port(4095);

pub(crate) fn run() {
    listen();
    gives_way(
        "reset",
        || {
            assert_eq!(event::reset(DomId::SELF), Ok(0));
            // Each but the last, of which the other end is to be left alone.
            while event::alloc_unbound(DomId::SELF, DomId::SELF).unwrap() != LAST {}
            assert_eq!(event::close(LAST), Ok(0));
            assert_eq!(clock::bind_timer(), LAST);
        },
        || assert_eq!(event::reset(DomId::SELF), Ok(0)),
    );
    for port in [1, 2, 2000, 4094, 4095] {
        let state = event::status(Port(port)).unwrap();
        assert_eq!(state.status, ChannelStatus::Closed.number(), "{port}");
    }
}
