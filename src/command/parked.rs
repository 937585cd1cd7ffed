//! Clients that wait for something else than a key: `WAIT` and `WAITAOF`.
//!
//! Nobody serves them. They wait for their time to be up, for `CLIENT UNBLOCK`, for the end of the server,
//! or for what their command waits for besides.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::clients::Client;

/// What they have in common.
#[derive(Debug)]
pub struct ParkedClients {
    len: AtomicUsize,
    is_closed: watch::Sender<bool>,
}

/// Why a client waits no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unparked {
    /// Its time is up, or another client sent it on as if it were, or the server stops.
    InVain,
    /// Another client sent it on with an error.
    WithError,
}

impl ParkedClients {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sends all of them on, those too that have not come yet: the server stops.
    pub fn close(&self) {
        self.is_closed.send_replace(true);
    }

    /// Waits for `timeout`; for ever if it is `None`. Dropping the future ends it.
    pub async fn park(&self, client: &Arc<Client>, timeout: Option<Duration>) -> Unparked {
        let (sender, sent_on) = oneshot::channel();
        let _place = Place::new(self, client, sender);
        let mut is_closed = self.is_closed.subscribe();
        let time_is_up = async {
            match timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = time_is_up => Unparked::InVain,
            with_error = sent_on => match with_error {
                Ok(true) => Unparked::WithError,
                Ok(false) | Err(_) => Unparked::InVain,
            },
            // An error means that the server is gone.
            _ = is_closed.wait_for(|is_closed| *is_closed) => Unparked::InVain,
        }
    }
}

impl Default for ParkedClients {
    fn default() -> Self {
        Self { len: AtomicUsize::new(0), is_closed: watch::Sender::new(false) }
    }
}

/// A client's place among them, until dropped.
struct Place<'a> {
    parked: &'a ParkedClients,
    client: &'a Client,
}

impl<'a> Place<'a> {
    fn new(parked: &'a ParkedClients, client: &'a Client, send_on: oneshot::Sender<bool>) -> Self {
        parked.len.fetch_add(1, Ordering::Relaxed);
        client.profile().is_blocked = true;
        client.set_parked(Some(send_on));
        Self { parked, client }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.client.set_parked(None);
        self.client.profile().is_blocked = false;
        self.parked.len.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Arc<Client> {
        Arc::new(Client::new(1, "a".into(), "b".into()))
    }

    #[tokio::test]
    async fn a_parked_client_waits_for_its_time() {
        let (parked, client) = (ParkedClients::default(), client());
        {
            let mut waiting = Box::pin(parked.park(&client, Some(Duration::from_secs(1000))));
            assert!(futures::poll!(&mut waiting).is_pending());
        }
        assert_eq!(parked.park(&client, Some(Duration::from_millis(1))).await, Unparked::InVain);
        assert!(parked.is_empty() && !client.profile().is_blocked);
        assert!(!client.unpark(true));
    }

    #[tokio::test]
    async fn others_send_it_on() {
        for with_error in [true, false] {
            let (parked, client) = (ParkedClients::default(), client());
            let mut waiting = Box::pin(parked.park(&client, None));
            assert!(futures::poll!(&mut waiting).is_pending());
            assert_eq!(parked.len(), 1);
            assert!(client.profile().is_blocked);
            assert!(client.unpark(with_error));
            let expected = if with_error { Unparked::WithError } else { Unparked::InVain };
            assert_eq!(waiting.await, expected);
            assert!(!client.unpark(with_error));
        }
    }

    #[tokio::test]
    async fn the_end_of_the_server_sends_it_on() {
        let (parked, client) = (ParkedClients::default(), client());
        let mut waiting = Box::pin(parked.park(&client, None));
        assert!(futures::poll!(&mut waiting).is_pending());
        parked.close();
        assert_eq!(waiting.await, Unparked::InVain);
        assert_eq!(parked.park(&client, None).await, Unparked::InVain);
    }

    #[tokio::test]
    async fn a_client_that_leaves_leaves_no_trace() {
        let (parked, client) = (ParkedClients::default(), client());
        let mut waiting = Box::pin(parked.park(&client, None));
        assert!(futures::poll!(&mut waiting).is_pending());
        drop(waiting);
        assert!(parked.is_empty() && !client.profile().is_blocked && !client.unpark(false));
    }
}
