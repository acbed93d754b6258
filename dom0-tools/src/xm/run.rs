//! Reading a command line.

use super::arguments::Arguments;
use super::client::Xend;
use super::commands::{Command, Found, Group, find};
use super::failure::{Failure, Usage};
use super::progress::{Measure, Progress};
use super::{create, device, domain, help, host, memory, pools, scheduler, wait};
use crate::config::file::Evaluate;
use crate::xend::protocol::{Fault, Request, Response};
use std::io::Write;

/// A call of `xm`: who answers, and where output goes.
pub struct Session<'s> {
    /// Who answers.
    pub xend: &'s mut dyn Xend,
    /// Runs configuration files.
    pub evaluate: &'s Evaluate,
    /// Whether those who wait are shown that something happens.
    pub progress: Progress,
    /// Standard output.
    pub out: &'s mut dyn Write,
    /// Standard error.
    pub err: &'s mut dyn Write,
}

impl Session<'_> {
    /// Asks, and takes a fault for a failure.
    ///
    /// # Errors
    ///
    /// The fault, or that nobody answers.
    pub fn ask(&mut self, request: &Request) -> Result<Response, Failure> {
        match self.xend.ask(request)? {
            Response::Fault(fault) => Err(fault.into()),
            response => Ok(response),
        }
    }

    /// Asks for what takes its time.
    ///
    /// # Errors
    ///
    /// As [`Self::ask`].
    pub fn ask_and_wait(
        &mut self,
        what: &str,
        measure: Option<Measure>,
        request: &Request,
    ) -> Result<Response, Failure> {
        // What was printed is seen before the bar.
        let _ = self.out.flush();
        let _bar = self.progress.begin(what, measure);
        self.ask(request)
    }

    /// Prints to standard output. Who has closed it does not want to know.
    pub fn print(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes());
    }

    /// Prints a value as JSON.
    pub fn print_json(&mut self, value: &impl serde::Serialize) {
        let text = serde_json::to_string_pretty(value).unwrap_or_default();
        self.print(&(text + "\n"));
    }

    fn complain(&mut self, text: &str) {
        let _ = writeln!(self.err, "{text}");
    }
}

/// Does what a command line says, and returns the exit status.
pub fn run(words: &[String], session: &mut Session<'_>) -> u8 {
    let Some((first, rest)) = words.split_first() else {
        session.print(&help::short());
        return 1;
    };
    match first.as_str() {
        "help" | "--help" | "-h" => {
            session.print(&help::long());
            return 0;
        }
        "--completion" => {
            let script = rest.first().and_then(|shell| help::completion(shell));
            return match script {
                Some(script) => {
                    session.print(&script);
                    0
                }
                None => {
                    session.complain("Error: xm --completion takes bash or zsh");
                    1
                }
            };
        }
        _ => {}
    }
    let command = match find(first) {
        Some(Found::Command(command)) => command,
        Some(Found::Deprecated(command)) => {
            let new = command.name;
            session.complain(&format!(
                "Command {first} is deprecated.  Please use xm {new} instead."
            ));
            command
        }
        None => {
            session.complain(&format!("Error: Subcommand {first} not found!"));
            session.print(&help::short());
            return 1;
        }
    };
    match dispatch(command, rest, session) {
        Ok(status) => status,
        Err(failure) => {
            tell(command, &failure, session);
            failure.status()
        }
    }
}

fn tell(command: &Command, failure: &Failure, session: &mut Session<'_>) {
    match failure {
        Failure::Error(text, usage) => {
            session.complain(&format!("Error: {text}"));
            if *usage == Usage::Shown {
                session.print(&help::of(command));
            }
        }
        Failure::NoDomain(name) => {
            session.complain(&format!("Error: {}", Fault::NoDomain(name.clone())));
        }
        Failure::UsageOnly(text) => {
            session.print(&format!("{text}\n"));
            session.print(&help::of(command));
        }
        Failure::Quiet => {}
    }
}

fn dispatch(
    command: &'static Command,
    words: &[String],
    session: &mut Session<'_>,
) -> Result<u8, Failure> {
    let is_help = |word: &String| word == "--help" || word == "-h";
    if words.iter().take_while(|word| *word != "--").any(is_help) {
        session.print(&help::of(command));
        return Ok(1);
    }
    if !command.is_offered {
        let name = command.name;
        return Err(Failure::error(match command.group {
            Group::Cpupool => format!("xm {name} is not offered: all processors are in Pool-0."),
            // The words that programs know.
            Group::Scheduler => "Xen is running with the credit scheduler".to_owned(),
            _ if matches!(name, "suspend" | "resume") => {
                format!("xm {name} comes with xm save, which is not there yet.")
            }
            _ => format!("xm {name} is not there yet."),
        }));
    }
    let arguments = Arguments::parse(command, words).map_err(Failure::with_usage)?;
    match command.name {
        "create" | "new" => create::create(command.name, &arguments, session),
        "start" => create::start(&arguments, session),
        "shutdown" => wait::shutdown(&arguments, wait::Kind::Shutdown, session),
        "reboot" => wait::shutdown(&arguments, wait::Kind::Reboot, session),
        "top" => host::top(&arguments),
        "mem-set" | "mem-max" => memory::run(command.name, &arguments, session),
        "dmesg" | "debug-keys" | "info" | "log" => host::run(command.name, &arguments, session),
        "block-attach" | "block-configure" | "block-detach" | "block-list" | "network-attach"
        | "network-detach" | "network-list" => device::run(command.name, &arguments, session),
        "cpupool-list" => pools::list(&arguments, session),
        "sched-credit" => scheduler::run(&arguments, session),
        name => domain::run(name, &arguments, session),
    }
    .map(|()| 0)
}

/// Checks the number of arguments.
///
/// # Errors
///
/// The sentence that programs know.
pub fn expect(name: &str, arguments: &Arguments, least: usize, most: usize) -> Result<(), Failure> {
    let count = arguments.words.len();
    if (least..=most).contains(&count) {
        return Ok(());
    }
    let plural = if least == 1 { "" } else { "s" };
    let text = if least == most {
        format!("'xm {name}' requires {least} argument{plural}.\n")
    } else {
        format!("'xm {name}' requires between {least} and {most} arguments.\n")
    };
    Err(Failure::with_usage(text))
}
