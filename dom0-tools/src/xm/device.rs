//! Subcommands about devices of guests.

use super::arguments::Arguments;
use super::device_output::{BlockRow, NetworkRow, block_list, device_long, network_list};
use super::failure::Failure;
use super::host::unexpected;
use super::run::{Session, expect};
use crate::config::devices::Device;
use crate::config::disk::{Disk, DiskMode};
use crate::config::error::Wrong;
use crate::config::vif::Vif;
use crate::xend::devices::Class;
use crate::xend::devices::running::{Detach, DeviceView};
use crate::xend::protocol::Request;
use crate::xend::protocol::Response;

pub(super) fn run(
    name: &str,
    arguments: &Arguments,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    match name {
        "block-attach" => block_attach(arguments, session),
        "block-configure" => block_configure(arguments, session),
        "network-attach" => network_attach(arguments, session),
        "block-detach" => detach(name, Class::Block, arguments, session),
        "network-detach" => detach(name, Class::Network, arguments, session),
        "block-list" => list(Class::Block, arguments, session),
        _ => list(Class::Network, arguments, session),
    }
}

fn wrong(wrong: Wrong) -> Failure {
    Failure::with_usage(wrong.problem)
}

/// The domain and the disk that words mean.
fn disk_of<'a>(name: &str, arguments: &'a Arguments) -> Result<(&'a String, Disk), Failure> {
    expect(name, arguments, 4, 5)?;
    let [domain, source, device, mode, backend @ ..] = arguments.words.as_slice() else {
        return Err(unexpected());
    };
    let mode = DiskMode::parse_of_command(mode).map_err(wrong)?;
    let backend = backend.first().cloned();
    let disk = Disk::from_parts(source, device, mode, backend, None).map_err(wrong)?;
    Ok((domain, disk))
}

fn block_attach(arguments: &Arguments, session: &mut Session<'_>) -> Result<(), Failure> {
    let (domain, disk) = disk_of("block-attach", arguments)?;
    attach(domain, Device::Disk(disk), session)
}

fn block_configure(arguments: &Arguments, session: &mut Session<'_>) -> Result<(), Failure> {
    let (domain, disk) = disk_of("block-configure", arguments)?;
    let request = Request::Configure {
        domain: domain.clone(),
        disk: Box::new(disk),
    };
    session.ask_and_wait("Changing", None, &request).map(drop)
}

/// The domain, and each key of an interface once.
const MOST_WORDS: usize = 11;

fn network_attach(arguments: &Arguments, session: &mut Session<'_>) -> Result<(), Failure> {
    let Some((domain, words)) = arguments.words.split_first() else {
        return expect("network-attach", arguments, 1, MOST_WORDS);
    };
    expect("network-attach", arguments, 1, MOST_WORDS)?;
    let vif = Vif::from_words(words.iter().map(String::as_str)).map_err(wrong)?;
    attach(domain, Device::Vif(vif), session)
}

fn attach(domain: &str, device: Device, session: &mut Session<'_>) -> Result<(), Failure> {
    let request = Request::Attach {
        domain: domain.to_owned(),
        device: Box::new(device),
    };
    session.ask_and_wait("Attaching", None, &request).map(drop)
}

fn detach(
    name: &str,
    class: Class,
    arguments: &Arguments,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    expect(name, arguments, 2, 3)?;
    let [domain, device, more @ ..] = arguments.words.as_slice() else {
        return Err(unexpected());
    };
    for word in more {
        session.print(&format!("Ignoring option {word}\n"));
    }
    let how = match arguments.has("force") {
        true => Detach::Forced,
        false => Detach::Asking,
    };
    let request = Request::Detach {
        domain: domain.clone(),
        class,
        device: device.clone(),
        how,
    };
    session.ask_and_wait("Detaching", None, &request).map(drop)
}

fn list(class: Class, arguments: &Arguments, session: &mut Session<'_>) -> Result<(), Failure> {
    let domain = match arguments.words.as_slice() {
        [] => return Err(Failure::UsageOnly("No domain parameter given".to_owned())),
        [domain] => domain.clone(),
        _ => {
            return Err(Failure::UsageOnly(
                "No multiple domain parameters allowed".to_owned(),
            ));
        }
    };
    let request = Request::Devices { domain, class };
    let Response::Devices(views) = session.ask(&request)? else {
        return Err(unexpected());
    };
    if arguments.has("long") && !arguments.has("json") {
        for view in &views {
            session.print(&device_long(view.number, &view.frontend));
        }
        return Ok(());
    }
    match class {
        Class::Block => {
            let rows: Vec<_> = views.iter().map(block_row).collect();
            match arguments.has("json") {
                true => session.print_json(&rows),
                false => session.print(&block_list(&rows)),
            }
        }
        Class::Network => {
            let rows: Vec<_> = views.iter().map(network_row).collect();
            match arguments.has("json") {
                true => session.print_json(&rows),
                false => session.print(&network_list(&rows)),
            }
        }
    }
    Ok(())
}

fn block_row(view: &DeviceView) -> BlockRow {
    // An empty drive has nothing in the store.
    let is_empty = view.frontend.is_empty();
    BlockRow {
        virtual_device: view.number,
        backend_id: Some(0),
        state: view.number_of("state"),
        event_channel: view.number_of("event-channel"),
        ring_ref: view.number_of("ring-ref"),
        backend: (!is_empty).then(|| view.backend.clone()),
    }
}

fn network_row(view: &DeviceView) -> NetworkRow {
    NetworkRow {
        index: view.number,
        backend_id: Some(0),
        mac: view.mac.clone(),
        handle: Some(view.number),
        state: view.number_of("state"),
        // One for both directions, or one for each.
        event_channel: view
            .number_of("event-channel")
            .or_else(|| view.number_of("event-channel-tx")),
        tx_ring_ref: view.number_of("tx-ring-ref"),
        rx_ring_ref: view.number_of("rx-ring-ref"),
        backend: Some(view.backend.clone()),
    }
}
