//! A disk that stalls: what must go on beside a commit or a read that does not come back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use common::wrap::{Control, wrapped};
use common::{Setup, for_each};
use futures::future::join_all;
use futures::{TryStreamExt, poll};
use pontoon_storage::{
    Bridge, Error, Keyspace, OnFull, Options, ReadLane, Result, ScanOptions, Store,
};

/// Every engine in both modes on every runtime, with and without a record cache, with `threads`
/// threads for reads that no other store uses.
fn with_threads<F, Fut>(threads: usize, test: F)
where
    F: Fn(Store, Keyspace, Arc<Control>) -> Fut,
    Fut: Future<Output = ()>,
{
    let setups = Setup::all().into_iter().filter(|setup| !setup.tight);
    for_each(setups.collect(), |setup, options| {
        let control = Arc::new(Control::default());
        let options = with_read_threads(&setup, options, threads);
        let options = wrapped(options, setup.engine, &control);
        let test = &test;
        async move {
            let store = Store::open(options).await.unwrap();
            let keyspace = store.keyspace("a").unwrap();
            test(store.clone(), keyspace.clone(), control).await;
            store.close().await.unwrap();
        }
    });
}

fn with_read_threads(setup: &Setup, options: Options, threads: usize) -> Options {
    match setup.bridge {
        Bridge::Pool => options.pool_threads(threads),
        _ => options.read_threads_max(threads),
    }
}

/// Polls `future` once, so that its operation is queued; it must not be ready.
async fn begin<T: std::fmt::Debug, F: Future<Output = T>>(future: F) -> Pin<Box<F>> {
    let mut future = Box::pin(future);
    let polled = poll!(future.as_mut());
    assert!(polled.is_pending(), "{polled:?}");
    future
}

#[test]
fn a_stalled_commit_holds_up_no_read() {
    with_threads(2, |store, keyspace, control| async move {
        for n in 0..100u8 {
            store.put(&keyspace, [n], "before").await.unwrap();
        }
        let held = store.snapshot().await.unwrap();
        control.apply_gate.shut();
        let running = begin(store.put(&keyspace, [0], "after")).await;
        control.apply_gate.wait_for_held(1);
        let queued = begin(store.put(&keyspace, [1], "after")).await;

        let keys = (0..100).map(|n| [n]);
        let values = store.get_many(&keyspace, keys).await.unwrap();
        assert!(values.iter().all(|value| value.as_deref() == Some(b"before")), "{values:?}");
        for n in 0..100 {
            let value = store.get(&keyspace, [n]).await.unwrap();
            assert_eq!(value.as_deref(), Some(&b"before"[..]));
        }
        let scanned: Vec<_> =
            store.scan(&keyspace, .., ScanOptions::default()).try_collect().await.unwrap();
        assert_eq!(scanned.len(), 100);
        assert!(held.get(&keyspace, [0]).await.unwrap().is_some());
        drop(store.snapshot().await.unwrap());
        assert_eq!(store.stats().await.unwrap().write.queued, 1);

        control.apply_gate.open();
        running.await.unwrap();
        queued.await.unwrap();
        let value = store.get(&keyspace, [1]).await.unwrap();
        assert_eq!(value.as_deref(), Some(&b"after"[..]));
    });
}

#[test]
fn stalled_reads_on_every_thread_hold_up_no_write() {
    with_threads(2, |store, keyspace, control| async move {
        *control.held_get.lock().unwrap() = Some("slow".into());
        control.get_gate.shut();
        // One after the other, so that no drain takes both.
        let first = begin(store.get(&keyspace, "slow")).await;
        control.get_gate.wait_for_held(1);
        let second = begin(store.get(&keyspace, "slow")).await;
        control.get_gate.wait_for_held(2);
        for n in 0..100u8 {
            store.put(&keyspace, [n], "v").await.unwrap();
        }
        store.sync().await.unwrap();
        control.get_gate.open();
        first.await.unwrap();
        second.await.unwrap();
    });
}

#[test]
fn deadlines_fire_while_every_thread_is_stuck() {
    with_threads(2, |store, keyspace, control| async move {
        let dir = tempfile::tempdir().unwrap();
        *control.held_get.lock().unwrap() = Some("slow".into());
        control.get_gate.shut();
        control.apply_gate.shut();
        control.checkpoint_gate.shut();
        let first = begin(store.get(&keyspace, "slow")).await;
        control.get_gate.wait_for_held(1);
        let second = begin(store.get(&keyspace, "slow")).await;
        control.get_gate.wait_for_held(2);
        let put = begin(store.put(&keyspace, "running", "v")).await;
        control.apply_gate.wait_for_held(1);
        let copy = begin(store.checkpoint(dir.path().join("copy"))).await;
        control.checkpoint_gate.wait_for_held(1);

        let hasty = store.with_deadline(Duration::from_millis(20));
        let within = keyspace.clone();
        let (gets, puts, update, background, snapshot) = futures::join!(
            join_all((0..500u16).map(|n| hasty.get(&keyspace, n.to_be_bytes()))),
            join_all((0..500u16).map(|n| hasty.put(&keyspace, n.to_be_bytes(), "late"))),
            hasty.update(move |tx| tx.put(&within, "late", "late")),
            async { hasty.with_lane(ReadLane::Background).get(&keyspace, "k").await },
            hasty.snapshot(),
        );
        assert!(gets.iter().all(|get| matches!(get, Err(Error::Deadline))), "{gets:?}");
        assert!(puts.iter().all(|put| matches!(put, Err(Error::Deadline))), "{puts:?}");
        assert!(matches!(update, Err(Error::Deadline)), "{update:?}");
        assert!(matches!(background, Err(Error::Deadline)), "{background:?}");
        assert!(matches!(snapshot, Err(Error::Deadline)), "{:?}", snapshot.err());

        control.get_gate.open();
        control.apply_gate.open();
        control.checkpoint_gate.open();
        first.await.unwrap();
        second.await.unwrap();
        put.await.unwrap();
        let _ = copy.await;
        assert!(store.contains(&keyspace, "running").await.unwrap());
        assert!(!store.contains(&keyspace, "late").await.unwrap(), "what was late ran");
        let late = store.get_many(&keyspace, (0..500u16).map(u16::to_be_bytes)).await.unwrap();
        assert_eq!(late.iter().flatten().count(), 0, "what was late ran");
    });
}

#[test]
fn a_stalled_background_read_holds_up_neither_gets_nor_scans_of_the_foreground() {
    with_threads(1, |store, keyspace, control| async move {
        store.put(&keyspace, "k", "v").await.unwrap();
        *control.held_get.lock().unwrap() = Some("slow".into());
        control.get_gate.shut();
        let background = store.with_lane(ReadLane::Background);
        let stuck = begin(background.get(&keyspace, "slow")).await;
        control.get_gate.wait_for_held(1);
        assert!(store.contains(&keyspace, "k").await.unwrap());
        let scan = store.with_lane(ReadLane::Foreground).scan(&keyspace, .., <_>::default());
        assert_eq!(scan.try_collect::<Vec<_>>().await.unwrap().len(), 1);
        control.get_gate.open();
        stuck.await.unwrap();
    });
}

#[test]
fn a_full_read_queue_behind_stalled_reads_recovers() {
    with_threads(1, |store, keyspace, control| async move {
        store.put(&keyspace, "k", "v").await.unwrap();
        *control.held_get.lock().unwrap() = Some("slow".into());
        control.get_gate.shut();
        let stuck = begin(store.get(&keyspace, "slow")).await;
        control.get_gate.wait_for_held(1);
        // Keys that no cache knows: one more than the queue has room for beside the one that is stuck.
        let refusing = store.with_on_full(OnFull::Fail);
        let (mut queued, mut refused) = (Vec::new(), 0);
        for n in 0..16_384u32 {
            let mut get = Box::pin(refusing.get(&keyspace, n.to_be_bytes()));
            match poll!(get.as_mut()) {
                std::task::Poll::Pending => queued.push(get),
                std::task::Poll::Ready(Err(Error::Overloaded { what: "read queue" })) => {
                    refused += 1;
                }
                std::task::Poll::Ready(other) => panic!("{other:?}"),
            }
        }
        assert_eq!((queued.len(), refused), (16_383, 1));
        let (gone, kept): (Vec<_>, Vec<_>) =
            queued.into_iter().enumerate().partition(|(n, _)| n % 2 == 0);
        drop(gone);
        control.get_gate.open();
        stuck.await.unwrap();
        let kept: Vec<Result<_>> = join_all(kept.into_iter().map(|(_, get)| get)).await;
        assert!(kept.iter().all(|get| matches!(get, Ok(None))));
        assert!(refusing.contains(&keyspace, "k").await.unwrap());
        assert_eq!(store.stats().await.unwrap().read.refused, 1);
    });
}

#[test]
fn a_stalled_read_holds_up_no_other_that_its_drain_has_taken() {
    const THREADS: usize = 4;
    const GETS: u8 = 64;
    for held in [0, 1, GETS / 2, GETS - 1] {
        with_threads(THREADS, |store, keyspace, control| async move {
            *control.held_get.lock().unwrap() = Some(vec![held].into());
            control.get_gate.shut();
            // Occupies every thread, so that the gets are queued together and each drain takes many.
            let (entered, entries) = mpsc::sync_channel(THREADS);
            let (closures, leave): (Vec<_>, Vec<_>) = (0..THREADS)
                .map(|_| {
                    let (leave, left) = mpsc::sync_channel::<()>(1);
                    let entered = entered.clone();
                    let closure = store.view(move |_| {
                        entered.send(()).unwrap();
                        left.recv().unwrap();
                        Ok::<_, Error>(())
                    });
                    (closure, leave)
                })
                .unzip();
            let mut occupied = Vec::new();
            for closure in closures {
                occupied.push(begin(closure).await);
                entries.recv().unwrap();
            }
            let mut gets = Vec::new();
            for key in 0..GETS {
                gets.push(begin(store.get(&keyspace, [key])).await);
            }
            leave.iter().for_each(|leave| leave.send(()).unwrap());
            let stuck = gets.remove(usize::from(held));
            control.get_gate.wait_for_held(1);
            for get in join_all(gets).await {
                assert_eq!(get.unwrap(), None);
            }
            let mut stuck = stuck;
            assert!(poll!(stuck.as_mut()).is_pending());
            control.get_gate.open();
            assert_eq!(stuck.await.unwrap(), None);
            for closure in occupied {
                closure.await.unwrap();
            }
        });
    }
}
