//! `client-output-buffer-limit`: how many bytes of replies may wait for a client that takes none.

use std::fmt;
use std::time::Duration;

use crate::command::OutputLimit;

use super::parse::parse_bytes;

/// What a client is, for the limit of its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientClass {
    /// Any other.
    Normal,
    /// A client in `MONITOR`, which Redis takes for a replica. There are no replicas here.
    Replica,
    /// One that has subscribed to a channel or pattern.
    PubSub,
}

/// The limits of all classes. The default is Redis's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLimits {
    normal: OutputLimit,
    replica: OutputLimit,
    pubsub: OutputLimit,
}

impl OutputLimits {
    /// The limit of `class`.
    pub fn of(&self, class: ClientClass) -> OutputLimit {
        match class {
            ClientClass::Normal => self.normal,
            ClientClass::Replica => self.replica,
            ClientClass::PubSub => self.pubsub,
        }
    }

    /// Sets the limits of the classes that `text` names: `<class> <hard> <soft> <seconds>`, again and
    /// again. The others stay.
    ///
    /// # Errors
    /// Redis's text; nothing has changed then.
    pub(crate) fn change(&mut self, text: &str) -> Result<(), String> {
        let wrong = |what: &str| format!("{what} in buffer limit configuration.");
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let (quads, rest) = words.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(wrong("Wrong number of arguments"));
        }
        let mut changed = *self;
        for [class, hard, soft, secs] in quads {
            let limit = changed
                .by_name(&class.to_ascii_lowercase())
                .ok_or_else(|| wrong("Invalid client class specified"))?;
            let secs: Option<u64> = secs.parse().ok().filter(|secs| i32::try_from(*secs).is_ok());
            let (Ok(hard_bytes), Ok(soft_bytes), Some(soft_time)) =
                (parse_bytes(hard), parse_bytes(soft), secs.map(Duration::from_secs))
            else {
                return Err(wrong("Error in hard, soft or soft_seconds setting"));
            };
            *limit = OutputLimit { hard_bytes, soft_bytes, soft_time };
        }
        *self = changed;
        Ok(())
    }

    fn by_name(&mut self, name: &str) -> Option<&mut OutputLimit> {
        match name {
            "normal" => Some(&mut self.normal),
            "replica" | "slave" => Some(&mut self.replica),
            "pubsub" => Some(&mut self.pubsub),
            _ => None,
        }
    }
}

impl Default for OutputLimits {
    fn default() -> Self {
        let mb = |hard: u64, soft: u64, soft_secs| OutputLimit {
            hard_bytes: hard << 20,
            soft_bytes: soft << 20,
            soft_time: Duration::from_secs(soft_secs),
        };
        Self { normal: mb(0, 0, 0), replica: mb(256, 64, 60), pubsub: mb(32, 8, 60) }
    }
}

/// As `CONFIG GET` shows it: with Redis's old name for a replica.
impl fmt::Display for OutputLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let classes = [("normal", self.normal), ("slave", self.replica), ("pubsub", self.pubsub)];
        for (index, (name, limit)) in classes.into_iter().enumerate() {
            let gap = if index == 0 { "" } else { " " };
            let OutputLimit { hard_bytes, soft_bytes, soft_time } = limit;
            let soft_secs = soft_time.as_secs();
            write!(f, "{gap}{name} {hard_bytes} {soft_bytes} {soft_secs}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_shown_as_redis_shows_them() {
        let shown = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";
        assert_eq!(OutputLimits::default().to_string(), shown);
        let mut back = OutputLimits::default();
        back.change(shown).unwrap();
        assert_eq!(back, OutputLimits::default());
    }

    #[test]
    fn only_the_classes_that_are_named_change() {
        let mut limits = OutputLimits::default();
        limits.change("PubSub 1kb 2k 3 replica 4 5 6").unwrap();
        assert_eq!(limits.to_string(), "normal 0 0 0 slave 4 5 6 pubsub 1024 2000 3");
        limits.change("").unwrap();
        limits.change("normal 9 8 7").unwrap();
        let soft_time = Duration::from_secs(7);
        let normal = OutputLimit { hard_bytes: 9, soft_bytes: 8, soft_time };
        assert_eq!(limits.of(ClientClass::Normal), normal);
        assert_eq!(limits.of(ClientClass::PubSub).soft_time.as_secs(), 3);
        assert_eq!(limits.of(ClientClass::Replica).hard_bytes, 4);
    }

    #[test]
    fn what_makes_no_sense_changes_nothing() {
        for (text, why) in [
            ("normal 1 2", "Wrong number of arguments"),
            ("normal 1 2 3 pubsub", "Wrong number of arguments"),
            ("master 1 2 3", "Invalid client class"),
            ("normal 1 2 3 everyone 1 2 3", "Invalid client class"),
            ("normal x 2 3", "Error in hard, soft"),
            ("normal 1 2xb 3", "Error in hard, soft"),
            ("normal 1 2 -3", "Error in hard, soft"),
            ("normal 1 2 2147483648", "Error in hard, soft"),
        ] {
            let mut limits = OutputLimits::default();
            let error = limits.change(text).unwrap_err();
            assert!(error.starts_with(why), "{text}: {error}");
            assert_eq!(limits, OutputLimits::default(), "{text}");
        }
    }
}
