//! Collections: elements with values, ordered by subkeys, that belong to one key.
//!
//! A small collection is whole in its record, so that one read finds all of it and the record cache
//! answers; a larger one has an entry for each element, under the record's version. The types (hashes,
//! lists, sets, sorted sets) say what their subkeys are and see no difference. A collection that has once
//! become large stays so until it is overwritten.

use bytes::Bytes;
use pontoon_storage::engine::PageLimit;
use pontoon_storage::{KeyRange, Reader};

use super::encoding::{self, CollectionHead, Kind, Record, packed};
use super::error::Result;
use super::reader::DbReader;
use super::writer::{DbWriter, check_key};

/// What is longer than this shares memory with what was received, of which it is the most.
const COPIED_BYTES_MAX: usize = 16 << 10;

/// The most bytes of elements that are kept in a record. Every change rewrites them; walks over the keys
/// read them.
pub const PACKED_BYTES_MAX: usize = 1 << 10;

/// How much one page of a walk over elements holds.
pub const ELEMENTS_PAGE: PageLimit = PageLimit { entries: 512, bytes: 256 << 10 };

/// One element: subkey and value.
pub type Element = (Bytes, Bytes);

/// Some consecutive elements of a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Elements {
    /// In the order asked for.
    pub entries: Vec<Element>,
    /// Whether a limit ended it, so that there may be more.
    pub more: bool,
}

/// The value of a key that holds elements, as last read, or as changed and not yet saved.
#[derive(Debug, Clone)]
pub struct Collection {
    kind: Kind,
    expires_at_ms: Option<u64>,
    size: u64,
    traits: u8,
    place: u64,
    body: Body,
    is_bare: bool,
}

#[derive(Debug, Clone)]
enum Body {
    Packed(Bytes),
    Stored(u64),
}

impl Collection {
    /// An empty one.
    pub fn new(kind: Kind) -> Self {
        let body = Body::Packed(Bytes::new());
        Self { kind, expires_at_ms: None, size: 0, traits: 0, place: 0, body, is_bare: false }
    }

    /// What `record` describes.
    ///
    /// # Errors
    /// The storage's, if the record is damaged.
    pub fn from_record(record: &Record) -> Result<Self> {
        let CollectionHead { traits, place, packed } = CollectionHead::decode(&record.payload)?;
        Ok(Self {
            kind: record.kind,
            expires_at_ms: record.expires_at_ms,
            size: record.size,
            traits,
            place,
            body: record.version.map_or(Body::Packed(packed), Body::Stored),
            is_bare: false,
        })
    }

    /// How many elements it has, as its type counts them.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Sets [`size`](Collection::size); nothing here counts.
    pub fn set_size(&mut self, size: u64) {
        self.size = size;
    }

    /// When it expires, in milliseconds since 1970.
    pub fn expires_at_ms(&self) -> Option<u64> {
        self.expires_at_ms
    }

    /// Sets when it expires.
    pub fn set_expires_at_ms(&mut self, expires_at_ms: Option<u64>) {
        self.expires_at_ms = expires_at_ms;
    }

    /// Bits of the type's own, which are kept in the record.
    pub fn traits(&self) -> u8 {
        self.traits
    }

    /// Sets bits of [`traits`](Collection::traits).
    pub fn add_traits(&mut self, traits: u8) {
        self.traits |= traits;
    }

    /// A number of the type's own, which is kept in the record.
    pub fn place(&self) -> u64 {
        self.place
    }

    /// Sets [`place`](Collection::place).
    pub fn set_place(&mut self, place: u64) {
        self.place = place;
    }

    /// Whether all of it is in the record, so that reading it costs nothing more.
    pub fn is_packed(&self) -> bool {
        matches!(self.body, Body::Packed(_))
    }

    /// Says that each of its elements has been removed by itself: once it is saved as empty, nothing of it is
    /// left to be swept.
    pub fn set_bare(&mut self) {
        self.is_bare = true;
    }

    /// The value under `subkey`.
    ///
    /// # Errors
    /// The storage's.
    pub fn get(&self, db: &mut DbReader<'_>, subkey: &[u8]) -> Result<Option<Bytes>> {
        match &self.body {
            Body::Packed(bytes) => {
                let place = packed::find(bytes, subkey)?;
                Ok(place.value.map(|start| bytes.slice(start..place.end)))
            }
            Body::Stored(version) => {
                let key = encoding::element_key(db.namespace()?, *version, subkey);
                Ok(db.reader.get(db.keyspaces().elements(), &key)?)
            }
        }
    }

    /// Whether there is something under `subkey`.
    ///
    /// # Errors
    /// The storage's.
    pub fn contains(&self, db: &mut DbReader<'_>, subkey: &[u8]) -> Result<bool> {
        Ok(self.get(db, subkey)?.is_some())
    }

    /// The values under `subkeys`, in their order, read as one batch.
    ///
    /// # Errors
    /// The storage's.
    pub fn get_many(
        &self,
        db: &mut DbReader<'_>,
        subkeys: &[impl AsRef<[u8]>],
    ) -> Result<Vec<Option<Bytes>>> {
        let Body::Stored(version) = self.body else {
            return subkeys.iter().map(|subkey| self.get(db, subkey.as_ref())).collect();
        };
        let namespace = db.namespace()?;
        let keys: Vec<Bytes> = subkeys
            .iter()
            .map(|subkey| encoding::element_key(namespace, version, subkey.as_ref()))
            .collect();
        let keys: Vec<&[u8]> = keys.iter().map(|key| &**key).collect();
        Ok(db.reader.get_many(db.keyspaces().elements(), &keys)?)
    }

    /// The first elements whose subkeys are in `range`, from its start or, if `reverse`, from its end, up
    /// to `limit`.
    ///
    /// # Errors
    /// The storage's.
    pub fn page(
        &self,
        db: &mut DbReader<'_>,
        range: &KeyRange,
        reverse: bool,
        limit: PageLimit,
    ) -> Result<Elements> {
        let version = match &self.body {
            Body::Stored(version) => *version,
            Body::Packed(bytes) => {
                let mut inside: Vec<Element> = packed::entries(bytes)?
                    .into_iter()
                    .map(|entry| (entry.subkey, entry.value))
                    .filter(|(subkey, _)| range.contains(subkey))
                    .collect();
                if reverse {
                    inside.reverse();
                }
                let entries_max = limit.entries.max(1);
                let more = inside.len() > entries_max;
                inside.truncate(entries_max);
                return Ok(Elements { entries: inside, more });
            }
        };
        let range = encoding::element_range(db.namespace()?, version, range);
        let page = db.reader.page(db.keyspaces().elements(), &range, reverse, limit)?;
        let mut entries = Vec::with_capacity(page.entries.len());
        for (key, value) in page.entries {
            entries.push((encoding::split_element_key(&key)?, value));
        }
        Ok(Elements { entries, more: page.more })
    }

    /// Calls `visit` with every element of `range`, in order or in reverse, until it returns `false`.
    /// Holds one page of them at a time.
    ///
    /// # Errors
    /// The storage's; those of `visit`.
    pub fn for_each(
        &self,
        db: &mut DbReader<'_>,
        range: KeyRange,
        reverse: bool,
        mut visit: impl FnMut(Bytes, Bytes) -> Result<bool>,
    ) -> Result<()> {
        let mut rest = range;
        loop {
            let page = self.page(db, &rest, reverse, ELEMENTS_PAGE)?;
            let last = page.entries.last().map(|(subkey, _)| subkey.clone());
            for (subkey, value) in page.entries {
                if !visit(subkey, value)? {
                    return Ok(());
                }
            }
            match last.filter(|_| page.more) {
                Some(last) => narrow(&mut rest, &last, reverse),
                None => return Ok(()),
            }
        }
    }

    /// Puts `value` under `subkey`. The size is the caller's to keep.
    ///
    /// # Errors
    /// The storage's.
    pub fn put(&mut self, db: &mut DbWriter<'_>, subkey: &[u8], value: Bytes) -> Result<()> {
        self.is_bare = false;
        let Body::Packed(bytes) = &self.body else { return self.put_stored(db, subkey, value) };
        let place = packed::find(bytes, subkey)?;
        self.put_at(db, place, subkey, value)
    }

    /// Puts `value` under `subkey` and returns whether something was there. The size is the caller's to
    /// keep.
    ///
    /// # Errors
    /// The storage's.
    pub fn replace(&mut self, db: &mut DbWriter<'_>, subkey: &[u8], value: Bytes) -> Result<bool> {
        self.put_or_leave(db, subkey, value, false)
    }

    /// Puts `value` under `subkey` if nothing is there, and returns whether it did. The size is the
    /// caller's to keep.
    ///
    /// # Errors
    /// The storage's.
    pub fn add(&mut self, db: &mut DbWriter<'_>, subkey: &[u8], value: Bytes) -> Result<bool> {
        Ok(!self.put_or_leave(db, subkey, value, true)?)
    }

    /// Removes what is under `subkey`, if anything is. The size is the caller's to keep.
    ///
    /// # Errors
    /// The storage's.
    pub fn delete(&mut self, db: &mut DbWriter<'_>, subkey: &[u8]) -> Result<()> {
        match &self.body {
            Body::Packed(_) => self.remove(db, subkey).map(drop),
            Body::Stored(version) => {
                let key = encoding::element_key(db.namespace()?, *version, subkey);
                Ok(db.tx.delete(db.state.databases.elements(), key)?)
            }
        }
    }

    /// Removes what is under `subkey` and returns whether anything was. The size is the caller's to keep.
    ///
    /// # Errors
    /// The storage's.
    pub fn remove(&mut self, db: &mut DbWriter<'_>, subkey: &[u8]) -> Result<bool> {
        match &self.body {
            Body::Packed(bytes) => {
                let place = packed::find(bytes, subkey)?;
                if place.value.is_some() {
                    self.body = Body::Packed(packed::splice(bytes, place, subkey, None));
                }
                Ok(place.value.is_some())
            }
            Body::Stored(version) => {
                let key = encoding::element_key(db.namespace()?, *version, subkey);
                let elements = db.state.databases.elements();
                let is_there = db.tx.contains(elements, &key)?;
                if is_there {
                    db.tx.delete(elements, key)?;
                }
                Ok(is_there)
            }
        }
    }

    /// Removes everything whose subkey is in `range`. The size is the caller's to keep. Large ranges cost
    /// others something: a range names no keys, so that the whole record cache of elements is lost. Use it
    /// where the elements are too many to be deleted one by one.
    ///
    /// # Errors
    /// The storage's.
    pub fn delete_range(&mut self, db: &mut DbWriter<'_>, range: &KeyRange) -> Result<()> {
        match &self.body {
            Body::Packed(bytes) => {
                let kept = packed::without(bytes, |subkey| range.contains(subkey))?;
                self.body = Body::Packed(kept);
            }
            Body::Stored(version) => {
                let range = encoding::element_range(db.namespace()?, *version, range);
                db.tx.delete_range(db.state.databases.elements(), range)?;
            }
        }
        Ok(())
    }

    /// Gives each element an entry of its own, if that is not so already.
    ///
    /// # Errors
    /// The storage's.
    pub fn unpack(&mut self, db: &mut DbWriter<'_>) -> Result<()> {
        let Body::Packed(bytes) = &self.body else { return Ok(()) };
        let entries = packed::entries(bytes)?;
        self.body = Body::Stored(db.state.allocate_version(db.tx)?);
        for entry in entries {
            // A slice would hold the whole record for as long as it is kept.
            self.put_stored(db, &entry.subkey, Bytes::copy_from_slice(&entry.value))?;
        }
        Ok(())
    }

    /// Saves it as the value of `key`, where `old` is; an empty one is no value, so that the key is gone.
    /// Those who watch the key hear of it in any case. Returns whether the key is there now.
    ///
    /// # Errors
    /// [`Error::KeyTooLong`](super::Error::KeyTooLong); the storage's.
    pub fn save(&self, db: &mut DbWriter<'_>, key: &[u8], old: Option<&Record>) -> Result<bool> {
        if self.size == 0 {
            self.save_empty(db, key, old)?;
            return Ok(false);
        }
        let record = self.to_record();
        if old == Some(&record) {
            db.touch(key);
        } else {
            db.store(key, old, &record)?;
        }
        Ok(true)
    }

    fn save_empty(&self, db: &mut DbWriter<'_>, key: &[u8], old: Option<&Record>) -> Result<()> {
        if let Body::Stored(version) = self.body
            && !self.is_bare
            && old.and_then(|old| old.version) != Some(version)
        {
            let namespace = db.namespace()?;
            db.discard_elements(namespace, version)?;
        }
        match old {
            Some(old) if self.is_bare => db.remove(key, &Record { version: None, ..old.clone() }),
            Some(old) => db.remove(key, old),
            None => Ok(()),
        }
    }

    fn to_record(&self) -> Record {
        let (version, packed) = match &self.body {
            Body::Packed(bytes) => (None, bytes.clone()),
            Body::Stored(version) => (Some(*version), Bytes::new()),
        };
        let head = CollectionHead { traits: self.traits, place: self.place, packed };
        Record {
            kind: self.kind,
            expires_at_ms: self.expires_at_ms,
            version,
            size: self.size,
            payload: head.encode(),
        }
    }

    /// Whether something was there; if so, and `leave`, it still is.
    fn put_or_leave(
        &mut self,
        db: &mut DbWriter<'_>,
        subkey: &[u8],
        value: Bytes,
        leave: bool,
    ) -> Result<bool> {
        match &self.body {
            Body::Packed(bytes) => {
                let place = packed::find(bytes, subkey)?;
                let is_there = place.value.is_some();
                if !(is_there && leave) {
                    self.put_at(db, place, subkey, value)?;
                }
                Ok(is_there)
            }
            Body::Stored(version) => {
                let key = encoding::element_key(db.namespace()?, *version, subkey);
                let elements = db.state.databases.elements();
                let is_there = db.tx.contains(elements, &key)?;
                if !(is_there && leave) {
                    db.tx.put(elements, key, detached(&value))?;
                }
                Ok(is_there)
            }
        }
    }

    /// Puts an element where [`packed::find`] has said that it belongs, if it still fits there.
    fn put_at(
        &mut self,
        db: &mut DbWriter<'_>,
        place: packed::Place,
        subkey: &[u8],
        value: Bytes,
    ) -> Result<()> {
        if let Body::Packed(bytes) = &self.body
            && bytes.len() - (place.end - place.start) + subkey.len() + value.len() + 2
                <= PACKED_BYTES_MAX
        {
            self.body = Body::Packed(packed::splice(bytes, place, subkey, Some(&value)));
            return Ok(());
        }
        self.unpack(db)?;
        self.put_stored(db, subkey, value)
    }

    fn put_stored(&self, db: &mut DbWriter<'_>, subkey: &[u8], value: Bytes) -> Result<()> {
        let Body::Stored(version) = self.body else { return Ok(()) };
        let key = encoding::element_key(db.namespace()?, version, subkey);
        Ok(db.tx.put(db.state.databases.elements(), key, detached(&value))?)
    }
}

/// The same bytes, but if they are few in memory of their own: as a part of what was received they hold all of
/// that.
pub fn detached(value: &Bytes) -> Bytes {
    if value.len() <= COPIED_BYTES_MAX { Bytes::copy_from_slice(value) } else { value.clone() }
}

/// A collection that is being changed, with the key it belongs to.
#[derive(Debug)]
pub struct Editor {
    key: Bytes,
    old: Option<Record>,
    /// What there is now; [`save`](Editor::save) writes it.
    pub collection: Collection,
}

impl Editor {
    /// What is at `key`, or an empty collection if nothing is: as for a key that is too long, of which
    /// [`save`](Editor::save) says so if something has been put there.
    ///
    /// # Errors
    /// [`Error::WrongType`](super::Error::WrongType); the storage's.
    pub fn open(db: &mut DbWriter<'_>, key: &Bytes, kind: Kind) -> Result<Self> {
        let old = db.lookup_kind(key, kind)?;
        let collection = match &old {
            Some(record) => Collection::from_record(record)?,
            None => Collection::new(kind),
        };
        Ok(Self { key: key.clone(), old, collection })
    }

    /// An empty collection to put in place of whatever is at `key`, its expiry too.
    ///
    /// # Errors
    /// As for [`open`](Editor::open), but for the type.
    pub fn replace(db: &mut DbWriter<'_>, key: &Bytes, kind: Kind) -> Result<Self> {
        check_key(key)?;
        let old = db.lookup(key)?;
        Ok(Self { key: key.clone(), old, collection: Collection::new(kind) })
    }

    /// The key.
    pub fn key(&self) -> &Bytes {
        &self.key
    }

    /// Whether something is at the key as it was found.
    pub fn existed(&self) -> bool {
        self.old.is_some()
    }

    /// Writes what there is now: see [`Collection::save`].
    ///
    /// # Errors
    /// As for [`Collection::save`].
    pub fn save(self, db: &mut DbWriter<'_>) -> Result<bool> {
        self.collection.save(db, &self.key, self.old.as_ref())
    }
}

/// The collection at `key`, for reading; counts a hit or a miss.
///
/// # Errors
/// [`Error::WrongType`](super::Error::WrongType); the storage's.
pub fn read(db: &mut DbReader<'_>, key: &[u8], kind: Kind) -> Result<Option<Collection>> {
    db.read_kind(key, kind)?.as_ref().map(Collection::from_record).transpose()
}

/// What is left of `range` behind `last`, in the direction of the walk.
pub fn narrow(range: &mut KeyRange, last: &Bytes, reverse: bool) {
    if reverse {
        range.end = Some(last.clone());
    } else {
        // The first subkey after it in byte order.
        range.start = [last, &[0][..]].concat().into();
    }
}
