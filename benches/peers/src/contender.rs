//! Who takes part, and how each makes a call.
//!
//! To add one: a variant, and an arm in [`Contender::measure`].

use bytes::Bytes;
use clap::ValueEnum;
use pontoon_storage::{Durability, EngineKind};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::cli::Workload;
use crate::load::{self, Load, Sample};
use crate::subject::{PontoonStore, Subject, VALUE_BYTES, value};

/// The rows of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Contender {
    /// Synchronous calls from two plain threads: what there is to lose
    Direct,
    /// One `tokio::task::spawn_blocking` per call: what there is to gain
    SpawnBlocking,
    /// One job per call on a pool of the crate affinitypool, two threads
    Affinitypool,
    /// One `blocking::unblock` per call, of the crate blocking
    BlockingCrate,
    /// One job per call through a bounded channel to two threads, answered by a oneshot
    Channel,
    /// Pontoon's lanes over two threads of its own for reads
    PontoonPool,
    /// Pontoon's lanes over tokio's blocking threads
    PontoonBlocking,
    /// The store fjall, one `spawn_blocking` per call
    Fjall,
    /// SQLite through the crate tokio-rusqlite: one connection, one thread
    TokioRusqlite,
}

impl Contender {
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// fjall and SQLite write files; beside an engine that keeps nothing they would show nothing.
    pub(crate) fn suits(self, kind: EngineKind) -> bool {
        kind.is_persistent() || !matches!(self, Contender::Fjall | Contender::TokioRusqlite)
    }

    /// Loads this contender alone and says how it did.
    pub(crate) fn measure(
        self,
        runtime: &Runtime,
        subject: &Subject,
        workload: Workload,
        load: &Load,
    ) -> Sample {
        match self {
            Contender::Direct => {
                let calls = subject.calls(workload);
                load::direct(load, |request| check(workload, calls.call(request)))
            }
            Contender::SpawnBlocking => {
                let calls = subject.calls(workload);
                load::concurrent(runtime, load, move |request| {
                    let calls = calls.clone();
                    async move {
                        let called = tokio::task::spawn_blocking(move || calls.call(request)).await;
                        check(workload, called.unwrap());
                    }
                })
            }
            Contender::Affinitypool => {
                let (calls, pool) = (subject.calls(workload), subject.affinitypool.clone());
                load::concurrent(runtime, load, move |request| {
                    let (calls, pool) = (calls.clone(), pool.clone());
                    async move { check(workload, pool.spawn(move || calls.call(request)).await) }
                })
            }
            Contender::BlockingCrate => {
                let calls = subject.calls(workload);
                load::concurrent(runtime, load, move |request| {
                    let calls = calls.clone();
                    let called = blocking::unblock(move || calls.call(request));
                    async move { check(workload, called.await) }
                })
            }
            Contender::Channel => {
                let (calls, channel) = (subject.calls(workload), subject.channel.sender());
                load::concurrent(runtime, load, move |request| {
                    let (calls, channel) = (calls.clone(), channel.clone());
                    async move {
                        let (reply, called) = oneshot::channel();
                        let job = Box::new(move || drop(reply.send(calls.call(request))));
                        channel.send_async(job).await.unwrap();
                        check(workload, called.await.unwrap());
                    }
                })
            }
            Contender::PontoonPool => pontoon(&subject.pool, runtime, workload, load),
            Contender::PontoonBlocking => pontoon(&subject.blocking, runtime, workload, load),
            Contender::Fjall => {
                let fjall = subject.fjall.clone().unwrap();
                load::concurrent(runtime, load, move |request| {
                    let fjall = fjall.clone();
                    async move {
                        let call = move || fjall.call(workload, request);
                        check(workload, tokio::task::spawn_blocking(call).await.unwrap());
                    }
                })
            }
            Contender::TokioRusqlite => {
                let sqlite = subject.sqlite.clone().unwrap();
                load::concurrent(runtime, load, move |request| {
                    let sqlite = sqlite.clone();
                    async move { check(workload, sqlite.call(workload, request).await) }
                })
            }
        }
    }
}

fn pontoon(subject: &PontoonStore, runtime: &Runtime, workload: Workload, load: &Load) -> Sample {
    let keyspace = subject.keyspace.clone();
    let store = match workload {
        Workload::Get | Workload::Put => subject.store.clone(),
        Workload::DurablePut => subject.store.with_durability(Durability::Always),
    };
    load::concurrent(runtime, load, move |request| {
        let (store, keyspace) = (store.clone(), keyspace.clone());
        async move {
            let found = match workload {
                Workload::Get => store.get(&keyspace, request.key).await.unwrap(),
                Workload::Put | Workload::DurablePut => {
                    store.put(&keyspace, request.key, value(request.nonce)).await.unwrap();
                    None
                }
            };
            check(workload, found);
        }
    })
}

/// A contender that is fast because it finds nothing is not fast.
fn check(workload: Workload, found: Option<Bytes>) {
    assert_eq!(found.map(|value| value.len()), (workload == Workload::Get).then_some(VALUE_BYTES));
}
