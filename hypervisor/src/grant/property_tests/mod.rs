//! Random operations of three domains that map, copy and revoke each other's grants: against a model
//! that is too plain to be wrong, and with a granter who rewrites entries between any two accesses.

use super::copy::Copier;
use super::environment::{Access, GrantDomain};
use super::test_machine::{Meddling, TestMachine, is_mappable};
use super::unmap::{self, Unmapped};
use super::*;
use guest_abi::grant_op::{
    self, CopyFlags, GrantStatus, MapFlags, MapGrantRef, UnmapAndReplace, UnmapGrantRef,
};
use guest_abi::ids::{DomId, GrantRef};
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use zerocopy::FromZeros;

mod model;

use model::{MapInfo, Model};

const DOMAINS: u16 = 3;
/// Entries that guests write; others stay empty.
const GREFS: u32 = 4;
const READING: u32 = 8;
const WRITING: u32 = 16;

#[derive(Clone, Copy, Debug)]
struct End {
    dom: u16,
    frame: u64,
    is_grant: bool,
    offset: u16,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Write {
        dom: u16,
        gref: u32,
        flags: u16,
        grantee: u16,
        frame: u32,
    },
    Revoke {
        dom: u16,
        gref: u32,
    },
    Map {
        by: u16,
        of: u16,
        gref: u32,
        flags: u32,
        at: u64,
    },
    Unmap {
        by: u16,
        handle: u32,
        at: u64,
        device: u64,
    },
    /// Of the n-th handle in use, as it was mapped if `at` says nothing else.
    UnmapRightly {
        by: u16,
        nth: usize,
        host: bool,
        device: bool,
    },
    Replace {
        by: u16,
        handle: u32,
        at: u64,
        source: u64,
    },
    Copy {
        by: u16,
        from: End,
        to: End,
        len: u16,
    },
    ClearEntry {
        by: u16,
        at: u64,
    },
}

fn address() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (1u64..5).prop_map(|page| page << 12),
        1 => Just(0u64), 1 => Just(0x1004), 1 => Just(0x1_0000)
    ]
}

fn frame() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (0u64..3, 0u64..4).prop_map(|(dom, at)| dom * 16 + at),
        1 => Just(0x99u64)
    ]
}

fn gref() -> impl Strategy<Value = u32> {
    prop_oneof![20 => 0..GREFS, 1 => Just(511u32), 1 => Just(512), 1 => Just(u32::MAX)]
}

fn end() -> impl Strategy<Value = End> {
    let dom = prop_oneof![4 => Just(DomId::SELF.0), 4 => 0..DOMAINS, 1 => Just(9u16)];
    let frame = prop_oneof![gref().prop_map(u64::from), frame()];
    let offset =
        prop_oneof![8 => Just(0u16), 1 => Just(4000), 1 => Just(4096), 1 => Just(u16::MAX)];
    (dom, frame, any::<bool>(), offset).prop_map(|(dom, frame, is_grant, offset)| End {
        dom,
        frame,
        is_grant,
        offset,
    })
}

fn op() -> impl Strategy<Value = Op> {
    let dom = || 0..DOMAINS;
    // Type, read-only, part of a frame; the hypervisor's own marks too, which a guest may scribble.
    let flags = prop_oneof![
        12 => Just(1u16), 3 => Just(5), 1 => Just(0), 1 => Just(2), 1 => Just(0x101), 1 => Just(0x19)
    ];
    let map_flags = prop_oneof![
        6 => Just(2u32), 3 => Just(6), 3 => Just(3), 2 => Just(7), 2 => Just(1), 2 => Just(5),
        1 => Just(0), 1 => Just(0x12), 1 => Just(0x16)
    ];
    let own = (dom(), 0u32..4).prop_map(|(dom, at)| (dom, u32::from(dom) * 16 + at));
    prop_oneof![
        4 => (own, 0..GREFS, flags.clone(), dom(), frame(), 0..8u8).prop_map(
            |((dom, own), gref, flags, grantee, any, choice)| Op::Write {
                dom, gref, flags, grantee, frame: if choice == 0 { any as u32 } else { own },
            }
        ),
        2 => (dom(), 0..GREFS).prop_map(|(dom, gref)| Op::Revoke { dom, gref }),
        9 => (dom(), 0..=DOMAINS, gref(), map_flags, address())
            .prop_map(|(by, of, gref, flags, at)| Op::Map { by, of, gref, flags, at }),
        3 => (dom(), 0u32..8, address(), frame())
            .prop_map(|(by, handle, at, frame)| Op::Unmap { by, handle, at, device: frame << 12 }),
        7 => (dom(), 0usize..6, any::<bool>(), any::<bool>())
            .prop_map(|(by, nth, host, device)| Op::UnmapRightly { by, nth, host, device }),
        2 => (dom(), 0u32..8, address(), address())
            .prop_map(|(by, handle, at, source)| Op::Replace { by, handle, at, source }),
        4 => (dom(), end(), end(), prop_oneof![4 => Just(96u16), 1 => Just(0), 1 => Just(4097)])
            .prop_map(|(by, from, to, len)| Op::Copy { by, from, to, len }),
        1 => (dom(), address()).prop_map(|(by, at)| Op::ClearEntry { by, at }),
    ]
}

type Status = GrantStatus;

fn result<T>(status: i16, value: T) -> Result<T, Status> {
    match Status::try_from(status).expect("a known status") {
        Status::Okay => Ok(value),
        status => Err(status),
    }
}

fn real_unmap(
    machine: &TestMachine,
    by: u16,
    handle: u32,
    at: u64,
    device: u64,
) -> Result<(), Status> {
    let mut op = UnmapGrantRef::new_zeroed();
    (op.handle, op.host_addr, op.dev_bus_addr) = (handle, at, device);
    machine.as_domain(by, |cx| {
        let mut batch = Unmapped::new();
        unmap::unmap(cx, &mut op, &mut batch);
        machine.check_reach();
        batch.complete(cx);
    });
    result(op.status, ())
}

/// Does `op` for real. `rightly` is what `UnmapRightly` means.
fn apply(machine: &TestMachine, op: Op, rightly: Option<(u32, u64, u64)>) -> String {
    match op {
        Op::Write {
            dom,
            gref,
            flags,
            grantee,
            frame,
        } => {
            machine
                .domain(dom)
                .entries
                .write(gref, flags, grantee, frame);
            String::new()
        }
        Op::Revoke { dom, gref } => format!("{}", machine.domain(dom).entries.revoke(gref)),
        Op::Map {
            by,
            of,
            gref,
            flags,
            at,
        } => {
            let mut op = MapGrantRef::new_zeroed();
            (op.dom, op.gref, op.host_addr) = (DomId(of), GrantRef(gref), at);
            op.flags = MapFlags::from_bits_retain(flags);
            machine.as_domain(by, |cx| map::map(cx, &mut op));
            format!("{:?}", result(op.status, (op.handle, op.dev_bus_addr)))
        }
        Op::Unmap {
            by,
            handle,
            at,
            device,
        } => {
            format!("{:?}", real_unmap(machine, by, handle, at, device))
        }
        Op::UnmapRightly {
            by, host, device, ..
        } => match rightly {
            Some((handle, at, address)) => {
                let (at, address) = (if host { at } else { 0 }, if device { address } else { 0 });
                format!("{:?}", real_unmap(machine, by, handle, at, address))
            }
            None => String::new(),
        },
        Op::Replace {
            by,
            handle,
            at,
            source,
        } => {
            let mut op = UnmapAndReplace::new_zeroed();
            (op.handle, op.host_addr, op.new_addr) = (handle, at, source);
            machine.as_domain(by, |cx| {
                let mut batch = Unmapped::new();
                unmap::unmap_and_replace(cx, &mut op, &mut batch);
                machine.check_reach();
                batch.complete(cx);
            });
            format!("{:?}", result(op.status, ()))
        }
        Op::Copy { by, from, to, len } => {
            let mut op = grant_op::Copy::new_zeroed();
            (op.source.domid, op.source.frame, op.source.offset) =
                (DomId(from.dom), from.frame, from.offset);
            (op.dest.domid, op.dest.frame, op.dest.offset) = (DomId(to.dom), to.frame, to.offset);
            op.len = len;
            op.flags.set(CopyFlags::SOURCE_GREF, from.is_grant);
            op.flags.set(CopyFlags::DEST_GREF, to.is_grant);
            machine.as_domain(by, |cx| {
                let mut copier = Copier::new(cx);
                copier.copy(&mut op);
                copier.finish();
            });
            format!("{:?}", result(op.status, ()))
        }
        Op::ClearEntry { by, at } => {
            machine.mapper(by).clear(at);
            String::new()
        }
    }
}

fn compare(machine: &TestMachine, model: &Model) -> Result<(), TestCaseError> {
    for (id, model) in (0u16..).zip(&model.0) {
        let domain = machine.domain(id);
        for gref in 0..GREFS {
            prop_assert_eq!(
                domain.entries.head(gref),
                model.entries[gref as usize].0,
                "entry {}",
                gref
            );
            let usage = domain
                .grants()
                .usage(GrantRef(gref))
                .map(|(grantee, frame, pins)| {
                    let counts = [
                        pins.host_read,
                        pins.host_write,
                        pins.device_read,
                        pins.device_write,
                    ];
                    (grantee.0, frame.0, counts.map(u32::from))
                });
            let expected = model
                .uses
                .get(&gref)
                .map(|it| (it.grantee, it.frame, it.counts));
            prop_assert_eq!(usage, expected, "uses of {}", gref);
        }
        let mut handles = BTreeMap::new();
        domain.grants().for_each_mapping(|number, mapping| {
            let info = MapInfo {
                of: mapping.granter.0,
                gref: mapping.gref.0,
                write: mapping.access == Access::Write,
                host: mapping.has_host,
                device: mapping.has_device,
                by_entry: mapping.is_by_entry,
            };
            handles.insert(number.0, info);
        });
        prop_assert_eq!(&handles, &model.handles);
        let present: BTreeMap<u64, (u64, bool)> =
            machine.mappers[usize::from(id)].tables.with(|tables| {
                let plain = |(at, (frame, access)): (&u64, &(_, _))| {
                    let frame: &guest_abi::ids::Mfn = frame;
                    (*at, (frame.0, *access == Access::Write))
                };
                tables.present.iter().map(plain).collect()
            });
        prop_assert_eq!(&present, &model.present);
    }
    Ok(())
}

fn machine() -> TestMachine {
    TestMachine::new(DOMAINS, 1, 1)
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: crate::test_cases::cases(24),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn meddling() -> impl Strategy<Value = Vec<Meddling>> {
    let head = (
        prop_oneof![6 => Just(1u32), 2 => Just(5), 2 => 0u32..32, 1 => Just(0)],
        0u32..3,
    )
        .prop_map(|(flags, grantee)| Meddling::Head(flags | grantee << 16));
    let one = prop_oneof![
        2 => Just(Meddling::Nothing),
        2 => head,
        1 => frame().prop_map(|frame| Meddling::Frame(frame as u32)),
    ];
    proptest::collection::vec(one, 0..8)
}

/// What a refused operation must not have changed, the guest's own entries apart.
fn books(machine: &TestMachine) -> impl PartialEq + core::fmt::Debug {
    let domains: Vec<_> = (0..DOMAINS)
        .map(|id| {
            let grants = machine.domain(id).grants();
            let usage: Vec<_> = (0..GREFS)
                .map(|gref| grants.usage(GrantRef(gref)))
                .collect();
            let mut handles = Vec::new();
            grants.for_each_mapping(|number, mapping| handles.push((number, mapping)));
            let tables = &machine.mappers[usize::from(id)].tables;
            (usage, handles, tables.with(|tables| tables.present.clone()))
        })
        .collect();
    (domains, machine.frames.frames.with(|frames| frames.clone()))
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn three_domains_agree_with_the_model(ops in proptest::collection::vec(op(), 1..200)) {
        let machine = machine();
        let mut model = Model::new();
        for op in ops {
            let rightly = match op {
                Op::UnmapRightly { by, nth, .. } => model.nth(by, nth),
                _ => None,
            };
            let expected = model.apply(op);
            prop_assert_eq!(apply(&machine, op, rightly), expected, "{:?}", op);
            compare(&machine, &model)?;
            machine.check();
        }
    }

    #[test]
    fn entries_rewritten_between_any_two_accesses_break_no_invariant(
        ops in proptest::collection::vec((op(), meddling()), 1..200)
    ) {
        let machine = machine();
        for (op, meddling) in ops {
            for domain in &machine.domains.0 {
                let mut queue = domain.entries.meddling.lock();
                queue.clear();
                queue.extend(meddling.iter().copied());
            }
            let before = books(&machine);
            let rightly = match op {
                Op::UnmapRightly { by, nth, .. } => rightly(&machine, by, nth),
                _ => None,
            };
            let outcome = apply(&machine, op, rightly);
            machine.check();
            if outcome.starts_with("Err") {
                prop_assert_eq!(books(&machine), before, "I7: {:?} was refused with {}", op, outcome);
            }
        }
        // The end of all domains leaves nothing behind.
        for id in 0..DOMAINS {
            let addresses: Vec<u64> =
                machine.mappers[usize::from(id)].tables.with(|t| t.present.keys().copied().collect());
            addresses.into_iter().for_each(|at| machine.mapper(id).clear(at));
            let end = release_all(&machine.domains, machine.domain(id), &machine.frames, Handle(0), || false);
            prop_assert_eq!(end, Released::Done);
            machine.check();
        }
        for id in 0..DOMAINS {
            prop_assert!(!machine.domain(id).grants().is_in_use());
            for gref in 0..512 {
                prop_assert_eq!(machine.domain(id).grants().usage(GrantRef(gref)), None);
            }
        }
        machine.frames.frames.with(|frames| assert!(frames.values().all(|frame| frame.references == 0)));
    }
}

/// The n-th handle in use and how it was mapped, as far as that can be told.
fn rightly(machine: &TestMachine, by: u16, nth: usize) -> Option<(u32, u64, u64)> {
    let mut all = Vec::new();
    machine
        .domain(by)
        .grants()
        .for_each_mapping(|number, mapping| all.push((number, mapping)));
    let (number, mapping) = *all.get(nth)?;
    let (_, frame, _) = machine
        .domain(mapping.granter.0)
        .grants()
        .usage(mapping.gref)?;
    let at = machine.mappers[usize::from(by)].tables.with(|tables| {
        let is_it = |it: &(&u64, &(_, Access))| *it.1 == (frame, mapping.access);
        tables.present.iter().find(is_it).map_or(0, |(at, _)| *at)
    });
    Some((number.0, at, frame.address()))
}
