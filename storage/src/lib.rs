//! Durable, ordered key-value storage for async programs.

pub mod engine;
mod error;
mod keyspace;
mod range;
mod read;
mod store;
mod transaction;
mod view;

pub use error::{Cause, Error, Result};
pub use keyspace::{KEYSPACE_NAME_BYTES_MAX, Keyspace, KeyspaceId, KeyspaceNames};
pub use range::{IntoBytes, KeyRange};
pub use read::{Entries, Reader, ScanOptions};
pub use store::Store;
pub use transaction::Transaction;
pub use view::View;
