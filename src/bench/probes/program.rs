//! The programs: what waits for storage and for something else at once.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures::executor::block_on;
use futures::future::try_join_all;
use pontoon_storage::{Keyspace, Reader, Store};
use tokio::runtime::Runtime;
use tokio::sync::{Barrier, broadcast, mpsc};
use tokio::task::JoinHandle;

use super::naive;

/// Why a program failed.
pub(super) type Error = Box<dyn std::error::Error + Send + Sync>;

type Running = Pin<Box<dyn Future<Output = Result<u64, Error>> + Send>>;

/// One program.
pub(super) struct Probe {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// How many operations a lane's queue holds, if not as many as by default.
    pub(super) queue_len_max: Option<usize>,
    /// Returns how many operations of the store it waited for.
    pub(super) run: fn(Store, Keyspace) -> Running,
    /// The same shape without a bridge: must never return.
    pub(super) naive: fn(&Runtime) -> Result<u64, String>,
}

pub(super) const PROBES: &[Probe] = &[
    Probe {
        name: "broadcast",
        what: "updates publish to a small broadcast channel; slow subscribers read the store for each \
               message",
        queue_len_max: None,
        run: |store, keyspace| Box::pin(broadcast(store, keyspace)),
        naive: naive::publish_under_the_lock,
    },
    Probe {
        name: "bounded queue",
        what: "tasks and a closure on a storage thread fill a queue of one place; a task empties it \
               into the store",
        queue_len_max: None,
        run: |store, keyspace| Box::pin(bounded_queue(store, keyspace)),
        naive: naive::blocking_send_in_a_task,
    },
    Probe {
        name: "more waiting tasks than threads",
        what: "hundreds of tasks wait for storage and for each other, with one thread that reads, and \
               room for four in a queue",
        queue_len_max: Some(4),
        run: |store, keyspace| Box::pin(many_waiting(store, keyspace)),
        naive: naive::jobs_that_wait_for_jobs,
    },
    Probe {
        name: "calls from within update",
        what: "a closure in update, or in view, calls its own store and waits: it must be refused",
        queue_len_max: None,
        run: |store, keyspace| Box::pin(nested(store, keyspace)),
        naive: naive::lock_within_the_lock,
    },
];

const UPDATES: u64 = 100;
const SUBSCRIBERS: usize = 4;
const CHANNEL_LEN: usize = 8;

/// Twice what the channel holds, so that subscribers cannot keep up.
const MESSAGES_EACH: u64 = 16;

/// A subscriber that is too slow for the channel misses messages, and neither it nor the writer waits.
async fn broadcast(store: Store, keyspace: Keyspace) -> Result<u64, Error> {
    let (publisher, _) = broadcast::channel(CHANNEL_LEN);
    let subscribers = (0..SUBSCRIBERS).map(|_| {
        let (mut messages, store, keyspace) =
            (publisher.subscribe(), store.clone(), keyspace.clone());
        spawn(async move {
            let mut operations = 0;
            loop {
                match messages.recv().await {
                    // The key may not be committed yet: the message comes from within the update.
                    Ok(key) => drop(store.get(&keyspace, u64::to_be_bytes(key)).await?),
                    Err(broadcast::error::RecvError::Lagged(_)) => continue,
                    Err(broadcast::error::RecvError::Closed) => return Ok(operations),
                }
                operations += 1;
            }
        })
    });
    let subscribers: Vec<_> = subscribers.collect();
    for key in 0..UPDATES {
        let (publisher, keyspace) = (publisher.clone(), keyspace.clone());
        let update = move |tx: &mut pontoon_storage::Transaction| {
            tx.put(&keyspace, key.to_be_bytes(), "")?;
            for _ in 0..MESSAGES_EACH {
                // Nobody is left to receive when all subscribers have failed, which they say.
                let _ = publisher.send(key);
            }
            Ok::<_, pontoon_storage::Error>(())
        };
        store.update(update).await?;
    }
    drop(publisher);
    Ok(UPDATES + sum(subscribers).await?)
}

const PRODUCERS: u64 = 64;
const ENTRIES_EACH: u64 = 16;

/// The closure holds a thread that reads while it waits for room; the task that makes room writes, and
/// writing never waits for reading.
async fn bounded_queue(store: Store, keyspace: Keyspace) -> Result<u64, Error> {
    let (queue, mut entries) = mpsc::channel::<u64>(1);
    let consumer = {
        let (store, keyspace) = (store.clone(), keyspace.clone());
        spawn(async move {
            let mut operations = 0;
            while let Some(key) = entries.recv().await {
                store.put(&keyspace, key.to_be_bytes(), "").await?;
                operations += 1;
            }
            Ok(operations)
        })
    };
    let mut producers = Vec::new();
    for producer in 0..PRODUCERS {
        let (queue, store, keyspace) = (queue.clone(), store.clone(), keyspace.clone());
        producers.push(spawn(async move {
            for n in 0..ENTRIES_EACH {
                let key = producer * ENTRIES_EACH + n;
                store.get(&keyspace, key.to_be_bytes()).await?;
                queue.send(key).await?;
            }
            Ok(ENTRIES_EACH)
        }));
    }
    let closure = {
        let (keyspace, first) = (keyspace.clone(), PRODUCERS * ENTRIES_EACH);
        store.view(move |view| {
            for key in first..first + ENTRIES_EACH {
                view.contains(&keyspace, &key.to_be_bytes())?;
                queue.blocking_send(key)?;
            }
            Ok::<_, Error>(1)
        })
    };
    let closures = closure.await?;
    Ok(closures + sum(producers).await? + sum(vec![consumer]).await?)
}

const WAITING: usize = 300;

/// Every task goes on only once all have come as far.
async fn many_waiting(store: Store, keyspace: Keyspace) -> Result<u64, Error> {
    let barrier = Arc::new(Barrier::new(WAITING));
    let tasks = (0..WAITING).map(|n| {
        let (barrier, store, keyspace) = (Arc::clone(&barrier), store.clone(), keyspace.clone());
        spawn(async move {
            let key = n.to_be_bytes();
            store.put(&keyspace, &key, "").await?;
            barrier.wait().await;
            let next = ((n + 1) % WAITING).to_be_bytes();
            if !store.contains(&keyspace, &next).await? {
                return Err("a key that its writer has seen acknowledged is not there".into());
            }
            barrier.wait().await;
            store.delete(&keyspace, &key).await?;
            Ok(3)
        })
    });
    sum(tasks.collect()).await
}

/// Whatever the call, the answer is `Error::Nested`, and the store goes on.
async fn nested(store: Store, keyspace: Keyspace) -> Result<u64, Error> {
    store.put(&keyspace, "key", "value").await?;
    let (inner, names) = (store.clone(), keyspace.clone());
    let update = move |_: &mut pontoon_storage::Transaction| {
        let answers = [
            block_on(inner.get(&names, "key")).map(drop),
            block_on(inner.put(&names, "key", "other")),
            block_on(inner.update(|_| Ok::<_, pontoon_storage::Error>(()))),
        ];
        Ok::<_, pontoon_storage::Error>(answers)
    };
    let mut answers = store.update(update).await?.to_vec();
    let (inner, names) = (store.clone(), keyspace.clone());
    let view = move |_: &pontoon_storage::View| {
        Ok::<_, pontoon_storage::Error>(block_on(inner.get(&names, "key")).map(drop))
    };
    answers.push(store.view(view).await?);
    for answer in &answers {
        if !matches!(answer, Err(pontoon_storage::Error::Nested)) {
            return Err(format!("a call from within a closure got {answer:?}").into());
        }
    }
    match store.get(&keyspace, "key").await?.as_deref() {
        Some(b"value") => Ok(answers.len() as u64 + 4),
        other => Err(format!("afterwards the key held {other:?}").into()),
    }
}

fn spawn(
    task: impl Future<Output = Result<u64, Error>> + Send + 'static,
) -> JoinHandle<Result<u64, Error>> {
    tokio::spawn(task)
}

/// The operations of all tasks, or the first error.
async fn sum(tasks: Vec<JoinHandle<Result<u64, Error>>>) -> Result<u64, Error> {
    let tasks = tasks.into_iter().map(|task| async move { task.await? });
    Ok(try_join_all(tasks).await?.into_iter().sum())
}
