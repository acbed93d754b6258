//! How domains have ended, told to who has watched one until then.

use super::Xend;
use super::create::now;
use super::early_death::{last_lines, last_words};
use super::lifecycle::{Decision, Dump, reason_name};
use super::protocol::{Fault, Response};
use super::record::{Phase, Record};
use super::view::EndView;
use guest_abi::domctl_domain::{DomainInfo, DomainInfoFlags};
use guest_abi::ids::{DomId, Mfn};
use std::collections::VecDeque;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

/// So many ends are remembered: who asks does so at once.
const REMEMBERED: usize = 32;
/// Between two looks at an end that somebody else sees to.
const GLANCE: Duration = Duration::from_millis(20);

/// An end, and whether all is done about it.
struct End {
    domid: u16,
    view: EndView,
    is_seen_to: bool,
}

/// The last ends, the newest first.
#[derive(Default)]
pub(super) struct Ends(VecDeque<End>);

impl Ends {
    fn note(&mut self, domid: u16, view: EndView) {
        self.0.truncate(REMEMBERED - 1);
        self.0.push_front(End {
            domid,
            view,
            is_seen_to: false,
        });
    }

    fn of(&mut self, domid: u16) -> Option<&mut End> {
        self.0.iter_mut().find(|end| end.domid == domid)
    }
}

/// What becomes of a domain, as it is told.
fn what_becomes(record: &Record, decision: Decision, dump: Dump) -> String {
    let config = &record.config;
    let action = match decision {
        Decision::Destroy | Decision::RefuseToRestart | Decision::Leave => "",
        Decision::Restart => "; it is started again",
        Decision::RenameAndRestart => "; it is kept under another name, and started again",
        Decision::Preserve => {
            return format!(
                "; it is kept, as on_crash = {} says, until 'xm destroy {}'",
                config.on_crash.name(),
                config.name
            );
        }
    };
    match dump {
        Dump::First => format!("{action}; a core is to be written"),
        Dump::Without => action.to_owned(),
    }
}

impl Xend {
    /// Remembers how a domain has ended, which is still there as it was then, before anything is done about it.
    pub(super) fn note_end(
        &self,
        record: &Record,
        info: &DomainInfo,
        reason: u8,
        decision: Decision,
        dump: Dump,
    ) {
        let output = match reason_name(reason) {
            "crash" => self
                .machine
                .last_output(info.domain, Mfn(record.console_mfn)),
            _ => Ok(Vec::new()),
        };
        let lines = last_lines(&output.unwrap_or_default());
        // Who looks at no console finds them here.
        for line in &lines {
            log::info!("{}: it said: {line}", record.config.name);
        }
        let view = EndView {
            reason: reason_name(reason).to_owned(),
            seconds: (now() - record.start_time).max(0.0),
            then: what_becomes(record, decision, dump),
            last_words: last_words(&lines),
        };
        self.ends().note(info.domain.0, view);
    }

    /// How a domain has ended, if it has.
    pub(super) fn last_end(&self, domain: DomId) -> Option<EndView> {
        self.ends().of(domain.0).map(|end| end.view.clone())
    }

    /// The core of a domain that has ended is written, or is not.
    pub(super) fn core_is_written(&self, domain: DomId, name: &str, written: Result<(), Fault>) {
        let told = match written {
            Ok(()) => format!("its core is in {}", self.places.dumps.join(name).display()),
            Err(fault) => format!("no core is written: {fault}"),
        };
        if let Some(end) = self.ends().of(domain.0) {
            end.view.then = end.view.then.replace("a core is to be written", &told);
        }
    }

    /// All is done about the end of a domain.
    pub(super) fn end_is_seen_to(&self, domain: DomId) {
        if let Some(end) = self.ends().of(domain.0) {
            end.is_seen_to = true;
        }
    }

    /// How a domain has ended, once all is done about it; whoever comes first does it.
    pub(super) fn how_ended(&self, domid: u16) -> Result<Response, Fault> {
        loop {
            let mut records = self.table.all().into_iter();
            let record = records.find(|record| record.domid == Some(domid));
            let end = self
                .ends()
                .of(domid)
                .map(|end| (end.view.clone(), end.is_seen_to));
            let record = match (end, record) {
                (Some((view, true)), _) | (Some((view, false)), None) => {
                    return Ok(Response::Ended(Some(view)));
                }
                (_, Some(record)) if self.is_to_be_seen_to(&record, domid)? => record,
                // It runs, or somebody has destroyed it.
                _ => return Ok(Response::Ended(None)),
            };
            self.see_to_end(record.config.uuid, domid);
            if !self.ends().of(domid).is_some_and(|end| end.is_seen_to) {
                std::thread::sleep(GLANCE);
            }
        }
    }

    /// Whether a domain has ended, and something is done about that.
    fn is_to_be_seen_to(&self, record: &Record, domid: u16) -> Result<bool, Fault> {
        if !matches!(record.phase, Phase::Running | Phase::Dumping) {
            return Ok(false);
        }
        let Some(info) = self.machine.domain(DomId(domid))? else {
            return Ok(true);
        };
        Ok(match info.shutdown_reason() {
            Some(reason) => reason_name(reason) != "suspend",
            None => info.flags.contains(DomainInfoFlags::DYING),
        })
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        // Every change is one step.
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
