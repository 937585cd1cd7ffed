//! `WATCH`: which clients want to know that a key has changed.
//!
//! A key is watched from inside the write lane, and changes are told there, operation by operation, so
//! that each change is either before the watching, where the client's next read sees it, or after it,
//! where it counts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::data::Touch;

use super::clients::lock;

/// Keys that one client may watch at a time; Redis has no limit but memory.
pub const WATCHED_KEYS_MAX: usize = 1 << 20;

/// What a client watches from its first `WATCH` to its next `EXEC`, `DISCARD` or `UNWATCH`.
#[derive(Debug, Default)]
pub struct Watch {
    is_changed: AtomicBool,
    keys: Mutex<Vec<WatchedKey>>,
}

/// A key that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedKey {
    /// The key's database.
    pub db: u8,
    /// The key.
    pub key: Bytes,
    /// Whether it held a value when it began to be watched. One whose time had come held none, though
    /// nothing had removed it yet: its removal is no change.
    pub was_there: bool,
}

/// Keys that begin and end in a certain way: those that one pattern with one `*` can mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPattern {
    /// How they begin.
    pub prefix: Bytes,
    /// How they end, behind at least nothing.
    pub suffix: Bytes,
}

impl KeyPattern {
    /// Whether `key` is one of them.
    pub fn matches(&self, key: &[u8]) -> bool {
        key.strip_prefix(&*self.prefix).is_some_and(|rest| rest.ends_with(&self.suffix))
    }
}

impl Watch {
    /// Whether a key has changed.
    pub fn is_changed(&self) -> bool {
        self.is_changed.load(Ordering::Acquire)
    }

    /// The keys.
    pub fn keys(&self) -> Vec<WatchedKey> {
        lock(&self.keys).clone()
    }

    fn change(&self) {
        self.is_changed.store(true, Ordering::Release);
    }
}

/// All watched keys.
#[derive(Debug, Default)]
pub struct Watches {
    places_len: AtomicUsize,
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    keys: HashMap<(u8, Bytes), Vec<Entry>>,
    patterns: Vec<(u8, KeyPattern, Arc<Watch>)>,
}

#[derive(Debug)]
struct Entry {
    watch: Arc<Watch>,
    was_there: bool,
}

impl Watches {
    /// Whether no key is watched.
    pub fn is_empty(&self) -> bool {
        self.places_len.load(Ordering::Acquire) == 0
    }

    /// Adds a key to `watch`, unless it is there; `false`: there is no room.
    pub fn add(&self, watch: &Arc<Watch>, key: WatchedKey) -> bool {
        let mut places = lock(&self.places);
        let mut watched = lock(&watch.keys);
        if watched.len() >= WATCHED_KEYS_MAX {
            return false;
        }
        let entries = places.keys.entry((key.db, key.key.clone())).or_default();
        if !entries.iter().any(|entry| Arc::ptr_eq(&entry.watch, watch)) {
            entries.push(Entry { watch: Arc::clone(watch), was_there: key.was_there });
            watched.push(key);
        }
        self.count(&places);
        true
    }

    /// Adds all keys of `pattern` to `watch`: what is there, and what comes to be.
    pub fn add_pattern(&self, watch: &Arc<Watch>, db: u8, pattern: KeyPattern) {
        let mut places = lock(&self.places);
        places.patterns.push((db, pattern, Arc::clone(watch)));
        self.count(&places);
    }

    /// Ends `watch`.
    pub fn remove(&self, watch: &Arc<Watch>) {
        let mut places = lock(&self.places);
        for WatchedKey { db, key, .. } in lock(&watch.keys).drain(..) {
            let place = (db, key);
            if let Some(entries) = places.keys.get_mut(&place) {
                entries.retain(|entry| !Arc::ptr_eq(&entry.watch, watch));
                if entries.is_empty() {
                    places.keys.remove(&place);
                }
            }
        }
        places.patterns.retain(|(_, _, other)| !Arc::ptr_eq(other, watch));
        self.count(&places);
    }

    /// Tells those who watch what `touched` says. `is_there` says whether a key is there now; it is
    /// asked without a lock, since it reads.
    pub fn tell(&self, touched: &[Touch], is_there: &mut dyn FnMut(u8, &[u8]) -> bool) {
        if touched.is_empty() || self.is_empty() {
            return;
        }
        let mut unsure = Vec::new();
        let places = lock(&self.places);
        for touch in touched {
            places.tell(touch, &mut unsure);
        }
        drop(places);
        unsure.retain(|(db, key)| is_there(*db, key));
        if !unsure.is_empty() {
            let places = lock(&self.places);
            for entry in unsure.iter().filter_map(|place| places.keys.get(place)).flatten() {
                entry.watch.change();
            }
        }
    }

    fn count(&self, places: &Places) {
        self.places_len.store(places.keys.len() + places.patterns.len(), Ordering::Release);
    }
}

impl Places {
    /// `unsure` are the keys that were not there, and may be there now.
    fn tell(&self, touch: &Touch, unsure: &mut Vec<(u8, Bytes)>) {
        let Some(key) = &touch.key else {
            for (place, entries) in self.keys.iter().filter(|((db, _), _)| *db == touch.db) {
                if entries.iter().any(|entry| !entry.was_there) {
                    unsure.push(place.clone());
                }
                for entry in entries.iter().filter(|entry| entry.was_there) {
                    entry.watch.change();
                }
            }
            for (_, _, watch) in self.patterns.iter().filter(|(db, ..)| *db == touch.db) {
                watch.change();
            }
            return;
        };
        for entry in self.keys.get(&(touch.db, key.clone())).into_iter().flatten() {
            // What was not there, because its time had come, is not there any less when it is removed.
            if entry.was_there || !touch.expired {
                entry.watch.change();
            }
        }
        for (db, pattern, watch) in &self.patterns {
            if *db == touch.db && pattern.matches(key) {
                watch.change();
            }
        }
    }
}
