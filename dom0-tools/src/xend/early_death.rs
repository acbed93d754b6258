//! A new guest is watched until it shows that it lives, so that who has made it is told if it dies at once.
//!
//! How long that takes depends on the machine, and on what else is done there. So the guest is judged by what it does: it
//! lives when its kernel has asked the store something, which Linux does when it has found its way around, or when it
//! stands idle. Only a kernel that does neither is given up by time, that of its processors first.

use super::Xend;
use super::lifecycle::reason_name;
use super::protocol::Fault;
use super::record::Record;
use guest_abi::domctl_domain::{DomainInfo, DomainInfoFlags};
use guest_abi::ids::{DomId, Mfn};
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

/// Processor time that a guest has used when it is no longer watched, in nanoseconds.
const MOST_USED_NS: u64 = 1_000_000_000;
/// What it may take in all, where the guest hardly runs.
const MOST: Duration = Duration::from_secs(10);
/// Who is blocked, and has used nothing, for so many looks stands idle.
const IDLE_LOOKS: u32 = 4;
const FIRST_GLANCE: Duration = Duration::from_millis(5);
const LONGEST_GLANCE: Duration = Duration::from_millis(40);
/// Lines of a dead guest's output that are shown: behind what Linux dies of it shows how it came there.
const LAST_LINES: usize = 24;

impl Xend {
    /// A domain that was just started, and whose lock the caller has, must not crash at once. What is done about it then is
    /// what its `on_crash` says.
    ///
    /// # Errors
    ///
    /// It has crashed, and its last words.
    pub(super) fn must_live(
        &self,
        record: &Record,
        domain: DomId,
        alone: MutexGuard<'_, ()>,
    ) -> Result<(), Fault> {
        let Some(info) = self.early_crash(record, domain)? else {
            return Ok(());
        };
        let end = self.begin_end(record.clone(), &info);
        drop(alone);
        if let Some(decided) = end {
            self.finish_end(record.config.uuid, domain.0, decided);
        }
        let Some(end) = self.last_end(domain) else {
            return Ok(());
        };
        Err(Fault::text(format!(
            "the guest's kernel has crashed at once{}.{}",
            end.then, end.last_words
        )))
    }

    /// How a domain is when it has crashed; `None` if it lives, or has ended in another way, which is not this call's
    /// affair.
    fn early_crash(&self, record: &Record, domain: DomId) -> Result<Option<DomainInfo>, Fault> {
        let began = Instant::now();
        let mut glance = FIRST_GLANCE;
        let (mut idle_looks, mut used_ns) = (0, 0);
        while began.elapsed() < MOST {
            let Some(info) = self.machine.domain(domain)? else {
                return Ok(None);
            };
            if let Some(reason) = info.shutdown_reason() {
                return Ok((reason_name(reason) == "crash").then_some(info));
            }
            let stands = info.flags.contains(DomainInfoFlags::BLOCKED) && info.cpu_time == used_ns;
            (idle_looks, used_ns) = (if stands { idle_looks + 1 } else { 0 }, info.cpu_time);
            let has_asked = || self.machine.has_asked_store(domain, Mfn(record.store_mfn));
            if info.flags.contains(DomainInfoFlags::DYING)
                || idle_looks == IDLE_LOOKS
                || used_ns > MOST_USED_NS
                || has_asked().unwrap_or(false)
            {
                return Ok(None);
            }
            std::thread::sleep(glance);
            glance = (glance * 2).min(LONGEST_GLANCE);
        }
        Ok(None)
    }
}

/// The last lines of a guest's output.
pub(super) fn last_lines(output: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(output);
    let mut lines: Vec<_> = text
        .lines()
        .map(|line| {
            line.trim_end_matches('\r')
                .replace(|c: char| c.is_control() && c != '\t', "?")
        })
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines.drain(..lines.len().saturating_sub(LAST_LINES));
    lines
}

/// The same, as they are shown behind a sentence.
pub(super) fn last_words(lines: &[String]) -> String {
    if lines.is_empty() {
        return " It has printed nothing.".to_owned();
    }
    let last: String = lines.iter().map(|line| format!("\n    {line}")).collect();
    format!(" Its last words:{last}")
}
