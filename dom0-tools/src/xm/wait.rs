//! `shutdown` and `reboot`, and waiting for them.

use super::arguments::Arguments;
use super::domain::views;
use super::failure::Failure;
use super::run::Session;
use crate::xend::protocol::Request;
use crate::xend::view::DomainView;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Between two looks.
const GLANCE: Duration = Duration::from_millis(if cfg!(test) { 5 } else { 1000 });
/// How long a domain that reboots may be away.
const AWAY: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 30_000 });

/// Which of the two was typed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `shutdown`.
    Shutdown,
    /// `reboot`.
    Reboot,
}

pub(super) fn shutdown(
    arguments: &Arguments,
    kind: Kind,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let is_reboot = kind == Kind::Reboot || arguments.has("reboot");
    let reason = match (arguments.has("halt"), is_reboot) {
        (true, true) => {
            return Err(Failure::with_usage("Can't specify halt and reboot"));
        }
        (true, false) => "halt",
        (false, true) => "reboot",
        (false, false) => "poweroff",
    };
    let chosen: Vec<DomainView> = if arguments.has("all") {
        if !arguments.words.is_empty() {
            return Err(Failure::with_usage("No multiple domain parameters allowed"));
        }
        let mut all = views(&[], session)?;
        all.retain(|view| view.domid.is_some_and(|domid| domid != 0));
        all
    } else {
        match arguments.words.as_slice() {
            [] => return Err(Failure::with_usage("No domain parameter given")),
            [domain] => views(std::slice::from_ref(domain), session)?,
            _ => return Err(Failure::with_usage("No multiple domain parameters allowed")),
        }
    };
    for view in &chosen {
        // By number: a domain that has another name by now is the same.
        let request = Request::Shutdown {
            domain: view.key(),
            reason: reason.to_owned(),
        };
        session.ask(&request)?;
    }
    if !arguments.has("wait") {
        return Ok(());
    }
    if is_reboot {
        wait_for_reboots(chosen, session)
    } else {
        wait_for_ends(chosen, session)
    }
}

/// What a bar says while these are waited for.
fn waited_for(views: &[DomainView]) -> String {
    match views {
        [view] => format!("Waiting for {}", view.name),
        views => format!("Waiting for {} domains", views.len()),
    }
}

fn wait_for_ends(mut waited: Vec<DomainView>, session: &mut Session<'_>) -> Result<(), Failure> {
    let mut bar = None;
    loop {
        let all = views(&[], session)?;
        let (there, gone): (Vec<_>, Vec<_>) = waited.into_iter().partition(|view| {
            all.iter()
                .any(|other| other.domid == view.domid && other.uuid == view.uuid)
        });
        if !gone.is_empty() || there.is_empty() {
            bar = None;
        }
        for view in gone {
            // The hypervisor has let it go; its disks may still be closed.
            let uuid = view.uuid.clone();
            session.ask(&Request::AwaitCleanUp { uuid })?;
            session.print(&format!("Domain {} terminated\n", view.name));
        }
        if there.is_empty() {
            session.print("All domains terminated\n");
            return Ok(());
        }
        waited = there;
        if bar.is_none() {
            bar = session.progress.begin(&waited_for(&waited), None);
        }
        std::thread::sleep(GLANCE);
    }
}

/// It is counted, listed and has a number before it has devices and a console.
fn is_built_anew(before: &DomainView, now: &DomainView) -> bool {
    now.restart_count > before.restart_count && now.config.is_some()
}

fn wait_for_reboots(mut waited: Vec<DomainView>, session: &mut Session<'_>) -> Result<(), Failure> {
    let mut away_since: BTreeMap<String, Instant> = BTreeMap::new();
    let (mut bar, mut has_failed) = (None, false);
    while !waited.is_empty() {
        let all = views(&[], session)?;
        let now = Instant::now();
        let mut said = Vec::new();
        waited.retain(|view| {
            let found = all.iter().find(|other| other.uuid == view.uuid);
            let done = match found {
                Some(other) if is_built_anew(view, other) => "rebooted",
                Some(_) => {
                    away_since.remove(&view.uuid);
                    return true;
                }
                None => {
                    let since = away_since.entry(view.uuid.clone()).or_insert(now);
                    if now.duration_since(*since) <= AWAY {
                        return true;
                    }
                    has_failed = true;
                    "destroyed for failing to reboot"
                }
            };
            said.push(format!("Domain {} {done}\n", view.name));
            false
        });
        if !said.is_empty() {
            bar = None;
            session.print(&said.concat());
        }
        if !waited.is_empty() {
            if bar.is_none() {
                bar = session.progress.begin(&waited_for(&waited), None);
            }
            std::thread::sleep(GLANCE);
        }
    }
    drop(bar);
    if has_failed {
        return Err(Failure::Quiet);
    }
    session.print("All domains rebooted\n");
    Ok(())
}
