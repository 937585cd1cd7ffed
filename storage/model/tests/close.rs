//! Closing, against whatever else a store is in the middle of.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_core::Stream;
use pontoon_storage_model::check::check;
use pontoon_storage_model::watch::Watch;
use pontoon_storage_model::{
    Durability, Error, Options, PageLimit, Reader, ScanOptions, Store, Transaction, View,
};
use shuttle::future::block_on;
use shuttle::thread::{JoinHandle, spawn, yield_now};

fn open(watch: &Arc<Watch>, options: impl FnOnce(Options) -> Options) -> Store {
    block_on(Store::open(options(watch.options()))).unwrap()
}

/// A thread with a handle of its own.
fn beside(store: &Store, run: impl FnOnce(Store) + Send + 'static) -> JoinHandle<()> {
    let store = store.clone();
    spawn(move || run(store))
}

fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// Closes, and checks that it is.
fn close(store: &Store, watch: &Watch) {
    block_on(store.close()).unwrap();
    assert!(watch.is_closed(), "not closed, though the close returned");
}

fn put(store: &Store, key: &'static str) -> Result<(), Error> {
    block_on(store.put(&store.keyspace("a").unwrap(), key, "v"))
}

fn done_or_closed<T>(result: Result<T, Error>) {
    if let Err(error) = result {
        assert!(matches!(error, Error::Closed), "{error}");
    }
}

#[test]
fn closes_on_several_handles_all_wait_for_the_one() {
    check(|| {
        let watch = Arc::new(Watch::default());
        let store = open(&watch, |o| o);
        let closers = [(); 2].map(|()| {
            let watch = Arc::clone(&watch);
            beside(&store, move |store| close(&store, &watch))
        });
        let writer = beside(&store, |store| done_or_closed(put(&store, "k")));
        let dropper = beside(&store, drop);
        join(closers.into_iter().chain([writer, dropper]));
        assert!(matches!(put(&store, "k"), Err(Error::Closed)));
        drop(store);
        watch.wait_gone();
    });
}

#[test]
fn a_close_given_up_goes_on() {
    check(|| {
        let watch = Arc::new(Watch::default());
        let store = open(&watch, |o| o);
        let writer = beside(&store, |store| done_or_closed(put(&store, "k")));
        block_on(async {
            let mut closing = pin!(store.close());
            std::future::poll_fn(|cx| Poll::Ready(closing.as_mut().poll(cx).is_ready())).await;
        });
        yield_now();
        watch.wait_gone();
        writer.join().unwrap();
    });
}

#[test]
fn the_last_handle_may_go_inside_a_closure() {
    check(|| {
        let watch = Arc::new(Watch::default());
        let store = open(&watch, |o| o);
        let inside = store.clone();
        let writer = beside(&store, move |store| {
            let update = store.update(move |tx: &mut Transaction| {
                let keyspace = inside.keyspace("a")?;
                drop(inside);
                tx.put(&keyspace, "k", "v")
            });
            block_on(update).unwrap();
        });
        let inside = store.clone();
        let reader = beside(&store, move |store| {
            let view = store.view(move |view: &View| {
                let keyspace = inside.keyspace("a")?;
                drop(inside);
                view.get(&keyspace, b"k")
            });
            block_on(view).unwrap();
        });
        drop(store);
        join([writer, reader]);
        watch.wait_gone();
    });
}

#[test]
fn no_view_on_a_held_snapshot_outlives_the_close() {
    check(|| {
        let watch = Arc::new(Watch::default());
        let store = open(&watch, |o| o);
        let running = Arc::new(AtomicU32::new(0));
        let snapshot = block_on(store.snapshot()).unwrap();
        let viewers = [(); 2].map(|()| {
            let (snapshot, running) = (snapshot.clone(), Arc::clone(&running));
            beside(&store, move |store| {
                let keyspace = store.keyspace("a").unwrap();
                done_or_closed(block_on(snapshot.view(move |view: &View| {
                    running.fetch_add(1, Ordering::SeqCst);
                    let found = view.get(&keyspace, b"k");
                    running.fetch_sub(1, Ordering::SeqCst);
                    found
                })));
            })
        });
        drop(snapshot);
        close(&store, &watch);
        assert_eq!(running.load(Ordering::SeqCst), 0, "a view runs after the close");
        join(viewers);
        drop(store);
        watch.wait_gone();
    });
}

#[test]
fn a_scan_ends_whole_or_closed() {
    check(|| {
        let watch = Arc::new(Watch::default());
        let store = open(&watch, |o| o.snapshots_max(1));
        for key in ["a", "b", "c"] {
            put(&store, key).unwrap();
        }
        let scanners = [(); 2].map(|()| {
            beside(&store, |store| {
                let page = PageLimit { entries: 1, bytes: usize::MAX };
                let options = ScanOptions { page, ..ScanOptions::default() };
                let mut scan = pin!(store.scan(&store.keyspace("a").unwrap(), .., options));
                let mut found = 0;
                loop {
                    let next = std::future::poll_fn(|cx| scan.as_mut().poll_next(cx));
                    match block_on(next) {
                        Some(Ok(_)) => found += 1,
                        Some(Err(error)) => {
                            let full = matches!(error, Error::Overloaded { .. }) && found == 0;
                            assert!(full || matches!(error, Error::Closed), "{error}");
                            return;
                        }
                        None => return assert_eq!(found, 3, "it ended early"),
                    }
                }
            })
        });
        close(&store, &watch);
        join(scanners);
        drop(store);
        watch.wait_gone();
    });
}

#[test]
fn the_intervals_sync_never_comes_after_the_close() {
    check(|| {
        let watch = Arc::new(Watch::default());
        let every = Durability::Every(Duration::from_millis(1));
        let store = open(&watch, |o| o.durability(every));
        let writers =
            ["a", "b"].map(|key| beside(&store, move |store| done_or_closed(put(&store, key))));
        close(&store, &watch);
        join(writers);
        drop(store);
        watch.wait_gone();
    });
}

#[test]
fn calls_with_deadlines_end_with_the_store() {
    check(|| {
        let watch = Arc::new(Watch::default());
        let store = open(&watch, |o| o.queue_len_max(1));
        let hasty = store.with_deadline(Duration::from_millis(20));
        let callers = [(); 3].map(|()| {
            beside(&hasty, |store| match put(&store, "k") {
                Err(Error::Deadline) => {}
                result => done_or_closed(result),
            })
        });
        drop(hasty);
        close(&store, &watch);
        join(callers);
        drop(store);
        watch.wait_gone();
    });
}
