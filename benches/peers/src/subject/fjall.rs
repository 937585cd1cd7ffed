//! fjall: a log-structured merge tree in Rust. Its calls block, so each needs a crossing.

use std::path::Path;

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{CACHE_BYTES, Request, key, value};
use crate::cli::Workload;

#[derive(Clone)]
pub(crate) struct Fjall {
    database: Database,
    keyspace: Keyspace,
}

impl Fjall {
    /// Opens and fills it.
    pub(super) fn open(dir: &Path, keys: u64) -> Self {
        let database = Database::builder(dir).cache_size(CACHE_BYTES as u64).open().unwrap();
        let keyspace = database.keyspace("bench", KeyspaceCreateOptions::default).unwrap();
        let fjall = Self { database, keyspace };
        (0..keys).for_each(|n| fjall.insert(Request { key: key(n), nonce: n }));
        fjall.sync();
        fjall
    }

    /// Blocks. What was found, if it was a get.
    pub(crate) fn call(&self, workload: Workload, request: Request) -> Option<Bytes> {
        match workload {
            Workload::Get => {
                let found = self.keyspace.get(request.key).unwrap();
                return found.map(|value| Bytes::copy_from_slice(&value));
            }
            Workload::Put => self.insert(request),
            Workload::DurablePut => {
                self.insert(request);
                self.sync();
            }
        }
        None
    }

    pub(super) fn sync(&self) {
        self.database.persist(PersistMode::SyncAll).unwrap();
    }

    fn insert(&self, request: Request) {
        self.keyspace.insert(&request.key[..], &value(request.nonce)[..]).unwrap();
    }
}
