//! SQLite behind tokio-rusqlite: one connection on one thread, as that crate has it.

use std::path::Path;

use bytes::Bytes;
use tokio_rusqlite::{Connection, OptionalExtension, params, rusqlite};

use super::{CACHE_BYTES, Request, key, value};
use crate::cli::Workload;

const GET: &str = "SELECT value FROM bench WHERE key = ?1";
const PUT: &str = "INSERT INTO bench (key, value) VALUES (?1, ?2)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value";

#[derive(Clone)]
pub(crate) struct Sqlite(Connection);

impl Sqlite {
    /// Opens and fills it.
    pub(super) async fn open(path: &Path, keys: u64) -> Self {
        let sqlite = Self(Connection::open(path).await.unwrap());
        let fill = move |connection: &mut rusqlite::Connection| {
            connection.pragma_update(None, "journal_mode", "WAL")?;
            // Negative: KiB rather than pages.
            connection.pragma_update(None, "cache_size", -(CACHE_BYTES as i64 >> 10))?;
            connection.execute_batch(
                "CREATE TABLE bench (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
            )?;
            let transaction = connection.transaction()?;
            for n in 0..keys {
                transaction.prepare_cached(PUT)?.execute(params![&key(n)[..], &value(n)[..]])?;
            }
            transaction.commit()
        };
        sqlite.0.call(fill).await.unwrap();
        sqlite
    }

    /// Whether each transaction is fsynced from now on. Without, WAL files are still fsynced when they are
    /// copied into the database, every thousand pages.
    pub(super) async fn set_durable(&self, durable: bool) {
        let level = if durable { "FULL" } else { "NORMAL" };
        let set = move |connection: &mut rusqlite::Connection| {
            connection.pragma_update(None, "synchronous", level)
        };
        self.0.call(set).await.unwrap();
    }

    /// What was found, if it was a get. A put is a transaction of its own.
    pub(crate) async fn call(&self, workload: Workload, request: Request) -> Option<Bytes> {
        let call = move |connection: &mut rusqlite::Connection| match workload {
            Workload::Get => connection
                .prepare_cached(GET)?
                .query_row([&request.key[..]], |row| row.get::<_, Vec<u8>>(0))
                .optional(),
            Workload::Put | Workload::DurablePut => {
                connection
                    .prepare_cached(PUT)?
                    .execute(params![&request.key[..], &value(request.nonce)[..]])?;
                Ok(None)
            }
        };
        self.0.call(call).await.unwrap().map(Bytes::from)
    }

    pub(super) async fn close(self) {
        self.0.close().await.unwrap();
    }
}
