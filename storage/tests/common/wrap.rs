//! An engine wrapped through the same trait that production uses: it watches, stalls and fails.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use bytes::Bytes;
use pontoon_storage::engine::{Changes, Engine, Progress, Snapshot};
use pontoon_storage::{
    EngineKind, EngineStats, Error, KeyRange, KeyspaceId, Options, Page, PageLimit, Result,
};
use tempfile::TempDir;

/// Called with the name of the engine call that starts.
pub type OnCall = Box<dyn Fn(&'static str) + Send>;

/// What a test does to the engine below its store, and learns from it.
#[derive(Default)]
pub struct Control {
    pub fail_apply: AtomicBool,
    /// How many applies succeed though `fail_apply` is set.
    pub applies_before_failure: AtomicUsize,
    pub panic_in_apply: AtomicBool,
    pub fail_sync: AtomicBool,
    pub applies: AtomicUsize,
    pub synced_applies: AtomicUsize,
    pub syncs: AtomicUsize,
    pub snapshots_alive: AtomicUsize,
    pub dropped: AtomicBool,
    /// Whether many gets are one call that does not tell how far it is.
    pub gets_at_once: AtomicBool,
    /// Keys whose `get` waits at the gate.
    pub held_get: Mutex<Option<Bytes>>,
    pub open_gate: Gate,
    pub apply_gate: Gate,
    /// Held up with the changes applied.
    pub applied_gate: Gate,
    /// What is applied is reported as failed.
    pub fail_applied: AtomicBool,
    pub get_gate: Gate,
    pub checkpoint_gate: Gate,
    /// Called at the start of every engine call.
    pub on_call: Mutex<Option<OnCall>>,
}

impl Control {
    fn called(&self, what: &'static str) {
        if let Some(on_call) = &*self.on_call.lock().unwrap() {
            on_call(what);
        }
    }
}

/// Holds threads up until opened. Open at first.
#[derive(Default)]
pub struct Gate {
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Gate {
    pub fn shut(&self) {
        self.state.lock().unwrap().0 = true;
    }

    pub fn open(&self) {
        self.state.lock().unwrap().0 = false;
        self.changed.notify_all();
    }

    /// Opens, and blocks until nobody is held up here any more.
    pub fn let_through(&self) {
        self.open();
        let mut state = self.state.lock().unwrap();
        while state.1 > 0 {
            state = self.changed.wait(state).unwrap();
        }
    }

    /// Blocks until `count` threads are held up here.
    pub fn wait_for_held(&self, count: usize) {
        let mut state = self.state.lock().unwrap();
        while state.1 < count {
            state = self.changed.wait(state).unwrap();
        }
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        self.changed.notify_all();
        while state.0 {
            state = self.changed.wait(state).unwrap();
        }
        state.1 -= 1;
        self.changed.notify_all();
    }
}

/// `options` with `kind` wrapped under `control`.
pub fn wrapped(options: Options, kind: EngineKind, control: &Arc<Control>) -> Options {
    let control = Arc::clone(control);
    options.custom_engine(
        kind.name(),
        Arc::new(move |dir: &Path, engine_options, names| {
            control.called("open");
            control.open_gate.pass();
            let inner = kind.open(dir, engine_options, names)?;
            Ok(Box::new(Wrapped { inner, control: Arc::clone(&control) }))
        }),
    )
}

/// A store in `dir` whose engine, in memory, is under the control that is returned.
pub fn controlled(dir: &TempDir) -> (Options, Arc<Control>) {
    let control = Arc::new(Control::default());
    let options = Options::new(dir.path().join("store"));
    (wrapped(options, EngineKind::Memory, &control), control)
}

struct Wrapped {
    inner: Box<dyn Engine>,
    control: Arc<Control>,
}

impl Drop for Wrapped {
    fn drop(&mut self) {
        self.control.called("drop");
        self.control.dropped.store(true, Ordering::SeqCst);
    }
}

fn injected() -> Error {
    Error::engine("injected failure")
}

impl Engine for Wrapped {
    fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        self.control.called("snapshot");
        let inner = self.inner.snapshot()?;
        self.control.snapshots_alive.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(WrappedSnapshot { inner: Some(inner), control: Arc::clone(&self.control) }))
    }

    fn get_many(
        &self,
        keys: &[(KeyspaceId, &[u8])],
        progress: &dyn Progress,
    ) -> Vec<Result<Option<Bytes>>> {
        let snapshot = match self.snapshot() {
            Ok(snapshot) => snapshot,
            Err(error) => return vec![Err(error); keys.len()],
        };
        if self.control.gets_at_once.load(Ordering::SeqCst) {
            return snapshot.get_many(keys);
        }
        let get = |(index, (keyspace, key)): (usize, &(KeyspaceId, &[u8]))| {
            if progress.begin(index) { snapshot.get(*keyspace, key) } else { Ok(None) }
        };
        keys.iter().enumerate().map(get).collect()
    }

    fn apply(&self, changes: &Changes, sync: bool) -> Result<()> {
        self.control.called("apply");
        self.control.apply_gate.pass();
        assert!(!self.control.panic_in_apply.load(Ordering::SeqCst), "injected panic");
        let passes = self.control.applies_before_failure.load(Ordering::SeqCst);
        if self.control.fail_apply.load(Ordering::SeqCst)
            && self.control.applies.load(Ordering::SeqCst) >= passes
        {
            return Err(injected());
        }
        self.control.applies.fetch_add(1, Ordering::SeqCst);
        self.control.synced_applies.fetch_add(usize::from(sync), Ordering::SeqCst);
        self.inner.apply(changes, sync)?;
        self.control.applied_gate.pass();
        if self.control.fail_applied.load(Ordering::SeqCst) { Err(injected()) } else { Ok(()) }
    }

    fn sync(&self) -> Result<()> {
        self.control.called("sync");
        self.control.syncs.fetch_add(1, Ordering::SeqCst);
        if self.control.fail_sync.load(Ordering::SeqCst) {
            return Err(injected());
        }
        self.inner.sync()
    }

    fn drop_keyspace(&self, keyspace: KeyspaceId) -> Result<bool> {
        self.control.called("drop_keyspace");
        let dropped = self.inner.drop_keyspace(keyspace)?;
        self.control.applied_gate.pass();
        Ok(dropped)
    }

    fn keyspaces(&self) -> Result<Vec<String>> {
        self.control.called("keyspaces");
        self.inner.keyspaces()
    }

    fn checkpoint(&self, into: &Path) -> Result<()> {
        self.control.called("checkpoint");
        self.control.checkpoint_gate.pass();
        self.inner.checkpoint(into)
    }

    fn stats(&self) -> Result<EngineStats> {
        self.control.called("stats");
        self.inner.stats()
    }

    fn unsynced_dies_with_process(&self) -> bool {
        self.inner.unsynced_dies_with_process()
    }

    fn close(&self) -> Result<()> {
        self.control.called("close");
        assert_eq!(self.control.snapshots_alive.load(Ordering::SeqCst), 0, "a snapshot is left");
        self.inner.close()
    }
}

struct WrappedSnapshot {
    inner: Option<Box<dyn Snapshot>>,
    control: Arc<Control>,
}

impl WrappedSnapshot {
    fn inner(&self) -> &dyn Snapshot {
        self.inner.as_deref().unwrap()
    }
}

impl Drop for WrappedSnapshot {
    fn drop(&mut self) {
        self.control.called("release");
        drop(self.inner.take());
        self.control.snapshots_alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Snapshot for WrappedSnapshot {
    fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Bytes>> {
        self.control.called("get");
        let held = self.control.held_get.lock().unwrap().as_deref() == Some(key);
        if held {
            self.control.get_gate.pass();
        }
        self.inner().get(keyspace, key)
    }

    fn page(
        &self,
        keyspace: KeyspaceId,
        range: &KeyRange,
        reverse: bool,
        limit: PageLimit,
    ) -> Result<Page> {
        self.control.called("page");
        self.inner().page(keyspace, range, reverse, limit)
    }
}
