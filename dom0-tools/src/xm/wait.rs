//! `shutdown` and `reboot`, and waiting for them.

use super::arguments::Arguments;
use super::domain::views;
use super::failure::Failure;
use super::run::Session;
use crate::xend::protocol::Request;
use crate::xend::view::DomainView;
use std::time::{Duration, Instant};

/// Between two looks.
const GLANCE: Duration = Duration::from_secs(1);
/// How long a domain that reboots may be away.
const AWAY: Duration = Duration::from_secs(30);

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
        all.retain(|view| view.domid != 0);
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
            domain: view.domid.to_string(),
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

fn wait_for_ends(mut waited: Vec<DomainView>, session: &mut Session<'_>) -> Result<(), Failure> {
    loop {
        let all = views(&[], session)?;
        let (there, gone): (Vec<_>, Vec<_>) = waited.into_iter().partition(|view| {
            all.iter()
                .any(|other| other.domid == view.domid && other.uuid == view.uuid)
        });
        for view in gone {
            session.print(&format!("Domain {} terminated\n", view.name));
        }
        if there.is_empty() {
            session.print("All domains terminated\n");
            return Ok(());
        }
        waited = there;
        std::thread::sleep(GLANCE);
    }
}

fn wait_for_reboots(waited: Vec<DomainView>, session: &mut Session<'_>) -> Result<(), Failure> {
    let mut waited: Vec<_> = waited.into_iter().map(|view| (view, None)).collect();
    while !waited.is_empty() {
        let all = views(&[], session)?;
        let now = Instant::now();
        waited.retain_mut(|(view, away_since): &mut (DomainView, Option<Instant>)| {
            let found = all.iter().find(|other| other.uuid == view.uuid);
            match found {
                Some(other) if other.restart_count > view.restart_count => {
                    session.print(&format!("Domain {} rebooted\n", view.name));
                    false
                }
                Some(_) => {
                    *away_since = None;
                    true
                }
                None if now.duration_since(*away_since.get_or_insert(now)) > AWAY => {
                    session.print(&format!(
                        "Domain {} destroyed for failing to reboot\n",
                        view.name
                    ));
                    false
                }
                None => true,
            }
        });
        if !waited.is_empty() {
            std::thread::sleep(GLANCE);
        }
    }
    session.print("All domains rebooted\n");
    Ok(())
}
