//! A copy of the whole database, made from one read transaction while writing goes on.

use std::ops::Bound;
use std::path::Path;

use ::redb::{Builder, CursorError, Durability, Range, ReadTransaction, Table, TableHandle};

use super::Definition;
use super::failure::failed;
use super::record::verified;
use crate::disk::sync_file;
use crate::error::{Error, Result};

/// A transaction of the copy ends with the entry that brings it to this many bytes: what bounds the
/// memory of a copy, with [`COPY_CACHE_BYTES`].
const CHUNK_BYTES_MAX: usize = 8 << 20;

/// The cache of the copy, in bytes. It is written once, in key order, and never read.
const COPY_CACHE_BYTES: usize = 32 << 20;

/// Copies every table of `from` into a new file at `path` and fsyncs it.
pub(super) fn write(from: &ReadTransaction, path: &Path) -> Result<()> {
    let copy = Builder::new().set_cache_size(COPY_CACHE_BYTES).create(path).map_err(failed)?;
    for handle in from.list_tables().map_err(failed)? {
        let definition = Definition::new(handle.name());
        let table = from.open_table(definition).map_err(failed)?;
        let mut entries = table.range::<&[u8]>(..).map_err(failed)?;
        let mut more = true;
        while more {
            let mut transaction = copy.begin_write().map_err(failed)?;
            // The file is worth nothing before it is whole, so that only the end needs an fsync.
            transaction.set_durability(Durability::None).map_err(failed)?;
            more =
                copy_chunk(&mut entries, &mut transaction.open_table(definition).map_err(failed)?)?;
            transaction.commit().map_err(failed)?;
        }
    }
    copy.begin_write().map_err(failed)?.commit().map_err(failed)?;
    drop(copy);
    // redb calls fdatasync alone, and closing writes once more.
    sync_file(path)
}

/// Whether there may be more. Appends through a cursor, which builds pages from a run of keys; an
/// insert would descend from the root for each.
fn copy_chunk(
    entries: &mut Range<'_, &'static [u8], &'static [u8]>,
    into: &mut Table<'_, &'static [u8], &'static [u8]>,
) -> Result<bool> {
    let mut cursor = into.upper_bound_mut(Bound::<&[u8]>::Unbounded).map_err(failed)?;
    let mut bytes = 0;
    let mut more = false;
    for entry in entries {
        let (key, value) = entry.map_err(failed)?;
        let (key, value) = (key.value(), value.value());
        // Damage is not copied.
        verified(key, value)?;
        cursor.insert_before(key, value).map_err(cursor_failed)?;
        bytes += key.len() + value.len();
        if bytes >= CHUNK_BYTES_MAX {
            more = true;
            break;
        }
    }
    cursor.close().map_err(failed)?;
    Ok(more)
}

fn cursor_failed(error: CursorError) -> Error {
    match error {
        CursorError::Storage(error) => failed(error),
        // The keys come out of a tree: one out of order means that the tree is damaged.
        error => Error::corrupted(error),
    }
}
