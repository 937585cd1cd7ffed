//! What every key may hold at any time, whatever was cancelled, refused or rolled back: versions that
//! only grow, each known to be there, never there, or either.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{BufMut, Bytes, BytesMut};
use pontoon_storage::KeyRange;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use xxhash_rust::xxh3::xxh3_64;

/// Keys that one range covers, and that one writer has to itself while it writes.
const GROUP_KEYS: u8 = 16;

/// Groups of two keys that are only ever written together.
const PAIRS: u32 = 64;

/// Keyspaces that are dropped as a whole, of one group each.
const DROPPED: u32 = 4;
const DROPPED_KEYS: u8 = 64;

/// The names of the keyspaces. The first holds plain groups, the second the pairs.
pub const KEYSPACES: [&str; 6] = ["plain", "pairs", "dropped0", "dropped1", "dropped2", "dropped3"];

/// A key: the number of its group and its own in the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub group: u32,
    pub index: u8,
}

impl Key {
    pub fn bytes(self) -> Bytes {
        let [a, b, c, d] = self.group.to_be_bytes();
        Bytes::copy_from_slice(&[a, b, c, d, self.index])
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, d, index] = *bytes else { return None };
        Some(Self { group: u32::from_be_bytes([a, b, c, d]), index })
    }
}

/// All keys, and what each may hold.
pub struct Model {
    groups: Vec<Group>,
    plain: u32,
}

/// Keys next to each other, written by one writer at a time: so the order in which versions are issued
/// is that in which they are committed, also when the writer before was cancelled.
struct Group {
    held: AtomicBool,
    keys: Vec<Mutex<Versions>>,
}

/// Version 0 is: absent.
#[derive(Default)]
struct Versions {
    /// The newest given to a write.
    issued: u64,
    /// The newest that was acknowledged or seen: no later read may go behind it.
    floor: u64,
    /// The newest that removes the key and may be there.
    removed: u64,
    /// The newest that is known never to have run.
    never: u64,
    /// What happened last, for whoever must find out why an answer was wrong.
    recent: VecDeque<(u64, &'static str)>,
}

/// As much as is told of a key.
const RECENT_MAX: usize = 6;

impl Versions {
    fn note(&mut self, version: u64, what: &'static str) {
        if self.recent.len() >= RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((version, what));
    }
}

/// A version of one key that a write has taken.
#[derive(Debug, Clone, Copy)]
pub struct Issued {
    pub key: Key,
    pub version: u64,
    removed_before: u64,
}

impl Model {
    /// With about `keys` plain keys.
    pub fn new(keys: u32) -> Self {
        let plain = (keys / u32::from(GROUP_KEYS)).max(4);
        let group = |keys: u8| Group {
            held: AtomicBool::new(false),
            keys: (0..keys).map(|_| Mutex::default()).collect(),
        };
        let groups = (0..plain + PAIRS + DROPPED).map(|number| match number {
            number if number < plain => group(GROUP_KEYS),
            number if number < plain + PAIRS => group(2),
            _ => group(DROPPED_KEYS),
        });
        Self { groups: groups.collect(), plain }
    }

    pub fn plain_groups(&self) -> u32 {
        self.plain
    }

    /// The index into [`KEYSPACES`] of a group.
    pub fn keyspace(&self, group: u32) -> usize {
        match group.checked_sub(self.plain) {
            None => 0,
            Some(beyond) if beyond < PAIRS => 1,
            Some(beyond) => 2 + (beyond - PAIRS) as usize,
        }
    }

    pub fn groups_of(&self, keyspace: usize) -> std::ops::Range<u32> {
        let pairs_end = self.plain + PAIRS;
        match keyspace {
            0 => 0..self.plain,
            1 => self.plain..pairs_end,
            dropped => pairs_end + dropped as u32 - 2..pairs_end + dropped as u32 - 1,
        }
    }

    pub fn keys_of(&self, group: u32) -> impl Iterator<Item = Key> + use<> {
        let len = self.groups[group as usize].keys.len() as u8;
        (0..len).map(move |index| Key { group, index })
    }

    pub fn range(first: u32, behind: u32) -> KeyRange {
        KeyRange::new(
            first.to_be_bytes().to_vec(),
            Some(Bytes::copy_from_slice(&behind.to_be_bytes())),
        )
    }

    pub fn some_key(&self, random: &mut SmallRng) -> Key {
        // Most of the load goes to few keys, as a record cache would have it.
        let plain = self.plain;
        let group = match random.random_range(0..100u8) {
            0..50 => random.random_range(0..plain.div_ceil(20)),
            50..90 => random.random_range(0..plain),
            _ => random.random_range(plain..self.groups.len() as u32),
        };
        let index = random.random_range(0..self.groups[group as usize].keys.len() as u8);
        Key { group, index }
    }

    pub fn some_pair(&self, random: &mut SmallRng) -> u32 {
        random.random_range(self.plain..self.plain + PAIRS)
    }

    /// The right to write to `group`, if nobody has it.
    pub fn hold(&self, group: u32) -> Option<Hold<'_>> {
        let held = &self.groups[group as usize].held;
        (!held.swap(true, Ordering::Acquire)).then(|| Hold(held))
    }

    fn versions(&self, key: Key) -> std::sync::MutexGuard<'_, Versions> {
        self.groups[key.group as usize].keys[key.index as usize].lock().unwrap()
    }

    /// A version for a write of `key`, or, if `removes`, for its removal.
    pub fn issue(&self, key: Key, removes: bool, by: &'static str) -> Issued {
        let mut versions = self.versions(key);
        versions.issued += 1;
        let (version, removed_before) = (versions.issued, versions.removed);
        versions.note(version, by);
        if removes {
            versions.removed = version;
        }
        Issued { key, version, removed_before }
    }

    /// Its write was acknowledged.
    pub fn acknowledge(&self, issued: Issued) {
        let mut versions = self.versions(issued.key);
        versions.floor = versions.floor.max(issued.version);
        versions.note(issued.version, "acknowledged");
    }

    /// Its write never ran, or was rolled back.
    pub fn forget(&self, issued: Issued) {
        let mut versions = self.versions(issued.key);
        versions.removed = issued.removed_before;
        versions.never = issued.version;
        versions.note(issued.version, "never ran");
    }

    /// What a read of `key` that begins now must not go behind.
    pub fn floor(&self, key: Key) -> u64 {
        self.versions(key).floor
    }

    /// Whether a read that began when the floor was `floor` may have found `found`. Returns the version.
    pub fn check(&self, key: Key, floor: u64, found: Option<&[u8]>) -> Result<u64, String> {
        let Some(found) = found else {
            let Versions { removed, recent, .. } = &*self.versions(key);
            let why = || format!("{key:?} is absent, though {floor} was there: {recent:?}");
            return if *removed >= floor { Ok(0) } else { Err(why()) };
        };
        let version = version_of(key, found)?;
        let mut versions = self.versions(key);
        if version < floor || version > versions.issued || version == versions.never {
            let recent = &versions.recent;
            return Err(format!("{key:?} has {version}, though {floor} was there: {recent:?}"));
        }
        versions.floor = versions.floor.max(version);
        Ok(version)
    }

    /// The floors of all keys of some groups.
    pub fn floors(&self, groups: impl Iterator<Item = u32>) -> Floors {
        let keys = groups.flat_map(|group| self.keys_of(group));
        Floors(keys.map(|key| (key, self.floor(key))).collect())
    }
}

/// The keys of a scan that it has not come to, with their floors when it began.
pub struct Floors(BTreeMap<Key, u64>);

impl Floors {
    /// An entry that the scan found.
    pub fn found(&mut self, model: &Model, key: &[u8], value: &[u8]) -> Result<(), String> {
        let found = Key::of(key).and_then(|key| self.0.remove_entry(&key));
        let (key, floor) =
            found.ok_or_else(|| format!("{key:?} is no key of the range, or twice"))?;
        model.check(key, floor, Some(value)).map(drop)
    }

    /// The scan has ended: what it has not come to must be absent.
    pub fn ended(self, model: &Model) -> Result<(), String> {
        self.0.into_iter().try_for_each(|(key, floor)| model.check(key, floor, None).map(drop))
    }
}

/// The right to write to one group, given back when dropped.
pub struct Hold<'m>(&'m AtomicBool);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Key and version, whether it may be seen, filling, and a checksum of all that.
const HEADER_BYTES: usize = 14;

/// The value of a version. One that `must_not_be_seen` is of a write that will be rolled back.
pub fn value(issued: Issued, must_not_be_seen: bool) -> Bytes {
    let place = u64::from(issued.key.group) << 8 | u64::from(issued.key.index);
    let mut random = SmallRng::seed_from_u64(issued.version ^ place << 24);
    let len =
        if random.random_range(0..200u8) == 0 { 16_000 } else { random.random_range(16..800) };
    let mut value = BytesMut::with_capacity(HEADER_BYTES + len + 8);
    value.put_u32(issued.key.group);
    value.put_u8(issued.key.index);
    value.put_u64(issued.version);
    value.put_u8(u8::from(must_not_be_seen));
    value.resize(HEADER_BYTES + len, 0);
    random.fill(&mut value[HEADER_BYTES..]);
    value.put_u64(xxh3_64(&value));
    value.freeze()
}

/// The version that a value of `key` carries.
fn version_of(key: Key, value: &[u8]) -> Result<u64, String> {
    let damaged = || format!("the value of {key:?} is damaged: {} bytes", value.len());
    let (content, sum) = value.split_last_chunk::<8>().ok_or_else(damaged)?;
    if content.len() < HEADER_BYTES || xxh3_64(content).to_be_bytes() != *sum {
        return Err(damaged());
    }
    let of = Key::of(&content[..5]);
    if of != Some(key) {
        return Err(format!("{key:?} has the value of {of:?}"));
    }
    let version = u64::from_be_bytes(content[5..13].try_into().unwrap());
    if content[13] != 0 {
        return Err(format!("{key:?} has version {version}, which was rolled back"));
    }
    Ok(version)
}
