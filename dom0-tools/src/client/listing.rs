//! The output of `xenstore-ls`.

use super::connection::{Connection, Failure};
use super::escape::escape;
use std::io::{self, Write};

/// The column to which values are filled up before permissions, where names are indented.
const PERMS_COLUMN: usize = 60;
/// What a value that is cut has around it, by the classical count, which leaves out the backslash.
const CUT_BYTES: usize = " = \"...\"".len();

/// How a tree is shown.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Whole names instead of indented ones.
    pub has_full_names: bool,
    /// Permissions behind values.
    pub has_perms: bool,
    /// Columns of a line, unless it has its whole name.
    pub width: usize,
}

/// Prints all nodes below `path`.
///
/// # Errors
///
/// If `path` does not exist, the store is not reached or the output can't be written. Nodes
/// that go meanwhile are left out.
pub fn print_tree(
    connection: &mut Connection,
    path: &str,
    style: Style,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    print_below(connection, path, 0, style, output)
}

fn print_below(
    connection: &mut Connection,
    path: &str,
    depth: usize,
    style: Style,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let children = match connection.children(0, path) {
        Err(Failure::Refused(_)) if depth > 0 => return Ok(()),
        other => other?,
    };
    for name in children {
        let child = match path {
            "/" => format!("/{name}"),
            _ => format!("{path}/{name}"),
        };
        let shown = if style.has_full_names {
            child.clone()
        } else {
            format!("{:depth$}{name}", "")
        };
        print_node(connection, &child, shown, style, output)?;
        print_below(connection, &child, depth + 1, style, output)?;
    }
    Ok(())
}

fn print_node(
    connection: &mut Connection,
    path: &str,
    shown_name: String,
    style: Style,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let mut line = shown_name;
    match connection.read(0, path) {
        Ok(value) => line = with_value(line, &escape(&value), style),
        Err(Failure::Refused(_)) => line.push(':'),
        Err(failure) => return Err(failure),
    }
    if style.has_perms {
        match connection.perms(0, path) {
            Ok(perms) => line.push_str(&format!("  ({})", perms.join(","))),
            Err(Failure::Refused(_)) => {}
            Err(failure) => return Err(failure),
        }
    }
    line.push('\n');
    write_all(output, line.as_bytes())
}

fn with_value(mut line: String, value: &str, style: Style) -> String {
    if style.has_full_names {
        line.push_str(&format!(" = \"{value}\""));
        if style.has_perms {
            line.push(' ');
        }
        return line;
    }
    if line.len() + value.len() + CUT_BYTES > style.width {
        let room = style.width.saturating_sub(line.len() + CUT_BYTES);
        let cut = value.get(..room).unwrap_or(value);
        line.push_str(&format!(" = \"{cut}\\...\""));
        return line;
    }
    line.push_str(&format!(" = \"{value}\""));
    if style.has_perms {
        line.push(' ');
        while line.len() < PERMS_COLUMN {
            line.push(if line.len().is_multiple_of(2) {
                ' '
            } else {
                '.'
            });
        }
    }
    line
}

fn write_all(output: &mut dyn Write, bytes: &[u8]) -> Result<(), Failure> {
    output
        .write_all(bytes)
        .map_err(|error: io::Error| error.into())
}
