//! The two sweeps behind the data: keys whose time has come, and what flushes and removals left.
//!
//! Both work in bounded steps, each one transaction. What is still to do is in the store, so a
//! crash between two steps loses nothing.

use pontoon_storage::engine::PageLimit;
use pontoon_storage::{KeyRange, Keyspace, Reader, Transaction};

use super::databases::{DATABASES, Databases};
use super::encoding::{self, Record};
use super::error::Result;
use super::state::RunState;
use super::writer::DbWriter;

/// Entries that a step of either sweep removes at the most, unless its caller knows better.
pub const SWEEP_STEP_DEFAULT: usize = 256;

/// Bytes of the entries that a step reads at the most, so that chunks do not make it long.
const STEP_BYTES_MAX: usize = 1 << 20;

/// What a step of the expiry sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpireStep {
    /// Keys it removed.
    pub removed: u64,
    /// Whether it stopped at its limit, so that there may be more.
    pub more: bool,
}

/// Removes keys whose time has come at `now_ms`, up to `limit` of them.
///
/// # Errors
/// The storage's; the transaction must then be undone.
pub fn expire_step(
    tx: &mut Transaction,
    databases: &Databases,
    now_ms: u64,
    limit: usize,
) -> Result<ExpireStep> {
    let mut state = RunState::new(databases, now_ms);
    let mut step = ExpireStep { removed: 0, more: false };
    let mut left = limit;
    for db in 0..DATABASES {
        let books = state.database(tx, db)?;
        if books.expiring == 0 {
            continue;
        }
        if left == 0 {
            step.more = true;
            break;
        }
        let range = encoding::expired_range(books.namespace, now_ms);
        let page_limit = PageLimit { entries: left, bytes: STEP_BYTES_MAX };
        let page = tx.page(databases.expiry(), &range, false, page_limit)?;
        step.more |= page.more;
        left = left.saturating_sub(page.entries.len());
        for (entry, _) in page.entries {
            let (at_ms, key) = encoding::split_expiry_key(&entry)?;
            let stored = state.stored(tx, books.namespace, &key)?;
            let record = stored.as_ref().map(Record::decode).transpose()?;
            match record.filter(|record| record.expires_at_ms == Some(at_ms)) {
                Some(record) => {
                    DbWriter::new(tx, &mut state, db).remove(&key, &record)?;
                    step.removed += 1;
                }
                None => tx.delete(databases.expiry(), entry)?,
            }
        }
    }
    state.write_books(tx)?;
    Ok(step)
}

/// Whether [`expire_step`] would find anything, for a look that needs no transaction.
///
/// # Errors
/// The storage's.
pub fn has_expired(reader: &dyn Reader, databases: &Databases, now_ms: u64) -> Result<bool> {
    for db in 0..DATABASES {
        let books = databases.database(reader, db)?;
        let range = encoding::expired_range(books.namespace, now_ms);
        if books.expiring > 0 && !is_empty(reader, databases.expiry(), &range)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes up to `limit` of the entries that flushed namespaces and discarded versions left behind.
/// Returns whether there is more to do.
///
/// # Errors
/// The storage's; the transaction must then be undone.
pub fn sweep_step(tx: &mut Transaction, databases: &Databases, limit: usize) -> Result<bool> {
    let system = databases.system();
    if let Some(entry) = first_key(tx, system, &encoding::flushed_range())? {
        let namespace = encoding::split_flushed_key(&entry)?;
        let range = encoding::namespace_range(namespace);
        for (keyspace, range) in [
            (databases.meta(), &range),
            (databases.elements(), &range),
            (databases.expiry(), &range),
            (system, &encoding::garbage_of(namespace)),
        ] {
            if delete_some(tx, keyspace, range, limit)? > 0 {
                return Ok(true);
            }
        }
        tx.delete(system, entry)?;
        return has_garbage(tx, databases);
    }
    if let Some(entry) = first_key(tx, system, &encoding::garbage_range())? {
        let (namespace, version) = encoding::split_garbage_key(&entry)?;
        let range = encoding::elements_range(namespace, version);
        delete_some(tx, databases.elements(), &range, limit)?;
        if is_empty(tx, databases.elements(), &range)? {
            tx.delete(system, entry)?;
        }
        return has_garbage(tx, databases);
    }
    Ok(false)
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

fn delete_some(
    tx: &mut Transaction,
    keyspace: &Keyspace,
    range: &KeyRange,
    limit: usize,
) -> Result<usize> {
    let step = PageLimit { entries: limit, bytes: STEP_BYTES_MAX };
    let page = tx.page(keyspace, range, false, step)?;
    let found = page.entries.len();
    for (key, _) in page.entries {
        tx.delete(keyspace, key)?;
    }
    Ok(found)
}

fn first_key(
    reader: &dyn Reader,
    keyspace: &Keyspace,
    range: &KeyRange,
) -> Result<Option<bytes::Bytes>> {
    let page = reader.page(keyspace, range, false, PageLimit::ONE)?;
    Ok(page.entries.into_iter().next().map(|(key, _)| key))
}

fn is_empty(reader: &dyn Reader, keyspace: &Keyspace, range: &KeyRange) -> Result<bool> {
    Ok(first_key(reader, keyspace, range)?.is_none())
}
