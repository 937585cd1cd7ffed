//! What redb reports while it repairs a file that was not closed.

use std::cell::Cell;
use std::path::PathBuf;

use ::redb::RepairSession;

/// A repair reports itself each time it has come this much further, in percent.
const REPORT_STEP_PERCENT: u32 = 10;

/// Whether redb is telling, by this progress, that the last commit does not verify, and that it goes back to the
/// one before: it has walked the whole file once more then. It begins each repair with a report of 0.
pub(super) fn goes_back(progress: f64) -> bool {
    (0.2..0.4).contains(&progress)
}

/// Called back by redb while it walks the whole file, which may take minutes: without a word it
/// would look like a hang.
pub(super) fn reporter(path: PathBuf) -> impl Fn(&mut RepairSession) + 'static {
    let next_percent = Cell::new(0);
    move |session| {
        if goes_back(session.progress()) {
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
