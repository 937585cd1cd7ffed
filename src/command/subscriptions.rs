//! What one client has subscribed to, as its own connection knows it.

use std::collections::HashMap;

use bytes::Bytes;

use crate::glob;

/// Channels, patterns and shard channels that one client may have subscribed to at a time.
pub const SUBSCRIPTIONS_MAX: usize = 1 << 20;

/// Bytes of all their names.
pub const SUBSCRIBED_BYTES_MAX: usize = 64 << 20;

/// What can be subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// A channel, by its name.
    Channel,
    /// Every channel whose name matches a pattern.
    Pattern,
    /// A shard channel, by its name.
    Shard,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Subscriptions {
    channels: Names,
    patterns: Names,
    shards: Names,
    names_bytes: usize,
    /// How many there have been, for their order.
    begun: u64,
}

/// Each with its place in the order of subscribing.
type Names = HashMap<Bytes, u64>;

impl Subscriptions {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.patterns.is_empty() && self.shards.is_empty()
    }

    /// How many channels, patterns and shard channels.
    pub fn lens(&self) -> [usize; 3] {
        [self.channels.len(), self.patterns.len(), self.shards.len()]
    }

    /// How many the client is told it has, when it has just begun or ended one to `topic`: shard channels
    /// are counted apart.
    pub fn shown_len(&self, topic: Topic) -> usize {
        match topic {
            Topic::Channel | Topic::Pattern => self.channels.len() + self.patterns.len(),
            Topic::Shard => self.shards.len(),
        }
    }

    /// Whether all of `names` may be added.
    pub fn has_room_for(&self, names: &[Bytes]) -> bool {
        let bytes: usize = names.iter().map(Bytes::len).sum();
        self.lens().iter().sum::<usize>() + names.len() <= SUBSCRIPTIONS_MAX
            && self.names_bytes + bytes <= SUBSCRIBED_BYTES_MAX
    }

    /// Adds one; whether it was not there.
    pub fn add(&mut self, topic: Topic, name: Bytes) -> bool {
        let (bytes, place) = (name.len(), self.begun);
        let names = self.of_mut(topic);
        if names.contains_key(&name) {
            return false;
        }
        names.insert(name, place);
        self.names_bytes += bytes;
        self.begun += 1;
        true
    }

    /// Takes one out; whether it was there.
    pub fn remove(&mut self, topic: Topic, name: &Bytes) -> bool {
        let was_there = self.of_mut(topic).remove(name).is_some();
        if was_there {
            self.names_bytes = self.names_bytes.saturating_sub(name.len());
        }
        was_there
    }

    /// All of one kind, in the order in which they were added.
    pub fn in_order(&self, topic: Topic) -> Vec<Bytes> {
        let mut names: Vec<_> = self.of(topic).iter().collect();
        names.sort_unstable_by_key(|(_, place)| **place);
        names.into_iter().map(|(name, _)| name.clone()).collect()
    }

    /// How often a message on `channel` reaches the client.
    pub fn matching_len(&self, channel: &Bytes, is_shard: bool) -> usize {
        if is_shard {
            return usize::from(self.shards.contains_key(channel));
        }
        let patterns = self.patterns.keys().filter(|pattern| glob::matches(pattern, channel));
        usize::from(self.channels.contains_key(channel)) + patterns.count()
    }

    /// All of one kind, in any order.
    pub fn names(&self, topic: Topic) -> impl Iterator<Item = &Bytes> {
        self.of(topic).keys()
    }

    fn of(&self, topic: Topic) -> &Names {
        match topic {
            Topic::Channel => &self.channels,
            Topic::Pattern => &self.patterns,
            Topic::Shard => &self.shards,
        }
    }

    fn of_mut(&mut self, topic: Topic) -> &mut Names {
        match topic {
            Topic::Channel => &mut self.channels,
            Topic::Pattern => &mut self.patterns,
            Topic::Shard => &mut self.shards,
        }
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn name(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    #[test]
    fn each_is_there_once_and_keeps_its_place() {
        let mut subscriptions = Subscriptions::default();
        for text in ["b", "a", "b", "c"] {
            let is_new = !subscriptions.in_order(Topic::Channel).contains(&name(text));
            assert_eq!(subscriptions.add(Topic::Channel, name(text)), is_new);
        }
        assert!(subscriptions.add(Topic::Pattern, name("*")));
        assert!(subscriptions.add(Topic::Shard, name("a")));
        assert_eq!(subscriptions.in_order(Topic::Channel), ["b", "a", "c"].map(name));
        assert_eq!(subscriptions.lens(), [3, 1, 1]);
        assert_eq!(subscriptions.shown_len(Topic::Channel), 4);
        assert_eq!(subscriptions.shown_len(Topic::Shard), 1);
        assert_eq!(subscriptions.matching_len(&name("a"), false), 2);
        assert_eq!(subscriptions.matching_len(&name("d"), false), 1);
        assert_eq!(subscriptions.matching_len(&name("d"), true), 0);
        assert!(subscriptions.remove(Topic::Channel, &name("b")));
        assert!(!subscriptions.remove(Topic::Channel, &name("b")));
        assert_eq!(subscriptions.in_order(Topic::Channel), ["a", "c"].map(name));
        for (topic, text) in [
            (Topic::Channel, "a"),
            (Topic::Channel, "c"),
            (Topic::Pattern, "*"),
            (Topic::Shard, "a"),
        ] {
            assert!(!subscriptions.is_empty());
            subscriptions.remove(topic, &name(text));
        }
        assert!(subscriptions.is_empty());
        assert_eq!(subscriptions.names_bytes, 0);
    }

    #[test]
    fn their_number_and_their_names_are_bounded() {
        let mut subscriptions = Subscriptions::default();
        let long = Bytes::from(vec![b'x'; SUBSCRIBED_BYTES_MAX]);
        assert!(subscriptions.has_room_for(std::slice::from_ref(&long)));
        assert!(!subscriptions.has_room_for(&[name("a"), long.clone()]));
        subscriptions.add(Topic::Shard, long.clone());
        assert!(!subscriptions.has_room_for(&[name("a")]));
        subscriptions.remove(Topic::Shard, &long);
        assert!(subscriptions.has_room_for(&[name("a")]));
        let many = vec![Bytes::new(); SUBSCRIPTIONS_MAX + 1];
        let all = &many[1..];
        assert!(subscriptions.has_room_for(all) && !subscriptions.has_room_for(&many));
        subscriptions.add(Topic::Pattern, name("a"));
        assert!(!subscriptions.has_room_for(all));
    }
}
