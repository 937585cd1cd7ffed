//! The program `pontoon`: see `pontoon --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    pontoon::launch(std::env::args_os())
}
