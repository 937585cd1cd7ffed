//! Where the databases are in a store, and whether this code understands what is there.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use pontoon_storage::{Error, Keyspace, Reader, Result, Store, Transaction};

use super::encoding::{self, Counters, FORMAT_VERSION, KeyCounts};

/// How many databases `SELECT` knows, from 0.
pub const DATABASES: u8 = 16;

/// The store's keyspaces that hold the databases. A handle, cheap to clone.
#[derive(Clone)]
pub struct Databases(Arc<Keyspaces>);

struct Keyspaces {
    meta: Keyspace,
    elements: Keyspace,
    expiry: Keyspace,
    system: Keyspace,
    /// Where the namespaces of the databases are.
    namespaces: Vec<Vec<u8>>,
}

impl Databases {
    /// Those of `store`; creates them in a new store. Dropping the future leaves the store either
    /// untouched or prepared whole.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the data has a format that this code does not know; else the
    /// storage's.
    pub async fn open(store: &Store) -> Result<Self> {
        let databases = Self(Arc::new(Keyspaces {
            meta: store.keyspace(encoding::META)?,
            elements: store.keyspace(encoding::ELEMENTS)?,
            expiry: store.keyspace(encoding::EXPIRY)?,
            system: store.keyspace(encoding::SYSTEM)?,
            namespaces: (0..DATABASES).map(encoding::database_key).collect(),
        }));
        let prepared = databases.clone();
        store.update(move |tx| prepared.prepare(tx)).await?;
        Ok(databases)
    }

    /// The metadata records.
    pub fn meta(&self) -> &Keyspace {
        &self.0.meta
    }

    /// What is too large for a record.
    pub fn elements(&self) -> &Keyspace {
        &self.0.elements
    }

    /// The expiry index.
    pub fn expiry(&self) -> &Keyspace {
        &self.0.expiry
    }

    /// The store's books.
    pub fn system(&self) -> &Keyspace {
        &self.0.system
    }

    fn prepare(&self, tx: &mut Transaction) -> Result<()> {
        match tx.get(self.system(), encoding::FORMAT_KEY)? {
            None => {
                tx.put(self.system(), encoding::FORMAT_KEY, FORMAT_VERSION.to_be_bytes())?;
                tx.put(self.system(), encoding::COUNTERS_KEY, Counters::FIRST.encode())?;
            }
            Some(stored) if *stored == FORMAT_VERSION.to_be_bytes() => {}
            Some(stored) => return Err(unknown_format(&stored)),
        }
        let mut counters = self.counters(tx)?;
        let first = counters;
        for db in 0..DATABASES {
            let key = encoding::database_key(db);
            if tx.get(self.system(), &key)?.is_none() {
                let namespace = encoding::encode_namespace(counters.namespace);
                counters.namespace += 1;
                tx.put(self.system(), key, namespace)?;
                tx.put(self.system(), encoding::counts_key(db), KeyCounts::default().encode())?;
            }
        }
        if counters != first {
            tx.put(self.system(), encoding::COUNTERS_KEY, counters.encode())?;
        }
        Ok(())
    }

    pub(super) fn counters(&self, reader: &dyn Reader) -> Result<Counters> {
        let stored = reader.get(self.system(), encoding::COUNTERS_KEY)?;
        Counters::decode(&stored.ok_or_else(|| Error::corrupted("the counters are missing"))?)
    }

    pub(super) fn namespace(&self, reader: &dyn Reader, db: u8) -> Result<u64> {
        let key = self.0.namespaces.get(usize::from(db)).map(Vec::as_slice).unwrap_or_default();
        encoding::decode_namespace(&self.book(reader, key, db)?)
    }

    pub(super) fn key_counts(&self, reader: &dyn Reader, db: u8) -> Result<KeyCounts> {
        KeyCounts::decode(&self.book(reader, &encoding::counts_key(db), db)?)
    }

    fn book(&self, reader: &dyn Reader, key: &[u8], db: u8) -> Result<Bytes> {
        let missing = || Error::corrupted(format!("a record of database {db} is missing"));
        reader.get(self.system(), key)?.ok_or_else(missing)
    }
}

impl fmt::Debug for Databases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Databases").finish_non_exhaustive()
    }
}

fn unknown_format(stored: &[u8]) -> Error {
    let found = match <[u8; 4]>::try_from(stored) {
        Ok(version) => format!("format {}", u32::from_be_bytes(version)),
        Err(_) => "a format".into(),
    };
    Error::Unsupported(format!(
        "the data has {found}, which this version of pontoon does not know: it knows format \
         {FORMAT_VERSION}"
    ))
}
