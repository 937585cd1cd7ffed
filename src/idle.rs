//! The periodic look for clients that have said nothing for too long: `timeout`.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::command::{Client, ServerState};
use crate::service::Service;

/// How often to look. A client is closed at the most this long after its time.
const INTERVAL: Duration = Duration::from_secs(1);

/// Closes idle clients for as long as the server runs. While none is to be closed it looks at none.
pub(crate) async fn close_idle(service: Arc<Service>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Some(timeout) = service.state.idle_timeout() {
            close_idle_for(&service.state, timeout);
        }
    }
}

fn close_idle_for(state: &ServerState, timeout: Duration) {
    for client in state.clients.all() {
        if !may_be_silent(&client) && client.idle() > timeout {
            tracing::debug!(id = client.id, addr = client.addr, "closing an idle client");
            state.clients.kill(&client);
        }
    }
}

/// Whether a client waits for what others do, and so may be silent for as long as it likes.
fn may_be_silent(client: &Client) -> bool {
    let profile = client.profile();
    profile.is_blocked || profile.is_monitor || profile.subscriptions != [0; 3]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::command::{Clients, Profile, Session, Settings};

    #[test]
    fn who_is_silent_is_closed_unless_he_waits_for_others() {
        let state = ServerState::new(Settings::default());
        let past = Instant::now().checked_sub(Duration::from_secs(10)).unwrap();
        let changes: [fn(&mut Profile); 5] = [
            |_| {},
            |profile| profile.is_blocked = true,
            |profile| profile.is_monitor = true,
            |profile| profile.subscriptions = [0, 0, 1],
            |profile| profile.last_interaction = Instant::now(),
        ];
        let mut places = Vec::new();
        for change in changes {
            let id = state.next_client_id();
            let session = Session::new(id, String::new(), String::new(), true);
            session.client.profile().last_interaction = past;
            change(&mut session.client.profile());
            places.push(Clients::add(&state.clients, &session.client));
        }
        let busy = Session::new(state.next_client_id(), String::new(), String::new(), true).client;
        busy.profile().last_interaction = past;
        busy.set_busy(true);
        places.push(Clients::add(&state.clients, &busy));
        close_idle_for(&state, Duration::from_secs(5));
        let ids: Vec<u64> = state.clients.all().iter().map(|client| client.id).collect();
        assert_eq!(ids, [2, 3, 4, 5, 6]);
        assert_eq!(state.clients.len(), 5);
        busy.set_busy(false);
        close_idle_for(&state, Duration::from_secs(5));
        assert!(busy.is_killed());
    }
}
