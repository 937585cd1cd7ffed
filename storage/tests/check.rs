//! The offline check: what it finds, and that it changes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "common/tree.rs"]
#[allow(unreachable_pub)]
mod tree;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures::executor::block_on;
use pontoon_storage::{
    CheckOptions, CheckReport, EngineKind, Error, Options, Result, Store, check,
};
use tree::copy_tree;

const ENTRIES: usize = 2000;

fn persistent() -> impl Iterator<Item = EngineKind> {
    EngineKind::AVAILABLE.iter().copied().filter(|kind| kind.is_persistent())
}

fn open(dir: &Path, kind: EngineKind) -> Store {
    block_on(Store::open(Options::new(dir).engine(kind))).unwrap()
}

fn look(dir: &Path) -> Result<CheckReport> {
    block_on(check(CheckOptions::new(dir)))
}

/// Two keyspaces, written by one store after the other, so that RocksDB has tables and a log.
fn write(dir: &Path, kind: EngineKind) {
    for (name, letter) in [("a", "x"), ("b", "y")] {
        let store = open(dir, kind);
        let ks = store.keyspace(name).unwrap();
        for number in 0..ENTRIES / 100 {
            let keys = (number * 100..(number + 1) * 100).map(|n| format!("{n:06}"));
            let mut batch = pontoon_storage::WriteBatch::new();
            for key in keys {
                batch.put(&ks, key, letter.repeat(100));
            }
            block_on(store.write(batch)).unwrap();
        }
        block_on(store.close()).unwrap();
    }
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn a_sound_directory_is_read_whole_and_left_as_it_is() {
    for kind in persistent() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), kind);
        let before = files(dir.path());
        let report = look(dir.path()).unwrap();
        assert!(report.is_sound() && report.damage.is_empty(), "{report:?}");
        assert!(report.notes.is_empty(), "{report:?}");
        assert_eq!(report.engine, kind);
        let read: Vec<_> =
            report.keyspaces.iter().map(|ks| (ks.name.as_str(), ks.entries, ks.bytes)).collect();
        assert_eq!(read, [("a", 2000, 212_000), ("b", 2000, 212_000)]);
        let listed: u64 = report.files.iter().map(|file| file.bytes).sum();
        assert!(listed > 0);
        assert!(before == files(dir.path()), "{kind:?}");
        block_on(open(dir.path(), kind).close()).unwrap();
    }
}

#[test]
fn what_a_kill_leaves_is_sound_and_left_as_it_is() {
    for kind in persistent() {
        let dir = tempfile::tempdir().unwrap();
        let (written, copy) = (dir.path().join("written"), dir.path().join("copy"));
        let store = open(&written, kind);
        let ks = store.keyspace("a").unwrap();
        for number in 0..50 {
            block_on(store.put(&ks, number.to_string(), vec![b'v'; 1000])).unwrap();
        }
        copy_tree(&written, &copy);
        block_on(store.close()).unwrap();
        let before = files(&copy);
        let report = look(&copy).unwrap();
        assert!(report.is_sound(), "{report:?}");
        assert_eq!(report.keyspaces[0].entries, 50);
        assert_eq!(report.notes.len(), usize::from(kind == EngineKind::Redb), "{report:?}");
        assert!(before == files(&copy), "{kind:?}");
    }
}

/// Writes `bytes` to `path` with a bit of one of them flipped.
fn flip(path: &Path, mut bytes: Vec<u8>, at: usize) {
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Flips a bit in the last place where a file holds `needle`.
fn damage(dir: &Path, needle: &[u8]) -> PathBuf {
    for (path, bytes) in files(dir) {
        if let Some(at) = bytes.windows(needle.len()).rposition(|window| window == needle) {
            flip(&path, bytes, at);
            return path;
        }
    }
    panic!("{needle:?} is in no file");
}

#[test]
fn a_flipped_bit_is_found_and_its_file_named() {
    for kind in persistent() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), kind);
        // The last key is near the end of the tables, where nothing reads it when they are opened.
        let place = dir.path().canonicalize().unwrap();
        let file = damage(&place.join("data"), b"001999");
        let report = look(dir.path()).unwrap();
        assert!(!report.is_sound(), "{kind:?}");
        assert_eq!(report.damage[0].file, file, "{report:?}");
        assert_eq!(report.damage.len() as u64, report.damage_total);
    }
}

/// `tables` tables of so many entries each, whose keys are between each other's: of level 0.
#[cfg(feature = "rocksdb")]
fn write_tables(dir: &Path, tables: usize, entries: usize) {
    for table in 0..tables {
        let store = open(dir, EngineKind::Rocksdb);
        let ks = store.keyspace("a").unwrap();
        let mut batch = pontoon_storage::WriteBatch::new();
        for number in 0..entries {
            batch.put(&ks, format!("{number:06}{table}"), (number * 7919 % 10_007).to_string());
        }
        block_on(store.write(batch)).unwrap();
        block_on(store.close()).unwrap();
        // Opening writes what is in the log into a table.
        block_on(open(dir, EngineKind::Rocksdb).close()).unwrap();
    }
}

#[cfg(feature = "rocksdb")]
fn tables(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let is_table = |path: &Path| path.extension().is_some_and(|extension| extension == "sst");
    files(&dir.canonicalize().unwrap()).into_iter().filter(|(path, _)| is_table(path)).collect()
}

/// RocksDB opens some tables at once, and the others when something is read from them.
#[cfg(feature = "rocksdb")]
#[test]
fn a_flipped_bit_anywhere_in_a_table_is_found() {
    const TABLES: usize = 3;
    // Filters and indexes of several parts each.
    const TABLE_ENTRIES: usize = 10_000;
    const TAIL_BYTES: usize = 2000;
    let dir = tempfile::tempdir().unwrap();
    write_tables(dir.path(), TABLES, TABLE_ENTRIES);
    assert!(look(dir.path()).unwrap().is_sound());
    let (mut flips, mut unnamed) = (0, 0);
    for (path, bytes) in tables(dir.path()) {
        let tail = bytes.len().saturating_sub(TAIL_BYTES);
        for at in (0..tail).step_by(2003).chain((tail..bytes.len()).step_by(61)) {
            flip(&path, bytes.clone(), at);
            let report = look(dir.path()).unwrap();
            let damage = report.damage.first().unwrap_or_else(|| panic!("byte {at} of {path:?}"));
            // For some blocks RocksDB does not say which table's they are: the directory is named.
            assert!(path.starts_with(&damage.file), "byte {at}: {report:?}");
            flips += 1;
            unnamed += usize::from(damage.file != path);
        }
        fs::write(&path, &bytes).unwrap();
    }
    assert!(flips > 200 && unnamed < flips / 20, "{unnamed} of {flips} unnamed");
    assert!(look(dir.path()).unwrap().is_sound());
}

#[cfg(feature = "rocksdb")]
#[test]
fn a_damaged_filter_keeps_no_entry_from_being_read() {
    let dir = tempfile::tempdir().unwrap();
    write_tables(dir.path(), 3, 10_000);
    for (path, bytes) in tables(dir.path()) {
        // The filter takes ten bits a key, and is before the last few kilobytes, which are the index.
        flip(&path, bytes.clone(), bytes.len() - 10_000);
        let report = look(dir.path()).unwrap();
        assert_eq!(report.damage[0].file, path, "{report:?}");
        assert_eq!(report.keyspaces[0].entries, 30_000);
        fs::write(&path, &bytes).unwrap();
    }
}

/// Many small tables of the lowest level, whose keys are all deleted but for the first and the last.
#[cfg(feature = "rocksdb")]
fn write_deleted_tables(dir: &Path) {
    const ENTRIES: usize = 40_000;
    write_tables(dir, 1, 1);
    let path = dir.join("data/data.rocksdb");
    let mut options = rocksdb::Options::default();
    options.set_target_file_size_base(64 << 10);
    options.set_compression_type(rocksdb::DBCompressionType::Lz4);
    options.set_level_compaction_dynamic_level_bytes(true);
    let names = rocksdb::DB::list_cf(&options, &path).unwrap();
    let families = names.iter().map(|name| (name, options.clone()));
    let database = rocksdb::DB::open_cf_with_opts(&options, &path, families).unwrap();
    let family = database.cf_handle("a").unwrap();
    for number in 0..ENTRIES {
        let value = (number * 7919 % 100_003).to_string();
        database.put_cf(family, format!("{number:06}"), value).unwrap();
    }
    database.flush_cf(family).unwrap();
    database.compact_range_cf(family, None::<&[u8]>, None::<&[u8]>);
    database.delete_range_cf(family, "000001", "039999").unwrap();
    database.flush_cf(family).unwrap();
}

#[cfg(feature = "rocksdb")]
#[test]
fn damage_to_tables_of_which_everything_is_deleted_is_found() {
    let dir = tempfile::tempdir().unwrap();
    write_deleted_tables(dir.path());
    let report = look(dir.path()).unwrap();
    assert!(report.is_sound() && report.keyspaces[0].entries <= 3, "{report:?}");
    let tables = tables(dir.path());
    assert!(tables.len() > 5, "{}", tables.len());
    for (path, bytes) in tables {
        fs::remove_file(&path).unwrap();
        let report = look(dir.path()).unwrap();
        assert_eq!(report.damage[0].file, path, "{report:?}");
        // In the table's footer.
        flip(&path, bytes.clone(), bytes.len() - 5);
        assert!(!look(dir.path()).unwrap().is_sound(), "{}", path.display());
        fs::write(&path, &bytes).unwrap();
    }
}

#[test]
fn what_the_caller_says_of_an_entry_is_damage() {
    for kind in persistent() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), kind);
        let seen = Arc::new(Mutex::new((0, 0)));
        let (entries, progress) = (Arc::clone(&seen), Arc::clone(&seen));
        let options = CheckOptions::new(dir.path())
            .engine(kind)
            .on_entry(move |keyspace, key, value| {
                entries.lock().unwrap().0 += 1;
                assert_eq!(value[0], if keyspace == "a" { b'x' } else { b'y' });
                if keyspace == "b" && key.ends_with(b"0") { Err("round".into()) } else { Ok(()) }
            })
            .on_progress(move |now| progress.lock().unwrap().1 = now.entries);
        let report = block_on(check(options)).unwrap();
        assert_eq!(report.damage_total, 200);
        assert_eq!(report.damage.len(), 100);
        assert_eq!(report.damage[0].keyspace.as_deref(), Some("b"));
        assert!(report.damage[0].to_string().ends_with("keyspace b: round"), "{report:?}");
        let seen = *seen.lock().unwrap();
        assert_eq!(seen.0, 4000);
        assert!(seen.1 > 2000, "{seen:?}");
    }
}

#[test]
fn a_missing_or_senseless_marker_is_damage_where_data_is() {
    for kind in persistent() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), kind);
        let marker = dir.path().canonicalize().unwrap().join("PONTOON");
        for text in
            [None, Some(&b""[..]), Some(b"pontoon-storage\nformat 1\n\xffengine"), Some(b"a")]
        {
            match text {
                Some(text) => fs::write(&marker, text).unwrap(),
                None => fs::remove_file(&marker).unwrap(),
            }
            let report = look(dir.path()).unwrap();
            assert_eq!(report.damage_total, 1, "{report:?}");
            assert_eq!(report.damage[0].file, marker);
            assert_eq!(report.keyspaces.len(), 2);
        }
    }
}

#[test]
fn missing_data_is_damage() {
    for kind in persistent() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), kind);
        let data = dir.path().join("data");
        for path in [data.join(format!("data.{}", kind.name())), data] {
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.unwrap();
            let report = look(dir.path()).unwrap();
            assert_eq!(report.damage_total, 1, "{report:?}");
            assert!(!path.exists());
        }
    }
}

#[test]
fn what_cannot_be_checked_is_an_error_and_stays_as_it_is() {
    let above = tempfile::tempdir().unwrap();
    let absent = above.path().join("absent");
    assert!(matches!(look(&absent), Err(Error::InvalidArgument(_))));
    assert!(!absent.exists());
    let foreign = above.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    assert!(matches!(look(&foreign), Err(Error::InvalidArgument(_))));
    fs::write(foreign.join("letter"), "dear").unwrap();
    assert!(matches!(look(&foreign), Err(Error::InvalidArgument(_))));
    assert!(matches!(look(&foreign.join("letter")), Err(Error::InvalidArgument(_))));
    assert_eq!(files(&foreign).len(), 1);
    for kind in persistent() {
        let dir = above.path().join(kind.name());
        let store = open(&dir, kind);
        let locked = look(&dir);
        assert!(
            matches!(&locked, Err(Error::Locked { dir: named }) if *named == dir),
            "{locked:?}"
        );
        block_on(store.close()).unwrap();
        assert!(look(&dir).unwrap().is_sound());
        let other = if kind == EngineKind::Redb { EngineKind::Rocksdb } else { EngineKind::Redb };
        let wrong = block_on(check(CheckOptions::new(&dir).engine(other)));
        assert!(matches!(wrong, Err(Error::WrongEngine { .. })), "{wrong:?}");
        let marker = fs::read_to_string(dir.join("PONTOON")).unwrap();
        fs::write(dir.join("PONTOON"), marker.replace("format ", "format 99")).unwrap();
        let newer = look(&dir);
        assert!(matches!(newer, Err(Error::WrongEngine { .. })), "{newer:?}");
    }
}
