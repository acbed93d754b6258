//! Grant-table calls of three domains, read from bytes: the fuzzer's way into this room.
//!
//! The arguments are arrays in the callers' memory, which anybody changes between two calls and between the parts of
//! an interrupted one; shared entries change before any access to them. An element is read once in its turn, and
//! written once. After each part of a call all invariants of this room hold, and at the end of all domains
//! nothing is in use and no frame referenced.

use super::environment::GrantDomain;
use super::test_machine::{BoundMapper, Meddling, TestDomains, TestFrames, TestMachine};
use super::*;
use crate::call_bytes;
use core::cell::{Cell, RefCell};
use guest_abi::grant_op::{
    Copy as CopyOp, CopyFlags, CopyPtr, MapFlags, MapGrantRef, UnmapAndReplace, UnmapGrantRef,
};
use guest_abi::ids::{DomId, GrantRef, Mfn};
use std::collections::VecDeque;
use std::vec::Vec;
use zerocopy::FromZeros;

const DOMAINS: u16 = 3;
/// Entries that guests write; others stay empty.
const GREFS: u32 = 4;
/// Calls of one run at the most: what more bytes would say takes time and finds little.
const MAX_CALLS: usize = 300;
/// Elements of an array at the most: more than one flush serves.
const MAX_ELEMENTS: u8 = 40;

type Cx<'a> = Context<'a, TestDomains, TestFrames, BoundMapper<'a>>;

/// What calls of this room are made of.
struct Grants;

type Bytes<'b> = call_bytes::Bytes<'b, Grants>;

impl Bytes<'_> {
    fn domain(&mut self) -> u16 {
        u16::from(self.below(DOMAINS as u8))
    }

    /// One of the domains, or a number that is none of them.
    fn any_domain(&mut self) -> DomId {
        match self.byte() {
            byte @ 0..200 => DomId(u16::from(byte) % DOMAINS),
            byte @ 200..240 => {
                if byte & 1 == 0 {
                    DomId::SELF
                } else {
                    DomId(9)
                }
            }
            byte => DomId(u16::from(byte) << 8 | u16::from(byte)),
        }
    }

    /// A frame of some domain, or none at all.
    fn frame(&mut self) -> u64 {
        let byte = u64::from(self.byte());
        byte % 4 + byte / 4 % 4 * 16
    }

    fn gref(&mut self) -> GrantRef {
        GrantRef(match self.byte() {
            byte @ 0..230 => u32::from(byte) % GREFS,
            byte @ 230..250 => 510 + u32::from(byte) % 4,
            byte => u32::MAX << (u32::from(byte) % 32),
        })
    }

    /// An address at which something can be mapped, or not.
    fn address(&mut self) -> u64 {
        match self.byte() {
            byte @ 0..220 => (1 + u64::from(byte) % 6) << 12,
            byte @ 220..240 => u64::from(byte) % 4 * 4,
            byte => u64::MAX << (byte % 64),
        }
    }

    fn handle(&mut self) -> u32 {
        match self.byte() {
            byte @ 0..240 => u32::from(byte) % 48,
            byte => u32::MAX - u32::from(byte % 2),
        }
    }

    /// The flags and the grantee of an entry.
    fn head(&mut self) -> u32 {
        const FLAGS: [u16; 8] = [1, 1, 1, 5, 0x19, 0x101, 2, 0];
        let byte = self.byte();
        u32::from(FLAGS[usize::from(byte % 8)]) | u32::from(byte / 8 % 4) << 16
    }

    fn meddling(&mut self) -> Meddling {
        match self.byte() % 4 {
            0 => Meddling::Head(self.head()),
            1 => Meddling::Frame(self.frame() as u32),
            _ => Meddling::Nothing,
        }
    }
}

/// An array in a caller's memory, with all that was done to it in a part of a call.
struct Array<'m, T> {
    elements: &'m RefCell<Vec<T>>,
    /// The part begins with this element.
    from: u32,
    /// No access from this element on succeeds.
    end: u32,
    /// Elements read and written, each counted from the start of the part.
    read: Cell<u32>,
    written: Cell<u32>,
}

impl<T: Copy> OpArray<T> for Array<'_, T> {
    fn read(&self, index: u32) -> Result<T, Fault> {
        assert_eq!(index, self.read.get(), "elements are read once, in order");
        assert_eq!(index, self.written.get(), "the one before is written");
        let at = index + self.from;
        if at >= self.end {
            return Err(Fault);
        }
        self.read.set(index + 1);
        Ok(self.elements.borrow()[at as usize])
    }

    fn write(&self, index: u32, element: &T) -> Result<(), Fault> {
        assert_eq!(index, self.written.get(), "what was read is written, once");
        assert_eq!(index + 1, self.read.get());
        self.written.set(index + 1);
        self.elements.borrow_mut()[(index + self.from) as usize] = *element;
        Ok(())
    }
}

/// Makes the calls that `bytes` say.
///
/// # Panics
/// A rule is broken.
pub fn run(bytes: &[u8]) {
    let machine = TestMachine::new(DOMAINS, 2, 1);
    let mut bytes = Bytes::new(bytes, Grants);
    for _ in 0..MAX_CALLS {
        if bytes.is_empty() {
            break;
        }
        call(&machine, &mut bytes);
        machine.check();
    }
    end(&machine);
}

fn call(machine: &TestMachine, bytes: &mut Bytes<'_>) {
    let by = bytes.domain();
    match bytes.byte() % 16 {
        0..3 => write_entry(machine, by, bytes),
        3 => {
            machine.domain(by).entries.revoke(u32::from(bytes.below(4)));
        }
        4..8 => array(
            machine,
            by,
            bytes,
            map_element,
            |cx, ops, first, count, stop| map_all(cx, ops, first, count, stop),
        ),
        8..11 => array(
            machine,
            by,
            bytes,
            unmap_element,
            |cx, ops, first, count, stop| unmap_all(cx, ops, first, count, stop),
        ),
        11 => array(
            machine,
            by,
            bytes,
            replace_element,
            |cx, ops, first, count, stop| unmap_and_replace_all(cx, ops, first, count, stop),
        ),
        12 | 13 => array(
            machine,
            by,
            bytes,
            copy_element,
            |cx, ops, first, count, stop| copy_all(cx, ops, first, count, stop),
        ),
        14 => machine.mapper(by).clear(bytes.address()),
        _ => {
            let domain = machine.domain(by);
            let _ = domain.grants().set_up(domain, u32::from(bytes.below(5)));
        }
    }
}

fn write_entry(machine: &TestMachine, by: u16, bytes: &mut Bytes<'_>) {
    let gref = u32::from(bytes.byte()) % GREFS;
    let head = bytes.head();
    // Mostly a frame of its own.
    let frame = match bytes.byte() {
        byte @ 0..200 => u32::from(byte) % 4 + u32::from(by) * 16,
        _ => bytes.frame() as u32,
    };
    let entries = &machine.domain(by).entries;
    entries.write(gref, head as u16, (head >> 16) as u16, frame);
}

fn map_element(_: &TestMachine, _: u16, bytes: &mut Bytes<'_>) -> MapGrantRef {
    const FLAGS: [u32; 8] = [2, 2, 6, 3, 7, 1, 0x12, 0];
    let mut op = MapGrantRef::new_zeroed();
    let byte = bytes.byte();
    let flags = FLAGS[usize::from(byte % 8)] | u32::from(byte >> 5) << 16;
    op.flags = MapFlags::from_bits_retain(flags);
    op.dom = bytes.any_domain();
    op.gref = bytes.gref();
    op.host_addr = bytes.address();
    op
}

/// A handle in use with what it was mapped by, as far as that can be told; or something made up.
fn mapping(machine: &TestMachine, by: u16, bytes: &mut Bytes<'_>) -> (u32, u64, u64) {
    let byte = bytes.byte();
    let made_up = |bytes: &mut Bytes<'_>| {
        let frame = Mfn(bytes.frame());
        (bytes.handle(), bytes.address(), frame.address())
    };
    if byte & 7 == 0 {
        return made_up(bytes);
    }
    let mut all = Vec::new();
    let grants = machine.domain(by).grants();
    grants.for_each_mapping(|number, mapping| all.push((number, mapping)));
    let Some(&(number, mapping)) = all.get(usize::from(byte >> 3) % all.len().max(1)) else {
        return made_up(bytes);
    };
    let granter = machine.domain(mapping.granter.0).grants();
    let Some((_, frame, _)) = granter.usage(mapping.gref) else {
        return made_up(bytes);
    };
    let tables = &machine.mappers[usize::from(by)].tables;
    let at = tables.with(|tables| {
        let mut present = tables.present.iter();
        present
            .find(|(_, held)| **held == (frame, mapping.access))
            .map_or(0, |(at, _)| *at)
    });
    (number.0, at, frame.address())
}

fn unmap_element(machine: &TestMachine, by: u16, bytes: &mut Bytes<'_>) -> UnmapGrantRef {
    let mut op = UnmapGrantRef::new_zeroed();
    let (handle, host_addr, dev_bus_addr) = mapping(machine, by, bytes);
    let which = bytes.byte();
    op.handle = handle;
    op.host_addr = if which & 3 != 0 { host_addr } else { 0 };
    op.dev_bus_addr = if which & 4 != 0 { dev_bus_addr } else { 0 };
    op
}

fn replace_element(machine: &TestMachine, by: u16, bytes: &mut Bytes<'_>) -> UnmapAndReplace {
    let mut op = UnmapAndReplace::new_zeroed();
    (op.handle, op.host_addr, _) = mapping(machine, by, bytes);
    op.new_addr = bytes.address();
    op
}

fn copy_element(_: &TestMachine, _: u16, bytes: &mut Bytes<'_>) -> CopyOp {
    fn end(bytes: &mut Bytes<'_>, is_grant: bool) -> CopyPtr {
        let mut end = CopyPtr::new_zeroed();
        end.domid = match is_grant {
            true => bytes.any_domain(),
            false => DomId::SELF,
        };
        end.frame = match is_grant {
            true => u64::from(bytes.gref().0),
            false => bytes.frame(),
        };
        end.offset = match bytes.byte() {
            byte @ 0..128 => u16::from(byte) * 8,
            byte => 4096 - u16::from(byte % 4),
        };
        end
    }
    let mut op = CopyOp::new_zeroed();
    let which = bytes.byte();
    op.flags.set(CopyFlags::SOURCE_GREF, which & 1 != 0);
    op.flags.set(CopyFlags::DEST_GREF, which & 2 != 0);
    op.source = end(bytes, which & 1 != 0);
    op.dest = end(bytes, which & 2 != 0);
    // One end of another's by its number.
    if which & 0xf0 == 0xf0 {
        op.source.domid = bytes.any_domain();
    }
    op.len = match bytes.byte() {
        byte @ 0..200 => u16::from(byte),
        byte => 4096 - u16::from(byte % 3) + 1,
    };
    op
}

/// A call with an array, begun and gone on with until it is through.
fn array<T: Copy>(
    machine: &TestMachine,
    by: u16,
    bytes: &mut Bytes<'_>,
    element: impl Fn(&TestMachine, u16, &mut Bytes<'_>) -> T,
    work: impl Fn(Cx<'_>, &Array<'_, T>, u32, u32, &mut dyn FnMut() -> bool) -> Progress,
) {
    let count = u32::from(1 + bytes.below(8) * bytes.below(MAX_ELEMENTS / 8 + 1));
    let elements: Vec<T> = (0..count).map(|_| element(machine, by, bytes)).collect();
    let elements = RefCell::new(elements);
    let end = match bytes.byte() {
        byte @ 0..230 => count + u32::from(byte == 0),
        byte => u32::from(byte) % count,
    };
    let mut from = 0;
    while from < count {
        meddle(machine, bytes);
        let array = Array {
            elements: &elements,
            from,
            end,
            read: Cell::new(0),
            written: Cell::new(0),
        };
        let mut questions = u32::from(bytes.byte());
        let mut should_stop = || {
            questions /= 2;
            questions & 1 != 0
        };
        let progress =
            machine.as_domain(by, |cx| work(cx, &array, 0, count - from, &mut should_stop));
        machine.check();
        assert_eq!(array.read.get(), array.written.get());
        from += match progress {
            Progress::Done => {
                assert_eq!(array.written.get(), count - from);
                return;
            }
            Progress::Fault(at) => {
                assert!(at + from >= end);
                return;
            }
            Progress::At(next) => {
                assert_eq!(array.written.get(), next);
                next
            }
        };
        // Whatever the callers' other vCPUs do to what is not done yet.
        let at = from as usize + usize::from(bytes.below(4));
        let changed = element(machine, by, bytes);
        if let Some(place) = elements.borrow_mut().get_mut(at) {
            *place = changed;
        }
    }
}

/// Lets each guest change its entries just before the next accesses to them.
fn meddle(machine: &TestMachine, bytes: &mut Bytes<'_>) {
    if bytes.byte() & 3 != 0 {
        return;
    }
    for domain in &machine.domains.0 {
        let count = bytes.below(6);
        let queue: VecDeque<_> = (0..count).map(|_| bytes.meddling()).collect();
        *domain.entries.meddling.lock() = queue;
    }
}

/// The end of all domains leaves nothing behind.
fn end(machine: &TestMachine) {
    for id in 0..DOMAINS {
        let tables = &machine.mappers[usize::from(id)].tables;
        let addresses: Vec<u64> = tables.with(|tables| tables.present.keys().copied().collect());
        for at in addresses {
            machine.mapper(id).clear(at);
        }
        let mut from = Handle(0);
        let domain = machine.domain(id);
        while let Released::At(next) =
            release_all(&machine.domains, domain, &machine.frames, from, || true)
        {
            assert!(next > from);
            from = next;
        }
        machine.check();
    }
    for id in 0..DOMAINS {
        assert!(!machine.domain(id).grants().is_in_use());
    }
    machine
        .frames
        .frames
        .with(|frames| assert!(frames.values().all(|frame| frame.references == 0)));
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::run;
    use crate::made_up_bytes::made_up_bytes;

    #[test]
    fn calls_read_from_made_up_bytes_break_no_rule() {
        for bytes in made_up_bytes(60, 3000) {
            run(&bytes);
        }
    }
}
