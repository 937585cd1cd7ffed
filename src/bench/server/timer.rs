//! A timer that is more exact than tokio's milliseconds: an open loop would count its error as the
//! server's latency.

use std::io;
use std::time::Instant;

/// Wakes the task that owns it.
#[derive(Debug)]
pub(super) struct Timer {
    #[cfg(target_os = "linux")]
    file: tokio::io::unix::AsyncFd<rustix::fd::OwnedFd>,
}

#[cfg(target_os = "linux")]
impl Timer {
    /// For tasks of the runtime that this is called in.
    // What is wrong with `new` concerns types that let go of their file; what replaces it is unsafe.
    #[allow(deprecated)]
    pub(super) fn new() -> io::Result<Self> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let file = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { file: tokio::io::unix::AsyncFd::new(file)? })
    }

    /// Returns at `instant`, or a few microseconds later. With one that has passed, it lets other
    /// tasks run once.
    pub(super) async fn sleep_until(&mut self, instant: Instant) {
        let left = instant.saturating_duration_since(Instant::now());
        if left.is_zero() || self.sleep(left).await.is_err() {
            // A timer that fails is one that is early.
            tokio::task::yield_now().await;
        }
    }

    async fn sleep(&mut self, left: std::time::Duration) -> io::Result<()> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
        let at = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
        let seconds = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
        let value =
            Itimerspec { it_interval: at(0, 0), it_value: at(seconds, left.subsec_nanos().into()) };
        timerfd_settime(&self.file, TimerfdTimerFlags::empty(), &value)?;
        let mut expirations = [0; 8];
        loop {
            let mut ready = self.file.readable().await?;
            let read = ready.try_io(|file| Ok(rustix::io::read(file, &mut expirations)?));
            if let Ok(read) = read {
                return read.map(|_| ());
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Timer {
    /// For tasks of the runtime that this is called in.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Returns at `instant`, or a millisecond or two later.
    pub(super) async fn sleep_until(&mut self, instant: Instant) {
        tokio::time::sleep_until(instant.into()).await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_is_never_early_and_can_be_used_again() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut timer = Timer::new().unwrap();
            for us in [0, 1, 300, 2000] {
                let at = Instant::now() + Duration::from_micros(us);
                timer.sleep_until(at).await;
                assert!(Instant::now() >= at, "{us}");
            }
        });
    }
}
