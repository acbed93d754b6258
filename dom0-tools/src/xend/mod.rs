//! `xend`: owns the life cycle of guests.
//!
//! [`Xend`] does what clients ask ([`protocol`]), one thread each, and what the ends of domains ask ([`lifecycle`]
//! decides). What it knows of a domain is a [`record`] in a file that is written before the step that it describes, so
//! that a daemon that is killed at any moment is continued by the next one: a domain that was not finished is
//! destroyed, all others go on. The store's nodes are written by [`store_tree`]. Hypervisor and store are behind
//! [`machine::Machine`] and [`nodes::Nodes`], so all of it runs in tests.
//!
//! Locks, in this order: that of reading the settings again, which nothing else waits for; a domain's own (one operation
//! at a time on a domain; none while a core is written); that of making room in memory; that of taking a disk; then one
//! of these, and none of them while another is held: the table of records, that of cores being written, the settings, the
//! last refusal, the last ends. These are short: what is held for longer than memory takes is the table alone, while a name is changed in
//! a record's file.
#![forbid(unsafe_code)]

mod accounts;
mod ballooning;
mod core_files;
mod core_writing;
pub mod create;
pub mod devices;
pub mod domains;
pub mod dump;
mod early_death;
pub mod end;
mod ends;
pub mod host;
mod image_notes;
pub mod kept;
pub mod lifecycle;
pub mod machine;
mod managed;
mod memory;
pub mod nodes;
pub mod protocol;
pub mod record;
pub mod server;
pub mod settings;
mod shares;
pub mod store_tree;
pub mod table;
pub mod view;

#[cfg(test)]
mod memory_tests;
#[cfg(test)]
mod store_tree_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod testing_devices;
#[cfg(test)]
mod testing_memory;
#[cfg(test)]
mod tests;

use devices::first_domain::FirstDomain;
use devices::plug::Devices;
use machine::Machine;
use nodes::Nodes;
use protocol::Fault;
use settings::Settings;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use table::Table;

/// Makes a connection to the store.
pub type StoreConnector = Box<dyn Fn() -> Result<Box<dyn Nodes>, Fault> + Send + Sync>;

/// Reads the settings, and lets those of the log take effect; or tells in a sentence what is wrong with them.
pub type SettingsReader = Box<dyn Fn() -> Result<Settings, String> + Send + Sync>;

/// Where things are.
#[derive(Clone, Debug)]
pub struct Places {
    /// Records of domains.
    pub records: PathBuf,
    /// Core dumps.
    pub dumps: PathBuf,
}

/// See the module.
pub struct Xend {
    machine: Box<dyn Machine>,
    store: StoreConnector,
    devices: Devices,
    table: Table,
    places: Places,
    read_settings: SettingsReader,
    reading: Mutex<()>,
    settings: Mutex<Arc<Settings>>,
    writings: Mutex<core_writing::Writings>,
    ballooning: Mutex<()>,
    last_refusal: Mutex<Option<view::Refusal>>,
    ends: Mutex<ends::Ends>,
}

impl Xend {
    /// Begins with settings, which can be read again, and with what a former one has left.
    ///
    /// # Errors
    ///
    /// If the records can't be read.
    pub fn new(
        machine: Box<dyn Machine>,
        store: StoreConnector,
        first: Box<dyn FirstDomain>,
        places: Places,
        settings: Settings,
        read_settings: SettingsReader,
        boot_id: &str,
    ) -> std::io::Result<Arc<Self>> {
        let table = Table::open(&places.records, boot_id)?;
        Ok(Arc::new(Self {
            machine,
            store,
            devices: Devices::new(first),
            table,
            places,
            read_settings,
            reading: Mutex::default(),
            settings: Mutex::new(Arc::new(settings)),
            writings: Mutex::default(),
            ballooning: Mutex::default(),
            last_refusal: Mutex::default(),
            ends: Mutex::default(),
        }))
    }

    /// Those in effect now.
    fn settings(&self) -> Arc<Settings> {
        let settings = self.settings.lock();
        Arc::clone(&settings.unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the settings again. If they are wrong, those that are in effect stay so.
    ///
    /// # Errors
    ///
    /// A sentence on what is wrong.
    pub fn reload(&self) -> Result<(), Fault> {
        // Who reads last has the last word; who asks for settings meanwhile gets those in effect.
        let _alone = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let read = (self.read_settings)().map_err(|sentence| {
            log::error!("{sentence}; the settings stay as they were");
            Fault::Text(sentence)
        })?;
        let (former, vcpus) = (self.settings().all(), self.settings().first_vcpus());
        let wanted = read.first_vcpus();
        for ((key, is), (_, was)) in read.all().iter().zip(&former) {
            if is != was {
                log::info!("{key} = {is} from now on; it was {was}");
            }
        }
        log::info!("the settings were read again");
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(read);
        if wanted != vcpus {
            self.give_first_vcpus(wanted);
        }
        Ok(())
    }

    fn connect_store(&self) -> Result<Box<dyn Nodes>, Fault> {
        (self.store)()
    }
}
