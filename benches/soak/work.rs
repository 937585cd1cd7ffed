//! One operation of the load: what it is, how it is cut off, and whether what came of it may be.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::TryStreamExt;
use pontoon_storage::{
    Error, Keyspace, OnFull, ReadLane, Reader, Result, ScanOptions, Store, Transaction, WriteBatch,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::model::{Hold, Issued, Key, Model, value};
use crate::state::{Kind, Soak};

/// How an operation ended, as far as its caller knows.
pub enum Ended<T> {
    Ok(T),
    /// It was refused, or late, or undone.
    NeverRan,
    /// Its future was dropped: it may have run.
    Dropped,
}

/// Runs operation number `n`, which was to begin at `intended`.
pub async fn operation(soak: &Soak, n: u64, intended: Instant) {
    let mut random = SmallRng::seed_from_u64(soak.seed ^ n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let kind = Kind::choose(&mut random);
    let work = Work { soak, cut: cut_after(&mut random), open: soak.open_with(&mut random), kind };
    let outcome = match kind {
        Kind::Get => work.get(&mut random, intended).await,
        Kind::GetMany => work.get_many(&mut random).await,
        Kind::Put => work.put(&mut random, intended).await,
        Kind::Delete => work.delete(&mut random).await,
        Kind::Update => work.update(&mut random).await,
        Kind::Batch => work.batch(&mut random).await,
        Kind::Pair => work.pair(&mut random).await,
        Kind::DeleteRange => work.delete_range(&mut random).await,
        Kind::DropKeyspace => work.drop_keyspace(&mut random).await,
        Kind::Undone => work.undone(&mut random).await,
        Kind::Scan => work.scan(&mut random).await,
        Kind::HeldScan => work.held_scan(&mut random).await,
        Kind::HeldSnapshot => work.held_snapshot(&mut random).await,
    };
    if let Err(why) = outcome {
        soak.wrong(format!("{kind:?} {n}: {why}"));
    }
}

/// One operation in eleven is dropped after so many polls, of which the first comes before anything
/// has happened and each of the others right behind the one before.
fn cut_after(random: &mut SmallRng) -> Option<u32> {
    (random.random_range(0..11u8) == 0).then(|| random.random_range(0..60))
}

struct Work<'s> {
    soak: &'s Soak,
    open: (Store, std::sync::Arc<[Keyspace]>),
    cut: Option<u32>,
    kind: Kind,
}

type Outcome = std::result::Result<(), String>;

impl Work<'_> {
    fn store(&self) -> &Store {
        &self.open.0
    }

    fn keyspace(&self, group: u32) -> &Keyspace {
        &self.open.1[self.soak.model.keyspace(group)]
    }

    fn model(&self) -> &Model {
        &self.soak.model
    }

    /// Awaits `call`, unless it is to be dropped, and counts how it ended.
    async fn call<T>(
        &self,
        call: impl Future<Output = Result<T>>,
    ) -> std::result::Result<Ended<T>, String> {
        let mut left = self.cut;
        let mut call = pin!(call);
        let result = poll_fn(|context| {
            if let Poll::Ready(result) = call.as_mut().poll(context) {
                return Poll::Ready(Some(result));
            }
            match &mut left {
                None => Poll::Pending,
                Some(0) => Poll::Ready(None),
                Some(left) => {
                    *left -= 1;
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        })
        .await;
        self.soak.counts.ended(self.kind, result.as_ref().map(|result| result.as_ref().map(drop)));
        match result {
            Some(Ok(value)) => Ok(Ended::Ok(value)),
            Some(Err(Error::Deadline | Error::Overloaded { .. } | Error::Closed)) => {
                Ok(Ended::NeverRan)
            }
            Some(Err(error)) => Err(error.to_string()),
            None => Ok(Ended::Dropped),
        }
    }

    /// The same for a write that has taken versions.
    async fn write<T>(
        &self,
        issued: &[Issued],
        call: impl Future<Output = Result<T>>,
    ) -> std::result::Result<Option<T>, String> {
        match self.call(call).await? {
            Ended::Ok(value) => {
                issued.iter().for_each(|&issued| self.model().acknowledge(issued));
                Ok(Some(value))
            }
            Ended::NeverRan => {
                issued.iter().rev().for_each(|&issued| self.model().forget(issued));
                Ok(None)
            }
            Ended::Dropped => Ok(None),
        }
    }

    /// A key that nobody else writes to meanwhile.
    fn own_key(&self, random: &mut SmallRng) -> Option<(Key, Hold<'_>)> {
        (0..8).find_map(|_| {
            let key = self.model().some_key(random);
            let is_pair = self.model().keyspace(key.group) == 1;
            let hold = (!is_pair).then(|| self.model().hold(key.group)).flatten();
            hold.map(|hold| (key, hold))
        })
    }

    async fn get(&self, random: &mut SmallRng, intended: Instant) -> Outcome {
        let key = self.model().some_key(random);
        let floor = self.model().floor(key);
        let get = self.store().get(self.keyspace(key.group), key.bytes());
        if let Ended::Ok(found) = self.call(get).await? {
            self.soak.latencies.get(intended.elapsed());
            self.model().check(key, floor, found.as_deref())?;
        }
        Ok(())
    }

    async fn get_many(&self, random: &mut SmallRng) -> Outcome {
        let group = match random.random_bool(0.5) {
            true => self.model().some_pair(random),
            false => self.model().some_key(random).group,
        };
        let keys: Vec<_> =
            self.model().keys_of(group).map(|key| (key, self.model().floor(key))).collect();
        let many = keys.iter().map(|(key, _)| key.bytes());
        let many = self.store().get_many(self.keyspace(group), many);
        let Ended::Ok(found) = self.call(many).await? else { return Ok(()) };
        let mut versions = Vec::with_capacity(keys.len());
        for ((key, floor), found) in keys.into_iter().zip(&found) {
            versions.push(self.model().check(key, floor, found.as_deref())?);
        }
        match (self.model().keyspace(group), versions[..].windows(2).all(|v| v[0] == v[1])) {
            (1, false) => Err(format!("pair {group} was seen half written: {versions:?}")),
            _ => Ok(()),
        }
    }

    async fn put(&self, random: &mut SmallRng, intended: Instant) -> Outcome {
        let Some((key, _hold)) = self.own_key(random) else { return Ok(()) };
        let issued = self.model().issue(key, false, self.kind.name());
        let put = self.store().put(self.keyspace(key.group), key.bytes(), value(issued, false));
        if self.write(&[issued], put).await?.is_some() {
            self.soak.latencies.put(intended.elapsed());
        }
        Ok(())
    }

    async fn delete(&self, random: &mut SmallRng) -> Outcome {
        let Some((key, _hold)) = self.own_key(random) else { return Ok(()) };
        let issued = self.model().issue(key, true, self.kind.name());
        let delete = self.store().delete(self.keyspace(key.group), key.bytes());
        self.write(&[issued], delete).await.map(drop)
    }

    async fn update(&self, random: &mut SmallRng) -> Outcome {
        let Some((key, _hold)) = self.own_key(random) else { return Ok(()) };
        let floor = self.model().floor(key);
        let issued = self.model().issue(key, false, self.kind.name());
        let keyspace = self.keyspace(key.group).clone();
        let update = self.store().update(move |tx: &mut Transaction| {
            let before = tx.get(&keyspace, &key.bytes())?;
            tx.put(&keyspace, key.bytes(), value(issued, false))?;
            Ok::<_, Error>(before)
        });
        if let Some(before) = self.write(&[issued], update).await? {
            self.model().check(key, floor, before.as_deref())?;
        }
        Ok(())
    }

    /// A few keys of up to three groups, now and then with the rest of the group deleted first.
    async fn batch(&self, random: &mut SmallRng) -> Outcome {
        let mut held = Vec::new();
        let (mut issued, mut batch) = (Vec::new(), WriteBatch::new());
        for _ in 0..random.random_range(1..=3u8) {
            let Some((key, hold)) = self.own_key(random) else { continue };
            held.push(hold);
            let keyspace = self.keyspace(key.group);
            if random.random_range(0..20u8) == 0 {
                issued.extend(self.remove_all(key.group));
                batch.delete_range(keyspace, Model::range(key.group, key.group + 1));
            }
            for key in self.model().keys_of(key.group).take(random.random_range(1..=6)) {
                let removes = random.random_range(0..6u8) == 0;
                let version = self.model().issue(key, removes, self.kind.name());
                issued.push(version);
                match removes {
                    true => batch.delete(keyspace, key.bytes()),
                    false => batch.put(keyspace, key.bytes(), value(version, false)),
                };
            }
        }
        self.write(&issued, self.store().write(batch)).await.map(drop)
    }

    /// Both keys of a pair, at once.
    async fn pair(&self, random: &mut SmallRng) -> Outcome {
        let group = self.model().some_pair(random);
        let Some(_hold) = self.model().hold(group) else { return Ok(()) };
        let removes = random.random_range(0..6u8) == 0;
        let (mut issued, mut batch) = (Vec::new(), WriteBatch::new());
        for key in self.model().keys_of(group) {
            let version = self.model().issue(key, removes, self.kind.name());
            issued.push(version);
            match removes {
                true => batch.delete(self.keyspace(group), key.bytes()),
                false => batch.put(self.keyspace(group), key.bytes(), value(version, false)),
            };
        }
        self.write(&issued, self.store().write(batch)).await.map(drop)
    }

    fn remove_all(&self, group: u32) -> Vec<Issued> {
        self.model()
            .keys_of(group)
            .map(|key| self.model().issue(key, true, self.kind.name()))
            .collect()
    }

    async fn delete_range(&self, random: &mut SmallRng) -> Outcome {
        let Some((key, _hold)) = self.own_key(random) else { return Ok(()) };
        let issued = self.remove_all(key.group);
        let range = Model::range(key.group, key.group + 1);
        let delete = self.store().delete_range(self.keyspace(key.group), range);
        self.write(&issued, delete).await.map(drop)
    }

    async fn drop_keyspace(&self, random: &mut SmallRng) -> Outcome {
        let group = self.model().groups_of(random.random_range(2..6)).start;
        let Some(_hold) = self.model().hold(group) else { return Ok(()) };
        let issued = self.remove_all(group);
        self.write(&issued, self.store().drop_keyspace(self.keyspace(group))).await.map(drop)
    }

    /// Writes that are rolled back, by an error or by a panic.
    async fn undone(&self, random: &mut SmallRng) -> Outcome {
        let Some((key, _hold)) = self.own_key(random) else { return Ok(()) };
        let issued = self.model().issue(key, false, self.kind.name());
        let (keyspace, panics) = (self.keyspace(key.group).clone(), random.random_bool(0.5));
        let range = Model::range(key.group, key.group + 1);
        let update = self.store().update(move |tx: &mut Transaction| {
            tx.put(&keyspace, key.bytes(), value(issued, true))?;
            tx.delete_range(&keyspace, range)?;
            tx.put(&keyspace, key.bytes(), value(issued, true))?;
            assert!(!panics, "{ON_PURPOSE}");
            Err::<(), _>(Error::Unsupported(ON_PURPOSE.into()))
        });
        let outcome = self.call(update).await;
        self.model().forget(issued);
        match outcome {
            Ok(Ended::Ok(())) => Err("what failed was acknowledged".into()),
            Err(why) if !why.ends_with(ON_PURPOSE) => Err(why),
            _ => Ok(()),
        }
    }

    /// Some groups, each key and each gap between them.
    async fn scan(&self, random: &mut SmallRng) -> Outcome {
        let first = random.random_range(0..self.model().plain_groups());
        let behind = (first + random.random_range(1..=20)).min(self.model().plain_groups());
        let mut floors = self.model().floors(first..behind);
        let options = ScanOptions { reverse: random.random_bool(0.3), ..ScanOptions::default() };
        let scan = self.store().scan(self.keyspace(first), Model::range(first, behind), options);
        let Ended::Ok(entries) = self.call(scan.try_collect::<Vec<(Bytes, Bytes)>>()).await? else {
            return Ok(());
        };
        entries.iter().try_for_each(|(key, value)| floors.found(self.model(), key, value))?;
        floors.ended(self.model())
    }

    /// A scan that is left standing for a while, and then goes on or is dropped.
    async fn held_scan(&self, random: &mut SmallRng) -> Outcome {
        let mut floors = self.model().floors(0..self.model().plain_groups().min(200));
        let range = Model::range(0, self.model().plain_groups().min(200));
        let mut scan = self.store().scan(self.keyspace(0), range, ScanOptions::default());
        let hold_at = random.random_range(0..600);
        let mut read = 0;
        loop {
            match self.call(scan.try_next()).await? {
                Ended::Ok(Some((key, value))) => floors.found(self.model(), &key, &value)?,
                Ended::Ok(None) => return floors.ended(self.model()),
                Ended::NeverRan | Ended::Dropped => return Ok(()),
            }
            read += 1;
            if read == hold_at {
                tokio::time::sleep(some_time(random)).await;
                if random.random_bool(0.3) {
                    return Ok(());
                }
            }
        }
    }

    /// A snapshot in which keys are read, and read again after a while: they must be as they were.
    async fn held_snapshot(&self, random: &mut SmallRng) -> Outcome {
        let keys: Vec<_> = (0..8)
            .map(|_| self.model().some_key(random))
            .map(|key| (key, self.model().floor(key)))
            .collect();
        let Ended::Ok(snapshot) = self.call(self.store().snapshot()).await? else { return Ok(()) };
        let mut first = vec![None; keys.len()];
        for round in 0..random.random_range(2..5u8) {
            for ((key, floor), first) in keys.iter().zip(&mut first) {
                let get = snapshot.get(self.keyspace(key.group), key.bytes());
                let Ended::Ok(found) = self.call(get).await? else { continue };
                self.model().check(*key, *floor, found.as_deref())?;
                let first = first.get_or_insert_with(|| found.clone());
                if *first != found {
                    return Err(format!("{key:?} changed in a snapshot, in round {round}"));
                }
            }
            tokio::time::sleep(some_time(random)).await;
        }
        Ok(())
    }
}

/// What a panic on purpose says, so that it can be told from others.
pub const ON_PURPOSE: &str = "on purpose";

/// Most are held for less than a second, some for ten.
fn some_time(random: &mut SmallRng) -> Duration {
    Duration::from_secs_f64(10.0 * random.random::<f64>().powi(4))
}

impl Soak {
    /// The store of now as one call sees it: some have a deadline, or will not wait for room, or ask
    /// for the background lane.
    fn open_with(&self, random: &mut SmallRng) -> (Store, std::sync::Arc<[Keyspace]>) {
        let (mut store, keyspaces) = self.open();
        if random.random_range(0..10u8) == 0 {
            store = store.with_deadline(Duration::from_micros(random.random_range(0..20_000)));
        }
        if random.random_range(0..20u8) == 0 {
            store = store.with_on_full(OnFull::Fail);
        }
        if random.random_range(0..20u8) == 0 {
            store = store.with_lane(ReadLane::Background);
        }
        (store, keyspaces)
    }
}
