//! The life of domains, over a hypervisor and a store that refuse at any step.

mod crashes;
mod ends;
mod making;

use super::Xend;
use super::create::Start;
use super::protocol::{Fault, Request, Response};
use super::server::answer;
use super::testing::{World, config};

fn create(xend: &Xend, name: &str) -> Result<u16, Fault> {
    match xend.create(config(name), Start::Running)? {
        Response::Created { domid, .. } => Ok(domid),
        other => panic!("{other:?}"),
    }
}

/// As if the domain had been running for a long time.
fn age(xend: &Xend) {
    for mut record in xend.table.all() {
        record.start_time -= 3600.0;
        xend.table.put(&record);
    }
}

fn end(world: &World, xend: &Xend, domid: u16, reason: u32) {
    world.state().end(domid, reason);
    let uuid = xend
        .table
        .all()
        .into_iter()
        .find(|record| record.domid == Some(domid))
        .unwrap()
        .config
        .uuid;
    xend.see_to_end(uuid, domid);
}

/// The only domain, which is `etch`, is destroyed, and nothing of it is left.
fn is_destroyed(world: &World, xend: &Xend) {
    let domain = "etch".into();
    assert_eq!(answer(xend, Request::Destroy { domain }), Response::Done);
    is_nothing_left(world, xend);
}

fn is_nothing_left(world: &World, xend: &Xend) {
    let state = world.state();
    assert!(state.domains.is_empty(), "{:?}", state.domains);
    assert!(state.nodes.is_empty(), "{:?}", state.nodes);
    assert!(state.introduced.is_empty());
    assert!(xend.table.all().is_empty());
}
