//! `pontoon check`: whether a directory is sound, with nothing in it changed.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use futures::executor::block_on;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget};
use pontoon_storage::{CheckOptions, CheckReport, EngineKind, check};

use crate::cli::parse_engine;
use crate::data::encoding::{EntryChecks, FORMAT_VERSION, Verdict};

/// There is damage.
const DAMAGED: u8 = 1;

/// It could not be checked.
const UNCHECKED: u8 = 2;

const AFTER_HELP: &str = "\
Reads every checksum that the engine keeps and every entry, and changes nothing. The server must not
run. A directory that another program has filled through the storage crate is checked too, but for
what its entries mean.

A note is what a crash leaves and the next start tidies up; damage to the very end of what was written
can look the same.

Exit codes: 0 if no damage was found, 1 if some was, 2 if it could not be checked: it is not there, in
use, of another engine or of a newer version.

Example:
  pontoon check /var/lib/pontoon";

/// `pontoon check`.
#[derive(Debug, Clone, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Check {
    /// The directory of the data
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// Refuse the directory of another engine than this one: redb or rocksdb [default: whichever it
    /// is]
    #[arg(long, value_name = "ENGINE", value_parser = parse_engine)]
    pub engine: Option<EngineKind>,
}

/// Checks and says on stdout what was found; progress and errors go to stderr.
pub(crate) fn run(args: &Check) -> ExitCode {
    let progress = Progress::start();
    let bar = progress.0.clone();
    let entries = Arc::new(Mutex::new(EntryChecks::default()));
    let shown = Arc::clone(&entries);
    let mut options = CheckOptions::new(&args.dir)
        .on_entry(move |keyspace, key, value| {
            shown.lock().unwrap_or_else(PoisonError::into_inner).entry(keyspace, key, value);
            Ok(())
        })
        .on_progress(move |now| {
            let (entries, bytes) = (HumanCount(now.entries), HumanBytes(now.bytes));
            bar.set_message(format!("{entries} entries read, {bytes}"));
        });
    if let Some(engine) = args.engine {
        options = options.engine(engine);
    }
    let report = block_on(check(options));
    drop(progress);
    let report = match report {
        Ok(report) => report,
        Err(error) => return unchecked(&error.to_string()),
    };
    let entries = std::mem::take(&mut *entries.lock().unwrap_or_else(PoisonError::into_inner));
    let (complaints, complaints_total) = match entries.verdict() {
        // What its entries mean is not known, but the engine may have found damage all the same.
        Verdict::OtherFormat(format) if report.is_sound() => {
            return unchecked(&format!(
                "{} has format {format}, which this version of pontoon does not know: it knows format \
                 {FORMAT_VERSION}",
                args.dir.display()
            ));
        }
        Verdict::OtherFormat(_) | Verdict::NotOurs => (Vec::new(), 0),
        Verdict::Ours(complaints, total) => (complaints, total),
    };
    // A closed stdout leaves the exit code to tell.
    let _ = print(args, &report, &complaints, complaints_total);
    if report.damage_total + complaints_total == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(DAMAGED)
    }
}

fn unchecked(why: &str) -> ExitCode {
    let _ = crate::launch::fail(why);
    ExitCode::from(UNCHECKED)
}

fn print(
    args: &Check,
    report: &CheckReport,
    complaints: &[String],
    complaints_total: u64,
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let file_bytes = report.files.iter().map(|file| file.bytes).sum();
    let (dir, engine) = (args.dir.display(), report.engine.name());
    writeln!(out, "{dir}: {engine}, files: {}, {}", report.files.len(), HumanBytes(file_bytes))?;
    for keyspace in &report.keyspaces {
        let (name, bytes) = (&keyspace.name, HumanBytes(keyspace.bytes));
        writeln!(out, "keyspace {name}, entries: {}, {bytes}", HumanCount(keyspace.entries))?;
    }
    for note in &report.notes {
        writeln!(out, "note: {note}")?;
    }
    for damage in &report.damage {
        writeln!(out, "damage: {damage}")?;
    }
    for complaint in complaints {
        writeln!(out, "damage: {dir}: {complaint}")?;
    }
    let total = report.damage_total + complaints_total;
    let named = report.damage.len() as u64 + complaints.len() as u64;
    if total > named {
        writeln!(out, "and {} more", HumanCount(total - named))?;
    }
    match total {
        0 => writeln!(out, "no damage found"),
        1 => writeln!(out, "1 damage found"),
        many => writeln!(out, "{} damages found", HumanCount(many)),
    }
}

/// How far it is, on stderr where that is a terminal. Removed when dropped.
struct Progress(ProgressBar);

impl Progress {
    fn start() -> Self {
        Self(ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
