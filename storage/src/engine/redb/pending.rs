//! Changes that were applied without sync and are not in redb yet.
//!
//! A commit costs redb a copy of each page that it touches, and more for each table and each commit,
//! so that those of many small batches are better made together, in the order of their keys. What is not synced
//! dies with the process in any case, in redb's memory as in this; so it waits here, where point reads find it and
//! snapshots take it along, until there is enough of it, or until somebody wants a sync. Then it is committed a
//! little at a time, with each batch that comes, so that none of them waits long.

use std::collections::BTreeMap;
use std::mem;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};

use bytes::Bytes;

use super::failure::guarded;
use crate::engine::{Changes, KeyspaceChanges, Page, PageLimit, Snapshot};
use crate::error::{Error, Result};
use crate::keyspace::KeyspaceId;
use crate::overlay::{self, Overlay};
use crate::range::KeyRange;

/// So many changed keys begin to be committed, and so many bytes of changes. A sync waits for twice as much
/// at the most. Fewer in tests, which else would not see it.
const KEYS_MAX: usize = if cfg!(test) { 64 } else { 16_384 };
const BYTES_MAX: usize = 8 << 20;

/// With each batch that comes, twice its keys and so many more are committed: there is an end to it, and no
/// batch waits long.
const STEP_KEYS: usize = if cfg!(test) { 4 } else { 64 };

/// So many layers begin to be committed: there is one for each snapshot that is kept while others are taken, and
/// reads go through all of them.
const LAYERS_MAX: usize = 8;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pending {
    layers: RwLock<Layers>,
    /// Held while something is committed.
    committing: Mutex<Option<Lower>>,
}

#[derive(Debug, Default)]
struct Layers {
    /// Grows.
    upper: Overlay,
    /// Shared with snapshots, or being committed and still to be found here until all of it can be found there.
    /// The newest is the last.
    frozen: Vec<Arc<Overlay>>,
    /// Why they could not be committed: nothing can be any more.
    failed: Option<Error>,
}

/// The oldest of the frozen layers, on its way into redb.
#[derive(Debug)]
struct Lower {
    layer: Arc<Overlay>,
    /// Which of its keyspaces comes next, and behind which key.
    keyspace: usize,
    after: Option<Bytes>,
}

/// Whether `changes` can wait. They cannot if they create a keyspace and put nothing into it, or delete ranges,
/// which may take long.
pub(super) fn can_wait(changes: &Changes) -> bool {
    let can_wait =
        |keyspace: &KeyspaceChanges| keyspace.ranges.is_empty() && !keyspace.writes.is_empty();
    changes.keyspaces.iter().all(can_wait)
}

impl Pending {
    /// Takes over `changes`, which [can wait](can_wait), and has `commit` make some of what is pending visible in
    /// redb, if there is enough of it. For one thread at a time.
    ///
    /// # Errors
    /// Those of `commit`, from then on.
    pub(super) fn add(
        &self,
        changes: &Changes,
        mut commit: impl FnMut(&Changes) -> Result<()>,
    ) -> Result<()> {
        // Unless somebody else commits all of it.
        let lower = match self.committing.try_lock() {
            Ok(lower) => Some(lower),
            Err(TryLockError::Poisoned(lower)) => Some(lower.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        let mut keys = 0;
        let is_enough = {
            let mut layers = self.write();
            layers.check()?;
            layers.thaw();
            for changes in &changes.keyspaces {
                layers.upper.absorb(changes, copied);
                keys += changes.writes.len();
            }
            let is_committing = lower.as_ref().is_none_or(|lower| lower.is_some());
            layers.is_enough(usize::from(is_committing))
        };
        let mut lower = match lower {
            Some(lower) => lower,
            None if is_enough => self.committing.lock().unwrap_or_else(PoisonError::into_inner),
            None => return Ok(()),
        };
        if is_enough {
            // There is none, as a rule: it is smaller than what has come since.
            self.step(&mut lower, usize::MAX, &mut commit)?;
            *lower = self.begin()?;
        }
        self.step(&mut lower, keys.saturating_mul(2).saturating_add(STEP_KEYS), commit)
    }

    /// Has `commit` make what is pending visible in redb, and then runs `then`: everything is visible by then that
    /// was pending when this was called, and no batch in part.
    ///
    /// # Errors
    /// As for [`add`](Pending::add); those of `then`.
    pub(super) fn commit<T>(
        &self,
        mut commit: impl FnMut(&Changes) -> Result<()>,
        then: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let mut lower = self.committing.lock().unwrap_or_else(PoisonError::into_inner);
        self.read().check()?;
        self.step(&mut lower, usize::MAX, &mut commit)?;
        *lower = self.begin()?;
        self.step(&mut lower, usize::MAX, commit)?;
        then()
    }

    /// Makes what is pending one layer, which is to be committed, if there is any.
    fn begin(&self) -> Result<Option<Lower>> {
        let mut layers = self.write();
        layers.check()?;
        layers.freeze();
        if let [_, _, ..] = &*layers.frozen {
            let mut all = Overlay::default();
            for changes in layers.frozen.iter().flat_map(|layer| &layer.changes().keyspaces) {
                all.absorb(changes, Bytes::clone);
            }
            layers.frozen = vec![Arc::new(all)];
        }
        let layer = layers.frozen.first().map(Arc::clone);
        Ok(layer.map(|layer| Lower { layer, keyspace: 0, after: None }))
    }

    /// Commits up to `keys_max` more keys of `lower`.
    fn step(
        &self,
        lower: &mut Option<Lower>,
        keys_max: usize,
        mut commit: impl FnMut(&Changes) -> Result<()>,
    ) -> Result<()> {
        let Some(committing) = lower else { return Ok(()) };
        let (part, is_last);
        let changes = if committing.is_at_the_front() && keys_max == usize::MAX {
            is_last = true;
            committing.layer.changes()
        } else {
            (part, is_last) = committing.take(keys_max);
            &part
        };
        let committed = guarded(|| commit(changes));
        if let Err(error) = &committed {
            // Whoever commits next, the write lane at its next write or sync, fails and so latches.
            tracing::error!(%error, "a commit failed; nothing more is written until reopened");
            self.write().failed = Some(error.clone());
        } else if is_last {
            *lower = None;
            // Those that came meanwhile are behind it.
            let done = self.write().frozen.remove(0);
            drop(done);
        }
        committed
    }

    /// What is pending for each of `keys`, at one moment: `None` if nothing is, so that redb knows.
    pub(super) fn get_many(&self, keys: &[(KeyspaceId, &[u8])]) -> Vec<Option<Option<Bytes>>> {
        let layers = self.read();
        let get = |(keyspace, key): &(KeyspaceId, &[u8])| {
            let lower = layers.frozen.iter().rev().map(|layer| &**layer);
            let mut layers = [&layers.upper].into_iter().chain(lower);
            layers.find_map(|layer| find(layer, *keyspace, key))
        };
        keys.iter().map(get).collect()
    }

    /// What `take` returns, a snapshot of redb, with what is pending over it.
    ///
    /// # Errors
    /// Those of `take`.
    pub(super) fn snapshot(
        &self,
        take: impl FnOnce() -> Result<Box<dyn Snapshot>>,
    ) -> Result<Box<dyn Snapshot>> {
        // Taken under the lock: a layer that is committed meanwhile is found in both, and none in neither.
        {
            let layers = self.read();
            if layers.upper.changes().is_empty() {
                return take().map(|base| layers.over(base));
            }
        }
        let mut layers = self.write();
        layers.freeze();
        take().map(|base| layers.over(base))
    }

    fn read(&self) -> RwLockReadGuard<'_, Layers> {
        self.layers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Layers> {
        self.layers.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lower {
    fn is_at_the_front(&self) -> bool {
        self.keyspace == 0 && self.after.is_none()
    }

    /// The next `keys_max` changes, and whether they are the last.
    fn take(&mut self, keys_max: usize) -> (Changes, bool) {
        let (mut part, mut left) = (Changes::default(), keys_max);
        let all = &self.layer.changes().keyspaces;
        while let Some(changes) = all.get(self.keyspace) {
            let from = self.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
            let mut rest = changes.writes.range::<Bytes, _>((from, Bound::Unbounded));
            let own = |(key, value): (&Bytes, &Option<Bytes>)| (key.clone(), value.clone());
            let writes: BTreeMap<_, _> = rest.by_ref().take(left).map(own).collect();
            let is_all = rest.next().is_none();
            left -= writes.len();
            let last = writes.last_key_value().map(|(key, _)| key.clone());
            if !writes.is_empty() {
                let (keyspace, ranges) = (changes.keyspace, BTreeMap::new());
                part.keyspaces.push(KeyspaceChanges { keyspace, ranges, writes });
            }
            if !is_all {
                self.after = last.or(self.after.take());
                return (part, false);
            }
            (self.keyspace, self.after) = (self.keyspace + 1, None);
        }
        (part, true)
    }
}

impl Layers {
    fn check(&self) -> Result<()> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Has nobody change what is there now.
    fn freeze(&mut self) {
        self.thaw();
        if !self.upper.changes().is_empty() {
            self.frozen.push(Arc::new(mem::take(&mut self.upper)));
        }
    }

    /// Goes on with the newest frozen layer if nobody uses it any more. So there are no more of them than
    /// snapshots, and one.
    fn thaw(&mut self) {
        if let Some(mut newest) = self.frozen.pop_if(|layer| Arc::get_mut(layer).is_some())
            && let Some(layer) = Arc::get_mut(&mut newest)
        {
            let upper = mem::replace(&mut self.upper, mem::take(layer));
            for changes in &upper.changes().keyspaces {
                self.upper.absorb(changes, Bytes::clone);
            }
        }
    }

    /// Whether there is enough to be committed, but for the oldest `committing` frozen layers.
    fn is_enough(&self, committing: usize) -> bool {
        let frozen = self.frozen.get(committing..).unwrap_or_default();
        let (mut keys, mut bytes) = (0, 0);
        for layer in [&self.upper].into_iter().chain(frozen.iter().map(|layer| &**layer)) {
            keys += layer.changes().keyspaces.iter().map(|of| of.writes.len()).sum::<usize>();
            bytes += layer.bytes();
        }
        keys >= KEYS_MAX || bytes >= BYTES_MAX || frozen.len() >= LAYERS_MAX
    }

    fn over(&self, base: Box<dyn Snapshot>) -> Box<dyn Snapshot> {
        self.frozen.iter().fold(base, |base, layer| {
            let layer = Arc::clone(layer);
            Box::new(Layered { base, layer })
        })
    }
}

/// What shares no memory: pending changes may be small parts of large buffers, which would be kept as long.
fn copied(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

fn find(layer: &Overlay, keyspace: KeyspaceId, key: &[u8]) -> Option<Option<Bytes>> {
    match layer.get(keyspace, key) {
        overlay::Pending::Value(value) => Some(Some(value.clone())),
        overlay::Pending::Deleted => Some(None),
        overlay::Pending::Unknown => None,
    }
}

/// A snapshot with a layer over it.
struct Layered {
    base: Box<dyn Snapshot>,
    layer: Arc<Overlay>,
}

impl Snapshot for Layered {
    fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Bytes>> {
        match find(&self.layer, keyspace, key) {
            Some(value) => Ok(value),
            None => self.base.get(keyspace, key),
        }
    }

    fn page(
        &self,
        keyspace: KeyspaceId,
        range: &KeyRange,
        reverse: bool,
        limit: PageLimit,
    ) -> Result<Page> {
        self.layer.page(&*self.base, keyspace, range, reverse, limit)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::keyspace::KeyspaceNames;

    fn keyspace() -> KeyspaceId {
        KeyspaceNames::new(1, 4).intern("a").unwrap().id
    }

    fn put(key: &'static str, value: &'static str) -> Changes {
        let writes = [(key.into(), Some(value.into()))].into();
        let ranges = [].into();
        Changes { keyspaces: vec![KeyspaceChanges { keyspace: keyspace(), ranges, writes }] }
    }

    fn get(pending: &Pending, key: &str) -> Option<Option<Bytes>> {
        pending.get_many(&[(keyspace(), key.as_bytes())]).pop().unwrap()
    }

    /// Adds where nothing is to be committed yet.
    fn add(pending: &Pending, changes: &Changes) {
        pending.add(changes, |_| panic!("there is not enough")).unwrap();
    }

    #[test]
    fn what_is_being_committed_is_found_until_it_is() {
        let pending = Pending::default();
        add(&pending, &put("k", "1"));
        add(&pending, &put("k", "2"));
        let commit = |changes: &Changes| {
            assert_eq!(changes, &put("k", "2"), "the older value need not be written");
            assert_eq!(get(&pending, "k"), Some(Some("2".into())));
            add(&pending, &put("k", "3"));
            assert_eq!(get(&pending, "k"), Some(Some("3".into())));
            Ok(())
        };
        pending.commit(commit, || Ok(())).unwrap();
        assert_eq!(get(&pending, "k"), Some(Some("3".into())), "it came later");
        let commit = |changes: &Changes| {
            assert_eq!(changes, &put("k", "3"));
            Ok(())
        };
        pending.commit(commit, || Ok(())).unwrap();
        assert_eq!(get(&pending, "k"), None);
        pending.commit(|_| panic!("there is nothing to commit"), || Ok(())).unwrap();
    }

    #[test]
    fn enough_is_committed_in_steps_and_in_the_order_of_keys() {
        let pending = Pending::default();
        let (mut added, mut committed) = (Vec::new(), Vec::new());
        // Each of two keyspaces, and not in order.
        let keyspaces = KeyspaceNames::new(1, 4);
        let keyspaces = ["a", "b"].map(|name| keyspaces.intern(name).unwrap().id);
        while committed.len() < KEYS_MAX {
            let number = added.len();
            let key = Bytes::from(format!("{:03}", number * 7 % 1000));
            let writes = [(key.clone(), Some(number.to_string().into()))].into();
            let keyspace = keyspaces[number % 2];
            added.push((keyspace, key));
            let ranges = [].into();
            let changes = Changes { keyspaces: vec![KeyspaceChanges { keyspace, ranges, writes }] };
            let commit = |changes: &Changes| {
                let mut len = 0;
                for changes in &changes.keyspaces {
                    committed
                        .extend(changes.writes.keys().map(|key| (changes.keyspace, key.clone())));
                    len += changes.writes.len();
                }
                assert!((1..=STEP_KEYS + 2).contains(&len));
                for (keyspace, key) in &committed {
                    let found = pending.get_many(&[(*keyspace, &**key)]).pop().unwrap();
                    assert!(found.is_some(), "until all of it is in redb");
                }
                Ok(())
            };
            pending.add(&changes, commit).unwrap();
        }
        let mut expected = added[..KEYS_MAX].to_vec();
        expected.sort();
        assert_eq!(committed, expected, "what came later is not among it");
        let left = |(keyspace, key): &(KeyspaceId, Bytes)| {
            pending.get_many(&[(*keyspace, &**key)]).pop().unwrap().is_some()
        };
        assert!(!added[..KEYS_MAX].iter().any(left));
        assert!(added[KEYS_MAX..].iter().all(left));
    }

    #[test]
    fn no_more_waits_than_twice_the_limit() {
        let pending = Pending::default();
        let value = Bytes::from(vec![0; BYTES_MAX / 16]);
        let mut begun = false;
        for number in 0..KEYS_MAX + 100 {
            // Many small ones are on their way when large ones come.
            let value = if begun { value.clone() } else { Bytes::new() };
            let writes = [(format!("{number:03}").into(), Some(value))].into();
            let changes = KeyspaceChanges { keyspace: keyspace(), ranges: [].into(), writes };
            let commit = |_: &Changes| {
                begun = true;
                Ok(())
            };
            pending.add(&Changes { keyspaces: vec![changes] }, commit).unwrap();
            let layers = pending.read();
            let frozen: usize = layers.frozen.iter().map(|layer| layer.bytes()).sum();
            assert!(layers.upper.bytes() + frozen <= 2 * BYTES_MAX + BYTES_MAX / 8, "{number}");
        }
        assert!(begun);
    }

    #[test]
    fn all_of_it_can_be_asked_for_in_the_middle() {
        let pending = Pending::default();
        let committed = RefCell::new(Vec::new());
        let commit = |changes: &Changes| {
            let keys = changes.keyspaces.iter().flat_map(|changes| changes.writes.keys());
            committed.borrow_mut().extend(keys.cloned());
            Ok(())
        };
        let mut added = 0;
        while committed.borrow().is_empty() {
            let writes = [(format!("{added:03}").into(), None)].into();
            let changes = KeyspaceChanges { keyspace: keyspace(), ranges: [].into(), writes };
            pending.add(&Changes { keyspaces: vec![changes] }, commit).unwrap();
            added += 1;
        }
        pending.add(&put("later", "1"), commit).unwrap();
        pending.commit(commit, || Ok(())).unwrap();
        let mut expected: Vec<Bytes> = (0..added).map(|n| format!("{n:03}").into()).collect();
        expected.push("later".into());
        assert_eq!(*committed.borrow(), expected);
        assert!(pending.read().frozen.is_empty());
    }

    /// Or a copy that is made of what redb has would have a part of a batch.
    #[test]
    fn nothing_is_committed_before_who_asked_for_all_of_it_is_done() {
        let pending = Pending::default();
        let writes = |from: usize| {
            let keys = from..from + KEYS_MAX - 1;
            let writes = keys.map(|n| (format!("{n:03}").into(), Some("1".into()))).collect();
            let changes = KeyspaceChanges { keyspace: keyspace(), ranges: [].into(), writes };
            Changes { keyspaces: vec![changes] }
        };
        let then = || {
            add(&pending, &writes(0));
            Ok(())
        };
        pending.commit(|_| panic!("there is nothing to commit"), then).unwrap();
        let mut committed = 0;
        let commit = |changes: &Changes| {
            committed += changes.keyspaces[0].writes.len();
            Ok(())
        };
        pending.add(&writes(KEYS_MAX), commit).unwrap();
        assert!(committed > 0);
    }

    #[test]
    fn a_failed_commit_is_the_last_and_loses_nothing_that_was_visible() {
        let pending = Pending::default();
        add(&pending, &put("k", "1"));
        let failed = RefCell::new(0);
        let commit = |_: &Changes| {
            *failed.borrow_mut() += 1;
            Err(Error::engine("the disk is gone"))
        };
        pending.commit(commit, || Ok(())).unwrap_err();
        pending.commit(commit, || Ok(())).unwrap_err();
        assert_eq!(*failed.borrow(), 1, "it is not tried again");
        pending.add(&put("k", "2"), commit).unwrap_err();
        assert_eq!(get(&pending, "k"), Some(Some("1".into())));
    }

    #[test]
    fn a_panic_is_a_failed_commit() {
        let pending = Pending::default();
        add(&pending, &put("k", "1"));
        pending.commit(|_| panic!("on purpose"), || Ok(())).unwrap_err();
        pending.add(&put("k", "2"), |_| Ok(())).unwrap_err();
        pending.commit(|_| Ok(()), || Ok(())).unwrap_err();
        assert_eq!(get(&pending, "k"), Some(Some("1".into())));
    }

    #[test]
    fn what_creates_a_keyspace_alone_or_deletes_a_range_cannot_wait() {
        let mut changes = put("k", "1");
        assert!(can_wait(&changes));
        changes.keyspaces.iter_mut().for_each(|changes| changes.writes.clear());
        assert!(!can_wait(&changes));
        let mut changes = put("k", "1");
        for changes in &mut changes.keyspaces {
            changes.ranges.insert("a".into(), None);
        }
        assert!(!can_wait(&changes));
    }

    /// An engine that holds nothing.
    struct Empty;

    impl Snapshot for Empty {
        fn get(&self, _: KeyspaceId, _: &[u8]) -> Result<Option<Bytes>> {
            Ok(None)
        }

        fn page(&self, _: KeyspaceId, _: &KeyRange, _: bool, _: PageLimit) -> Result<Page> {
            Ok(Page::default())
        }
    }

    fn snapshot(pending: &Pending) -> Box<dyn Snapshot> {
        pending.snapshot(|| Ok(Box::new(Empty))).unwrap()
    }

    /// What a snapshot has, by each way to ask it.
    fn all(snapshot: &dyn Snapshot) -> Vec<(Bytes, Bytes)> {
        let range = KeyRange { start: Bytes::new(), end: None };
        let limit = PageLimit { entries: 100, bytes: usize::MAX };
        let page = snapshot.page(keyspace(), &range, false, limit).unwrap();
        for key in ["a", "b", "c"] {
            let entry = page.entries.iter().find(|(found, _)| found == key);
            let expected = Ok(entry.map(|(_, value)| value.clone()));
            assert_eq!(snapshot.get(keyspace(), key.as_bytes()).map_err(|_| ()), expected);
            let found = snapshot.get_many(&[(keyspace(), key.as_bytes()), (keyspace(), b"no")]);
            let found: Vec<_> = found.into_iter().map(|found| found.map_err(|_| ())).collect();
            assert_eq!(found, [expected, Ok(None)]);
        }
        page.entries
    }

    #[test]
    fn a_snapshot_keeps_what_was_pending_when_it_was_taken() {
        let pending = Pending::default();
        let mut deletes = put("b", "");
        deletes.keyspaces[0].writes.insert("b".into(), None);
        add(&pending, &put("a", "1"));
        let first = snapshot(&pending);
        add(&pending, &put("a", "2"));
        add(&pending, &put("b", "2"));
        let second = snapshot(&pending);
        add(&pending, &deletes);
        add(&pending, &put("c", "3"));
        let third = snapshot(&pending);
        let entries = |of: &[(&'static str, &'static str)]| -> Vec<(Bytes, Bytes)> {
            of.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
        };
        let expected = [
            entries(&[("a", "1")]),
            entries(&[("a", "2"), ("b", "2")]),
            entries(&[("a", "2"), ("c", "3")]),
        ];
        for _ in 0..2 {
            let snapshots = [&first, &second, &third];
            assert_eq!(snapshots.map(|snapshot| all(&**snapshot)), expected);
            // What is committed in redb is no matter of theirs.
            pending
                .commit(
                    |changes| {
                        let writes = &changes.keyspaces[0].writes;
                        let newest = [("a", Some("2")), ("b", None), ("c", Some("3"))];
                        let newest =
                            newest.map(|(key, value)| (key.into(), value.map(Bytes::from)));
                        assert_eq!(writes, &newest.into());
                        Ok(())
                    },
                    || Ok(()),
                )
                .unwrap();
        }
    }

    #[test]
    fn snapshots_that_come_and_go_leave_one_layer() {
        let pending = Pending::default();
        for n in 0..3 {
            add(&pending, &put("k", "1"));
            let snapshot = snapshot(&pending);
            assert_eq!(pending.read().frozen.len(), 1, "{n}");
            // As the write lane does, which lets go of its own behind the commit.
            add(&pending, &put("l", "2"));
            drop(snapshot);
        }
    }

    #[test]
    fn snapshots_that_stay_make_no_more_than_so_many_layers() {
        let pending = Pending::default();
        let mut kept = Vec::new();
        let mut is_enough = false;
        while !is_enough {
            assert!(kept.len() <= LAYERS_MAX);
            let commit = |_: &Changes| {
                is_enough = true;
                Ok(())
            };
            pending.add(&put("k", "1"), commit).unwrap();
            kept.push(snapshot(&pending));
        }
        pending.commit(|_| Ok(()), || Ok(())).unwrap();
        add(&pending, &put("k", "1"));
    }
}
