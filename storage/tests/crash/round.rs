//! One child, from its start to its death, and what it printed.

use std::io::BufReader;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use crate::check::{Ack, next_line, parse_ack};
use crate::told::SYNC;

/// Far more than a child prints in its life.
const LINES_MAX: usize = 1 << 16;

/// When a child is killed.
#[derive(Debug, Clone)]
pub enum KillAt {
    /// Once it has acknowledged more than so many operations.
    Acks(u64),
    /// So long after it has begun this for the so manieth time, counted from 0.
    Inside(&'static str, u64, Duration),
}

pub struct Line {
    at: Instant,
    text: String,
}

/// All that a child printed until it was killed.
pub struct Round {
    lines: Vec<Line>,
    killed: Instant,
}

/// Begun by a child, as places in its lines.
pub struct Phase<'r> {
    /// The line that said so, after `begin`.
    pub name: &'r str,
    pub begun: usize,
    pub ended: Option<usize>,
}

impl Round {
    /// Starts the child and kills it.
    pub fn run(command: &mut Command, kill_at: &KillAt) -> Self {
        let (mut child, lines) = start(command);
        let mut round = Round { lines: Vec::new(), killed: Instant::now() };
        match kill_at {
            KillAt::Acks(until) => {
                while round.acks(round.lines.len()).len() as u64 <= *until {
                    round.lines.push(lines.recv().expect("it ended by itself"));
                }
            }
            KillAt::Inside(what, nth, delay) => {
                while round.phases(what).len() as u64 <= *nth {
                    round.lines.push(lines.recv().expect("it ended by itself"));
                }
                let until = Instant::now() + *delay;
                loop {
                    match lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                        Ok(line) => round.lines.push(line),
                        Err(RecvTimeoutError::Timeout) => break,
                        Err(error) => panic!("it ended by itself: {error}"),
                    }
                }
            }
        }
        round.end(&mut child, &lines);
        round
    }

    /// As `run`, for a moment that no line tells.
    pub fn run_until(command: &mut Command, mut is_time: impl FnMut() -> bool) -> Self {
        let (mut child, lines) = start(command);
        let mut round = Round { lines: Vec::new(), killed: Instant::now() };
        round.lines.push(lines.recv().expect("it ended by itself"));
        while !is_time() {
            std::thread::yield_now();
        }
        round.end(&mut child, &lines);
        round
    }

    fn end(&mut self, child: &mut Child, lines: &Receiver<Line>) {
        self.killed = Instant::now();
        kill(child);
        self.lines.extend(lines.iter());
    }

    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// What the first `lines` lines acknowledge, in their order.
    pub fn acks(&self, lines: usize) -> Vec<Ack> {
        let texts = self.lines[..lines].iter().map(|line| &*line.text);
        texts.filter(|text| text.starts_with("ack ")).map(parse_ack).collect()
    }

    /// All phases whose name begins with `what`.
    pub fn phases(&self, what: &str) -> Vec<Phase<'_>> {
        let text = |line: usize| self.lines[line].text.split_once(' ').unwrap();
        let begun = (0..self.len()).filter(|&line| {
            let (word, name) = text(line);
            word == "begin" && name.starts_with(what)
        });
        let phases = begun.map(|begun| {
            let name = text(begun).1;
            let ended = (begun..self.len()).find(|&line| text(line) == ("end", name));
            Phase { name, begun, ended }
        });
        phases.collect()
    }

    /// How long what is in these lines took.
    pub fn time(&self, phase: &Phase<'_>) -> Option<Duration> {
        phase.ended.map(|ended| self.lines[ended].at - self.lines[phase.begun].at)
    }

    /// How many acknowledgements came before a sync that has ended began.
    pub fn synced(&self) -> usize {
        let syncs = self.phases(SYNC);
        let begun = syncs.iter().rev().find(|sync| sync.ended.is_some()).map_or(0, |s| s.begun);
        self.acks(begun).len()
    }

    /// How long before the kill each operation was acknowledged, in their order. The child's clock is
    /// set by the line that came fastest.
    pub fn ages(&self) -> Vec<Duration> {
        let acks = self.lines.iter().filter(|line| line.text.starts_with("ack "));
        let stamped: Vec<(Instant, Duration)> = acks
            .map(|line| {
                let micros = line.text.rsplit(' ').next().unwrap();
                (line.at, Duration::from_micros(micros.parse().unwrap()))
            })
            .collect();
        let epoch = stamped.iter().filter_map(|&(at, stamp)| at.checked_sub(stamp)).min();
        let ages = stamped.iter().map(|&(_, stamp)| {
            epoch.map_or(Duration::ZERO, |epoch| {
                self.killed.saturating_duration_since(epoch + stamp)
            })
        });
        ages.collect()
    }
}

/// A child and its lines, each with the moment at which it came.
fn start(command: &mut Command) -> (Child, Receiver<Line>) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let (sender, lines) = sync_channel(LINES_MAX);
    #[allow(clippy::disallowed_methods)]
    std::thread::spawn(move || {
        while let Some(text) = next_line(&mut out) {
            if sender.send(Line { at: Instant::now(), text }).is_err() {
                break;
            }
        }
    });
    (child, lines)
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
    let status = child.wait().unwrap();
    #[cfg(unix)]
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{status}");
    #[cfg(not(unix))]
    assert!(!status.success());
}
