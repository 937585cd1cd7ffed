//! Batches: what a drain makes of several operations, against one operation a drain and a map.

use std::sync::Arc;

use bytes::Bytes;

use super::input::Input;
use super::model::{self, KEYSPACES, Maps, STORE, check_engine, check_form};
use crate::batch::WriteBatch;
use crate::engine::Engine;
use crate::error::Error;
use crate::keyspace::Keyspace;
use crate::options::{Durability, SizeLimits};
use crate::range::KeyRange;
use crate::shared::Shared;
use crate::transaction::Transaction;

/// Small enough that inputs reach them.
const LIMITS: SizeLimits =
    SizeLimits { key_bytes_max: 8, value_bytes_max: 8, transaction_bytes_max: 300 };

/// What each write counts beside its bytes.
const OVERHEAD_BYTES: usize = 64;

enum Write {
    Put(usize, Bytes, Bytes),
    Delete(usize, Bytes),
    DeleteRange(usize, KeyRange),
}

/// Batches over two keyspaces, some too large and some undone, as `data` says: run in one drain, and
/// again each in a drain of its own, the engines end up with what a map would hold.
///
/// # Panics
/// When they do not, or a batch is refused that fits.
pub fn batch(data: &[u8]) {
    let mut input = Input(data);
    let (names, keyspaces, together) = model::engine();
    let (_, _, apart) = model::engine();
    let start = input.0;
    let mut maps = model::fill(&mut input, together.as_ref(), &keyspaces);
    model::fill(&mut Input(start), apart.as_ref(), &keyspaces);
    let share = |engine| Shared::new(engine, names.clone(), STORE, LIMITS, Durability::Never, None);
    let (together, apart) = (Arc::new(share(together)), Arc::new(share(apart)));
    let engine = together.engine().unwrap();
    let mut drain = Transaction::new(Arc::clone(&engine), &together);
    while !input.is_used_up() {
        let writes: Vec<Write> = (0..input.below(8)).map(|_| write(&mut input)).collect();
        let undone = input.below(4) == 0;
        let batch = build(&keyspaces, &writes);
        let one = apart.engine().unwrap();
        let mut alone = Transaction::new(Arc::clone(&one), &apart);
        let ran = run(&mut drain, batch.clone(), undone);
        assert_eq!(ran, run(&mut alone, batch, undone), "beside others it ends otherwise");
        check_form(alone.changes());
        one.apply(alone.changes(), false).unwrap();
        assert_eq!(ran, fit(&writes) && !undone, "what fits runs, and nothing else");
        if ran {
            writes.iter().for_each(|write| write.apply(&mut maps));
        }
    }
    check_form(drain.changes());
    engine.apply(drain.changes(), false).unwrap();
    check_engine(engine.as_ref(), &keyspaces, &maps);
    let engines = [engine, apart.engine().unwrap()];
    check_engine(engines[1].as_ref(), &keyspaces, &maps);
    let exist = engines.map(|engine| Engine::keyspaces(&engine).unwrap());
    assert_eq!(exist[0], exist[1], "a keyspace exists in the one and not in the other");
}

/// Runs `batch` as one operation; whether its writes stand.
fn run(tx: &mut Transaction, batch: WriteBatch, undone: bool) -> bool {
    tx.begin();
    let result = batch.run(tx);
    assert!(tx.bytes() <= LIMITS.transaction_bytes_max + OVERHEAD_BYTES);
    if let Err(error) = &result {
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    }
    let stands = result.is_ok() && !undone;
    if !stands {
        tx.abort();
        assert_eq!(tx.bytes(), 0);
    }
    stands
}

fn write(input: &mut Input<'_>) -> Write {
    let choice = input.byte();
    let at = usize::from(choice >> 7) % KEYSPACES;
    match choice % 8 {
        0..4 => {
            let (key, len) = (input.key(), input.below(10));
            Write::Put(at, key, input.bytes(len))
        }
        4..6 => Write::Delete(at, input.key()),
        _ => Write::DeleteRange(at, input.range()),
    }
}

fn build(keyspaces: &[Keyspace], writes: &[Write]) -> WriteBatch {
    let mut batch = WriteBatch::new();
    let mut bytes = 0;
    for write in writes {
        match write {
            Write::Put(at, key, value) => {
                batch.put(&keyspaces[*at], key, value);
                bytes += key.len() + value.len();
            }
            Write::Delete(at, key) => {
                batch.delete(&keyspaces[*at], key);
                bytes += key.len();
            }
            Write::DeleteRange(at, range) => {
                batch.delete_range(&keyspaces[*at], range.clone());
                bytes += range.start.len() + range.end.as_ref().map_or(0, Bytes::len);
            }
        }
    }
    assert_eq!((batch.len(), batch.is_empty()), (writes.len(), writes.is_empty()));
    assert_eq!(batch.bytes(), bytes);
    assert!(batch.weight() >= bytes);
    batch
}

impl Write {
    fn apply(&self, maps: &mut Maps) {
        match self {
            Write::Put(at, key, value) => drop(maps[*at].insert(key.clone(), value.clone())),
            Write::Delete(at, key) => drop(maps[*at].remove(key)),
            Write::DeleteRange(at, range) => maps[*at].retain(|key, _| !range.contains(key)),
        }
    }

    /// Bytes of its parts, and whether each is within its limit.
    fn weigh(&self) -> (usize, bool) {
        let limit = LIMITS.key_bytes_max;
        match self {
            Write::Put(_, key, value) => (
                key.len() + value.len(),
                key.len() <= limit && value.len() <= LIMITS.value_bytes_max,
            ),
            Write::Delete(_, key) => (key.len(), key.len() <= limit),
            Write::DeleteRange(_, range) => {
                let end = range.end.as_ref().map_or(0, Bytes::len);
                // A byte longer than a key: `..=key` ends behind it.
                (range.start.len() + end, range.start.len().max(end) <= limit + 1)
            }
        }
    }

    /// Whether it leaves nothing behind that counts.
    fn is_nothing(&self) -> bool {
        matches!(self, Write::DeleteRange(_, range) if range.is_empty())
    }
}

/// Whether `writes` are within all limits, each for itself and together.
fn fit(writes: &[Write]) -> bool {
    let mut total = 0;
    writes.iter().all(|write| {
        let (bytes, fits) = write.weigh();
        let together = total + bytes <= LIMITS.transaction_bytes_max;
        total += if write.is_nothing() { 0 } else { bytes + OVERHEAD_BYTES };
        fits && together
    })
}
