//! Every page's checksum, and every entry. Changes nothing: see [`Overlay`].

use std::cell::Cell;
use std::fs::File;
use std::path::Path;
use std::rc::Rc;

use ::redb::{Builder, Database, ReadableDatabase, TableHandle};

use super::failure::{failed, open_failed};
use super::overlay::Overlay;
use super::record::verified;
use super::repair::goes_back;
use super::{Definition, FILE};
use crate::disk::at;
use crate::engine::check::Findings;
use crate::error::{Error, Result};

/// Memory for the pages that a check has at hand, in bytes. It reads each of them three times over.
const CACHE_BYTES: usize = 64 << 20;

/// Checks the database in `dir`.
///
/// # Errors
/// What keeps it from looking; damage is among the findings.
pub(in crate::engine) fn check(dir: &Path, findings: &mut Findings) -> Result<()> {
    let path = dir.join(FILE);
    if !path.try_exists().map_err(|error| at(&path, &error))? {
        findings.damage(path, None, "it is missing");
        return Ok(());
    }
    match look(dir, &path, findings) {
        Err(Error::Corrupted(cause)) => {
            let keyspace = findings.report.keyspaces.last().map(|keyspace| keyspace.name.clone());
            findings.damage(path, keyspace, cause);
            Ok(())
        }
        looked => looked,
    }
}

fn look(dir: &Path, path: &Path, findings: &mut Findings) -> Result<()> {
    let file = File::open(path).map_err(|error| at(path, &error))?;
    let overlay = Overlay::new(file).map_err(|error| at(path, &error))?;
    if ::redb::StorageBackend::len(&overlay)? == 0 {
        return Err(Error::corrupted("it is empty"));
    }
    let (unclean, rolled_back) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
    let (set_unclean, set_rolled_back) = (Rc::clone(&unclean), Rc::clone(&rolled_back));
    let mut database = Builder::new()
        .set_cache_size(CACHE_BYTES)
        .set_repair_callback(move |session| {
            set_unclean.set(true);
            set_rolled_back.set(set_rolled_back.get() || goes_back(session.progress()));
        })
        .create_with_backend(overlay)
        .map_err(|error| open_failed(error, dir))?;
    if rolled_back.get() {
        findings.note(format!(
            "{}: the last commit is not whole, and opening goes back to the one before it: right if a \
             power loss cut it off, damage if not",
            path.display()
        ));
    } else if unclean.get() {
        findings.note(format!("{}: it was not closed; opening repairs it", path.display()));
    }
    findings.progress()?;
    if !database.check_integrity().map_err(|error| open_failed(error, dir))? {
        findings.damage(
            path.to_owned(),
            None,
            "its checksums or its books of free pages are wrong",
        );
    }
    walk(&database, path, findings)
}

/// Reads every entry. Its pages have been verified by now, or there is nothing to read.
fn walk(database: &Database, path: &Path, findings: &mut Findings) -> Result<()> {
    let transaction = database.begin_read().map_err(failed)?;
    let tables = transaction.list_tables().map_err(failed)?;
    let mut names: Vec<String> = tables.map(|table| table.name().to_owned()).collect();
    names.sort_unstable();
    for name in names {
        findings.begin_keyspace(&name);
        let table = transaction.open_table(Definition::new(&name)).map_err(failed)?;
        let mut before: Option<Vec<u8>> = None;
        for entry in table.range::<&[u8]>(..).map_err(failed)? {
            let (key, value) = entry.map_err(failed)?;
            if before.as_deref().is_some_and(|before| before >= key.value()) {
                return Err(Error::corrupted("keys are out of order"));
            }
            findings.entry(path, key.value(), verified(key.value(), value.value())?)?;
            let before = before.get_or_insert_default();
            before.clear();
            before.extend_from_slice(key.value());
        }
    }
    Ok(())
}
