//! The process whose system calls fail: it opens a store, writes, reads, makes a checkpoint, closes, and
//! says of each call how it ended. It never gives up: what fails is its business.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use futures::future::join_all;
use futures::join;
use pontoon_storage::{Bridge, Durability, Error, Options, Reader, Result, ScanOptions, Store};

use crate::common::Runtime;
use crate::workload::{COUNTER, State, WRITERS, operation, own_keyspace, writer_of};

/// Operations of one writer.
const OPERATIONS: u64 = 12;

/// Written by those that have seen a write fail, to see that none is taken any more.
pub const PROBES: &str = "probes";

/// What the parent tells the child.
pub struct Task {
    pub options: Options,
    pub bridge: Bridge,
    pub runtime: Runtime,
    pub seed: u64,
    /// The index of each writer's next operation.
    pub starts: Vec<u64>,
    pub checkpoint: PathBuf,
}

pub fn run(task: Task) -> ! {
    let out = Out::new();
    // The test harness may have begun a line of its own.
    out.say("\nopening");
    wait_for_go();
    block_on(&task, work(&task, &out));
    out.say("end");
    // At once: the harness writes to say how it went, which may be made to fail.
    std::process::exit(0);
}

/// Without tokio's I/O driver, which wakes itself through a `write` of its own.
fn block_on<F: Future>(task: &Task, future: F) -> F::Output {
    use tokio::runtime::Builder;
    match (task.runtime, &task.bridge) {
        (Runtime::None, Bridge::Pool) => futures::executor::block_on(future),
        (Runtime::CurrentThread, _) => {
            Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
        }
        _ => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(2).enable_time().build().unwrap().block_on(future)
        }
    }
}

async fn work(task: &Task, out: &Out) {
    let store = match Store::open(task.options.clone()).await {
        Ok(store) => store,
        Err(error) => return out.say(&format!("open {}", describe(&error))),
    };
    out.say("open ok");
    let before = everything_in(&store).await;
    out.outcome("read", before.as_ref().err());
    let failed = AtomicBool::new(false);
    let writers = join_all(task.starts.iter().enumerate().map(|(writer, &start)| {
        let state = before.as_ref().map(|all| part_of(all, writer)).unwrap_or_default();
        let writing = Writing { store: &store, out, seed: task.seed, writer, failed: &failed };
        writing.run(start, state)
    }));
    let (states, ()) = join!(writers, look_around(task, &store, out));
    let after = everything_in(&store).await;
    out.outcome("read", after.as_ref().err());
    if let (Ok(_), Ok(after)) = (&before, &after) {
        for (writer, states) in states.iter().enumerate() {
            if !states.contains(&part_of(after, writer)) {
                out.say(&format!("wrong {writer}"));
            }
        }
    }
    let closed = store.close().await;
    out.outcome("close", closed.as_ref().err());
}

/// Calls that write nothing, while others write.
async fn look_around(task: &Task, store: &Store, out: &Out) {
    out.outcome("keyspaces", store.keyspaces().await.err().as_ref());
    out.outcome("checkpoint", store.checkpoint(&task.checkpoint).await.err().as_ref());
    out.outcome("stats", store.stats().await.err().as_ref());
    let snapshot = store.snapshot().await;
    out.outcome("snapshot", snapshot.err().as_ref());
}

struct Writing<'w> {
    store: &'w Store,
    out: &'w Out,
    seed: u64,
    writer: usize,
    /// Whether somebody's write has failed, so that none may be taken any more.
    failed: &'w AtomicBool,
}

impl Writing<'_> {
    /// Writes until the first failure. Returns what may be there then.
    async fn run(self, start: u64, mut state: State) -> Vec<State> {
        let Self { store, out, seed, writer, failed } = self;
        for index in start..start + OPERATIONS {
            let operation = operation(seed, writer, index);
            let may_be_taken = !failed.load(SeqCst);
            out.say(&format!("submit {writer} {index}"));
            match operation.clone().run(store).await {
                Ok(synced) => {
                    out.say(&format!("ack {writer} {index} {synced}"));
                    if !may_be_taken {
                        out.say(&format!("late {writer} {index}"));
                    }
                    operation.apply(&mut state);
                }
                Err(error) => {
                    out.say(&format!("write {}", describe(&error)));
                    let mut states = vec![state.clone()];
                    if error.outcome_unknown() || matches!(error, Error::ReadOnly(_)) {
                        failed.store(true, SeqCst);
                    }
                    if error.outcome_unknown() {
                        operation.apply(&mut state);
                        states.push(state);
                    }
                    self.probe().await;
                    return states;
                }
            }
        }
        vec![state]
    }

    /// After a failed write of any kind, more of it: each must be refused, or be true.
    async fn probe(&self) {
        let failed = self.failed.load(SeqCst);
        let Self { store, out, writer, .. } = self;
        let keyspace = store.keyspace(PROBES).unwrap();
        let durable = store.with_durability(Durability::Always);
        let put = durable.put(&keyspace, writer.to_string(), "v").await;
        let dropped = store.drop_keyspace(&store.keyspace("none").unwrap()).await.map(drop);
        for probed in [put, store.sync().await, dropped] {
            match probed {
                Ok(()) if failed => out.say(&format!("late {writer} probe")),
                Ok(()) => {}
                Err(error) => out.say(&format!("write {}", describe(&error))),
            }
        }
    }
}

async fn everything_in(store: &Store) -> Result<State> {
    let names = store.keyspaces().await?;
    let keyspaces = names.iter().map(|name| store.keyspace(name)).collect::<Result<Vec<_>>>()?;
    let read = store.view(move |view| {
        let mut found = BTreeMap::new();
        for keyspace in keyspaces {
            for entry in view.scan(&keyspace, .., ScanOptions::default()) {
                let (key, value) = entry?;
                let key = String::from_utf8(key.to_vec()).unwrap();
                found.insert((keyspace.name().to_owned(), key), value.to_vec());
            }
        }
        Ok::<_, Error>(found)
    });
    read.await
}

/// What `writer` has written, and nobody else.
fn part_of(all: &State, writer: usize) -> State {
    let is_own = |keyspace: &str, key: &str| {
        keyspace != PROBES
            && key != COUNTER
            && (keyspace == own_keyspace(writer)
                || writer_of(key) == Some(writer)
                    && (0..WRITERS).all(|other| keyspace != own_keyspace(other)))
    };
    let own = all.iter().filter(|((keyspace, key), _)| is_own(keyspace, key));
    own.map(|(place, value)| (place.clone(), value.clone())).collect()
}

/// The variant, and what it says.
fn describe(error: &Error) -> String {
    let variant = format!("{error:?}");
    let variant = variant.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    format!("{variant} {error}").replace('\n', " ")
}

/// Standard output, written to by `writev`, which no engine calls: so that no failure meant for an engine
/// hits it. Past the harness, which captures what `println!` prints.
struct Out(Mutex<File>);

impl Out {
    fn new() -> Self {
        Self(Mutex::new(File::from(std::io::stdout().as_fd().try_clone_to_owned().unwrap())))
    }

    fn say(&self, line: &str) {
        let line = format!("{line}\n");
        let written = self.0.lock().unwrap().write_vectored(&[IoSlice::new(line.as_bytes())]);
        // Without a reader there is nobody to go on for.
        if !matches!(written, Ok(len) if len == line.len()) {
            std::process::exit(1);
        }
    }

    fn outcome(&self, what: &str, error: Option<&Error>) {
        self.say(&format!("{what} {}", error.map_or("ok".into(), describe)));
    }
}

/// Waits until the parent has put its hand on this process; by `readv`, for the same reason.
fn wait_for_go() {
    let mut input = File::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let mut byte = [0];
    if !matches!(input.read_vectored(&mut [IoSliceMut::new(&mut byte)]), Ok(1)) {
        std::process::exit(1);
    }
}
