//! Redis values over plain ordered key-value storage.
//!
//! What this is: databases, keys with their types and expiry, strings in chunks, collections of elements
//! and the types made of them, and the two sweeps that clean up behind them. What it is not: it knows no command, no reply and no client.
//! `encoding` alone knows the bytes; `docs/encoding.md` describes them.
//!
//! A [`RunState`] carries what one run of commands shares: the clock, the databases' books and the
//! counters. A [`DbReader`] and a [`DbWriter`] are one database of a snapshot or a transaction as
//! that run sees it: a key whose time has come is absent from both.

pub mod bitfield;
pub mod bits;
pub mod collection;
mod copy;
mod databases;
pub mod effects;
pub mod encoding;
mod error;
pub mod hash;
pub mod lcs;
pub mod list;
mod object;
mod reader;
pub mod sample;
pub mod set;
mod set_algebra;
pub mod sort;
pub mod sorted_set;
mod state;
pub mod string;
mod sweep;
mod ttl;
mod usage;
mod walk;
mod writer;

pub use collection::{Collection, Editor, Element, Elements, detached};
pub use copy::{COPY_BYTES_MAX, ValueCopy};
pub use databases::{DATABASES, Databases};
pub use effects::{Effects, Event, Interest, Touch, class};
pub use encoding::{KEY_BYTES_MAX, Kind, MEMBER_BYTES_MAX, Record, STORAGE_KEY_BYTES_MAX};
pub use error::{Error, Result};
pub use object::encoding_name;
pub use reader::DbReader;
pub use sample::Sampler;
pub use sorted_set::{SortedSet, SortedSetEditor};
pub use state::{Checkpoint, LookupsMark, RunState, Tally};
pub use sweep::{
    ExpireStep, GarbageStep, SWEEP_STEP_DEFAULT, SweepProgress, expire_step, has_expired,
    has_garbage, sweep_step,
};
pub use ttl::average_ttl;
pub use usage::{Usage, usage};
pub use walk::{MemberWalk, Walk, for_each, random_key, scan, scan_members};
pub use writer::DbWriter;
