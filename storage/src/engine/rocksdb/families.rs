//! The handles of all column families at one point in time.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use ::rocksdb::BoundColumnFamily;
use self_cell::self_cell;

use super::Db;
use crate::error::{Error, Result};
use crate::keyspace::{KeyspaceId, KeyspaceNames};

/// A family's handle. It keeps the family's data readable after the family was dropped.
pub(super) type Family<'db> = Arc<BoundColumnFamily<'db>>;

/// Shared by all snapshots until a keyspace is created or dropped: looking one up takes no lock.
pub(super) struct Families(Cell);

self_cell! {
    struct Cell {
        owner: Arc<Db>,
        #[not_covariant]
        dependent: Table,
    }
}

struct Table<'db> {
    by_name: BTreeMap<String, Family<'db>>,
    /// Found by name when first asked for: numbers are handed out while the store runs.
    by_id: Box<[OnceLock<Option<Family<'db>>>]>,
}

impl Families {
    /// The families called `names`; `len_max` is how many keyspaces a store can have numbers for.
    pub(super) fn open(db: Arc<Db>, names: Vec<String>, len_max: usize) -> Self {
        Self(Cell::new(db, |db| Table {
            by_name: names
                .into_iter()
                .filter_map(|name| db.cf_handle(&name).map(|family| (name, family)))
                .collect(),
            by_id: (0..len_max).map(|_| OnceLock::new()).collect(),
        }))
    }

    /// Their names, in byte order.
    pub(super) fn existing(&self) -> Vec<String> {
        self.0.with_dependent(|_, table| table.by_name.keys().cloned().collect())
    }

    /// Runs `act` with the family of `keyspace`, if it exists.
    pub(super) fn with<T>(
        &self,
        names: &KeyspaceNames,
        keyspace: KeyspaceId,
        act: impl FnOnce(&Db, Option<&Family<'_>>) -> Result<T>,
    ) -> Result<T> {
        self.0.with_dependent(|db, table| act(db, table.find(names, keyspace)?))
    }

    /// Runs `act` with each family in turn.
    pub(super) fn for_each(&self, mut act: impl FnMut(&Family<'_>) -> Result<()>) -> Result<()> {
        self.0.with_dependent(|_, table| table.by_name.values().try_for_each(&mut act))
    }
}

impl<'db> Table<'db> {
    fn find(&self, names: &KeyspaceNames, keyspace: KeyspaceId) -> Result<Option<&Family<'db>>> {
        let slot = self
            .by_id
            .get(keyspace.index())
            .ok_or_else(|| Error::InvalidArgument("a keyspace of another store".into()))?;
        if let Some(family) = slot.get() {
            return Ok(family.as_ref());
        }
        let name = names.name(keyspace)?;
        Ok(slot.get_or_init(|| self.by_name.get(&*name).cloned()).as_ref())
    }
}
