//! What is called: the engine with its two stores, fjall and SQLite, each with the same keys and values;
//! and the threads of those contenders that keep their own.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use pontoon_storage::engine::Engine;
use pontoon_storage::{Bridge, EngineKind, KeyspaceId};

use crate::cli::Workload;
use crate::contender::Contender;

mod channel;
mod engine;
mod fjall;
mod sqlite;

pub(crate) use engine::PontoonStore;

/// Threads of every pool, of the channel, of `direct`, and of Pontoon's reads in either mode. tokio and the
/// crate blocking start as many as they like, which is how they are used.
pub(crate) const THREADS: usize = 2;

pub(crate) const VALUE_BYTES: usize = 100;

/// Cache of every store: more than the data.
const CACHE_BYTES: usize = 512 << 20;

const KEYS_PER_BATCH: u64 = 10_000;

/// Spread over the key order, so that neighbours in time are not neighbours on the disk.
pub(crate) fn key(n: u64) -> Bytes {
    Bytes::copy_from_slice(&n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes())
}

/// 100 bytes. Never the same for two `nonce`s: SQLite does not write a page whose bytes stay the same, nor
/// sync for it.
pub(crate) fn value(nonce: u64) -> Bytes {
    let mut bytes = vec![b'v'; VALUE_BYTES];
    bytes[..8].copy_from_slice(&nonce.to_le_bytes());
    bytes.into()
}

/// What one call is about.
pub(crate) struct Request {
    pub(crate) key: Bytes,
    /// For [`value`], which only a put has to make.
    pub(crate) nonce: u64,
}

/// See the module.
pub(crate) struct Subject {
    pub(crate) pool: PontoonStore,
    pub(crate) blocking: PontoonStore,
    pub(crate) affinitypool: Arc<affinitypool::Threadpool>,
    pub(crate) channel: channel::Channel,
    pub(crate) fjall: Option<fjall::Fjall>,
    pub(crate) sqlite: Option<sqlite::Sqlite>,
    engine: engine::Shared,
    id: KeyspaceId,
}

impl Subject {
    /// Opens and fills all in `dir`: fjall and SQLite if they take part. Needs the runtime that will be
    /// measured, whose blocking threads the mode `blocking` then uses.
    pub(crate) async fn open(
        kind: EngineKind,
        dir: &Path,
        keys: u64,
        contenders: &[Contender],
    ) -> Self {
        let takes_part =
            |contender: Contender| contenders.contains(&contender) && contender.suits(kind);
        // A directory belongs to one store, so each mode has its own with the same data.
        let (pool, engine) = engine::open(kind, &dir.join("pool"), Bridge::Pool, keys).await;
        let (blocking, _) = engine::open(kind, &dir.join("blocking"), Bridge::Blocking, keys).await;
        let fjall =
            takes_part(Contender::Fjall).then(|| fjall::Fjall::open(&dir.join("fjall"), keys));
        let sqlite = if takes_part(Contender::TokioRusqlite) {
            Some(sqlite::Sqlite::open(&dir.join("sqlite"), keys).await)
        } else {
            None
        };
        let id = pool.keyspace.id();
        Self {
            pool,
            blocking,
            affinitypool: Arc::new(affinitypool::Threadpool::new(THREADS)),
            channel: channel::Channel::open(THREADS),
            fjall,
            sqlite,
            engine,
            id,
        }
    }

    /// The blocking calls of one measurement, on the engine of the pool's store.
    pub(crate) fn calls(&self, workload: Workload) -> engine::Calls {
        engine::Calls::new(&self.engine, self.id, workload)
    }

    /// What must be set before `workload` and is not part of it.
    pub(crate) async fn prepare(&self, workload: Workload) {
        if let Some(sqlite) = &self.sqlite {
            sqlite.set_durable(workload == Workload::DurablePut).await;
        }
    }

    /// Writes out what `workload` left in memory.
    pub(crate) async fn settle(&self, workload: Workload) {
        if workload == Workload::Put {
            self.pool.store.sync().await.unwrap();
            self.blocking.store.sync().await.unwrap();
            // The store knows nothing of what others wrote to its engine, and has nothing to sync.
            let engine = self.engine.clone();
            tokio::task::spawn_blocking(move || engine.sync()).await.unwrap().unwrap();
            if let Some(fjall) = &self.fjall {
                fjall.sync();
            }
        }
    }

    pub(crate) async fn close(self) {
        drop(self.engine);
        self.pool.store.close().await.unwrap();
        self.blocking.store.close().await.unwrap();
        if let Some(sqlite) = self.sqlite {
            sqlite.close().await;
        }
    }
}
