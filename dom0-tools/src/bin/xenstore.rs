//! Looks at the store and changes it: `xenstore read`, or `xenstore-read` by a link.
#![forbid(unsafe_code)]

use clap::Parser;
use clap::error::ErrorKind;
use dom0_tools::client::tools::{Verdict, run};
use dom0_tools::command_line::Xenstore;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    dom0_tools::panics::end_the_program();
    let mut words: Vec<OsString> = std::env::args_os().collect();
    let called = words
        .first()
        .map_or("xenstore".into(), |word| word.to_string_lossy());
    let mut called = called.into_owned();
    let name = Path::new(&called).file_name().and_then(OsStr::to_str);
    let name = name.unwrap_or("xenstore").to_owned();
    if let Some(tool) = name.strip_prefix("xenstore-") {
        words.splice(..1, ["xenstore".into(), tool.into()]);
    } else if let Some(tool) = words.get(1) {
        called = format!("{called} {}", tool.display());
    }
    let options = match Xenstore::try_parse_from(words) {
        Ok(options) => options,
        Err(error) => {
            // Scripts have always found the usage there, and this status.
            eprint!("{}", error.render());
            let is_asked_for = error.kind() == ErrorKind::DisplayVersion;
            return ExitCode::from(u8::from(!is_asked_for));
        }
    };
    match run(&options, &called, &mut io::stdout().lock()) {
        Ok(Verdict::Yes) => ExitCode::SUCCESS,
        Ok(Verdict::No) => ExitCode::FAILURE,
        Err(complaint) => {
            eprintln!("{name}: {complaint}");
            ExitCode::FAILURE
        }
    }
}
