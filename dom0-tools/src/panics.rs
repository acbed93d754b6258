//! What a panic does to a program of the first domain: it ends it. A daemon that has lost a thread would go on
//! answering some of what it is asked; one that is gone is started again, and finds its state.
#![forbid(unsafe_code)]

use std::panic;
use std::process;

/// From here on a panic says what it is about, and ends the program by SIGABRT, whichever thread it is in.
pub fn end_the_program() {
    let say = panic::take_hook();
    panic::set_hook(Box::new(move |about| {
        say(about);
        process::abort();
    }));
}
