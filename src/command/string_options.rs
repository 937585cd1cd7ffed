//! The options of `SET` and `GETEX`, and the expiry times of all commands that set one.

use bytes::Bytes;

use super::args::{integer, is};
use super::fail::Fail;

/// What `SET` may be told besides key and value.
#[derive(Debug, Default)]
pub(super) struct SetOptions {
    /// Set only if the key is, or is not, there.
    pub(super) condition: Option<Condition>,
    /// Answer with what was there before.
    pub(super) get: bool,
    /// What becomes of the expiry.
    pub(super) expiry: Expiry,
}

/// When `SET` sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// `NX`.
    IfAbsent,
    /// `XX`.
    IfPresent,
}

/// What a command is told about the expiry.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) enum Expiry {
    /// Nothing.
    #[default]
    Unsaid,
    /// `KEEPTTL`.
    Keep,
    /// `PERSIST`.
    Persist,
    /// A time; the argument is not looked at yet.
    At(When, Bytes),
}

/// How a time is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct When {
    /// In seconds rather than milliseconds.
    pub(super) seconds: bool,
    /// Counted from now rather than from 1970.
    pub(super) relative: bool,
}

impl When {
    /// `EX`.
    pub(super) const EX: When = When { seconds: true, relative: true };
    /// `PX`.
    pub(super) const PX: When = When { seconds: false, relative: true };
    /// `EXAT`.
    pub(super) const EXAT: When = When { seconds: true, relative: false };
    /// `PXAT`.
    pub(super) const PXAT: When = When { seconds: false, relative: false };

    fn from_option(option: &[u8]) -> Option<Self> {
        [("ex", Self::EX), ("px", Self::PX), ("exat", Self::EXAT), ("pxat", Self::PXAT)]
            .into_iter()
            .find_map(|(word, when)| is(option, word).then_some(when))
    }

    /// The time that `arg` gives, in milliseconds since 1970: past now if relative, else past 0.
    ///
    /// # Errors
    /// A reply that names `command`, for a time that is not or cannot be.
    pub(super) fn parse(self, arg: &[u8], now_ms: u64, command: &str) -> Result<u64, Fail> {
        let given = integer(arg)?;
        let invalid = || Fail::expire_time(command);
        let ms = u64::try_from(self.to_ms(given, now_ms).ok_or_else(invalid)?);
        match ms {
            Ok(ms) if given > 0 => Ok(ms),
            _ => Err(invalid()),
        }
    }

    /// `given` in milliseconds since 1970; `None` if that overflows. May be in the past.
    pub(super) fn to_ms(self, given: i64, now_ms: u64) -> Option<i64> {
        let ms = if self.seconds { given.checked_mul(1000)? } else { given };
        if self.relative { ms.checked_add(i64::try_from(now_ms).ok()?) } else { Some(ms) }
    }
}

impl SetOptions {
    /// From what follows `SET key value`.
    ///
    /// # Errors
    /// [`Fail::SYNTAX`].
    pub(super) fn parse(options: &[Bytes]) -> Result<Self, Fail> {
        let mut parsed = Self::default();
        let mut rest = options.iter();
        while let Some(option) = rest.next() {
            let is_unsaid = parsed.expiry == Expiry::Unsaid;
            if is(option, "nx") && parsed.condition != Some(Condition::IfPresent) {
                parsed.condition = Some(Condition::IfAbsent);
            } else if is(option, "xx") && parsed.condition != Some(Condition::IfAbsent) {
                parsed.condition = Some(Condition::IfPresent);
            } else if is(option, "get") {
                parsed.get = true;
            } else if is(option, "keepttl") && (is_unsaid || parsed.expiry == Expiry::Keep) {
                parsed.expiry = Expiry::Keep;
            } else {
                parsed.expiry.set_time(option, rest.next())?;
            }
        }
        Ok(parsed)
    }
}

impl Expiry {
    /// From what follows `GETEX key`.
    ///
    /// # Errors
    /// [`Fail::SYNTAX`].
    pub(super) fn parse(options: &[Bytes]) -> Result<Self, Fail> {
        let mut parsed = Self::Unsaid;
        let mut rest = options.iter();
        while let Some(option) = rest.next() {
            let is_free = matches!(parsed, Expiry::Unsaid | Expiry::Persist);
            if is(option, "persist") && is_free {
                parsed = Expiry::Persist;
            } else {
                parsed.set_time(option, rest.next())?;
            }
        }
        Ok(parsed)
    }

    /// Takes note of a time. The same kind of time may be given again, and then counts.
    fn set_time(&mut self, option: &[u8], arg: Option<&Bytes>) -> Result<(), Fail> {
        let (Some(when), Some(arg)) = (When::from_option(option), arg) else {
            return Err(Fail::SYNTAX);
        };
        match self {
            Expiry::Unsaid => {}
            Expiry::At(before, _) if *before == when => {}
            _ => return Err(Fail::SYNTAX),
        }
        *self = Expiry::At(when, arg.clone());
        Ok(())
    }
}
