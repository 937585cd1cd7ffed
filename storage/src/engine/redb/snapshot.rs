//! A redb read transaction as a [`Snapshot`].

use std::sync::Arc;

use ::redb::{ReadOnlyTable, ReadTransaction, TableError};
use bytes::Bytes;

use super::Definition;
use super::failure::{failed, guarded};
use super::handles::Handles;
use super::record::verified;
use crate::engine::shared::{bounds, fill_page};
use crate::engine::{Page, PageLimit, Snapshot};
use crate::error::{Error, Result};
use crate::keyspace::{KeyspaceId, KeyspaceNames};
use crate::range::KeyRange;

type Table = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// Dropping it releases the pages that only it still needed; the next commit reuses them.
pub(super) struct RedbSnapshot {
    transaction: ReadTransaction,
    names: Arc<KeyspaceNames>,
    /// Opening a table looks it up in redb's tree of tables: once a snapshot, not once a read.
    tables: Handles<Option<Arc<Table>>>,
}

impl RedbSnapshot {
    pub(super) fn new(transaction: ReadTransaction, names: Arc<KeyspaceNames>) -> Self {
        Self { transaction, names, tables: Handles::new() }
    }

    fn table(&self, keyspace: KeyspaceId) -> Result<Option<Arc<Table>>> {
        self.tables.get(keyspace, || {
            let name = self.names.name(keyspace)?;
            match self.transaction.open_table(Definition::new(&name)) {
                Ok(table) => Ok(Some(Arc::new(table))),
                Err(TableError::TableDoesNotExist(_)) => Ok(None),
                Err(error) => Err(failed(error)),
            }
        })
    }
}

impl Snapshot for RedbSnapshot {
    fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Bytes>> {
        guarded(|| {
            let Some(table) = self.table(keyspace)? else { return Ok(None) };
            let Some(stored) = table.get(key).map_err(failed)? else { return Ok(None) };
            Ok(Some(Bytes::copy_from_slice(verified(key, stored.value())?)))
        })
    }

    fn page(
        &self,
        keyspace: KeyspaceId,
        range: &KeyRange,
        reverse: bool,
        limit: PageLimit,
    ) -> Result<Page> {
        guarded(|| {
            let Some(table) = self.table(keyspace)? else { return Ok(Page::default()) };
            if range.is_empty() {
                return Ok(Page::default());
            }
            let mut order = Order::new(range, reverse);
            let entries = table
                .range::<&[u8]>(bounds(&range.start, range.end.as_ref()))
                .map_err(failed)?
                .map(|entry| {
                    let (key, stored) = entry.map_err(failed)?;
                    order.check(key.value())?;
                    let value = verified(key.value(), stored.value())?;
                    Ok((Bytes::copy_from_slice(key.value()), Bytes::copy_from_slice(value)))
                });
            if reverse { fill_page(entries.rev(), limit) } else { fill_page(entries, limit) }
        })
    }
}

/// Keys come in order and within the range they were asked for. redb reads on through a damaged tree,
/// which can lead back to where it came from: a scan would have no end.
struct Order<'r> {
    range: &'r KeyRange,
    reverse: bool,
    last: Option<Vec<u8>>,
}

impl<'r> Order<'r> {
    fn new(range: &'r KeyRange, reverse: bool) -> Self {
        Self { range, reverse, last: None }
    }

    fn check(&mut self, key: &[u8]) -> Result<()> {
        let follows = match &self.last {
            None => true,
            Some(last) if self.reverse => key < &**last,
            Some(last) => key > &**last,
        };
        if !follows || !self.range.contains(key) {
            return Err(Error::corrupted("the keys of a redb table are out of order"));
        }
        let last = self.last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(key);
        Ok(())
    }
}
