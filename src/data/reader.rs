//! One database as a run reads it.

use pontoon_storage::Reader;

use super::databases::{DATABASES, Databases};
use super::effects::class;
use super::encoding::{KEY_BYTES_MAX, Kind, Record};
use super::error::{Error, Result};
use super::state::RunState;

/// A database of a snapshot, or of a transaction, at the run's time.
pub struct DbReader<'a> {
    pub(super) reader: &'a dyn Reader,
    pub(super) state: &'a mut RunState,
    pub(super) db: u8,
}

impl<'a> DbReader<'a> {
    /// Database `db` of `reader`. `state` is of a run over that same reader.
    pub fn new(reader: &'a dyn Reader, state: &'a mut RunState, db: u8) -> Self {
        Self { reader, state, db }
    }

    /// The run's clock, in milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.state.now_ms
    }

    /// The record of `key`, unless it is absent or expired.
    ///
    /// # Errors
    /// The storage's.
    pub fn lookup(&mut self, key: &[u8]) -> Result<Option<Record>> {
        if key.len() > KEY_BYTES_MAX {
            return Ok(None);
        }
        let namespace = self.namespace()?;
        let Some(stored) = self.state.stored(self.reader, namespace, key)? else {
            return Ok(None);
        };
        let record = Record::decode(stored)?;
        Ok((!record.is_expired(self.state.now_ms)).then_some(record))
    }

    /// The record of `key`, and whether its time has come though nothing has removed it yet.
    ///
    /// # Errors
    /// The storage's.
    pub fn lookup_with_expired(&mut self, key: &[u8]) -> Result<Option<(Record, bool)>> {
        if key.len() > KEY_BYTES_MAX {
            return Ok(None);
        }
        let namespace = self.namespace()?;
        let stored = self.state.stored(self.reader, namespace, key)?;
        let record = stored.map(Record::decode).transpose()?;
        Ok(record.map(|record| {
            let expired = record.is_expired(self.state.now_ms);
            (record, expired)
        }))
    }

    /// As [`lookup`](DbReader::lookup), for a value that must be of `kind`.
    ///
    /// # Errors
    /// [`Error::WrongType`]; the storage's.
    pub fn lookup_kind(&mut self, key: &[u8], kind: Kind) -> Result<Option<Record>> {
        expect_kind(self.lookup(key)?, kind)
    }

    /// The number of the database.
    pub fn number(&self) -> u8 {
        self.db
    }

    /// As [`lookup`](DbReader::lookup), and counts a hit or a miss.
    ///
    /// # Errors
    /// The storage's.
    pub fn read(&mut self, key: &[u8]) -> Result<Option<Record>> {
        let record = self.lookup(key)?;
        self.state.tally.count_lookup(record.is_some());
        if record.is_none() {
            self.state.effects.notify(class::KEY_MISS, "keymiss", self.db, key);
        }
        Ok(record)
    }

    /// As [`read`](DbReader::read), but tells nobody that the key was missing.
    ///
    /// # Errors
    /// The storage's.
    pub fn inspect(&mut self, key: &[u8]) -> Result<Option<Record>> {
        let record = self.lookup(key)?;
        self.state.tally.count_lookup(record.is_some());
        Ok(record)
    }

    /// As [`read`](DbReader::read), for a value that must be of `kind`.
    ///
    /// # Errors
    /// [`Error::WrongType`]; the storage's.
    pub fn read_kind(&mut self, key: &[u8], kind: Kind) -> Result<Option<Record>> {
        expect_kind(self.read(key)?, kind)
    }

    /// How many keys the database has, and how many of them have an expiry; those count too whose
    /// time has come but that no sweep has reached.
    ///
    /// # Errors
    /// The storage's.
    pub fn key_counts(&mut self) -> Result<(u64, u64)> {
        let counts = self.state.key_counts(self.reader, self.db)?;
        Ok((counts.keys, counts.expiring))
    }

    /// Another database of the same run.
    pub fn database(&mut self, db: u8) -> DbReader<'_> {
        debug_assert!(db < DATABASES);
        DbReader { reader: self.reader, state: self.state, db }
    }

    pub(super) fn namespace(&mut self) -> Result<u64> {
        Ok(self.state.namespace(self.reader, self.db)?)
    }

    pub(super) fn keyspaces(&self) -> &Databases {
        &self.state.databases
    }
}

/// Passes on a record that is absent or of `kind`.
pub(super) fn expect_kind(record: Option<Record>, kind: Kind) -> Result<Option<Record>> {
    match record {
        Some(record) if record.kind != kind => Err(Error::WrongType),
        record => Ok(record),
    }
}
