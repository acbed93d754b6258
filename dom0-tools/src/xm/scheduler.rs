//! `xm sched-credit`.

use super::arguments::Arguments;
use super::failure::Failure;
use super::host::unexpected;
use super::run::{Session, expect};
use super::scheduler_output;
use crate::xend::protocol::{Request, Response};

fn number<T: std::str::FromStr>(arguments: &Arguments, option: &str) -> Result<Option<T>, Failure> {
    let parse = |value: &str| {
        let wrong = || Failure::with_usage(format!("--{option} takes a number, not '{value}'."));
        value.parse().map_err(|_| wrong())
    };
    arguments.value(option).map(parse).transpose()
}

pub(super) fn run(arguments: &Arguments, session: &mut Session<'_>) -> Result<(), Failure> {
    expect("sched-credit", arguments, 0, 0)?;
    let is_json = arguments.has("json");
    let domain = arguments.value("domain").map(str::to_owned);
    let (weight, cap) = (number(arguments, "weight")?, number(arguments, "cap")?);
    let (tslice_ms, ratelimit_us) = (
        number(arguments, "tslice_ms")?,
        number(arguments, "ratelimit_us")?,
    );
    if arguments.has("schedparam") {
        if domain.is_some() || weight.is_some() || cap.is_some() {
            return Err(Failure::with_usage(
                "Parameters of the scheduler and of a domain are set one after the other.",
            ));
        }
        let request = Request::Schedule {
            tslice_ms,
            ratelimit_us,
        };
        let Response::Schedule {
            tslice_ms,
            ratelimit_us,
        } = session.ask(&request)?
        else {
            return Err(unexpected());
        };
        if is_json {
            session.print_json(&serde_json::json!({
                "pool": "Pool-0", "tslice_ms": tslice_ms, "ratelimit_us": ratelimit_us,
            }));
        } else {
            session.print(&format!(
                "Cpupool Pool-0: tslice={tslice_ms}ms ratelimit={ratelimit_us}us\n"
            ));
        }
        return Ok(());
    }
    if tslice_ms.is_some() || ratelimit_us.is_some() {
        return Err(Failure::with_usage("-t and -r need -s."));
    }
    if weight.is_none() && cap.is_none() {
        let domains = domain.into_iter().collect();
        let Response::Shares(rows) = session.ask(&Request::Shares { domains })? else {
            return Err(unexpected());
        };
        if is_json {
            session.print_json(&rows);
        } else {
            session.print(&scheduler_output::sched_credit(&rows));
        }
        return Ok(());
    }
    let Some(domain) = domain else {
        return Err(Failure::with_usage("No domain given."));
    };
    let request = Request::SetShare {
        domain,
        weight,
        cap,
    };
    session.ask(&request).map(drop)
}
