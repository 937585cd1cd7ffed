//! The program `pontoon`: see `pontoon --help`.

use std::process::ExitCode;

/// Answers are made on one thread and freed on another, in sizes that keep changing: a pipeline of
/// writes is a sixth faster with it than with glibc's (`docs/benchmarks.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pontoon::launch(std::env::args_os())
}
