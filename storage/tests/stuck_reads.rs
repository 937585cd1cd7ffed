//! A read that is stuck, as on a slow disk, holds up no other while there are threads: neither those that
//! wait in the queue nor those that its own drain has taken with it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Barrier};
use std::task::Poll;

use common::wrap::{Control, wrapped};
use common::{Setup, for_each};
use futures::future::{Either, join_all, maybe_done, select};
use futures::poll;
use pontoon_storage::{Bridge, EngineKind, Error, Keyspace, OnFull, Options, Reader, Store};

/// More than one drain takes.
const READS: u32 = 100;

/// Runs `test` with the key `slow` held up in every `get`, and `threads` threads for reads.
fn with_slow_key<F, Fut>(threads: usize, change: impl Fn(Options) -> Options, test: F)
where
    F: Fn(Store, Keyspace, Arc<Control>) -> Fut,
    Fut: Future<Output = ()>,
{
    let setups = Setup::all().into_iter();
    let setups = setups.filter(|s| s.engine == EngineKind::Memory && !s.tight && !s.cached);
    for_each(setups.collect(), |setup, options| {
        let options = change(match setup.bridge {
            Bridge::Pool => options.pool_threads(threads),
            _ => options.read_threads_max(threads),
        });
        let control = Arc::new(Control::default());
        let options = wrapped(options, EngineKind::Memory, &control);
        let test = &test;
        async move {
            let store = Store::open(options).await.unwrap();
            let ks = store.keyspace("a").unwrap();
            store.put(&ks, "slow", "v").await.unwrap();
            store.put(&ks, 7_u32.to_be_bytes(), "seven").await.unwrap();
            *control.held_get.lock().unwrap() = Some("slow".into());
            control.get_gate.shut();
            test(store.clone(), ks, Arc::clone(&control)).await;
            store.close().await.unwrap();
        }
    });
}

/// Queues `future`'s operation; it must not be ready.
async fn begin<F: Future>(future: F) -> Pin<Box<F>> {
    let mut future = Box::pin(future);
    assert!(poll!(future.as_mut()).is_pending());
    future
}

async fn seven_is_found_among_all(store: &Store, ks: &Keyspace) {
    let found = join_all((0..READS).map(|key| store.get(ks, key.to_be_bytes()))).await;
    for (key, value) in found.into_iter().enumerate() {
        assert_eq!(value.unwrap().is_some(), key == 7, "key {key}");
    }
}

#[test]
fn gets_taken_together_with_a_stuck_one_are_answered() {
    gets_beside_a_stuck_one(2, false);
}

/// Which of them is stuck shows only when they are read one by one.
#[test]
fn gets_read_at_once_with_a_stuck_one_are_answered() {
    gets_beside_a_stuck_one(3, true);
}

fn gets_beside_a_stuck_one(threads: usize, at_once: bool) {
    with_slow_key(
        threads,
        |options| options,
        |store, ks, control| async move {
            control.gets_at_once.store(at_once, SeqCst);
            // Behind it, ahead of it, and on both sides: a drain takes them in their order.
            for place in [0, 1, READS / 2] {
                let before = join_all((0..place).map(|key| store.get(&ks, key.to_be_bytes())));
                let stuck = store.get(&ks, "slow");
                let after = seven_is_found_among_all(&store, &ks);
                let (mut before, mut after) = (pin!(maybe_done(before)), pin!(maybe_done(after)));
                let mut stuck = pin!(stuck);
                let _ = poll!(before.as_mut());
                assert!(poll!(stuck.as_mut()).is_pending());
                let _ = poll!(after.as_mut());
                before.await;
                after.await;
                assert!(poll!(stuck.as_mut()).is_pending());
                control.get_gate.let_through();
                assert!(stuck.await.unwrap().is_some());
                control.get_gate.shut();
            }
            control.get_gate.open();
        },
    );
}

#[test]
fn views_taken_together_with_a_stuck_one_are_run() {
    with_slow_key(
        2,
        |options| options,
        |store, ks, control| async move {
            // Until all are queued, both threads are held up, so that a drain finds them together.
            let (both_run, all_are_queued) = (Arc::new(Barrier::new(3)), Arc::new(Barrier::new(3)));
            let mut plugs = Vec::new();
            for _ in 0..2 {
                let (runs, until) = (Arc::clone(&both_run), Arc::clone(&all_are_queued));
                let plug = store.view(move |_| {
                    runs.wait();
                    until.wait();
                    Ok::<_, Error>(())
                });
                plugs.push(begin(plug).await);
            }
            both_run.wait();
            let view = |key: Vec<u8>| {
                let ks = ks.clone();
                store.view(move |view| view.get(&ks, &key))
            };
            let mut before = pin!(join_all((0..4_u32).map(|key| view(key.to_be_bytes().to_vec()))));
            assert!(poll!(before.as_mut()).is_pending());
            let stuck = begin(view(b"slow".to_vec())).await;
            let mut after = pin!(join_all((0..READS).map(|key| view(key.to_be_bytes().to_vec()))));
            assert!(poll!(after.as_mut()).is_pending());
            all_are_queued.wait();
            assert!(before.await.into_iter().chain(after.await).all(|found| found.is_ok()));
            control.get_gate.open();
            assert!(stuck.await.unwrap().is_some());
            for plug in plugs {
                plug.await.unwrap();
            }
        },
    );
}

#[test]
fn each_stuck_read_takes_one_thread_and_no_more() {
    with_slow_key(
        4,
        |options| options,
        |store, ks, control| async move {
            let mut stuck = Vec::new();
            for _ in 0..3 {
                stuck.push(begin(store.get(&ks, "slow")).await);
                seven_is_found_among_all(&store, &ks).await;
            }
            control.get_gate.wait_for_held(3);
            seven_is_found_among_all(&store, &ks).await;
            control.get_gate.open();
            for stuck in stuck {
                assert!(stuck.await.unwrap().is_some());
            }
        },
    );
}

/// What was taken from a stuck drain gives its room in the queue back when it is answered, once.
#[test]
fn room_in_the_queue_comes_back_with_the_answer() {
    const ROOM: u32 = 4;
    let few = |options: Options| options.queue_len_max(ROOM as usize);
    with_slow_key(2, few, |store, ks, control| async move {
        let stuck = begin(store.get(&ks, "slow")).await;
        for _ in 0..3 {
            seven_is_found_among_all(&store, &ks).await;
        }
        control.get_gate.open();
        assert!(stuck.await.unwrap().is_some());
        // All threads stuck: so many wait, and no more.
        control.get_gate.shut();
        let refusing = store.with_on_full(OnFull::Fail);
        let mut held = Vec::new();
        while held.len() < ROOM as usize {
            let mut get = Box::pin(refusing.get(&ks, "slow"));
            match poll!(get.as_mut()) {
                Poll::Pending => held.push(get),
                // A drain gives its room back just after it has answered.
                Poll::Ready(refused) => assert!(matches!(refused, Err(Error::Overloaded { .. }))),
            }
        }
        control.get_gate.wait_for_held(2);
        let over = refusing.get(&ks, "over").await;
        assert!(matches!(over, Err(Error::Overloaded { .. })), "{over:?}");
        control.get_gate.open();
        for held in held {
            assert!(held.await.unwrap().is_some());
        }
    });
}

#[test]
fn a_close_waits_for_the_stuck_and_for_what_was_taken_from_it() {
    with_slow_key(
        2,
        |options| options,
        |store, ks, control| async move {
            let stuck = begin(store.get(&ks, "slow")).await;
            let mut others = pin!(maybe_done(seven_is_found_among_all(&store, &ks)));
            let _ = poll!(others.as_mut());
            control.get_gate.wait_for_held(1);
            let closing = begin(store.close()).await;
            others.await;
            let selected = select(closing, stuck);
            control.get_gate.open();
            match selected.await {
                Either::Left((closed, stuck)) => {
                    closed.unwrap();
                    assert!(stuck.await.unwrap().is_some());
                }
                Either::Right((found, closing)) => {
                    assert!(found.unwrap().is_some());
                    closing.await.unwrap();
                }
            }
        },
    );
}
