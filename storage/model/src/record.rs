//! The record cache alone, between one committer and some readers, over an engine that is one number:
//! few enough steps that their orders are tried in earnest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::KeyspaceNames;
use crate::cache::RecordCache;
use crate::engine::{Changes, KeyspaceChanges};
use crate::keyspace::KeyspaceId;
use crate::sync::{AtomicU64, thread};

const COMMITS: u64 = 2;
const READERS: usize = 2;
const READS: usize = 2;
const KEY: &[u8] = b"k";

struct Record {
    cache: RecordCache,
    keyspace: KeyspaceId,
    /// What the engine has.
    engine: AtomicU64,
    /// What writers have been told is there.
    acknowledged: AtomicU64,
}

/// Commits and reads beside each other; `by_range` deletes the keyspace in each commit.
///
/// # Panics
/// When a reader sees less than was acknowledged before, or than it saw itself.
pub fn commits_and_reads(by_range: bool) {
    let names = KeyspaceNames::new(1, 1);
    let keyspace = names.intern("a").map(|keyspace| keyspace.id).ok();
    let cache = RecordCache::new(16 << 10, 1);
    let Some((keyspace, cache)) = keyspace.zip(cache) else { unreachable!("they can be made") };
    let (engine, acknowledged) = (AtomicU64::new(0), AtomicU64::new(0));
    let record = Arc::new(Record { cache, keyspace, engine, acknowledged });
    let committer = {
        let record = Arc::clone(&record);
        thread::spawn(move || (1..=COMMITS).for_each(|n| record.commit(n, by_range)))
    };
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let record = Arc::clone(&record);
            thread::spawn(move || {
                let mut seen = 0;
                (0..READS).for_each(|_| seen = record.read(seen));
            })
        })
        .collect();
    assert!(committer.join().is_ok());
    assert!(readers.into_iter().all(|reader| reader.join().is_ok()));
    assert_eq!(record.read(COMMITS), COMMITS);
}

impl Record {
    fn commit(&self, n: u64, by_range: bool) {
        let key = Bytes::from_static(KEY);
        let mut changes = KeyspaceChanges {
            keyspace: self.keyspace,
            ranges: BTreeMap::new(),
            writes: BTreeMap::new(),
        };
        if by_range {
            changes.ranges.insert(key, None);
        } else {
            changes.writes.insert(key, Some(Bytes::copy_from_slice(&n.to_be_bytes())));
        }
        let changes = Changes { keyspaces: vec![changes] };
        let in_flight = self.cache.begin(&changes);
        self.engine.store(n, Ordering::SeqCst);
        in_flight.done();
        self.acknowledged.store(n, Ordering::SeqCst);
    }

    fn read(&self, seen: u64) -> u64 {
        let least = self.acknowledged.load(Ordering::SeqCst).max(seen);
        let moment = self.cache.now();
        let found = self.cache.look(moment, self.keyspace, KEY).flatten();
        let found = found.and_then(|value| value.as_ref().try_into().ok()).map(u64::from_be_bytes);
        let value = found.unwrap_or_else(|| {
            let value = self.engine.load(Ordering::SeqCst);
            let bytes = Bytes::copy_from_slice(&value.to_be_bytes());
            self.cache.keep(moment, self.keyspace, KEY, Some(&bytes));
            value
        });
        assert!(value >= least, "{value} was read after {least}");
        value
    }
}
