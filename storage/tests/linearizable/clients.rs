//! Clients that work at once, some of whose calls have deadlines or are given up.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::future::join_all;
use pontoon_storage::{Error, Result, Store};

use crate::common::{Runtime, Setup};
use crate::history::Event;
use crate::operation::{operation, rng};

pub const CLIENTS: usize = 5;

/// The longest deadline, in microseconds: some calls start within it.
const DEADLINE_MICROS_MAX: u64 = 300;

/// A future is given up after being polled at most so often.
const POLLS_MAX: u64 = 4;

/// Where events go.
pub type Record = Arc<dyn Fn(Event) + Send + Sync>;

/// What one client does while a store is open.
#[derive(Clone)]
pub struct Part {
    pub seed: u64,
    pub client: usize,
    pub from: u64,
    pub to: u64,
    /// Before this one, it closes the store.
    pub close_before: Option<u64>,
}

/// All parts at once, as their runtime has it. Returns where each client is to go on.
pub async fn run_all(setup: &Setup, store: &Store, parts: Vec<Part>, record: &Record) -> Vec<u64> {
    let clients = parts.into_iter().map(|part| part.run(store.clone(), Arc::clone(record)));
    match setup.runtime {
        Runtime::CurrentThread => join_all(clients).await,
        Runtime::MultiThread => {
            let tasks: Vec<_> = clients.map(tokio::spawn).collect();
            join_all(tasks).await.into_iter().map(|next| next.unwrap()).collect()
        }
        Runtime::None => {
            #[allow(clippy::disallowed_methods)]
            let start = |client| std::thread::spawn(|| futures::executor::block_on(client));
            let threads: Vec<_> = clients.map(start).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        }
    }
}

impl Part {
    async fn run(self, store: Store, record: Record) -> u64 {
        for index in self.from..self.to {
            if self.close_before == Some(index) {
                store.close().await.unwrap();
            }
            record(Event::Called(self.client, index));
            match self.call(&store, index).await {
                None => {}
                Some(Ok(values)) => record(Event::Answered(self.client, index, values)),
                Some(Err(Error::Deadline)) => record(Event::Refused(self.client, index)),
                Some(Err(Error::Closed)) => {
                    record(Event::Refused(self.client, index));
                    return index + 1;
                }
                Some(Err(error)) => panic!("{:?}: {error}", self.operation(index)),
            }
        }
        self.to
    }

    fn operation(&self, index: u64) -> crate::operation::Operation {
        operation(self.seed, self.client, index)
    }

    /// None: given up, so that nobody knows whether it was done.
    async fn call(&self, store: &Store, index: u64) -> Option<Result<Vec<u64>>> {
        let mut rng = rng(!self.seed, self.client, index);
        let operation = self.operation(index);
        match rng.below(20) {
            0 => give_up(operation.run(store), rng.below(POLLS_MAX)).await,
            1 | 2 => {
                let within = Duration::from_micros(rng.below(DEADLINE_MICROS_MAX));
                Some(operation.run(&store.with_deadline(within)).await)
            }
            _ => Some(operation.run(store).await),
        }
    }
}

/// Polls `future` so often and no more, while others go on.
async fn give_up<T>(future: impl Future<Output = T>, polls: u64) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        cx.waker().wake_by_ref();
        future.as_mut().poll(cx).map(Some)
    })
    .await
}
