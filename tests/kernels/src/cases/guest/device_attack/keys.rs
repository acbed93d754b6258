//! The store's nodes of devices: how the two ends meet.

use super::{Done, comes, sleep};
use crate::chance::Chance;
use crate::shared_ring::{Answer, Store};
use core::fmt::{self, Write};
use guest_abi::device_state::DeviceState;
use guest_abi::store_wire::{MAX_PAYLOAD, MessageType};
use zerocopy::FromZeros;

/// How long a back end may take to come to another state, beside all else that its machine does.
const STATE_LIMIT_MS: u64 = 20_000;
const LOOK_EVERY_MS: u64 = 5;

/// Some text.
pub(super) struct Text {
    bytes: [u8; 160],
    len: usize,
}

impl Text {
    fn of(arguments: fmt::Arguments<'_>) -> Self {
        let mut text = Self {
            bytes: [0; 160],
            len: 0,
        };
        text.write_fmt(arguments)
            .unwrap_or_else(|_| panic!("too long a text"));
        text
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes
            .get_mut(self.len..end)
            .ok_or(fmt::Error)?
            .copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// A device as the tools have made it.
pub(super) struct Device {
    directory: Text,
    state_of_back_end: Text,
}

pub(crate) struct Keys {
    store: Store,
    answer: Answer,
}

impl Keys {
    pub(crate) fn connect() -> Self {
        Self {
            store: Store::connect(),
            answer: Answer {
                header: FromZeros::new_zeroed(),
                payload: [0; MAX_PAYLOAD as usize],
            },
        }
    }

    fn read(&mut self, path: &[u8]) -> Option<&str> {
        self.store
            .ask(MessageType::Read, 0, &[path, b"\0"], &mut self.answer);
        if self.answer.is_error() {
            return None;
        }
        core::str::from_utf8(self.answer.content()).ok()
    }

    fn write(&mut self, path: &[u8], value: &[u8]) {
        self.store.ask(
            MessageType::Write,
            0,
            &[path, b"\0", value],
            &mut self.answer,
        );
    }

    /// The number in a node.
    pub(crate) fn number(&mut self, path: &str) -> Option<u64> {
        self.read(path.as_bytes())?.parse().ok()
    }

    pub(crate) fn set_number(&mut self, path: &str, number: u64) {
        let number = Text::of(format_args!("{number}"));
        self.write(path.as_bytes(), number.bytes());
    }

    /// The newest device of a kind that there is.
    pub(super) fn device(&mut self, kind: &str) -> Option<Device> {
        let list = Text::of(format_args!("device/{kind}"));
        self.store.ask(
            MessageType::Directory,
            0,
            &[list.bytes(), b"\0"],
            &mut self.answer,
        );
        if self.answer.is_error() {
            return None;
        }
        let names = core::str::from_utf8(self.answer.content()).ok()?;
        let numbers = names.split('\0').filter_map(|name| name.parse().ok());
        let number: u32 = numbers.max()?;
        let directory = Text::of(format_args!("device/{kind}/{number}"));
        let place = Text::of(format_args!("device/{kind}/{number}/backend"));
        let back_end = self.read(place.bytes())?;
        let state_of_back_end = Text::of(format_args!("{back_end}/state"));
        Some(Device {
            directory,
            state_of_back_end,
        })
    }

    /// Writes a node of the front end.
    pub(super) fn set(&mut self, device: &Device, name: &str, value: fmt::Arguments<'_>) {
        self.write(Self::path(device, name).bytes(), Text::of(value).bytes());
    }

    fn path(device: &Device, name: &str) -> Text {
        let directory = core::str::from_utf8(device.directory.bytes()).unwrap_or_default();
        Text::of(format_args!("{directory}/{name}"))
    }

    /// Removes nodes of the front end.
    pub(super) fn unset(&mut self, device: &Device, names: &[&str]) {
        for name in names {
            let path = Self::path(device, name);
            self.store
                .ask(MessageType::Rm, 0, &[path.bytes(), b"\0"], &mut self.answer);
        }
    }

    pub(super) fn set_state(&mut self, device: &Device, state: DeviceState) {
        self.set(device, "state", format_args!("{}", state.number()));
    }

    fn back_end(&mut self, device: &Device) -> Option<u32> {
        self.read(device.state_of_back_end.bytes())?.parse().ok()
    }

    /// Waits until the back end is in one of these states. Whether it gets there.
    pub(super) fn back_end_gets(&mut self, device: &Device, states: &[DeviceState]) -> bool {
        comes(STATE_LIMIT_MS, || {
            let state = self.back_end(device);
            let is_there = states.iter().any(|wanted| Some(wanted.number()) == state);
            if !is_there {
                sleep(LOOK_EVERY_MS);
            }
            is_there || state.is_none()
        }) && self.back_end(device).is_some()
    }

    /// Makes the back end begin anew, whatever it does. Whether it waits for a front end then.
    pub(super) fn start_over(&mut self, device: &Device) -> bool {
        use DeviceState::{Closed, Closing, InitWait, Initialising};
        if self.back_end(device) == Some(InitWait.number()) {
            self.set_state(device, Initialising);
            return true;
        }
        for (own, wanted) in [
            (Closing, &[Closing, Closed][..]),
            (Closed, &[Closed]),
            (Initialising, &[InitWait]),
        ] {
            self.set_state(device, own);
            if !self.back_end_gets(device, wanted) {
                return false;
            }
        }
        true
    }

    /// Goes through states in an order that makes no sense. That of none at all ends the device for good.
    pub(super) fn any_states(&mut self, device: &Device, chance: &mut Chance) {
        for _ in 0..4 {
            let state = 1 + chance.below(10);
            self.set(device, "state", format_args!("{state}"));
            sleep(chance.below(10));
        }
    }

    /// Tells what has been done to a device.
    pub(super) fn tell(&mut self, name: &str, done: &Done) {
        for (what, number) in [
            ("attacks", done.attacks.iter().sum()),
            (
                "ways",
                done.attacks.iter().filter(|&&n| n != 0).count() as u32,
            ),
            ("bad-connects", done.bad_connects),
            ("connects", done.connects),
            ("served", done.served),
            ("silences", done.silences),
        ] {
            let path = Text::of(format_args!("data/{name}/{what}"));
            self.write(path.bytes(), Text::of(format_args!("{number}")).bytes());
        }
    }
}
