//! One database as a run changes it.

use bytes::Bytes;
use pontoon_storage::Transaction;

use super::effects::class;
use super::encoding::{self, KEY_BYTES_MAX, KeyCounts, Kind, Record};
use super::error::{Error, Result};
use super::reader::{DbReader, expect_kind};
use super::state::RunState;

/// A database of a transaction, at the run's time. Whatever changes a key goes through
/// [`store`](DbWriter::store) and [`remove`](DbWriter::remove), which keep the expiry index, the
/// counts and the list of garbage right.
pub struct DbWriter<'a> {
    pub(super) tx: &'a mut Transaction,
    pub(super) state: &'a mut RunState,
    pub(super) db: u8,
}

impl<'a> DbWriter<'a> {
    /// Database `db` of `tx`. `state` is of a run over that same transaction; the caller ends the
    /// run with [`RunState::write_books`].
    pub fn new(tx: &'a mut Transaction, state: &'a mut RunState, db: u8) -> Self {
        Self { tx, state, db }
    }

    /// The run's clock, in milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.state.now_ms
    }

    /// The database to read from, as changed so far.
    pub fn reader(&mut self) -> DbReader<'_> {
        DbReader::new(self.tx, self.state, self.db)
    }

    /// Another database of the same run.
    pub fn database(&mut self, db: u8) -> DbWriter<'_> {
        DbWriter { tx: self.tx, state: self.state, db }
    }

    /// The record of `key`, unless it is absent; one that has expired is removed. A key that is too
    /// long to be stored is absent.
    ///
    /// # Errors
    /// The storage's.
    pub fn lookup(&mut self, key: &[u8]) -> Result<Option<Record>> {
        if key.len() > KEY_BYTES_MAX {
            return Ok(None);
        }
        let namespace = self.reader().namespace()?;
        let Some(stored) = self.state.stored(self.tx, namespace, key)? else { return Ok(None) };
        let record = Record::decode(stored)?;
        if record.is_expired(self.state.now_ms) {
            self.expire(key, &record)?;
            return Ok(None);
        }
        Ok(Some(record))
    }

    /// Removes `key`, whose time has come, with its `record`.
    pub(super) fn expire(&mut self, key: &[u8], record: &Record) -> Result<()> {
        self.discard_elements_of(record)?;
        self.detach(key, record)?;
        self.state.tally.expired += 1;
        self.state.effects.touch(self.db, key, true);
        self.state.effects.notify(class::EXPIRED, "expired", self.db, key);
        Ok(())
    }

    /// Says that `key` has changed, to those who watch it: for a change that leaves its record as it is.
    /// [`store`](DbWriter::store) and [`remove`](DbWriter::remove) say so by themselves.
    pub fn touch(&mut self, key: &[u8]) {
        self.state.effects.touch(self.db, key, false);
    }

    /// Tells those who listen for events of the class, one of [`class`], that `name` happened to `key`.
    pub fn notify(&mut self, class: u32, name: &'static str, key: &[u8]) {
        self.state.effects.notify(class, name, self.db, key);
    }

    /// The number of the database.
    pub fn number(&self) -> u8 {
        self.db
    }

    /// As [`lookup`](DbWriter::lookup), for a value that must be of `kind`.
    ///
    /// # Errors
    /// [`Error::WrongType`]; as for `lookup`.
    pub fn lookup_kind(&mut self, key: &[u8], kind: Kind) -> Result<Option<Record>> {
        expect_kind(self.lookup(key)?, kind)
    }

    /// As [`lookup_kind`](DbWriter::lookup_kind), and counts a hit or a miss: for commands that
    /// also answer with what they found.
    ///
    /// # Errors
    /// As for `lookup_kind`.
    pub fn read_kind(&mut self, key: &[u8], kind: Kind) -> Result<Option<Record>> {
        let record = self.lookup(key)?;
        self.state.tally.count_lookup(record.is_some());
        if record.is_none() {
            self.state.effects.notify(class::KEY_MISS, "keymiss", self.db, key);
        }
        expect_kind(record, kind)
    }

    /// Puts `new` in place of `old`, what [`lookup`](DbWriter::lookup) found last for `key`. The
    /// elements of `old` become garbage unless `new` has the same version.
    ///
    /// # Errors
    /// [`Error::KeyTooLong`]; the storage's.
    pub fn store(&mut self, key: &[u8], old: Option<&Record>, new: &Record) -> Result<()> {
        check_key(key)?;
        let namespace = self.namespace()?;
        let hash = encoding::hash(key);
        let meta = self.state.databases.meta();
        self.tx.put(meta, encoding::record_key(namespace, hash, key), new.encode())?;
        let old_expiry = old.and_then(|old| old.expires_at_ms);
        self.move_expiry(namespace, hash, key, old_expiry, new.expires_at_ms)?;
        if let Some(version) = old.and_then(|old| old.version).filter(|v| new.version != Some(*v)) {
            self.discard_elements(namespace, version)?;
        }
        let effects = &mut self.state.effects;
        effects.touch(self.db, key, false);
        if old.is_none() {
            effects.notify(class::NEW, "new", self.db, key);
        }
        let can_be_waited_for = matches!(new.kind, Kind::List | Kind::SortedSet);
        if can_be_waited_for && old.is_none_or(|old| old.kind != new.kind) {
            effects.make_ready(self.db, key);
        }
        if old.is_some() && old_expiry.is_some() == new.expires_at_ms.is_some() {
            return Ok(());
        }
        let counts = self.state.key_counts(self.tx, self.db)?;
        let changed = KeyCounts {
            keys: counts.keys + u64::from(old.is_none()),
            expiring: (counts.expiring + u64::from(new.expires_at_ms.is_some()))
                .saturating_sub(u64::from(old_expiry.is_some())),
        };
        self.state.set_key_counts(self.db, changed);
        Ok(())
    }

    /// Removes `key` with its `record`, what [`lookup`](DbWriter::lookup) found last for it. Its
    /// elements become garbage.
    ///
    /// # Errors
    /// The storage's.
    pub fn remove(&mut self, key: &[u8], record: &Record) -> Result<()> {
        self.discard_elements_of(record)?;
        self.state.effects.touch(self.db, key, false);
        self.detach(key, record)
    }

    /// Moves `record`, its expiry and its elements from key `from` to key `to`, where `replaced` is
    /// what was there. The keys differ.
    ///
    /// # Errors
    /// [`Error::KeyTooLong`]; the storage's.
    pub fn rename(
        &mut self,
        from: &[u8],
        record: &Record,
        to: &[u8],
        replaced: Option<&Record>,
    ) -> Result<()> {
        self.state.effects.touch(self.db, from, false);
        self.detach(from, record)?;
        if let Some(replaced) = replaced {
            self.remove(to, replaced)?;
        }
        self.store(to, None, record)
    }

    /// Lets two databases change places, at once whatever their size.
    ///
    /// # Errors
    /// The storage's.
    pub fn swap(&mut self, one: u8, other: u8) -> Result<()> {
        let namespaces = [one, other].map(|db| self.database(db).namespace());
        let counts = [one, other].map(|db| self.state.key_counts(self.tx, db));
        let ([one_namespace, other_namespace], [one_counts, other_counts]) = (namespaces, counts);
        let (one_namespace, other_namespace) = (one_namespace?, other_namespace?);
        let (one_counts, other_counts) = (one_counts?, other_counts?);
        self.state.set_namespace(one, other_namespace);
        self.state.set_namespace(other, one_namespace);
        self.state.set_key_counts(one, other_counts);
        self.state.set_key_counts(other, one_counts);
        for db in [one, other] {
            self.state.effects.touch_all(db);
            self.state.effects.make_all_ready(db);
        }
        Ok(())
    }

    /// Empties the database, at once whatever its size: its keys are in a namespace that is its own
    /// no more, for [`sweep_step`](super::sweep_step) to remove.
    ///
    /// # Errors
    /// The storage's.
    pub fn flush(&mut self) -> Result<()> {
        if self.state.key_counts(self.tx, self.db)?.keys == 0 {
            return Ok(());
        }
        let namespace = self.namespace()?;
        self.state.effects.touch_all(self.db);
        self.state.effects.discarded += 1;
        let system = self.state.databases.system();
        self.tx.put(system, encoding::flushed_key(namespace), Bytes::new())?;
        let namespace = self.state.allocate_namespace(self.tx)?;
        self.state.set_namespace(self.db, namespace);
        self.state.set_key_counts(self.db, KeyCounts::default());
        Ok(())
    }

    pub(super) fn namespace(&mut self) -> Result<u64> {
        Ok(self.state.namespace(self.tx, self.db)?)
    }

    /// Removes the record and its expiry, and leaves the elements.
    fn detach(&mut self, key: &[u8], record: &Record) -> Result<()> {
        let namespace = self.namespace()?;
        let hash = encoding::hash(key);
        let meta = self.state.databases.meta();
        self.tx.delete(meta, encoding::record_key(namespace, hash, key))?;
        self.move_expiry(namespace, hash, key, record.expires_at_ms, None)?;
        let counts = self.state.key_counts(self.tx, self.db)?;
        let expiring = u64::from(record.expires_at_ms.is_some());
        let changed = KeyCounts {
            keys: counts.keys.saturating_sub(1),
            expiring: counts.expiring.saturating_sub(expiring),
        };
        self.state.set_key_counts(self.db, changed);
        Ok(())
    }

    fn move_expiry(
        &mut self,
        namespace: u64,
        hash: u64,
        key: &[u8],
        old: Option<u64>,
        new: Option<u64>,
    ) -> Result<()> {
        if old == new {
            return Ok(());
        }
        let expiry = self.state.databases.expiry();
        if let Some(at_ms) = old {
            self.tx.delete(expiry, encoding::expiry_key(namespace, at_ms, hash, key))?;
        }
        if let Some(at_ms) = new {
            let entry = encoding::expiry_key(namespace, at_ms, hash, key);
            self.tx.put(expiry, entry, Bytes::new())?;
        }
        Ok(())
    }

    fn discard_elements_of(&mut self, record: &Record) -> Result<()> {
        let namespace = self.namespace()?;
        record.version.map_or(Ok(()), |version| self.discard_elements(namespace, version))
    }

    pub(super) fn discard_elements(&mut self, namespace: u64, version: u64) -> Result<()> {
        let entry = encoding::garbage_key(namespace, version);
        self.state.effects.discarded += 1;
        Ok(self.tx.put(self.state.databases.system(), entry, Bytes::new())?)
    }
}

/// Whether `key` may be stored. Whatever writes elements before the record asks this first.
pub(super) fn check_key(key: &[u8]) -> Result<()> {
    if key.len() > KEY_BYTES_MAX { Err(Error::KeyTooLong) } else { Ok(()) }
}
