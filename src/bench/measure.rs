//! What is measured beside the operations themselves: their latencies, the process's CPU time,
//! context switches and peak memory, and how long a runtime keeps a task waiting.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use nix::sys::resource::{UsageWho, getrusage};
use tokio::time::MissedTickBehavior;

use super::result::{Latency, Stall};
use crate::labelled::number_behind;

/// What a latency is kept with: three digits, so an error of at most 0.1 %.
const DIGITS: u8 = 3;

/// The greatest latency told apart: one hour, in nanoseconds. What is slower counts as this.
const LATENCY_MAX_NS: u64 = 3_600_000_000_000;

/// Latencies that a caller keeps to itself before it takes a lock to hand them over. Small, as there
/// are thousands of callers; large enough that the lock costs nothing.
const BUFFER_LEN: usize = 32;

/// How often the probe of a runtime wants to be woken.
const PROBE_PERIOD: Duration = Duration::from_millis(1);

/// Where the points of a percentile curve are.
const CURVE: [f64; 21] = [
    0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99, 0.995, 0.999,
    0.9995, 0.9999, 0.99999, 1.0,
];

/// Takes the latencies and the outcomes of one sample from many callers at once.
///
/// Histograms are shared by callers, since one takes 270 KiB and there may be 10,000 callers.
#[derive(Debug)]
pub struct Recorder {
    shards: Vec<Mutex<Histogram<u64>>>,
    operations: AtomicU64,
    errors: AtomicU64,
}

impl Recorder {
    /// A recorder that about `threads` threads write to at once.
    pub fn new(threads: usize) -> Arc<Self> {
        let shards = (0..threads.clamp(1, 64)).map(|_| Mutex::new(histogram())).collect();
        Arc::new(Self { shards, operations: AtomicU64::new(0), errors: AtomicU64::new(0) })
    }

    /// What caller number `caller` records with.
    pub fn caller(self: &Arc<Self>, caller: usize) -> CallerRecorder {
        let buffer = Buffer::default();
        CallerRecorder { recorder: Arc::clone(self), caller, buffer }
    }

    /// Operations counted: complete once every caller's part is dropped.
    pub fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    /// Errors counted: complete once every caller's part is dropped.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// What all callers together took: complete once every caller's part is dropped.
    pub fn latency(&self) -> Latency {
        let mut all = histogram();
        for shard in &self.shards {
            // Both have the same bounds, so that this cannot fail.
            let _ = all.add(&*lock(shard));
        }
        latency_of(&all)
    }

    fn take(&self, caller: usize, buffer: &mut Buffer) {
        if let Some(shard) = self.shards.get(caller % self.shards.len().max(1)) {
            let mut histogram = lock(shard);
            buffer.latencies_ns.drain(..).for_each(|ns| histogram.saturating_record(ns));
        }
        self.operations.fetch_add(std::mem::take(&mut buffer.operations), Ordering::Relaxed);
        self.errors.fetch_add(std::mem::take(&mut buffer.errors), Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Buffer {
    latencies_ns: Vec<u64>,
    operations: u64,
    errors: u64,
}

/// One caller's part of a [`Recorder`]. Hands over what it holds when dropped.
#[derive(Debug)]
pub struct CallerRecorder {
    recorder: Arc<Recorder>,
    caller: usize,
    buffer: Buffer,
}

impl CallerRecorder {
    /// Keeps how long one operation took.
    pub fn latency(&mut self, latency: Duration) {
        self.buffer.latencies_ns.push(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        if self.buffer.latencies_ns.len() >= BUFFER_LEN {
            self.recorder.take(self.caller, &mut self.buffer);
        }
    }

    /// Counts an operation that succeeded towards the throughput.
    pub fn operation(&mut self) {
        self.buffer.operations += 1;
    }

    /// Counts an operation that failed.
    pub fn error(&mut self) {
        self.buffer.errors += 1;
    }
}

impl Drop for CallerRecorder {
    fn drop(&mut self) {
        self.recorder.take(self.caller, &mut self.buffer);
    }
}

/// Nanoseconds, one histogram for all: of equal bounds, so that any two can be added.
fn histogram() -> Histogram<u64> {
    match Histogram::new_with_bounds(1, LATENCY_MAX_NS, DIGITS) {
        Ok(histogram) => histogram,
        // The bounds are constants that it accepts; a histogram that resizes records the same.
        Err(_) => unreachable!("{DIGITS} digits up to {LATENCY_MAX_NS} are within its limits"),
    }
}

fn latency_of(histogram: &Histogram<u64>) -> Latency {
    if histogram.is_empty() {
        return Latency::default();
    }
    let us = |ns: u64| ns as f64 / 1000.0;
    // A bucket's upper bound may lie above the slowest of all.
    let at = |quantile| us(histogram.value_at_quantile(quantile).min(histogram.max()));
    Latency {
        mean_us: histogram.mean() / 1000.0,
        p50_us: at(0.5),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: us(histogram.max()),
        curve: CURVE.iter().map(|&quantile| (quantile, at(quantile))).collect(),
    }
}

/// What this process has used since it began.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// CPU time in user and system mode, in microseconds.
    pub cpu_us: f64,
    /// Context switches, voluntary and involuntary.
    pub switches: f64,
}

impl Usage {
    /// Up to now; `None` where the system does not say.
    pub fn now() -> Option<Self> {
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
        let (user, system) = (usage.user_time(), usage.system_time());
        let us = |seconds: i64, micros: i64| seconds as f64 * 1e6 + micros as f64;
        Some(Self {
            cpu_us: us(user.tv_sec(), user.tv_usec()) + us(system.tv_sec(), system.tv_usec()),
            switches: (usage.voluntary_context_switches() + usage.involuntary_context_switches())
                as f64,
        })
    }

    /// What was used since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self { cpu_us: self.cpu_us - earlier.cpu_us, switches: self.switches - earlier.switches }
    }
}

/// Forgets the process's peak memory so far; `false` where the system cannot.
pub fn reset_peak_memory() -> bool {
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// The process's memory at its peak since the last [`reset_peak_memory`], in bytes.
pub fn peak_memory_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    number_behind(&status, "VmHWM:").map(|kib| kib * 1024)
}

/// What this process holds of the system now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Memory that is resident, in bytes.
    pub resident_bytes: u64,
    /// Threads.
    pub threads: u64,
    /// Open file descriptors, the one that counts them included.
    pub descriptors: u64,
}

impl Held {
    /// Now; `None` where the system does not say.
    pub fn now() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let descriptors = fs::read_dir("/proc/self/fd").ok()?.count();
        Some(Self {
            resident_bytes: number_behind(&status, "VmRSS:")? * 1024,
            threads: number_behind(&status, "Threads:")?,
            descriptors: u64::try_from(descriptors).ok()?,
        })
    }
}

/// How late a task that asks its tokio runtime to be woken every millisecond is woken from `begin`
/// until `end`. A delay counts for every tick that fell into it. tokio's timer itself counts whole
/// milliseconds, so that up to 1 ms means that nothing was held up.
pub async fn probe_stall(begin: Instant, end: Instant) -> Option<Stall> {
    let mut lateness = histogram();
    let mut ticks = tokio::time::interval_at(begin.into(), PROBE_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        let due = ticks.tick().await.into_std();
        if due >= end {
            break;
        }
        let late_ns = due.elapsed().as_nanos();
        lateness.saturating_record(u64::try_from(late_ns).unwrap_or(u64::MAX));
    }
    let latency = latency_of(&lateness);
    (!lateness.is_empty()).then_some(Stall { p999_us: latency.p999_us, max_us: latency.max_us })
}

/// Which operation of an open loop is to begin when.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// When the first is to begin.
    pub begin: Instant,
    /// How many a second.
    pub rate_per_sec: f64,
}

impl Schedule {
    /// When number `n`, from 0, is to begin.
    pub fn intended(&self, n: u64) -> Instant {
        self.begin + Duration::from_secs_f64(n as f64 / self.rate_per_sec)
    }

    /// How many are to have begun by `now`.
    pub fn due(&self, now: Instant) -> u64 {
        match now.checked_duration_since(self.begin) {
            Some(since) => (since.as_secs_f64() * self.rate_per_sec) as u64 + 1,
            None => 0,
        }
    }
}

/// A panic elsewhere must not hide what was measured.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn callers_of_one_recorder_add_up() {
        let recorder = Recorder::new(2);
        let mut callers: Vec<_> = (0..3).map(|caller| recorder.caller(caller)).collect();
        for us in 1..=1000 {
            let caller = callers.get_mut(us % 3).unwrap();
            caller.latency(Duration::from_micros(us as u64));
            caller.operation();
        }
        callers.get_mut(0).unwrap().error();
        drop(callers);
        assert_eq!((recorder.operations(), recorder.errors()), (1000, 1));
        let latency = recorder.latency();
        let near = |value: f64, expected: f64| (value / expected - 1.0).abs() < 0.002;
        assert!(near(latency.mean_us, 500.5), "{latency:?}");
        assert!(near(latency.p50_us, 500.0) && near(latency.p99_us, 990.0), "{latency:?}");
        assert!(near(latency.max_us, 1000.0), "{latency:?}");
        assert!(latency.curve.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{latency:?}");
    }

    #[test]
    fn nothing_recorded_is_no_latency() {
        assert_eq!(Recorder::new(1).latency(), Latency::default());
    }

    #[test]
    fn what_is_due_was_intended_to_begin_by_then() {
        let schedule = Schedule { begin: Instant::now(), rate_per_sec: 1000.0 };
        assert_eq!(schedule.intended(0), schedule.begin);
        assert_eq!(schedule.intended(2500), schedule.begin + Duration::from_millis(2500));
        let later = schedule.begin + Duration::from_micros(10_500);
        assert_eq!(schedule.due(later), 11);
        assert!(schedule.intended(schedule.due(later)) > later);
        assert_eq!(schedule.due(schedule.begin), 1);
    }

    /// One caller, an operation each millisecond, each of 0.1 ms but one of 50 ms: a closed loop
    /// would have counted one slow operation.
    #[test]
    fn a_stall_counts_for_every_operation_that_was_to_begin_in_it() {
        let schedule = Schedule { begin: Instant::now(), rate_per_sec: 1000.0 };
        let recorder = Recorder::new(1);
        let mut caller = recorder.caller(0);
        let mut free = schedule.begin;
        for n in 0..1000 {
            let begun = free.max(schedule.intended(n));
            let took = if n == 500 { 50_000 } else { 100 };
            free = begun + Duration::from_micros(took);
            caller.latency(free - schedule.intended(n));
        }
        drop(caller);
        let latency = recorder.latency();
        assert!(latency.p50_us < 101.0, "{latency:?}");
        assert!(latency.p99_us > 40_000.0, "{latency:?}");
    }

    #[test]
    fn a_runtime_that_is_held_up_shows() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let stall = runtime.block_on(async {
            let begin = Instant::now();
            let end = begin + Duration::from_millis(60);
            let probe = tokio::spawn(probe_stall(begin, end));
            tokio::spawn(async move { while begin.elapsed() < Duration::from_millis(40) {} });
            probe.await.unwrap()
        });
        assert!(stall.unwrap().max_us >= 30_000.0, "{stall:?}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_process_has_used_something() {
        let before = Usage::now().unwrap();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(20) {}
        assert!(Usage::now().unwrap().since(before).cpu_us > 0.0);
        assert!(peak_memory_bytes().unwrap() > 1 << 20);
        let held = Held::now().unwrap();
        assert!(
            held.resident_bytes > 1 << 20 && held.threads > 0 && held.descriptors > 0,
            "{held:?}"
        );
    }
}
