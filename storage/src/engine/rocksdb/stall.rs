//! Writing while RocksDB holds writes up.
//!
//! RocksDB stops writes until flushes and compactions have caught up. If one of those fails for want of space
//! it goes on holding them up while it waits for space by itself, which may be for ever, and that
//! recovery may in turn wait for the very write that is held up. So no write of ours waits inside RocksDB while
//! writes are stopped: it waits here, where a failure is seen.

use std::time::Duration;

use ::rocksdb::{Error as RocksError, ErrorKind, WriteBatch, WriteOptions};

use super::Db;
use super::failure::failed;
use crate::error::{Error, Result};
use crate::sync::Instant;

/// How often it is asked whether writes go on.
const PAUSE: Duration = Duration::from_millis(1);

/// With a flush or a compaction failed, writes that are stopped for so long are taken to stay so.
const STOPPED_MAX: Duration = Duration::from_secs(2);

/// Not zero while writes are stopped.
const STOPPED: &str = "rocksdb.is-write-stopped";

/// How many flushes and compactions have failed since the database was opened.
const FAILURES: &str = "rocksdb.background-errors";

/// Writes what `batch` makes, anew for each attempt, and fsyncs the log if `sync`.
///
/// # Errors
/// What RocksDB says; [`Error::Engine`] if writes are stopped and a flush or a compaction has failed.
pub(super) fn write(db: &Db, batch: impl Fn() -> Result<WriteBatch>, sync: bool) -> Result<()> {
    let mut options = WriteOptions::default();
    options.set_sync(sync);
    options.set_no_slowdown(true);
    let mut stopped_since = None;
    loop {
        match db.write_opt(batch()?, &options) {
            Err(error) if is_stall(&error) => {}
            written => return written.map_err(failed),
        }
        // Nothing has been written.
        let number =
            |name| db.property_int_value(name).map_err(failed).map(Option::unwrap_or_default);
        if number(STOPPED)? == 0 {
            // Slowed down at the most: RocksDB knows for how long, and that has an end.
            options.set_no_slowdown(false);
            stopped_since = None;
            continue;
        }
        options.set_no_slowdown(true);
        let since = *stopped_since.get_or_insert_with(Instant::now);
        if number(FAILURES)? > 0 && since.elapsed() >= STOPPED_MAX {
            return Err(Error::engine(
                "RocksDB has stopped writes since a flush or a compaction failed, as on a full disk; \
                 its file LOG says what failed",
            ));
        }
        std::thread::sleep(PAUSE);
    }
}

/// RocksDB has no kind of its own for it: an `Incomplete` with other words tells of a failure.
fn is_stall(error: &RocksError) -> bool {
    error.kind() == ErrorKind::Incomplete && error.as_ref().contains("Write stall")
}
