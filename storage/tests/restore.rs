//! Making a store of a checkpoint.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;

use futures::executor::block_on;
use pontoon_storage::{EngineKind, Error, Options, Store, restore};

fn persistent_engines() -> impl Iterator<Item = EngineKind> {
    EngineKind::AVAILABLE.iter().copied().filter(|engine| engine.is_persistent())
}

fn open(dir: &Path, engine: EngineKind) -> Store {
    block_on(Store::open(Options::new(dir).engine(engine))).unwrap()
}

fn put(store: &Store, key: &str) {
    let keys = store.keyspace("keys").unwrap();
    block_on(store.put(&keys, key.to_owned(), "")).unwrap();
}

fn has(store: &Store, key: &str) -> bool {
    let keys = store.keyspace("keys").unwrap();
    block_on(store.contains(&keys, key.to_owned())).unwrap()
}

/// A checkpoint in `dir` with the key `a`.
fn checkpoint(dir: &Path, engine: EngineKind) -> std::path::PathBuf {
    let store = open(&dir.join("data"), engine);
    put(&store, "a");
    let to = dir.join("checkpoint");
    block_on(store.checkpoint(&to)).unwrap();
    block_on(store.close()).unwrap();
    to
}

#[test]
fn what_is_restored_shares_nothing_with_the_checkpoint() {
    for engine in persistent_engines() {
        let dir = tempfile::tempdir().unwrap();
        let from = checkpoint(dir.path(), engine);
        for (name, is_there) in [("absent", false), ("empty", true)] {
            let to = dir.path().join(name);
            if is_there {
                fs::create_dir(&to).unwrap();
            }
            let restored = block_on(restore(&from, &to)).unwrap();
            assert_eq!(restored.engine, engine);
            assert!(restored.files > 0 && restored.bytes > 0, "{restored:?}");
            let store = open(&to, engine);
            assert!(has(&store, "a"));
            put(&store, name);
            block_on(store.close()).unwrap();
        }
        let store = open(&from, engine);
        assert!(has(&store, "a") && !has(&store, "absent") && !has(&store, "empty"));
        block_on(store.close()).unwrap();
    }
}

#[test]
fn nothing_is_overwritten() {
    for engine in persistent_engines() {
        let dir = tempfile::tempdir().unwrap();
        let from = checkpoint(dir.path(), engine);
        let to = dir.path().join("full");
        fs::create_dir(&to).unwrap();
        fs::write(to.join("note"), "mine").unwrap();
        let refused = block_on(restore(&from, &to)).unwrap_err();
        assert!(
            matches!(&refused, Error::InvalidArgument(why) if why.contains("full")),
            "{refused}"
        );
        assert_eq!(fs::read_to_string(to.join("note")).unwrap(), "mine");
        let file = dir.path().join("file");
        fs::write(&file, "mine").unwrap();
        assert!(matches!(block_on(restore(&from, &file)), Err(Error::InvalidArgument(_))));
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
        // Nor is anything left beside them.
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["checkpoint", "data", "file", "full"]);
    }
}

#[test]
fn what_is_no_checkpoint_is_refused() {
    for engine in persistent_engines() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (checkpoint(dir.path(), engine), dir.path().join("to"));
        let missing = block_on(restore(dir.path().join("nowhere"), &to));
        assert!(matches!(missing, Err(Error::InvalidArgument(_))), "{missing:?}");
        let foreign = dir.path().join("foreign");
        fs::create_dir(&foreign).unwrap();
        let refused = block_on(restore(&foreign, &to));
        assert!(matches!(refused, Err(Error::InvalidArgument(_))), "{refused:?}");
        let store = open(&from, engine);
        let locked = block_on(restore(&from, &to));
        assert!(matches!(locked, Err(Error::Locked { .. })), "{locked:?}");
        block_on(store.close()).unwrap();
        fs::write(from.join("PONTOON"), "nonsense").unwrap();
        let damaged = block_on(restore(&from, &to));
        assert!(matches!(damaged, Err(Error::Corrupted(_))), "{damaged:?}");
        assert!(!to.exists());
    }
}
