//! The settings of the server: one table, which the flags, the file and `CONFIG` all follow.
//!
//! A row of [`TABLE`] says what a setting is called, what its values are, whether it can change while
//! the server runs, and where its value is in a [`Config`](crate::config::Config). A name that is in
//! no row is an error in all three places, with the reason if it is one of Redis's ([`why_refused`]).
//!
//! What this is not: what the settings do. [`LiveSettings`] is where the rest of the server reads those
//! that can change.
//!
//! ```
//! use pontoon::config::Config;
//! use pontoon::settings::find;
//!
//! let mut config = Config::default();
//! let setting = find("cache-bytes").unwrap();
//! setting.kind.set(&mut config, "2mb").unwrap();
//! assert_eq!(setting.kind.show(&config), "2097152");
//! assert!(setting.kind.set(&mut config, "much").is_err());
//! ```
//!
//! To add a setting: a field of `Config` and a row of the table; a place in `LiveSettings` if it is
//! read often. Flag, variable, file, `CONFIG` and [`docs/pontoon.toml`](example_toml) follow from the row.

mod assemble;
mod example;
mod file;
mod flags;
mod kind;
mod live;
mod output_limits;
mod parse;
mod refused;
mod rewrite;
mod table;

pub use example::example_toml;
pub use kind::{Kind, Shape};
pub use live::{LiveSettings, SetError};
pub use output_limits::{ClientClass, OutputLimits};
pub use refused::{is_immutable_in_redis, why_refused};
pub use table::{Heading, Setting, TABLE, find};

pub(crate) use assemble::{Wrong, assemble};
pub(crate) use flags::{Flags, variables};
pub(crate) use parse::{parse_bytes, parse_engine};
