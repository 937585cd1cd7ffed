//! RocksDB's settings, and why they are not its defaults.
//!
//! Memory in total: the block cache and the write buffers, as the options say, plus what is pinned
//! by running scans and compactions. Index and filter blocks live in the block cache, so that they
//! count as well; of each open table, what says where their parts are stays there, some kilobytes for a
//! million keys, also if that is more than the cache is to hold.

use ::rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, BlockBasedTablePinningTier, Cache, DBCompressionType,
    DBRecoveryMode, DataBlockIndexType, LogLevel, Options,
};

use crate::engine::EngineOptions;
use crate::error::{Error, Result};

/// A data block before compression, in bytes: larger than the default 4 KiB, because it compresses
/// better and needs fewer index entries; the hash index keeps point reads in it cheap.
const BLOCK_BYTES: usize = 16 << 10;

/// The size of one part of a table's index and filter, in bytes. A table of 64 MiB of small values has
/// filters of megabytes: more than one of the parts that the block cache divides its capacity into, so
/// that a whole filter would be read anew for every key.
const INDEX_PART_BYTES: usize = 4 << 10;

/// Bits of bloom filter for each key: about one useless read in a hundred for a key that is missing.
const BLOOM_BITS_PER_KEY: f64 = 10.0;

/// Compactions and flushes at once, at the most: they are background work beside the store's own
/// threads.
const BACKGROUND_JOBS_MAX: usize = 4;

/// Written data is handed to the disk in steps of this many bytes, so that no fsync finds a long
/// backlog before it.
const BYTES_PER_SYNC: u64 = 1 << 20;

/// Kept files of RocksDB's own log, and the size of each, in bytes.
const INFO_LOG_FILES_MAX: usize = 4;
const INFO_LOG_BYTES_MAX: usize = 1 << 20;

/// The fewest open files that RocksDB lets itself be limited to; it raises what is less.
const OPEN_FILES_MIN: i32 = 20;

/// The smallest size of the buffer of one column family, in bytes.
const WRITE_BUFFER_BYTES_MIN: usize = 1 << 20;

/// For the database and for each of its column families.
///
/// # Errors
/// When RocksDB does not know a setting.
pub(super) fn options(engine: &EngineOptions, cache: &Cache) -> Result<Options> {
    let mut options = chained_logs(&mut Options::default(), true)?;
    options.create_if_missing(true);
    options.set_paranoid_checks(true);
    options.set_max_open_files(i32::try_from(engine.open_files_max).unwrap_or(i32::MAX));
    set_log_recovery(&mut options, engine);
    set_memory(&mut options, engine);
    options.set_block_based_table_factory(&tables(cache));
    // Most of the data is at the bottom, where it is written rarely and can be packed tighter.
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_bottommost_compression_type(DBCompressionType::Zstd);
    // Keeps the space that overwritten data takes to about a tenth.
    options.set_level_compaction_dynamic_level_bytes(true);
    set_background(&mut options);
    Ok(options)
}

/// `options` for a database whose filters are not to be read. They hold no data, but RocksDB opens no table of
/// level 0 whose filter is damaged.
pub(super) fn without_filters(options: &Options, cache: &Cache) -> Options {
    let mut options = options.clone();
    options.set_block_based_table_factory(&tables_without_filters(cache));
    options
}

/// `options` for a database whose indexes and filters are all to be read: each table's when the table is
/// opened, and in memory until it is closed. As few are open as RocksDB can do with. It counts the blocks
/// that do not fit their checksum.
pub(super) fn with_whole_tables(options: &Options, cache: &Cache) -> Options {
    let mut tables = tables(cache);
    tables.set_partition_pinning_tier(BlockBasedTablePinningTier::All);
    tables.set_unpartitioned_pinning_tier(BlockBasedTablePinningTier::All);
    let mut options = options.clone();
    options.set_block_based_table_factory(&tables);
    options.set_max_open_files(OPEN_FILES_MIN);
    options.enable_statistics();
    options
}

/// `options` for a database with no log at all, which RocksDB takes for damage where logs are chained. A
/// checkpoint may have none, and a first opening that was cut off has none.
///
/// # Errors
/// As of [`options`].
pub(super) fn without_logs(options: &Options) -> Result<Options> {
    chained_logs(&mut options.clone(), false)
}

/// Whether each log notes how the one before it ended. If that one has lost its end, or is missing, RocksDB
/// takes it for damage at that place: else the writes of the later log would be replayed without those that
/// came before them. (The binding has no setter for it.)
fn chained_logs(options: &mut Options, are_chained: bool) -> Result<Options> {
    let setting = format!("track_and_verify_wals={are_chained}");
    options.get_options_from_string(setting).map_err(Error::engine)
}

/// Which damage in the log ends the opening with an error.
///
/// `TolerateCorruptedTailRecords` takes a record that is cut off at the end of a log, which is what a
/// write that was never acknowledged leaves, and refuses everything else: with each acknowledged
/// write fsynced, damage elsewhere means that acknowledged data is gone, and the owner must know. (What it
/// takes for damage in the last write of all is looked at again: see `log_end`.)
///
/// `PointInTime` stops at the first damage and opens with what was before it: right where writes
/// are acknowledged before their fsync, for then a power loss may leave any part of the log's
/// end unwritten, and the owner has accepted to lose it.
fn set_log_recovery(options: &mut Options, engine: &EngineOptions) {
    options.set_wal_recovery_mode(if engine.strict_log {
        DBRecoveryMode::TolerateCorruptedTailRecords
    } else {
        DBRecoveryMode::PointInTime
    });
    // A log that was synced and closed is known to the manifest by its size: without this, one that
    // went missing whole would go unnoticed.
    options.set_track_and_verify_wals_in_manifest(true);
    // Bounds how much is replayed after a crash: RocksDB flushes the family that holds the oldest log.
    options.set_max_total_wal_size(engine.write_buffer_bytes as u64 * 2);
}

/// `options` for a log whose end is known to be worth nothing.
pub(super) fn cut_at_damage(options: &Options) -> Options {
    let mut options = options.clone();
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options
}

fn set_memory(options: &mut Options, engine: &EngineOptions) {
    // The bound over all column families; each alone may fill half, so that writing goes on while
    // the other half is flushed.
    options.set_db_write_buffer_size(engine.write_buffer_bytes);
    options.set_write_buffer_size((engine.write_buffer_bytes / 2).max(WRITE_BUFFER_BYTES_MIN));
    options.set_max_write_buffer_number(3);
    // Lets a read skip a buffer that does not hold its key, for one byte in fifty.
    options.set_memtable_prefix_bloom_ratio(0.02);
    options.set_memtable_whole_key_filtering(true);
}

fn tables(cache: &Cache) -> BlockBasedOptions {
    let mut tables = tables_without_filters(cache);
    tables.set_bloom_filter(BLOOM_BITS_PER_KEY, false);
    tables.set_whole_key_filtering(true);
    tables.set_partition_filters(true);
    tables
}

fn tables_without_filters(cache: &Cache) -> BlockBasedOptions {
    let mut tables = BlockBasedOptions::default();
    tables.set_block_cache(cache);
    tables.set_block_size(BLOCK_BYTES);
    tables.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
    tables.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    tables.set_metadata_block_size(INDEX_PART_BYTES);
    tables.set_cache_index_and_filter_blocks(true);
    // What says where the parts are is small and asked on every read.
    tables.set_pin_top_level_index_and_filter(true);
    // The newest files are asked on every read: their filters must not be pushed out by data.
    tables.set_pin_l0_filter_and_index_blocks_in_cache(true);
    tables
}

fn set_background(options: &mut Options) {
    let jobs = num_cpus::get().clamp(2, BACKGROUND_JOBS_MAX);
    options.increase_parallelism(i32::try_from(jobs).unwrap_or(2));
    options.set_bytes_per_sync(BYTES_PER_SYNC);
    options.set_wal_bytes_per_sync(BYTES_PER_SYNC);
    // Files that a dropped snapshot or iterator was the last to need are deleted in the background.
    options.set_avoid_unnecessary_blocking_io(true);
    options.set_keep_log_file_num(INFO_LOG_FILES_MAX);
    options.set_max_log_file_size(INFO_LOG_BYTES_MAX);
    options.set_log_level(LogLevel::Warn);
}
