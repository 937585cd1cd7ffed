//! One server under load, for one sample.
//!
//! Each thread has a runtime and connections of its own and shares nothing with the others, as in
//! `redis-benchmark --threads`: on a runtime with several workers, connections that move between
//! them cost more than the load itself.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::bench::measure::{CallerRecorder, Recorder, Schedule, Usage};
use crate::bench::result::Sample;

use super::args::Workload;
use super::arrivals::Arrivals;
use super::connection::{Access, Connection, Scratch};
use super::process::Process;
use super::request::{Requests, Values};
use super::timer::Timer;

/// Connections that all threads together open at a time.
const CONNECTING_MAX: usize = 200;

/// How long replies may take after the end of the load.
const GRACE: Duration = Duration::from_secs(10);

/// How often the server's memory is looked at.
const MEMORY_PERIOD: Duration = Duration::from_millis(20);

/// What to load, and how.
#[derive(Debug, Clone)]
pub(super) struct Load {
    pub(super) access: Access,
    pub(super) workload: Workload,
    pub(super) connections: u32,
    pub(super) pipeline: u32,
    pub(super) keys: u64,
    pub(super) values: Arc<Values>,
    pub(super) duration: Duration,
    /// Commands a second, in an open loop.
    pub(super) rate_per_sec: Option<f64>,
    pub(super) seed: u64,
    pub(super) threads: u32,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Outcome {
    /// As round 0.
    pub(super) sample: Sample,
    /// What to tell the user about it; with errors, the first of them.
    pub(super) notes: Vec<String>,
}

/// What the connections of all threads count together.
#[derive(Debug, Default)]
struct Shared {
    first_error: Mutex<Option<String>>,
    nulls: AtomicU64,
    unsent: AtomicU64,
}

impl Shared {
    fn note_error(&self, why: &str) {
        let mut first = self.first_error.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| why.to_owned());
    }
}

/// A runtime for one thread.
pub(super) fn runtime() -> Result<Runtime, String> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start a runtime: {error}"))
}

/// Loads the server, whose process is looked at meanwhile if it is known.
///
/// # Errors
/// When the connections cannot be made. What fails later is counted.
pub(super) fn run(load: &Load, process: Option<&Process>) -> Result<Outcome, String> {
    let threads = load.threads.clamp(1, load.connections) as usize;
    let recorder = Recorder::new(threads);
    let shared = Shared::default();
    let shares = (0..threads).map(|thread| share(load.connections, threads, thread));
    thread::scope(|scope| {
        let (ready, all_ready) = sync_channel(threads);
        let (done, all_done) = sync_channel(threads);
        let mut starts = Vec::new();
        for (number, share) in shares.enumerate() {
            let (start, begin) = sync_channel(1);
            starts.push(start);
            let (ready, done, shared, recorder) = (ready.clone(), done.clone(), &shared, &recorder);
            // Threads of its own keep the load apart from every runtime; they end with the scope.
            scope.spawn(move || {
                let thread = Thread { load, number, share, shared, recorder };
                thread.run(ready, &begin, &done);
            });
        }
        drop((ready, done));
        for _ in 0..threads {
            all_ready.recv().map_err(|_| "a thread ended early")??;
        }
        let before = process.and_then(Process::usage);
        let begin = Instant::now();
        // A thread that has ended is told of below, by its answer that is missing.
        for start in starts {
            let _ = start.send(begin);
        }
        let (end, memory) = wait(&all_done, threads, begin, process)?;
        let used = process.and_then(Process::usage).zip(before);
        let used = used.map(|(after, before)| after.since(before));
        Ok(outcome(load, &recorder, &shared, end - begin, used, memory))
    })
}

/// The connections of one of `threads` threads.
fn share(connections: u32, threads: usize, thread: usize) -> Range<u32> {
    let at = |thread: usize| (u64::from(connections) * thread as u64 / threads as u64) as u32;
    at(thread)..at(thread + 1)
}

/// Waits for all threads; returns when the last reply came, and the server's memory at its peak.
fn wait(
    all_done: &Receiver<Result<Instant, String>>,
    threads: usize,
    begin: Instant,
    process: Option<&Process>,
) -> Result<(Instant, Option<u64>), String> {
    let (mut end, mut memory, mut done) = (begin, None, 0);
    while done < threads {
        match all_done.recv_timeout(MEMORY_PERIOD) {
            Ok(last_reply) => {
                end = end.max(last_reply?);
                done += 1;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err("a thread ended early".into()),
        }
        memory = memory.max(process.and_then(Process::memory_bytes));
    }
    Ok((end, memory))
}

fn outcome(
    load: &Load,
    recorder: &Arc<Recorder>,
    shared: &Shared,
    took: Duration,
    used: Option<Usage>,
    peak_memory_bytes: Option<u64>,
) -> Outcome {
    let (operations, errors) = (recorder.operations(), recorder.errors());
    let per_op = |figure: fn(&Usage) -> f64| {
        let all = operations + errors;
        used.as_ref().filter(|_| all > 0).map(|used| figure(used) / all as f64)
    };
    let sample = Sample {
        round: 0,
        operations,
        errors,
        seconds: took.as_secs_f64(),
        latency: recorder.latency(),
        cpu_us_per_op: per_op(|used| used.cpu_us),
        switches_per_op: per_op(|used| used.switches),
        syncs: None,
        mean_batch: None,
        peak_memory_bytes,
        stall: None,
    };
    let mut notes = Vec::new();
    if errors > 0 {
        let first = shared.first_error.lock().unwrap_or_else(PoisonError::into_inner);
        let first = first.as_deref().unwrap_or("not told");
        notes.push(format!("{errors} of {} commands failed: {first}", operations + errors));
    }
    let nulls = shared.nulls.load(Relaxed);
    if nulls > 0 && load.workload.needs_keys() {
        notes.push(format!("{nulls} keys were no longer there: does the server evict keys?"));
    }
    let unsent = shared.unsent.load(Relaxed);
    // A few arrive so shortly before the end that nobody could have sent them.
    if unsent > (operations + errors) / 1000 {
        notes.push(format!(
            "{unsent} commands were never sent, as it did not keep up with --rate; they count in the \
             latencies as if answered at the end"
        ));
    }
    Outcome { sample, notes }
}

/// One thread's part of a load.
#[derive(Debug)]
struct Thread<'l> {
    load: &'l Load,
    number: usize,
    share: Range<u32>,
    shared: &'l Shared,
    recorder: &'l Arc<Recorder>,
}

impl Thread<'_> {
    fn run(
        self,
        ready: SyncSender<Result<(), String>>,
        begin: &Receiver<Instant>,
        done: &SyncSender<Result<Instant, String>>,
    ) {
        let connected = runtime().and_then(|runtime| {
            let connections = runtime.block_on(self.connect())?;
            Ok((runtime, connections))
        });
        let (connected, is_ready) = match connected {
            Ok(connected) => (Some(connected), Ok(())),
            Err(why) => (None, Err(why)),
        };
        // Nobody listens any more when another thread has failed.
        let _ = ready.send(is_ready);
        drop(ready);
        let (Some((runtime, connections)), Ok(begin)) = (connected, begin.recv()) else { return };
        let _ = done.send(runtime.block_on(self.drive(connections, begin)));
    }

    async fn connect(&self) -> Result<Vec<Connection>, String> {
        let at_once = (CONNECTING_MAX / self.load.threads.max(1) as usize).max(1);
        let opening = self.share.clone().map(|_| Connection::open(&self.load.access));
        stream::iter(opening).buffer_unordered(at_once).try_collect().await
    }

    async fn drive(&self, connections: Vec<Connection>, begin: Instant) -> Result<Instant, String> {
        let end = begin + self.load.duration;
        let arrivals = self.arrivals(begin, end, connections.len());
        let scratch = Arc::new(Scratch::new());
        let mut callers = JoinSet::new();
        for (index, connection) in connections.into_iter().enumerate() {
            let number = u64::from(self.share.start) + index as u64;
            let Load { workload, keys, values, seed, pipeline, .. } = self.load;
            let seed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(number);
            let caller = Caller {
                connection,
                requests: Requests::new(*workload, *keys, Arc::clone(values), seed),
                pipeline: *pipeline,
                scratch: Arc::clone(&scratch),
                recorder: self.recorder.caller(self.number),
                last_reply: begin,
                nulls: 0,
            };
            match &arrivals {
                None => callers.spawn(caller.run_closed(end)),
                Some(arrivals) => callers.spawn(caller.run_open(Arc::clone(arrivals), index)),
            };
        }
        if let Some(arrivals) = arrivals {
            let timer = Timer::new().map_err(|error| format!("cannot make a timer: {error}"))?;
            self.dispatch(&arrivals, timer, end).await;
        }
        Ok(self.collect(callers, begin, end).await)
    }

    /// This thread's part of the arrivals; those of the other threads fall in between.
    fn arrivals(&self, begin: Instant, end: Instant, connections: usize) -> Option<Arc<Arrivals>> {
        let batches_per_sec = self.load.rate_per_sec? / f64::from(self.load.pipeline);
        let part = connections as f64 / f64::from(self.load.connections);
        let offset = f64::from(self.share.start) / f64::from(self.load.connections);
        let rate_per_sec = batches_per_sec * part;
        let begin = begin + Duration::from_secs_f64(offset / rate_per_sec);
        Some(Arrivals::new(Schedule { begin, rate_per_sec }, end, connections))
    }

    async fn dispatch(&self, arrivals: &Arrivals, mut timer: Timer, end: Instant) {
        let unsent = arrivals.dispatch(&mut timer).await;
        self.shared.unsent.fetch_add(unsent.len() as u64 * u64::from(self.load.pipeline), Relaxed);
        // Left out, the slowest would be missing from the latencies; so they are too low, but there.
        let mut recorder = self.recorder.caller(self.number);
        unsent.into_iter().for_each(|due| recorder.latency(end - due));
    }

    /// Waits for the replies; returns when the last came.
    async fn collect(&self, mut callers: JoinSet<End>, begin: Instant, end: Instant) -> Instant {
        let mut last_reply = begin;
        let give_up = tokio::time::Instant::from_std(end + GRACE);
        while let Ok(Some(ended)) = tokio::time::timeout_at(give_up, callers.join_next()).await {
            let Ok(ended) = ended else { continue };
            last_reply = last_reply.max(ended.last_reply);
            self.shared.nulls.fetch_add(ended.nulls, Relaxed);
            ended.first_error.iter().for_each(|why| self.shared.note_error(why));
        }
        if !callers.is_empty() {
            let mut recorder = self.recorder.caller(self.number);
            let open = callers.len() as u64 * u64::from(self.load.pipeline);
            (0..open).for_each(|_| recorder.error());
            // They took this long at the least; left out, a server that hangs would seem fast.
            (0..callers.len()).for_each(|_| recorder.latency(GRACE));
            let grace = GRACE.as_secs();
            self.shared.note_error(&format!("no reply within {grace} s after the end"));
            callers.shutdown().await;
            last_reply = Instant::now();
        }
        last_reply
    }
}

/// One connection with its commands.
#[derive(Debug)]
struct Caller {
    connection: Connection,
    requests: Requests,
    pipeline: u32,
    scratch: Arc<Scratch>,
    recorder: CallerRecorder,
    last_reply: Instant,
    nulls: u64,
}

/// How a caller ended.
#[derive(Debug)]
struct End {
    last_reply: Instant,
    nulls: u64,
    first_error: Option<String>,
}

impl Caller {
    /// Sends a batch, waits for its replies, sends the next, until `end`.
    async fn run_closed(mut self, end: Instant) -> End {
        let mut begun = Instant::now();
        while begun < end {
            match self.exchange(begun).await {
                Ok(()) => begun = self.last_reply,
                Err(why) => return self.ended(Some(why)),
            }
        }
        self.ended(None)
    }

    /// Sends a batch for each arrival that it gets.
    async fn run_open(mut self, arrivals: Arc<Arrivals>, index: usize) -> End {
        while let Some(due) = arrivals.next(index).await {
            if let Err(why) = self.exchange(due).await {
                return self.ended(Some(why));
            }
        }
        self.ended(None)
    }

    /// One batch, whose latency counts from `begun`.
    async fn exchange(&mut self, begun: Instant) -> Result<(), String> {
        self.connection.out.clear();
        (0..self.pipeline).for_each(|_| self.requests.push(&mut self.connection.out));
        let answers = self.connection.exchange(self.pipeline, &self.scratch).await;
        self.last_reply = Instant::now();
        let answers = match answers {
            Ok(answers) => answers,
            Err(why) => {
                (0..self.pipeline).for_each(|_| self.recorder.error());
                return Err(why);
            }
        };
        self.recorder.latency(self.last_reply - begun);
        self.nulls += answers.nulls;
        (0..answers.errors).for_each(|_| self.recorder.error());
        (answers.errors..answers.answered).for_each(|_| self.recorder.operation());
        Ok(())
    }

    fn ended(self, lost: Option<String>) -> End {
        let answered = self.connection.first_error().map(str::to_owned);
        End { last_reply: self.last_reply, nulls: self.nulls, first_error: answered.or(lost) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_belongs_to_one_thread() {
        for (connections, threads) in [(1, 1), (10, 3), (10_000, 7), (3, 3)] {
            let shares: Vec<_> = (0..threads).map(|t| share(connections, threads, t)).collect();
            let all: Vec<u32> = shares.iter().cloned().flatten().collect();
            assert_eq!(all, (0..connections).collect::<Vec<_>>());
            assert!(shares.iter().all(|share| !share.is_empty()), "{shares:?}");
        }
    }
}
