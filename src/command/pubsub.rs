//! Who listens to what, and what they are told.
//!
//! One lock holds all of it, so that everybody hears messages in the same order, and nobody hears one from
//! a channel that he has just left. A message is encoded once for each protocol, and what its receivers
//! get is a share of that.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;

use crate::data::Event;
use crate::glob;
use crate::resp::{Encoder, Protocol};

use super::clients::{Client, lock};
use super::mailbox::OutputLimit;
use super::subscriptions::{Subscriptions, Topic};

/// The bit of `notify-keyspace-events` that asks for a message on the key's channel.
pub const NOTIFY_KEYSPACE: u32 = 1;
/// The bit that asks for a message on the event's channel.
pub const NOTIFY_KEYEVENT: u32 = 1 << 1;

/// Channels, patterns and shard channels, and those who have subscribed to them.
#[derive(Debug, Default)]
pub struct PubSub {
    places: Mutex<Places>,
    /// Whether there is a channel or a pattern that somebody listens to.
    is_listened_to: AtomicBool,
}

#[derive(Debug, Default)]
struct Places {
    channels: Lines,
    patterns: Lines,
    shards: Lines,
}

/// By name: those who have subscribed to it, in that order.
type Lines = HashMap<Bytes, Vec<Arc<Client>>>;

/// Something published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where.
    pub channel: Bytes,
    /// What.
    pub payload: Bytes,
    /// Whether `channel` is a shard channel.
    pub is_shard: bool,
}

/// What a command of one client does to who listens to what. In a transaction it takes effect with the
/// commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The client subscribes to something.
    Subscribe(Topic, Bytes),
    /// The client has enough of it.
    Unsubscribe(Topic, Bytes),
    /// The client publishes.
    Publish(Message),
    /// The client speaks another protocol from now on.
    Speak(Protocol),
}

/// Somebody who hears of events besides those who have subscribed to them.
pub type EventListener = dyn Fn(&[Event]) + Send + Sync;

/// Tells those who listen, as the settings say at the time when it is made.
#[derive(Clone)]
pub struct Publisher {
    pub(super) pubsub: Arc<PubSub>,
    /// Which messages an event brings: `NOTIFY_KEYSPACE`, `NOTIFY_KEYEVENT`.
    pub(super) notify: u32,
    /// When a subscriber is cut off that does not read.
    pub(super) limit: OutputLimit,
    pub(super) listener: Arc<OnceLock<Box<EventListener>>>,
}

impl Publisher {
    /// Publishes a message; how many it is sent to.
    pub fn publish(&self, message: &Message) -> usize {
        lock(&self.pubsub.places).publish(message, self.limit)
    }

    /// Does what a command of `client` asks for.
    pub fn apply(&self, client: &Arc<Client>, effects: &[Effect]) {
        let mut places = lock(&self.pubsub.places);
        for effect in effects {
            places.apply(client, effect, self.limit);
        }
        self.pubsub.note_listeners(&places);
    }

    /// Tells those who listen for events of keys what happened.
    pub fn tell_events(&self, events: &[Event]) {
        self.tell_listener(events);
        if self.pubsub.is_listened_to() {
            lock(&self.pubsub.places).tell_events(events, self.notify, self.limit);
        }
    }

    /// Does what a transaction of `client` has done, now that it is committed: its events, and its effects,
    /// each with the number of events that were before it.
    pub fn commit(&self, client: &Arc<Client>, events: &[Event], effects: &[(usize, Effect)]) {
        self.tell_listener(events);
        let mut places = lock(&self.pubsub.places);
        client.mark_messages();
        let mut told = 0;
        for (events_before, effect) in effects {
            let now = events.get(told..*events_before).unwrap_or_default();
            places.tell_events(now, self.notify, self.limit);
            told = *events_before;
            places.apply(client, effect, self.limit);
        }
        places.tell_events(events.get(told..).unwrap_or_default(), self.notify, self.limit);
        self.pubsub.note_listeners(&places);
    }

    fn tell_listener(&self, events: &[Event]) {
        if !events.is_empty()
            && let Some(listener) = self.listener.get()
        {
            listener(events);
        }
    }
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").field("notify", &self.notify).finish_non_exhaustive()
    }
}

impl PubSub {
    /// Whether there is a channel or a pattern that somebody listens to, so that an event may interest
    /// him.
    pub fn is_listened_to(&self) -> bool {
        self.is_listened_to.load(Ordering::Acquire)
    }

    /// How many a message would be sent to, besides `client`.
    pub fn others_len(&self, message: &Message, client: &Arc<Client>) -> usize {
        let is_other = |other: &&Arc<Client>| !Arc::ptr_eq(other, client) && !other.is_killed();
        let count = |line: &Vec<Arc<Client>>| line.iter().filter(is_other).count();
        let places = lock(&self.places);
        let own = match message.is_shard {
            true => places.shards.get(&message.channel),
            false => places.channels.get(&message.channel),
        };
        let patterns = places
            .patterns
            .iter()
            .filter(|(pattern, _)| !message.is_shard && glob::matches(pattern, &message.channel));
        own.map_or(0, count) + patterns.map(|(_, line)| count(line)).sum::<usize>()
    }

    /// The names of one kind that match a pattern, or all, in any order.
    pub fn names(&self, topic: Topic, pattern: Option<&[u8]>) -> Vec<Bytes> {
        let places = lock(&self.places);
        let names = places.lines(topic).keys();
        let wanted = |name: &&Bytes| pattern.is_none_or(|pattern| glob::matches(pattern, name));
        names.filter(wanted).cloned().collect()
    }

    /// How many names of one kind somebody listens to.
    pub fn names_len(&self, topic: Topic) -> usize {
        lock(&self.places).lines(topic).len()
    }

    /// How many have subscribed to each of `names`.
    pub fn subscribers_lens(&self, topic: Topic, names: &[Bytes]) -> Vec<usize> {
        let places = lock(&self.places);
        let lines = places.lines(topic);
        let is_there = |client: &&Arc<Client>| !client.is_killed();
        let count = |line: &Vec<Arc<Client>>| line.iter().filter(is_there).count();
        names.iter().map(|name| lines.get(name).map_or(0, count)).collect()
    }

    /// Ends all subscriptions of a client.
    pub fn leave(&self, client: &Arc<Client>, subscriptions: &Subscriptions) {
        let mut places = lock(&self.places);
        for topic in [Topic::Channel, Topic::Pattern, Topic::Shard] {
            for name in subscriptions.names(topic) {
                places.unsubscribe(topic, name, client);
            }
        }
        self.note_listeners(&places);
    }

    fn note_listeners(&self, places: &Places) {
        let is_listened_to = !places.channels.is_empty() || !places.patterns.is_empty();
        self.is_listened_to.store(is_listened_to, Ordering::Release);
    }
}

impl Places {
    fn lines(&self, topic: Topic) -> &Lines {
        match topic {
            Topic::Channel => &self.channels,
            Topic::Pattern => &self.patterns,
            Topic::Shard => &self.shards,
        }
    }

    fn lines_mut(&mut self, topic: Topic) -> &mut Lines {
        match topic {
            Topic::Channel => &mut self.channels,
            Topic::Pattern => &mut self.patterns,
            Topic::Shard => &mut self.shards,
        }
    }

    fn apply(&mut self, client: &Arc<Client>, effect: &Effect, limit: OutputLimit) {
        match effect {
            Effect::Subscribe(topic, name) => {
                let line = self.lines_mut(*topic).entry(name.clone()).or_default();
                line.push(Arc::clone(client));
            }
            Effect::Unsubscribe(topic, name) => self.unsubscribe(*topic, name, client),
            Effect::Publish(message) => {
                self.publish(message, limit);
            }
            Effect::Speak(protocol) => client.set_protocol(*protocol),
        }
    }

    fn unsubscribe(&mut self, topic: Topic, name: &Bytes, client: &Arc<Client>) {
        let lines = self.lines_mut(topic);
        let Some(line) = lines.get_mut(name) else { return };
        if let Some(place) = line.iter().position(|other| Arc::ptr_eq(other, client)) {
            line.remove(place);
        }
        if line.is_empty() {
            lines.remove(name);
        }
    }

    fn publish(&self, message: &Message, limit: OutputLimit) -> usize {
        if message.is_shard {
            let line = self.shards.get(&message.channel);
            return line.map_or(0, |line| send(line, message, None, limit));
        }
        let line = self.channels.get(&message.channel);
        let mut sent = line.map_or(0, |line| send(line, message, None, limit));
        for (pattern, line) in &self.patterns {
            if glob::matches(pattern, &message.channel) {
                sent += send(line, message, Some(pattern), limit);
            }
        }
        sent
    }

    fn tell_events(&self, events: &[Event], notify: u32, limit: OutputLimit) {
        if self.channels.is_empty() && self.patterns.is_empty() {
            return;
        }
        for Event { name, db, key, .. } in events {
            if notify & NOTIFY_KEYSPACE != 0 {
                let mut channel = format!("__keyspace@{db}__:").into_bytes();
                channel.extend_from_slice(key);
                let payload = Bytes::from_static(name.as_bytes());
                let message = Message { channel: channel.into(), payload, is_shard: false };
                self.publish(&message, limit);
            }
            if notify & NOTIFY_KEYEVENT != 0 {
                let channel = format!("__keyevent@{db}__:{name}").into();
                let message = Message { channel, payload: key.clone(), is_shard: false };
                self.publish(&message, limit);
            }
        }
    }
}

/// Sends a message to all of a line: how many that are.
fn send(
    line: &[Arc<Client>],
    message: &Message,
    pattern: Option<&Bytes>,
    limit: OutputLimit,
) -> usize {
    let (mut resp2, mut resp3) = (None, None);
    let sent = line.iter().filter(|client| {
        let protocol = client.protocol();
        let encoded = match protocol {
            Protocol::Resp2 => &mut resp2,
            Protocol::Resp3 => &mut resp3,
        };
        let encoded = encoded.get_or_insert_with(|| encode(message, pattern, protocol));
        client.send(encoded.clone(), limit)
    });
    sent.count()
}

fn encode(message: &Message, pattern: Option<&Bytes>, protocol: Protocol) -> Bytes {
    let Message { channel, payload, is_shard } = message;
    let mut out = Encoder::new(protocol);
    match pattern {
        Some(pattern) => {
            out.push(4);
            out.bulk(b"pmessage");
            out.bulk(pattern);
        }
        None => {
            out.push(3);
            out.bulk(if *is_shard { b"smessage" } else { b"message" });
        }
    }
    out.bulk(channel);
    out.bulk(payload);
    out.into_bytes()
}

#[cfg(test)]
#[path = "pubsub_tests.rs"]
mod tests;
