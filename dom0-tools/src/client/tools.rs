//! `xenstore-read` and its like.

use super::connection::{Connection, Failure};
use super::escape::{escape, unescape};
use super::listing::{Style, print_tree};
use crate::command_line::{StoreTool, Xenstore};
use crate::device::terminal;
use guest_abi::store_wire::MessageType;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// How long an answer may take. One that is there takes a hundredth of that also when it is attacked.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a program fails, as it is told.
#[derive(Debug)]
pub struct Complaint(String);

impl Complaint {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Failure> for Complaint {
    fn from(failure: Failure) -> Self {
        Self(format!("the store does not answer: {failure}"))
    }
}

impl From<io::Error> for Complaint {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// Whether what was asked for is so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is, or it is done.
    Yes,
    /// It is not.
    No,
}

/// Does what a command line says. `called` is how the program was called, for its usage.
///
/// # Errors
///
/// What to tell.
pub fn run(options: &Xenstore, called: &str, output: &mut dyn Write) -> Result<Verdict, Complaint> {
    let way = if options.is_socket_only {
        Way::Socket
    } else {
        Way::Any
    };
    match &options.tool {
        StoreTool::Read { prefix, raw, keys } => {
            let text = for_all(way, keys, |connection, transaction, key| {
                let value = connection
                    .read(transaction, key)
                    .map_err(|_| Complaint::new(format!("couldn't read path {key}")))?;
                let mut line = Vec::new();
                if *prefix {
                    line.extend_from_slice(format!("{key}: ").as_bytes());
                }
                if *raw {
                    line.extend_from_slice(&value);
                } else {
                    line.extend_from_slice(escape(&value).as_bytes());
                    line.push(b'\n');
                }
                Ok(line)
            })?;
            output.write_all(&text)?;
        }
        StoreTool::Write { raw, pairs } => write(way, pairs, *raw, called)?,
        StoreTool::List { prefix, keys } => {
            let text = for_all(way, keys, |connection, transaction, key| {
                let children = connection
                    .children(transaction, key)
                    .map_err(|_| Complaint::new(format!("could not list path {key}")))?;
                let mut lines = String::new();
                for child in children {
                    if *prefix {
                        lines.push_str(key);
                        lines.push('/');
                    }
                    lines.push_str(&child);
                    lines.push('\n');
                }
                Ok(lines.into_bytes())
            })?;
            output.write_all(&text)?;
        }
        StoreTool::Ls { full, perms, path } => {
            let style = Style {
                has_full_names: *full,
                has_perms: *perms,
                width: terminal::columns().unwrap_or(82).saturating_sub(2),
            };
            print_tree(&mut connect(way)?, path, style, output)
                .map_err(|failure| Complaint(format!("xs_directory ({path}): {failure}")))?;
        }
        StoreTool::Rm { tidy, keys } => {
            for_all(way, keys, |connection, transaction, key| {
                remove(connection, transaction, key)?;
                if *tidy {
                    remove_empty_above(connection, transaction, key)?;
                }
                Ok(Vec::new())
            })?;
        }
        StoreTool::Exists { keys, .. } => {
            let mut connection = connect(way)?;
            for key in keys {
                match connection.read(0, key) {
                    Ok(_) => {}
                    Err(Failure::Refused(_)) => return Ok(Verdict::No),
                    Err(failure) => return Err(failure.into()),
                }
            }
        }
        StoreTool::Chmod {
            upwards,
            recursive,
            key,
            modes,
        } => {
            let is_mode = |mode: &&String| mode.starts_with(['n', 'r', 'w', 'b']);
            if let Some(bad) = modes.iter().find(|mode| !is_mode(mode)) {
                let letter = bad.chars().next().map(String::from).unwrap_or_default();
                return Err(Complaint(format!(
                    "Invalid permission specification: '{letter}'"
                )));
            }
            let mut connection = connect(way)?;
            connection.in_transaction(|connection, transaction| {
                set_perms(connection, transaction, key, modes)?;
                if *recursive {
                    set_perms_below(connection, transaction, key, modes)?;
                }
                let mut above = key.as_str();
                while *upwards && let Some((parent, _)) = above.rsplit_once('/') {
                    let shown = if parent.is_empty() { "/" } else { parent };
                    if above == "/" {
                        break;
                    }
                    set_perms(connection, transaction, shown, modes)?;
                    above = shown;
                }
                Ok::<_, Complaint>(())
            })?;
        }
        StoreTool::Watch { number, keys } => watch(way, keys, *number, output)?,
        StoreTool::Control { words } => {
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            let answer = connect(way)?.ask_texts(MessageType::Control, 0, &words);
            let answer = answer.map_err(|failure| match failure {
                Failure::Refused(name) if name == "ENOSYS" => {
                    Complaint::new("the daemon has no such command; `help` lists them")
                }
                other => Complaint::new(format!("the daemon refuses: {other}")),
            })?;
            output.write_all(answer.strip_suffix(&[0]).unwrap_or(&answer))?;
        }
    }
    output.flush()?;
    Ok(Verdict::Yes)
}

/// How the store may be reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// Only by the socket.
    Socket,
    /// By the socket, else by the kernel.
    Any,
}

fn why_not(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => {
            format!("it does not answer within {} seconds", PATIENCE.as_secs())
        }
        _ => error.to_string(),
    }
}

fn connect(way: Way) -> Result<Connection, Complaint> {
    let opened = match way {
        Way::Socket => Connection::by_socket(),
        Way::Any => Connection::open(),
    };
    let opened = opened.and_then(|mut connection| {
        connection.be_answered_within(PATIENCE);
        // The kernel takes requests although there is no daemon that answers: this one, which is always answered, tells.
        match connection.ask_texts(MessageType::GetDomainPath, 0, &["0"]) {
            Err(Failure::Io(error)) => Err(error),
            _ => Ok(connection),
        }
    });
    opened.map_err(|error| {
        let path = crate::command_line::socket_path();
        Complaint(format!(
            "the store is not reached at {}: {}; is xenstored running?",
            path.display(),
            why_not(&error)
        ))
    })
}

/// Does something for each key, in a transaction if there are several, and joins what is to be printed.
fn for_all(
    way: Way,
    keys: &[String],
    mut action: impl FnMut(&mut Connection, u32, &str) -> Result<Vec<u8>, Complaint>,
) -> Result<Vec<u8>, Complaint> {
    let mut connection = connect(way)?;
    let mut all = |connection: &mut Connection, transaction| {
        let mut text = Vec::new();
        for key in keys {
            text.extend(action(connection, transaction, key)?);
        }
        Ok(text)
    };
    match keys {
        [_] => all(&mut connection, 0),
        _ => connection.in_transaction(all),
    }
}

fn write(way: Way, pairs: &[OsString], is_raw: bool, called: &str) -> Result<(), Complaint> {
    let (pairs, rest) = pairs.as_chunks::<2>();
    if !rest.is_empty() {
        // Programs know the sentence.
        return Err(Complaint(format!(
            "Usage: {called} [-h] [-s] [-R] key value [...]"
        )));
    }
    let mut values = Vec::new();
    for [key, typed] in pairs {
        // Any bytes are a value, and few are a name.
        let value = if is_raw {
            typed.as_bytes().to_vec()
        } else {
            unescape(typed.as_bytes())
        };
        values.push((key.to_string_lossy(), value));
    }
    let mut connection = connect(way)?;
    let all = |connection: &mut Connection, transaction| {
        for (key, value) in &values {
            connection
                .write(transaction, key, value)
                .map_err(|_| Complaint(format!("could not write path {key}")))?;
        }
        Ok(())
    };
    match pairs {
        [_] => all(&mut connection, 0),
        _ => connection.in_transaction(all),
    }
}

fn remove(connection: &mut Connection, transaction: u32, key: &str) -> Result<(), Complaint> {
    let removed = connection.ask_texts(MessageType::Rm, transaction, &[key]);
    removed
        .map(|_| ())
        .map_err(|_| Complaint(format!("could not remove path {key}")))
}

fn remove_empty_above(
    connection: &mut Connection,
    transaction: u32,
    key: &str,
) -> Result<(), Complaint> {
    let mut below = key;
    while let Some((parent, _)) = below
        .rsplit_once('/')
        .filter(|(parent, _)| !parent.is_empty())
    {
        let has_value = connection
            .read(transaction, parent)
            .map_or(true, |value| !value.is_empty());
        let has_children = connection
            .children(transaction, parent)
            .map_or(true, |children| !children.is_empty());
        if has_value || has_children {
            break;
        }
        remove(connection, transaction, parent)?;
        below = parent;
    }
    Ok(())
}

fn set_perms(
    connection: &mut Connection,
    transaction: u32,
    key: &str,
    modes: &[String],
) -> Result<(), Complaint> {
    let texts: Vec<_> = std::iter::once(key)
        .chain(modes.iter().map(String::as_str))
        .collect();
    match connection.ask_texts(MessageType::SetPerms, transaction, &texts) {
        Ok(_) => Ok(()),
        Err(failure) => Err(Complaint(format!(
            "Error occurred setting permissions on '{key}': {failure}"
        ))),
    }
}

fn set_perms_below(
    connection: &mut Connection,
    transaction: u32,
    key: &str,
    modes: &[String],
) -> Result<(), Complaint> {
    let children = connection
        .children(transaction, key)
        .map_err(|_| Complaint(format!("could not list path {key}")))?;
    for child in children {
        let child = match key {
            "/" => format!("/{child}"),
            _ => format!("{key}/{child}"),
        };
        set_perms(connection, transaction, &child, modes)?;
        set_perms_below(connection, transaction, &child, modes)?;
    }
    Ok(())
}

fn watch(
    way: Way,
    keys: &[String],
    number: Option<u64>,
    output: &mut dyn Write,
) -> Result<(), Complaint> {
    let mut connection = connect(way)?;
    for key in keys {
        connection
            .ask_texts(MessageType::Watch, 0, &[key, key])
            .map_err(|failure| Complaint(format!("unable to watch {key}: {failure}")))?;
    }
    let mut left = number;
    while left != Some(0) {
        let event = connection.next_event()?;
        output.write_all(escape(&event.path).as_bytes())?;
        output.write_all(b"\n")?;
        output.flush()?;
        left = left.map(|left| left - 1);
    }
    Ok(())
}
