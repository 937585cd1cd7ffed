//! The first opening of a directory: what it leaves when it is cut off is opened by the next one,
//! and what it must find later is not made up when it has gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::path::Path;

use futures::executor::block_on;
use pontoon_storage::{EngineKind, Error, Options, Result, Store};

fn persistent() -> impl Iterator<Item = EngineKind> {
    EngineKind::AVAILABLE.iter().copied().filter(|kind| kind.is_persistent())
}

fn open(dir: &Path, kind: EngineKind) -> Result<Store> {
    block_on(Store::open(Options::new(dir).engine(kind)))
}

/// Opens, writes, closes, opens again and reads.
fn assert_usable(dir: &Path, kind: EngineKind) {
    let store = open(dir, kind).unwrap();
    let ks = store.keyspace("a").unwrap();
    block_on(store.put(&ks, "k", "v")).unwrap();
    block_on(store.close()).unwrap();
    let store = open(dir, kind).unwrap();
    let ks = store.keyspace("a").unwrap();
    assert_eq!(block_on(store.get(&ks, "k")).unwrap().unwrap(), "v");
    block_on(store.close()).unwrap();
}

#[test]
fn a_first_open_cut_off_before_its_marker_was_written_is_done_again() {
    const LEFT: &[&[&str]] = &[
        &["pontoon.lock"],
        &["pontoon.lock", "data/"],
        &["pontoon.lock", "data/", "PONTOON.new"],
        // In a file system whose root the directory is.
        &["lost+found/"],
        &["lost+found/", "data/lost+found/"],
    ];
    for (kind, left) in persistent().flat_map(|kind| LEFT.iter().map(move |left| (kind, left))) {
        let dir = tempfile::tempdir().unwrap();
        for name in *left {
            match name.strip_suffix('/') {
                Some(name) => fs::create_dir_all(dir.path().join(name)).unwrap(),
                None => fs::write(dir.path().join(name), "ponto").unwrap(),
            }
        }
        assert_usable(dir.path(), kind);
    }
}

/// What the marker says once the engine has made its files.
#[cfg(any(feature = "redb", feature = "rocksdb"))]
const READY: &str = "data ready\n";

/// A directory as it is when its marker has been written and its engine has done nothing yet.
#[cfg(any(feature = "redb", feature = "rocksdb"))]
fn marked(kind: EngineKind) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    block_on(open(dir.path(), kind).unwrap().close()).unwrap();
    fs::remove_dir_all(dir.path().join("data")).unwrap();
    fs::create_dir(dir.path().join("data")).unwrap();
    let marker = fs::read_to_string(dir.path().join("PONTOON")).unwrap();
    assert!(marker.contains(READY));
    fs::write(dir.path().join("PONTOON"), marker.replace(READY, "")).unwrap();
    dir
}

#[test]
#[cfg(feature = "redb")]
fn a_first_open_cut_off_while_redb_created_its_file_is_done_again() {
    let whole = tempfile::tempdir().unwrap();
    block_on(open(whole.path(), EngineKind::Redb).unwrap().close()).unwrap();
    let file = fs::read(whole.path().join("data/data.redb")).unwrap();
    let mut without_magic_number = file.clone();
    without_magic_number[..9].fill(0);
    for left in [&[][..], &[0; 4096], &without_magic_number, &file] {
        let dir = marked(EngineKind::Redb);
        fs::write(dir.path().join("data/data.redb.new"), left).unwrap();
        assert_usable(dir.path(), EngineKind::Redb);
        let names = fs::read_dir(dir.path().join("data")).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["data.redb"]);
    }
}

/// In the order in which RocksDB creates them; its log comes only after `CURRENT`.
#[test]
#[cfg(feature = "rocksdb")]
fn a_first_open_cut_off_while_rocksdb_created_its_files_is_done_again() {
    const FILES: &[(&str, &str)] = &[
        ("LOG", ""),
        ("LOCK", ""),
        ("000000.dbtmp", "half-an-iden"),
        ("IDENTITY", "5bf59fc1-1bd6-4bd4-9d2b-6a1d9ba6c5a1"),
        ("MANIFEST-000001", "torn"),
        ("000001.dbtmp", "MANIF"),
    ];
    for created in 0..=FILES.len() {
        let dir = marked(EngineKind::Rocksdb);
        let data = dir.path().join("data/data.rocksdb");
        fs::create_dir(&data).unwrap();
        for (name, text) in &FILES[..created] {
            fs::write(data.join(name), text).unwrap();
        }
        assert_usable(dir.path(), EngineKind::Rocksdb);
    }
}

#[test]
fn missing_data_is_damage_and_not_made_anew() {
    for kind in persistent() {
        let dir = tempfile::tempdir().unwrap();
        assert_usable(dir.path(), kind);
        let data = dir.path().canonicalize().unwrap().join("data");
        fs::rename(&data, dir.path().join("elsewhere")).unwrap();
        let refused = open(dir.path(), kind);
        let Err(error @ Error::Corrupted(_)) = refused else { panic!("{refused:?}") };
        assert!(error.to_string().contains(data.to_str().unwrap()), "{error}");
        assert!(!data.exists());
        fs::create_dir(&data).unwrap();
        let refused = open(dir.path(), kind);
        let Err(error @ Error::Corrupted(_)) = refused else { panic!("{refused:?}") };
        assert!(error.to_string().contains(data.to_str().unwrap()), "{error}");
        assert_eq!(fs::read_dir(&data).unwrap().count(), 0);
        fs::remove_dir(&data).unwrap();
        fs::rename(dir.path().join("elsewhere"), &data).unwrap();
        assert_usable(dir.path(), kind);
    }
}

/// Where the directories above cannot be read, and so not be fsynced. (Everybody's rights hold for
/// all but root, who may read them all the same.)
#[test]
#[cfg(unix)]
fn directories_above_need_not_be_readable() {
    use std::os::unix::fs::PermissionsExt;
    for kind in persistent() {
        let above = tempfile::tempdir().unwrap();
        fs::create_dir(above.path().join("there")).unwrap();
        fs::set_permissions(above.path(), fs::Permissions::from_mode(0o311)).unwrap();
        assert_usable(&above.path().join("there"), kind);
        assert_usable(&above.path().join("several/levels/deep"), kind);
        fs::set_permissions(above.path(), fs::Permissions::from_mode(0o700)).unwrap();
    }
}
