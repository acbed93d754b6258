//! What `xend` knows of a domain, and keeps in a file.

use super::devices::Plugged;
use crate::config::domain::{DomainConfig, Uuid};
use crate::whole_file::{self, Lasting};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How far a domain is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It is being built. If nobody builds it any more, it is destroyed.
    Building,
    /// It is built, and runs or is paused.
    Running,
    /// It has crashed, and its core is being written.
    Dumping,
    /// It has ended, and is kept for who wants to look at it.
    Preserved,
}

/// See the module.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// What it is to be.
    pub config: DomainConfig,
    /// How far it is.
    pub phase: Phase,
    /// Its number, when it has one.
    pub domid: Option<u16>,
    /// When it was started, in seconds since 1970.
    pub start_time: f64,
    /// How often it was built again.
    pub restart_count: u32,
    /// An administrator has paused it.
    pub paused_by_admin: bool,
    /// It is paused while its core is being written.
    #[serde(default)]
    pub paused_for_dump: bool,
    /// When it was asked to shut down, in seconds since 1970, until that is noted as without effect.
    #[serde(default)]
    pub shutdown_asked: Option<f64>,
    /// Devices that are plugged in, or half.
    #[serde(default)]
    pub devices: Vec<Plugged>,
    /// The entry of its boot loader's menu that was chosen for the next time that it is built, and only for that.
    #[serde(skip)]
    pub entry: Option<u32>,
    /// It is being built again: the store says so until that is done.
    #[serde(skip)]
    pub is_restarting: bool,
    /// The frame of its ring to the store.
    pub store_mfn: u64,
    /// The frame of its console's ring.
    pub console_mfn: u64,
    /// Of the machine's boot in which this is true.
    pub boot_id: String,
}

impl Record {
    /// Of a domain that is to be built.
    #[must_use]
    pub fn new(config: DomainConfig, boot_id: &str) -> Self {
        Self {
            config,
            phase: Phase::Building,
            domid: None,
            start_time: 0.0,
            restart_count: 0,
            paused_by_admin: false,
            paused_for_dump: false,
            shutdown_asked: None,
            devices: Vec::new(),
            entry: None,
            is_restarting: false,
            store_mfn: 0,
            console_mfn: 0,
            boot_id: boot_id.to_owned(),
        }
    }
}

fn path(directory: &Path, uuid: Uuid) -> PathBuf {
    directory.join(format!("{uuid}.json"))
}

/// Writes a record: whole, or not at all.
///
/// # Errors
///
/// If it can't be written.
pub fn save(directory: &Path, record: &Record) -> io::Result<()> {
    let content = serde_json::to_vec(record).map_err(io::Error::other)?;
    let path = path(directory, record.config.uuid);
    whole_file::replace(&path, &content, Lasting::ThisBoot)
}

/// Forgets a record.
///
/// # Errors
///
/// If its file can't be removed.
pub fn remove(directory: &Path, uuid: Uuid) -> io::Result<()> {
    match fs::remove_file(path(directory, uuid)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// All records of this boot; those of former ones are forgotten, and so is what is no record.
///
/// # Errors
///
/// If the directory can't be read.
pub fn load_all(directory: &Path, boot_id: &str) -> io::Result<Vec<Record>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut records = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let record = fs::read(&path)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
        match record {
            Some(record) if record.boot_id == boot_id => records.push(record),
            _ => {
                log::info!("{}: not of this boot, forgotten", path.display());
                fs::remove_file(&path)?;
            }
        }
    }
    Ok(records)
}
