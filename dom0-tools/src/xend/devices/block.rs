//! What a disk has.

use super::first_domain::FirstDomain;
use super::scripts::{SCRIPTS, Script};
use super::{Plugged, Subject, check_backend};
use crate::config::disk::{Disk, DiskClass, DiskSource};
use crate::xend::protocol::Fault;
use std::path::Path;

/// Serves block devices and raw images.
const SCRIPT: &str = "block";
/// Serves images that are more than raw.
const IMAGE_SCRIPT: &str = "blktap";

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
        // An empty drive, for which nothing is run.
        let script = Script::named(SCRIPT);
        return Ok(Plugged::planned(
            Subject::Disk(disk.clone()),
            number,
            script,
        ));
    };
    let script = match source.class() {
        DiskClass::Block(_) | DiskClass::File(_) => Script::named(SCRIPT),
        DiskClass::Image(_) => Script::named(IMAGE_SCRIPT),
        DiskClass::Script(kind) => {
            let program = Path::new(SCRIPTS).join(format!("block-{kind}"));
            match (first.is_program(&program), source.image()) {
                (true, _) => {
                    let words = source.params.split_whitespace().map(str::to_owned);
                    let words = words.collect();
                    Script { program, words }
                }
                (false, Some(_)) => Script::named(IMAGE_SCRIPT),
                (false, None) => {
                    return Err(Fault::text(format!(
                        "Block device type \"{kind}\" is invalid."
                    )));
                }
            }
        }
    };
    Ok(Plugged::planned(
        Subject::Disk(disk.clone()),
        number,
        script,
    ))
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
    let mut nodes = vec![
        ("dev", disk.device.to_string()),
        ("type", kind.to_owned()),
        ("params", params),
        ("mode", disk.mode.word().to_owned()),
        ("bootable", u8::from(is_boot).to_string()),
    ];
    if let Some(image) = disk.source.as_ref().and_then(DiskSource::image) {
        let cache = match image.is_synchronous {
            true => "writethrough",
            false => "writeback",
        };
        nodes.extend([
            ("image", image.path.to_owned()),
            ("format", image.format.to_owned()),
            ("cache", cache.to_owned()),
        ]);
    }
    nodes
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
