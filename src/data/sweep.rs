//! The two sweeps behind the data: keys whose time has come, and what flushes and removals left.
//!
//! Both work in bounded steps, each one transaction. What is still to do is in the store, so a
//! crash between two steps loses nothing.

use std::collections::BTreeMap;

use bytes::Bytes;
use pontoon_storage::engine::PageLimit;
use pontoon_storage::{KeyRange, Keyspace, Reader, Transaction};

use super::databases::{DATABASES, Databases};
use super::effects::Effects;
use super::encoding::{self, Record};
use super::error::Result;
use super::state::RunState;
use super::writer::DbWriter;

/// Entries that a step of either sweep removes at the most, unless its caller knows better.
pub const SWEEP_STEP_DEFAULT: usize = 256;

/// Bytes of the entries that a step reads at the most, so that chunks do not make it long.
const STEP_BYTES_MAX: usize = 1 << 20;

/// How far the sweeps have come: where the next step starts, so that it does not walk again over
/// what earlier ones removed, which engines such as RocksDB keep for a while as tombstones. Only a
/// hint that saves time: losing it, as a restart does, costs one walk from the front.
#[derive(Debug, Clone, Default)]
pub struct SweepProgress {
    /// By namespace: keys whose time came before this have been removed, but for those stored
    /// since with a time in the past.
    expired_before_ms: BTreeMap<u64, u64>,
    /// In the flushed namespace that is being removed.
    flushed: FlushedProgress,
    /// In the discarded value that is being removed.
    discarded: DiscardedProgress,
}

#[derive(Debug, Clone, Default)]
struct FlushedProgress {
    namespace: u64,
    /// Which of the ranges that hold the namespace's remains.
    part: usize,
    /// The first key of that range that may be left.
    start: Bytes,
}

#[derive(Debug, Clone, Default)]
struct DiscardedProgress {
    namespace: u64,
    version: u64,
    /// The first key of its elements that may be left.
    start: Bytes,
}

impl SweepProgress {
    fn expired_range(&self, namespace: u64, now_ms: u64) -> KeyRange {
        let from_ms = self.expired_before_ms.get(&namespace).copied().unwrap_or(0);
        encoding::expired_range(namespace, from_ms.min(now_ms), now_ms)
    }
}

/// What a step of the expiry sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpireStep {
    /// Keys it removed.
    pub removed: u64,
    /// Whether it stopped at its limit, so that there may be more.
    pub more: bool,
}

/// Removes keys whose time has come at `now_ms`, up to `limit` of them. Moves `progress` on, which
/// the caller keeps only once the transaction has been committed, and adds to `effects` what others must
/// hear of then.
///
/// # Errors
/// The storage's; the transaction must then be undone.
pub fn expire_step(
    tx: &mut Transaction,
    databases: &Databases,
    now_ms: u64,
    limit: usize,
    progress: &mut SweepProgress,
    effects: &mut Effects,
) -> Result<ExpireStep> {
    let mut state = RunState::with_interest(databases, now_ms, effects.interest);
    let mut step = ExpireStep { removed: 0, more: false };
    let mut left = limit;
    for db in 0..DATABASES {
        if state.key_counts(tx, db)?.expiring == 0 {
            continue;
        }
        if left == 0 {
            step.more = true;
            break;
        }
        let namespace = state.namespace(tx, db)?;
        let range = progress.expired_range(namespace, now_ms);
        let page_limit = PageLimit { entries: left, bytes: STEP_BYTES_MAX };
        let page = tx.page(databases.expiry(), &range, false, page_limit)?;
        step.more |= page.more;
        left = left.saturating_sub(page.entries.len());
        let mut removed_before_ms = now_ms;
        for (entry, _) in page.entries {
            let (at_ms, key) = encoding::split_expiry_key(&entry)?;
            if page.more {
                removed_before_ms = at_ms;
            }
            let stored = state.stored(tx, namespace, &key)?;
            let record = stored.map(Record::decode).transpose()?;
            match record.filter(|record| record.expires_at_ms == Some(at_ms)) {
                Some(record) => {
                    DbWriter::new(tx, &mut state, db).expire(&key, &record)?;
                    step.removed += 1;
                }
                None => tx.delete(databases.expiry(), entry)?,
            }
        }
        progress.expired_before_ms.insert(namespace, removed_before_ms);
    }
    state.write_books(tx)?;
    *effects = state.effects;
    Ok(step)
}

/// Whether [`expire_step`] would find anything, for a look that needs no transaction.
///
/// # Errors
/// The storage's.
pub fn has_expired(
    reader: &dyn Reader,
    databases: &Databases,
    now_ms: u64,
    progress: &SweepProgress,
) -> Result<bool> {
    for db in 0..DATABASES {
        if databases.key_counts(reader, db)?.expiring == 0 {
            continue;
        }
        let range = progress.expired_range(databases.namespace(reader, db)?, now_ms);
        if !is_empty(reader, databases.expiry(), &range)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a step of the other sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GarbageStep {
    /// Flushed databases and discarded values of which it removed the last entry.
    pub freed: u64,
    /// Whether there is more to do.
    pub more: bool,
}

/// Removes up to `limit` of the entries that flushed namespaces and discarded versions left behind.
/// Moves `progress` on, which the caller keeps only once the transaction has been committed.
///
/// # Errors
/// The storage's; the transaction must then be undone.
pub fn sweep_step(
    tx: &mut Transaction,
    databases: &Databases,
    limit: usize,
    progress: &mut SweepProgress,
) -> Result<GarbageStep> {
    let step = |freed, more| GarbageStep { freed: u64::from(freed), more };
    let system = databases.system();
    if let Some(entry) = first_key(tx, system, &encoding::flushed_range())? {
        let namespace = encoding::split_flushed_key(&entry)?;
        let range = encoding::namespace_range(namespace);
        let parts = [
            (databases.meta(), &range),
            (databases.elements(), &range),
            (databases.expiry(), &range),
            (system, &encoding::garbage_of(namespace)),
        ];
        // Nobody writes to a flushed namespace, so that what is behind stays empty.
        let progress = &mut progress.flushed;
        if progress.namespace != namespace {
            *progress = FlushedProgress { namespace, ..FlushedProgress::default() };
        }
        for (part, (keyspace, range)) in parts.into_iter().enumerate().skip(progress.part) {
            let start = if part == progress.part { progress.start.clone() } else { Bytes::new() };
            let rest = KeyRange { start: start.max(range.start.clone()), end: range.end.clone() };
            if let Some(last) = delete_some(tx, keyspace, &rest, limit)? {
                (progress.part, progress.start) = (part, last);
                return Ok(step(false, true));
            }
        }
        tx.delete(system, entry)?;
        return Ok(step(true, has_garbage(tx, databases)?));
    }
    if let Some(entry) = first_key(tx, system, &encoding::garbage_range())? {
        let (namespace, version) = encoding::split_garbage_key(&entry)?;
        let range = encoding::elements_range(namespace, version);
        // Nobody writes to a discarded version either.
        let progress = &mut progress.discarded;
        if (progress.namespace, progress.version) != (namespace, version) {
            *progress = DiscardedProgress { namespace, version, start: Bytes::new() };
        }
        let start = range.start.clone().max(progress.start.clone());
        let rest = KeyRange { start, end: range.end.clone() };
        if let Some(last) = delete_some(tx, databases.elements(), &rest, limit)? {
            progress.start = last;
            return Ok(step(false, true));
        }
        tx.delete(system, entry)?;
        return Ok(step(true, has_garbage(tx, databases)?));
    }
    Ok(step(false, false))
}

/// Whether [`sweep_step`] would find anything, for a look that needs no transaction.
///
/// # Errors
/// The storage's.
pub fn has_garbage(reader: &dyn Reader, databases: &Databases) -> Result<bool> {
    let system = databases.system();
    Ok(!is_empty(reader, system, &encoding::flushed_range())?
        || !is_empty(reader, system, &encoding::garbage_range())?)
}

/// Returns the last key it deleted.
fn delete_some(
    tx: &mut Transaction,
    keyspace: &Keyspace,
    range: &KeyRange,
    limit: usize,
) -> Result<Option<Bytes>> {
    let step = PageLimit { entries: limit, bytes: STEP_BYTES_MAX };
    let page = tx.page(keyspace, range, false, step)?;
    let mut last = None;
    for (key, _) in page.entries {
        tx.delete(keyspace, key.clone())?;
        last = Some(key);
    }
    Ok(last)
}

fn first_key(reader: &dyn Reader, keyspace: &Keyspace, range: &KeyRange) -> Result<Option<Bytes>> {
    let page = reader.page(keyspace, range, false, PageLimit::ONE)?;
    Ok(page.entries.into_iter().next().map(|(key, _)| key))
}

fn is_empty(reader: &dyn Reader, keyspace: &Keyspace, range: &KeyRange) -> Result<bool> {
    Ok(first_key(reader, keyspace, range)?.is_none())
}
