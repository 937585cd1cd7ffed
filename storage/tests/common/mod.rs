//! What the tests of the crate share: every setup a store can run in, and engines that misbehave.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::expect_used)]

pub mod wrap;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use pontoon_storage::{Bridge, EngineKind, Options, Store};

/// Room for some hundred small records.
const CACHE_BYTES: usize = 64 << 10;

/// tokio's own default.
const BLOCKING_THREADS_MAX: usize = 512;

/// Which executor polls the store's futures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    CurrentThread,
    MultiThread,
    /// No tokio at all.
    None,
}

impl Runtime {
    /// `workers`: threads of a multi-thread runtime.
    pub fn block_on<F: Future>(self, workers: usize, future: F) -> F::Output {
        self.block_on_with(workers, BLOCKING_THREADS_MAX, future)
    }

    /// `blocking`: threads for blocking tasks, at the most.
    pub fn block_on_with<F: Future>(self, workers: usize, blocking: usize, future: F) -> F::Output {
        use tokio::runtime::Builder;
        let mut builder = match self {
            Runtime::CurrentThread => Builder::new_current_thread(),
            Runtime::MultiThread => Builder::new_multi_thread(),
            Runtime::None => return futures::executor::block_on(future),
        };
        builder.worker_threads(workers).max_blocking_threads(blocking).enable_all();
        builder.build().unwrap().block_on(future)
    }
}

/// One way to run a store.
#[derive(Debug, Clone)]
pub struct Setup {
    pub engine: EngineKind,
    pub bridge: Bridge,
    pub runtime: Runtime,
    /// One thread for reads, one worker, and queues of one operation; where lanes are tokio's blocking
    /// tasks, one thread for all of them.
    pub tight: bool,
    /// With a record cache, small enough that records are pushed out of it.
    pub cached: bool,
}

impl Setup {
    /// Every engine, mode and runtime, each also with one read thread and queues of one, with a record
    /// cache, and with both.
    pub fn all() -> Vec<Setup> {
        let mut all = Vec::new();
        for &engine in EngineKind::AVAILABLE {
            for (bridge, runtime) in [
                (Bridge::Pool, Runtime::None),
                (Bridge::Pool, Runtime::CurrentThread),
                (Bridge::Pool, Runtime::MultiThread),
                (Bridge::Blocking, Runtime::CurrentThread),
                (Bridge::Blocking, Runtime::MultiThread),
            ] {
                for (tight, cached) in [(false, false), (true, false), (false, true), (true, true)]
                {
                    all.push(Setup { engine, bridge: bridge.clone(), runtime, tight, cached });
                }
            }
        }
        all
    }

    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let (workers, blocking) = if self.tight { (1, 1) } else { (2, BLOCKING_THREADS_MAX) };
        self.runtime.block_on_with(workers, blocking, future)
    }

    /// Those whose engine keeps its data.
    pub fn persistent() -> Vec<Setup> {
        Self::all().into_iter().filter(|setup| setup.engine.is_persistent()).collect()
    }

    pub fn options(&self, dir: &std::path::Path) -> Options {
        let options = Options::new(dir).engine(self.engine).bridge(self.bridge.clone());
        let options = options.cache_bytes(if self.cached { CACHE_BYTES } else { 0 });
        if !self.tight {
            return options;
        }
        let options = options.read_threads_max(1).queue_len_max(1);
        match self.bridge {
            Bridge::Pool => options.pool_threads(1),
            _ => options,
        }
    }
}

/// Runs `test` in every one of `setups`, each in a new directory, and names the one that fails.
pub fn for_each<F, Fut>(setups: Vec<Setup>, test: F)
where
    F: Fn(Setup, Options) -> Fut,
    Fut: Future<Output = ()>,
{
    for setup in setups {
        let dir = tempfile::tempdir().unwrap();
        let options = setup.options(&dir.path().join("store"));
        let run = || setup.block_on(test(setup.clone(), options));
        if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
            eprintln!("failed in {setup:?}");
            resume_unwind(panic);
        }
    }
}

/// Runs `test` on a new store in every setup, and closes it.
pub fn for_each_store<F, Fut>(test: F)
where
    F: Fn(Store) -> Fut,
    Fut: Future<Output = ()>,
{
    for_each(Setup::all(), |_, options| async {
        let store = Store::open(options).await.unwrap();
        test(store.clone()).await;
        store.close().await.unwrap();
    });
}
