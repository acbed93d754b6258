//! Subcommands about the machine.

use super::arguments::Arguments;
use super::failure::Failure;
use super::memory;
use super::output;
use super::run::{Session, expect};
use crate::xend::protocol::{Request, Response};
use std::collections::BTreeMap;
use std::env;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// The program that shows what domains use, beside the one that runs.
const TOP: &str = "xentop";

/// Becomes that program.
pub(super) fn top(arguments: &Arguments) -> Result<(), Failure> {
    expect("top", arguments, 0, 0)?;
    let failed = |error| Failure::error(format!("{TOP} can't be run: {error}"));
    let program = env::current_exe().map_err(failed)?.with_file_name(TOP);
    Err(failed(top_command(&program, arguments).exec()))
}

/// As it is called: it has an option of the same name.
fn top_command(program: &Path, arguments: &Arguments) -> Command {
    let mut command = Command::new(program);
    if arguments.has("json") {
        command.arg("--json");
    }
    command
}

pub(super) fn run(
    name: &str,
    arguments: &Arguments,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let is_json = arguments.has("json");
    match name {
        "dmesg" => {
            if !arguments.words.is_empty() {
                return Err(Failure::with_usage("No parameter required"));
            }
            let clear = arguments.has("clear");
            print_text(&Request::Dmesg { clear }, is_json, session)
        }
        "log" => {
            expect(name, arguments, 0, 0)?;
            print_text(&Request::Log, is_json, session)
        }
        "debug-keys" => {
            expect(name, arguments, 1, 1)?;
            let keys = arguments.words.concat();
            session.ask(&Request::DebugKeys { keys }).map(drop)
        }
        _ => {
            expect(name, arguments, 0, 0)?;
            if arguments.has("memory") {
                return memory::show(is_json, session);
            }
            let Response::Host(host) = session.ask(&Request::Host)? else {
                return Err(unexpected());
            };
            if is_json {
                session.print_json(&host);
            } else if arguments.has("config") {
                session.print(&output::settings(&host));
            } else {
                session.print(&output::info(&host, arguments.has("numa")));
            }
            Ok(())
        }
    }
}

fn print_text(request: &Request, is_json: bool, session: &mut Session<'_>) -> Result<(), Failure> {
    let Response::Text(text) = session.ask(request)? else {
        return Err(unexpected());
    };
    if is_json {
        session.print_json(&BTreeMap::from([("text", text)]));
    } else {
        session.print(&text);
    }
    Ok(())
}

/// An answer to another question.
pub(super) fn unexpected() -> Failure {
    Failure::error("xend's answer is not understood: xm and xend are of different versions")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xm::commands::all;

    #[test]
    fn what_shows_domains_is_asked_for_what_is_asked_of_xm() {
        let top = all().find(|command| command.name == "top").unwrap();
        let given = |words: &[&str]| {
            let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
            let arguments = Arguments::parse(top, &words).unwrap();
            let command = top_command(Path::new("/usr/sbin/xentop"), &arguments);
            let given = command.get_args().map(|one| one.display().to_string());
            given.collect::<Vec<_>>()
        };
        assert_eq!(given(&[]), [""; 0]);
        assert_eq!(given(&["--json"]), ["--json"]);
    }
}
