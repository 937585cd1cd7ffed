//! The same shapes as in `program`, written as one might without a bridge: none ever returns. What they
//! block stays blocked, and its threads stay behind.

use std::collections::BTreeSet;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Barrier, Mutex, PoisonError};

use futures::executor::block_on;
use threadpool::ThreadPool;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

const MESSAGES: u64 = 8;

/// Publishes under the store's lock into a queue that waits when it is full, while the subscriber
/// wants the lock between two messages.
#[allow(clippy::disallowed_methods)] // what happens without the bridge is the point
pub(super) fn publish_under_the_lock(runtime: &Runtime) -> Result<u64, String> {
    let store = Arc::new(Mutex::new(BTreeSet::new()));
    let (publisher, messages) = sync_channel(1);
    let read = Arc::clone(&store);
    let subscriber = runtime.spawn_blocking(move || {
        let found = messages.into_iter().filter(|message| {
            read.lock().unwrap_or_else(PoisonError::into_inner).contains(message)
        });
        found.count() as u64
    });
    let publishing = runtime.spawn(async move {
        let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
        for message in 0..MESSAGES {
            store.insert(message);
            if publisher.send(message).is_err() {
                break;
            }
        }
    });
    runtime.block_on(async {
        publishing.await.map_err(|error| error.to_string())?;
        subscriber.await.map_err(|error| error.to_string())
    })
}

/// As many tasks as the runtime has threads wait for room in a queue by blocking their threads, so that
/// none is left for the task that makes room.
pub(super) fn blocking_send_in_a_task(runtime: &Runtime) -> Result<u64, String> {
    let threads = runtime.metrics().num_workers();
    let (queue, mut entries) = mpsc::channel(1);
    let all_there = Arc::new(Barrier::new(threads));
    for _ in 0..threads {
        let (queue, all_there) = (queue.clone(), Arc::clone(&all_there));
        runtime.spawn(async move {
            all_there.wait();
            for message in 0..MESSAGES {
                if block_on(queue.send(message)).is_err() {
                    break;
                }
            }
        });
    }
    drop(queue);
    let consumer = runtime.spawn(async move {
        let mut count = 0;
        while entries.recv().await.is_some() {
            count += 1;
        }
        count
    });
    runtime.block_on(consumer).map_err(|error| error.to_string())
}

/// A job on the only thread of a pool waits for another job of that pool.
#[allow(clippy::disallowed_methods)] // what happens without the bridge is the point
pub(super) fn jobs_that_wait_for_jobs(runtime: &Runtime) -> Result<u64, String> {
    let pool = ThreadPool::new(1);
    let (reply, answer) = oneshot::channel();
    let inner = pool.clone();
    pool.execute(move || {
        let (reply_inner, answer_inner) = sync_channel(1);
        inner.execute(move || {
            let _ = reply_inner.send(1);
        });
        let _ = reply.send(answer_inner.recv());
    });
    let answer = runtime.block_on(answer).map_err(|error| error.to_string())?;
    answer.map_err(|error| error.to_string())
}

/// A closure that runs under the store's lock calls the store.
pub(super) fn lock_within_the_lock(runtime: &Runtime) -> Result<u64, String> {
    let store = Arc::new(Mutex::new(0));
    let update = runtime.spawn(async move {
        let outer = store.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = store.lock().unwrap_or_else(PoisonError::into_inner);
        *outer + *inner
    });
    runtime.block_on(update).map_err(|error| error.to_string())
}
