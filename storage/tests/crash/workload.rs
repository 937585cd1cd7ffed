//! What the writers of a child do: a sequence that depends on the seed, the writer and the index
//! alone, so that the parent knows what every acknowledged index stood for.

use std::collections::BTreeMap;

use pontoon_storage::{Durability, Error, KeyRange, Reader, Result, Store, WriteBatch};

pub const WRITERS: usize = 6;

/// Both in every batch.
pub const SHARED: [&str; 2] = ["a", "b"];

/// In the first of the shared keyspaces, raised by every writer.
pub const COUNTER: &str = "counter";

const KEYS: u64 = 12;

/// All that one writer has written, by keyspace and key.
pub type State = BTreeMap<(String, String), Vec<u8>>;

#[derive(Debug, Clone)]
pub enum Operation {
    Put(Put),
    /// Asks for an fsync, whatever the store's durability.
    SyncedPut(Put),
    Delete(&'static str, String),
    DeleteRange(&'static str, String, String),
    Batch {
        range: (String, String),
        puts: Vec<Put>,
        delete: String,
    },
    /// Raises the counter that all writers share, and notes that in the writer's own count.
    Count(String),
    PutOwn(Put),
    DropOwn(String),
    Sync,
}

#[derive(Debug, Clone)]
pub struct Put {
    keyspace: String,
    key: String,
    value: Vec<u8>,
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub struct Rng(pub u64);

impl Rng {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// A keyspace that `writer` alone writes to, and drops.
pub fn own_keyspace(writer: usize) -> String {
    format!("own{writer}")
}

/// Whose `key` of a shared keyspace is.
pub fn writer_of(key: &str) -> Option<usize> {
    key.split_once('/')?.0.strip_prefix(['w', 'c'])?.parse().ok()
}

pub fn operation(seed: u64, writer: usize, index: u64) -> Operation {
    let mut rng =
        Rng(seed ^ ((writer as u64 + 1) << 48) ^ index.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let put = |rng: &mut Rng| put(rng, writer, index);
    match rng.below(100) {
        0..25 => Operation::Put(put(&mut rng)),
        25..30 => Operation::SyncedPut(put(&mut rng)),
        30..40 => Operation::Delete(shared(&mut rng), key(&mut rng, writer)),
        40..47 => {
            let keyspace = shared(&mut rng);
            let (start, end) = range(&mut rng, writer);
            Operation::DeleteRange(keyspace, start, end)
        }
        47..72 => {
            let mut puts: Vec<Put> = (0..1 + rng.below(5)).map(|_| put(&mut rng)).collect();
            for keyspace in SHARED {
                puts.push(Put { keyspace: keyspace.into(), ..put(&mut rng) });
            }
            Operation::Batch { range: range(&mut rng, writer), puts, delete: key(&mut rng, writer) }
        }
        72..90 => Operation::Count(format!("c{writer}/count")),
        90..96 => Operation::PutOwn(Put { keyspace: own_keyspace(writer), ..put(&mut rng) }),
        96..98 => Operation::DropOwn(own_keyspace(writer)),
        _ => Operation::Sync,
    }
}

fn put(rng: &mut Rng, writer: usize, index: u64) -> Put {
    let mut value = index.to_be_bytes().to_vec();
    let len = if rng.below(20) == 0 { 6_000 } else { rng.below(200) };
    value.resize(8 + len as usize, index as u8);
    Put { keyspace: shared(rng).into(), key: key(rng, writer), value }
}

fn shared(rng: &mut Rng) -> &'static str {
    SHARED[rng.below(2) as usize]
}

fn key(rng: &mut Rng, writer: usize) -> String {
    format!("w{writer}/{:02}", rng.below(KEYS))
}

fn range(rng: &mut Rng, writer: usize) -> (String, String) {
    let (a, b) = (rng.below(KEYS), rng.below(KEYS));
    (format!("w{writer}/{:02}", a.min(b)), format!("w{writer}/{:02}", a.max(b)))
}

impl Operation {
    pub fn is_count(&self) -> bool {
        matches!(self, Operation::Count(_))
    }

    /// Returns whether its acknowledgement means an fsync even in a store that asks for none: then
    /// this and all before it is there.
    pub async fn run(self, store: &Store) -> Result<bool> {
        let synced = matches!(self, Operation::SyncedPut(_) | Operation::Sync);
        if let Operation::DropOwn(keyspace) = self {
            return store.drop_keyspace(&store.keyspace(&keyspace)?).await;
        }
        self.write(store).await?;
        Ok(synced)
    }

    async fn write(self, store: &Store) -> Result<()> {
        match self {
            Operation::Put(put) | Operation::PutOwn(put) => put.run(store).await,
            Operation::SyncedPut(put) => put.run(&store.with_durability(Durability::Always)).await,
            Operation::Delete(keyspace, key) => store.delete(&store.keyspace(keyspace)?, key).await,
            Operation::DeleteRange(keyspace, start, end) => {
                store.delete_range(&store.keyspace(keyspace)?, start..end).await
            }
            Operation::Batch { range: (start, end), puts, delete } => {
                let mut batch = WriteBatch::new();
                for keyspace in SHARED {
                    let keyspace = store.keyspace(keyspace)?;
                    batch.delete_range(&keyspace, KeyRange::from(&start..&end));
                }
                for put in puts {
                    batch.put(&store.keyspace(&put.keyspace)?, put.key, put.value);
                }
                for keyspace in SHARED {
                    batch.delete(&store.keyspace(keyspace)?, &delete);
                }
                store.write(batch).await
            }
            Operation::Count(own) => {
                let keyspace = store.keyspace(SHARED[0])?;
                store
                    .update(move |tx| {
                        for key in [COUNTER, &own] {
                            let old = count(tx.get(&keyspace, key.as_bytes())?.as_deref());
                            tx.put(&keyspace, key, (old + 1).to_be_bytes())?;
                        }
                        Ok::<_, Error>(())
                    })
                    .await
            }
            Operation::DropOwn(_) => Ok(()),
            Operation::Sync => store.sync().await,
        }
    }

    pub fn apply(self, state: &mut State) {
        match self {
            Operation::Put(put) | Operation::SyncedPut(put) | Operation::PutOwn(put) => {
                put.apply(state);
            }
            Operation::Delete(keyspace, key) => {
                state.remove(&(keyspace.into(), key));
            }
            Operation::DeleteRange(keyspace, start, end) => {
                state.retain(|(ks, key), _| ks != keyspace || !(&start..&end).contains(&key));
            }
            Operation::Batch { range: (start, end), puts, delete } => {
                state.retain(|(ks, key), _| {
                    !SHARED.contains(&ks.as_str()) || !(&start..&end).contains(&key)
                });
                puts.into_iter().for_each(|put| put.apply(state));
                for keyspace in SHARED {
                    state.remove(&(keyspace.into(), delete.clone()));
                }
            }
            Operation::Count(own) => {
                let value = state.entry((SHARED[0].into(), own)).or_default();
                *value = (count(Some(value.as_slice())) + 1).to_be_bytes().to_vec();
            }
            Operation::DropOwn(keyspace) => state.retain(|(ks, _), _| *ks != keyspace),
            Operation::Sync => {}
        }
    }
}

impl Put {
    async fn run(self, store: &Store) -> Result<()> {
        store.put(&store.keyspace(&self.keyspace)?, self.key, self.value).await
    }

    fn apply(self, state: &mut State) {
        state.insert((self.keyspace, self.key), self.value);
    }
}

/// What a count holds; nothing counts as zero.
pub fn count(bytes: Option<&[u8]>) -> u64 {
    bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
}
