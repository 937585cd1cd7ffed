//! The record cache: values of single keys, answered on the async thread without crossing the bridge.
//!
//! What it promises is that a value found here is what the engine would have answered at one moment
//! within the call. Time is counted in commits: a [`Moment`] is the number of the last commit that
//! began, odd, or ended, even. Every key belongs to a stripe, and stripe and keyspace remember the
//! moment when a commit last touched them. From that follow both rules:
//!
//! - a value found is that of moment `m` if neither its stripe nor its keyspace has been touched since
//!   ([`look`](RecordCache::look)). So a value cannot be found from before its replacement becomes
//!   visible in the engine until the new one is here, and several values found for one moment are
//!   one consistent state, whatever is committed meanwhile;
//! - a value read from an engine's state of moment `m` or later may be kept if neither has been
//!   touched since `m` ([`keep`](RecordCache::keep)). So a slow reader cannot bring back what a
//!   commit replaced.
//!
//! What deletes without naming keys touches its whole keyspace, whose moment is part of every
//! entry's key: all that was kept before is out of reach, and makes room as it is evicted. A commit
//! that fails leaves the keyspaces that it touched marked as in flight, since its outcome is unknown.
//!
//! The map and its eviction are the crate `quick_cache`'s. A record's key and value lie side by side in one
//! allocation of the cache's own, and a small value is copied out of it: counting references would
//! write to memory that every reader of the record shares.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, Equivalent, OptionsBuilder, Weighter};

use crate::engine::Changes;
use crate::keyspace::KeyspaceId;
use crate::metrics::CacheStats;
use crate::sync::{AtomicU64, Mutex, lock, step};

/// What a record costs in memory beside its key and value, in bytes: the entry in the map with its
/// share of empty and ghost places, and the header of an allocation.
const RECORD_OVERHEAD_BYTES: usize = 200;

/// Values up to this size are copied to whoever finds them, larger ones shared.
const COPIED_BYTES_MAX: usize = 4 << 10;

/// What a typical record weighs: only a hint for the map's first size and number of shards.
const RECORD_BYTES_TYPICAL: usize = 512;

/// Keys of one stripe are in flight together, which costs hits, so there are many more stripes than a
/// commit has keys as a rule.
const STRIPES_MAX: usize = 1 << 14;

/// A small cache has fewer, or they would take more memory than it.
const BYTES_PER_STRIPE: usize = 4 << 10;

/// Keyspaces from this number on are not cached.
const KEYSPACES_MAX: usize = 1 << 12;

/// The number of the last commit that began (odd) or ended (even).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

/// See the module.
pub(crate) struct RecordCache {
    records: Cache<Key, Value, Weight>,
    stripes: Box<[Stripe]>,
    keyspaces: Box<[AtomicU64]>,
    now: AtomicU64,
    hasher: DefaultHashBuilder,
    record_bytes_max: usize,
    bytes_max: usize,
}

#[derive(Default)]
struct Stripe {
    touched: AtomicU64,
    /// Held while a reader checks and keeps, and while a commit begins to touch.
    keeping: Mutex<()>,
}

impl RecordCache {
    /// A cache of at most `bytes_max` bytes for keyspaces numbered below `keyspaces_max`; `None` for 0.
    pub(crate) fn new(bytes_max: usize, keyspaces_max: usize) -> Option<Self> {
        if bytes_max == 0 {
            return None;
        }
        let options = OptionsBuilder::new()
            .weight_capacity(bytes_max as u64)
            .estimated_items_capacity((bytes_max / RECORD_BYTES_TYPICAL).max(1))
            .build()
            .ok()?;
        let stripes = (bytes_max / BYTES_PER_STRIPE).clamp(1, STRIPES_MAX);
        let hasher = DefaultHashBuilder::default();
        let records =
            Cache::with_options(options, Weight, hasher.clone(), DefaultLifecycle::default());
        Some(Self {
            // What would fill half a shard would push out everything else in it.
            record_bytes_max: usize::try_from(records.shard_capacity() / 2).unwrap_or(usize::MAX),
            records,
            stripes: (0..stripes.next_power_of_two()).map(|_| Stripe::default()).collect(),
            keyspaces: (0..keyspaces_max.min(KEYSPACES_MAX)).map(|_| AtomicU64::new(0)).collect(),
            now: AtomicU64::new(0),
            hasher,
            bytes_max,
        })
    }

    /// The moment to ask for. Taken before the engine's state, it is that state's or an earlier one.
    pub(crate) fn now(&self) -> Moment {
        Moment(self.now.load(Ordering::SeqCst))
    }

    /// What `key` was at `moment`, if that is known: `Some(None)` is that it was absent.
    pub(crate) fn look(
        &self,
        moment: Moment,
        keyspace: KeyspaceId,
        key: &[u8],
    ) -> Option<Option<Bytes>> {
        self.find(moment, keyspace, key, |key| self.records.get(key))
    }

    /// As [`look`](RecordCache::look), for what may have been looked for before: it counts neither as
    /// a hit nor as a miss.
    pub(crate) fn look_again(
        &self,
        moment: Moment,
        keyspace: KeyspaceId,
        key: &[u8],
    ) -> Option<Option<Bytes>> {
        self.find(moment, keyspace, key, |key| self.records.peek(key))
    }

    fn find<'k>(
        &self,
        moment: Moment,
        keyspace: KeyspaceId,
        key: &'k [u8],
        get: impl FnOnce(&KeyRef<'k>) -> Option<Value>,
    ) -> Option<Option<Bytes>> {
        let epoch = self.keyspaces.get(keyspace.index())?.load(Ordering::SeqCst);
        let stripe = self.stripe(keyspace, key)?;
        if !is_settled(epoch, moment) {
            return None;
        }
        let value = get(&KeyRef { keyspace, epoch, key })?;
        is_settled(stripe.touched.load(Ordering::SeqCst), moment).then(|| value.found())
    }

    /// Remembers that `key` was `value` at `moment` or later, unless it has been touched since.
    pub(crate) fn keep(
        &self,
        moment: Moment,
        keyspace: KeyspaceId,
        key: &[u8],
        value: Option<&Bytes>,
    ) {
        if weight(key, value) > self.record_bytes_max {
            return;
        }
        let Some(epoch) = self.keyspaces.get(keyspace.index()) else { return };
        let Some(stripe) = self.stripe(keyspace, key) else { return };
        let record = Record::new(key, value);
        let _keeping = lock(&stripe.keeping);
        let epoch = epoch.load(Ordering::SeqCst);
        if is_settled(epoch, moment) && is_settled(stripe.touched.load(Ordering::SeqCst), moment) {
            step();
            self.insert(keyspace, epoch, record);
        }
    }

    /// Marks everything that `changes` touch as in flight, before they become visible in the engine.
    /// For the write lane, which has one commit at a time.
    pub(crate) fn begin<'c>(&'c self, changes: &'c Changes) -> InFlight<'c> {
        let begun = self.begin_moment();
        for changes in &changes.keyspaces {
            if self.keyspaces.get(changes.keyspace.index()).is_none() {
                continue;
            }
            if !changes.ranges.is_empty() {
                self.touch_keyspace(changes.keyspace, begun);
            }
            for key in changes.writes.keys() {
                if let Some(stripe) = self.stripe(changes.keyspace, key) {
                    let _keeping = lock(&stripe.keeping);
                    stripe.touched.store(begun, Ordering::SeqCst);
                }
            }
        }
        InFlight { cache: self, changes, begun, is_done: false }
    }

    /// Runs `drop`, which drops `keyspace` in the engine.
    ///
    /// # Errors
    /// Those of `drop`.
    pub(crate) fn around_drop<T, E>(
        &self,
        keyspace: KeyspaceId,
        drop: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let begun = self.begin_moment();
        self.touch_keyspace(keyspace, begun);
        let dropped = drop()?;
        self.touch_keyspace(keyspace, begun + 1);
        self.now.store(begun + 1, Ordering::SeqCst);
        Ok(dropped)
    }

    pub(crate) fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.records.hits(),
            misses: self.records.misses(),
            records: self.records.len() as u64,
            bytes: self.records.weight(),
            bytes_max: self.bytes_max as u64,
        }
    }

    fn insert(&self, keyspace: KeyspaceId, epoch: u64, record: Record) {
        let value = Value::Kept(record.clone());
        self.records.insert(Key { keyspace, epoch, record }, value);
    }

    /// A failed commit has left the moment odd; the next is odd again.
    fn begin_moment(&self) -> u64 {
        let begun = (self.now.load(Ordering::SeqCst) + 1) | 1;
        self.now.store(begun, Ordering::SeqCst);
        begun
    }

    fn touch_keyspace(&self, keyspace: KeyspaceId, moment: u64) {
        if let Some(epoch) = self.keyspaces.get(keyspace.index()) {
            epoch.store(moment, Ordering::SeqCst);
        }
    }

    fn stripe(&self, keyspace: KeyspaceId, key: &[u8]) -> Option<&Stripe> {
        let hash = self.hasher.hash_one((keyspace, key));
        // The high half: the map's shards and buckets are chosen by other hashes, this one is ours.
        self.stripes.get((hash >> 32) as usize & (self.stripes.len() - 1))
    }
}

/// Whether what was last touched at `touched` has not been since `moment`, and is not now.
fn is_settled(touched: u64, moment: Moment) -> bool {
    touched & 1 == 0 && touched <= moment.0
}

/// A commit between its beginning and its end. Dropped without [`done`](InFlight::done), the keyspaces
/// that it touched are as good as empty: its outcome is unknown.
#[must_use = "what is in flight is not found"]
pub(crate) struct InFlight<'c> {
    cache: &'c RecordCache,
    changes: &'c Changes,
    begun: u64,
    is_done: bool,
}

impl InFlight<'_> {
    /// The changes are visible in the engine, and as durable as asked.
    pub(crate) fn done(mut self) {
        let (cache, changes, ended) = (self.cache, self.changes, self.begun + 1);
        for changes in &changes.keyspaces {
            let keyspace = changes.keyspace;
            let Some(epoch) = cache.keyspaces.get(keyspace.index()) else { continue };
            if !changes.ranges.is_empty() {
                epoch.store(ended, Ordering::SeqCst);
            }
            let epoch = epoch.load(Ordering::SeqCst);
            for (key, value) in &changes.writes {
                match value {
                    Some(value) if weight(key, Some(value)) <= cache.record_bytes_max => {
                        cache.insert(keyspace, epoch, Record::new(key, Some(value)));
                    }
                    _ => {
                        cache.records.remove(&KeyRef { keyspace, epoch, key });
                    }
                }
                if let Some(stripe) = cache.stripe(keyspace, key) {
                    stripe.touched.store(ended, Ordering::SeqCst);
                }
            }
        }
        cache.now.store(ended, Ordering::SeqCst);
        self.is_done = true;
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            for changes in &self.changes.keyspaces {
                self.cache.touch_keyspace(changes.keyspace, self.begun);
            }
        }
    }
}

struct Key {
    keyspace: KeyspaceId,
    /// When the keyspace was last touched as a whole.
    epoch: u64,
    record: Record,
}

struct KeyRef<'k> {
    keyspace: KeyspaceId,
    epoch: u64,
    key: &'k [u8],
}

impl Key {
    fn as_ref(&self) -> KeyRef<'_> {
        KeyRef { keyspace: self.keyspace, epoch: self.epoch, key: self.record.key() }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ref().hash(state);
    }
}

impl Hash for KeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.epoch ^ (self.keyspace.index() as u64).rotate_left(32));
        state.write(self.key);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        other.as_ref().equivalent(self)
    }
}

impl Eq for Key {}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, other: &Key) -> bool {
        self.epoch == other.epoch
            && self.keyspace == other.keyspace
            && self.key == other.record.key()
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Value> for Weight {
    fn weight(&self, key: &Key, _: &Value) -> u64 {
        (RECORD_OVERHEAD_BYTES + key.record.bytes.len()) as u64
    }
}

fn weight(key: &[u8], value: Option<&Bytes>) -> usize {
    RECORD_OVERHEAD_BYTES + key.len() + value.map_or(0, Bytes::len)
}

/// A key with its value behind it.
#[derive(Clone)]
struct Record {
    bytes: Arc<[u8]>,
    key_len: usize,
    is_absent: bool,
}

impl Record {
    fn new(key: &[u8], value: Option<&Bytes>) -> Self {
        let bytes = [key, value.map_or(&[], |value| value)].concat().into();
        Self { bytes, key_len: key.len(), is_absent: value.is_none() }
    }

    fn key(&self) -> &[u8] {
        self.bytes.get(..self.key_len).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Record {
    /// The value.
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(self.key_len..).unwrap_or_default()
    }
}

enum Value {
    /// As the map has it.
    Kept(Record),
    /// As the map hands it out.
    Found(Option<Bytes>),
}

impl Value {
    fn found(self) -> Option<Bytes> {
        match self {
            Value::Found(value) => value,
            kept @ Value::Kept(_) => kept.clone().found(),
        }
    }
}

/// The map clones what it hands out, under its lock.
impl Clone for Value {
    fn clone(&self) -> Self {
        let value = match self {
            Value::Found(value) => value.clone(),
            Value::Kept(record) if record.is_absent => None,
            Value::Kept(record) if record.as_ref().len() <= COPIED_BYTES_MAX => {
                Some(Bytes::copy_from_slice(record.as_ref()))
            }
            Value::Kept(record) => Some(Bytes::from_owner(record.clone())),
        };
        Value::Found(value)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::engine::KeyspaceChanges;
    use crate::keyspace::KeyspaceNames;

    #[test]
    fn a_commit_to_a_keyspace_that_is_not_cached_hides_nothing() {
        let names = KeyspaceNames::new(1, 2);
        let keyspaces = ["cached", "other"].map(|name| names.intern(name).unwrap().id);
        // With one stripe, which all keys share.
        let cache = RecordCache::new(BYTES_PER_STRIPE, 1).unwrap();
        for keyspace in keyspaces {
            let writes = BTreeMap::from([(Bytes::from("k"), Some(Bytes::from("v")))]);
            let changes = KeyspaceChanges { keyspace, ranges: BTreeMap::new(), writes };
            cache.begin(&Changes { keyspaces: vec![changes] }).done();
        }
        let found = keyspaces.map(|keyspace| cache.look(cache.now(), keyspace, b"k"));
        assert_eq!(found, [Some(Some("v".into())), None]);
    }
}
