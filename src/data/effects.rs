//! What a run of commands does that others must hear of: keys it touched, keys it made ready for those
//! who wait, and events.

use bytes::Bytes;

/// What others want to hear of, when the run begins: nothing else is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Interest {
    /// Somebody watches keys.
    pub watching: bool,
    /// Somebody waits for a key to hold something.
    pub waiting: bool,
    /// The classes of events that somebody listens for: a set of bits, of which this module knows nothing.
    pub event_classes: u32,
}

/// A change of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
    /// The key's database.
    pub db: u8,
    /// The key; `None`: every key of the database that was there.
    pub key: Option<Bytes>,
    /// Whether all that happened is that the key was removed because its time had come.
    pub expired: bool,
}

/// Something that happened to a key, for keyspace notifications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its class: one bit.
    pub class: u32,
    /// What happened, by Redis's name for it.
    pub name: &'static str,
    /// The key's database.
    pub db: u8,
    /// The key.
    pub key: Bytes,
}

/// What happened so far, in order.
#[derive(Debug, Clone, Default)]
pub struct Effects {
    /// What of it is kept.
    pub interest: Interest,
    /// How many keys were changed, each as often as it was.
    pub changes: u64,
    /// How many values were discarded whose elements are still to be removed.
    pub discarded: u64,
    /// Keys that were changed.
    pub touched: Vec<Touch>,
    /// Keys that came to hold a list or a sorted set: database and key; `None`: any key of the database may.
    pub ready: Vec<(u8, Option<Bytes>)>,
    /// Events.
    pub events: Vec<Event>,
}

/// A point in the effects to come back to.
#[derive(Debug, Clone, Copy)]
pub(super) struct EffectsMark {
    changes: u64,
    discarded: u64,
    touched: usize,
    ready: usize,
    events: usize,
}

impl Effects {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.touched.is_empty() && self.ready.is_empty() && self.events.is_empty()
    }

    pub(super) fn mark(&self) -> EffectsMark {
        let Self { changes, discarded, touched, ready, events, .. } = self;
        EffectsMark {
            changes: *changes,
            discarded: *discarded,
            touched: touched.len(),
            ready: ready.len(),
            events: events.len(),
        }
    }

    pub(super) fn truncate_to(&mut self, mark: EffectsMark) {
        (self.changes, self.discarded) = (mark.changes, mark.discarded);
        self.touched.truncate(mark.touched);
        self.ready.truncate(mark.ready);
        self.events.truncate(mark.events);
    }

    pub(super) fn touch(&mut self, db: u8, key: &[u8], expired: bool) {
        self.changes += u64::from(!expired);
        if self.interest.watching {
            self.touched.push(Touch { db, key: Some(Bytes::copy_from_slice(key)), expired });
        }
    }

    pub(super) fn touch_all(&mut self, db: u8) {
        self.changes += 1;
        if self.interest.watching {
            self.touched.push(Touch { db, key: None, expired: false });
        }
    }

    pub(super) fn make_ready(&mut self, db: u8, key: &[u8]) {
        if self.interest.waiting {
            self.ready.push((db, Some(Bytes::copy_from_slice(key))));
        }
    }

    pub(super) fn make_all_ready(&mut self, db: u8) {
        if self.interest.waiting {
            self.ready.push((db, None));
        }
    }

    pub(super) fn notify(&mut self, class: u32, name: &'static str, db: u8, key: &[u8]) {
        if self.interest.event_classes & class != 0 {
            self.events.push(Event { class, name, db, key: Bytes::copy_from_slice(key) });
        }
    }
}

/// Classes of events, as bits; each has Redis's letter in `notify-keyspace-events`.
pub mod class {
    /// `g`: commands on keys of any type.
    pub const GENERIC: u32 = 1 << 2;
    /// `$`: strings.
    pub const STRING: u32 = 1 << 3;
    /// `l`: lists.
    pub const LIST: u32 = 1 << 4;
    /// `s`: sets.
    pub const SET: u32 = 1 << 5;
    /// `h`: hashes.
    pub const HASH: u32 = 1 << 6;
    /// `z`: sorted sets.
    pub const SORTED_SET: u32 = 1 << 7;
    /// `x`: keys removed because their time had come.
    pub const EXPIRED: u32 = 1 << 8;
    /// `e`: keys evicted, which never happens.
    pub const EVICTED: u32 = 1 << 9;
    /// `t`: streams.
    pub const STREAM: u32 = 1 << 10;
    /// `m`: reads of keys that are not there.
    pub const KEY_MISS: u32 = 1 << 11;
    /// `d`: modules, which there are none of.
    pub const MODULE: u32 = 1 << 13;
    /// `n`: keys that came to be.
    pub const NEW: u32 = 1 << 14;
}
