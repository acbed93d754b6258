//! Looks at the store and changes it: `xenstore read`, or `xenstore-read` by a link.
#![forbid(unsafe_code)]

use clap::Parser;
use clap::error::ErrorKind;
use dom0_tools::client::tools::{Verdict, run};
use dom0_tools::command_line::Xenstore;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    dom0_tools::panics::end_the_program();
    let mut words: Vec<OsString> = std::env::args_os().collect();
    let name = words
        .first()
        .and_then(|path| Path::new(path).file_name()?.to_str())
        .unwrap_or("xenstore")
        .to_owned();
    if let Some(tool) = name.strip_prefix("xenstore-") {
        words.splice(..1, ["xenstore".into(), tool.into()]);
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
    match run(&options, &mut io::stdout().lock()) {
        Ok(Verdict::Yes) => ExitCode::SUCCESS,
        Ok(Verdict::No) => ExitCode::FAILURE,
        Err(complaint) => {
            eprintln!("{name}: {complaint}");
            ExitCode::FAILURE
        }
    }
}
