//! The records of all domains, and one lock for each domain.

use super::record::{self, Record};
use crate::config::domain::Uuid;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// See the module.
pub struct Table {
    directory: PathBuf,
    boot_id: String,
    rows: Mutex<BTreeMap<Uuid, Row>>,
}

struct Row {
    record: Record,
    lock: Arc<Mutex<()>>,
}

/// Why a domain gets no row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Taken {
    /// Another one has the name.
    Name(Option<u16>),
    /// Another one has the identity.
    Uuid(String, Option<u16>),
}

impl Table {
    /// Reads the records of this boot.
    ///
    /// # Errors
    ///
    /// If they can't be read.
    pub fn open(directory: &Path, boot_id: &str) -> io::Result<Self> {
        let rows = record::load_all(directory, boot_id)?.into_iter();
        let rows = rows.map(|record| {
            let lock = Arc::default();
            (record.config.uuid, Row { record, lock })
        });
        Ok(Self {
            directory: directory.to_owned(),
            boot_id: boot_id.to_owned(),
            rows: Mutex::new(rows.collect()),
        })
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<Uuid, Row>> {
        // Every change is one assignment: a row is never half changed.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine's boot.
    #[must_use]
    pub fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// All records.
    #[must_use]
    pub fn all(&self) -> Vec<Record> {
        self.rows().values().map(|row| row.record.clone()).collect()
    }

    /// A record.
    #[must_use]
    pub fn get(&self, uuid: Uuid) -> Option<Record> {
        self.rows().get(&uuid).map(|row| row.record.clone())
    }

    /// The lock of a domain, by which one operation at a time works on it.
    #[must_use]
    pub fn lock_of(&self, uuid: Uuid) -> Option<Arc<Mutex<()>>> {
        self.rows().get(&uuid).map(|row| row.lock.clone())
    }

    /// Makes a row, whose name and identity nobody else has. Returns the domain's lock.
    ///
    /// # Errors
    ///
    /// Which of them somebody else has.
    pub fn insert(&self, record: &Record) -> Result<Arc<Mutex<()>>, Taken> {
        let mut rows = self.rows();
        for Row { record: other, .. } in rows.values() {
            if other.config.name == record.config.name {
                return Err(Taken::Name(other.domid));
            }
            if other.config.uuid == record.config.uuid {
                return Err(Taken::Uuid(other.config.name.clone(), other.domid));
            }
        }
        let lock = Arc::default();
        let row = Row {
            record: record.clone(),
            lock: Arc::clone(&lock),
        };
        rows.insert(record.config.uuid, row);
        Ok(lock)
    }

    /// Changes the name in a record, unless another domain has it.
    ///
    /// # Errors
    ///
    /// If another domain has it.
    pub fn rename(&self, uuid: Uuid, name: &str) -> Result<(), Taken> {
        let mut rows = self.rows();
        let is_it = |row: &&Row| row.record.config.name == name && row.record.config.uuid != uuid;
        if let Some(other) = rows.values().find(is_it) {
            return Err(Taken::Name(other.record.domid));
        }
        if let Some(row) = rows.get_mut(&uuid) {
            row.record.config.name = name.to_owned();
            self.save(&row.record);
        }
        Ok(())
    }

    /// Replaces a record, here and in its file.
    pub fn put(&self, record: &Record) {
        if let Some(row) = self.rows().get_mut(&record.config.uuid) {
            row.record = record.clone();
        }
        self.save(record);
    }

    fn save(&self, record: &Record) {
        if let Err(error) = record::save(&self.directory, record) {
            log::error!(
                "{}: {error}: {} may be lost when xend is restarted",
                self.directory.display(),
                record.config.name
            );
        }
    }

    /// Forgets a domain.
    pub fn remove(&self, uuid: Uuid) {
        self.rows().remove(&uuid);
        if let Err(error) = record::remove(&self.directory, uuid) {
            log::error!("{}: {error}", self.directory.display());
        }
    }
}
