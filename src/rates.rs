//! Takes the samples that `INFO` makes rates of.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use crate::service::Service;

/// As often as Redis does.
const INTERVAL: Duration = Duration::from_millis(100);

/// Takes them until dropped.
pub(crate) async fn sample(service: Arc<Service>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        service.state.rates.sample(Instant::now(), &service.state.stats);
    }
}
