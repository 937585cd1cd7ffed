//! The guarantees of `docs/guarantees.md`, a test for each, in both bridge modes and on every kind of
//! runtime, over an engine that can be held up and made to fail.
//!
//! Long because the page's table is one list, and a reader wants it and its tests side by side.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use common::wrap::{Control, wrapped};
use common::{Setup, for_each};
use futures::future::join_all;
use futures::{StreamExt, TryStreamExt, poll};
use pontoon_storage::{
    Bridge, Durability, EngineKind, Error, Keyspace, OnFull, Options, PageLimit, Result,
    ScanOptions, Store, WriteBatch,
};

/// Both modes on every runtime, over the memory engine under control.
fn with_control<F, Fut>(test: F)
where
    F: Fn(Options, Arc<Control>) -> Fut,
    Fut: Future<Output = ()>,
{
    with_setups(|_, options| options, test);
}

/// The same, with `threads` threads for reads that no other store uses.
fn with_read_threads<F, Fut>(threads: usize, test: F)
where
    F: Fn(Options, Arc<Control>) -> Fut,
    Fut: Future<Output = ()>,
{
    let set_threads = |setup: &Setup, options: Options| match setup.bridge {
        Bridge::Pool => options.pool_threads(threads),
        _ => options.read_threads_max(threads),
    };
    with_setups(set_threads, test);
}

fn with_setups<F, Fut>(change: impl Fn(&Setup, Options) -> Options, test: F)
where
    F: Fn(Options, Arc<Control>) -> Fut,
    Fut: Future<Output = ()>,
{
    let memory = Setup::all()
        .into_iter()
        .filter(|s| s.engine == EngineKind::Memory && !s.tight && !s.cached);
    for_each(memory.collect(), |setup, options| {
        let control = Arc::new(Control::default());
        let options = change(&setup, options);
        test(wrapped(options, EngineKind::Memory, &control), control)
    });
}

/// Polls `future` once, so that its operation is queued; it must not be ready.
async fn begin<T: std::fmt::Debug, F: Future<Output = T>>(future: F) -> Pin<Box<F>> {
    let mut future = Box::pin(future);
    let polled = poll!(future.as_mut());
    assert!(polled.is_pending(), "{polled:?}");
    future
}

/// Puts `key`, and holds the drain that applies it at the gate: what is queued from now on waits for
/// the next drain, together.
async fn hold_write_lane<'s>(
    store: &'s Store,
    keyspace: &'s Keyspace,
    key: &'static str,
    control: &Control,
) -> Pin<Box<impl Future<Output = Result<()>> + use<'s>>> {
    control.apply_gate.shut();
    let held = begin(store.put(keyspace, key, "v")).await;
    control.apply_gate.wait_for_held(1);
    held
}

#[test]
fn nothing_happens_before_the_first_poll() {
    with_control(|options, _| async move {
        let store = Store::open(options).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        drop(store.put(&ks, "k", "v"));
        assert_eq!(store.get(&ks, "k").await.unwrap(), None);
        assert_eq!(store.stats().await.unwrap().write.operations, 0);
        store.close().await.unwrap();
    });
}

#[test]
fn an_operation_whose_future_is_dropped_before_it_starts_never_runs() {
    with_control(|options, control| async move {
        let store = Store::open(options).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        let running = hold_write_lane(&store, &ks, "running", &control).await;
        let dropped = begin(store.put(&ks, "dropped", "v")).await;
        let kept = begin(store.put(&ks, "kept", "v")).await;
        drop(dropped);
        control.apply_gate.open();
        running.await.unwrap();
        kept.await.unwrap();
        assert!(!store.contains(&ks, "dropped").await.unwrap());
        assert!(store.contains(&ks, "kept").await.unwrap());
        assert_eq!(store.stats().await.unwrap().write.cancelled, 1);
        store.close().await.unwrap();
    });
}

#[test]
fn an_operation_whose_future_is_dropped_while_it_runs_finishes() {
    with_control(|options, control| async move {
        let store = Store::open(options).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        let running = hold_write_lane(&store, &ks, "k", &control).await;
        drop(running);
        control.apply_gate.open();
        store.put(&ks, "after", "v").await.unwrap();
        assert!(store.contains(&ks, "k").await.unwrap());
        store.close().await.unwrap();
    });
}

#[test]
fn a_deadline_ends_what_has_not_started_and_never_what_has() {
    with_control(|options, control| async move {
        let store = Store::open(options).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        let hasty = store.with_deadline(Duration::from_secs(3));
        control.apply_gate.shut();
        let started = begin(hasty.put(&ks, "started", "v")).await;
        control.apply_gate.wait_for_held(1);
        // Its deadline comes after that of `started`, which must outlive its own.
        let late = hasty.put(&ks, "late", "v").await;
        assert!(matches!(late, Err(Error::Deadline)), "{late:?}");
        assert!(late.unwrap_err().is_retryable());
        control.apply_gate.open();
        started.await.unwrap();
        store.put(&ks, "after", "v").await.unwrap();
        assert!(store.contains(&ks, "started").await.unwrap());
        assert!(!store.contains(&ks, "late").await.unwrap());
        let at_once = store.with_deadline(Duration::ZERO).get(&ks, "started").await;
        assert!(matches!(at_once, Err(Error::Deadline)), "{at_once:?}");
        store.close().await.unwrap();
    });
}

#[test]
fn a_full_queue_makes_callers_wait_or_refuses_them() {
    with_control(|options, control| async move {
        let store = Store::open(options.queue_len_max(2)).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        let first = hold_write_lane(&store, &ks, "1", &control).await;
        let second = begin(store.put(&ks, "2", "v")).await;
        let refused = store.with_on_full(OnFull::Fail).put(&ks, "3", "v").await;
        assert!(matches!(refused, Err(Error::Overloaded { what: "write queue" })), "{refused:?}");
        assert!(refused.unwrap_err().is_retryable());
        let waits = begin(store.put(&ks, "4", "v")).await;
        let hasty = store.with_deadline(Duration::from_millis(1)).put(&ks, "5", "v").await;
        assert!(matches!(hasty, Err(Error::Deadline)), "{hasty:?}");
        control.apply_gate.open();
        first.await.unwrap();
        second.await.unwrap();
        waits.await.unwrap();
        assert!(!store.contains(&ks, "3").await.unwrap());
        assert!(store.contains(&ks, "4").await.unwrap());
        assert!(!store.contains(&ks, "5").await.unwrap());
        let stats = store.stats().await.unwrap().write;
        assert_eq!((stats.refused, stats.waited), (1, 2));
        store.close().await.unwrap();
    });
}

#[test]
fn a_queue_is_bounded_in_bytes_too_and_lets_a_larger_one_go_alone() {
    with_control(|options, control| async move {
        let store = Store::open(options.queue_bytes_max(4_000)).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        control.apply_gate.shut();
        let first = begin(store.put(&ks, "1", vec![0; 3_000])).await;
        let refusing = store.with_on_full(OnFull::Fail);
        let refused = refusing.put(&ks, "2", vec![0; 3_000]).await;
        assert!(matches!(refused, Err(Error::Overloaded { .. })), "{refused:?}");
        control.apply_gate.open();
        first.await.unwrap();
        store.put(&ks, "larger than the queue", vec![0; 100_000]).await.unwrap();
        store.close().await.unwrap();
    });
}

#[test]
fn closures_over_a_snapshot_weigh_what_its_store_was_told() {
    with_read_threads(2, |options, _| async move {
        let store = Store::open(options.queue_bytes_max(4_000)).await.unwrap();
        let heavy = store.with_weight(3_000).with_on_full(OnFull::Fail);
        let snapshot = heavy.snapshot().await.unwrap();
        let (leave, left) = mpsc::sync_channel::<()>(1);
        let left = Arc::new(Mutex::new(left));
        // Refused until the snapshot's own call, answered already, has given its room back.
        let running = loop {
            let left = Arc::clone(&left);
            let mut running = Box::pin(snapshot.view(move |_| {
                left.lock().unwrap().recv().unwrap();
                Ok::<_, Error>(())
            }));
            if poll!(running.as_mut()).is_pending() {
                break running;
            }
        };
        let refused = snapshot.view(|_| Ok::<_, Error>(())).await;
        leave.send(()).unwrap();
        assert!(matches!(refused, Err(Error::Overloaded { .. })), "{refused:?}");
        running.await.unwrap();
        drop(snapshot);
        store.close().await.unwrap();
    });
}

#[test]
fn a_panic_fails_its_own_call_alone_and_undoes_its_writes() {
    with_control(|options, control| async move {
        let store = Store::open(options).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        let first = hold_write_lane(&store, &ks, "first", &control).await;
        // These three share one drain.
        let before = begin(store.put(&ks, "before", "v")).await;
        let within = ks.clone();
        let panics = begin(store.update(move |tx| -> Result<()> {
            tx.put(&within, "before", "overwritten")?;
            tx.put(&within, "half", "v")?;
            panic!("on purpose {}", 1)
        }))
        .await;
        let after = begin(store.put(&ks, "after", "v")).await;
        control.apply_gate.open();
        first.await.unwrap();
        before.await.unwrap();
        let panicked = panics.await;
        assert!(
            matches!(&panicked, Err(Error::Panicked(m)) if m == "on purpose 1"),
            "{panicked:?}"
        );
        after.await.unwrap();
        // One for the three, unless printing the panic took longer than a drain may.
        assert!((2..=3).contains(&control.applies.load(SeqCst)));
        assert_eq!(store.get(&ks, "before").await.unwrap().unwrap(), "v");
        assert!(!store.contains(&ks, "half").await.unwrap());
        let viewed = store.view(|_| -> Result<()> { panic!("in a view") }).await;
        assert!(matches!(&viewed, Err(Error::Panicked(m)) if m == "in a view"), "{viewed:?}");
        assert!(store.contains(&ks, "after").await.unwrap());
        store.close().await.unwrap();
    });
}

#[test]
fn a_call_from_inside_a_closure_of_the_same_store_is_refused() {
    with_control(|options, _| async move {
        let store = Store::open(options).await.unwrap();
        let other = Store::open(Options::in_memory()).await.unwrap();
        let (ks, others) = (store.keyspace("a").unwrap(), other.keyspace("a").unwrap());
        let inner = store.clone();
        let outer_keyspace = ks.clone();
        store
            .update(move |_| {
                let wait = futures::executor::block_on::<futures::future::BoxFuture<'_, _>>;
                let nested = [
                    wait(Box::pin(inner.put(&outer_keyspace, "k", "v"))),
                    wait(Box::pin(async { inner.get(&outer_keyspace, "k").await.map(drop) })),
                    wait(Box::pin(inner.view(|_| Ok(())))),
                    wait(Box::pin(inner.update(|_| Ok(())))),
                    wait(Box::pin(async { inner.snapshot().await.map(drop) })),
                    wait(Box::pin(inner.close())),
                ];
                for result in nested {
                    assert!(matches!(result, Err(Error::Nested)), "{result:?}");
                }
                wait(Box::pin(other.put(&others, "k", "v")))
            })
            .await
            .unwrap();
        let inner = store.clone();
        let keyspace = ks.clone();
        let nested = store
            .view(move |_| futures::executor::block_on(inner.get(&keyspace, "k")).map(drop))
            .await;
        assert!(matches!(nested, Err(Error::Nested)), "{nested:?}");
        store.put(&ks, "k", "v").await.unwrap();
        store.close().await.unwrap();
    });
}

#[test]
fn a_failed_commit_answers_its_whole_drain_and_refuses_writes_from_then_on() {
    with_control(|options, control| async move {
        for panics in [false, true] {
            let store = Store::open(options.clone()).await.unwrap();
            let ks = store.keyspace("a").unwrap();
            store.put(&ks, "before", "v").await.unwrap();
            let held = hold_write_lane(&store, &ks, "held", &control).await;
            let put = begin(store.put(&ks, "k", "v")).await;
            let read = begin(store.update(|_| Ok::<_, Error>("read"))).await;
            let error = begin(store.update(|_| Err::<(), _>(Error::Deadline))).await;
            let held = async {
                let failed = held.await;
                assert!(matches!(failed, Err(Error::Commit(_))), "{failed:?}");
                failed
            };
            let failing = if panics { &control.panic_in_apply } else { &control.fail_apply };
            failing.store(true, SeqCst);
            control.apply_gate.open();
            for failed in [held.await, read.await.map(drop), put.await, error.await] {
                let unknown = failed.as_ref().is_err_and(Error::outcome_unknown);
                let refused = matches!(failed, Err(Error::ReadOnly(_)));
                assert!(unknown || refused, "{failed:?}");
            }
            failing.store(false, SeqCst);
            let refused = store.put(&ks, "later", "v").await;
            assert!(matches!(refused, Err(Error::ReadOnly(_))), "{refused:?}");
            assert!(matches!(store.sync().await, Err(Error::ReadOnly(_))));
            assert!(matches!(store.drop_keyspace(&ks).await, Err(Error::ReadOnly(_))));
            assert_eq!(store.get(&ks, "before").await.unwrap().unwrap(), "v");
            assert!(store.stats().await.unwrap().read_only);
            assert!(matches!(store.close().await, Err(Error::Commit(_))));
        }
    });
}

#[test]
fn answers_of_one_drain_share_the_fate_of_its_commit() {
    with_control(|options, control| async move {
        let store = Store::open(options).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        let first = hold_write_lane(&store, &ks, "first", &control).await;
        let mut queued = Vec::new();
        for n in 0..20 {
            let ks = ks.clone();
            queued.push(
                begin(store.update(move |tx| {
                    tx.put(&ks, [n], "v")?;
                    // Reads and errors say nothing before the commit either.
                    if n % 3 == 0 { Err(Error::Deadline) } else { Ok(()) }
                }))
                .await,
            );
        }
        control.applies_before_failure.store(1, SeqCst);
        control.fail_apply.store(true, SeqCst);
        control.apply_gate.open();
        first.await.unwrap();
        for result in join_all(queued).await {
            assert!(result.as_ref().is_err_and(Error::outcome_unknown), "{result:?}");
        }
        assert!(matches!(store.close().await, Err(Error::Commit(_))));
    });
}

#[test]
fn writers_that_wait_together_share_one_fsync() {
    with_control(|options, control| async move {
        let store = Store::open(options).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        let first = hold_write_lane(&store, &ks, "first", &control).await;
        let mut queued = Vec::new();
        for n in 0..100 {
            queued.push(begin(store.put(&ks, [n], "v")).await);
        }
        control.apply_gate.open();
        first.await.unwrap();
        for result in join_all(queued).await {
            result.unwrap();
        }
        assert_eq!(control.applies.load(SeqCst), 2);
        assert_eq!(control.synced_applies.load(SeqCst), 2);
        store.close().await.unwrap();
    });
}

#[test]
fn one_operation_that_asks_for_more_raises_its_drain() {
    with_control(|options, control| async move {
        let store = Store::open(options.durability(Durability::Never)).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        store.put(&ks, "k", "v").await.unwrap();
        assert_eq!((control.applies.load(SeqCst), control.synced_applies.load(SeqCst)), (1, 0));
        store.with_durability(Durability::Always).put(&ks, "k", "v").await.unwrap();
        assert_eq!((control.applies.load(SeqCst), control.synced_applies.load(SeqCst)), (2, 1));
        let within = ks.clone();
        store
            .update(move |tx| {
                tx.require_sync();
                tx.put(&within, "k", "v")
            })
            .await
            .unwrap();
        assert_eq!(control.synced_applies.load(SeqCst), 2);
        store.sync().await.unwrap();
        assert_eq!(control.syncs.load(SeqCst), 0, "nothing was left to sync");
        store.put(&ks, "k", "v").await.unwrap();
        store.sync().await.unwrap();
        assert_eq!(control.syncs.load(SeqCst), 1);
        store.close().await.unwrap();
    });
}

#[test]
fn the_interval_syncs_by_itself_and_its_failure_refuses_writes() {
    with_control(|options, control| async move {
        let every = Durability::Every(Duration::from_millis(1));
        let store = Store::open(options.durability(every)).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        let (synced, syncs) = mpsc::sync_channel(1);
        *control.on_call.lock().unwrap() = Some(Box::new(move |what| {
            if what == "sync" {
                let _ = synced.try_send(());
            }
        }));
        store.put(&ks, "k", "v").await.unwrap();
        assert_eq!(control.synced_applies.load(SeqCst), 0);
        syncs.recv().unwrap();
        control.fail_sync.store(true, SeqCst);
        // Until the failure a write may pass; each one makes another fsync due.
        let refused = loop {
            if let Err(error) = store.put(&ks, "k", "v").await {
                break error;
            }
        };
        assert!(matches!(refused, Error::ReadOnly(_)), "{refused:?}");
        assert!(store.contains(&ks, "k").await.unwrap());
        assert!(matches!(store.close().await, Err(Error::Commit(_))));
    });
}

#[test]
fn the_default_durability_can_change_while_the_store_is_open() {
    with_control(|options, control| async move {
        let store = Store::open(options).await.unwrap();
        let other = store.clone();
        let ks = store.keyspace("a").unwrap();
        let counts =
            || [&control.applies, &control.synced_applies, &control.syncs].map(|n| n.load(SeqCst));
        // Answered behind whatever waits in the write lane.
        let all_done = async || store.update(|_| Ok::<_, Error>(())).await.unwrap();
        other.put(&ks, "k", "1").await.unwrap();
        assert_eq!(counts(), [1, 1, 0]);
        store.set_durability(Durability::Never).unwrap();
        all_done().await;
        other.put(&ks, "k", "2").await.unwrap();
        assert_eq!(counts(), [2, 1, 0]);
        store.set_durability(Durability::Always).unwrap();
        all_done().await;
        assert_eq!(counts(), [2, 1, 1], "what was acknowledged before is not synced by any write");
        other.put(&ks, "k", "3").await.unwrap();
        assert_eq!(counts(), [3, 2, 1]);

        let (synced, syncs) = mpsc::sync_channel(1);
        *control.on_call.lock().unwrap() = Some(Box::new(move |what| {
            if what == "sync" {
                let _ = synced.try_send(());
            }
        }));
        // The hour of the first is not waited for.
        store.set_durability(Durability::Every(Duration::from_secs(3600))).unwrap();
        store.set_durability(Durability::Every(Duration::from_millis(1))).unwrap();
        all_done().await;
        other.put(&ks, "k", "4").await.unwrap();
        syncs.recv().unwrap();
        assert_eq!(control.synced_applies.load(SeqCst), 2);

        let refused = store.set_durability(Durability::Every(Duration::ZERO));
        assert!(matches!(refused, Err(Error::InvalidArgument(_))), "{refused:?}");
        store.close().await.unwrap();
        assert!(matches!(other.set_durability(Durability::Always), Err(Error::Closed)));
    });
}

#[test]
fn close_finishes_what_was_accepted_and_refuses_the_rest() {
    with_control(|options, control| async move {
        let store = Store::open(options.durability(Durability::Never)).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        let running = hold_write_lane(&store, &ks, "running", &control).await;
        let queued = begin(store.put(&ks, "queued", "v")).await;
        let closing = begin(store.close()).await;
        assert!(matches!(store.put(&ks, "late", "v").await, Err(Error::Closed)));
        assert!(matches!(store.get(&ks, "late").await, Err(Error::Closed)));
        control.apply_gate.open();
        running.await.unwrap();
        queued.await.unwrap();
        closing.await.unwrap();
        store.close().await.unwrap();
        assert_eq!(control.applies.load(SeqCst), 2);
        assert_eq!(control.syncs.load(SeqCst), 1);
        assert!(control.dropped.load(SeqCst));
    });
}

#[test]
fn waiters_for_room_are_refused_at_close() {
    with_control(|options, control| async move {
        let store = Store::open(options.queue_len_max(1)).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        let running = hold_write_lane(&store, &ks, "running", &control).await;
        let waiting = begin(store.put(&ks, "waiting", "v")).await;
        let closing = begin(store.close()).await;
        assert!(matches!(waiting.await, Err(Error::Closed)));
        control.apply_gate.open();
        running.await.unwrap();
        closing.await.unwrap();
    });
}

#[test]
fn dropping_the_close_future_does_not_stop_it() {
    for_each(Setup::persistent(), |_, options| async move {
        let store = Store::open(options.clone()).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        store.put(&ks, "k", "v").await.unwrap();
        let mut closing = Box::pin(store.close());
        let _ = poll!(closing.as_mut());
        drop(closing);
        let again = Store::open(options).await.unwrap();
        assert!(again.contains(&again.keyspace("a").unwrap(), "k").await.unwrap());
        assert!(matches!(store.get(&ks, "k").await, Err(Error::Closed)));
        again.close().await.unwrap();
    });
}

#[test]
fn close_ends_held_snapshots_and_scans() {
    with_control(|options, control| async move {
        let store = Store::open(options).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        for key in ["a", "b", "c"] {
            store.put(&ks, key, "v").await.unwrap();
        }
        let snapshot = store.snapshot().await.unwrap();
        let page = PageLimit { entries: 1, bytes: usize::MAX };
        let mut scan = store.scan(&ks, .., ScanOptions { page, ..ScanOptions::default() });
        assert!(scan.try_next().await.unwrap().is_some());
        store.close().await.unwrap();
        assert_eq!(control.snapshots_alive.load(SeqCst), 0);
        assert!(control.dropped.load(SeqCst));
        assert!(matches!(snapshot.get(&ks, "a").await, Err(Error::Closed)));
        assert!(matches!(scan.next().await, Some(Err(Error::Closed))));
        assert!(scan.next().await.is_none());
    });
}

#[test]
fn a_dropped_snapshot_is_released_in_the_background() {
    with_control(|options, control| async move {
        let options = options.snapshots_max(1).read_threads_max(1);
        let store = Store::open(options).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        for key in ["a", "b"] {
            store.put(&ks, key, "v").await.unwrap();
        }
        for _ in 0..3 {
            let snapshot = store.snapshot().await.unwrap();
            let second = store.snapshot().await;
            assert!(matches!(second, Err(Error::Overloaded { .. })), "{second:?}");
            drop(snapshot);
            // Behind the release in the one read drain.
            store.get(&ks, "a").await.unwrap();
            let page = PageLimit { entries: 1, bytes: usize::MAX };
            let mut scan = store.scan(&ks, .., ScanOptions { page, ..ScanOptions::default() });
            assert!(scan.try_next().await.unwrap().is_some());
            assert_eq!(control.snapshots_alive.load(SeqCst), 1);
            assert_eq!(scan.count().await, 1);
            store.get(&ks, "a").await.unwrap();
        }
        assert_eq!(store.stats().await.unwrap().snapshots, 0);
        store.close().await.unwrap();
        assert_eq!(control.snapshots_alive.load(SeqCst), 0);
    });
}

#[test]
fn opening_waits_for_a_dropped_store_that_is_still_closing() {
    for_each(Setup::persistent(), |_, options| async move {
        let store = Store::open(options.clone()).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        let mut puts = Vec::new();
        for n in 0..50u8 {
            let mut put = Box::pin(store.put(&ks, [n], vec![n; 10_000]));
            let _ = poll!(put.as_mut());
            puts.push(put);
        }
        drop(puts);
        drop(store);
        let again = Store::open(options).await.unwrap();
        again.close().await.unwrap();
    });
}

#[test]
fn opening_waits_for_an_open_whose_future_was_dropped() {
    with_control(|options, control| async move {
        control.open_gate.shut();
        let first = begin(Store::open(options.clone())).await;
        control.open_gate.wait_for_held(1);
        drop(first);
        let mut again = begin(Store::open(options)).await;
        // What it takes to open and close a whole store is time enough for a refusal.
        let other = tempfile::tempdir().unwrap();
        let other = Options::new(other.path()).engine(EngineKind::Memory);
        let other = Store::open(other.bridge(pontoon_storage::Bridge::Pool)).await.unwrap();
        other.close().await.unwrap();
        let polled = poll!(again.as_mut());
        assert!(polled.is_pending(), "{polled:?}");
        control.open_gate.open();
        again.await.unwrap().close().await.unwrap();
    });
}

/// A call that nobody waits for any more keeps no store open.
#[test]
fn opening_waits_for_a_dropped_store_whose_snapshot_was_given_up() {
    with_read_threads(1, |options, control| async move {
        let store = Store::open(options.clone()).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        store.put(&ks, "k", "v").await.unwrap();
        *control.held_get.lock().unwrap() = Some("k".into());
        control.get_gate.shut();
        let stuck = begin(store.get(&ks, "k")).await;
        control.get_gate.wait_for_held(1);
        let snapshot = begin(store.snapshot()).await;
        let mut scan = store.scan(&ks, .., ScanOptions::default());
        assert!(poll!(scan.next()).is_pending());
        drop((stuck, snapshot, scan));
        drop(store);
        let mut again = begin(Store::open(options)).await;
        // What it takes to open and close a whole store is time enough for a refusal.
        let other = tempfile::tempdir().unwrap();
        let other = Options::new(other.path()).engine(EngineKind::Memory);
        let other = Store::open(other.bridge(pontoon_storage::Bridge::Pool)).await.unwrap();
        other.close().await.unwrap();
        let polled = poll!(again.as_mut());
        control.get_gate.open();
        assert!(polled.is_pending(), "{polled:?}");
        again.await.unwrap().close().await.unwrap();
    });
}

/// Two at once: one of them, and no more, has the directory; the other is told so by an answer.
#[test]
fn of_two_opens_at_once_one_is_refused() {
    for_each(Setup::persistent(), |_, options| async move {
        let (a, b) = futures::join!(Store::open(options.clone()), Store::open(options));
        let (store, refused) = if a.is_ok() { (a, b) } else { (b, a) };
        assert!(matches!(refused, Err(Error::Locked { .. })), "{refused:?}");
        store.unwrap().close().await.unwrap();
    });
}

#[test]
fn a_directory_is_open_once_and_the_error_names_it() {
    for_each(Setup::persistent(), |_, options| async move {
        let store = Store::open(options.clone()).await.unwrap();
        let second = Store::open(options.clone()).await;
        let Err(Error::Locked { dir }) = second else { panic!("{second:?}") };
        assert!(dir.ends_with("store"), "{dir:?}");
        store.close().await.unwrap();
        Store::open(options).await.unwrap().close().await.unwrap();
    });
}

#[test]
fn a_directory_open_in_another_process_is_refused() {
    use std::process::{Command, Stdio};
    const DIR: &str = "PONTOON_TEST_HOLD_DIR";
    if let Ok(dir) = std::env::var(DIR) {
        // The other process: holds the directory until its standard input ends.
        let store = futures::executor::block_on(Store::open(Options::new(dir))).unwrap();
        println!("\nheld");
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
        futures::executor::block_on(store.close()).unwrap();
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["a_directory_open_in_another_process_is_refused", "--exact", "--nocapture"])
        .env(DIR, &path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    lines.find(|line| line.as_ref().unwrap() == "held").unwrap().unwrap();
    let refused = futures::executor::block_on(Store::open(Options::new(&path)));
    let Err(error @ Error::Locked { .. }) = refused else { panic!("{refused:?}") };
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    let store = futures::executor::block_on(Store::open(Options::new(&path))).unwrap();
    futures::executor::block_on(store.close()).unwrap();
}

#[test]
fn a_directory_of_something_else_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (foreign, other) = (dir.path().join("foreign"), dir.path().join("other"));
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("letter.txt"), "dear").unwrap();
    let open = |dir: &std::path::Path, kind| {
        futures::executor::block_on(Store::open(Options::new(dir).engine(kind)))
    };
    let refused = open(&foreign, EngineKind::Memory);
    assert!(matches!(refused, Err(Error::InvalidArgument(_))), "{refused:?}");
    assert_eq!(std::fs::read_to_string(foreign.join("letter.txt")).unwrap(), "dear");
    assert_eq!(std::fs::read_dir(&foreign).unwrap().count(), 1, "a file was added");
    // Ours would be empty when there is no marker yet.
    let folder = dir.path().join("folder");
    std::fs::create_dir_all(folder.join("data")).unwrap();
    std::fs::write(folder.join("data/letter.txt"), "dear").unwrap();
    let refused = open(&folder, EngineKind::Memory);
    assert!(matches!(refused, Err(Error::InvalidArgument(_))), "{refused:?}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "a file was added");
    for &kind in EngineKind::AVAILABLE.iter().filter(|kind| kind.is_persistent()) {
        let other = other.with_file_name(kind.name());
        futures::executor::block_on(open(&other, kind).unwrap().close()).unwrap();
        let wrong = open(&other, EngineKind::Memory);
        let Err(Error::WrongEngine { found, asked, .. }) = wrong else { panic!("{wrong:?}") };
        assert_eq!((&*found, &*asked), (kind.name(), "memory"));
        let marker = std::fs::read_to_string(other.join("PONTOON")).unwrap();
        std::fs::write(other.join("PONTOON"), marker.replace("format ", "format 99")).unwrap();
        let newer = open(&other, kind);
        let Err(Error::WrongEngine { found, .. }) = newer else { panic!("{newer:?}") };
        assert!(found.contains("99"), "{found}");
    }
}

#[test]
fn a_stuck_read_holds_up_no_other_while_threads_are_left() {
    with_read_threads(2, |options, control| async move {
        let store = Store::open(options).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        store.put(&ks, "slow", "v").await.unwrap();
        *control.held_get.lock().unwrap() = Some("slow".into());
        control.get_gate.shut();
        let stuck = begin(store.get(&ks, "slow")).await;
        control.get_gate.wait_for_held(1);
        for n in 0..10u8 {
            assert_eq!(store.get(&ks, [n]).await.unwrap(), None);
        }
        control.get_gate.open();
        assert!(stuck.await.unwrap().is_some());
        store.close().await.unwrap();
    });
}

#[test]
fn background_work_holds_up_neither_reads_nor_writes() {
    with_control(|options, control| async move {
        let store = Store::open(options).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        let dir = tempfile::tempdir().unwrap();
        control.checkpoint_gate.shut();
        let checkpoint = begin(store.checkpoint(dir.path().join("copy"))).await;
        control.checkpoint_gate.wait_for_held(1);
        store.put(&ks, "k", "v").await.unwrap();
        assert!(store.contains(&ks, "k").await.unwrap());
        assert!(store.drop_keyspace(&ks).await.unwrap());
        control.checkpoint_gate.open();
        let unsupported = checkpoint.await;
        assert!(matches!(unsupported, Err(Error::Unsupported(_))), "{unsupported:?}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "a partial copy is left");
        store.close().await.unwrap();
    });
}

#[test]
fn one_thread_for_reads_stuck_in_one_leaves_writes_alone() {
    with_read_threads(1, |options, control| async move {
        let store = Store::open(options).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        *control.held_get.lock().unwrap() = Some("slow".into());
        control.get_gate.shut();
        let stuck = begin(store.get(&ks, "slow")).await;
        control.get_gate.wait_for_held(1);
        store.put(&ks, "k", "v").await.unwrap();
        control.get_gate.open();
        stuck.await.unwrap();
        store.close().await.unwrap();
    });
}

#[test]
fn a_full_read_queue_refuses_too() {
    with_read_threads(1, |options, control| async move {
        let options = options.queue_len_max(1).on_full(OnFull::Fail);
        let store = Store::open(options).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        *control.held_get.lock().unwrap() = Some("slow".into());
        control.get_gate.shut();
        let stuck = begin(store.get(&ks, "slow")).await;
        control.get_gate.wait_for_held(1);
        let refused = store.get(&ks, "k").await;
        assert!(matches!(refused, Err(Error::Overloaded { what: "read queue" })), "{refused:?}");
        control.get_gate.open();
        stuck.await.unwrap();
        store.close().await.unwrap();
    });
}

/// Panics when dropped, as a caller's own type may.
#[derive(Debug)]
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a destructor on purpose");
    }
}

#[test]
fn a_panic_in_the_destructor_of_what_a_caller_left_behind_harms_no_other_call() {
    with_control(|options, control| async move {
        let store = Store::open(options).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        let first = hold_write_lane(&store, &ks, "first", &control).await;
        let captured = Bomb;
        let abandoned = begin(store.update(move |_| {
            let _captured = &captured;
            Ok::<_, Error>(())
        }))
        .await;
        let bystander = begin(store.put(&ks, "bystander", "v")).await;
        drop(abandoned);
        control.apply_gate.open();
        first.await.unwrap();
        bystander.await.unwrap();
        control.apply_gate.shut();
        let within = ks.clone();
        let leaves = begin(store.update(move |tx| {
            tx.put(&within, "left", "v")?;
            Ok::<_, Error>(Bomb)
        }))
        .await;
        let bystander = begin(store.put(&ks, "bystander 2", "v")).await;
        control.apply_gate.wait_for_held(1);
        drop(leaves);
        control.apply_gate.open();
        bystander.await.unwrap();
        assert!(store.contains(&ks, "left").await.unwrap());
        let (leave, left) = mpsc::sync_channel::<()>(0);
        let viewing = begin(store.view(move |_| {
            let _ = left.recv();
            Ok::<_, Error>(Bomb)
        }))
        .await;
        drop(viewing);
        drop(leave);
        store.put(&ks, "after", "v").await.unwrap();
        assert!(store.contains(&ks, "after").await.unwrap());
        store.close().await.unwrap();
    });
}

#[test]
fn the_last_handle_may_go_inside_a_closure() {
    for_each(Setup::persistent(), |_, options| async move {
        let store = Store::open(options.clone()).await.unwrap();
        let (entered, inside) = mpsc::sync_channel(1);
        let (leave, left) = mpsc::sync_channel::<()>(1);
        let (gone, done) = mpsc::sync_channel(1);
        let running = begin(async move {
            let own = store.clone();
            let ks = store.keyspace("a").unwrap();
            let run = store.update(move |tx| {
                entered.send(()).unwrap();
                left.recv().unwrap();
                tx.put(&ks, "k", "v")?;
                drop(own);
                gone.send(()).unwrap();
                Ok::<_, Error>(())
            });
            run.await
        })
        .await;
        inside.recv().unwrap();
        drop(running);
        leave.send(()).unwrap();
        done.recv().unwrap();
        let again = Store::open(options).await.unwrap();
        assert!(again.contains(&again.keyspace("a").unwrap(), "k").await.unwrap());
        again.close().await.unwrap();
    });
}

#[test]
fn reopening_after_a_failed_commit_finds_it_whole_or_not_at_all_and_writes_again() {
    for_each(Setup::persistent(), |setup, options| async move {
        let control = Arc::new(Control::default());
        let failing = wrapped(options.clone(), setup.engine, &control);
        let store = Store::open(failing).await.unwrap();
        let (a, b) = (store.keyspace("a").unwrap(), store.keyspace("b").unwrap());
        store.put(&a, "before", "v").await.unwrap();
        control.fail_apply.store(true, SeqCst);
        let mut batch = WriteBatch::new();
        batch.put(&a, "unknown", "v").put(&b, "unknown", "v");
        assert!(store.write(batch).await.unwrap_err().outcome_unknown());
        assert!(matches!(store.close().await, Err(Error::Commit(_))));
        let store = Store::open(options).await.unwrap();
        let (a, b) = (store.keyspace("a").unwrap(), store.keyspace("b").unwrap());
        assert!(store.contains(&a, "before").await.unwrap());
        let halves = [&a, &b].map(|ks| store.contains(ks, "unknown"));
        let [one, other] = halves;
        assert_eq!(one.await.unwrap(), other.await.unwrap());
        store.put(&a, "after", "v").await.unwrap();
        store.close().await.unwrap();
    });
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let open = |options: Options| futures::executor::block_on(Store::open(options));
    let memory = Options::in_memory;
    for options in [
        memory().pool_threads(0),
        memory().read_threads_max(0),
        memory().queue_len_max(0),
        memory().queue_bytes_max(0),
        memory().durability(Durability::Every(Duration::ZERO)),
        memory().bridge(Bridge::Blocking).pool_threads(1),
        memory().pool_threads(1).read_threads_max(2),
        memory().keyspaces_max(0),
        memory().snapshots_max(0),
    ] {
        let refused = open(options.clone());
        assert!(matches!(refused, Err(Error::InvalidArgument(_))), "{options:?}: {refused:?}");
    }
}

/// A write that the engine refuses would end all writing.
#[test]
fn sizes_that_no_engine_takes_are_refused_at_open() {
    let open = |options: Options| futures::executor::block_on(Store::open(options));
    type Set = fn(Options, usize) -> Options;
    let settings: [(&str, Set, usize); 3] = [
        ("key_bytes_max", Options::key_bytes_max, 8 << 20),
        ("value_bytes_max", Options::value_bytes_max, 2 << 30),
        ("transaction_bytes_max", Options::transaction_bytes_max, 2 << 30),
    ];
    for (name, set, most) in settings {
        let store = open(set(Options::in_memory(), most)).unwrap();
        futures::executor::block_on(store.close()).unwrap();
        let refused = open(set(Options::in_memory(), most + 1));
        let Err(Error::InvalidArgument(why)) = refused else { panic!("{refused:?}") };
        assert!(why.contains(name) && why.contains(&most.to_string()), "{why}");
    }
}
