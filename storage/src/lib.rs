//! Durable, ordered key-value storage for async programs.
//!
//! Engines such as redb and RocksDB block the calling thread. A [`Store`] is an async front end
//! over them that sends *every* engine call across a bridge: tokio's `spawn_blocking`, or dedicated
//! threads that answer through a oneshot. It works on both tokio flavors and, in pool mode, on any
//! executor. Writers that wait together share one fsync; readers that wait together share one trip.
//!
//! What it is not: a server (that is the crate `pontoon`), a query language, a replicated or
//! distributed store.
//!
//! ```
//! # fn main() -> pontoon_storage::Result<()> {
//! # futures::executor::block_on(async {
//! use pontoon_storage::{Options, Store};
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("data");
//! let store = Store::open(Options::new(path)).await?; // redb, fsynced before acknowledged
//! let users = store.keyspace("users")?;
//! store.put(&users, "17", "Ada").await?;
//! assert_eq!(store.get(&users, "17").await?.as_deref(), Some(&b"Ada"[..]));
//! store.close().await
//! # })
//! # }
//! ```
//!
//! Start with [`Store`] and [`Options`]; [`Transaction`] and [`View`] are what closures are given;
//! [`Error`] says what a caller can do; [`engine`] is for those who bring their own.

mod batch;
mod bridge;
mod cache;
mod check;
mod core;
mod dir;
mod disk;
pub mod engine;
mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod keyspace;
mod lane;
mod metrics;
mod options;
mod overlay;
mod range;
mod read;
mod restore;
mod scan;
mod shared;
mod snapshot;
mod store;
mod sync;
mod transaction;
mod view;

pub use batch::WriteBatch;
pub use check::{CheckOptions, check};
pub use engine::check::{CheckProgress, CheckReport, CheckedFile, CheckedKeyspace, Damage};
pub use engine::{EngineKind, EngineStats, Page, PageLimit};
pub use error::{Cause, Error, Result};
pub use keyspace::{KEYSPACE_NAME_BYTES_MAX, Keyspace, KeyspaceId, KeyspaceNames};
pub use metrics::{CacheStats, LaneStats, Stats};
pub use options::{Bridge, Durability, EngineFactory, OnFull, Options, ReadLane};
pub use range::{IntoBytes, KeyRange};
pub use read::{Entries, Reader, ScanOptions};
pub use restore::{Restored, restore};
pub use scan::Scan;
pub use snapshot::Snapshot;
pub use store::Store;
pub use transaction::Transaction;
pub use view::{Cached, View};

/// Compiles and runs what the readme shows.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
