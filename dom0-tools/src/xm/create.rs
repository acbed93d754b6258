//! `create`.

use super::arguments::Arguments;
use super::boot_menu;
use super::domain::terminal_key;
use super::failure::Failure;
use super::host::unexpected;
use super::run::Session;
use crate::config::domain::DomainConfig;
use crate::config::file::{find, load, load_sxp};
use crate::config::keys::{KEYS, Overrides, Shape};
use crate::console::attach::{Attachment, Left};
use crate::pygrub::apart::offers_menu;
use crate::xend::protocol::{Request, Response};
use crate::xend::view::EndView;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const DEFAULT_PATH: &str = ".:/etc/xen";
const DEFAULT_FILE: &str = "xmdefconfig";
/// How long the console daemon may take.
const CONSOLE_PATIENCE: Duration = Duration::from_secs(10);

/// `create`, and `new`, which only has the domain kept.
pub(super) fn create(
    name: &str,
    arguments: &Arguments,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    if arguments.has("help_config") {
        session.print(&help_config());
        return Ok(());
    }
    for option in ["xmldryrun", "skipdtd"] {
        if arguments.has(option) {
            return Err(Failure::error(format!(
                "--{option} is not offered: there is no XML"
            )));
        }
    }
    for option in ["vncviewer", "vncviewer-autopass"] {
        if arguments.has(option) {
            return Err(Failure::error(format!("--{option} is not there yet")));
        }
    }
    let config = config(arguments, session)?;
    if arguments.has("dryrun") {
        if arguments.has("json") {
            session.print_json(&config);
        } else {
            session.print(&config.sxp().pretty());
        }
        return Ok(());
    }
    let has_console = arguments.has("console_autoconnect");
    let is_chosen = has_console && name != "new" && offers_menu(&config);
    let entry = match is_chosen {
        true => boot_menu::choose(&config)?,
        false => None,
    };
    let config = Box::new(config);
    if name == "new" {
        return session.ask(&Request::New { config }).map(drop);
    }
    let stays_paused = arguments.has("paused");
    let name = config.name.clone();
    let request = Request::Create {
        config,
        // Who looks at the console sees the first line: it runs when it is looked at.
        paused: stays_paused || has_console,
        entry,
    };
    let answer = session.ask_and_wait(&format!("Starting {name}"), None, &request);
    let answer = answer.map_err(|failure| match failure {
        Failure::NoDomain(name) => Failure::error(format!("the domain '{name}' does not exist.")),
        // A wrong kernel is no question of how the command is spelt.
        Failure::Error(text, _) => Failure::error(text),
        other => other,
    })?;
    let Response::Created { domid, warnings } = answer else {
        return Err(unexpected());
    };
    for warning in warnings {
        let _ = writeln!(session.err, "Warning: {warning}");
    }
    if arguments.has("json") {
        let started = [("name", Value::from(&*name)), ("domid", domid.into())];
        session.print_json(&BTreeMap::from(started));
        let _ = session.out.flush();
    } else if !arguments.has("quiet") {
        session.print(&format!("Started domain {name} (id={domid})\n"));
        let _ = session.out.flush();
    }
    if has_console {
        return console(domid, stays_paused, session);
    }
    Ok(())
}

/// `start`: one that is kept. It says nothing.
pub(super) fn start(arguments: &Arguments, session: &mut Session<'_>) -> Result<(), Failure> {
    for option in ["vncviewer", "vncviewer-autopass"] {
        if arguments.has(option) {
            return Err(Failure::error(format!("--{option} is not there yet")));
        }
    }
    let [domain] = arguments.words.as_slice() else {
        return Err(Failure::with_usage("Expects 1 argument"));
    };
    let has_console = arguments.has("console_autoconnect");
    let stays_paused = arguments.has("paused");
    let request = Request::Start {
        domain: domain.clone(),
        paused: stays_paused || has_console,
    };
    let answer = session.ask_and_wait(&format!("Starting {domain}"), None, &request)?;
    let Response::Created { domid, warnings } = answer else {
        return Err(unexpected());
    };
    for warning in warnings {
        let _ = writeln!(session.err, "Warning: {warning}");
    }
    if has_console {
        return console(domid, stays_paused, session);
    }
    Ok(())
}

/// The configuration that the command line names.
fn config(arguments: &Arguments, session: &mut Session<'_>) -> Result<DomainConfig, Failure> {
    let mut overrides = Overrides::default();
    let mut file = arguments.value("defconfig").map(str::to_owned);
    for word in &arguments.words {
        match word.split_once('=') {
            Some((key, value)) => overrides.0.push((key.to_owned(), value.to_owned())),
            None => file = Some(word.clone()),
        }
    }
    let directories = arguments.value("path").unwrap_or(DEFAULT_PATH);
    let is_quiet = arguments.has("quiet");
    let open = |name: &str| {
        find(name, directories)
            .ok_or_else(|| Failure::error(format!("Unable to open config file: {name}")))
    };
    if let Some(name) = arguments.value("config") {
        let path = open(name)?;
        return load_sxp(&path).map_err(|error| Failure::error(error.to_string()));
    }
    let path = open(file.as_deref().unwrap_or(DEFAULT_FILE))?;
    if !is_quiet && !arguments.has("json") {
        session.print(&format!("Using config file \"{}\".\n", path.display()));
    }
    let loaded = load(&path, &overrides, session.evaluate)
        .map_err(|error| Failure::error(error.to_string()))?;
    for line in loaded.printed {
        let _ = writeln!(session.err, "{line}");
    }
    for warning in loaded.warnings {
        let _ = writeln!(session.err, "Warning: {warning}");
    }
    let mut config = loaded.config;
    if !config.bootloader.is_empty() {
        // They are on the guest's disk.
        return Ok(config);
    }
    for (path, what) in [
        (&mut config.kernel, "kernel"),
        (&mut config.ramdisk, "ramdisk"),
    ] {
        if path.is_empty() {
            continue;
        }
        let found = std::path::absolute(Path::new(path.as_str()))
            .ok()
            .filter(|path| path.exists());
        let Some(found) = found else {
            return Err(Failure::error(format!("Cannot find {what} \"{path}\"")));
        };
        *path = found.display().to_string();
    }
    Ok(config)
}

/// Attaches to the console of a domain that waits for it, unless it is to wait longer.
fn console(domid: u16, stays_paused: bool, session: &mut Session<'_>) -> Result<(), Failure> {
    let key = terminal_key(domid, 0);
    // Before it runs: a guest that ends at once is shown all the same.
    let opened = Attachment::open(&key, CONSOLE_PATIENCE);
    let domain = domid.to_string();
    let is_there = match stays_paused {
        true => session.ask(&Request::List {
            domains: vec![domain],
        }),
        false => session.ask(&Request::Unpause { domain }),
    };
    match is_there {
        // Somebody has destroyed it, or let it go on before.
        Err(Failure::NoDomain(_)) => return Err(Failure::error("Domain has already finished")),
        other => other?,
    };
    let Ok(console) = opened else {
        return Err(Failure::error("Could not start console"));
    };
    let left = console.run(&mut || matches!(end_of(domid, session), Ok(Some(_))));
    match left.map_err(Failure::error)? {
        Left::Detached => Ok(()),
        Left::Closed { has_shown } => not_crashed(domid, has_shown, session),
    }
}

/// How a domain has ended, if that is known and it does not run any more.
fn end_of(domid: u16, session: &mut Session<'_>) -> Result<Option<EndView>, Failure> {
    match session.ask(&Request::HowEnded { domid })? {
        Response::Ended(end) => Ok(end),
        _ => Err(unexpected()),
    }
}

/// Whose console was shown until it was closed must not have crashed. What it said last was shown, if anything was.
fn not_crashed(domid: u16, has_shown: bool, session: &mut Session<'_>) -> Result<(), Failure> {
    // A daemon that is away knows of no crash.
    let end = end_of(domid, session).unwrap_or_default();
    let Some((sentence, end)) = end.and_then(|end| Some((end.crash()?, end))) else {
        return Ok(());
    };
    let last_words = if has_shown { "" } else { &end.last_words };
    Err(Failure::error(format!("{sentence}{last_words}")))
}

fn help_config() -> String {
    let mut text = String::from("The configuration file variables:\n\n");
    for key in KEYS {
        let shape = match key.shape {
            Shape::Text | Shape::TextOrList => "STRING",
            Shape::Integer(..) => "NUMBER",
            Shape::Boolean => "0|1",
            Shape::List => "[STRING, ...]",
        };
        text.push_str(&format!("{}={shape}\n    {}\n", key.name, key.meaning));
    }
    text
}
