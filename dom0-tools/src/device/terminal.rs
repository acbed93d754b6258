//! The terminal that a program writes to.

use nix::libc::{STDOUT_FILENO, TIOCGWINSZ, winsize};

mod request {
    use super::{TIOCGWINSZ, winsize};

    nix::ioctl_read_bad!(get_window_size, TIOCGWINSZ, winsize);
}

/// Columns of the terminal at standard output; `None` if it is none.
#[must_use]
pub fn columns() -> Option<usize> {
    let mut size = winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the request writes this structure, which lives until it returns, and nothing else.
    unsafe { request::get_window_size(STDOUT_FILENO, &raw mut size) }.ok()?;
    Some(size.ws_col.into()).filter(|&columns| columns > 0)
}
