//! How far a run is: a bar with the time left on stderr, and nothing where that is no terminal.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often the bar is drawn: seldom enough to cost the measured nothing.
const DRAWS_PER_SEC: u8 = 2;

/// The bar. Removed when dropped.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    begun: Instant,
    /// What it should take, if all goes as planned.
    planned: Duration,
    steps: u64,
}

impl Progress {
    /// Of `steps` steps that are to take `planned` in all.
    pub(super) fn start(steps: u64, planned: Duration) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SEC);
        let bar = ProgressBar::with_draw_target(Some(steps), target);
        let style = ProgressStyle::with_template("[{bar:30}] {pos}/{len}, {prefix} left: {msg}");
        // A template that does not parse would leave indicatif's own.
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { bar, begun: Instant::now(), planned, steps }
    }

    /// Says what is done now.
    pub(super) fn step(&self, what: impl Into<String>) {
        let done = self.bar.position();
        let left = left(self.planned, self.begun.elapsed(), done, self.steps);
        self.bar.set_prefix(humantime::format_duration(left).to_string());
        self.bar.set_message(what.into());
    }

    /// Says that a step is done.
    pub(super) fn done(&self) {
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

/// The time left: at the pace so far, or, with nothing done yet, by the plan. In whole seconds.
fn left(planned: Duration, elapsed: Duration, done: u64, steps: u64) -> Duration {
    let left = if done == 0 {
        planned.saturating_sub(elapsed)
    } else {
        elapsed.mul_f64(steps.saturating_sub(done) as f64 / done as f64)
    };
    Duration::from_secs(left.as_secs_f64().round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_the_plan_and_then_the_pace() {
        let secs = Duration::from_secs;
        assert_eq!(left(secs(60), secs(5), 0, 10), secs(55));
        assert_eq!(left(secs(60), secs(90), 0, 10), secs(0));
        assert_eq!(left(secs(60), secs(20), 4, 10), secs(30));
        assert_eq!(left(secs(60), secs(50), 10, 10), secs(0));
    }
}
