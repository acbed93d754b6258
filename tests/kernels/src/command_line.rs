//! The words after the kernel's name.

use crate::start::start_info;

/// The command line.
pub(crate) fn text() -> &'static str {
    let bytes = &start_info().cmd_line;
    let len = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    core::str::from_utf8(&bytes[..len]).unwrap_or("")
}

/// The value of the last word `name=value`.
pub(crate) fn value(name: &str) -> Option<&'static str> {
    text()
        .split_ascii_whitespace()
        .rev()
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

/// The value of the last word `name=value`, a decimal number.
pub(crate) fn number(name: &str) -> Option<u64> {
    value(name)?.parse().ok()
}

/// Which case is asked for.
pub(crate) fn test_name() -> &'static str {
    value("test").unwrap_or("list")
}
