//! What all connections run their commands with, and how the store under them is closed and opened
//! again.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::{ArcSwapOption, Guard};
use futures::future::BoxFuture;
use pontoon_storage::{Error, Store};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

use crate::command::ServerState;
use crate::data::Databases;

/// The server's own state, and the store, which may be [reopened](Service::reopen) under running
/// clients.
pub struct Service {
    /// The server's own state.
    pub state: ServerState,
    /// `None` while it is reopened.
    storage: ArcSwapOption<Storage>,
    /// Told when there is one again.
    is_back: Notify,
    /// Fails when nobody uses the current one any more.
    last_use: Mutex<Option<oneshot::Receiver<()>>>,
    opener: OnceLock<(Opener, Handle)>,
}

/// Opens the store.
pub type Opener = fn(&ServerState) -> BoxFuture<'static, Result<(Store, Databases), Error>>;

/// A store, with where the databases are in it. Whoever holds one keeps it from being closed, so hold it
/// for one job, and not while waiting for anything else.
pub struct Storage {
    /// The store.
    pub store: Store,
    /// Where the databases are in it.
    pub databases: Databases,
    _last_use: oneshot::Sender<()>,
}

impl Service {
    /// One with this store.
    pub fn new(state: ServerState, store: Store, databases: Databases) -> Self {
        let service = Self {
            state,
            storage: ArcSwapOption::empty(),
            is_back: Notify::new(),
            last_use: Mutex::default(),
            opener: OnceLock::new(),
        };
        service.put(store, databases);
        service
    }

    /// The store, once it is there: only while it is reopened does one wait for it. Dropping the future
    /// loses nothing.
    pub async fn storage(&self) -> Arc<Storage> {
        loop {
            if let Some(storage) = self.storage.load_full() {
                return storage;
            }
            let mut is_back = pin!(self.is_back.notified());
            is_back.as_mut().enable();
            // It may have come before anybody listened.
            if let Some(storage) = self.storage.load_full() {
                return storage;
            }
            is_back.await;
        }
    }

    /// The store for a moment, without waiting; `None` while it is reopened. Costs less than
    /// [`storage`](Service::storage).
    pub fn storage_now(&self) -> Guard<Option<Arc<Storage>>> {
        self.storage.load()
    }

    /// Sets, once, how [`reload`](Service::reload) opens the store, and the runtime where: the one that it
    /// was opened in first, which may have to run its jobs.
    pub fn set_opener(&self, opener: Opener, runtime: Handle) {
        // A second call would come from a second server.
        let _ = self.opener.set((opener, runtime));
    }

    /// [Reopens](Service::reopen) the store, from where it is. Dropping the future does not stop it.
    ///
    /// # Errors
    /// As for `reopen`.
    pub async fn reload(self: &Arc<Self>) -> Result<(), Error> {
        let (opener, runtime) =
            self.opener.get().ok_or_else(|| Error::Unsupported("nothing opens it".into()))?;
        let (service, opener) = (Arc::clone(self), *opener);
        let reloading =
            runtime.spawn(async move { service.reopen(|| opener(&service.state)).await });
        let outcome =
            reloading.await.unwrap_or_else(|error| Err(Error::Panicked(error.to_string())));
        if let Err(error) = &outcome {
            tracing::error!(%error, "the store was not reopened");
        }
        outcome
    }

    /// Closes the store and puts what `open` returns in its place. What runs finishes first; what
    /// comes meanwhile waits. When the future is dropped the store is there again, though it may be closed.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if it is being reopened already; what `open` says: then the store is there
    /// again, closed, so that everything fails until another attempt succeeds.
    pub async fn reopen<F>(&self, open: impl FnOnce() -> F) -> Result<(), Error>
    where
        F: Future<Output = Result<(Store, Databases), Error>>,
    {
        let Some(old) = self.storage.swap(None) else {
            return Err(Error::Overloaded { what: "number of reopenings" });
        };
        let last_use = mem::take(&mut *self.last_use());
        let (store, databases) = (old.store.clone(), old.databases.clone());
        let closed = PutBack(self, Some((store.clone(), databases)));
        drop(old);
        if let Some(last_use) = last_use {
            // Its sender says nothing: it goes with the last who used the store.
            let _ = last_use.await;
        }
        if let Err(error) = store.close().await {
            // It is closed all the same, and what was lost shows when it is opened.
            tracing::error!(%error, "the store did not close in order");
        }
        let (store, databases) = open().await?;
        closed.replace(store, databases);
        // What could not be written is of the past.
        self.state.last_write_ok.store(true, Relaxed);
        Ok(())
    }

    fn put(&self, store: Store, databases: Databases) {
        let (sender, receiver) = oneshot::channel();
        *self.last_use() = Some(receiver);
        let storage = Storage { store, databases, _last_use: sender };
        self.storage.store(Some(Arc::new(storage)));
        self.is_back.notify_waiters();
    }

    fn last_use(&self) -> MutexGuard<'_, Option<oneshot::Receiver<()>>> {
        self.last_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is put back into the service when this is dropped, so that nobody waits for ever.
struct PutBack<'a>(&'a Service, Option<(Store, Databases)>);

impl PutBack<'_> {
    fn replace(mut self, store: Store, databases: Databases) {
        self.1 = Some((store, databases));
    }
}

impl Drop for PutBack<'_> {
    fn drop(&mut self) {
        if let Some((store, databases)) = self.1.take() {
            self.0.put(store, databases);
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("state", &self.state).finish_non_exhaustive()
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage").field("store", &self.store).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::FutureExt;
    use futures::executor::block_on;
    use pontoon_storage::Options;

    use super::*;
    use crate::command::Settings;
    use crate::data::STORAGE_KEY_BYTES_MAX;

    async fn open() -> Result<(Store, Databases), Error> {
        let options = Options::in_memory().key_bytes_max(STORAGE_KEY_BYTES_MAX).pool_threads(1);
        let store = Store::open(options).await?;
        let databases = Databases::open(&store).await?;
        Ok((store, databases))
    }

    async fn service() -> Service {
        let (store, databases) = open().await.unwrap();
        Service::new(ServerState::new(Settings::default()), store, databases)
    }

    #[test]
    fn reopening_waits_for_who_uses_the_store_and_others_wait_for_it() {
        block_on(async {
            let service = service().await;
            let held = service.storage().await;
            let mut reopening = Box::pin(service.reopen(open));
            assert!((&mut reopening).now_or_never().is_none());
            let mut waiting = Box::pin(service.storage());
            assert!((&mut waiting).now_or_never().is_none());
            assert!(service.storage_now().is_none());
            // It is not closed before it is let go.
            assert!(held.store.stats().await.is_ok());
            let old = held.store.clone();
            drop(held);
            let (reopened, new) = futures::join!(reopening, waiting);
            reopened.unwrap();
            assert!(new.store.stats().await.is_ok());
            assert!(matches!(old.stats().await, Err(Error::Closed)));
        });
    }

    #[test]
    fn a_store_that_does_not_open_again_is_there_closed_until_another_attempt() {
        block_on(async {
            let service = service().await;
            let failing = || async { Err(Error::Unsupported("on purpose".into())) };
            assert!(matches!(service.reopen(failing).await, Err(Error::Unsupported(_))));
            let closed = service.storage().await;
            assert!(matches!(closed.store.stats().await, Err(Error::Closed)));
            drop(closed);
            service.reopen(open).await.unwrap();
            assert!(service.storage().await.store.stats().await.is_ok());
        });
    }

    #[test]
    fn one_reopens_at_a_time() {
        block_on(async {
            let service = service().await;
            let held = service.storage().await;
            let mut reopening = Box::pin(service.reopen(open));
            assert!((&mut reopening).now_or_never().is_none());
            assert!(matches!(service.reopen(open).await, Err(Error::Overloaded { .. })));
            drop(held);
            reopening.await.unwrap();
        });
    }
}
