//! A store over a watched engine: what callers, snapshots and closing do to each other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use pontoon_storage_model::check::check;
use pontoon_storage_model::threads::one_fault_in;
use pontoon_storage_model::watch::Watch;
use pontoon_storage_model::{Error, Options, Reader, Result, Store, Transaction};
use shuttle::future::block_on;
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread::{spawn, yield_now};

/// Runs `scenario` in a store over a watched engine.
fn with_store(
    options: impl FnOnce(Options) -> Options,
    scenario: impl FnOnce(&Store),
) -> Arc<Watch> {
    let watch = Arc::new(Watch::default());
    let store = block_on(Store::open(options(watch.options()))).unwrap();
    scenario(&store);
    watch
}

fn number(value: Option<impl AsRef<[u8]>>) -> u32 {
    value.map_or(0, |bytes| u32::from_be_bytes(bytes.as_ref().try_into().unwrap()))
}

/// Adds one to the counter, and returns what it then is.
fn count(store: &Store) -> Result<u32> {
    let counters = store.keyspace("counters")?;
    block_on(store.update(move |tx: &mut Transaction| {
        let next = number(tx.get(&counters, b"n")?) + 1;
        tx.put(&counters, "n", next.to_be_bytes().to_vec())?;
        Ok(next)
    }))
}

fn counted(store: &Store) -> Result<u32> {
    block_on(store.get(&store.keyspace("counters")?, "n")).map(number)
}

#[test]
fn a_read_sees_every_write_acknowledged_before_it() {
    check(|| {
        let watch = with_store(
            |o| o,
            |store| {
                let threads: Vec<_> = (0..2)
                    .map(|_| {
                        let store = store.clone();
                        spawn(move || {
                            let mine = count(&store).unwrap();
                            assert!(counted(&store).unwrap() >= mine);
                            assert!(count(&store).unwrap() > mine);
                        })
                    })
                    .collect();
                threads.into_iter().for_each(|thread| thread.join().unwrap());
                assert_eq!(counted(store).unwrap(), 4);
                block_on(store.close()).unwrap();
            },
        );
        watch.wait_gone();
    });
}

#[test]
fn a_close_in_between_finishes_what_it_accepted() {
    check(|| {
        let watch = with_store(
            |o| o.queue_len_max(1),
            |store| {
                let threads: Vec<_> = (0..3)
                    .map(|_| {
                        let store = store.clone();
                        spawn(move || match count(&store).and_then(|_| counted(&store)) {
                            Ok(n) => assert!(n > 0),
                            Err(error) => assert!(matches!(error, Error::Closed), "{error}"),
                        })
                    })
                    .collect();
                block_on(store.close()).unwrap();
                assert!(matches!(counted(store), Err(Error::Closed)));
                threads.into_iter().for_each(|thread| thread.join().unwrap());
            },
        );
        watch.wait_gone();
    });
}

#[test]
fn no_snapshot_outlives_the_close() {
    check(|| {
        let watch = with_store(
            |o| o,
            |store| {
                let threads: Vec<_> = (0..2)
                    .map(|_| {
                        let store = store.clone();
                        spawn(move || {
                            let Ok(snapshot) = block_on(store.snapshot()) else { return };
                            let counters = store.keyspace("counters").unwrap();
                            match block_on(snapshot.get(&counters, "n")) {
                                Ok(value) => assert_eq!(value, None),
                                Err(error) => assert!(matches!(error, Error::Closed), "{error}"),
                            }
                            if thread_rng().r#gen() {
                                drop(snapshot);
                            } else {
                                drop(store);
                            }
                        })
                    })
                    .collect();
                block_on(store.close()).unwrap();
                threads.into_iter().for_each(|thread| thread.join().unwrap());
            },
        );
        watch.wait_gone();
    });
}

#[test]
fn dropping_the_last_handle_closes_the_store() {
    check(|| {
        let watch = with_store(
            |o| o,
            |store| {
                let store = store.clone();
                spawn(move || {
                    let snapshot = block_on(store.snapshot()).unwrap();
                    drop(store);
                    drop(snapshot);
                });
            },
        );
        watch.wait_gone();
    });
}

#[test]
fn an_open_given_up_closes_the_store() {
    check(|| {
        let watch = Arc::new(Watch::default());
        block_on(give_up(Store::open(watch.options())));
        watch.wait_gone();
    });
}

#[test]
fn every_call_is_answered_though_jobs_are_lost() {
    check(|| {
        let watch = with_store(
            |o| o.queue_len_max(2),
            |store| {
                one_fault_in(4);
                let threads: Vec<_> = (0..3)
                    .map(|_| {
                        let store = store.clone();
                        spawn(move || match count(&store).and_then(|_| counted(&store)) {
                            Ok(n) => assert!(n > 0),
                            Err(error) => assert!(matches!(error, Error::Bridge(_)), "{error}"),
                        })
                    })
                    .collect();
                threads.into_iter().for_each(|thread| thread.join().unwrap());
                block_on(store.close()).unwrap();
            },
        );
        watch.wait_gone();
    });
}

#[test]
fn a_write_whose_deadline_came_is_not_there() {
    check(|| {
        let watch = with_store(
            |o| o,
            |store| {
                let hasty = store.with_deadline(Duration::from_millis(20));
                let threads: Vec<_> = (0..2)
                    .map(|_| {
                        let hasty = hasty.clone();
                        spawn(move || match count(&hasty) {
                            Ok(_) => 1,
                            Err(error) => {
                                assert!(matches!(error, Error::Deadline), "{error}");
                                0
                            }
                        })
                    })
                    .collect();
                let acknowledged: u32 =
                    threads.into_iter().map(|thread| thread.join().unwrap()).sum();
                assert_eq!(counted(store).unwrap(), acknowledged);
                block_on(store.close()).unwrap();
            },
        );
        watch.wait_gone();
    });
}

#[test]
fn an_update_given_up_happens_whole_or_not_at_all() {
    check(|| {
        let watch = with_store(
            |o| o,
            |store| {
                let other = store.clone();
                let given_up = spawn(move || {
                    let counters = other.keyspace("counters").unwrap();
                    block_on(give_up(other.update(move |tx: &mut Transaction| {
                        for key in ["a", "b"] {
                            tx.put(&counters, key, "1")?;
                        }
                        Ok::<_, Error>(())
                    })));
                });
                let counters = store.keyspace("counters").unwrap();
                let found = block_on(store.get_many(&counters, ["a", "b"])).unwrap();
                assert_eq!(found[0], found[1]);
                given_up.join().unwrap();
                block_on(store.close()).unwrap();
            },
        );
        watch.wait_gone();
    });
}

/// Polls `future` until some moment, and drops it, be it ready or not.
async fn give_up<T>(future: impl Future<Output = T>) {
    let mut future = pin!(future);
    let mut polls = thread_rng().gen_range(1..8);
    std::future::poll_fn(|cx| {
        polls -= 1;
        if future.as_mut().poll(cx).is_ready() || polls == 0 {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    // What it waited for may come now, when nobody looks any more.
    yield_now();
}

/// Two keys that are always written together, by both writers; a third of the writes delete a range
/// first. Whoever reads sees both alike, and never less than was acknowledged or seen before.
#[test]
fn the_record_cache_never_answers_what_the_engine_would_not() {
    check(|| {
        let watch = with_store(
            |o| o.cache_bytes(16 << 10),
            |store| {
                let writer = {
                    let store = store.clone();
                    spawn(move || {
                        for n in 1..=3_u32 {
                            write_pair(&store, n, thread_rng().gen_ratio(1, 3));
                            assert!(read_pair(&store) >= n, "an acknowledged write is missing");
                        }
                    })
                };
                let readers: Vec<_> = (0..2)
                    .map(|_| {
                        let store = store.clone();
                        spawn(move || {
                            let mut seen = 0;
                            for _ in 0..4 {
                                let now = read_pair(&store);
                                assert!(now >= seen, "{now} was seen after {seen}");
                                seen = now;
                            }
                        })
                    })
                    .collect();
                writer.join().unwrap();
                readers.into_iter().for_each(|reader| reader.join().unwrap());
                assert_eq!(read_pair(store), 3);
                block_on(store.close()).unwrap();
            },
        );
        watch.wait_gone();
    });
}

fn write_pair(store: &Store, n: u32, range_first: bool) {
    let pair = store.keyspace("pair").unwrap();
    block_on(store.update(move |tx: &mut Transaction| {
        if range_first {
            tx.delete_range(&pair, ..)?;
        }
        tx.put(&pair, "left", n.to_be_bytes())?;
        tx.put(&pair, "right", n.to_be_bytes())
    }))
    .unwrap();
}

/// In one of the ways there are.
fn read_pair(store: &Store) -> u32 {
    let pair = store.keyspace("pair").unwrap();
    match thread_rng().gen_range(0..3) {
        0 => number(block_on(store.get(&pair, "left")).unwrap()),
        1 => {
            let both = block_on(store.get_many(&pair, ["left", "right"])).unwrap();
            assert_eq!(both[0], both[1], "a commit was seen in half");
            number(both[0].clone())
        }
        _ => {
            let read = move |reader: &dyn Reader| {
                Ok::<_, Error>((reader.get(&pair, b"right")?, reader.get(&pair, b"left")?))
            };
            let (right, left) = block_on(store.read(read)).unwrap();
            assert_eq!(left, right, "a commit was seen in half");
            number(left)
        }
    }
}
