//! What others have sent to a client and it has not read yet, and how much that may be.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// What a message costs besides its own bytes, which those it is sent to share.
const MESSAGE_OVERHEAD_BYTES: usize = size_of::<Bytes>();

/// What may wait for a client whose class has no limit of its own: for replies it has itself asked for
/// there is no such bound, but what others send must not pile up.
pub const UNREAD_MESSAGES_BYTES_MAX: u64 = 1 << 30;

/// Which of the limits of `client-output-buffer-limit` holds for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputClass {
    /// Clients that ask and are answered.
    Normal,
    /// Those that are shown what other clients do: in Redis a kind of replica.
    Monitor,
    /// Those that have subscribed to something.
    PubSub,
}

/// How much may wait for a client to read it: Redis's `client-output-buffer-limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutputLimit {
    /// Bytes from which on the client is cut off; 0: no such limit.
    pub hard_bytes: u64,
    /// Bytes from which on it is cut off after a while; 0: no such limit.
    pub soft_bytes: u64,
    /// That while.
    pub soft_time: Duration,
}

/// How what waits compares with the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// There may be more.
    Within,
    /// It must be less before then.
    OverSoft(Instant),
    /// The client is to be cut off.
    Exceeded,
}

impl OutputLimit {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.hard_bytes == 0 && self.soft_bytes == 0
    }

    /// The same where others decide how much there is: never without a bound.
    pub fn for_messages(self) -> Self {
        let hard_bytes =
            if self.hard_bytes == 0 { UNREAD_MESSAGES_BYTES_MAX } else { self.hard_bytes };
        Self { hard_bytes, ..self }
    }

    /// Judges `bytes` that wait; `over_soft_since` is when they came to be as many as the soft limit, and
    /// kept from call to call.
    pub fn judge(
        &self,
        bytes: u64,
        over_soft_since: &mut Option<Instant>,
        now: impl FnOnce() -> Instant,
    ) -> Verdict {
        if self.hard_bytes > 0 && bytes >= self.hard_bytes {
            return Verdict::Exceeded;
        }
        if self.soft_bytes == 0 || bytes < self.soft_bytes {
            *over_soft_since = None;
            return Verdict::Within;
        }
        let now = now();
        let since = *over_soft_since.get_or_insert(now);
        match since.checked_add(self.soft_time) {
            Some(end) if now > end => Verdict::Exceeded,
            Some(end) => Verdict::OverSoft(end),
            None => Verdict::Within,
        }
    }
}

/// See the module. Its connection takes what is in it; others put it there.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    messages: VecDeque<Bytes>,
    /// Of all messages, with what they cost besides.
    bytes: usize,
    /// How many of them, from the first, were there at a point to come back to.
    marked: Option<usize>,
    over_soft_since: Option<Instant>,
}

impl Mailbox {
    /// Adds a message behind the others.
    pub(super) fn push(&mut self, message: Bytes) {
        self.bytes = self.bytes.saturating_add(cost(&message));
        self.messages.push_back(message);
    }

    /// Takes messages from the front, up to the one that brings them to `bytes_max`; returns what they cost,
    /// too.
    pub(super) fn take(&mut self, bytes_max: usize) -> (VecDeque<Bytes>, usize) {
        let mut taken = 0;
        let len = self.messages.iter().take_while(|message| {
            let more = taken < bytes_max;
            taken = if more { taken + cost(message) } else { taken };
            more
        });
        let len = len.count();
        (self.take_first(len), taken)
    }

    /// Remembers how many there are now.
    pub(super) fn mark(&mut self) {
        self.marked = Some(self.messages.len());
    }

    /// Takes those that were there at the mark, if there is one.
    pub(super) fn take_marked(&mut self) -> VecDeque<Bytes> {
        let len = self.marked.take().unwrap_or(0);
        self.take_first(len)
    }

    fn take_first(&mut self, len: usize) -> VecDeque<Bytes> {
        let taken = if len >= self.messages.len() {
            std::mem::take(&mut self.messages)
        } else {
            self.messages.drain(..len).collect()
        };
        let bytes: usize = taken.iter().map(cost).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
        self.marked = self.marked.map(|marked| marked.saturating_sub(len));
        taken
    }

    /// Throws everything away.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many there are, and what they cost.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.messages.len(), self.bytes)
    }

    /// Judges what is there together with `unsent` bytes that its connection has taken or encoded, and not
    /// written yet.
    pub(super) fn judge(&mut self, unsent: usize, limit: OutputLimit) -> Verdict {
        let waiting = self.bytes.saturating_add(unsent) as u64;
        limit.judge(waiting, &mut self.over_soft_since, Instant::now)
    }
}

fn cost(message: &Bytes) -> usize {
    message.len().saturating_add(MESSAGE_OVERHEAD_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: OutputLimit =
        OutputLimit { hard_bytes: 1000, soft_bytes: 100, soft_time: Duration::from_secs(60) };

    #[test]
    fn the_soft_limit_holds_after_a_while_without_a_break() {
        let begun = Instant::now();
        let at = |secs| move || begun + Duration::from_secs(secs);
        let end = begun + Duration::from_secs(60);
        let mut since = None;
        assert_eq!(LIMIT.judge(99, &mut since, at(0)), Verdict::Within);
        assert_eq!(LIMIT.judge(100, &mut since, at(0)), Verdict::OverSoft(end));
        assert_eq!(LIMIT.judge(999, &mut since, at(60)), Verdict::OverSoft(end));
        assert_eq!(LIMIT.judge(999, &mut since, at(61)), Verdict::Exceeded);
        assert_eq!(LIMIT.judge(99, &mut since, at(62)), Verdict::Within);
        let end = begun + Duration::from_secs(123);
        assert_eq!(LIMIT.judge(100, &mut since, at(63)), Verdict::OverSoft(end));
        assert_eq!(LIMIT.judge(1000, &mut since, at(63)), Verdict::Exceeded);
    }

    #[test]
    fn a_limit_of_zero_is_none_but_for_messages() {
        let mut since = None;
        let none = OutputLimit::default();
        assert!(none.is_none());
        assert_eq!(none.judge(u64::MAX, &mut since, Instant::now), Verdict::Within);
        let messages = none.for_messages();
        assert_eq!(messages.judge(1 << 30, &mut since, Instant::now), Verdict::Exceeded);
        assert_eq!(LIMIT.for_messages(), LIMIT);
    }

    #[test]
    fn what_is_taken_is_no_longer_counted_and_marks_stay_where_they_were() {
        let mut mailbox = Mailbox::default();
        for text in ["a", "bb", "ccc"] {
            mailbox.push(Bytes::from_static(text.as_bytes()));
        }
        mailbox.mark();
        mailbox.push(Bytes::from_static(b"dddd"));
        assert_eq!(mailbox.size(), (4, 10 + 4 * MESSAGE_OVERHEAD_BYTES));
        let (taken, bytes) = mailbox.take(1);
        assert_eq!((taken, bytes), (["a"].map(Bytes::from).into(), 1 + MESSAGE_OVERHEAD_BYTES));
        assert_eq!(mailbox.take_marked(), ["bb", "ccc"].map(Bytes::from));
        assert!(mailbox.take_marked().is_empty());
        assert_eq!(mailbox.size(), (1, 4 + MESSAGE_OVERHEAD_BYTES));
        assert_eq!(mailbox.take(usize::MAX).0, ["dddd"].map(Bytes::from));
        assert_eq!(mailbox.size(), (0, 0));
    }
}
