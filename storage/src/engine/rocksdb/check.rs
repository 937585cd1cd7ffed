//! Every block's checksum, and every entry. Opens read-only, which replays the log in memory alone
//! and changes nothing.

use std::path::Path;

use ::rocksdb::statistics::Ticker;
use ::rocksdb::{
    Cache, ColumnFamilyDescriptor, DBRecoveryMode, Error as RocksError, ErrorKind, LiveFile,
    Options, ReadOptions,
};

use super::failure::{Step, damaged_file, is_missing, suspect};
use super::families::Family;
use super::{DEFAULT_FAMILY, DIR, Db, holds_database, log_end, log_gap, manifest, tuning};
use crate::engine::EngineOptions;
use crate::engine::check::Findings;
use crate::error::{Error, Result};

/// Memory for blocks, in bytes, besides the index and filter of each table that is open.
const CACHE_BYTES: usize = 32 << 20;

/// How far the walk reads ahead, in bytes.
const READAHEAD_BYTES: usize = 1 << 20;

/// Checks the database in `dir`.
///
/// # Errors
/// What keeps it from looking; damage is among the findings.
pub(in crate::engine) fn check(dir: &Path, findings: &mut Findings) -> Result<()> {
    let path = dir.join(DIR);
    match holds_database(&path) {
        Ok(true) => {}
        Ok(false) => {
            let why = "there is no database: the file CURRENT is missing";
            findings.damage(path, None, why);
            return Ok(());
        }
        Err(Error::Corrupted(cause)) => {
            findings.damage(path.join("CURRENT"), None, cause);
            return Ok(());
        }
        Err(error) => return Err(error),
    }
    let cache = Cache::new_lru_cache(CACHE_BYTES);
    let mut options = tuning::options(&EngineOptions::default(), &cache)?;
    if log_end::logs(&path)?.is_empty() {
        options = tuning::without_logs(&options)?;
    }
    if let Some(gap) = log_gap::before_a_write(dir, &path)? {
        findings.damage(gap.log.clone(), None, gap.to_string());
    }
    if let Err(Error::Corrupted(cause)) = manifest::check(dir, &path) {
        findings.damage(manifest::current(&path).unwrap_or(path), None, cause);
        return Ok(());
    }
    if let Err(Error::Corrupted(cause)) = log_end::check(dir, &path) {
        findings.damage(path, None, cause);
        return Ok(());
    }
    let (db, mut names) = match open(dir, &path, tuning::without_filters(&options, &cache)) {
        Ok(Opened { db, names, torn: None }) => (db, names),
        Ok(Opened { db, names, torn: Some(torn) }) => {
            findings.note(format!(
                "the log ends in a write that is not whole, and opening leaves it out: right if a \
                 crash cut it off, damage if not ({torn})"
            ));
            (db, names)
        }
        Err((step, error)) => {
            return damage(&suspect(error.as_ref(), &path, step), &path, None, &error, findings);
        }
    };
    let files = match db.live_files() {
        Ok(files) => files,
        Err(error) => return damage(&path, &path, None, &error, findings),
    };
    names.sort_unstable();
    for name in names {
        let Some(family) = db.cf_handle(&name) else { continue };
        // RocksDB's own family is a keyspace of nobody, but its files can be damaged too.
        if name != DEFAULT_FAMILY {
            findings.begin_keyspace(&name);
        }
        let files = files.iter().filter(|f| f.column_family_name == name).collect();
        let reading = Reading { db: &db, family, name: &name, path: &path, files };
        reading.walk(findings)?;
        reading.look_up_ends(findings)?;
    }
    drop(db);
    open_tables(dir, &path, &tuning::with_whole_tables(&options, &cache), findings)
}

struct Opened {
    db: Db,
    /// Of its families.
    names: Vec<String>,
    /// What is wrong with the end of the log, where that is what a crash leaves.
    torn: Option<RocksError>,
}

fn open(dir: &Path, path: &Path, mut options: Options) -> Result<Opened, (Step, RocksError)> {
    let names = Db::list_cf(&options, path).map_err(|error| (Step::Manifest, error))?;
    let open = |options: &Options| {
        let descriptors =
            names.iter().map(|name| ColumnFamilyDescriptor::new(name, options.clone()));
        Db::open_cf_descriptors_read_only(options, path, descriptors, false)
            .map_err(|error| (Step::Data, error))
    };
    options.create_if_missing(false);
    options.set_wal_recovery_mode(DBRecoveryMode::AbsoluteConsistency);
    let strict = match open(&options) {
        Ok(db) => return Ok(Opened { db, names, torn: None }),
        Err((_, error)) => error,
    };
    // As opening a store goes about it; a log that cannot be read is damage.
    if log_end::is_closed(dir, path).unwrap_or(true) {
        return Err((Step::Data, strict));
    }
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    let db = match open(&options) {
        Err(_) if log_end::is_last_write_torn(dir, path).unwrap_or(false) => {
            open(&tuning::cut_at_damage(&options))?
        }
        opened => opened?,
    };
    Ok(Opened { db, names, torn: Some(strict) })
}

/// A family of the database that is open to be read.
struct Reading<'a> {
    db: &'a Db,
    family: Family<'a>,
    name: &'a str,
    path: &'a Path,
    files: Vec<&'a LiveFile>,
}

impl Reading<'_> {
    /// Reads every entry, and so every data block of every file that is not covered by a deleted range.
    fn walk(&self, findings: &mut Findings) -> Result<()> {
        let mut options = ReadOptions::default();
        options.set_verify_checksums(true);
        options.fill_cache(false);
        options.set_readahead_size(READAHEAD_BYTES);
        let mut entries = self.db.raw_iterator_cf_opt(&self.family, options);
        entries.seek_to_first();
        let mut before = None;
        // Each damaged file is stepped over, so that the others are looked at too.
        for _ in 0..=self.files.len() {
            let mut last = Vec::new();
            while let Some((key, value)) = entries.item() {
                findings.entry(self.path, key, value)?;
                last.clear();
                last.extend_from_slice(key);
                entries.next();
            }
            let Err(error) = entries.status() else { return Ok(()) };
            damage(self.path, self.path, Some(self.name), &error, findings)?;
            let damaged = damaged_file(error.as_ref(), self.path, Step::Data);
            // A file that cannot even be opened cannot be stepped over.
            if damaged == before {
                return Ok(());
            }
            before.clone_from(&damaged);
            let damaged = self.files.iter().find(|file| {
                damaged
                    .as_ref()
                    .is_some_and(|damaged| damaged.ends_with(file.name.trim_start_matches('/')))
            });
            let Some(end) = damaged.and_then(|file| file.end_key.as_ref()) else { return Ok(()) };
            // Not back to what was read already, which would end in the same damage.
            if *end < last {
                return Ok(());
            }
            entries.seek([end, &[0][..]].concat());
        }
        Ok(())
    }

    /// Looks the last key of each file up: where a file that is damaged was stepped over, others with the same keys were
    /// too.
    fn look_up_ends(&self, findings: &mut Findings) -> Result<()> {
        for key in self.files.iter().filter_map(|file| file.end_key.as_ref()) {
            if let Err(error) = self.db.get_pinned_cf(&self.family, key) {
                damage(self.path, self.path, Some(self.name), &error, findings)?;
            }
        }
        Ok(())
    }
}

/// Opens every table, also those that a deleted range covers, with `options` that have its index and filter read.
/// RocksDB can do without some of those blocks: it does not say that they are damaged, but counts it.
fn open_tables(dir: &Path, path: &Path, options: &Options, findings: &mut Findings) -> Result<()> {
    let db = match open(dir, path, options.clone()) {
        Ok(opened) => opened.db,
        Err((step, error)) => {
            findings.note("a damaged filter keeps the filters of other tables from being read");
            return damage(&suspect(error.as_ref(), path, step), path, None, &error, findings);
        }
    };
    let files = match db.live_files() {
        Ok(files) => files,
        Err(error) => return damage(path, path, None, &error, findings),
    };
    let mut is_named = false;
    for file in files {
        let name = &file.column_family_name;
        let Some(family) = db.cf_handle(name) else { continue };
        let mut options = ReadOptions::default();
        #[expect(deprecated, reason = "as a means to be faster; this is to see what is deleted")]
        options.set_ignore_range_deletions(true);
        // A table whose blocks may not enter the cache is opened without its filter.
        options.fill_cache(true);
        let mut entries = db.raw_iterator_cf_opt(&family, options);
        for key in [&file.start_key, &file.end_key].into_iter().flatten() {
            entries.seek(key);
            if let Err(error) = entries.status() {
                is_named = true;
                damage(path, path, Some(name), &error, findings)?;
            }
        }
    }
    let mismatches = options.get_ticker_count(Ticker::BlockChecksumMismatchCount);
    if mismatches > 0 && !is_named {
        let what = "a block of a table's filter does not fit its checksum; RocksDB reads on without the filter, \
                    and does not say which table's";
        findings.damage(path.to_owned(), None, what);
    }
    Ok(())
}

/// Notes damage, in the file that the error names, unless it is known to be damaged, or else in `suspect`. An
/// error that is no damage is passed on.
fn damage(
    suspect: &Path,
    path: &Path,
    keyspace: Option<&str>,
    error: &RocksError,
    findings: &mut Findings,
) -> Result<()> {
    let passing =
        matches!(error.kind(), ErrorKind::IOError | ErrorKind::Busy | ErrorKind::TryAgain);
    if passing && !is_missing(error) {
        return Err(Error::engine(error.clone()));
    }
    let named = damaged_file(error.as_ref(), path, Step::Data);
    if named.is_some()
        && findings.report.damage.iter().any(|known| Some(&known.file) == named.as_ref())
    {
        return Ok(());
    }
    let file = named.unwrap_or_else(|| suspect.to_owned());
    findings.damage(file, keyspace.map(str::to_owned), error);
    Ok(())
}
