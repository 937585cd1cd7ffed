//! What redb reports while it repairs a file that was not closed.

use std::cell::Cell;
use std::path::PathBuf;

use ::redb::RepairSession;

/// A repair reports itself each time it has come this much further, in percent.
const REPORT_STEP_PERCENT: u32 = 10;

/// The progress up to which redb reports only if the last commit does not verify: it then goes back
/// to the one before.
pub(super) const ROLLED_BACK_PROGRESS: f64 = 0.31;

/// Called back by redb while it walks the whole file, which may take minutes: without a word it
/// would look like a hang.
pub(super) fn reporter(path: PathBuf) -> impl Fn(&mut RepairSession) + 'static {
    let next_percent = Cell::new(0);
    move |session| {
        if session.progress() <= ROLLED_BACK_PROGRESS {
            let path = path.display();
            tracing::warn!(%path, "the last commit is not whole: going back to the one before it");
        }
        let percent = (session.progress() * 100.0) as u32;
        if percent >= next_percent.get() {
            next_percent.set(percent - percent % REPORT_STEP_PERCENT + REPORT_STEP_PERCENT);
            tracing::info!(path = %path.display(), percent, "repairing after an unclean shutdown");
        }
    }
}
