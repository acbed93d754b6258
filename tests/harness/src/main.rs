//! The system tests: `systest [--list] [FILTER]...`, from the top of the repository.
//!
//! `systest --help` says what the words and the environment do.

use harness::cases;
use harness::iso::Isos;
use harness::suite::{Case, Suite};
use harness::verdict::Verdict;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const LOG_DIRECTORY: &str = "build/logs";

const USAGE: &str = "\
usage: systest [--list] [FILTER]...

Runs the cases that have a FILTER in their name, or without one all of them but those that take long and those
that run on request only, as those on the reference hypervisor (reference/). Run it at the top of the repository, with the images built (make image test-image).

  --list        names the cases instead
  --help        shows this

In the environment:
  FULL=1        the whole product of the boot matrix instead of a set that covers all pairs, the tiny kernels
                on 1, 2 and 4 processors instead of on 1 or on 4, and what takes long
  JOBS          how many cases run at a time; without it three for two processors, as machines often wait
  QEMU          the emulator; without it qemu-system-x86_64
  NEWER_QEMU    one of version 9.0 or later, for x2APIC and INT n; without it what tests/newer-qemu has fetched
";

fn main() -> ExitCode {
    let mut filters: Vec<String> = std::env::args().skip(1).collect();
    if filters.iter().any(|word| word == "--help" || word == "-h") {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let is_list = filters.iter().any(|word| word == "--list");
    filters.retain(|word| word != "--list");
    if let Some(option) = filters.iter().find(|word| word.starts_with('-')) {
        eprintln!("systest: {option}: unknown; systest --help shows what there is");
        return ExitCode::from(2);
    }

    let is_full = std::env::var_os("FULL").is_some_and(|value| value == "1");
    let extent = if is_full {
        cases::Extent::WholeProduct
    } else {
        cases::Extent::AllPairs
    };
    let mut cases = cases::all(extent);
    if extent == cases::Extent::AllPairs && filters.is_empty() && !is_list {
        cases.retain(|case| !cases::is_long(case));
    }
    let nr_more = match extent {
        cases::Extent::WholeProduct => 0,
        cases::Extent::AllPairs => {
            let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
            let all = cases::all(cases::Extent::WholeProduct);
            all.iter()
                .filter(|case| !names.contains(case.name.as_str()))
                .count()
        }
    };
    if !filters.is_empty() {
        cases.extend(cases::on_request());
    }
    cases.retain(|case| {
        filters.is_empty()
            || filters
                .iter()
                .any(|filter| case.name.contains(filter.as_str()))
    });
    if is_list {
        cases.iter().for_each(|case| println!("{}", case.name));
        return ExitCode::SUCCESS;
    }
    if cases.is_empty() {
        eprintln!("systest: no case has {filters:?} in its name; systest --list shows the names");
        return ExitCode::from(2);
    }
    if let Err(what) = build() {
        eprintln!("systest: {what} has failed");
        return ExitCode::from(2);
    }
    let is_whole = filters.is_empty();
    match run(&cases, if is_whole { nr_more } else { 0 }) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("systest: {error}");
            ExitCode::from(2)
        }
    }
}

/// Builds what cases boot, so that none is judged by an image older than its sources. It costs a second where there
/// is nothing to do.
fn build() -> Result<(), String> {
    let scripts: [&[&str]; 3] = [
        &["boot/build-image"],
        &["boot/build-image", "--planted-faults"],
        &["tests/build-kernels"],
    ];
    for words in scripts {
        let status = Command::new(words[0]).args(&words[1..]).status();
        if !status.is_ok_and(|status| status.success()) {
            return Err(words.join(" "));
        }
    }
    Ok(())
}

/// Runs `cases`, and says how many more there are.
fn run(cases: &[Case], nr_more: usize) -> std::io::Result<ExitCode> {
    std::fs::create_dir_all(LOG_DIRECTORY)?;
    let isos = Isos::new("build/isos")?;
    let asked = std::env::var("JOBS")
        .ok()
        .and_then(|value| value.parse().ok());
    let nr_jobs = asked
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from) * 3 / 2);
    let started = Instant::now();
    println!(
        "systest: {} cases, {nr_jobs} at a time, logs in {LOG_DIRECTORY}",
        cases.len()
    );
    let suite = Suite {
        log_directory: Path::new(LOG_DIRECTORY),
        isos: &isos,
        nr_jobs,
    };
    let skipped = Mutex::new(Vec::new());
    let summary = suite.run(cases, &|case, verdict, took| {
        if matches!(verdict, Verdict::Skipped(_)) {
            let mut names = skipped.lock().unwrap_or_else(PoisonError::into_inner);
            names.push(case.name.clone());
        }
        report(case, verdict, took);
    });
    println!("systest: {:.1} s", started.elapsed().as_secs_f64());
    let skipped = skipped.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !skipped.is_empty() {
        println!("SKIPPED, nothing is known of: {}", skipped.join(" "));
    }
    if nr_more != 0 {
        println!("{nr_more} more cases, and longer ones, with FULL=1");
    }
    println!("{summary}");
    Ok(if summary.nr_failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn report(case: &Case, verdict: &Verdict, took: Duration) {
    let (word, text) = match verdict {
        Verdict::Pass(text) => ("ok        ", text),
        Verdict::Fail(text) => ("FAILED    ", text),
        Verdict::TooSlow(text) => ("TOO SLOW  ", text),
        // A name that other scripts know.
        Verdict::EmulatorFailed(text) => ("NO VERDICT", text),
        Verdict::NoVerdict(text) => ("NO VERDICT", text),
        Verdict::Skipped(text) => ("SKIPPED   ", text),
    };
    let separator = if text.is_empty() { "" } else { ": " };
    println!(
        "{word} {:5.1} s  {}{separator}{text}",
        took.as_secs_f64(),
        case.name
    );
    if verdict.is_failure() {
        println!(
            "           its log: {LOG_DIRECTORY}/{}*.log",
            case.name.replace('/', "-")
        );
    }
}
