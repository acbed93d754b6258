//! What a network interface has.

use super::scripts::Script;
use super::{Plugged, Subject, check_backend};
use crate::config::vif::Vif;
use crate::xend::protocol::Fault;
use crate::xend::settings::Settings;

/// What becomes of an interface beside other devices: it gets the lowest number that is free.
pub(super) fn plan(vif: &Vif, others: &[Plugged], settings: &Settings) -> Result<Plugged, Fault> {
    check_backend(vif.backend.as_deref())?;
    let is_taken = |number: u32| {
        let mut others = others.iter();
        others.any(|other| matches!(other.subject, Subject::Vif(_)) && other.number == number)
    };
    let free = (0..u32::MAX).find(|&number| !is_taken(number));
    let script = match &vif.script {
        Some(script) => Script::named(script),
        None => Script::with_words(settings.vif_script()),
    };
    let number = free.unwrap_or_default();
    Ok(Plugged::planned(Subject::Vif(vif.clone()), number, script))
}

/// What the script and the driver find in the backend's directory.
pub(super) fn backend_nodes(vif: &Vif, plugged: &Plugged) -> Vec<(&'static str, String)> {
    // The driver does not take an interface without it.
    let mut nodes = vec![
        ("script", plugged.script.program.display().to_string()),
        ("handle", plugged.number.to_string()),
    ];
    let rate = vif.limit().map(|limit| limit.to_string());
    for (key, value) in vif.said() {
        match key {
            "mac" | "bridge" | "ip" | "vifname" | "type" | "model" => nodes.push((key, value)),
            _ => {}
        }
    }
    nodes.extend(rate.map(|rate| ("rate", rate)));
    nodes
}

/// What the guest finds in its directory.
pub(super) fn frontend_nodes(vif: &Vif, number: u32) -> Vec<(&'static str, String)> {
    let mut nodes = vec![("handle", number.to_string())];
    nodes.extend(vif.mac.map(|mac| ("mac", mac.to_string())));
    nodes
}
