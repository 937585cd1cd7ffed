//! What can go wrong, and what the caller can do about it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// The result of every call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The cause kept inside an [`Error`]: shared, because one failed commit answers many callers.
pub type Cause = Arc<dyn std::error::Error + Send + Sync + 'static>;

/// Why a call failed. Each variant says what the caller can do.
///
/// [`is_retryable`](Error::is_retryable) and [`outcome_unknown`](Error::outcome_unknown) sort them
/// for code that only wants to know whether to try again.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Error {
    /// An argument or option makes no sense. Nothing was done; correct the call.
    InvalidArgument(String),
    /// A key, a value, a batch or a transaction is over its limit. Nothing was done; send less, or
    /// raise the limit in [`Options`](crate::Options).
    TooLarge {
        /// What is too large: `"key"`, `"value"`, `"transaction"`, …
        what: &'static str,
        /// Its size in bytes (or a count, for `"keyspaces"`).
        size: u64,
        /// The limit it is over.
        limit: u64,
    },
    /// A queue is full and the call asked not to wait, or as many snapshots are held as may be.
    /// Nothing was done; retry later.
    Overloaded {
        /// What is at its limit: `"read queue"`, `"write queue"`, `"background queue"`, or
        /// `"number of snapshots held"`.
        what: &'static str,
    },
    /// The deadline passed before the operation started. It never ran; retry if it still matters.
    Deadline,
    /// The closure of this call (or the code it called) panicked. Its writes were rolled back and
    /// the store goes on.
    Panicked(String),
    /// The store was called, and waited for, from inside a closure of its own, which would wait
    /// for itself forever. Use the transaction or view that the closure was given.
    Nested,
    /// What a closure is told over [`Cached`](crate::Cached) when the record cache does not have what
    /// it reads. Pass it on: the closure is then run again across the bridge.
    NotCached,
    /// `Bridge::Blocking` found no tokio runtime. Open inside one, or pass its handle.
    NoRuntime,
    /// The bridge could not run the operation: its runtime or threads are gone, or no thread could
    /// be started. It never ran.
    Bridge(String),
    /// The store is closed or closing. Open it again.
    Closed,
    /// Applying or syncing the batch failed: it may be there whole, or not at all, and only
    /// reopening tells. The store refuses writes from now on (see [`Error::ReadOnly`]).
    Commit(Cause),
    /// A former commit failed, so writes are refused until the store is reopened. Reads go on where
    /// the engine allows.
    ReadOnly(Cause),
    /// The engine found damaged data, or data that this version does not know.
    Corrupted(Cause),
    /// Another handle, in this process or another, has the directory open.
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory holds data of another engine or of a newer format.
    WrongEngine {
        /// The directory.
        dir: PathBuf,
        /// What its marker file names.
        found: String,
        /// What was asked for.
        asked: String,
    },
    /// This engine, or this build of the crate, cannot do that.
    Unsupported(String),
    /// The engine or the file system failed on something other than a commit.
    Engine(Cause),
}

impl Error {
    /// Whether the same call may succeed later with nothing else changed: the operation did not
    /// run, and what stopped it passes.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Error::Overloaded { .. } | Error::Deadline)
    }

    /// Whether the write may or may not have happened.
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, Error::Commit(_))
    }

    /// Wraps an engine's or the system's error as [`Error::Engine`].
    pub fn engine(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Error::Engine(Arc::from(cause.into()))
    }

    /// Wraps an engine's error as [`Error::Corrupted`].
    pub fn corrupted(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Error::Corrupted(Arc::from(cause.into()))
    }

    /// This error as a cause inside another: the cause it holds, or else itself.
    pub(crate) fn into_cause(self) -> Cause {
        match self {
            Error::Engine(cause) | Error::Corrupted(cause) | Error::Commit(cause) => cause,
            other => Arc::new(other),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::InvalidArgument(why) => f.write_str(why),
            Error::TooLarge { what, size, limit } => {
                write!(f, "{what} is too large: {size}, and the limit is {limit}")
            }
            Error::Overloaded { what } => write!(f, "the {what} is at its limit"),
            Error::Deadline => f.write_str("the deadline passed before the operation started"),
            Error::Panicked(message) => write!(f, "the operation panicked: {message}"),
            Error::NotCached => f.write_str("the record cache does not have it"),
            Error::Nested => f.write_str(
                "the store was called from inside one of its own closures; use the transaction or \
                 view that the closure was given",
            ),
            Error::NoRuntime => f.write_str(
                "blocking mode needs a tokio runtime: open the store inside one, or give its handle",
            ),
            Error::Bridge(why) => write!(f, "the bridge could not run the operation: {why}"),
            Error::Closed => f.write_str("the store is closed"),
            Error::Commit(cause) => {
                write!(f, "the commit failed and its outcome is unknown until reopened: {cause}")
            }
            Error::ReadOnly(cause) => {
                write!(f, "writes are refused until reopened, since a commit failed: {cause}")
            }
            Error::Corrupted(cause) => write!(f, "the data is damaged: {cause}"),
            Error::Locked { dir } => {
                write!(f, "{} is already open, here or in another process", dir.display())
            }
            Error::WrongEngine { dir, found, asked } => {
                write!(f, "{} holds {found} data, not {asked}", dir.display())
            }
            Error::Unsupported(what) => f.write_str(what),
            Error::Engine(cause) => write!(f, "storage failed: {cause}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Commit(cause)
            | Error::ReadOnly(cause)
            | Error::Corrupted(cause)
            | Error::Engine(cause) => Some(cause.as_ref()),
            _ => None,
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Error::engine(error)
    }
}
