//! How replies, and what others have sent to a client, leave.

use std::io::{self, IoSlice};
use std::mem;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use futures::FutureExt as _;
use tokio::io::Interest;
use tokio::task::consume_budget;

use crate::command::{OutputLimit, Verdict};
use crate::resp::Encoder;

use super::{Connection, UNREAD_REPLIES_INPUT_BYTES_MAX, killed, receive};

/// Replies held back for one flush; more are sent at once.
pub(super) const REPLY_BYTES_HELD_MAX: usize = 1 << 20;

/// Chunks in one vectored write, well below the system's limit (1024 on Linux).
const WRITE_CHUNKS_MAX: usize = 64;

impl Connection {
    /// What is sent with the next flush.
    pub(super) fn outgoing(&mut self) -> &mut Encoder {
        self.held.as_deref_mut().unwrap_or(&mut self.replies)
    }

    /// Sends what others have sent to the client, as much as goes with one flush. If there is more it is
    /// reminded of it: the client, too, may want something.
    pub(super) async fn deliver_messages(&mut self) -> io::Result<()> {
        consume_budget().await;
        if self.session.client.is_killed() {
            return Err(killed());
        }
        self.put_messages(REPLY_BYTES_HELD_MAX);
        self.flush().await?;
        if self.session.client.unread().messages > 0 {
            self.session.client.remind();
        }
        Ok(())
    }

    /// Puts what others have sent to the client behind what is to be sent, about `bytes_max` of it.
    pub(super) fn put_messages(&mut self, bytes_max: usize) {
        let messages = self.session.client.take_messages(bytes_max);
        let outgoing = self.outgoing();
        for message in messages {
            outgoing.encoded(message);
        }
    }

    /// Sends the replies. While the client takes none, what it sends is taken in: many a client
    /// sends a whole pipeline before it reads. One that reads too slowly for its class is cut off.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if self.held.is_some() {
            self.replies = Encoder::new(self.session.protocol);
        }
        if self.outgoing().is_empty() {
            return Ok(());
        }
        let output_bytes = self.outgoing().len_bytes();
        let state = &self.service.state;
        state.stats.net_output_bytes.fetch_add(output_bytes as u64, Relaxed);
        let limit = state.output_limit(self.session.output_class());
        if !limit.is_none() {
            self.judge(output_bytes, limit)?;
        }
        let mut written = 0;
        let outgoing = self.held.as_deref_mut().unwrap_or(&mut self.replies);
        if let Some(bytes) = outgoing.as_slice() {
            // Nearly always all of it goes at once, and a plain write is the cheapest.
            written = match self.stream.try_write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            };
        }
        let replies = mem::replace(outgoing, Encoder::new(self.session.protocol));
        if written < output_bytes {
            // Boxed, so that a client that reads has no room for it.
            Box::pin(self.flush_rest(replies, written, output_bytes, limit)).await?;
        }
        self.session.client.all_sent(limit);
        Ok(())
    }

    /// Sends what is left of `replies` when `written` of its `output_bytes` have left.
    async fn flush_rest(
        &mut self,
        replies: Encoder,
        mut written: usize,
        output_bytes: usize,
        limit: OutputLimit,
    ) -> io::Result<()> {
        let chunks = replies.into_chunks();
        let mut slices: Vec<_> =
            chunks.as_slice().iter().map(|chunk| IoSlice::new(chunk)).collect();
        let mut rest = slices.as_mut_slice();
        IoSlice::advance_slices(&mut rest, written);
        let (mut sends_more, mut is_reminded) = (true, false);
        while !rest.is_empty() {
            let window = rest.get(..WRITE_CHUNKS_MAX).unwrap_or(rest);
            match self.stream.try_write_vectored(window) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => {
                    written += len;
                    IoSlice::advance_slices(&mut rest, len);
                    // As long as it reads it is not idle.
                    self.session.client.profile().last_interaction = Instant::now();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let deadline = self.judge(output_bytes - written, limit)?;
                    sends_more &= self.input.len() < UNREAD_REPLIES_INPUT_BYTES_MAX;
                    let interest = if sends_more {
                        Interest::READABLE | Interest::WRITABLE
                    } else {
                        Interest::WRITABLE
                    };
                    let client = &self.session.client;
                    let ready = tokio::select! {
                        ready = self.stream.ready(interest) => ready?,
                        () = client.attention() => {
                            if client.is_killed() {
                                return Err(killed());
                            }
                            // It was for messages, which come once these replies have left.
                            is_reminded = true;
                            continue;
                        }
                        () = sleep_until(deadline) => continue,
                    };
                    if ready.is_readable() {
                        sends_more = self.receive_beside()?;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        if is_reminded {
            self.session.client.remind();
        }
        Ok(())
    }

    /// Cuts the client off if it is sent more, with `unsent` bytes of it at hand, than `limit` allows; until
    /// when it has time to read, if there is such a limit.
    fn judge(&self, unsent: usize, limit: OutputLimit) -> io::Result<Option<Instant>> {
        let client = &self.session.client;
        match client.set_unsent(unsent, limit) {
            Verdict::Within => Ok(None),
            Verdict::OverSoft(deadline) => Ok(Some(deadline)),
            Verdict::Exceeded => {
                client.cut_off();
                Err(killed())
            }
        }
    }

    /// Takes what the client has sent; whether it may send more.
    fn receive_beside(&mut self) -> io::Result<bool> {
        let Self { stream, input, decoder, .. } = self;
        match receive(stream, input, decoder).now_or_never() {
            Some(received) => {
                let received = received?;
                self.count_received(received);
                Ok(received > 0)
            }
            None => Ok(true),
        }
    }
}

/// Ends a moment after `deadline`, or never.
async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
