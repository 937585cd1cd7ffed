//! The data that every part is measured on: keys of 8 bytes, values of 100.

use bytes::Bytes;
use pontoon_storage::{Keyspace, Store, WriteBatch};

pub(crate) const VALUE_BYTES: usize = 100;

const KEYS_PER_BATCH: u64 = 10_000;

/// Spread over the key order, so that neighbours in time are not neighbours in the tree.
pub(crate) fn key(n: u64) -> Bytes {
    Bytes::copy_from_slice(&n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes())
}

pub(crate) fn value() -> Bytes {
    Bytes::from_static(&[b'v'; VALUE_BYTES])
}

/// Fills the store's keyspace `bench` with the first `keys` keys.
pub(crate) async fn fill(store: &Store, keys: u64) -> Keyspace {
    let keyspace = store.keyspace("bench").unwrap();
    for first in (0..keys).step_by(KEYS_PER_BATCH as usize) {
        let mut batch = WriteBatch::new();
        for n in first..keys.min(first + KEYS_PER_BATCH) {
            batch.put(&keyspace, key(n), value());
        }
        store.write(batch).await.unwrap();
    }
    keyspace
}

/// Numbers in an order that no cache of a CPU foresees; the same in every run.
pub(crate) struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        Self(0xC0FF_EE00)
    }
}

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
