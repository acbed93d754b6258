//! Subcommands about domains.

use super::arguments::Arguments;
use super::client::{Client, Xend};
use super::failure::Failure;
use super::host::unexpected;
use super::output;
use super::run::{Session, expect};
use crate::console::attach::attach;
use crate::device::local_time::offset_seconds;
use crate::xend::protocol::{AfterDump, Fault, Request, Response};
use crate::xend::view::DomainView;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) fn run(
    name: &str,
    arguments: &Arguments,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let word = |index: usize| arguments.words.get(index).cloned().unwrap_or_default();
    match name {
        "list" => list(arguments, session),
        "vcpu-list" => vcpu_list(arguments, session),
        "uptime" => uptime(arguments, session),
        "console" => console(arguments, session),
        "domid" | "domname" | "domstate" => about(name, arguments, session),
        "destroy" | "pause" | "unpause" | "reset" | "delete" => {
            expect(name, arguments, 1, 1)?;
            let domain = word(0);
            let request = match name {
                "destroy" => Request::Destroy { domain },
                "pause" => Request::Pause { domain },
                "unpause" => Request::Unpause { domain },
                "delete" => Request::Delete { domain },
                _ => Request::Reset { domain },
            };
            session.ask(&request).map(drop)
        }
        "rename" => {
            expect(name, arguments, 2, 2)?;
            let (domain, name) = (word(0), word(1));
            session.ask(&Request::Rename { domain, name }).map(drop)
        }
        "sysrq" => {
            expect(name, arguments, 2, 2)?;
            let (domain, letter) = (word(0), word(1));
            session.ask(&Request::Sysrq { domain, letter }).map(drop)
        }
        "vcpu-set" => {
            expect(name, arguments, 2, 2)?;
            let count = word(1).parse().map_err(|_| invalid())?;
            let domain = word(0);
            session.ask(&Request::SetVcpus { domain, count }).map(drop)
        }
        "vcpu-pin" => {
            expect(name, arguments, 3, 3)?;
            let vcpu = match &*word(1) {
                "all" => None,
                number => Some(number.parse().map_err(|_| invalid())?),
            };
            // What is no list at all is seen here; what the machine has not, there.
            crate::control::cpu_list::CpuList::parse(&word(2), 1).map_err(|_| invalid())?;
            let (domain, cpus) = (word(0), word(2));
            session
                .ask(&Request::PinVcpu { domain, vcpu, cpus })
                .map(drop)
        }
        _ => dump_core(arguments, session),
    }
}

fn invalid() -> Failure {
    Failure::with_usage("Invalid argument.")
}

/// The domains that are named, or all.
pub(super) fn views(
    domains: &[String],
    session: &mut Session<'_>,
) -> Result<Vec<DomainView>, Failure> {
    let domains = domains.to_vec();
    match session.ask(&Request::List { domains })? {
        Response::Domains(views) => Ok(views),
        _ => Err(unexpected()),
    }
}

fn list(arguments: &Arguments, session: &mut Session<'_>) -> Result<(), Failure> {
    for (option, what) in [("state", "a state"), ("pool", "a pool")] {
        if arguments.has(option) && !arguments.words.is_empty() {
            return Err(Failure::with_usage(format!(
                "You may specify either {what} or a particular VM, but not both"
            )));
        }
    }
    if arguments.has("vcpus") {
        let _ = writeln!(
            session.err,
            "xm list -v is deprecated.  Please use xm vcpu-list."
        );
        return vcpu_list(arguments, session);
    }
    let mut views = views(&arguments.words, session)?;
    if let Some(state) = arguments.value("state") {
        views.retain(|view| output::is_in_state(view, state));
    }
    if let Some(pool) = arguments.value("pool") {
        let pool_of = |view: &DomainView| {
            let config = view.config.as_ref();
            config.map_or("Pool-0".to_owned(), |config| config.pool.clone())
        };
        views.retain(|view| pool_of(view) == pool);
    }
    if arguments.has("json") {
        session.print_json(&views);
    } else if arguments.has("long") {
        for view in &views {
            session.print(&output::long(view));
        }
    } else {
        let has_labels = arguments.has("label");
        if has_labels {
            views.sort_by_key(|view| view.name.to_lowercase());
        }
        session.print(&output::list(&views, has_labels));
    }
    Ok(())
}

fn vcpu_list(arguments: &Arguments, session: &mut Session<'_>) -> Result<(), Failure> {
    let domains = arguments.words.clone();
    let Response::Vcpus(vcpus) = session.ask(&Request::Vcpus { domains })? else {
        return Err(unexpected());
    };
    if arguments.has("json") {
        session.print_json(&vcpus);
    } else {
        session.print(&output::vcpus(&vcpus));
    }
    Ok(())
}

fn uptime(arguments: &Arguments, session: &mut Session<'_>) -> Result<(), Failure> {
    let views = views(&arguments.words, session)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0.0, |now| now.as_secs_f64());
    let machine = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let machine = machine
        .split(['.', ' '])
        .next()
        .and_then(|text| text.parse().ok());
    let rows: Vec<_> = views
        .into_iter()
        .map(|view| {
            let uptime_seconds = match view.domid {
                Some(0) => machine.unwrap_or(0),
                _ if view.start_time > 0.0 => (now - view.start_time).max(0.0) as u64,
                _ => 0,
            };
            output::UptimeRow {
                name: view.name,
                domid: view.domid,
                uptime_seconds,
            }
        })
        .collect();
    if arguments.has("json") {
        session.print_json(&rows);
    } else if arguments.has("short") {
        let time = time_of_day(now as i64 + offset_seconds(now as i64));
        session.print(&output::short_uptime(&time, &rows));
    } else {
        session.print(&output::uptime(&rows));
    }
    Ok(())
}

/// Of so many seconds since 1970 by the clock on the wall.
fn time_of_day(seconds: i64) -> String {
    let time = seconds.rem_euclid(86400);
    format!("{:02}:{:02}:{:02}", time / 3600, time / 60 % 60, time % 60)
}

fn about(name: &str, arguments: &Arguments, session: &mut Session<'_>) -> Result<(), Failure> {
    expect(name, arguments, 1, 1)?;
    let views = views(&arguments.words, session)?;
    let view = views.first().ok_or_else(unexpected)?;
    let (field, value, text) = match name {
        "domid" => ("domid", view.domid.into(), output::or_none(view.domid)),
        "domname" => ("name", (&*view.name).into(), view.name.clone()),
        _ => {
            let state = output::domain_state(view);
            ("state", state.into(), state.to_owned())
        }
    };
    if arguments.has("json") {
        session.print_json(&BTreeMap::<_, Value>::from([(field, value)]));
    } else {
        session.print(&format!("{text}\n"));
    }
    Ok(())
}

/// The node with the name of a console's terminal.
pub(super) fn terminal_key(domid: u16, number: u32) -> String {
    let home = format!("/local/domain/{domid}");
    match number {
        0 => format!("{home}/console/tty"),
        number => format!("{home}/device/console/{number}/tty"),
    }
}

fn console(arguments: &Arguments, session: &mut Session<'_>) -> Result<(), Failure> {
    expect("console", arguments, 1, 1)?;
    let number = match arguments.value("num") {
        Some(text) => text.parse().map_err(|_| invalid())?,
        None => 0,
    };
    let quietly = |failure| {
        if arguments.has("quiet") {
            Failure::Quiet
        } else {
            failure
        }
    };
    let views = views(&arguments.words, session).map_err(quietly)?;
    let view = views.first().ok_or_else(unexpected)?;
    let domid = match view.domid {
        Some(0) => return Err(quietly(Failure::error("Can't specify Domain-0"))),
        Some(domid) => domid,
        None => {
            let text = Fault::not_started(&view.name).to_string();
            return Err(quietly(Failure::error(text)));
        }
    };
    attach(&terminal_key(domid, number)).map_err(|text| quietly(Failure::error(text)))
}

fn dump_core(arguments: &Arguments, session: &mut Session<'_>) -> Result<(), Failure> {
    let then = match (arguments.has("crash"), arguments.has("reset")) {
        (true, true) => {
            return Err(Failure::with_usage(
                "You may not specify more than one '-CR' option",
            ));
        }
        (true, false) => AfterDump::Destroy,
        (false, true) => AfterDump::Reset,
        (false, false) => AfterDump::GoOn,
    };
    if !(1..=2).contains(&arguments.words.len()) {
        return Err(Failure::with_usage("Expects 1 or 2 argument(s)"));
    }
    let domain = arguments.words.first().cloned().unwrap_or_default();
    let views = views(std::slice::from_ref(&domain), session)?;
    let view = views.first().ok_or_else(unexpected)?;
    if view.domid == Some(0) {
        return Err(Failure::with_usage(format!(
            "Cannot dump core for privileged domain {domain}"
        )));
    }
    // xend works elsewhere.
    let file = arguments.words.get(1).map(|file| {
        let path = std::path::absolute(file).unwrap_or_else(|_| file.into());
        path.display().to_string()
    });
    session.print(&format!("Dumping core of domain: {} ...\n", view.name));
    // Its number: it may get another name meanwhile.
    let number = view.key();
    let what = format!("Dumping {}", view.name);
    let mut client = Client::default();
    let measure = move || {
        let domain = number.clone();
        match client.ask(&Request::DumpProgress { domain }) {
            Ok(Response::Progress { done, total }) => (done, total),
            _ => (0, 0),
        }
    };
    let request = Request::DumpCore {
        domain,
        file,
        live: arguments.has("live"),
        then,
    };
    session
        .ask_and_wait(&what, Some(Box::new(measure)), &request)
        .map(drop)
}
