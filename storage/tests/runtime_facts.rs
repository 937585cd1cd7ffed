//! What the runtimes do, and what the store does on them: facts that `docs/runtimes.md` builds on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use common::wrap::{Control, wrapped};
use common::{Runtime, Setup, for_each};
use futures::executor::block_on;
use futures::future::join;
use futures::{StreamExt, TryStreamExt};
use pontoon_storage::{
    Bridge, EngineKind, Error, Keyspace, Options, PageLimit, Result, ScanOptions, Snapshot, Store,
    WriteBatch,
};
use tokio::runtime::{Builder, Runtime as Tokio};

/// One entry a page, so that a scan that is dropped has pages left to read.
const ONE: ScanOptions = ScanOptions { reverse: false, page: PageLimit::ONE };

fn current_thread() -> Tokio {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi_thread() -> Tokio {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
#[allow(clippy::disallowed_methods)] // the fact itself
fn spawn_blocking_works_on_current_thread() {
    let (asked_on, ran_on) = current_thread().block_on(async {
        let ran_on = tokio::task::spawn_blocking(|| thread::current().id()).await.unwrap();
        (thread::current().id(), ran_on)
    });
    assert_ne!(asked_on, ran_on);
}

#[test]
#[allow(clippy::disallowed_methods)] // the fact itself
fn block_in_place_panics_on_current_thread() {
    let run = || current_thread().block_on(async { tokio::task::block_in_place(|| 1) });
    assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
    let run = || multi_thread().block_on(async { tokio::task::block_in_place(|| 1) });
    assert_eq!(catch_unwind(AssertUnwindSafe(run)).unwrap(), 1);
}

/// The threads that polled futures, and those that called the engine.
#[derive(Default)]
struct Threads {
    polling: Mutex<BTreeSet<String>>,
    calling: Mutex<BTreeSet<(&'static str, String)>>,
}

/// Thread ids are never reused, so that they can be compared when a thread is gone.
fn name_of(thread: ThreadId) -> String {
    format!("{thread:?}")
}

impl Threads {
    fn watch(self: &Arc<Self>, control: &Control) {
        let threads = Arc::clone(self);
        *control.on_call.lock().unwrap() = Some(Box::new(move |what| {
            threads.calling.lock().unwrap().insert((what, name_of(thread::current().id())));
        }));
    }

    /// `future`, with every thread that polls it noted.
    fn noting<F: Future>(self: &Arc<Self>, future: F) -> impl Future<Output = F::Output> + use<F> {
        let threads = Arc::clone(self);
        let mut future = Box::pin(future);
        poll_fn(move |cx| {
            threads.polling.lock().unwrap().insert(name_of(thread::current().id()));
            future.as_mut().poll(cx)
        })
    }

    fn assert_apart(&self, calls: &[&str]) {
        let polling = self.polling.lock().unwrap();
        let calling = self.calling.lock().unwrap();
        assert!(!polling.is_empty());
        let on_async: Vec<_> =
            calling.iter().filter(|(_, thread)| polling.contains(thread)).collect();
        assert!(on_async.is_empty(), "engine calls on async threads: {on_async:?}");
        let made: BTreeSet<&str> = calling.iter().map(|(what, _)| *what).collect();
        for call in calls {
            assert!(made.contains(call), "{call} was never called; {made:?} were");
        }
    }
}

#[test]
fn no_engine_call_is_ever_made_on_an_async_thread() {
    for_each(Setup::all(), |setup, options| async move {
        let (control, threads) = (Arc::new(Control::default()), Arc::new(Threads::default()));
        threads.watch(&control);
        let copies = tempfile::tempdir().unwrap();
        let options = wrapped(options, setup.engine, &control);
        let everything = threads.noting(use_everything(options, copies.path().join("copy")));
        if setup.runtime == Runtime::MultiThread {
            // A worker polls it, and the thread of `block_on` does not.
            tokio::spawn(everything).await.unwrap();
        } else {
            everything.await;
        }
        let calls = ["open", "snapshot", "get", "page", "release", "apply", "sync", "keyspaces"];
        threads.assert_apart(&calls);
        threads.assert_apart(&["drop_keyspace", "checkpoint", "stats", "close", "drop"]);
    });
}

/// Makes every call that a store has, and drops everything that can be dropped.
async fn use_everything(options: Options, copy: std::path::PathBuf) {
    let store = Store::open(options.clone()).await.unwrap();
    let ks = store.keyspace("a").unwrap();
    write_everything(&store, &ks).await;
    assert_eq!(store.get(&ks, "k").await.unwrap().unwrap(), "v");
    store.get_many(&ks, ["a", "b"]).await.unwrap();
    assert!(store.contains(&ks, "k").await.unwrap());
    store.view(|_| Ok::<_, Error>(())).await.unwrap();
    store.keyspaces().await.unwrap();
    store.stats().await.unwrap();
    let _unsupported_in_memory = store.checkpoint(copy).await;
    let snapshot = Arc::new(store.snapshot().await.unwrap());
    snapshot.get(&ks, "k").await.unwrap();
    let mut scan = snapshot.scan(&ks, .., ONE);
    scan.try_next().await.unwrap().unwrap();
    drop((snapshot, scan));
    store.scan(&ks, .., ONE).count().await;
    let late = store.with_deadline(Duration::ZERO).get(&ks, "k").await;
    assert!(matches!(late, Err(Error::Deadline)), "{late:?}");
    drop_half_way(&store, &ks).await;
    store.drop_keyspace(&ks).await.unwrap();
    store.sync().await.unwrap();
    store.close().await.unwrap();

    let store = Store::open(options.clone()).await.unwrap();
    let held = store.snapshot().await.unwrap();
    store.put(&store.keyspace("a").unwrap(), "k", "v").await.unwrap();
    drop(store);
    drop(held);

    // Waits for the one before to end.
    let store = Store::open(options).await.unwrap();
    let held = store.snapshot().await.unwrap();
    store.close().await.unwrap();
    drop((store, held));
}

async fn write_everything(store: &Store, ks: &Keyspace) {
    for key in ["j", "k", "l", "x"] {
        store.put(ks, key, "v").await.unwrap();
    }
    store.delete(ks, "x").await.unwrap();
    store.delete_range(ks, "m"..).await.unwrap();
    let mut batch = WriteBatch::new();
    batch.put(ks, "n", "v");
    store.write(batch).await.unwrap();
    store.update(|_| Ok::<_, Error>(())).await.unwrap();
    store.update(|_| Err::<(), _>(Error::Closed)).await.unwrap_err();
    let panics = |_: &mut _| -> Result<()> { resume_unwind(Box::new("on purpose")) };
    store.update(panics).await.unwrap_err();
    let panics = |_: &_| -> Result<()> { resume_unwind(Box::new("on purpose")) };
    store.view(panics).await.unwrap_err();
}

/// Drops futures that have begun.
async fn drop_half_way(store: &Store, ks: &Keyspace) {
    poll_once(&mut pin!(store.get(ks, "k"))).await;
    poll_once(&mut pin!(store.put(ks, "k", "v"))).await;
    poll_once(&mut pin!(store.snapshot())).await;
    poll_once(&mut pin!(store.scan(ks, .., ONE).next())).await;
    // Once an answer is there, it is dropped with its future.
    poll_until_woken(&mut pin!(store.snapshot())).await;
    poll_until_woken(&mut pin!(store.scan(ks, .., ONE).next())).await;
}

async fn poll_once<F: Future>(future: &mut Pin<&mut F>) {
    poll_fn(|cx| {
        let _ = future.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
}

/// Polls `future` once, in its runtime, and blocks until it is worth polling again.
async fn poll_until_woken<F: Future>(future: &mut Pin<&mut F>) {
    struct Sender(mpsc::SyncSender<()>);
    impl Wake for Sender {
        fn wake(self: Arc<Self>) {
            let _ = self.0.try_send(());
        }
    }
    let (sender, woken) = mpsc::sync_channel(1);
    let waker = Waker::from(Arc::new(Sender(sender)));
    if future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        woken.recv().unwrap();
    }
}

#[test]
fn an_open_dropped_with_its_store_inside_closes_it() {
    for_each(Setup::all(), |setup, options| async move {
        let (control, threads) = (Arc::new(Control::default()), Arc::new(Threads::default()));
        threads.watch(&control);
        let options = wrapped(options, setup.engine, &control);
        let dropped = threads.noting(async {
            poll_until_woken(&mut pin!(Store::open(options.clone()))).await;
            // Waits until the one before has closed.
            Store::open(options.clone()).await.unwrap().close().await.unwrap();
        });
        dropped.await;
        threads.assert_apart(&["open", "sync", "close", "drop"]);
    });
}

/// With the engine held up, tasks go on: on one thread, this would never end otherwise.
#[test]
fn an_engine_that_stalls_holds_up_no_task() {
    let mut setups = Setup::all();
    // There all lanes share one thread, which is the one that stalls.
    setups.retain(|setup| !(setup.tight && matches!(setup.bridge, Bridge::Blocking)));
    for_each(setups, |setup, options| async move {
        let control = Arc::new(Control::default());
        let store = Store::open(wrapped(options, setup.engine, &control)).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        control.apply_gate.shut();
        let other = async {
            control.apply_gate.wait_for_held(1);
            assert_eq!(store.get(&ks, "k").await.unwrap(), None);
            control.apply_gate.open();
        };
        let (put, ()) = join(store.put(&ks, "k", "v"), other).await;
        put.unwrap();
        store.close().await.unwrap();
    });
}

#[test]
fn a_store_opened_in_one_runtime_works_in_others() {
    for &engine in EngineKind::AVAILABLE {
        for bridge in [Bridge::Pool, Bridge::Blocking] {
            for opened_in in [current_thread(), multi_thread()] {
                let dir = tempfile::tempdir().unwrap();
                let options = Options::new(dir.path()).engine(engine).bridge(bridge.clone());
                let store = opened_in.block_on(Store::open(options)).unwrap();
                current_thread().block_on(put_and_get(&store, "1"));
                multi_thread().block_on(put_and_get(&store, "2"));
                block_on(put_and_get(&store, "3"));
                opened_in.block_on(put_and_get(&store, "4"));
                current_thread().block_on(store.close()).unwrap();
            }
        }
    }
}

async fn put_and_get(store: &Store, key: &str) {
    let ks = store.keyspace("a").unwrap();
    store.put(&ks, key, "v").await.unwrap();
    assert_eq!(store.get(&ks, key).await.unwrap().unwrap(), "v");
}

#[test]
fn blocking_mode_needs_a_runtime_or_its_handle() {
    for &engine in EngineKind::AVAILABLE {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::new(dir.path()).engine(engine).bridge(Bridge::Blocking);
        let none = block_on(Store::open(options.clone()));
        assert!(matches!(none, Err(Error::NoRuntime)), "{none:?}");
        let runtime = current_thread();
        block_on(async {
            let store = Store::open(options.runtime(runtime.handle().clone())).await.unwrap();
            put_and_get(&store, "k").await;
            store.close().await.unwrap();
        });
    }
}

#[test]
fn with_its_runtime_shut_down_a_store_gives_errors_and_still_closes() {
    for_each_shut_down(|store, held, options| {
        block_on(assert_only_errors(&store, &held));
        block_on(store.close()).unwrap();
        assert!(matches!(
            block_on(held.get(&store.keyspace("a").unwrap(), "k")),
            Err(Error::Closed)
        ));
        assert_reopens(options);
    });
}

#[test]
fn with_its_runtime_shut_down_a_dropped_store_gives_its_directory_back() {
    for_each_shut_down(|store, held, options| {
        drop(held);
        drop(store);
        assert_reopens(options);
    });
}

/// Runs `test` on stores that hold a key and a snapshot, and whose runtime is gone.
fn for_each_shut_down(test: impl Fn(Store, Arc<Snapshot>, Options)) {
    for &engine in EngineKind::AVAILABLE {
        for runtime in [current_thread(), multi_thread()] {
            let dir = tempfile::tempdir().unwrap();
            let options = Options::new(dir.path()).engine(engine).bridge(Bridge::Blocking);
            let (store, held) = runtime.block_on(async {
                let store = Store::open(options.clone()).await.unwrap();
                put_and_get(&store, "k").await;
                let held = Arc::new(store.snapshot().await.unwrap());
                (store, held)
            });
            drop(runtime);
            test(store, held, options);
        }
    }
}

async fn assert_only_errors(store: &Store, held: &Arc<Snapshot>) {
    fn assert_gone<T>(result: Result<T>) {
        let error = result.err().expect("it ran without a runtime");
        assert!(matches!(error, Error::Bridge(_)), "{error}");
    }
    let ks = store.keyspace("a").unwrap();
    assert_gone(store.get(&ks, "k").await);
    assert_gone(store.with_deadline(Duration::from_secs(600)).get(&ks, "k").await);
    assert_gone(store.get_many(&ks, ["k"]).await);
    assert_gone(store.put(&ks, "k", "v2").await);
    assert_gone(store.update(|_| Ok::<_, Error>(())).await);
    assert_gone(store.view(|_| Ok::<_, Error>(())).await);
    assert_gone(store.snapshot().await);
    assert_gone(store.sync().await);
    assert_gone(store.stats().await);
    assert_gone(store.keyspaces().await);
    assert_gone(store.drop_keyspace(&ks).await);
    assert_gone(held.get(&ks, "k").await);
    assert_gone(held.scan(&ks, .., ONE).next().await.unwrap());
    assert_gone(store.scan(&ks, .., ONE).next().await.unwrap());
}

/// In another runtime; an engine that persists still has the key.
fn assert_reopens(options: Options) {
    current_thread().block_on(async {
        let store = Store::open(options).await.unwrap();
        let existing = store.keyspaces().await.unwrap();
        let ks = store.keyspace("a").unwrap();
        let value = store.get(&ks, "k").await.unwrap();
        assert_eq!(value.is_some(), !existing.is_empty());
        assert!(value.is_none_or(|value| value == "v"));
        store.close().await.unwrap();
    });
}

#[test]
fn a_runtime_shut_down_while_operations_run_answers_them_all() {
    for &engine in EngineKind::AVAILABLE {
        for runtime in [current_thread(), multi_thread()] {
            let dir = tempfile::tempdir().unwrap();
            let control = Arc::new(Control::default());
            let options = Options::new(dir.path()).bridge(Bridge::Blocking);
            let options = wrapped(options, engine, &control).queue_len_max(4);
            let store = runtime.block_on(Store::open(options.clone())).unwrap();
            control.apply_gate.shut();
            let answers = thread::scope(|scope| {
                let ks = store.keyspace("a").unwrap();
                let put = |n: u8| {
                    let (store, ks) = (store.clone(), ks.clone());
                    scope.spawn(move || (n, block_on(store.put(&ks, [n], "v"))))
                };
                let first = put(0);
                control.apply_gate.wait_for_held(1);
                let others: Vec<_> = (1..8).map(put).collect();
                runtime.shutdown_background();
                control.apply_gate.open();
                let all = std::iter::once(first).chain(others);
                all.map(|put| put.join().unwrap()).collect::<Vec<_>>()
            });
            assert!(answers[0].1.is_ok(), "what runs goes on to its end: {:?}", answers[0].1);
            block_on(store.close()).unwrap();
            assert!(control.dropped.load(Ordering::SeqCst));
            check_answers(engine, options, &answers);
        }
    }
}

fn check_answers(engine: EngineKind, options: Options, answers: &[(u8, Result<()>)]) {
    let runtime = current_thread();
    let store = runtime.block_on(Store::open(options)).unwrap();
    let ks = store.keyspace("a").unwrap();
    for (n, answer) in answers {
        let there = runtime.block_on(store.contains(&ks, [*n])).unwrap();
        match answer {
            Ok(()) => assert_eq!(there, engine.is_persistent()),
            Err(Error::Bridge(_)) => assert!(!there),
            Err(error) => panic!("{error}"),
        }
    }
    runtime.block_on(store.close()).unwrap();
}
