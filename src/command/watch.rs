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
    /// What was there when it began to be watched.
    pub was: Was,
}

/// What was at a key when it began to be watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Was {
    /// Nothing.
    Absent,
    /// A value whose time had come, not removed yet: its removal is no change.
    Expired,
    /// A value.
    Present,
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
}

/// All watched keys.
#[derive(Debug, Default)]
pub struct Watches {
    keys_len: AtomicUsize,
    keys: Mutex<HashMap<(u8, Bytes), Vec<Entry>>>,
}

#[derive(Debug)]
struct Entry {
    watch: Arc<Watch>,
    was: Was,
}

impl Watches {
    /// Whether no key is watched.
    pub fn is_empty(&self) -> bool {
        self.keys_len.load(Ordering::Acquire) == 0
    }

    /// Adds a key to `watch`, unless it is there; `false`: there is no room.
    pub fn add(&self, watch: &Arc<Watch>, key: WatchedKey) -> bool {
        let mut keys = lock(&self.keys);
        let mut watched = lock(&watch.keys);
        if watched.len() >= WATCHED_KEYS_MAX {
            return false;
        }
        let entries = keys.entry((key.db, key.key.clone())).or_default();
        if !entries.iter().any(|entry| Arc::ptr_eq(&entry.watch, watch)) {
            entries.push(Entry { watch: Arc::clone(watch), was: key.was });
            watched.push(key);
        }
        self.keys_len.store(keys.len(), Ordering::Release);
        true
    }

    /// Ends `watch`.
    pub fn remove(&self, watch: &Arc<Watch>) {
        let mut keys = lock(&self.keys);
        for WatchedKey { db, key, .. } in lock(&watch.keys).drain(..) {
            let place = (db, key);
            if let Some(entries) = keys.get_mut(&place) {
                entries.retain(|entry| !Arc::ptr_eq(&entry.watch, watch));
                if entries.is_empty() {
                    keys.remove(&place);
                }
            }
        }
        self.keys_len.store(keys.len(), Ordering::Release);
    }

    /// Tells those who watch what `touched` says. `is_there` says whether a key is there now.
    pub fn tell(&self, touched: &[Touch], is_there: &mut dyn FnMut(u8, &[u8]) -> bool) {
        if touched.is_empty() || self.is_empty() {
            return;
        }
        let mut keys = lock(&self.keys);
        for touch in touched {
            if let Some(key) = &touch.key {
                for entry in keys.get_mut(&(touch.db, key.clone())).into_iter().flatten() {
                    entry.tell(touch.expired);
                }
                continue;
            }
            for ((db, key), entries) in keys.iter_mut().filter(|((db, _), _)| *db == touch.db) {
                let mut there = None;
                for entry in entries {
                    let mut is_there = || *there.get_or_insert_with(|| is_there(*db, key));
                    if entry.was == Was::Present || is_there() {
                        entry.tell(false);
                    }
                }
            }
        }
    }
}

impl Entry {
    fn tell(&mut self, expired: bool) {
        if expired && self.was == Was::Expired {
            self.was = Was::Absent;
        } else {
            self.watch.is_changed.store(true, Ordering::Release);
        }
    }
}
