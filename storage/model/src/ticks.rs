//! The ticker alone: deadlines, the interval and the watch, against its end and against each other.

use std::sync::atomic::{AtomicBool as Untried, Ordering};
use std::sync::{Arc, Mutex as UntriedMutex, PoisonError, Weak};
use std::time::Duration;

use shuttle::future::{block_on, yield_now};
use shuttle::rand::{Rng, thread_rng};

use crate::bridge::{Deadline, Ticker};
use crate::sync::{Condvar, Mutex, lock, once_in, step, thread, wait};
use crate::{Error, Result};

const MILLISECOND: Duration = Duration::from_millis(1);
const CALLERS: u32 = 3;

/// Looks for nothing after which the watch turns itself off, as the ticker has it, and the one it
/// takes after that.
const LOOKS_UNTIL_OFF: u32 = 102;

fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    assert!(threads.into_iter().all(|thread| thread.join().is_ok()));
}

/// Calls that start, or give up, or find that their deadline came; with `stopped` the ticker ends meanwhile.
///
/// # Panics
/// When a call that started ends with its deadline, or one that never could ends otherwise, or the
/// ticker keeps what it was given.
pub fn deadlines(stopped: bool) {
    let ticker = Arc::new(Ticker::new());
    let cells = Arc::new(UntriedMutex::new(Vec::<Weak<Deadline>>::new()));
    let callers = [(); CALLERS as usize].map(|()| {
        let (ticker, cells) = (Arc::clone(&ticker), Arc::clone(&cells));
        thread::spawn(move || one_deadline(&ticker, &cells))
    });
    if stopped {
        ticker.stop();
    }
    join(callers);
    ticker.stop();
    let cells = cells.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(cells.iter().all(|cell| cell.upgrade().is_none()), "the ticker keeps a deadline");
}

fn one_deadline(ticker: &Ticker, cells: &UntriedMutex<Vec<Weak<Deadline>>>) {
    let within = MILLISECOND * thread_rng().gen_range(0..3);
    let mut started = None;
    let result = block_on(ticker.race(within, |cell| {
        cells.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&cell));
        let started = &mut started;
        async move {
            while once_in(2) {
                yield_now().await;
            }
            *started = Some(cell.start());
            step();
            if *started == Some(true) { Ok(()) } else { Err(Error::Bridge("dropped".into())) }
        }
    }));
    match result {
        Ok(()) => assert_eq!(started, Some(true)),
        Err(Error::Deadline) => {
            assert_ne!(started, Some(true), "it started, and its deadline came")
        }
        Err(error) => {
            assert!(matches!(error, Error::Closed), "{error}");
            assert_eq!(started, None);
        }
    }
}

/// Calls that nothing but their deadline ends, the later one registered first or last.
///
/// # Panics
/// When one ends otherwise. When one does not end, that is a deadlock.
pub fn deadlines_alone_end_calls() {
    let ticker = Arc::new(Ticker::new());
    join((1..=CALLERS).map(|n| {
        let ticker = Arc::clone(&ticker);
        thread::spawn(move || {
            let never = |_| std::future::pending::<Result<()>>();
            let ended = block_on(ticker.race(MILLISECOND * n, never));
            assert!(matches!(ended, Err(Error::Deadline)));
        })
    }));
    ticker.stop();
}

/// What is called once an interval, against the end of the ticker from two sides.
///
/// # Panics
/// When it is called, or still kept, after the end.
pub fn the_interval_and_the_end() {
    let ticker = Arc::new(Ticker::new());
    let calls = Arc::new((Mutex::new(0), Condvar::new()));
    let over = Arc::new(Untried::new(false));
    let call = {
        let (calls, over) = (Arc::clone(&calls), Arc::clone(&over));
        move || {
            assert!(!over.load(Ordering::SeqCst), "called after the end");
            *lock(&calls.0) += 1;
            calls.1.notify_all();
            assert!(!over.load(Ordering::SeqCst), "the end did not wait for the call");
        }
    };
    assert!(ticker.set_interval(MILLISECOND, Box::new(call)).is_ok());
    let awaited = thread_rng().gen_range(0..3);
    let mut done = lock(&calls.0);
    while *done < awaited {
        done = wait(&calls.1, done);
    }
    drop(done);
    join([(); 2].map(|()| {
        let (ticker, over) = (Arc::clone(&ticker), Arc::clone(&over));
        thread::spawn(move || {
            ticker.stop();
            over.store(true, Ordering::SeqCst);
        })
    }));
    assert_eq!(Arc::strong_count(&calls), 1, "the ticker keeps what it called");
    let late = ticker.set_interval(MILLISECOND, Box::new(|| {}));
    assert!(matches!(late, Err(Error::Closed)));
}

#[derive(Default)]
struct Line {
    looks: u32,
    waiting: u32,
}

/// Somebody comes to wait just when the watch has found nothing for so long that it turns itself off;
/// only a look of the watch serves who waits.
///
/// # Panics
/// Never: when nobody looks, that is a deadlock.
pub fn the_watch_goes_off_and_somebody_comes() {
    let ticker = Arc::new(Ticker::new());
    let line = Arc::new((Mutex::new(Line::default()), Condvar::new()));
    let looking = Arc::clone(&line);
    ticker.set_watch(Box::new(move || {
        let mut line = lock(&looking.0);
        let served = std::mem::take(&mut line.waiting);
        line.looks += 1;
        looking.1.notify_all();
        served > 0
    }));
    ticker.watch();
    join([(); 2].map(|()| {
        let (ticker, line) = (Arc::clone(&ticker), Arc::clone(&line));
        thread::spawn(move || {
            let comes_at = thread_rng().gen_range(LOOKS_UNTIL_OFF - 4..=LOOKS_UNTIL_OFF);
            let mut state = lock(&line.0);
            while state.looks < comes_at {
                state = wait(&line.1, state);
            }
            state.waiting += 1;
            drop(state);
            ticker.watch();
            let mut state = lock(&line.0);
            while state.waiting > 0 {
                state = wait(&line.1, state);
            }
        })
    }));
    ticker.stop();
}
