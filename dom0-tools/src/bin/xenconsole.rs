//! Attaches to a guest's console.
#![forbid(unsafe_code)]

use clap::Parser;
use dom0_tools::command_line::XenconsoleOptions;
use dom0_tools::console::attach::attach;
use std::process::ExitCode;

/// The status of a command line that makes no sense: the number of EINVAL.
const BAD_COMMAND_LINE: u8 = 22;

fn main() -> ExitCode {
    dom0_tools::panics::end_the_program();
    let options = match XenconsoleOptions::try_parse() {
        Ok(options) => options,
        Err(error) if error.use_stderr() => {
            eprint!("{}", error.render());
            return ExitCode::from(BAD_COMMAND_LINE);
        }
        Err(asked_for) => asked_for.exit(),
    };
    let key = match options.terminal_key() {
        Ok(key) => key,
        Err(complaint) => {
            eprintln!("{complaint}");
            return ExitCode::from(BAD_COMMAND_LINE);
        }
    };
    match attach(&key) {
        Ok(()) => ExitCode::SUCCESS,
        Err(complaint) => {
            eprintln!("xenconsole: {complaint}");
            ExitCode::FAILURE
        }
    }
}
