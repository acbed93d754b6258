//! Pools of processors: there is one, which holds all.

use super::arguments::Arguments;
use super::domain;
use super::failure::Failure;
use super::host::unexpected;
use super::pool_output::{PoolRow, cpupool_cpus, cpupool_list, cpupool_long};
use super::run::{Session, expect};
use crate::xend::protocol::{Request, Response};

const POOL: &str = "Pool-0";

/// `xm cpupool-list`.
pub(super) fn list(arguments: &Arguments, session: &mut Session<'_>) -> Result<(), Failure> {
    expect("cpupool-list", arguments, 0, 1)?;
    if let Some(name) = arguments.words.iter().find(|name| *name != POOL) {
        return Err(Failure::error(format!("Pool '{name}' does not exist.")));
    }
    let Response::Host(host) = session.ask(&Request::Host)? else {
        return Err(unexpected());
    };
    let running = domain::views(&[], session)?;
    let running = running.iter().filter(|view| view.domid.is_some()).count();
    let rows = [PoolRow {
        name: POOL.into(),
        cpus: (0..).take(host.cpu_topology.len()).collect(),
        scheduler: "credit".into(),
        is_active: true,
        domains: u32::try_from(running).unwrap_or(u32::MAX),
    }];
    if arguments.has("json") {
        session.print_json(&rows);
    } else if arguments.has("long") {
        session.print(&cpupool_long(&rows));
    } else if arguments.has("cpus") {
        session.print(&cpupool_cpus(&rows));
    } else {
        session.print(&cpupool_list(&rows));
    }
    Ok(())
}
