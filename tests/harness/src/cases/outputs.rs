//! What every subcommand of `xm` prints about live domains, compared with samples that are written by the format that
//! programs of administrators read.

use super::shell::Shell;
use crate::verdict::Verdict;
use regex_lite::{Regex, escape};
use std::time::Duration;

const SAMPLES: &str = include_str!("outputs.txt");
/// A command under emulation, the making of a guest among them.
const LIMIT: Duration = Duration::from_secs(120);

/// What is typed, and what is to be printed.
struct Sample<'s> {
    command: &'s str,
    lines: Vec<&'s str>,
}

/// Everything up to the first command is a comment.
fn samples(text: &str) -> Vec<Sample<'_>> {
    let mut samples: Vec<Sample<'_>> = Vec::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            let lines = Vec::new();
            samples.push(Sample { command, lines });
        } else if let Some(sample) = samples.last_mut() {
            sample.lines.push(line);
        }
    }
    samples
}

/// The pattern of what is in braces.
fn varying(name: &str) -> Result<String, Verdict> {
    let unknown = || Verdict::Fail(format!("the samples name an unknown pattern '{name}'"));
    if let Some((kind, width)) = name.split_once(':') {
        let width: usize = width.parse().map_err(|_| unknown())?;
        return match kind {
            "int" => Ok(format!(r"[ \d]{{{}}}\d+", width.saturating_sub(1))),
            "dec" => Ok(format!(r"[ \d]{{{}}}\d+\.\d", width.saturating_sub(3))),
            _ => Err(unknown()),
        };
    }
    let pattern = match name {
        "state" => "[r-][b-]----",
        "vstate" => "[r-][b-]-",
        "tstate" => "--[b-]--[r-]",
        "cpu" => r"[\d-]",
        "uuid" => "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "clock" => r"\d\d:\d\d:\d\d",
        "day" => r"\d{4}-\d\d-\d\d",
        "day4" => r"\d{4}-\d{4}-\d{4}",
        "level" => "[A-Z]+",
        "module" => r"[\w:]+",
        "up" => r"[ \d]\d:\d\d:\d\d",
        "hex" => "[0-9a-f]{8}",
        "text" => ".*[^ ].*",
        "any" => ".*",
        _ => return Err(unknown()),
    };
    Ok(pattern.to_owned())
}

fn pattern_of(sample: &str) -> Result<Regex, Verdict> {
    let mut pattern = String::from("^");
    let mut rest = sample.trim_end();
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, behind)) = after.split_once('}') else {
            break;
        };
        pattern.push_str(&escape(before));
        pattern.push_str(&varying(name)?);
        rest = behind;
    }
    pattern.push_str(&escape(rest));
    pattern.push('$');
    Regex::new(&pattern).map_err(|error| Verdict::Fail(format!("{sample}: {error}")))
}

fn is_as(sample: &Sample<'_>, printed: &[String]) -> Result<bool, Verdict> {
    if sample.lines.len() != printed.len() {
        return Ok(false);
    }
    for (wanted, line) in sample.lines.iter().zip(printed) {
        if !pattern_of(wanted)?.is_match(line) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Types each command, and tells all that differ at once.
pub(super) fn are_as_specified(shell: &mut Shell) -> Result<(), Verdict> {
    shell.output("t() { \"$@\" 2>&1; echo \"= $?\"; }")?;
    let mut wrong = Vec::new();
    for sample in samples(SAMPLES) {
        let mut printed = shell.output_within(sample.command, LIMIT)?;
        // What the hypervisor says on the same line, as the debug keys make it.
        printed.retain(|line| !line.starts_with("(PV) ["));
        if !is_as(&sample, &printed)? {
            wrong.push(format!(
                "'{}' prints\n{}\ninstead of\n{}",
                sample.command,
                printed.join("\n"),
                sample.lines.join("\n")
            ));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Verdict::Fail(wrong.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(sample: &str, line: &str) -> bool {
        pattern_of(sample).is_ok_and(|pattern| pattern.is_match(line))
    }

    #[test]
    fn columns_are_kept() {
        assert!(matches("a {int:5} b", "a    12 b"));
        assert!(!matches("a {int:5} b", "a   12 b"));
        assert!(matches("x{dec:8}", "x    12.7"));
        assert!(!matches("x{dec:8}", "x    12.75"));
        assert!(!matches("x{dec:8}", "x   12.7"));
        assert!(matches("(cpus (())) {state}", "(cpus (())) -b----"));
        assert!(!matches("{state}", "--p---"));
    }

    #[test]
    fn every_pattern_of_the_samples_is_known() {
        let samples = samples(SAMPLES);
        assert!(samples.len() > 50);
        for sample in samples {
            for line in sample.lines {
                assert!(pattern_of(line).is_ok(), "{line}");
            }
        }
    }
}
