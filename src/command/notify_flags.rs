//! Which keyspace notifications are sent: the classes of `notify-keyspace-events`, as bits.
//!
//! The bits are Redis's own. Sending is not here.

use std::fmt;

use crate::data::effects::class;

/// A set of classes of keyspace notifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NotifyFlags(u32);

impl NotifyFlags {
    /// Nothing is sent.
    pub const NONE: NotifyFlags = NotifyFlags(0);
    /// `K`: to the channel of the key, `__keyspace@<db>__:<key>`.
    pub const KEYSPACE: NotifyFlags = NotifyFlags(1);
    /// `E`: to the channel of the event, `__keyevent@<db>__:<event>`.
    pub const KEYEVENT: NotifyFlags = NotifyFlags(1 << 1);
    /// `g`: `DEL`, `EXPIRE`, `RENAME` and what else works on any type.
    pub const GENERIC: NotifyFlags = NotifyFlags(class::GENERIC);
    /// `$`: strings.
    pub const STRING: NotifyFlags = NotifyFlags(class::STRING);
    /// `l`: lists.
    pub const LIST: NotifyFlags = NotifyFlags(class::LIST);
    /// `s`: sets.
    pub const SET: NotifyFlags = NotifyFlags(class::SET);
    /// `h`: hashes.
    pub const HASH: NotifyFlags = NotifyFlags(class::HASH);
    /// `z`: sorted sets.
    pub const ZSET: NotifyFlags = NotifyFlags(class::SORTED_SET);
    /// `x`: keys whose time has come.
    pub const EXPIRED: NotifyFlags = NotifyFlags(class::EXPIRED);
    /// `e`: keys removed for want of memory.
    pub const EVICTED: NotifyFlags = NotifyFlags(class::EVICTED);
    /// `t`: streams.
    pub const STREAM: NotifyFlags = NotifyFlags(class::STREAM);
    /// `m`: look-ups that found no key. Not in [`ALL`](NotifyFlags::ALL).
    pub const KEY_MISS: NotifyFlags = NotifyFlags(class::KEY_MISS);
    /// `d`: types of modules.
    pub const MODULE: NotifyFlags = NotifyFlags(class::MODULE);
    /// `n`: keys that are new. Not in [`ALL`](NotifyFlags::ALL).
    pub const NEW: NotifyFlags = NotifyFlags(class::NEW);
    /// `A`: every class but the two that say so.
    pub const ALL: NotifyFlags = Self::GENERIC
        .or(Self::STRING)
        .or(Self::LIST)
        .or(Self::SET)
        .or(Self::HASH)
        .or(Self::ZSET)
        .or(Self::EXPIRED)
        .or(Self::EVICTED)
        .or(Self::STREAM)
        .or(Self::MODULE);

    /// The letters of the classes in `ALL`, and `n`, in the order in which they are shown.
    const CLASSES: [(char, NotifyFlags); 11] = [
        ('g', Self::GENERIC),
        ('$', Self::STRING),
        ('l', Self::LIST),
        ('s', Self::SET),
        ('h', Self::HASH),
        ('z', Self::ZSET),
        ('x', Self::EXPIRED),
        ('e', Self::EVICTED),
        ('t', Self::STREAM),
        ('d', Self::MODULE),
        ('n', Self::NEW),
    ];

    /// What is shown behind the classes.
    const CHANNELS: [(char, NotifyFlags); 3] =
        [('K', Self::KEYSPACE), ('E', Self::KEYEVENT), ('m', Self::KEY_MISS)];

    /// The set that `letters` name, in any order; `None` if one of them names nothing.
    ///
    /// ```
    /// use pontoon::command::NotifyFlags;
    ///
    /// assert_eq!(NotifyFlags::parse("KEA").unwrap().to_string(), "AKE");
    /// assert_eq!(NotifyFlags::parse("Q"), None);
    /// ```
    pub fn parse(letters: &str) -> Option<Self> {
        letters.chars().try_fold(Self::NONE, |flags, letter| {
            if letter == 'A' {
                return Some(flags.or(Self::ALL));
            }
            let mut known = Self::CLASSES.into_iter().chain(Self::CHANNELS);
            known.find(|(own, _)| *own == letter).map(|(_, flag)| flags.or(flag))
        })
    }

    /// The set as a number, for an atomic.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The set that [`bits`](NotifyFlags::bits) gave as a number.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The classes of events that somebody may hear of, as bits of [`class`]: none unless they are sent
    /// to a channel.
    pub const fn event_classes(self) -> u32 {
        let channels = Self::KEYSPACE.or(Self::KEYEVENT).0;
        if self.0 & channels == 0 { 0 } else { self.0 & !channels }
    }

    /// Both sets together.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are in it.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// As `CONFIG GET` shows it, whatever order was given: `A` or the classes, then `K`, `E` and `m`. As in
/// Redis, `A` hides an `n`.
impl fmt::Display for NotifyFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.contains(Self::ALL);
        if all {
            f.write_str("A")?;
        }
        let classes = Self::CLASSES.iter().filter(|_| !all);
        for (letter, _) in classes.chain(&Self::CHANNELS).filter(|(_, flag)| self.contains(*flag)) {
            write!(f, "{letter}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_shown_in_one_order() {
        for (given, shown) in [
            ("", ""),
            ("KEA", "AKE"),
            ("mEKndtexzhsl$g", "AKEm"),
            ("Elg", "glE"),
            ("ntdexzhsl$K", "$lshzxetdnK"),
            ("Km", "Km"),
            ("nA", "A"),
            ("ggKK", "gK"),
        ] {
            assert_eq!(NotifyFlags::parse(given).unwrap().to_string(), shown, "{given}");
        }
    }

    #[test]
    fn a_letter_that_names_nothing_is_refused() {
        for letters in ["Q", "KQ", "k", "é", " ", "a"] {
            assert_eq!(NotifyFlags::parse(letters), None, "{letters}");
        }
    }

    #[test]
    fn misses_and_new_keys_are_asked_for_by_name() {
        let all = NotifyFlags::parse("A").unwrap();
        for apart in [NotifyFlags::KEY_MISS, NotifyFlags::NEW, NotifyFlags::KEYSPACE] {
            assert!(!all.contains(apart));
        }
        assert!(all.contains(NotifyFlags::EXPIRED.or(NotifyFlags::ZSET)));
        assert_eq!(NotifyFlags::from_bits(all.bits()), all);
    }

    #[test]
    fn nobody_hears_of_what_goes_to_no_channel() {
        let classes = |letters| NotifyFlags::parse(letters).unwrap().event_classes();
        assert_eq!(classes(""), 0);
        assert_eq!(classes("Am"), 0);
        assert_eq!(classes("Kl"), class::LIST);
        assert_eq!(classes("E$m"), class::STRING | class::KEY_MISS);
    }
}
