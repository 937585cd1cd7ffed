//! What clients do to a few keys: as calls of a store, and as a model says they act.

use futures::TryStreamExt as _;
use pontoon_storage::{
    Error, Keyspace, ReadLane, Reader, Result, ScanOptions, Store, Transaction, WriteBatch,
};

use crate::checker::Model;
use crate::workload::Rng;

pub const KEYSPACE: &str = "few";

/// Few, so that clients meet.
pub const KEYS: usize = 4;

/// What each key holds; 0 for nothing.
pub type Values = [u64; KEYS];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    Get(usize),
    GetMany(Vec<usize>),
    /// All keys, in one of several ways that come to the same.
    All(Way),
    Put(usize, u64),
    Delete(usize),
    /// A batch; 0 deletes.
    Write(Vec<(usize, u64)>),
    /// Puts and answers what was there before.
    Replace(usize, u64),
    /// The same if what was there before is even.
    ReplaceEven(usize, u64),
    /// Puts, fails, and so answers what is there alone.
    Undone(usize, u64),
    /// Exchanges two keys, and answers what they held.
    Swap(usize, usize),
    /// Deletes all, as a range.
    Clear,
    /// Deletes all, with the keyspace.
    DropAll,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    View,
    Read,
    Snapshot,
    Scan,
    Background,
    Update,
}

const WAYS: [Way; 6] =
    [Way::View, Way::Read, Way::Snapshot, Way::Scan, Way::Background, Way::Update];

/// The `index`th operation of `client`. What it writes, no other does.
pub fn operation(seed: u64, client: usize, index: u64) -> Operation {
    let mut rng = rng(seed, client, index);
    let value = ((client as u64 + 1) << 32) + index + 1;
    let key = rng.below(KEYS as u64) as usize;
    match rng.below(100) {
        0..22 => Operation::Get(key),
        22..32 => Operation::GetMany(some_keys(&mut rng)),
        32..47 => Operation::All(WAYS[rng.below(WAYS.len() as u64) as usize]),
        47..62 => Operation::Put(key, value),
        62..66 => Operation::Delete(key),
        66..76 => {
            let keys = some_keys(&mut rng);
            let value = |rng: &mut Rng| if rng.below(6) == 0 { 0 } else { value };
            Operation::Write(keys.into_iter().map(|key| (key, value(&mut rng))).collect())
        }
        76..84 => Operation::Replace(key, value),
        84..88 => Operation::ReplaceEven(key, value),
        88..91 => Operation::Undone(key, value),
        91..97 => Operation::Swap(key, (key + 1 + rng.below(KEYS as u64 - 1) as usize) % KEYS),
        97..99 => Operation::Clear,
        _ => Operation::DropAll,
    }
}

/// Differs with each client and operation, and is the same in each run with `seed`.
pub fn rng(seed: u64, client: usize, index: u64) -> Rng {
    Rng(seed ^ ((client as u64 + 1) << 48) ^ index.wrapping_mul(0x2545_f491_4f6c_dd1d))
}

/// In their order, each once, two at the least.
fn some_keys(rng: &mut Rng) -> Vec<usize> {
    let left_out = rng.below(KEYS as u64 * 2) as usize;
    (0..KEYS).filter(|&key| key != left_out).collect()
}

fn name(key: usize) -> String {
    format!("key{key}")
}

fn value_in(bytes: Option<&[u8]>) -> u64 {
    bytes.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()))
}

fn get(reader: &(impl Reader + ?Sized), keyspace: &Keyspace, key: usize) -> Result<u64> {
    Ok(value_in(reader.get(keyspace, name(key).as_bytes())?.as_deref()))
}

fn get_all(reader: &(impl Reader + ?Sized), keyspace: &Keyspace) -> Result<Vec<u64>> {
    (0..KEYS).map(|key| get(reader, keyspace, key)).collect()
}

fn put(tx: &mut Transaction, keyspace: &Keyspace, key: usize, value: u64) -> Result<()> {
    match value {
        0 => tx.delete(keyspace, name(key)),
        _ => tx.put(keyspace, name(key), value.to_be_bytes()),
    }
}

impl Operation {
    /// What it writes, if that is a value of its own.
    pub fn value(&self) -> Option<u64> {
        match self {
            Operation::Put(_, value)
            | Operation::Replace(_, value)
            | Operation::ReplaceEven(_, value) => Some(*value),
            Operation::Write(writes) => {
                writes.iter().map(|&(_, value)| value).find(|&value| value != 0)
            }
            _ => None,
        }
    }

    /// Whether it does nothing to the keys but put that value, or nothing at all.
    pub fn only_puts(&self) -> bool {
        match self {
            Operation::Write(writes) => writes.iter().all(|&(_, value)| value != 0),
            Operation::Delete(_) | Operation::Swap(..) => false,
            Operation::Clear | Operation::DropAll => false,
            _ => true,
        }
    }

    /// Returns what was read; of what reads nothing, nothing.
    pub async fn run(self, store: &Store) -> Result<Vec<u64>> {
        let keyspace = store.keyspace(KEYSPACE)?;
        let done = |result: Result<()>| result.map(|()| Vec::new());
        match self {
            Operation::Get(key) => {
                Ok(vec![value_in(store.get(&keyspace, name(key)).await?.as_deref())])
            }
            Operation::GetMany(keys) => {
                let values = store.get_many(&keyspace, keys.into_iter().map(name)).await?;
                Ok(values.iter().map(|value| value_in(value.as_deref())).collect())
            }
            Operation::All(way) => all(store, keyspace, way).await,
            Operation::Put(key, value) => {
                done(store.put(&keyspace, name(key), value.to_be_bytes().to_vec()).await)
            }
            Operation::Delete(key) => done(store.delete(&keyspace, name(key)).await),
            Operation::Write(writes) => {
                let mut batch = WriteBatch::new();
                for (key, value) in writes {
                    match value {
                        0 => batch.delete(&keyspace, name(key)),
                        _ => batch.put(&keyspace, name(key), value.to_be_bytes().to_vec()),
                    };
                }
                done(store.write(batch).await)
            }
            Operation::Replace(key, value) => {
                let replace = move |tx: &mut Transaction| {
                    let old = get(tx, &keyspace, key)?;
                    put(tx, &keyspace, key, value)?;
                    Ok(vec![old])
                };
                store.update(replace).await
            }
            Operation::ReplaceEven(key, value) => {
                let replace = move |tx: &mut Transaction| {
                    let old = get(tx, &keyspace, key)?;
                    if old.is_multiple_of(2) {
                        put(tx, &keyspace, key, value)?;
                    }
                    Ok(vec![old])
                };
                store.update(replace).await
            }
            Operation::Undone(key, value) => undone(store, keyspace, key, value).await,
            Operation::Swap(a, b) => {
                let swap = move |tx: &mut Transaction| {
                    let (old_a, old_b) = (get(tx, &keyspace, a)?, get(tx, &keyspace, b)?);
                    put(tx, &keyspace, a, old_b)?;
                    put(tx, &keyspace, b, old_a)?;
                    Ok(vec![old_a, old_b])
                };
                store.update(swap).await
            }
            Operation::Clear => done(store.delete_range(&keyspace, ..).await),
            Operation::DropAll => done(store.drop_keyspace(&keyspace).await.map(|_| ())),
        }
    }
}

async fn all(store: &Store, keyspace: Keyspace, way: Way) -> Result<Vec<u64>> {
    match way {
        Way::View => store.view(move |view| get_all(view, &keyspace)).await,
        Way::Background => {
            let store = store.with_lane(ReadLane::Background);
            store.view(move |view| get_all(view, &keyspace)).await
        }
        Way::Read => store.read(move |reader: &dyn Reader| get_all(reader, &keyspace)).await,
        Way::Update => store.update(move |tx| get_all(tx, &keyspace)).await,
        Way::Snapshot => {
            let snapshot = store.snapshot().await?;
            let mut values = Vec::new();
            for key in 0..KEYS {
                values.push(value_in(snapshot.get(&keyspace, name(key)).await?.as_deref()));
            }
            Ok(values)
        }
        Way::Scan => {
            let mut values = vec![0; KEYS];
            let mut scan = store.scan(&keyspace, .., ScanOptions::default());
            while let Some((key, value)) = scan.try_next().await? {
                let place = (0..KEYS).find(|&place| name(place).as_bytes() == &key[..]).unwrap();
                values[place] = value_in(Some(&value));
            }
            Ok(values)
        }
    }
}

/// What a failed update answers, and what it read before it failed.
enum Failed {
    OnPurpose(u64),
    Really(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed::Really(error)
    }
}

async fn undone(store: &Store, keyspace: Keyspace, key: usize, value: u64) -> Result<Vec<u64>> {
    let fails = move |tx: &mut Transaction| {
        let old = get(tx, &keyspace, key)?;
        put(tx, &keyspace, key, value)?;
        Err::<(), _>(Failed::OnPurpose(old))
    };
    match store.update(fails).await {
        Ok(()) => unreachable!("it fails"),
        Err(Failed::OnPurpose(old)) => Ok(vec![old]),
        Err(Failed::Really(error)) => Err(error),
    }
}

/// What each operation does where there is but one client.
pub struct FewKeys;

impl Model for FewKeys {
    type State = Values;
    type Operation = Operation;
    type Answer = Vec<u64>;

    fn answer(state: &mut Values, operation: &Operation) -> Vec<u64> {
        match operation {
            Operation::Get(key) | Operation::Undone(key, _) => vec![state[*key]],
            Operation::GetMany(keys) => keys.iter().map(|&key| state[key]).collect(),
            Operation::All(_) => state.to_vec(),
            Operation::Put(key, value) => {
                state[*key] = *value;
                Vec::new()
            }
            Operation::Delete(key) => {
                state[*key] = 0;
                Vec::new()
            }
            Operation::Write(writes) => {
                writes.iter().for_each(|&(key, value)| state[key] = value);
                Vec::new()
            }
            Operation::Replace(key, value) => vec![std::mem::replace(&mut state[*key], *value)],
            Operation::ReplaceEven(key, value) => {
                let old = state[*key];
                if old.is_multiple_of(2) {
                    state[*key] = *value;
                }
                vec![old]
            }
            Operation::Swap(a, b) => {
                let old = vec![state[*a], state[*b]];
                state.swap(*a, *b);
                old
            }
            Operation::Clear | Operation::DropAll => {
                *state = [0; KEYS];
                Vec::new()
            }
        }
    }
}
