//! What only redb does.

use super::*;
use crate::engine::check::Findings;
use crate::error::Error;

fn open_error(dir: &Path) -> Error {
    EngineKind::Redb.open(dir, &options(), new_names()).err().unwrap()
}

#[test]
fn a_file_of_something_else_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("data.redb"), vec![7; 100_000]).unwrap();
    assert!(matches!(open_error(dir.path()), Error::Corrupted(_)));
}

#[test]
fn a_file_cut_short_is_damage() {
    let f = Fixture::new(EngineKind::Redb);
    f.apply([change(f.keyspace("a")).put("k", vec![1; 3 << 20])]);
    let Fixture { engine, dir, .. } = f;
    drop(engine);
    let file = std::fs::File::options().write(true).open(dir.path().join("data.redb")).unwrap();
    file.set_len(1 << 20).unwrap();
    assert!(matches!(open_error(dir.path()), Error::Corrupted(_)));
}

/// redb looks at every page then, which is no sign that anything is amiss.
#[test]
fn a_file_that_was_not_closed_is_told_from_one_whose_last_commit_is_torn() {
    let f = Fixture::new(EngineKind::Redb);
    f.apply([change(f.keyspace("a")).put("k", "v")]);
    let copy = copy_as_after_a_kill(f.dir.path());
    let mut findings = Findings::new(EngineKind::Redb);
    EngineKind::Redb.check(copy.path(), &mut findings).unwrap();
    let notes = findings.report.notes.join(" ");
    assert!(!notes.is_empty() && !notes.contains("not whole"), "{notes}");
    assert!(findings.report.damage.is_empty());
}

/// After a kill redb walks the whole tree and so finds damage that a read would return unnoticed.
#[test]
fn repair_after_a_kill_finds_flipped_bits() {
    let f = Fixture::new(EngineKind::Redb);
    f.apply([change(f.keyspace("a")).put("k", "the value to be damaged")]);
    let copy = copy_as_after_a_kill(f.dir.path());
    let path = copy.path().join("data.redb");
    let mut bytes = std::fs::read(&path).unwrap();
    let needle = b"the value to be damaged";
    let mut damaged = 0;
    for at in 0..bytes.len() - needle.len() {
        if bytes[at..].starts_with(needle) {
            bytes[at] ^= 1;
            damaged += 1;
        }
    }
    assert!(damaged > 0);
    std::fs::write(&path, bytes).unwrap();
    // Either it refuses, or it falls back to the commit before; what it must not do is serve it.
    match EngineKind::Redb.open(copy.path(), &options(), Arc::clone(&f.names)) {
        Err(error) => assert!(matches!(error, Error::Corrupted(_)), "{error:?}"),
        Ok(engine) => {
            let value = engine.snapshot().unwrap().get(f.keyspace("a"), b"k").unwrap();
            assert_eq!(value, None);
        }
    }
}

#[test]
fn unsynced_bytes_are_bounded() {
    let f = Fixture::new(EngineKind::Redb);
    let ks = f.keyspace("a");
    let value = Bytes::from(vec![1; 4 << 20]);
    for number in 0..17 {
        f.apply_with([change(ks).put(numbered(number), value.clone())], false);
    }
    let copy = copy_as_after_a_kill(f.dir.path());
    let after = open(EngineKind::Redb, copy.path(), &f.names);
    let found = after.snapshot().unwrap();
    let survived = (0..17).filter(|n| found.get(ks, numbered(*n).as_bytes()).unwrap().is_some());
    assert!(survived.count() >= 16);
}

#[test]
fn quick_repair_recovers_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let names = new_names();
    let quick = EngineOptions { quick_repair: true, ..options() };
    let engine = EngineKind::Redb.open(dir.path(), &quick, Arc::clone(&names)).unwrap();
    let ks = names.intern("a").unwrap().id;
    let apply = |key: String, sync| {
        engine.apply(&Changes { keyspaces: vec![change(ks).put(key, "v")] }, sync).unwrap();
    };
    apply("synced".into(), true);
    apply("unsynced".into(), false);
    let copy = copy_as_after_a_kill(dir.path());
    let after = EngineKind::Redb.open(copy.path(), &quick, Arc::clone(&names)).unwrap();
    let found = after.snapshot().unwrap();
    assert_eq!(found.get(ks, b"synced").unwrap().unwrap(), "v");
    assert_eq!(found.get(ks, b"unsynced").unwrap(), None);
}
