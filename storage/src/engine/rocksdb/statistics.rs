//! RocksDB's own figures.

use std::path::Path;

use ::rocksdb::{Cache, properties};

use super::Db;
use super::failure::failed;
use super::families::Families;
use crate::engine::EngineStats;
use crate::error::Result;

/// Figures that each family has: summed.
const OF_FAMILIES: &[(&str, &properties::PropName)] = &[
    ("sst-bytes", properties::TOTAL_SST_FILES_SIZE),
    ("live-data-bytes-estimate", properties::ESTIMATE_LIVE_DATA_SIZE),
    ("keys-estimate", properties::ESTIMATE_NUM_KEYS),
    ("memtable-bytes", properties::SIZE_ALL_MEM_TABLES),
    ("table-reader-bytes", properties::ESTIMATE_TABLE_READERS_MEM),
    ("pending-compaction-bytes", properties::ESTIMATE_PENDING_COMPACTION_BYTES),
];

/// Figures of the database.
const OF_DATABASE: &[(&str, &properties::PropName)] = &[
    ("running-flushes", properties::NUM_RUNNING_FLUSHES),
    ("running-compactions", properties::NUM_RUNNING_COMPACTIONS),
    ("background-errors", properties::BACKGROUND_ERRORS),
    ("snapshots", properties::NUM_SNAPSHOTS),
    ("write-stopped", properties::IS_WRITE_STOPPED),
    ("delayed-write-rate", properties::ACTUAL_DELAYED_WRITE_RATE),
];

pub(super) fn read(
    db: &Db,
    families: &Families,
    cache: &Cache,
    path: &Path,
) -> Result<EngineStats> {
    let mut memory_bytes = cache.get_usage() as u64;
    let mut details = vec![
        ("block-cache-bytes".to_owned(), cache.get_usage().to_string()),
        ("block-cache-pinned-bytes".to_owned(), cache.get_pinned_usage().to_string()),
    ];
    for (name, property) in OF_FAMILIES {
        let mut sum = 0;
        families.for_each(|family| {
            sum += db.property_int_value_cf(family, *property).map_err(failed)?.unwrap_or(0);
            Ok(())
        })?;
        if matches!(*name, "memtable-bytes" | "table-reader-bytes") {
            memory_bytes += sum;
        }
        details.push(((*name).to_owned(), sum.to_string()));
    }
    for (name, property) in OF_DATABASE {
        let value = db.property_int_value(*property).map_err(failed)?.unwrap_or(0);
        details.push(((*name).to_owned(), value.to_string()));
    }
    Ok(EngineStats { disk_bytes: size_of_files(path)?, memory_bytes, details })
}

/// Counted by the files: RocksDB has no figure that includes its logs.
fn size_of_files(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        // A file may be deleted while they are counted.
        if let Ok(metadata) = entry?.metadata() {
            bytes += metadata.len();
        }
    }
    Ok(bytes)
}
