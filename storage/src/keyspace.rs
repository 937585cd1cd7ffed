//! Keyspaces: named ordered maps, interned once per store so that operations carry a small number
//! instead of a name.

use std::fmt;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;

use crate::error::{Error, Result};

/// The longest keyspace name, in bytes.
pub const KEYSPACE_NAME_BYTES_MAX: usize = 200;

/// A named ordered map of a store: a RocksDB column family, a redb table.
///
/// A handle, cheap to clone; get one from [`Store::keyspace`](crate::Store::keyspace). It stays
/// valid after the keyspace is dropped: reading finds nothing, writing creates it anew.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Keyspace {
    pub(crate) store: u64,
    pub(crate) id: KeyspaceId,
    name: Arc<str>,
}

impl Keyspace {
    /// Its number in this opened store, by which engines know it.
    pub fn id(&self) -> KeyspaceId {
        self.id
    }

    /// The name it was asked for by.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for Keyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keyspace").field(&self.name).finish()
    }
}

/// A keyspace's number within one opened store: what engines are given. Not persistent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyspaceId(u32);

impl KeyspaceId {
    /// The number as an index, dense from 0, for an engine's own table of handles.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The names behind the numbers; shared by a store and its engine.
#[derive(Debug)]
pub struct KeyspaceNames {
    store: u64,
    len_max: usize,
    names: RwLock<Vec<Arc<str>>>,
}

impl KeyspaceNames {
    pub(crate) fn new(store: u64, len_max: usize) -> Self {
        Self { store, len_max, names: RwLock::default() }
    }

    /// The name of `id`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when `id` is of another store.
    pub fn name(&self, id: KeyspaceId) -> Result<Arc<str>> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        names
            .get(id.index())
            .cloned()
            .ok_or_else(|| Error::InvalidArgument("a keyspace of another store".into()))
    }

    /// How many names there can be.
    #[cfg(feature = "rocksdb")]
    pub(crate) fn len_max(&self) -> usize {
        self.len_max
    }

    pub(crate) fn intern(&self, name: &str) -> Result<Keyspace> {
        check_name(name)?;
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        let index = match names.iter().position(|known| &**known == name) {
            Some(index) => index,
            None if names.len() >= self.len_max => {
                return Err(Error::TooLarge {
                    what: "number of keyspaces",
                    size: names.len() as u64 + 1,
                    limit: self.len_max as u64,
                });
            }
            None => {
                names.push(name.into());
                names.len() - 1
            }
        };
        let id = KeyspaceId(u32::try_from(index).map_err(Error::engine)?);
        let name = names.get(index).cloned().unwrap_or_default();
        Ok(Keyspace { store: self.store, id, name })
    }
}

/// Names are file-system and engine neutral: printable ASCII without `/`, and not the names that
/// engines keep for themselves.
fn check_name(name: &str) -> Result<()> {
    let fits = (1..=KEYSPACE_NAME_BYTES_MAX).contains(&name.len());
    let plain = name.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
    if fits && plain && name != "default" {
        return Ok(());
    }
    Err(Error::InvalidArgument(format!(
        "a keyspace name has 1 to {KEYSPACE_NAME_BYTES_MAX} printable ASCII characters without \
         spaces or '/', and is not \"default\": {name:?}"
    )))
}
