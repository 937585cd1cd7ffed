//! Reads that are stuck in the engine, and the others that their drains have taken with them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;

use pontoon_storage_model::check::check;
use pontoon_storage_model::watch::{STUCK, Watch};
use pontoon_storage_model::{Error, Reader, Store};
use shuttle::future::block_on;
use shuttle::thread::spawn;

/// All of `futures`, polled side by side, so that one drain may take what they queue.
async fn all<T, F: Future<Output = T>>(futures: impl IntoIterator<Item = F>) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, output) in &mut futures {
            if output.is_none()
                && let Poll::Ready(ready) = future.as_mut().poll(cx)
            {
                *output = Some(ready);
            }
        }
        match futures.iter().all(|(_, output)| output.is_some()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    futures.into_iter().filter_map(|(_, output)| output).collect()
}

/// A store with one read that waits until the others are answered: would they wait for it, the model
/// found a deadlock.
fn with_a_stuck_read(others: impl Fn(&Store) + Send + Sync + Copy + 'static) {
    check(move || {
        let watch = Arc::new(Watch::default());
        let store = block_on(Store::open(watch.options())).unwrap();
        let ks = store.keyspace("a").unwrap();
        block_on(store.put(&ks, "k", "v")).unwrap();
        watch.set_stuck(true);
        let stuck = {
            let (store, ks, watch) = (store.clone(), ks.clone(), Arc::clone(&watch));
            spawn(move || {
                let keys = ["k", STUCK, "k", "k"];
                let mut found = keys.map(|key| Some(Box::pin(store.get(&ks, key))));
                let mut left = keys.len();
                block_on(std::future::poll_fn(|cx| {
                    for (key, place) in keys.iter().zip(&mut found) {
                        if let Some(get) = place
                            && let Poll::Ready(value) = get.as_mut().poll(cx)
                        {
                            assert_eq!(value.unwrap().is_some(), *key == "k");
                            *place = None;
                            left -= 1;
                            if left == 1 {
                                watch.set_stuck(false);
                            }
                        }
                    }
                    if left == 0 { Poll::Ready(()) } else { Poll::Pending }
                }));
            })
        };
        others(&store);
        stuck.join().unwrap();
        block_on(store.close()).unwrap();
        watch.wait_gone();
    });
}

#[test]
fn gets_beside_a_stuck_one_are_answered() {
    with_a_stuck_read(|_| {});
}

#[test]
fn gets_and_views_of_others_are_answered_too() {
    with_a_stuck_read(|store| {
        let ks = store.keyspace("a").unwrap();
        let found = block_on(all((0..3).map(|_| {
            let ks = ks.clone();
            store.view(move |view| Ok::<_, Error>(view.get(&ks, b"k")?.is_some()))
        })));
        assert!(found.into_iter().all(|found| found.unwrap()));
    });
}

/// What is taken from a stuck drain just when the store closes is answered before the close ends.
#[test]
fn a_close_while_reads_are_stuck_answers_them_all() {
    check(|| {
        let watch = Arc::new(Watch::default());
        let store = block_on(Store::open(watch.options())).unwrap();
        let ks = store.keyspace("a").unwrap();
        watch.set_stuck(true);
        let reader = {
            let (store, ks) = (store.clone(), ks.clone());
            spawn(move || {
                for found in block_on(all(["k", STUCK, "k"].map(|key| store.get(&ks, key)))) {
                    match found {
                        Ok(value) => assert_eq!(value, None),
                        Err(error) => assert!(matches!(error, Error::Closed), "{error}"),
                    }
                }
            })
        };
        let closer = {
            let store = store.clone();
            spawn(move || block_on(store.close()).unwrap())
        };
        watch.set_stuck(false);
        closer.join().unwrap();
        reader.join().unwrap();
        drop(store);
        watch.wait_gone();
    });
}
