//! `pontoon restore`: a directory of data from a checkpoint.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use futures::executor::block_on;
use indicatif::{HumanBytes, HumanCount};
use pontoon_storage::{Restored, restore};

const AFTER_HELP: &str = "\
Copies a checkpoint, which SAVE or BGSAVE has made, into a directory that is not there or is
empty, all of it or nothing, and leaves the checkpoint as it is. Nothing is overwritten: to put a
checkpoint in the place of data, move the data away first.

The server of the checkpoint may run; no server may run on the checkpoint.

Exit codes: 0 if the data is there, 1 if it is not.

Example:
  pontoon restore pontoon-data-checkpoints/2026-11-28T05-51-17.123Z --dir restored
  pontoon --dir restored";

/// `pontoon restore`.
#[derive(Debug, Clone, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Restore {
    /// The checkpoint
    #[arg(value_name = "CHECKPOINT")]
    pub checkpoint: PathBuf,

    /// The directory to make, for `pontoon --dir`
    #[arg(long, env = "PONTOON_DIR", default_value = "./pontoon-data", value_name = "DIR")]
    pub dir: PathBuf,
}

/// Restores, and says on stdout what came of it; errors go to stderr.
pub(crate) fn run(args: &Restore) -> ExitCode {
    match block_on(restore(&args.checkpoint, &args.dir)) {
        Ok(Restored { engine, files, bytes, .. }) => {
            let (from, to) = (args.checkpoint.display(), args.dir.display());
            let (engine, files, bytes) = (engine.name(), HumanCount(files), HumanBytes(bytes));
            // A closed stdout leaves the exit code to tell.
            let _ = writeln!(
                io::stdout(),
                "{to}: {engine}, files: {files}, {bytes}, restored from {from}"
            );
            ExitCode::SUCCESS
        }
        Err(error) => crate::launch::fail(&error.to_string()),
    }
}
