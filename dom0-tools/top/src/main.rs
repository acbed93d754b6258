//! Shows what domains use of the machine.
#![forbid(unsafe_code)]

use clap::Parser;
use clap::error::ErrorKind;
use dom0_tools::command_line::xentop::XentopOptions;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ratatui::backend::TermionBackend;
use ratatui::layout::Rect;
use ratatui::termion::raw::IntoRawMode;
use ratatui::termion::screen::IntoAlternateScreen;
use ratatui::termion::terminal_size;
use ratatui::{Terminal, TerminalOptions, Viewport};
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use top::batch::{self, Form};
use top::host::{Depth, Host};
use top::keys::keys;
use top::sample::Sample;
use top::screen::{Screen, Wish};
use top::table::{Order, Shown};

fn main() -> ExitCode {
    dom0_tools::panics::end_the_program();
    let options = match XentopOptions::try_parse() {
        Ok(options) => options,
        Err(error) => {
            let is_wish = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            let _ = error.print();
            return if is_wish {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            };
        }
    };
    let host = match Host::open() {
        Ok(host) => host,
        Err(error) => {
            eprintln!("Failed to initialize xenstat library");
            eprintln!("xentop: {error}");
            return ExitCode::FAILURE;
        }
    };
    let shown = Shown {
        whole_names: options.full_name,
        header_each: options.repeat_header,
        interfaces: options.networks,
        disks: options.vbds,
        vcpus: options.vcpus,
    };
    let done = if options.json {
        print(host, Form::Json, &options)
    } else if options.batch {
        print(host, Form::Table(shown), &options)
    } else {
        show(host, shown, &options)
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xentop: {error}");
            ExitCode::FAILURE
        }
    }
}

fn look(host: &mut Host, shown: Shown) -> io::Result<Sample> {
    let depth = if shown.vcpus {
        Depth::Vcpus
    } else {
        Depth::Domains
    };
    host.look(depth).map_err(io::Error::other)
}

fn print(mut host: Host, form: Form, options: &XentopOptions) -> io::Result<()> {
    let shown = match form {
        Form::Table(shown) => shown,
        Form::Json => Shown {
            vcpus: true,
            ..Shown::default()
        },
    };
    let delay = Duration::from_secs(options.delay.into());
    batch::print(
        &mut io::stdout().lock(),
        form,
        options.iterations,
        || look(&mut host, shown),
        || std::thread::sleep(delay),
    )
}

fn show(mut host: Host, shown: Shown, options: &XentopOptions) -> io::Result<()> {
    let input = io::stdin();
    if !input.is_terminal() || !io::stdout().is_terminal() {
        let why = "this is no terminal; --batch prints for programs";
        return Err(io::Error::other(why));
    }
    let first = look(&mut host, shown)?;
    let mut screen = Screen::new(shown, Order::default(), options.delay, first);
    let output = io::stdout().into_raw_mode()?.into_alternate_screen()?;
    let viewport = viewport(terminal_size()?);
    let mut terminal =
        Terminal::with_options(TermionBackend::new(output), TerminalOptions { viewport })?;
    let mut looks = 1;
    loop {
        terminal.draw(|frame| screen.draw(frame))?;
        let next = Instant::now() + Duration::from_secs(screen.delay_s().into());
        // Until the delay, which may change, is over.
        while let Some(bytes) = typed(&input, next)? {
            for key in keys(&bytes) {
                match screen.press(key) {
                    Wish::Quit => return Ok(()),
                    Wish::Redraw => terminal.clear()?,
                    Wish::Look => screen.see_more(look(&mut host, screen.shown())?),
                    Wish::Draw => {}
                }
            }
            terminal.draw(|frame| screen.draw(frame))?;
        }
        if options.iterations.is_some_and(|most| looks >= most) {
            return Ok(());
        }
        screen.see(look(&mut host, screen.shown())?);
        looks += 1;
    }
}

/// Where to draw on a terminal of so many columns and rows: a serial line does not know how many there are.
fn viewport(size: (u16, u16)) -> Viewport {
    let known = |number, usual| if number == 0 { usual } else { number };
    match size {
        (0, _) | (_, 0) => Viewport::Fixed(Rect::new(0, 0, known(size.0, 80), known(size.1, 24))),
        _ => Viewport::Fullscreen,
    }
}

/// What is typed before a moment; `None`: nothing is. The size of the screen may have changed if it is empty.
fn typed(mut input: &io::Stdin, until: Instant) -> io::Result<Option<Vec<u8>>> {
    let left = until.saturating_duration_since(Instant::now());
    let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    let mut waited = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
    match poll(&mut waited, left) {
        Ok(0) => Ok(None),
        Ok(_) => {
            let mut bytes = [0; 256];
            let length = input.read(&mut bytes)?;
            if length == 0 {
                return Err(io::Error::other("the terminal is gone"));
            }
            Ok(Some(bytes[..length].to_vec()))
        }
        Err(Errno::EINTR) => Ok(Some(Vec::new())),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_without_a_size_has_the_usual_one() {
        for (size, usual) in [((0, 0), (80, 24)), ((132, 0), (132, 24))] {
            let (width, height) = usual;
            assert_eq!(
                viewport(size),
                Viewport::Fixed(Rect::new(0, 0, width, height))
            );
        }
        assert_eq!(viewport((80, 50)), Viewport::Fullscreen);
    }
}
