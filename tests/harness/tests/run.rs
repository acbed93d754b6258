//! Runs of ordinary commands in QEMU's place: what is collected, how waits end, and that nothing outlives
//! them.

use harness::run::{Missing, Run};
use harness::verdict::Ending;
use regex_lite::Regex;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(200);

fn log(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.log"))
}

fn shell(name: &str, script: &str) -> Run {
    let mut command = Command::new("bash");
    command.args(["-c", script]);
    Run::spawn(command, &log(name)).unwrap()
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

fn is_alive(process: &str) -> bool {
    // A process that is dead and not yet reaped by its parent is a zombie.
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"));
    stat.is_ok_and(|stat| {
        stat.rsplit(") ")
            .next()
            .is_some_and(|rest| !rest.starts_with(['Z', 'X']))
    })
}

fn dies_soon(process: &str) -> bool {
    let deadline = Instant::now() + LONG;
    while is_alive(process) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    !is_alive(process)
}

#[test]
fn lines_are_collected_logged_and_waited_for_in_order() {
    let mut run = shell(
        "lines",
        "echo one; echo two; sleep 0.05; printf 'pro'; printf 'mpt> '; read x; echo got $x",
    );
    assert_eq!(run.wait_for(&pattern("^two$"), LONG).unwrap().text, "two");
    assert_eq!(
        run.wait_for(&pattern("prompt"), SHORT),
        Err(Missing::TimedOut),
        "the line has not ended"
    );
    assert_eq!(
        run.wait_for_prompt(&pattern("prompt> $"), LONG)
            .unwrap()
            .text,
        "prompt> "
    );
    run.send("word\n").unwrap();
    assert_eq!(
        run.wait_for(&pattern("^got"), LONG),
        Err(Missing::Ended(Ending::Exited(0)))
    );
    assert!(
        run.lines()
            .iter()
            .any(|line| line.text == "prompt> got word")
    );
    drop(run);
    let log = std::fs::read_to_string(log("lines")).unwrap();
    assert!(log.starts_with("+ bash -c"), "{log}");
    assert!(log.contains("] one\n["), "{log}");
    assert!(log.contains("exit status 0"), "{log}");
}

#[test]
fn the_last_line_of_a_machine_that_ended_needs_no_end() {
    let mut run = shell("last", "printf 'last words'");
    assert_eq!(
        run.wait_for(&pattern("words$"), LONG).unwrap().text,
        "last words"
    );
}

#[test]
fn endings_are_told_apart() {
    assert_eq!(
        shell("exit33", "echo; exit 33").wait_for_end(LONG),
        Ending::Exited(33)
    );
    assert_eq!(
        shell("killed", "kill -SEGV $$").wait_for_end(LONG),
        Ending::Killed(11)
    );
    assert_eq!(
        shell("hangs", "sleep 1000").wait_for_end(SHORT),
        Ending::TimedOut
    );
    let mut missing = Run::spawn(Command::new("/no/such/qemu"), &log("missing")).unwrap();
    assert!(matches!(missing.wait_for_end(LONG), Ending::Exited(status) if status > 100));
}

#[test]
fn a_wait_for_a_line_has_a_limit() {
    let mut run = shell("silent", "echo other; sleep 1000");
    let started = Instant::now();
    assert_eq!(
        run.wait_for(&pattern("never"), SHORT),
        Err(Missing::TimedOut)
    );
    assert!(started.elapsed() >= SHORT && started.elapsed() < LONG);
}

#[test]
fn a_machine_that_does_not_go_on_is_examined() {
    let mut run = shell("examined", "echo before; sleep 0.3; echo after; sleep 1000");
    assert!(run.wait_for(&pattern("^before$"), LONG).is_ok());
    assert!(run.examine(), "it has said something");
    let text = std::fs::read_to_string(log("examined")).unwrap();
    let head = format!("\n{} (", run.process_id());
    let (threads, rest) = text.split_once("what comes from now on").unwrap();
    assert!(threads.contains(&head), "its threads are not there: {text}");
    assert!(
        rest.contains("after"),
        "what it says later is not there: {text}"
    );
}

#[test]
fn a_timeout_ends_the_whole_process_group() {
    let mut run = shell("group", "sleep 1000 & echo child $!; wait");
    let line = run.wait_for(&pattern(r"^child \d+$"), LONG).unwrap();
    let child = line.text.strip_prefix("child ").unwrap().to_string();
    let head = run.process_id().to_string();
    assert!(is_alive(&child) && is_alive(&head));
    assert_eq!(run.wait_for_end(SHORT), Ending::TimedOut);
    assert!(dies_soon(&child) && dies_soon(&head));
}

#[test]
fn a_dropped_run_ends_its_process() {
    let run = shell("dropped", "sleep 1000");
    let head = run.process_id().to_string();
    drop(run);
    assert!(dies_soon(&head));
}

#[test]
fn what_a_guest_says_on_the_error_stream_is_in_the_log() {
    shell("errors", "echo the emulator warns >&2").wait_for_end(LONG);
    assert!(
        std::fs::read_to_string(log("errors"))
            .unwrap()
            .contains("the emulator warns")
    );
}
