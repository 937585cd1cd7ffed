//! The gate of held snapshots alone: few enough steps that every order of them is tried.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;

use crate::engine::Snapshot;
use crate::snapshot::{Slot, SnapshotGate};
use crate::sync::{step, thread};
use crate::view::View;
use crate::{Error, KeyRange, KeyspaceId, Page, PageLimit, Result};

/// What is known of the engine's snapshots: no scheduling point, so that counting changes no schedule.
#[derive(Default)]
struct Counts {
    taken: AtomicU32,
    released: AtomicU32,
}

impl Counts {
    fn held(&self) -> u32 {
        self.taken.load(Ordering::SeqCst) - self.released.load(Ordering::SeqCst)
    }

    fn view(self: &Arc<Self>) -> View {
        self.taken.fetch_add(1, Ordering::SeqCst);
        View::new(Box::new(Counted(Arc::clone(self))), 1, None)
    }
}

struct Counted(Arc<Counts>);

impl Snapshot for Counted {
    fn get(&self, _: KeyspaceId, _: &[u8]) -> Result<Option<Bytes>> {
        Ok(None)
    }

    fn page(&self, _: KeyspaceId, _: &KeyRange, _: bool, _: PageLimit) -> Result<Page> {
        Ok(Page::default())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        step();
        self.0.released.fetch_add(1, Ordering::SeqCst);
    }
}

/// As a view on a held snapshot does it: whether there was one.
fn read(slot: &Slot, counts: &Counts) -> bool {
    let held = slot.read().unwrap_or_else(PoisonError::into_inner);
    if held.is_none() {
        return false;
    }
    assert!(counts.held() > 0, "released before it was read");
    step();
    assert!(counts.held() > 0, "released while it was read");
    true
}

fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    assert!(threads.into_iter().all(|thread| thread.join().is_ok()));
}

/// A view runs on a snapshot whose last handle goes meanwhile.
///
/// # Panics
/// When the view loses its snapshot, or the release returns before it is gone.
pub fn a_release_beside_a_read() {
    let (gate, counts) = (Arc::new(SnapshotGate::new(2)), Arc::<Counts>::default());
    let Ok((id, slot)) = gate.hold(counts.view()) else { unreachable!("there is room") };
    let reader = {
        let (slot, counts) = (Arc::clone(&slot), Arc::clone(&counts));
        thread::spawn(move || {
            // Once gone it does not come back.
            let first = read(&slot, &counts);
            assert!(first || !read(&slot, &counts));
        })
    };
    let releaser = {
        let (gate, counts) = (Arc::clone(&gate), Arc::clone(&counts));
        thread::spawn(move || {
            gate.release(id);
            assert_eq!(counts.held(), 0, "not gone, though the release returned");
        })
    };
    join([reader, releaser]);
    assert_eq!((gate.len(), counts.held()), (0, 0));
    assert!(!read(&slot, &counts));
}

/// The close releases all, while a view still has a slot and the handle of another goes.
///
/// # Panics
/// When one is released twice or not at all, or is read afterwards.
pub fn the_close_beside_a_read_and_a_release() {
    let (gate, counts) = (Arc::new(SnapshotGate::new(2)), Arc::<Counts>::default());
    let (Ok((id, _)), Ok((_, read_slot))) = (gate.hold(counts.view()), gate.hold(counts.view()))
    else {
        unreachable!("there is room")
    };
    let reader = {
        let (slot, counts) = (Arc::clone(&read_slot), Arc::clone(&counts));
        thread::spawn(move || {
            read(&slot, &counts);
        })
    };
    let releaser = {
        let gate = Arc::clone(&gate);
        thread::spawn(move || gate.release(id))
    };
    gate.release_all();
    join([reader, releaser]);
    assert_eq!((gate.len(), counts.held()), (0, 0));
    assert!(!read(&read_slot, &counts), "read after the close released it");
}

/// Two take the only place there is.
///
/// # Panics
/// When both get it, or none, or what was refused is not released, or the place is lost.
pub fn two_for_one_place() {
    let (gate, counts) = (Arc::new(SnapshotGate::new(1)), Arc::<Counts>::default());
    let (within, got) = (Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default());
    join([(); 2].map(|()| {
        let (gate, counts) = (Arc::clone(&gate), Arc::clone(&counts));
        let (within, got) = (Arc::clone(&within), Arc::clone(&got));
        thread::spawn(move || match gate.hold(counts.view()) {
            Ok((id, _)) => {
                got.fetch_add(1, Ordering::SeqCst);
                assert_eq!(within.fetch_add(1, Ordering::SeqCst), 0, "two hold the only place");
                step();
                within.fetch_sub(1, Ordering::SeqCst);
                gate.release(id);
            }
            Err(error) => assert!(matches!(error, Error::Overloaded { .. }), "{error}"),
        })
    }));
    assert!(got.load(Ordering::SeqCst) > 0, "nobody got the place");
    assert_eq!((gate.len(), counts.held()), (0, 0));
    assert!(gate.hold(counts.view()).is_ok(), "the place is lost");
}
