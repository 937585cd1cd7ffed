//! The source of `pontoon-storage`, compiled over a scheduler that decides at every lock, atomic and
//! wake-up which thread goes on ([shuttle](https://docs.rs/shuttle)), and the scenarios it tries.
//!
//! What is the real file: lanes, queue, bridge, ticker, snapshot gate, store, memory engine; a new
//! module of the storage crate needs its line below. What is not: `sync`, the crate `threadpool`
//! ([`threads`]), and the directory on the disk (`dir`). tokio's semaphore and oneshot are tokio's
//! own: they have no scheduling point inside, so each of their calls is one step here.
//!
//! A crate of its own, so that no switch of the storage crate or of an engine's build leads here.
//! Random schedules prove nothing; they find what happens in one of some thousand.
#![allow(dead_code, unreachable_pub, unexpected_cfgs)]
// `--all-targets` compiles a library's tests even where `test = false` says that it has none, and
// those inside the source would need its dev-dependencies.
#![cfg(not(test))]

// `threadpool::ThreadPool` in the real source means ours.
extern crate self as threadpool;

#[path = "../../src/batch.rs"]
mod batch;
#[path = "../../src/bridge/mod.rs"]
mod bridge;
#[path = "../../src/cache.rs"]
mod cache;
#[path = "../../src/core.rs"]
mod core;
mod dir;
#[path = "../../src/engine/mod.rs"]
pub mod engine;
#[path = "../../src/error.rs"]
mod error;
#[path = "../../src/keyspace.rs"]
mod keyspace;
#[path = "../../src/lane/mod.rs"]
mod lane;
#[path = "../../src/metrics.rs"]
mod metrics;
#[path = "../../src/options.rs"]
mod options;
#[path = "../../src/overlay.rs"]
mod overlay;
#[path = "../../src/range.rs"]
mod range;
#[path = "../../src/read.rs"]
mod read;
#[path = "../../src/scan.rs"]
mod scan;
#[path = "../../src/shared.rs"]
mod shared;
#[path = "../../src/snapshot.rs"]
mod snapshot;
#[path = "../../src/store.rs"]
mod store;
mod sync;
#[path = "../../src/transaction.rs"]
mod transaction;
#[path = "../../src/view.rs"]
mod view;

pub mod check;
pub mod gate;
pub mod record;
pub mod rig;
pub mod threads;
pub mod ticks;
pub mod watch;

pub use batch::WriteBatch;
pub use engine::{EngineKind, EngineStats, Page, PageLimit};
pub use error::{Cause, Error, Result};
pub use keyspace::{KEYSPACE_NAME_BYTES_MAX, Keyspace, KeyspaceId, KeyspaceNames};
pub use metrics::{CacheStats, LaneStats, Stats};
pub use options::{Bridge, Durability, EngineFactory, OnFull, Options, ReadLane};
pub use range::{IntoBytes, KeyRange};
pub use read::{Entries, Reader, ScanOptions};
pub use scan::Scan;
pub use snapshot::Snapshot;
pub use store::Store;
pub use threads::ThreadPool;
pub use transaction::Transaction;
pub use view::{Cached, View};
