//! The threads of `--runtime per-core`: each runs a runtime of its own, which accepts for itself.
//!
//! The first core is the thread that runs the server, and has no thread here. What blocks still goes
//! over the storage's bridge: nothing here may.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::accept::{Acceptor, Stop};
use crate::listener::Sockets;
use crate::service::Service;

/// A core's thread, which serves until it is told to stop.
#[derive(Debug)]
pub(crate) struct Core {
    ended: oneshot::Receiver<()>,
}

impl Core {
    /// Starts a thread that accepts from `sockets`.
    ///
    /// # Errors
    /// The system's: there is no thread then.
    // A runtime of one thread is that thread, for as long as the server runs.
    #[expect(clippy::disallowed_methods, reason = "it runs a runtime, on which nothing blocks")]
    pub(crate) fn start(
        number: usize,
        sockets: Sockets,
        service: Arc<Service>,
        stop: Stop,
    ) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let acceptor = {
            let _context = runtime.enter();
            Acceptor::new(sockets, service, stop)?
        };
        let (end, ended) = oneshot::channel();
        thread::Builder::new().name(format!("pontoon-core-{number}")).spawn(move || {
            // Goes last, be it by a panic: then what the runtime had is gone.
            let _end = end;
            runtime.block_on(acceptor.serve());
            drop(runtime);
        })?;
        Ok(Self { ended })
    }

    /// Waits until its connections are closed and its runtime is gone.
    pub(crate) async fn ended(self) {
        // It never sends: the thread's end is the other side's.
        let _ = self.ended.await;
    }
}
