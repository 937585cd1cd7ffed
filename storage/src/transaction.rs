//! A transaction: reads and writes of one operation of the write lane.

use std::cell::OnceCell;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use bytes::Bytes;

use crate::engine::{Changes, Engine, Page, PageLimit, Snapshot};
use crate::error::{Error, Result};
use crate::keyspace::{Keyspace, KeyspaceId};
use crate::lane::call::quietly;
use crate::options::SizeLimits;
use crate::overlay::{Mark, Overlay};
use crate::range::{IntoBytes, KeyRange};
use crate::read::Reader;
use crate::shared::Shared;
use crate::view::{get_many, get_unknown, own};

/// Reads and writes of one operation, which sees its own writes and those of every operation before
/// it: what [`Store::update`](crate::Store::update) gives to its closure. Read it through [`Reader`].
///
/// Nothing reaches the engine until the closure has returned `Ok`; the writes then become one atomic
/// part of the drain's batch.
pub struct Transaction {
    base: Base,
    store: u64,
    limits: SizeLimits,
    overlay: Overlay,
    begun: Mark,
    sync: bool,
    after_commit: Vec<AfterCommit>,
}

/// See [`Transaction::after_commit`].
pub(crate) type AfterCommit = Box<dyn FnOnce(Result<()>) + Send>;

impl Transaction {
    /// Sets `key` to `value`.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the key, the value or what this operation has written so far is over
    /// its limit; [`Error::InvalidArgument`] for a keyspace of another store.
    pub fn put(
        &mut self,
        keyspace: &Keyspace,
        key: impl IntoBytes,
        value: impl IntoBytes,
    ) -> Result<()> {
        let (key, value) = (key.into_bytes(), value.into_bytes());
        self.limits.check_key(&key)?;
        self.limits.check_value(&value)?;
        let keyspace = own(keyspace, self.store)?;
        self.limits.check_transaction(self.bytes() + key.len() + value.len())?;
        self.overlay.put(keyspace, key, value);
        Ok(())
    }

    /// Removes `key`. Removing what is not there is fine.
    ///
    /// # Errors
    /// As for [`put`](Transaction::put).
    pub fn delete(&mut self, keyspace: &Keyspace, key: impl IntoBytes) -> Result<()> {
        let key = key.into_bytes();
        self.limits.check_key(&key)?;
        let keyspace = own(keyspace, self.store)?;
        self.limits.check_transaction(self.bytes() + key.len())?;
        self.overlay.delete(keyspace, key);
        Ok(())
    }

    /// Removes every key of `range`. Costs the same however many there are (on redb: when committed,
    /// by their number).
    ///
    /// # Errors
    /// As for [`put`](Transaction::put).
    pub fn delete_range(&mut self, keyspace: &Keyspace, range: impl Into<KeyRange>) -> Result<()> {
        let range = range.into();
        let keyspace = own(keyspace, self.store)?;
        self.limits.check_range(&range)?;
        self.limits.check_transaction(self.bytes() + range.weight())?;
        self.overlay.delete_range(keyspace, range);
        Ok(())
    }

    /// Runs `f`. If it returns an error or panics, its writes, and only those, are undone and the error is
    /// returned; the transaction goes on.
    ///
    /// # Errors
    /// Whatever `f` returns.
    pub fn savepoint<T, E>(&mut self, f: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        let mark = self.overlay.mark();
        // A panic that the closure around this one catches must not leave half of it behind.
        let result = catch_unwind(AssertUnwindSafe(|| f(self)));
        if !matches!(result, Ok(Ok(_))) {
            self.overlay.rollback(mark);
        }
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Asks that this operation be acknowledged only after an fsync, whatever the store's default.
    pub fn require_sync(&mut self) {
        self.sync = true;
    }

    /// Calls `f` once the batch that this operation is part of has been applied, or has failed, with the
    /// outcome: for what others must hear of an operation, and not before it is as durable as was asked.
    /// It comes before this operation's own answer, and in the order of operations; whether the caller
    /// still waits makes no difference. If the operation itself fails or panics, `f` is dropped uncalled;
    /// a [`savepoint`](Transaction::savepoint) undone inside it changes nothing.
    ///
    /// `f` runs on the thread of the write lane, which others wait for: it must be short and must not
    /// block. Its panic is swallowed.
    pub fn after_commit(&mut self, f: impl FnOnce(Result<()>) + Send + 'static) {
        self.after_commit.push(Box::new(f));
    }

    /// Bytes that this operation has written so far.
    pub fn bytes(&self) -> usize {
        self.overlay.bytes_since(self.begun)
    }

    pub(crate) fn new(engine: Arc<dyn Engine>, shared: &Arc<Shared>) -> Self {
        let overlay = Overlay::default();
        let begun = overlay.mark();
        let (store, limits) = (shared.id, shared.sizes);
        let base = Base { engine, shared: Arc::clone(shared), snapshot: OnceCell::new() };
        Self { base, store, limits, overlay, begun, sync: false, after_commit: Vec::new() }
    }

    /// Starts the next operation over what those before it left.
    pub(crate) fn begin(&mut self) {
        self.overlay.keep();
        self.begun = self.overlay.mark();
        self.sync = false;
        self.after_commit.clear();
    }

    /// Undoes the operation begun last.
    pub(crate) fn abort(&mut self) {
        self.overlay.rollback(self.begun);
        self.sync = false;
        quietly(|| self.after_commit.clear());
    }

    /// What the operation begun last wants to hear of the commit.
    pub(crate) fn take_after_commit(&mut self) -> Vec<AfterCommit> {
        mem::take(&mut self.after_commit)
    }

    /// Whether the operation begun last asked for an fsync.
    pub(crate) fn wants_sync(&self) -> bool {
        self.sync
    }

    pub(crate) fn has_written(&self) -> bool {
        self.bytes() > 0
    }

    pub(crate) fn changes(&self) -> &Changes {
        self.overlay.changes()
    }

    /// Bytes of every operation so far.
    pub(crate) fn bytes_total(&self) -> usize {
        self.overlay.bytes()
    }

    fn base(&self) -> Result<&dyn Snapshot> {
        self.base.snapshot()
    }

    /// The pending state of `key`, or the engine's.
    fn get_id(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Bytes>> {
        self.overlay.get(keyspace, key).map_or_else(|| self.base.get(keyspace, key), Ok)
    }
}

impl Reader for Transaction {
    fn get(&self, keyspace: &Keyspace, key: &[u8]) -> Result<Option<Bytes>> {
        self.get_id(own(keyspace, self.store)?, key)
    }

    fn get_many(&self, keyspace: &Keyspace, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>> {
        let keyspace = own(keyspace, self.store)?;
        let known = |key: &[u8]| {
            self.overlay.get(keyspace, key).or_else(|| self.base.cached(keyspace, key))
        };
        get_unknown(keys, known, |unknown| self.base.get_many(keyspace, unknown))
    }

    fn page(
        &self,
        keyspace: &Keyspace,
        range: &KeyRange,
        reverse: bool,
        limit: PageLimit,
    ) -> Result<Page> {
        let keyspace = own(keyspace, self.store)?;
        if range.is_empty() {
            return Ok(Page::default());
        }
        self.overlay.page(self.base()?, keyspace, range, reverse, limit)
    }
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

/// The engine below, with a snapshot taken when a range is first read: a drain that reads single keys
/// needs none. Only the write lane changes the engine, so late is as good as early.
struct Base {
    engine: Arc<dyn Engine>,
    shared: Arc<Shared>,
    snapshot: OnceCell<Box<dyn Snapshot>>,
}

impl Base {
    /// From the record cache, where nothing is in flight while an operation runs, or from the engine.
    fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Bytes>> {
        match self.cached(keyspace, key) {
            Some(value) => Ok(value),
            None if self.has_snapshot() => self.snapshot()?.get(keyspace, key),
            None => self.newest(&[(keyspace, key)])?.pop().ok_or(Error::Closed),
        }
    }

    /// The same for several, past the cache.
    fn get_many(&self, keyspace: KeyspaceId, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>> {
        if self.has_snapshot() {
            return get_many(self.snapshot()?, keyspace, keys);
        }
        let keys: Vec<_> = keys.iter().map(|key| (keyspace, *key)).collect();
        self.newest(&keys)
    }

    /// Whether single keys are read from a snapshot: if there is one, or if it is no dearer.
    fn has_snapshot(&self) -> bool {
        self.snapshot.get().is_some() || !self.engine.gets_without_snapshot()
    }

    /// What is newest is as good as a snapshot.
    fn newest(&self, keys: &[(KeyspaceId, &[u8])]) -> Result<Vec<Option<Bytes>>> {
        self.engine.get_many(keys, &()).into_iter().collect()
    }

    fn cached(&self, keyspace: KeyspaceId, key: &[u8]) -> Option<Option<Bytes>> {
        let cache = self.shared.cache.as_ref()?;
        cache.look(cache.now(), keyspace, key)
    }

    fn snapshot(&self) -> Result<&dyn Snapshot> {
        if self.snapshot.get().is_none() {
            let taken = self.engine.snapshot()?;
            let _ = self.snapshot.set(taken);
        }
        self.snapshot.get().map(AsRef::as_ref).ok_or(Error::Closed)
    }
}
