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

/// With a flush or a compaction failed, and none that runs or another that fails meanwhile, writes that are
/// stopped for so long are taken to stay so.
const STOPPED_MAX: Duration = Duration::from_secs(2);

/// How long writes are stopped before they are tried all the same: an error may have come that only a write
/// is told of.
const ATTEMPT_AFTER: Duration = Duration::from_millis(100);

/// Not zero while writes are stopped.
const STOPPED: &str = "rocksdb.is-write-stopped";

/// How many flushes and compactions have failed since the database was opened.
const FAILURES: &str = "rocksdb.background-errors";

/// What runs now, and may let writes go on.
const FLUSHES: &str = "rocksdb.num-running-flushes";
const COMPACTIONS: &str = "rocksdb.num-running-compactions";

/// Writes what `batch` makes, anew for each attempt, and fsyncs the log if `sync`.
///
/// # Errors
/// What RocksDB says; [`Error::Engine`] if writes are held up, and a flush or a compaction has failed and none runs, or
/// goes on failing.
pub(super) fn write(db: &Db, batch: impl Fn() -> Result<WriteBatch>, sync: bool) -> Result<()> {
    let mut options = WriteOptions::default();
    options.set_sync(sync);
    options.set_no_slowdown(true);
    let begun = Instant::now();
    let (mut idle_since, mut failures_before) = (begun, None);
    loop {
        match db.write_opt(batch()?, &options) {
            Err(error) if is_stall(&error) => {}
            written => return written.map_err(failed),
        }
        // Nothing has been written.
        let failures = number(db, FAILURES)?;
        let has_failed = failures > 0;
        let failures_before = *failures_before.get_or_insert(failures);
        if !has_failed && number(db, STOPPED)? == 0 {
            // Slowed down at the most: RocksDB knows for how long, and that has an end.
            options.set_no_slowdown(false);
            continue;
        }
        options.set_no_slowdown(true);
        let attempt = Instant::now();
        while number(db, STOPPED)? > 0 && attempt.elapsed() < ATTEMPT_AFTER {
            std::thread::sleep(PAUSE);
        }
        if number(db, FLUSHES)? + number(db, COMPACTIONS)? > 0 {
            idle_since = Instant::now();
        }
        // A compaction that fails is begun again and again, and so seems to run.
        let goes_on_failing = failures > failures_before && begun.elapsed() >= STOPPED_MAX;
        if goes_on_failing || has_failed && idle_since.elapsed() >= STOPPED_MAX {
            return Err(Error::engine(
                "RocksDB has stopped writes since a flush or a compaction failed, as on a full disk; \
                 its file LOG says what failed",
            ));
        }
        std::thread::sleep(PAUSE);
    }
}

fn number(db: &Db, property: &str) -> Result<u64> {
    db.property_int_value(property).map_err(failed).map(Option::unwrap_or_default)
}

/// RocksDB has no kind of its own for it: an `Incomplete` with other words tells of a failure.
fn is_stall(error: &RocksError) -> bool {
    error.kind() == ErrorKind::Incomplete && error.as_ref().contains("Write stall")
}
