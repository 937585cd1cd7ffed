//! Who listens to what, and what they are told.

use crate::data::Event;

/// Channels and those who have subscribed to them.
#[derive(Debug, Default)]
pub struct PubSub {}

impl PubSub {
    /// Tells those who listen for events of keys what happened.
    pub fn tell_events(&self, events: &[Event]) {
        tracing::trace!(events = events.len(), "nobody listens");
    }
}
