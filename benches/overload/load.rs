//! Operations that begin at a fixed rate whatever the answers do, and what comes of them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use pontoon::bench::measure::{CallerRecorder, Recorder, Schedule, probe_stall};
use pontoon::bench::result::{Latency, Stall};
use pontoon_storage::{Error, Result};
use tokio::runtime::Runtime;

/// What came of one stream of operations.
pub struct Outcome {
    /// From when each was to begin, of those that succeeded.
    pub latency: Latency,
    pub offered_per_sec: f64,
    pub done_per_sec: f64,
    pub refused: u64,
    pub late: u64,
    pub offered: u64,
    /// Of those that succeeded, how many took longer than [`SLOW`].
    pub slow: u64,
}

/// Longer than anything takes that no stall of 100 ms holds up.
pub const SLOW: Duration = Duration::from_millis(50);

/// A stream: operations a second, and what one is.
pub struct Stream<'s> {
    pub rate_per_sec: f64,
    pub call: Box<dyn Fn(u64) -> Call + Send + 's>,
}

pub type Call = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

pub fn stream<'s, F>(rate_per_sec: f64, call: impl Fn(u64) -> F + Send + 's) -> Stream<'s>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    Stream { rate_per_sec, call: Box::new(move |n| Box::pin(call(n))) }
}

struct Counts {
    recorder: Arc<Recorder>,
    done: AtomicU64,
    refused: AtomicU64,
    late: AtomicU64,
    slow: AtomicU64,
    running: AtomicU64,
}

impl Counts {
    fn ended(&self, caller: &mut CallerRecorder, intended: Instant, result: Result<()>) {
        match result {
            Ok(()) => {
                let took = intended.elapsed();
                caller.latency(took);
                self.done.fetch_add(1, Relaxed);
                self.slow.fetch_add(u64::from(took > SLOW), Relaxed);
            }
            Err(Error::Overloaded { .. }) => drop(self.refused.fetch_add(1, Relaxed)),
            Err(Error::Deadline) => drop(self.late.fetch_add(1, Relaxed)),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Runs `streams` side by side until `is_over`, or for `seconds` at the most; also says how late the
/// runtime woke a task meanwhile.
pub fn run(
    runtime: &Runtime,
    streams: Vec<Stream<'_>>,
    seconds: f64,
    is_over: &AtomicBool,
) -> (Vec<Outcome>, Option<Stall>) {
    let begin = Instant::now();
    let end = begin + Duration::from_secs_f64(seconds);
    let probe = runtime.spawn(probe_stall(begin, end));
    let outcomes = std::thread::scope(|scope| {
        let dispatch = |stream| scope.spawn(move || dispatch(runtime, stream, begin, end, is_over));
        let threads: Vec<_> = streams.into_iter().map(dispatch).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    // Over early, the probe would run on beside what comes next.
    let stall = match is_over.load(Relaxed) {
        true => {
            probe.abort();
            None
        }
        false => runtime.block_on(probe).unwrap(),
    };
    (outcomes, stall)
}

fn dispatch(
    runtime: &Runtime,
    stream: Stream<'_>,
    begin: Instant,
    end: Instant,
    is_over: &AtomicBool,
) -> Outcome {
    let schedule = Schedule { begin, rate_per_sec: stream.rate_per_sec };
    let counts = Arc::new(Counts {
        recorder: Recorder::new(8),
        done: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        late: AtomicU64::new(0),
        slow: AtomicU64::new(0),
        running: AtomicU64::new(0),
    });
    let mut here = counts.recorder.caller(0);
    let mut offered = 0;
    while Instant::now() < end && !is_over.load(Relaxed) {
        let intended = schedule.intended(offered);
        std::thread::sleep(intended.saturating_duration_since(Instant::now()));
        let mut call = (stream.call)(offered);
        offered += 1;
        // What is refused at once costs no task: who sheds load must be able to do it cheaply.
        match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => counts.ended(&mut here, intended, result),
            Poll::Pending => {
                let counts = Arc::clone(&counts);
                counts.running.fetch_add(1, Relaxed);
                runtime.spawn(async move {
                    let mut caller = counts.recorder.caller(offered as usize);
                    counts.ended(&mut caller, intended, call.await);
                    drop(caller);
                    counts.running.fetch_sub(1, Relaxed);
                });
            }
        }
    }
    let took = begin.elapsed().as_secs_f64();
    // Those that end after the end count for the latency, not for the throughput.
    let done = counts.done.load(Relaxed) as f64;
    while counts.running.load(Relaxed) > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(here);
    Outcome {
        latency: counts.recorder.latency(),
        offered_per_sec: offered as f64 / took,
        done_per_sec: done / took,
        refused: counts.refused.load(Relaxed),
        late: counts.late.load(Relaxed),
        offered,
        slow: counts.slow.load(Relaxed),
    }
}

/// What `callers` can have done that call, wait, and call again, in operations a second.
pub fn capacity<F>(
    runtime: &Runtime,
    callers: u64,
    seconds: f64,
    call: impl Fn(u64) -> F + Clone + Send + 'static,
) -> f64
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let begin = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let call = call.clone();
            runtime.spawn(async move {
                let mut done = 0;
                while begin.elapsed().as_secs_f64() < seconds {
                    call(caller + done * callers).await.unwrap();
                    done += 1;
                }
                done
            })
        })
        .collect();
    let done: u64 = tasks.into_iter().map(|task| runtime.block_on(task).unwrap()).sum();
    done as f64 / begin.elapsed().as_secs_f64()
}

/// A number that looks like none before it, from 0 up to `below`.
pub fn scattered(n: u64, below: u64) -> u64 {
    let mut mixed = n.wrapping_add(0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed ^ (mixed >> 32)) % below
}

/// Milliseconds with one digit more than their size deserves.
pub fn ms(us: f64) -> String {
    match us / 1e3 {
        ms if ms >= 100.0 => format!("{ms:.0} ms"),
        ms if ms >= 1.0 => format!("{ms:.1} ms"),
        ms => format!("{ms:.2} ms"),
    }
}
