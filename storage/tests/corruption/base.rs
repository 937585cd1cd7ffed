//! The directory that is damaged: small, but with all that a large one has. Its content depends on
//! nothing, so that a child knows it without being told.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use futures::executor::block_on;
use pontoon_storage::{EngineKind, Options, Store, WriteBatch};

use super::tree::copy_tree;
use super::workload::Rng;

/// Sessions in which it is written. RocksDB's log becomes tables when the next one opens.
const SESSIONS: usize = 3;

/// Batches of each session.
const BATCHES: usize = 8;

/// Single puts at the very end: what a crash or damage to the end may take.
const LAST_PUTS: usize = 20;

pub const KEYSPACES: [&str; 4] = ["few", "large", "small", "thinned"];

/// By keyspace and key.
pub type Content = BTreeMap<(String, Vec<u8>), Vec<u8>>;

type Operation = Vec<(usize, Vec<u8>, Option<Vec<u8>>)>;

/// What was done, and what came of it.
pub struct Expected {
    pub content: Content,
    /// The digest of the content after each operation.
    pub digests: Vec<u64>,
}

impl Expected {
    pub fn new() -> Self {
        let mut expected = Self { content: Content::new(), digests: vec![0] };
        for operation in (0..=SESSIONS).flat_map(session) {
            for (keyspace, key, value) in operation {
                let key = (KEYSPACES[keyspace].to_owned(), key);
                match value {
                    Some(value) => expected.content.insert(key, value),
                    None => expected.content.remove(&key),
                };
            }
            expected.digests.push(digest(&expected.content));
        }
        expected
    }
}

pub fn digest(content: &Content) -> u64 {
    let entries = content.iter().map(|entry| {
        let mut hasher = DefaultHasher::new();
        entry.hash(&mut hasher);
        hasher.finish()
    });
    entries.fold(0, u64::wrapping_add)
}

/// The operations of a session; the one after the last is the single puts.
fn session(number: usize) -> Vec<Operation> {
    let mut rng = Rng(number as u64 + 1);
    if number == SESSIONS {
        return (0..LAST_PUTS)
            .map(|put| vec![(2, format!("last{put:03}").into(), Some(bytes(&mut rng, 100)))])
            .collect();
    }
    (0..BATCHES).map(|batch| self::batch(number * BATCHES + batch, &mut rng)).collect()
}

fn batch(number: usize, rng: &mut Rng) -> Operation {
    let mut operation = Operation::new();
    if number.is_multiple_of(8) {
        operation.push((0, vec![number as u8], Some(bytes(rng, 50))));
    }
    let large_len = 3000 + rng.below(40_000) as usize;
    operation.push((1, format!("large{number:03}").into(), Some(bytes(rng, large_len))));
    for _ in 0..60 {
        let (key, len) = (rng.below(2000), 20 + rng.below(100) as usize);
        operation.push((2, format!("small{key:06}").into(), Some(bytes(rng, len))));
    }
    for index in 0..40 {
        operation.push((3, format!("thinned{number:03}{index:03}").into(), Some(bytes(rng, 60))));
        if number > 0 && index % 3 > 0 {
            operation.push((3, format!("thinned{:03}{index:03}", number - 1).into(), None));
        }
    }
    operation
}

fn bytes(rng: &mut Rng, len: usize) -> Vec<u8> {
    (0..len).map(|_| rng.below(256) as u8).collect()
}

/// Writes the directories `clean`, which was closed, and `killed`, which was not, below `into`.
pub fn build(engine: EngineKind, into: &Path) {
    let clean = into.join("clean");
    for number in 0..SESSIONS {
        let store = open(engine, &clean).unwrap();
        session(number).into_iter().for_each(|operation| apply(&store, operation));
        if number == SESSIONS - 1 {
            session(SESSIONS).into_iter().for_each(|operation| apply(&store, operation));
            copy_tree(&clean, &into.join("killed"));
        }
        block_on(store.close()).unwrap();
    }
}

pub fn open(engine: EngineKind, dir: &Path) -> pontoon_storage::Result<Store> {
    let options = Options::new(dir).engine(engine).pool_threads(1);
    block_on(Store::open(options.engine_cache_bytes(8 << 20).write_buffer_bytes(4 << 20)))
}

fn apply(store: &Store, operation: Operation) {
    let mut batch = WriteBatch::new();
    for (keyspace, key, value) in operation {
        let keyspace = store.keyspace(KEYSPACES[keyspace]).unwrap();
        match value {
            Some(value) => batch.put(&keyspace, key, value),
            None => batch.delete(&keyspace, key),
        };
    }
    block_on(store.write(batch)).unwrap();
}

/// The files below `dir`, in the order of their paths.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}
