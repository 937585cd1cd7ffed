//! More writers than there is room for: what is accepted stays within the queue's bounds, the others
//! wait or are refused, and afterwards there is as much room as before.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use bytes::Bytes;
use common::wrap::{Control, wrapped};
use common::{Setup, for_each};
use futures::future::join_all;
use futures::poll;
use pontoon_storage::{EngineKind, Error, Keyspace, OnFull, Options, Result, Store};

const WRITERS: u32 = 10_000;
const VALUE_BYTES: usize = 1 << 20;

/// The default of `queue_bytes_max`.
const QUEUE_BYTES_MAX: usize = 64 << 20;

/// The bytes after which a drain commits what it has.
const DRAIN_BYTES_MAX: usize = 16 << 20;

/// As many of the writers as fit: each takes a little more than its value.
const ACCEPTED: u32 = (QUEUE_BYTES_MAX / VALUE_BYTES) as u32 - 1;

/// Both modes on every runtime, with every apply held at the gate.
fn with_disk_stuck<F, Fut>(test: F)
where
    F: Fn(Store, Keyspace, Arc<Control>) -> Fut,
    Fut: Future<Output = ()>,
{
    with_disk_stuck_and(|options| options, test);
}

fn with_disk_stuck_and<F, Fut>(change: fn(Options) -> Options, test: F)
where
    F: Fn(Store, Keyspace, Arc<Control>) -> Fut,
    Fut: Future<Output = ()>,
{
    let memory = Setup::all()
        .into_iter()
        .filter(|setup| setup.engine == EngineKind::Memory && !setup.tight && !setup.cached);
    for_each(memory.collect(), |_, options| {
        let control = Arc::new(Control::default());
        let options = change(wrapped(options, EngineKind::Memory, &control));
        let test = &test;
        async move {
            let store = Store::open(options).await.unwrap();
            let keyspace = store.keyspace("a").unwrap();
            control.apply_gate.shut();
            test(store.clone(), keyspace.clone(), control).await;
            store.close().await.unwrap();
        }
    });
}

/// One value for all, so that the test takes little memory itself.
fn value() -> Bytes {
    Bytes::from(vec![b'v'; VALUE_BYTES])
}

type Put<'s> = Pin<Box<dyn Future<Output = Result<()>> + 's>>;

/// Begins all the puts; those that have not ended at once.
async fn begin_all<'s>(
    store: &'s Store,
    keyspace: &'s Keyspace,
    value: &Bytes,
) -> (Vec<Put<'s>>, Vec<Result<()>>) {
    let (mut begun, mut ended) = (Vec::new(), Vec::new());
    for n in 0..WRITERS {
        let mut put: Put<'s> = Box::pin(store.put(keyspace, n.to_be_bytes(), value.clone()));
        match poll!(put.as_mut()) {
            std::task::Poll::Pending => begun.push(put),
            std::task::Poll::Ready(result) => ended.push(result),
        }
    }
    (begun, ended)
}

/// How many of the values are there.
async fn count(store: &Store, keyspace: &Keyspace) -> usize {
    let keys: Vec<_> = (0..WRITERS).map(u32::to_be_bytes).collect();
    let values = store.get_many(keyspace, keys).await.unwrap();
    values.into_iter().flatten().inspect(|value| assert_eq!(value.len(), VALUE_BYTES)).count()
}

#[test]
fn ten_thousand_writers_wait_and_only_what_the_queue_holds_is_accepted() {
    with_disk_stuck(|store, keyspace, control| async move {
        let value = value();
        let (puts, ended) = begin_all(&store, &keyspace, &value).await;
        assert!(ended.is_empty(), "{ended:?}");
        control.apply_gate.wait_for_held(1);
        let stats = store.stats().await.unwrap().write;
        assert_eq!(stats.waited, u64::from(WRITERS - ACCEPTED));
        assert!(stats.queued < u64::from(ACCEPTED), "{} are queued", stats.queued);

        control.apply_gate.open();
        join_all(puts).await.into_iter().for_each(Result::unwrap);
        assert_eq!(count(&store, &keyspace).await, WRITERS as usize);
        // One more than the limit, which it may pass with its last value.
        let drain_max = DRAIN_BYTES_MAX / VALUE_BYTES + 1;
        let applies = control.applies.load(SeqCst);
        assert!(applies >= WRITERS as usize / drain_max, "{applies} batches for all");
    });
}

#[test]
fn ten_thousand_writers_that_do_not_wait_are_refused_beyond_what_the_queue_holds() {
    with_disk_stuck(|store, keyspace, control| async move {
        let (value, refusing) = (value(), store.with_on_full(OnFull::Fail));
        // The second time shows that all room was given back.
        for round in 1..=2 {
            control.apply_gate.shut();
            let (puts, refused) = begin_all(&refusing, &keyspace, &value).await;
            assert_eq!((round, puts.len()), (round, ACCEPTED as usize));
            for refused in &refused {
                let is_overloaded =
                    matches!(refused, Err(Error::Overloaded { what: "write queue" }));
                assert!(is_overloaded, "{refused:?}");
            }
            control.apply_gate.open();
            join_all(puts).await.into_iter().for_each(Result::unwrap);
            assert_eq!(count(&store, &keyspace).await, ACCEPTED as usize);
        }
        let stats = store.stats().await.unwrap().write;
        assert_eq!(stats.refused, 2 * u64::from(WRITERS - ACCEPTED));
        refusing.put(&keyspace, "after", "v").await.unwrap();
    });
}

#[test]
fn writers_that_give_up_leave_their_room_to_the_others() {
    with_disk_stuck(|store, keyspace, control| async move {
        let value = value();
        let (puts, _) = begin_all(&store, &keyspace, &value).await;
        control.apply_gate.wait_for_held(1);
        // The first may be under way; of the rest every other one, be it accepted or waiting for room.
        let (mut kept, mut dropped) = (Vec::new(), 0);
        for (n, put) in puts.into_iter().enumerate() {
            match n {
                0 => kept.push(put),
                n if n % 2 == 0 => kept.push(put),
                _ => dropped += 1,
            }
        }
        control.apply_gate.open();
        join_all(kept).await.into_iter().for_each(Result::unwrap);
        let there = count(&store, &keyspace).await;
        // Up to one drain's had been begun when they were dropped.
        let begun_max = DRAIN_BYTES_MAX / VALUE_BYTES + 1;
        let kept = WRITERS as usize - dropped;
        assert!((kept..=kept + begun_max).contains(&there), "{there} of {kept} and {begun_max}");

        control.apply_gate.shut();
        let refusing = store.with_on_full(OnFull::Fail);
        let (puts, _) = begin_all(&refusing, &keyspace, &value).await;
        assert_eq!(puts.len(), ACCEPTED as usize, "room has been lost");
        control.apply_gate.open();
        join_all(puts).await.into_iter().for_each(Result::unwrap);
    });
}

#[test]
fn deadlines_end_writers_that_wait_for_room_and_those_in_the_queue() {
    with_disk_stuck(|store, keyspace, control| async move {
        let value = value();
        let running = store.put(&keyspace, "running", "v");
        let mut running = Box::pin(running);
        assert!(poll!(running.as_mut()).is_pending());
        control.apply_gate.wait_for_held(1);
        let hasty = store.with_deadline(Duration::from_millis(100));
        let (puts, ended) = begin_all(&hasty, &keyspace, &value).await;
        // With the disk still stuck.
        for late in join_all(puts).await.into_iter().chain(ended) {
            assert!(matches!(late, Err(Error::Deadline)), "{late:?}");
        }
        control.apply_gate.open();
        running.await.unwrap();
        assert_eq!(count(&store, &keyspace).await, 0, "what was late ran");
        let (puts, _) = begin_all(&store, &keyspace, &value).await;
        join_all(puts).await.into_iter().for_each(Result::unwrap);
    });
}

#[test]
fn a_queue_of_one_operation_serves_ten_thousand() {
    with_disk_stuck_and(
        |options| options.queue_len_max(1),
        |store, keyspace, control| async move {
            let (puts, _) = begin_all(&store, &keyspace, &value()).await;
            assert_eq!(store.stats().await.unwrap().write.waited, u64::from(WRITERS) - 1);
            control.apply_gate.open();
            join_all(puts).await.into_iter().for_each(Result::unwrap);
            assert_eq!(count(&store, &keyspace).await, WRITERS as usize);
        },
    );
}
