//! What a connection does while its client waits: for a key, for a command that takes its time, for the
//! end of a pause. Others may send to it meanwhile, and it may leave.

use std::future::pending;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::command::{
    Answer, AsyncContext, AsyncFn, Blocked, Client, Command, Flags, ServerState, refuse,
};
use crate::resp::Args;

use super::{Connection, Event, UNREAD_REPLIES_INPUT_BYTES_MAX};

impl Connection {
    /// Waits, with everything sent that was answered so far, for what a blocking command found nothing of.
    pub(super) async fn wait_for_key(&mut self, mut blocked: Blocked) -> io::Result<()> {
        self.publish();
        self.flush().await?;
        let Blocked { waiter, answer, .. } = &mut blocked;
        let mut deadline = pin!(sleep_for(waiter.block.timeout));
        let answer = loop {
            let event = tokio::select! {
                biased;
                answer = &mut *answer => break answer.ok(),
                () = &mut deadline, if !waiter.is_ended() => {
                    // Else somebody has begun to serve it: what was taken for it must reach it.
                    if waiter.cancel() {
                        break Some(Answer::Unblocked { with_error: false });
                    }
                    continue;
                }
                event = self.next_event(self.takes_more()) => event?,
            };
            self.attend(event).await?;
        };
        match answer {
            Some(answer) => {
                if let Some(fail) = answer.failure() {
                    let (command, args) = &waiter.request;
                    let state = &self.service.state;
                    state.count_error(&fail.to_text());
                    state.end_waiting(state.begin_command(), command, args, &waiter.client, true);
                }
                answer.encode(&mut self.replies);
            }
            // The server stops, or whoever was to serve it has broken off.
            None => self.session.close_after_reply = true,
        }
        Ok(())
    }

    /// Runs a command that takes its time, for as long as the client is there.
    pub(super) async fn run_async(
        &mut self,
        command: &'static Command,
        run: AsyncFn,
        args: Args,
    ) -> io::Result<()> {
        self.publish();
        self.flush().await?;
        let state = &self.service.state;
        let (timing, shown) = (state.begin_command(), args.clone());
        let waits = command.flags.contains(Flags::WAITS);
        if waits {
            state.begin_waiting(timing, command);
        }
        let context = AsyncContext {
            service: Arc::clone(&self.service),
            client: Arc::clone(&self.session.client),
            protocol: self.session.protocol,
            db: self.session.db,
        };
        let mut running: Pin<Box<_>> = run(context, args);
        let outcome = loop {
            let event = tokio::select! {
                biased;
                outcome = &mut running => break outcome,
                event = self.next_event(self.takes_more()) => event?,
            };
            self.attend(event).await?;
        };
        let state = &self.service.state;
        let (client, failed) = (&self.session.client, outcome.is_err());
        if waits {
            state.end_waiting(state.begin_command(), command, &shown, client, failed);
        } else {
            state.end_command(timing, command, &shown, client, failed);
        }
        state.tell_monitors(command, &shown, client, self.session.db);
        state.stats.commands_processed.fetch_add(1, Relaxed);
        match outcome {
            Ok(reply) => self.replies.append(reply),
            Err(fail) => refuse(&fail, state, &mut self.replies),
        }
        Ok(())
    }

    /// Waits, with everything sent that was answered so far, while commands such as this one do.
    pub(super) async fn wait_while_paused(&mut self, command: &'static Command) -> io::Result<()> {
        let queued = self.session.transaction.as_ref().filter(|_| command.name == "exec");
        let mut queued = queued.into_iter().flat_map(|queued| &queued.requests);
        let has_effects = command.has_effects() || queued.any(|(command, _)| command.has_effects());
        if self.service.state.pause.until(has_effects).is_none() {
            return Ok(());
        }
        self.execute().await?;
        self.publish();
        let service = Arc::clone(&self.service);
        let pause = &service.state.pause;
        let mut changes = pause.changes();
        let _place = PausedPlace::new(&service.state, Arc::clone(&self.session.client));
        self.flush().await?;
        while let Some(until) = pause.until(has_effects) {
            let event = tokio::select! {
                // Its sender is there for as long as the server is.
                _ = changes.changed() => continue,
                () = tokio::time::sleep_until(until.into()) => continue,
                event = self.next_event(self.takes_more()) => event?,
            };
            self.attend(event).await?;
        }
        Ok(())
    }

    /// Whether to take in what the client sends while it waits. Once there is too much only its end is of
    /// interest, which shows as an error when writing.
    fn takes_more(&self) -> bool {
        self.input.len() < UNREAD_REPLIES_INPUT_BYTES_MAX
    }

    /// Does what an event asks for while the client waits. An error means that it is gone.
    async fn attend(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::Attention => self.deliver_messages().await,
            Event::Received(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Event::Received(received) => {
                self.count_received(received);
                Ok(())
            }
        }
    }
}

/// A client's place among those that wait for the end of a pause, until dropped.
struct PausedPlace<'a> {
    state: &'a ServerState,
    client: Arc<Client>,
}

impl<'a> PausedPlace<'a> {
    fn new(state: &'a ServerState, client: Arc<Client>) -> Self {
        state.pause.enter();
        client.profile().is_blocked = true;
        Self { state, client }
    }
}

impl Drop for PausedPlace<'_> {
    fn drop(&mut self) {
        self.state.pause.leave();
        self.client.profile().is_blocked = false;
    }
}

/// Ends after `time`, or never.
async fn sleep_for(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => pending().await,
    }
}
