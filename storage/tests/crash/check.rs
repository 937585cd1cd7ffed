//! What a crash may have taken: all that was found after it, compared with what was acknowledged
//! before it.

use std::collections::BTreeMap;
use std::io::BufRead;

use pontoon_storage::{Error, Reader, ScanOptions, Store};

use crate::workload::{COUNTER, SHARED, State, WRITERS, count, operation, own_keyspace, writer_of};

/// A line of a child: that operation has been acknowledged, maybe with all before it synced.
#[derive(Clone)]
pub struct Ack {
    pub writer: usize,
    pub index: u64,
    pub synced: bool,
}

/// All writers, as far as the last round has shown.
#[derive(Clone)]
pub struct Writers {
    seed: u64,
    writers: Vec<Writer>,
}

impl Writers {
    pub fn new(seed: u64) -> Self {
        Self { seed, writers: vec![Writer::default(); WRITERS] }
    }

    /// The index of each one's next operation.
    pub fn next(&self) -> Vec<u64> {
        self.writers.iter().map(|writer| writer.next).collect()
    }

    /// The same, with commas between.
    pub fn starts(&self) -> String {
        let starts: Vec<String> = self.next().iter().map(u64::to_string).collect();
        starts.join(",")
    }

    /// Checks what was found against what was acknowledged, and goes on from there. Returns what is
    /// lost, by its place in `acks`.
    pub fn compare(&mut self, acks: &[Ack], found: State, nothing_lost: bool) -> Vec<usize> {
        self.compare_kept(acks, if nothing_lost { acks.len() } else { 0 }, found)
    }

    /// As `compare`, with the first `kept` of `acks` surely there.
    pub fn compare_kept(&mut self, acks: &[Ack], kept: usize, mut found: State) -> Vec<usize> {
        let counter = found.remove(&(SHARED[0].into(), COUNTER.into()));
        let mut by_writer = vec![State::new(); WRITERS];
        for ((keyspace, key), value) in found {
            let writer = writer_of(&key).filter(|&writer| {
                writer < WRITERS
                    && (SHARED.contains(&keyspace.as_str()) || keyspace == own_keyspace(writer))
            });
            let writer = writer.unwrap_or_else(|| panic!("nobody wrote {keyspace} {key}"));
            by_writer[writer].insert((keyspace, key), value);
        }
        let seen: Vec<Seen> = by_writer
            .iter()
            .enumerate()
            .map(|(writer, found)| self.see(writer, acks, found))
            .collect();
        let lines = Lines { acks, seen: &seen };
        lines.assert_there(kept, "a sync began later and ended, or the engine loses nothing");
        for (line, ack) in acks.iter().enumerate().filter(|(_, ack)| ack.synced) {
            let upto = lines.submitted_after(ack.writer, ack.index);
            lines.assert_there(upto, "a sync came later");
            assert!(seen[ack.writer].most > ack.index, "a synced write is gone: line {line}");
        }
        for (writer, seen) in seen.iter().enumerate() {
            if seen.least > self.writers[writer].next {
                let upto = lines.submitted_after(writer, seen.least - 1);
                lines.assert_there(upto, "a later write is there");
            }
        }
        for (writer, (seen, state)) in seen.iter().zip(by_writer).enumerate() {
            self.writers[writer].go_on(self.seed, writer, seen.most, state);
        }
        let counted: u64 = self.writers.iter().map(|writer| writer.counted).sum();
        assert_eq!(count(counter.as_deref()), counted, "the counter and the counts disagree");
        let is_lost = |ack: &Ack| seen[ack.writer].most <= ack.index;
        (0..acks.len()).filter(|&line| is_lost(&acks[line])).collect()
    }

    /// How many of `writer`'s operations, one after the other, lead to what was found. One more than
    /// it acknowledged may have been done. (Two numbers, as some operations change nothing.)
    fn see(&self, writer: usize, acks: &[Ack], found: &State) -> Seen {
        let Writer { next, state, .. } = &self.writers[writer];
        let acked = acks.iter().filter(|ack| ack.writer == writer).count() as u64;
        let mut state = state.clone();
        let mut fits = Vec::new();
        for index in *next..=next + acked + 1 {
            if state == *found {
                fits.push(index);
            }
            operation(self.seed, writer, index).apply(&mut state);
        }
        let (Some(&least), Some(&most)) = (fits.first(), fits.last()) else {
            let next_acked = next + acked;
            panic!("writer {writer} (at {next}, acknowledged to {next_acked}) left {found:?}");
        };
        Seen { least, most }
    }
}

/// Where a writer stands, as far as the last round has shown.
#[derive(Debug, Clone, Default)]
struct Writer {
    /// The index of its next operation.
    next: u64,
    counted: u64,
    state: State,
}

impl Writer {
    fn go_on(&mut self, seed: u64, writer: usize, next: u64, state: State) {
        let counts = |index: &u64| operation(seed, writer, *index).is_count();
        self.counted += (self.next..next).filter(counts).count() as u64;
        self.next = next;
        self.state = state;
    }
}

/// The numbers of operations that what was found may come from.
struct Seen {
    least: u64,
    most: u64,
}

/// What was acknowledged in one round, line by line.
struct Lines<'r> {
    acks: &'r [Ack],
    seen: &'r [Seen],
}

impl Lines<'_> {
    /// How many lines were printed before that operation was submitted: a writer submits one when
    /// the one before it has been printed.
    fn submitted_after(&self, writer: usize, index: u64) -> usize {
        let is_before = |ack: &Ack| ack.writer == writer && ack.index + 1 == index;
        self.acks.iter().position(is_before).map_or(0, |line| line + 1)
    }

    /// The first `lines` acknowledged operations must all be there.
    fn assert_there(&self, lines: usize, why: &str) {
        for (line, &Ack { writer, index, .. }) in self.acks[..lines].iter().enumerate() {
            let there = self.seen[writer].most;
            assert!(there > index, "line {line}, writer {writer}'s {index}, is gone, though {why}");
        }
    }
}

/// Everything that `store` holds now.
pub async fn everything_in(store: &Store) -> State {
    let names = store.keyspaces().await.unwrap();
    let keyspaces: Vec<_> = names.iter().map(|n| store.keyspace(n).unwrap()).collect();
    let found = store.view(move |view| {
        let mut found = BTreeMap::new();
        for keyspace in keyspaces {
            for entry in view.scan(&keyspace, .., ScanOptions::default()) {
                let (key, value) = entry?;
                let key = String::from_utf8(key.to_vec()).unwrap();
                found.insert((keyspace.name().to_owned(), key), value.to_vec());
            }
        }
        Ok::<_, Error>(found)
    });
    found.await.unwrap()
}

/// The next whole line that is the child's own; what a kill has cut off counts for nothing.
pub fn next_line(out: &mut impl BufRead) -> Option<String> {
    loop {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let line = line.strip_suffix('\n')?;
        let word = line.split(' ').next().unwrap_or_default();
        if ["opening", "ack", "begin", "end", "checkpoint", "closed"].contains(&word) {
            return Some(line.to_owned());
        }
    }
}

pub fn parse_ack(line: &str) -> Ack {
    let words: Vec<&str> = line.split(' ').collect();
    let [_, writer, index, synced, ..] = words[..] else {
        panic!("not an acknowledgement: {line}")
    };
    Ack {
        writer: writer.parse().unwrap(),
        index: index.parse().unwrap(),
        synced: synced.parse().unwrap(),
    }
}
