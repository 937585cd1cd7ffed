//! What most programs write by themselves: a bounded channel of jobs and some threads behind it.
//!
//! The channel is flume's because it has many consumers and lets a sender wait for room without blocking
//! its thread. std's has one consumer, crossbeam's blocks, and tokio's has one consumer.

/// Jobs that wait at the most; as many as callers by default, so that none waits for room.
const QUEUED_MAX: usize = 4096;

type Job = Box<dyn FnOnce() + Send>;

/// The threads end when it and all its senders are dropped.
pub(crate) struct Channel(flume::Sender<Job>);

impl Channel {
    pub(super) fn open(threads: usize) -> Self {
        let (sender, receiver) = flume::bounded::<Job>(QUEUED_MAX);
        for _ in 0..threads {
            let receiver = receiver.clone();
            std::thread::spawn(move || receiver.into_iter().for_each(|job| job()));
        }
        Self(sender)
    }

    pub(crate) fn sender(&self) -> flume::Sender<Job> {
        self.0.clone()
    }
}
