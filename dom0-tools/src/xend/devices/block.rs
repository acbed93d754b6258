//! What a disk has.

use super::first_domain::FirstDomain;
use super::scripts::{SCRIPTS, Script};
use super::{Plugged, Subject, check_backend};
use crate::config::disk::{Disk, DiskClass};
use crate::xend::protocol::Fault;
use std::path::Path;

/// What becomes of a disk beside other devices.
pub(super) fn plan(
    disk: &Disk,
    others: &[Plugged],
    first: &dyn FirstDomain,
) -> Result<Plugged, Fault> {
    check_backend(disk.backend.as_deref())?;
    let number = disk.device.number;
    let is_it =
        |other: &&Plugged| matches!(&other.subject, Subject::Disk(_) if other.number == number);
    if others.iter().any(|other| is_it(&other)) {
        return Err(Fault::text(format!(
            "Device {} ({number}, vbd) is already connected.",
            disk.device
        )));
    }
    let Some(source) = &disk.source else {
        return Err(Fault::text(format!(
            "the drive {} has no disk in it: empty drives are not there yet",
            disk.device
        )));
    };
    let script = match source.class() {
        DiskClass::Block(_) | DiskClass::File(_) => Script::named("block"),
        DiskClass::Tap(kind) => {
            return Err(Fault::text(format!(
                "{kind}: disks are not there yet, nor are images other than raw ones; write file:PATH for a raw image, or \
                 phy:DEVICE"
            )));
        }
        DiskClass::Script(kind) => {
            let program = Path::new(SCRIPTS).join(format!("block-{kind}"));
            if !first.is_program(&program) {
                return Err(Fault::text(format!(
                    "Block device type \"{kind}\" is invalid."
                )));
            }
            let words = source.params.split_whitespace().map(str::to_owned);
            Script {
                program,
                words: words.collect(),
            }
        }
    };
    Ok(Plugged {
        subject: Subject::Disk(disk.clone()),
        number,
        script,
        is_connected: false,
    })
}

/// What the script and the driver find in the backend's directory.
pub(super) fn backend_nodes(disk: &Disk, is_boot: bool) -> Vec<(&'static str, String)> {
    let (kind, params) = match &disk.source {
        Some(source) => match source.class() {
            DiskClass::Block(path) => ("phy", path),
            _ => (source.kind.as_str(), source.params.clone()),
        },
        None => ("", String::new()),
    };
    vec![
        ("dev", disk.device.to_string()),
        ("type", kind.to_owned()),
        ("params", params),
        ("mode", disk.mode.word().to_owned()),
        ("bootable", u8::from(is_boot).to_string()),
    ]
}

/// What the guest finds in its directory.
pub(super) fn frontend_nodes(disk: &Disk) -> Vec<(&'static str, String)> {
    let key = match disk.device.is_extended() {
        true => "virtual-device-ext",
        false => "virtual-device",
    };
    let mut nodes = vec![
        (key, disk.device.number.to_string()),
        ("device-type", disk.kind.word().to_owned()),
    ];
    nodes.extend(disk.protocol.clone().map(|protocol| ("protocol", protocol)));
    nodes
}
