//! What clients called and what they were answered, in one order, and as the checker wants it.

use std::collections::BTreeMap;

use crate::checker::{Done, Verdict, check};
use crate::operation::{FewKeys, KEYS, Operation, operation};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Called(usize, u64),
    Answered(usize, u64, Vec<u64>),
    /// Refused: it was not done and will not be.
    Refused(usize, u64),
    /// The store has been closed or killed: what has no answer by now is not done any more.
    Cut,
}

impl Event {
    pub fn line(&self) -> String {
        match self {
            Event::Called(client, index) => format!("called {client} {index}"),
            Event::Answered(client, index, values) => {
                let values: Vec<String> = values.iter().map(u64::to_string).collect();
                format!("answered {client} {index} {}", values.join(","))
            }
            Event::Refused(client, index) => format!("refused {client} {index}"),
            Event::Cut => "cut".into(),
        }
    }

    /// None: no line of an event.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let word = words.next()?;
        if word == "cut" {
            return Some(Event::Cut);
        }
        let (client, index) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        match word {
            "called" => Some(Event::Called(client, index)),
            "refused" => Some(Event::Refused(client, index)),
            "answered" => {
                let values = words.next()?.split(',').filter(|value| !value.is_empty());
                let values = values.map(|value| value.parse().unwrap()).collect();
                Some(Event::Answered(client, index, values))
            }
            _ => None,
        }
    }
}

/// Each operation with its time: its place in `events`.
pub fn history(seed: u64, events: &[Event]) -> Vec<Done<Operation, Vec<u64>>> {
    let mut open = BTreeMap::new();
    let mut history = Vec::new();
    let seen = first_seen(events);
    let done = |(client, index), called, ended, answer: Option<Vec<u64>>| {
        let operation = operation(seed, client, index);
        match answer {
            None => unanswered(&seen, operation, called, ended),
            answer => Some(Done { operation, called, ended, answer, is_sure: true }),
        }
    };
    for (time, event) in events.iter().enumerate() {
        match event {
            Event::Called(client, index) => {
                assert_eq!(open.insert((*client, *index), time), None, "called twice");
            }
            Event::Answered(client, index, values) => {
                let called = open.remove(&(*client, *index)).expect("answered, but not called");
                history.extend(done((*client, *index), called, time, Some(values.clone())));
            }
            Event::Refused(client, index) => {
                open.remove(&(*client, *index)).expect("refused, but not called");
            }
            Event::Cut => {
                let cut = std::mem::take(&mut open);
                history.extend(
                    cut.into_iter().filter_map(|(key, called)| done(key, called, time, None)),
                );
            }
        }
    }
    history
        .extend(open.into_iter().filter_map(|(key, called)| done(key, called, usize::MAX, None)));
    history
}

/// When each value was first in an answer.
fn first_seen(events: &[Event]) -> BTreeMap<u64, usize> {
    let mut seen = BTreeMap::new();
    for (time, event) in events.iter().enumerate() {
        if let Event::Answered(_, _, values) = event {
            for &value in values {
                seen.entry(value).or_insert(time);
            }
        }
    }
    seen
}

/// What may be said of an operation that got no answer, so that the checker needs not try all that it
/// may have been. Each writes a value that no other writes: has somebody seen it, then it was done
/// before that answer. If nobody has and it does nothing else, then the others fit without it
/// if they fit at all.
fn unanswered(
    seen: &BTreeMap<u64, usize>,
    operation: Operation,
    called: usize,
    ended: usize,
) -> Option<Done<Operation, Vec<u64>>> {
    // What it depends on may be something left out, so it is taken for one that depends on nothing:
    // that it was not done is possible all the same.
    let operation = match operation {
        Operation::ReplaceEven(key, value) => Operation::Put(key, value),
        other => other,
    };
    let seen = operation.value().and_then(|value| seen.get(&value));
    if seen.is_none() && operation.only_puts() {
        return None;
    }
    let ended = seen.map_or(ended, |&seen| seen.min(ended));
    Some(Done { operation, called, ended, answer: None, is_sure: seen.is_some() })
}

/// Far more states than a history of some hundred operations and a few clients needs.
pub const STATES_MAX: usize = 1_000_000;

pub fn verdict(seed: u64, events: &[Event], states_max: usize) -> Verdict {
    check::<FewKeys>([0; KEYS], history(seed, events), states_max)
}

/// Returns how many operations were checked.
pub fn assert_linearizable(seed: u64, events: &[Event]) -> usize {
    let history = history(seed, events);
    let verdict = verdict(seed, events, STATES_MAX);
    if verdict != Verdict::Linearizable {
        for (time, event) in events.iter().enumerate() {
            match event {
                Event::Called(client, index) => {
                    eprintln!("{time} {} {:?}", event.line(), operation(seed, *client, *index));
                }
                _ => eprintln!("{time} {}", event.line()),
            }
        }
        panic!("{verdict:?} of {} operations, seed {seed}", history.len());
    }
    history.len()
}
