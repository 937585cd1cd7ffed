//! From the process's arguments to its exit code.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::{self, ExitCode};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::bench;
use crate::check;
use crate::cli::{self, Action};
use crate::config::{Config, RuntimeChoice};
use crate::logging;
use crate::restore;
use crate::server::{self, Stopped};

/// How long what still runs on the runtime may take once the server has stopped in order: nothing
/// of importance does.
const RUNTIME_SHUTDOWN: Duration = Duration::from_secs(1);

/// Does what `args`, the program's name first, ask for. Errors go to stderr in one line; the exit
/// code is 0 after success, 1 after an error, 2 when the arguments make no sense. A second signal
/// ends the process from in here.
pub fn launch(args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> ExitCode {
    match cli::parse(args, env::vars_os().map(|(name, _)| name)) {
        Ok(Action::Serve(config)) => serve(*config),
        Ok(Action::Bench(args)) => bench::run(*args),
        Ok(Action::Check(args)) => check::run(&args),
        Ok(Action::Restore(args)) => restore::run(&args),
        Err(error) => {
            // A closed stderr leaves the exit code to tell.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
        }
    }
}

fn serve(config: Config) -> ExitCode {
    logging::start(&config.log);
    let runtime = match build_runtime(&config) {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start the runtime: {error}")),
    };
    match runtime.block_on(server::serve(config)) {
        Ok(Stopped::Cleanly) => {
            runtime.shutdown_timeout(RUNTIME_SHUTDOWN);
            ExitCode::SUCCESS
        }
        // Dropping the runtime would wait for the storage calls that the signal is to cut short.
        Ok(Stopped::BySignal(code)) => process::exit(code.into()),
        Err(error) => {
            runtime.shutdown_timeout(RUNTIME_SHUTDOWN);
            fail(&error.to_string())
        }
    }
}

fn build_runtime(config: &Config) -> io::Result<Runtime> {
    let mut builder = match config.runtime {
        RuntimeChoice::MultiThread => Builder::new_multi_thread(),
        // With one thread for each CPU, the first of them; the server starts the others.
        RuntimeChoice::CurrentThread | RuntimeChoice::PerCore => Builder::new_current_thread(),
    };
    if let Some(threads) = config.worker_threads {
        builder.worker_threads(threads);
    }
    builder.thread_name("pontoon-async").enable_all().build()
}

pub(crate) fn fail(why: &str) -> ExitCode {
    let why = why.replace(['\r', '\n'], " ");
    let _ = writeln!(io::stderr(), "pontoon: {why}");
    ExitCode::FAILURE
}
