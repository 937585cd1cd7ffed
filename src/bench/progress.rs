//! How far a run is: a bar with the time left on stderr, and nothing where that is no terminal.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often the bar is drawn: seldom enough to cost the measured nothing.
const DRAWS_PER_SEC: u8 = 2;

/// The bar. Removed when dropped.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    begun: Instant,
    /// When the first step was done: what came before it was making ready.
    first_done: OnceLock<Instant>,
    /// What it should take, if all goes as planned.
    planned: Duration,
    steps: u64,
}

impl Progress {
    /// Of `steps` steps that are to take `planned` in all.
    pub(super) fn start(steps: u64, planned: Duration) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SEC);
        let bar = ProgressBar::with_draw_target(Some(steps), target);
        let style =
            ProgressStyle::with_template("[{bar:30}] {pos}/{len}, {prefix} left: {wide_msg}");
        // A template that does not parse would leave indicatif's own.
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { bar, begun: Instant::now(), first_done: OnceLock::new(), planned, steps }
    }

    /// Says what is done now.
    pub(super) fn step(&self, what: impl Into<String>) {
        let done = self.bar.position();
        let left = match self.first_done.get() {
            Some(first) => left_by_pace(self.planned, first.elapsed(), done, self.steps),
            None => in_seconds(self.planned.saturating_sub(self.begun.elapsed())),
        };
        self.bar.set_prefix(humantime::format_duration(left).to_string());
        self.bar.set_message(what.into());
    }

    /// Says that a step is done.
    pub(super) fn done(&self) {
        self.first_done.get_or_init(Instant::now);
        self.bar.inc(1);
    }

    /// Writes a line above the bar to stderr, or just there when there is no bar.
    pub(super) fn say(&self, line: &str) {
        use std::io::Write;
        self.bar.suspend(|| {
            // A closed stderr leaves the results to tell.
            let _ = writeln!(std::io::stderr(), "{line}");
        });
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// The time left at the pace since the first step was done, or, with no other done yet, by the plan.
fn left_by_pace(planned: Duration, since_first: Duration, done: u64, steps: u64) -> Duration {
    let undone = steps.saturating_sub(done) as f64;
    in_seconds(if done < 2 {
        planned.mul_f64(undone / steps.max(1) as f64)
    } else {
        since_first.mul_f64(undone / (done - 1) as f64)
    })
}

fn in_seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs_f64().round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_the_plan_and_then_the_pace() {
        let secs = Duration::from_secs;
        assert_eq!(left_by_pace(secs(60), secs(0), 1, 10), secs(54));
        assert_eq!(left_by_pace(secs(60), secs(20), 5, 10), secs(25));
        assert_eq!(left_by_pace(secs(60), secs(50), 10, 10), secs(0));
        assert_eq!(left_by_pace(secs(60), secs(50), 0, 0), secs(0));
    }
}
