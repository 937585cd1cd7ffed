//! Counters that many callers raise at once, with a bounded queue, deadlines and retries.
//!
//! ```text
//! cargo run -p pontoon-storage --example counter_service
//! ```
//!
//! `update` is a read-modify-write that nothing can come between: no lost increments, no conflicts,
//! no transaction retries. What *can* happen is that there is no room or no time, and the error says
//! whether trying again makes sense.

use std::fmt;
use std::sync::mpsc;
use std::time::Duration;

use futures::future::{join, join_all, try_join_all};
use pontoon_storage::{Bridge, Error, Keyspace, OnFull, Options, Reader as _, Store};

/// Deliberately small, so that callers find it full.
const QUEUE_LEN_MAX: usize = 8;

const CALLERS: u64 = 300;

/// Before a caller gives up.
const RETRIES_MAX: u32 = 2_000;

/// How long a call may wait before it starts.
const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Clone)]
struct Counters {
    store: Store,
    keyspace: Keyspace,
}

/// An `update` ends with any error that the store's own converts into.
#[derive(Debug)]
enum CounterError {
    /// The rule that counters may not exceed a limit.
    OverLimit {
        limit: u64,
    },
    Store(Error),
}

impl From<Error> for CounterError {
    fn from(error: Error) -> Self {
        CounterError::Store(error)
    }
}

impl fmt::Display for CounterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CounterError::OverLimit { limit } => write!(f, "the counter may not exceed {limit}"),
            CounterError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CounterError {}

impl Counters {
    async fn open(options: Options) -> Result<Self, Error> {
        let store = Store::open(options).await?;
        let keyspace = store.keyspace("counters")?;
        // Every call through this handle has the deadline.
        Ok(Self { store: store.with_deadline(DEADLINE), keyspace })
    }

    async fn value(&self, name: &str) -> Result<u64, Error> {
        Ok(decode(self.store.get(&self.keyspace, name).await?.as_deref()))
    }

    /// Adds one to both counters, or to none, and returns the new value of the first.
    async fn increment(
        &self,
        name: &'static str,
        total: &'static str,
        limit: u64,
    ) -> Result<u64, CounterError> {
        let keyspace = self.keyspace.clone();
        self.store
            .update(move |tx| {
                let all = decode(tx.get(&keyspace, total.as_bytes())?.as_deref()) + 1;
                tx.put(&keyspace, total, all.to_be_bytes())?;
                let value = decode(tx.get(&keyspace, name.as_bytes())?.as_deref()) + 1;
                if value > limit {
                    // Undoes the write above as well.
                    return Err(CounterError::OverLimit { limit });
                }
                tx.put(&keyspace, name, value.to_be_bytes())?;
                Ok(value)
            })
            .await
    }

    /// As `increment`, but tries again when the store says that this makes sense. Returns how often
    /// it did.
    async fn increment_patiently(
        &self,
        name: &'static str,
        total: &'static str,
        limit: u64,
    ) -> Result<u32, CounterError> {
        let mut retries = 0;
        loop {
            match self.increment(name, total, limit).await {
                Ok(_) => return Ok(retries),
                // It never ran (the queue was full, or the deadline passed first), so that running it
                // again counts nothing twice.
                Err(CounterError::Store(error))
                    if error.is_retryable() && retries < RETRIES_MAX =>
                {
                    retries += 1;
                    let pause_ms = 1 << retries.min(4);
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

// `pub(crate)`, so that `tests/examples.rs` runs it too.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let options = Options::new(dir.path().join("data"))
        .bridge(Bridge::Pool)
        .queue_len_max(QUEUE_LEN_MAX)
        .on_full(OnFull::Fail); // the default is to wait for room
    let counters = Counters::open(options).await?;

    // Something slow holds up all other writes (keep updates short), and many come meanwhile.
    let (go_on, told) = mpsc::sync_channel::<()>(1);
    let slow = counters.store.update(move |_| {
        let _ = told.recv();
        Ok::<_, CounterError>(())
    });
    let hasty = join_all((0..CALLERS).map(|_| async {
        let result = counters.increment("hasty", "all", u64::MAX).await;
        let _ = go_on.try_send(());
        result
    }));
    let (slow, hasty) = join(slow, hasty).await;
    slow?;
    let refused = hasty
        .iter()
        .filter(|r| matches!(r, Err(CounterError::Store(Error::Overloaded { .. }))))
        .count() as u64;
    println!("{refused} of {CALLERS} hasty calls found the queue full");
    assert!(refused > 0);
    assert_eq!(counters.value("hasty").await?, CALLERS - refused);

    // With patience, all come through.
    let patient = (0..CALLERS).map(|_| counters.increment_patiently("patient", "all", u64::MAX));
    let retries: u32 = try_join_all(patient).await?.iter().sum();
    let patient = counters.value("patient").await?;
    println!("{patient} of {CALLERS} patient calls came through, with {retries} retries");
    assert_eq!(patient, CALLERS);

    // An error of one's own is not retried, and leaves nothing behind.
    let all_before = counters.value("all").await?;
    let refused = counters.increment_patiently("patient", "all", CALLERS).await;
    println!("one more: {}", refused.as_ref().err().map_or_else(String::new, ToString::to_string));
    assert!(matches!(refused, Err(CounterError::OverLimit { limit: CALLERS })));
    assert_eq!(counters.value("all").await?, all_before);

    // A deadline that has passed: the call never runs, and says so.
    let late = Counters { store: counters.store.with_deadline(Duration::ZERO), ..counters.clone() };
    let late = late.increment("patient", "all", u64::MAX).await;
    assert!(matches!(&late, Err(CounterError::Store(error)) if error.is_retryable()), "{late:?}");
    assert_eq!(counters.value("patient").await?, CALLERS);

    counters.store.close().await?;
    Ok(())
}

/// A counter that is not there counts as zero.
fn decode(bytes: Option<&[u8]>) -> u64 {
    bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
}
