//! Damage that an opening must not take for something else, and whose file its error must name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::path::Path;

use futures::executor::block_on;
use pontoon_storage::{CheckOptions, EngineKind, Error, Options, Result, Store, check};

fn persistent() -> impl Iterator<Item = EngineKind> {
    EngineKind::AVAILABLE.iter().copied().filter(|kind| kind.is_persistent())
}

fn open(dir: &Path, kind: EngineKind) -> Result<Store> {
    block_on(Store::open(Options::new(dir).engine(kind)))
}

/// A store that was opened, written and closed twice, so that RocksDB has a table and a log.
fn written(kind: EngineKind) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for key in ["first", "second"] {
        let store = open(dir.path(), kind).unwrap();
        let ks = store.keyspace("a").unwrap();
        block_on(store.put(&ks, key, vec![b'v'; 1000])).unwrap();
        block_on(store.close()).unwrap();
    }
    dir
}

#[track_caller]
fn assert_named(dir: &Path, kind: EngineKind, file: &Path) {
    let refused = open(dir, kind);
    let Err(error @ Error::Corrupted(_)) = refused else { panic!("{refused:?}") };
    assert!(error.to_string().contains(file.to_str().unwrap()), "{file:?}: {error}");
    let report = block_on(check(CheckOptions::new(dir))).unwrap();
    assert_eq!(report.damage[0].file, file, "{report:?}");
}

#[test]
fn a_marker_that_makes_no_sense_is_damage() {
    for kind in persistent() {
        let dir = written(kind);
        let marker = dir.path().canonicalize().unwrap().join("PONTOON");
        let sound = fs::read(&marker).unwrap();
        let flipped = [&b"\xf0"[..], &sound[1..]].concat();
        for damaged in [&flipped[..], b"", &sound[..sound.len() - 1], &sound[..20]] {
            fs::write(&marker, damaged).unwrap();
            assert_named(dir.path(), kind, &marker);
        }
        fs::write(&marker, sound).unwrap();
        block_on(open(dir.path(), kind).unwrap().close()).unwrap();
    }
}

#[cfg(feature = "rocksdb")]
fn file_of_rocksdb(dir: &Path, is_it: impl Fn(&str) -> bool) -> std::path::PathBuf {
    let data = dir.canonicalize().unwrap().join("data/data.rocksdb");
    let mut paths = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    paths.find(|path| is_it(path.file_name().unwrap().to_str().unwrap())).unwrap()
}

/// RocksDB takes it for a shorter one, and what it says no more for what never was.
#[test]
#[cfg(feature = "rocksdb")]
fn a_manifest_that_lost_its_end_is_damage() {
    let dir = written(EngineKind::Rocksdb);
    let manifest = file_of_rocksdb(dir.path(), |name| name.starts_with("MANIFEST"));
    let sound = fs::read(&manifest).unwrap();
    for len in (0..sound.len()).step_by(20) {
        fs::write(&manifest, &sound[..len]).unwrap();
        assert_named(dir.path(), EngineKind::Rocksdb, &manifest);
    }
    fs::write(&manifest, sound).unwrap();
    let store = open(dir.path(), EngineKind::Rocksdb).unwrap();
    let ks = store.keyspace("a").unwrap();
    assert!(block_on(store.contains(&ks, "first")).unwrap());
    block_on(store.close()).unwrap();
}

/// A length that leads beyond the end is the end to RocksDB.
#[test]
#[cfg(feature = "rocksdb")]
fn a_manifest_damaged_anywhere_is_damage() {
    let dir = written(EngineKind::Rocksdb);
    let manifest = file_of_rocksdb(dir.path(), |name| name.starts_with("MANIFEST"));
    let sound = fs::read(&manifest).unwrap();
    for at in (0..sound.len() - 1).step_by(3) {
        let mut damaged = sound.clone();
        damaged[at] ^= 0xff;
        damaged[at + 1] ^= 0xff;
        fs::write(&manifest, damaged).unwrap();
        assert_named(dir.path(), EngineKind::Rocksdb, &manifest);
    }
}

/// RocksDB takes it for one that was never written.
#[test]
#[cfg(feature = "rocksdb")]
fn a_log_that_is_gone_or_cut_off_after_a_close_is_damage() {
    let dir = written(EngineKind::Rocksdb);
    let log = file_of_rocksdb(dir.path(), |name| name.ends_with(".log"));
    let sound = fs::read(&log).unwrap();
    for len in [None, Some(0), Some(sound.len() / 2), Some(sound.len() - 1)] {
        match len {
            None => fs::remove_file(&log).unwrap(),
            Some(len) => fs::write(&log, &sound[..len]).unwrap(),
        }
        let refused = open(dir.path(), EngineKind::Rocksdb);
        let Err(error @ Error::Corrupted(_)) = refused else { panic!("{refused:?}") };
        assert!(error.to_string().contains(log.to_str().unwrap()), "{error}");
        assert!(!block_on(check(CheckOptions::new(dir.path()))).unwrap().is_sound());
    }
    fs::write(&log, sound).unwrap();
    block_on(open(dir.path(), EngineKind::Rocksdb).unwrap().close()).unwrap();
}

/// A note that was torn or damaged itself is no reason to refuse a sound manifest.
#[test]
#[cfg(feature = "rocksdb")]
fn a_damaged_note_of_the_manifest_refuses_nothing() {
    let dir = written(EngineKind::Rocksdb);
    let note = dir.path().join("data/manifest-noted");
    let text = fs::read_to_string(&note).unwrap();
    let larger = text.replacen(|c: char| c.is_ascii_digit(), "9", 1);
    for damaged in ["", "\n", "9", &text[..text.len() / 2], &larger] {
        fs::write(&note, damaged).unwrap();
        block_on(open(dir.path(), EngineKind::Rocksdb).unwrap().close()).unwrap();
    }
}

#[test]
#[cfg(feature = "rocksdb")]
fn rocksdbs_errors_name_the_log_and_the_table() {
    for extension in [".log", ".sst"] {
        let dir = written(EngineKind::Rocksdb);
        let file = file_of_rocksdb(dir.path(), |name| name.ends_with(extension));
        let mut bytes = fs::read(&file).unwrap();
        let at = if extension == ".log" { 40 } else { bytes.len() - 20 };
        bytes[at] ^= 1;
        fs::write(&file, bytes).unwrap();
        assert_named(dir.path(), EngineKind::Rocksdb, &file);
    }
}
