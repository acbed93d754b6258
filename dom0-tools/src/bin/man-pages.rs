//! Writes the manual pages of all programs into a directory.
#![forbid(unsafe_code)]

use dom0_tools::command_line::programs;
use dom0_tools::xm::manual;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs, io};

fn main() -> ExitCode {
    let Some(directory) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: man-pages DIRECTORY");
        return ExitCode::FAILURE;
    };
    match write_all(&directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("man-pages: {}: {error}", directory.display());
            ExitCode::FAILURE
        }
    }
}

fn write_all(directory: &PathBuf) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for program in programs() {
        let is_daemon = matches!(program.get_name(), "xenstored" | "xenconsoled" | "xend");
        let section = if is_daemon { "8" } else { "1" };
        let path = directory.join(format!("{}.{section}", program.get_name()));
        let mut page = Vec::new();
        clap_mangen::Man::new(program)
            .section(section)
            .render(&mut page)?;
        fs::write(path, page)?;
    }
    fs::write(directory.join("xm.1"), manual::of_xm())?;
    fs::write(
        directory.join("xmdomain.cfg.5"),
        manual::of_configurations(),
    )
}
