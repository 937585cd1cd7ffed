//! What every engine must do, written once and run over each that this build has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;

use super::{
    Changes, Engine, EngineKind, EngineOptions, KeyspaceChanges, Page, PageLimit, Snapshot,
};
use crate::keyspace::{KeyspaceId, KeyspaceNames};
use crate::range::KeyRange;

mod conformance;
mod model;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "redb")]
mod redb_power;
#[cfg(feature = "rocksdb")]
mod rocksdb;

const EVERYTHING: PageLimit = PageLimit { entries: usize::MAX, bytes: usize::MAX };

/// An engine in a directory of its own.
struct Fixture {
    kind: EngineKind,
    names: Arc<KeyspaceNames>,
    engine: Option<Box<dyn Engine>>,
    dir: TempDir,
}

impl Fixture {
    fn new(kind: EngineKind) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let names = new_names();
        let engine = open(kind, dir.path(), &names);
        Self { kind, names, engine: Some(engine), dir }
    }

    fn keyspace(&self, name: &str) -> KeyspaceId {
        self.names.intern(name).unwrap().id
    }

    fn engine(&self) -> &dyn Engine {
        self.engine.as_deref().unwrap()
    }

    fn apply(&self, changes: impl IntoIterator<Item = KeyspaceChanges>) {
        self.apply_with(changes, true);
    }

    fn apply_with(&self, changes: impl IntoIterator<Item = KeyspaceChanges>, sync: bool) {
        let changes = Changes { keyspaces: changes.into_iter().collect() };
        self.engine().apply(&changes, sync).unwrap();
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        self.engine().snapshot().unwrap()
    }

    fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Option<Bytes> {
        self.snapshot().get(keyspace, key).unwrap()
    }

    /// Closes as the store does, and opens the same directory again.
    fn reopen(&mut self) {
        let engine = self.engine.take().unwrap();
        engine.sync().unwrap();
        engine.close().unwrap();
        drop(engine);
        self.engine = Some(open(self.kind, self.dir.path(), &self.names));
    }
}

fn new_names() -> Arc<KeyspaceNames> {
    Arc::new(KeyspaceNames::new(1, 64))
}

fn options() -> EngineOptions {
    EngineOptions { cache_bytes: 8 << 20, write_buffer_bytes: 4 << 20, ..EngineOptions::default() }
}

fn open(kind: EngineKind, dir: &Path, names: &Arc<KeyspaceNames>) -> Box<dyn Engine> {
    kind.open(dir, &options(), Arc::clone(names)).unwrap()
}

/// The changes of one keyspace.
fn change(keyspace: KeyspaceId) -> KeyspaceChanges {
    KeyspaceChanges { keyspace, ranges: BTreeMap::new(), writes: BTreeMap::new() }
}

impl KeyspaceChanges {
    fn put(mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        self.writes.insert(key.into(), Some(value.into()));
        self
    }

    fn delete(mut self, key: impl Into<Bytes>) -> Self {
        self.writes.insert(key.into(), None);
        self
    }

    fn delete_range(mut self, range: impl Into<KeyRange>) -> Self {
        let range = range.into();
        self.ranges.insert(range.start, range.end);
        self
    }

    fn put_numbered(mut self, numbers: std::ops::Range<usize>) -> Self {
        for number in numbers {
            self = self.put(numbered(number), format!("value {number}"));
        }
        self
    }
}

fn numbered(number: usize) -> String {
    format!("{number:05}")
}

fn entries_of(snapshot: &dyn Snapshot, keyspace: KeyspaceId) -> Vec<(Bytes, Bytes)> {
    let page = snapshot.page(keyspace, &KeyRange::ALL, false, EVERYTHING).unwrap();
    assert!(!page.more);
    page.entries
}

fn keys(page: &Page) -> Vec<&str> {
    page.entries.iter().map(|(key, _)| std::str::from_utf8(key).unwrap()).collect()
}

/// A copy of the files as they are now: what a process finds that starts after this one was killed,
/// the operating system having lived on.
fn copy_as_after_a_kill(from: &Path) -> TempDir {
    fn copy(from: &Path, into: &Path) {
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let target = into.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                std::fs::create_dir(&target).unwrap();
                copy(&entry.path(), &target);
            } else {
                std::fs::copy(entry.path(), target).unwrap();
            }
        }
    }
    let into = tempfile::tempdir().unwrap();
    copy(from, into.path());
    into
}
