//! Kinds of settings: how a value is read from text, put into a [`Config`], and shown.

use crate::config::Config;
use crate::resp::parse_integer;

use super::parse::{parse_bytes, show_bytes};

/// What a setting's values are, and where in a [`Config`] its value is.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `yes` or `no`.
    YesNo {
        /// Its value.
        get: fn(&Config) -> bool,
        /// Puts a value there.
        set: fn(&mut Config, bool),
    },
    /// An integer within a range.
    Integer {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
        /// Its value.
        get: fn(&Config) -> i64,
        /// Puts a value of the range there.
        set: fn(&mut Config, i64),
    },
    /// A number of bytes within a range, with the units of `redis.conf`.
    Bytes {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
        /// Its value.
        get: fn(&Config) -> u64,
        /// Puts a value of the range there.
        set: fn(&mut Config, u64),
    },
    /// One of some words.
    Choice {
        /// The words, each with what it means.
        of: &'static [(&'static str, &'static str)],
        /// Its value, one of them.
        get: fn(&Config) -> &'static str,
        /// Puts one of them there.
        set: fn(&mut Config, &str),
    },
    /// Any other text.
    Text {
        /// How a file writes it.
        shape: Shape,
        /// Its value.
        get: fn(&Config) -> String,
        /// Puts a value there, or says why it is none.
        set: fn(&mut Config, &str) -> Result<(), String>,
    },
    /// What Redis lets one set and is as it is here: any other value is refused.
    Fixed {
        /// How a file writes it.
        shape: Shape,
        /// Its value.
        get: fn(&Config) -> &'static str,
        /// Why there is no other.
        why: &'static str,
    },
}

/// How a file writes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A boolean, or `"yes"` and `"no"`.
    YesNo,
    /// An integer.
    Integer,
    /// An integer, or a string with a unit.
    Bytes,
    /// A string.
    Word,
    /// A string with blanks between the words, or an array of them.
    Words,
}

impl Kind {
    /// How a file writes it.
    pub fn shape(&self) -> Shape {
        match self {
            Kind::YesNo { .. } => Shape::YesNo,
            Kind::Integer { .. } => Shape::Integer,
            Kind::Bytes { .. } => Shape::Bytes,
            Kind::Choice { .. } => Shape::Word,
            Kind::Text { shape, .. } | Kind::Fixed { shape, .. } => *shape,
        }
    }

    /// Its value in `config`, as `CONFIG GET` shows it.
    pub fn show(&self, config: &Config) -> String {
        match self {
            Kind::YesNo { get, .. } => yes_or_no(get(config)).into(),
            Kind::Integer { get, .. } => get(config).to_string(),
            Kind::Bytes { get, .. } => get(config).to_string(),
            Kind::Choice { get, .. } => get(config).into(),
            Kind::Text { get, .. } => get(config),
            Kind::Fixed { get, .. } => get(config).into(),
        }
    }

    /// Its value in `config` for people: bytes have a unit where one fits.
    pub fn show_short(&self, config: &Config) -> String {
        match self {
            Kind::Bytes { get, .. } => show_bytes(get(config)),
            _ => self.show(config),
        }
    }

    /// Puts the value that `text` is into `config`.
    ///
    /// # Errors
    /// Why it is none, in Redis's words where Redis has this kind; `config` is as it was then.
    pub fn set(&self, config: &mut Config, text: &str) -> Result<(), String> {
        match self {
            Kind::YesNo { set, .. } => set(config, parse_yes_no(text)?),
            Kind::Integer { min, max, set, .. } => {
                let number = parse_integer(text.as_bytes())
                    .ok_or("argument couldn't be parsed into an integer")?;
                if !(*min..=*max).contains(&number) {
                    return Err(out_of_range(min, max));
                }
                set(config, number);
            }
            Kind::Bytes { min, max, set, .. } => {
                let bytes = parse_bytes(text).map_err(|_| "argument must be a memory value")?;
                if !(*min..=*max).contains(&bytes) {
                    return Err(out_of_range(min, max));
                }
                set(config, bytes);
            }
            Kind::Choice { of, set, .. } => {
                let Some((word, _)) = of.iter().find(|(word, _)| word.eq_ignore_ascii_case(text))
                else {
                    let words: Vec<&str> = of.iter().map(|(word, _)| *word).collect();
                    let words = words.join(", ");
                    return Err(format!("argument(s) must be one of the following: {words}"));
                };
                set(config, word);
            }
            Kind::Text { set, .. } => set(config, text)?,
            Kind::Fixed { shape, get, why } => {
                if !is_same(*shape, text, get(config))? {
                    return Err((*why).into());
                }
            }
        }
        Ok(())
    }

    /// What to add, for people, to why a text is no value.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Kind::Bytes { .. } | Kind::Fixed { shape: Shape::Bytes, .. } => {
                " (bytes, or a number with one of the units b, k, kb, m, mb, g and gb)"
            }
            _ => "",
        }
    }
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

fn parse_yes_no(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("argument must be 'yes' or 'no'".into()),
    }
}

fn out_of_range(min: impl std::fmt::Display, max: impl std::fmt::Display) -> String {
    format!("argument must be between {min} and {max} inclusive")
}

/// Whether `text` says the same as `value`; an error if it cannot say anything of this shape.
fn is_same(shape: Shape, text: &str, value: &str) -> Result<bool, String> {
    Ok(match shape {
        Shape::YesNo => yes_or_no(parse_yes_no(text)?) == value,
        Shape::Integer => {
            let number = parse_integer(text.as_bytes());
            let number = number.ok_or("argument couldn't be parsed into an integer")?;
            number.to_string() == value
        }
        Shape::Bytes => {
            let bytes = parse_bytes(text).map_err(|_| "argument must be a memory value")?;
            bytes.to_string() == value
        }
        Shape::Word | Shape::Words => text.trim().eq_ignore_ascii_case(value),
    })
}
