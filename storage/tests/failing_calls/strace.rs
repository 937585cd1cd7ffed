//! strace's fault injection: the n-th of some system calls of each thread of a process is not executed and
//! returns an error.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Which calls fail, and how.
#[derive(Debug, Clone)]
pub struct Fault {
    /// As strace's `-e inject` names them.
    pub calls: &'static str,
    /// `EIO`, `ENOSPC`, …
    pub error: &'static str,
    /// Counted from 1, in each thread.
    pub nth: u64,
    /// Whether all that follow fail too.
    pub and_all_after: bool,
}

/// strace on its job.
pub struct Strace {
    process: Child,
    log: PathBuf,
}

/// One line of the log that matters here, in the order in which they were made.
#[derive(Debug, PartialEq)]
pub enum Event {
    /// A call on that path was made to fail.
    Failed { call: String, path: String },
    /// An fsync of that path was done.
    Synced { path: String },
    /// The child said something.
    Said(String),
}

/// Whether strace is here and may trace another process.
pub fn is_usable() -> bool {
    let tried = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    tried.is_ok_and(|output| output.status.success())
}

impl Strace {
    /// Attaches to every thread of the process, and to those that it will start.
    pub fn attach(process: u32, fault: &Fault, log: &Path) -> Self {
        let after = if fault.and_all_after { "+" } else { "" };
        let Fault { calls, error, nth, .. } = fault;
        let mut strace = Command::new("strace")
            .args(["-f", "-y", "-s", "200", "-o"])
            .arg(log)
            .args(["-p", &process.to_string()])
            .args(["-e", &format!("trace=writev,{calls}")])
            .args(["-e", &format!("inject={calls}:error={error}:when={nth}{after}")])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut messages = BufReader::new(strace.stderr.take().unwrap());
        while !said.contains("attached") {
            let len = messages.read_line(&mut said).unwrap();
            assert!(len > 0, "strace did not attach: {said}");
        }
        // Nobody reads on, and what is left to say fits into the pipe.
        std::mem::forget(messages);
        Self { process: strace, log: log.to_owned() }
    }

    /// Waits for its end, which is that of the traced process.
    pub fn finish(mut self) -> Vec<Event> {
        self.process.wait().unwrap();
        parse(&std::fs::read_to_string(&self.log).unwrap())
    }
}

fn parse(log: &str) -> Vec<Event> {
    let mut events = Vec::new();
    // The calls of each thread that had not returned when another thread's line was written.
    let mut unfinished: HashMap<&str, (String, String)> = HashMap::new();
    for line in log.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        let call = rest.split('(').next().unwrap_or_default().to_owned();
        if call == "writev" && rest.contains("iov_base=\"") {
            let text = rest.split('"').nth(1).unwrap_or_default();
            events.push(Event::Said(text.trim_end_matches("\\n").to_owned()));
        } else if rest.ends_with("<unfinished ...>") {
            unfinished.insert(thread, (call, path_in(rest)));
        } else {
            let (call, path) = if rest.starts_with("<...") {
                unfinished.remove(thread).unwrap_or_default()
            } else {
                (call, path_in(rest))
            };
            if rest.contains("(INJECTED)") {
                events.push(Event::Failed { call, path });
            } else if call.ends_with("sync") && rest.ends_with("= 0") {
                events.push(Event::Synced { path });
            }
        }
    }
    events
}

/// What stands for a file descriptor in angle brackets, or the first string.
fn path_in(line: &str) -> String {
    let between = |open: char, close: char| {
        let (_, rest) = line.split_once(open)?;
        Some(rest.split_once(close)?.0.to_owned())
    };
    let bracketed = between('<', '>').filter(|path| path.starts_with('/'));
    bracketed.or_else(|| between('"', '"')).unwrap_or_default()
}

#[test]
fn a_log_is_read_in_its_order() {
    let log = "12 fdatasync(7</d/000004.log>) = -1 EIO (Input/output error) (INJECTED)\n\
               13 writev(1<pipe:[5]>, [{iov_base=\"submit 1 5\\n\", iov_len=11}], 1) = 11\n\
               14 fsync(8</d/x> <unfinished ...>\n\
               13 fsync(9</d/y>) = 0\n\
               14 <... fsync resumed>)          = -1 EIO (Input/output error) (INJECTED)\n";
    let failed = |call: &str, path: &str| Event::Failed { call: call.into(), path: path.into() };
    assert_eq!(
        parse(log),
        [
            failed("fdatasync", "/d/000004.log"),
            Event::Said("submit 1 5".into()),
            Event::Synced { path: "/d/y".into() },
            failed("fsync", "/d/x"),
        ]
    );
}
