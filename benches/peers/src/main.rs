//! One workload, many ways to bring it to a store that blocks: Pontoon's two bridge modes, five other
//! crossings over the *same* opened engine, and two stores of their own behind an async front. One table.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- [--engine redb] [--workload get,put]
//!     [--concurrency 1,256] [--runtime multi-thread] [--contenders pontoon-pool,spawn-blocking]
//!     [--seconds 0.2] [--rounds 3] [--keys 100000] [--dir DIR] [--markdown]
//! ```
//!
//! What this is not: `pontoon bench`, which compares Pontoon's own modes in depth and needs no rival's code.
//!
//! - [`cli`]: the flags
//! - [`contender`]: who takes part, and how each makes a call
//! - [`subject`]: what is called: the engine with its stores, fjall, SQLite, all with the same data
//! - [`load`]: the callers, and what they measured
//! - [`table`], [`versions`], [`machine`]: what is printed
//!
//! It starts threads and blocking tasks of its own, since those are what it measures.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod cli;
mod contender;
mod load;
mod machine;
mod subject;
mod table;
mod versions;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use pontoon_storage::EngineKind;

use cli::{Args, Flavor};
use load::Load;
use subject::Subject;
use table::{Cell, Row};

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the results has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("pontoon-peers: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> io::Result<()> {
    let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let dir = tempfile::tempdir_in(&parent).map_err(|error| {
        let why = format!(
            "cannot make a directory in {}: {error}; choose one with --dir",
            parent.display()
        );
        io::Error::new(error.kind(), why)
    })?;
    let mut cells = Vec::new();
    for &kind in &args.engine {
        for &flavor in &args.runtime {
            let dir = dir.path().join(format!("{}-{}", kind.name(), flavor.name()));
            std::fs::create_dir(&dir)?;
            measure(args, kind, flavor, &dir, &mut cells);
        }
    }
    let mut out = io::stdout().lock();
    machine::describe(&mut out, args, dir.path())?;
    versions::describe(&mut out, args)?;
    table::write(&mut out, &cells, args.markdown)?;
    out.flush()
}

/// All cells of one engine on one runtime. Contenders take turns within a round, so that a machine that
/// slows down slows all of them.
fn measure(args: &Args, kind: EngineKind, flavor: Flavor, dir: &Path, cells: &mut Vec<Cell>) {
    let mut seed = 0;
    let runtime = flavor.build();
    let subject = runtime.block_on(Subject::open(kind, dir, args.keys, &args.contenders));
    for contender in args.contenders.iter().filter(|contender| !contender.suits(kind)) {
        note(&format!("{}: without {}, which writes files", kind.name(), contender.name()));
    }
    for &workload in &args.workload {
        if !workload.suits(kind) {
            note(&format!("{}: no {}, as nothing is durable there", kind.name(), workload.name()));
            continue;
        }
        for &callers in &args.concurrency {
            note(&format!(
                "{}, {}, {}, callers: {callers}",
                kind.name(),
                flavor.name(),
                workload.name()
            ));
            let contenders = args.contenders.iter().filter(|contender| contender.suits(kind));
            let mut rows: Vec<Row> = contenders.map(|&contender| Row::new(contender)).collect();
            for _ in 0..args.rounds {
                seed += 1;
                let load = Load { callers, seconds: args.seconds, keys: args.keys, seed };
                for row in &mut rows {
                    runtime.block_on(subject.prepare(workload));
                    row.samples.push(row.contender.measure(&runtime, &subject, workload, &load));
                    // Not timed; what one contender leaves unwritten must not burden the next.
                    runtime.block_on(subject.settle(workload));
                }
            }
            cells.push(Cell { engine: kind, flavor, workload, callers, rows });
        }
    }
    runtime.block_on(subject.close());
}

/// What is not a result goes to stderr; that nobody reads it is no reason to stop.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
