//! The signals that end the server, and the one that does not.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT and SIGTERM, caught from when this is made; SIGHUP is ignored from then on.
#[derive(Debug)]
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    /// Caught so that it is ignored, as by Redis: a terminal that closes must not end the server.
    _hangup: Signal,
}

/// A signal that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopSignal {
    Interrupt,
    Terminate,
}

impl StopSignals {
    /// Catches them from now on. Must run inside a tokio runtime.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn catch() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            _hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one. Dropping the future loses none.
    pub(crate) async fn next(&mut self) -> StopSignal {
        tokio::select! {
            Some(()) = self.interrupt.recv() => StopSignal::Interrupt,
            Some(()) = self.terminate.recv() => StopSignal::Terminate,
            // Neither can come any more.
            else => std::future::pending().await,
        }
    }

    /// The next SIGINT, which is somebody at a keyboard, who has lost patience. What else comes while the
    /// server stops is ignored, as by Redis: programs that stop others send their signals more than once.
    /// Dropping the future loses none.
    pub(crate) async fn interrupted(&mut self) -> StopSignal {
        match self.interrupt.recv().await {
            Some(()) => StopSignal::Interrupt,
            // None can come any more.
            None => std::future::pending().await,
        }
    }
}

impl StopSignal {
    /// The exit code by which shells know a process that this signal ended.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            StopSignal::Interrupt => 130,
            StopSignal::Terminate => 143,
        }
    }
}
