//! Many cases, as many at a time as there are processors.

use crate::iso::{Isos, Recipe};
use crate::machine::{Machine, Medium};
use crate::qemu::Qemu;
use crate::run::Run;
use crate::verdict::Verdict;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

type Judge = dyn Fn(&Context<'_>) -> Verdict + Send + Sync;

/// One thing to find out.
pub struct Case {
    /// Its name, `group/what-is-special`, by which it is asked for and its log is called.
    pub name: String,
    judge: Box<Judge>,
    is_idle: bool,
}

impl Case {
    /// A case of this name that `judge` decides.
    pub fn new(
        name: impl Into<String>,
        judge: impl Fn(&Context<'_>) -> Verdict + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            judge: Box::new(judge),
            is_idle: false,
        }
    }

    /// The same, whose machine is idle for most of its time: such cases run beside those that compute.
    #[must_use]
    pub fn idle(self) -> Self {
        Self {
            is_idle: true,
            ..self
        }
    }
}

/// What a case finds around it.
pub struct Context<'a> {
    name: &'a str,
    log_directory: &'a Path,
    isos: &'a Isos,
    nr_runs: AtomicUsize,
}

impl Context<'_> {
    /// Boots what `recipe` says on `machine`. Whatever prevents it is the verdict.
    pub fn boot(&self, qemu: &Qemu, machine: &Machine, recipe: &Recipe) -> Result<Run, Verdict> {
        let iso = self.isos.get(recipe).map_err(Verdict::NoVerdict)?;
        self.boot_from(qemu, machine, &Medium::Disc(iso))
    }

    /// The ISO for `recipe`. Whatever prevents it is the verdict.
    pub fn iso(&self, recipe: &Recipe) -> Result<PathBuf, Verdict> {
        self.isos.get(recipe).map_err(Verdict::NoVerdict)
    }

    /// Boots `machine` from `medium`. Whatever prevents it is the verdict.
    pub fn boot_from(
        &self,
        qemu: &Qemu,
        machine: &Machine,
        medium: &Medium,
    ) -> Result<Run, Verdict> {
        Run::start(qemu, machine, medium, &self.next_log())
            .map_err(|error| Verdict::NoVerdict(format!("QEMU does not start: {error}")))
    }

    /// Starts a command that starts QEMU. Whatever prevents it is the verdict.
    pub fn spawn(&self, command: Command) -> Result<Run, Verdict> {
        Run::spawn(command, &self.next_log())
            .map_err(|error| Verdict::NoVerdict(format!("the command does not start: {error}")))
    }

    fn next_log(&self) -> PathBuf {
        let again = match self.nr_runs.fetch_add(1, Ordering::Relaxed) {
            0 => String::new(),
            count => format!("-run{}", count + 1),
        };
        self.log_directory
            .join(format!("{}{again}.log", self.name.replace('/', "-")))
    }
}

/// How a suite has come out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Cases that passed.
    pub nr_passed: usize,
    /// Cases that failed, those without a verdict included.
    pub nr_failed: usize,
    /// Cases that could not be tried.
    pub nr_skipped: usize,
}

impl Summary {
    fn count(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Pass(_) => self.nr_passed += 1,
            Verdict::Skipped(_) => self.nr_skipped += 1,
            Verdict::Fail(_)
            | Verdict::TooSlow(_)
            | Verdict::EmulatorFailed(_)
            | Verdict::NoVerdict(_) => self.nr_failed += 1,
        }
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.nr_passed, self.nr_failed, self.nr_skipped
        )
    }
}

/// Where a suite works and how much of the machine it takes.
#[derive(Debug)]
pub struct Suite<'a> {
    /// Where the logs are kept.
    pub log_directory: &'a Path,
    /// What is booted.
    pub isos: &'a Isos,
    /// Cases at a time, at least one. One more runs beside them if it is idle for most of its time.
    pub nr_jobs: usize,
}

impl Suite<'_> {
    /// Runs all `cases`; `report` is told of each as it ends.
    pub fn run(
        &self,
        cases: &[Case],
        report: &(dyn Fn(&Case, &Verdict, Duration) + Sync),
    ) -> Summary {
        let summary = Mutex::new(Summary::default());
        let finish = |case: &Case, verdict: &Verdict, took: Duration| {
            summary
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .count(verdict);
            report(case, verdict, took);
        };
        let again = Mutex::new(Vec::new());
        let (idle, busy): (Vec<&Case>, Vec<&Case>) = cases.iter().partition(|case| case.is_idle);
        let (next_idle, next_busy) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for job in 0..=self.nr_jobs.max(1) {
                let (cases, next) = match job {
                    0 => (&idle, &next_idle),
                    _ => (&busy, &next_busy),
                };
                let (again, finish) = (&again, &finish);
                scope.spawn(move || {
                    while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let (verdict, took) = self.judge(case);
                        if let Verdict::EmulatorFailed(_) = verdict {
                            eprintln!("systest: {}: the emulator failed: once more", case.name);
                        }
                        if matches!(verdict, Verdict::TooSlow(_) | Verdict::EmulatorFailed(_)) {
                            again
                                .lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .push(case);
                        } else {
                            finish(case, &verdict, took);
                        }
                    }
                });
            }
        });
        for case in again.into_inner().unwrap_or_else(PoisonError::into_inner) {
            let (verdict, took) = self.judge(case);
            finish(case, &verdict, took);
        }
        summary.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(&self, case: &Case) -> (Verdict, Duration) {
        let context = Context {
            name: &case.name,
            log_directory: self.log_directory,
            isos: self.isos,
            nr_runs: AtomicUsize::new(0),
        };
        let started = Instant::now();
        let judged =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (case.judge)(&context)));
        let verdict = judged
            .unwrap_or_else(|_| Verdict::NoVerdict("the case itself panicked: see above".into()));
        (verdict, started.elapsed())
    }
}
