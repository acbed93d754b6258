//! Domains that are kept while they do not run: each has a directory of its identity's name, with `config.sxp` in it, and
//! what it was doing if it was suspended.

use super::view::{DomainView, VcpuView};
use crate::config::domain::{DomainConfig, Uuid};
use crate::config::file::load_kept_sxp;
use crate::whole_file::{self, Lasting};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const CONFIGURATION: &str = "config.sxp";
const CHECKPOINT: &str = "checkpoint.chk";
/// So many are looked at.
const MOST: usize = 1000;

/// All of them. What can't be read is left out.
pub(super) fn all(directory: &Path) -> Vec<DomainView> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let entries = entries.flatten().take(MOST);
    entries.filter_map(|entry| view(&entry.path())).collect()
}

fn view(directory: &Path) -> Option<DomainView> {
    let config = match load_kept_sxp(&directory.join(CONFIGURATION)) {
        Ok(config) => config,
        Err(error) => {
            log::debug!("{error}");
            return None;
        }
    };
    Some(DomainView {
        domid: None,
        name: config.name.clone(),
        uuid: config.uuid.to_string(),
        memory_mib: config.memory_mib,
        maxmem_mib: config.maxmem_mib,
        // Those that it would have.
        online_vcpus: config.vcpus,
        vcpus: config.vcpus,
        state: String::new(),
        is_suspended: directory.join(CHECKPOINT).exists(),
        cpu_seconds: 0.0,
        start_time: 0.0,
        paused_by_admin: false,
        restart_count: 0,
        store_mfn: 0,
        console_mfn: 0,
        config: Some(config),
    })
}

fn own(directory: &Path, uuid: Uuid) -> PathBuf {
    directory.join(uuid.to_string())
}

/// Whether one of this identity is kept.
pub(super) fn has(directory: &Path, uuid: Uuid) -> bool {
    own(directory, uuid).join(CONFIGURATION).exists()
}

/// Keeps a domain.
pub(super) fn write(directory: &Path, config: &DomainConfig) -> io::Result<()> {
    let path = own(directory, config.uuid).join(CONFIGURATION);
    whole_file::replace(&path, config.sxp().pretty().as_bytes(), Lasting::Always)
}

/// Keeps a domain no longer.
pub(super) fn remove(directory: &Path, uuid: Uuid) -> io::Result<()> {
    match fs::remove_dir_all(own(directory, uuid)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The virtual processors that it would have.
pub(super) fn vcpus(view: &DomainView) -> impl Iterator<Item = VcpuView> {
    let cpus = view.config.as_ref().map(|config| config.cpus.clone());
    let cpus = cpus.unwrap_or_default();
    let name = view.name.clone();
    (0..view.vcpus).map(move |vcpu| VcpuView {
        name: name.clone(),
        domid: None,
        vcpu,
        cpu: None,
        state: String::new(),
        cpu_seconds: 0.0,
        affinity: match cpus.get(vcpu as usize).or(cpus.first()) {
            Some(list) if !list.is_empty() => list.clone(),
            _ => "any cpu".to_owned(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::create::Start;
    use super::super::protocol::{Fault, Response};
    use super::super::testing::{World, config};
    use super::*;
    use crate::xm::output;

    const UUID: &str = "06ed00fe-1162-4fc4-b5d8-11993ee4a8b9";

    #[test]
    fn who_does_not_run_is_listed_and_left_alone() {
        let world = World::default();
        world.state().output = b"x".to_vec();
        let xend = world.xend("kept");
        let directory = xend.settings().domains();
        let own = directory.join(UUID);
        fs::create_dir_all(&own).unwrap();
        fs::create_dir_all(directory.join("broken")).unwrap();
        fs::write(directory.join("broken").join(CONFIGURATION), "(vm").unwrap();
        // Who waits for it waits for ever.
        let pipe = directory.join("pipe").join(CONFIGURATION);
        fs::create_dir_all(directory.join("pipe")).unwrap();
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let text = format!(
            "(domain (domid 3) (name dormant) (uuid {UUID}) (memory 256) (vcpus 2) \
             (cpus ((1))) (image (linux (kernel /boot/vmlinuz))))"
        );
        fs::write(own.join(CONFIGURATION), text).unwrap();
        let _ = xend.create(config("etch"), Start::Running).unwrap();
        let views = xend.domain_views().unwrap();
        let lines = output::list(&views, false);
        let dormant =
            "dormant                                          256     2                 0.0";
        assert_eq!(lines.lines().nth(1), Some(dormant), "{lines}");
        assert_eq!(views.len(), 2);
        let view = xend.resolve("dormant").unwrap();
        assert_eq!(xend.resolve(UUID), Ok(view.clone()));
        assert_eq!(xend.resolve("3"), Err(Fault::NoDomain("3".into())));
        assert_eq!(output::domain_state(&view), "shutoff");
        assert!(output::is_in_state(&view, "halted") && !output::is_in_state(&view, "running"));
        let long = output::long(&view);
        assert!(
            long.starts_with("(domain\n    (cpu_weight 256)\n"),
            "{long}"
        );
        assert!(
            long.contains("\n    (status 0)\n") && !long.contains("(state "),
            "{long}"
        );
        let vcpus = output::vcpus(&xend.vcpus(&["dormant".into()]).unwrap());
        let wanted = "dormant                                    0                   0.0 1";
        assert_eq!(vcpus.lines().nth(1), Some(wanted), "{vcpus}");
        let refused = Err(Fault::text("Domain 'dormant' is not started"));
        for refusal in [
            xend.destroy("dormant"),
            xend.pause("dormant"),
            xend.shutdown("dormant", "halt"),
        ] {
            assert_eq!(refusal, refused);
        }
        // What it will have may be changed, within what it could have.
        let changed = |name: &str| {
            let config = xend.resolve(name).unwrap().config.unwrap();
            let share = (config.cpu_weight, config.cpu_cap);
            (config.vcpus, config.online_vcpus, share)
        };
        assert_eq!(xend.set_vcpus("dormant", 3), Ok(Response::Done));
        assert_eq!(
            xend.set_share("dormant", Some(512), None),
            Ok(Response::Done)
        );
        assert_eq!(
            xend.set_share("dormant", None, Some(300)),
            Ok(Response::Done)
        );
        for refusal in [
            xend.set_vcpus("dormant", 0),
            xend.set_vcpus("dormant", 4097),
            xend.set_share("dormant", Some(0), None),
            xend.set_share("dormant", None, Some(301)),
        ] {
            assert!(refusal.is_err());
        }
        assert_eq!(changed("dormant"), (3, 3, (512, 300)));
        let said = xend.create(config("dormant"), Start::Running).unwrap_err();
        assert_eq!(
            said.to_string(),
            "Domain 'dormant' already exists with ID 'None'"
        );
        fs::write(own.join(CHECKPOINT), "").unwrap();
        let view = xend.resolve("dormant").unwrap();
        assert!(output::is_in_state(&view, "Suspended"));
        let refused = xend.set_vcpus("dormant", 2).unwrap_err().to_string();
        assert!(refused.contains("is suspended"), "{refused}");
        fs::remove_dir_all(&directory).unwrap();
        fs::remove_dir_all(world.directory("kept")).unwrap();
    }
}
