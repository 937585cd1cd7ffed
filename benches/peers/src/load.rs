//! The callers, and what they measured: a closed loop, in which each caller calls, waits, and calls again.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use tokio::runtime::Runtime;

use crate::subject::{Request, THREADS, key};

/// What every contender of a cell is given.
pub(crate) struct Load {
    pub(crate) callers: usize,
    pub(crate) seconds: f64,
    pub(crate) keys: u64,
    /// Another in each round of each cell, so that no put writes what is there already.
    pub(crate) seed: u64,
}

/// What one contender did in one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// Of the whole process, callers included.
    pub(crate) cpu_per_call: Duration,
}

/// Callers that are tasks of `runtime`. No call is cut off: the last answers end the measurement, or the
/// slow ones would be missing from the percentiles.
pub(crate) fn concurrent<F, Fut>(runtime: &Runtime, load: &Load, call: F) -> Sample
where
    F: Fn(Request) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let clock = Clock::start(load);
    let latencies = runtime.block_on(async {
        let tasks: Vec<_> = (0..load.callers)
            .map(|caller| {
                let (call, mut random) = (call.clone(), Random::of(caller, load));
                tokio::spawn(async move {
                    let mut latencies = Vec::new();
                    loop {
                        let sent = Instant::now();
                        call(random.request()).await;
                        let answered = Instant::now();
                        latencies.push(nanos(answered - sent));
                        if answered >= clock.deadline {
                            return latencies;
                        }
                    }
                })
            })
            .collect();
        let mut latencies = Vec::with_capacity(tasks.len());
        for task in tasks {
            latencies.push(task.await.unwrap());
        }
        latencies
    });
    clock.stop(&latencies)
}

/// Callers that are plain threads, as many as the pools have.
pub(crate) fn direct(load: &Load, call: impl Fn(Request) + Sync) -> Sample {
    let clock = Clock::start(load);
    let latencies: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|caller| {
                let (call, mut random) = (&call, Random::of(caller, load));
                scope.spawn(move || {
                    let mut latencies = Vec::new();
                    loop {
                        let sent = Instant::now();
                        call(random.request());
                        let answered = Instant::now();
                        latencies.push(nanos(answered - sent));
                        if answered >= clock.deadline {
                            return latencies;
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    clock.stop(&latencies)
}

#[derive(Clone, Copy)]
struct Clock {
    begun: Instant,
    deadline: Instant,
    cpu: Duration,
}

impl Clock {
    fn start(load: &Load) -> Self {
        let begun = Instant::now();
        Self { begun, deadline: begun + Duration::from_secs_f64(load.seconds), cpu: cpu_time() }
    }

    fn stop(self, latencies: &[Vec<u64>]) -> Sample {
        let (elapsed, cpu) = (self.begun.elapsed(), cpu_time() - self.cpu);
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        for latency in latencies.iter().flatten() {
            histogram.record(*latency).unwrap();
        }
        let calls = histogram.len();
        Sample {
            per_second: calls as f64 / elapsed.as_secs_f64(),
            p50: Duration::from_nanos(histogram.value_at_quantile(0.5)),
            p99: Duration::from_nanos(histogram.value_at_quantile(0.99)),
            cpu_per_call: cpu.div_f64(calls as f64),
        }
    }
}

fn nanos(latency: Duration) -> u64 {
    u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX)
}

/// User and system time of this process so far.
fn cpu_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let micros = |time: TimeVal| time.tv_sec() as u64 * 1_000_000 + time.tv_usec() as u64;
    Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time()))
}

/// The requests of one caller: the same for every contender.
struct Random {
    state: u64,
    keys: u64,
}

impl Random {
    fn of(caller: usize, load: &Load) -> Self {
        // The generator must not begin at 0, and from neighbours it begins with neighbouring keys, which
        // the multiplication prevents.
        let state = ((load.seed << 32) + caller as u64 + 1).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        Self { state, keys: load.keys }
    }

    fn request(&mut self) -> Request {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        Request { key: key(self.state % self.keys), nonce: self.state }
    }
}
