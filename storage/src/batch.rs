//! A write batch: writes made ready beforehand, applied all or nothing.

use crate::error::Result;
use crate::keyspace::Keyspace;
use crate::range::{IntoBytes, KeyRange};
use crate::transaction::Transaction;
use bytes::Bytes;

/// Writes to any number of keyspaces, for [`Store::write`](crate::Store::write) to apply all or
/// nothing, in the order they were added.
///
/// ```
/// # fn main() -> pontoon_storage::Result<()> {
/// # futures::executor::block_on(async {
/// use pontoon_storage::{Options, Store, WriteBatch};
///
/// let store = Store::open(Options::in_memory()).await?;
/// let (users, by_email) = (store.keyspace("users")?, store.keyspace("by_email")?);
/// let mut batch = WriteBatch::new();
/// batch.put(&users, "17", "Ada");
/// batch.put(&by_email, "ada@example.org", "17");
/// store.write(batch).await?;
/// # store.close().await })
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct WriteBatch {
    writes: Vec<Write>,
    bytes: usize,
}

#[derive(Debug, Clone)]
enum Write {
    Put(Keyspace, Bytes, Bytes),
    Delete(Keyspace, Bytes),
    DeleteRange(Keyspace, KeyRange),
}

impl WriteBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds: set `key` to `value`. Limits are checked when the batch is written.
    pub fn put(
        &mut self,
        keyspace: &Keyspace,
        key: impl IntoBytes,
        value: impl IntoBytes,
    ) -> &mut Self {
        let (key, value) = (key.into_bytes(), value.into_bytes());
        self.bytes += key.len() + value.len();
        self.writes.push(Write::Put(keyspace.clone(), key, value));
        self
    }

    /// Adds: remove `key`.
    pub fn delete(&mut self, keyspace: &Keyspace, key: impl IntoBytes) -> &mut Self {
        let key = key.into_bytes();
        self.bytes += key.len();
        self.writes.push(Write::Delete(keyspace.clone(), key));
        self
    }

    /// Adds: remove every key of `range`.
    pub fn delete_range(&mut self, keyspace: &Keyspace, range: impl Into<KeyRange>) -> &mut Self {
        let range = range.into();
        self.bytes += range.weight();
        self.writes.push(Write::DeleteRange(keyspace.clone(), range));
        self
    }

    /// How many writes it holds.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Bytes of keys, values and range bounds it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What it weighs in a queue, in bytes.
    pub(crate) fn weight(&self) -> usize {
        self.bytes.saturating_add(self.writes.len() * size_of::<Write>())
    }

    pub(crate) fn run(self, tx: &mut Transaction) -> Result<()> {
        for write in self.writes {
            match write {
                Write::Put(keyspace, key, value) => tx.put(&keyspace, key, value)?,
                Write::Delete(keyspace, key) => tx.delete(&keyspace, key)?,
                Write::DeleteRange(keyspace, range) => tx.delete_range(&keyspace, range)?,
            }
        }
        Ok(())
    }
}
