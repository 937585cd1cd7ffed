//! Walking the keys, and the members of a value.

use bytes::Bytes;

use crate::data::{self, Kind, collection};
use crate::glob;
use crate::resp::{Args, Encoder};

use super::args::{at_least, exactly, integer, is};
use super::context::ReadContext;
use super::fail::Fail;
use super::spec::{Command, Flags, Run};

/// What `SCAN` looks at in one call if not told.
const COUNT_DEFAULT: usize = 10;

/// What `SCAN` looks at in one call at the most, whatever it is told.
const COUNT_MAX: usize = 1 << 16;

const WALK: Flags = Flags::KEYSPACE.or(Flags::WALKING);

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[
    Command::new("keys", 2, Run::Read(keys))
        .flags(WALK.or(Flags::DANGEROUS))
        .syntax("pattern:pattern")
        .docs(
            "1.0.0",
            "O(N) with the number of keys in the database",
            "Returns all keys whose names match a pattern",
        ),
    Command::new("scan", -2, Run::Read(scan))
        .flags(WALK)
        .syntax(
            "cursor:integer [MATCH pattern:pattern] [COUNT count:integer] [TYPE \
             type]",
        )
        .docs(
            "2.8.0",
            "O(1) a call, O(N) with the number of keys for a whole iteration",
            "Returns the keys step by step; cursors stay valid over restarts",
        ),
];

fn keys(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, pattern] = exactly(args)?;
    let mut found = Vec::new();
    data::for_each(&mut context.db, |key| {
        if glob::matches(pattern, &key) {
            found.push(key);
        }
    })?;
    reply_keys(found, out);
    Ok(())
}

fn scan(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, cursor], options) = at_least(args)?;
    let cursor = parse_cursor(cursor)?;
    let options = Options::parse(options, true)?;
    let walk = data::scan(&mut context.db, cursor, options.count)?;
    let matching = walk
        .keys
        .into_iter()
        .filter(|(key, key_kind)| {
            options.matches(key) && options.kind.is_none_or(|kind| is(kind, key_kind.name()))
        })
        .map(|(key, _)| key)
        .collect();
    reply_cursor(walk.cursor, out);
    reply_keys(matching, out);
    Ok(())
}

/// What `HSCAN`, `SSCAN` and `ZSCAN` have in common: walks the members of a value of `kind`, whose subkeys
/// have `prefix` and a hash before them. `parts_of` is how many parts of the reply `reply` encodes
/// for each member and its value.
pub(super) fn scan_members(
    context: &mut ReadContext<'_>,
    args: &Args,
    (kind, prefix): (Kind, &'static [u8]),
    parts_of: usize,
    out: &mut Encoder,
    reply: impl Fn(Bytes, Bytes, &mut Encoder) -> Result<(), Fail>,
) -> Result<(), Fail> {
    let ([_, key, cursor], options) = at_least(args)?;
    let cursor = parse_cursor(cursor)?;
    let Some(collection) = collection::read(&mut context.db, key, kind)? else {
        reply_cursor(0, out);
        out.array(0);
        return Ok(());
    };
    let options = Options::parse(options, false)?;
    context.walk(collection.size().min(options.count as u64))?;
    let db = &mut context.db;
    let walk = data::scan_members(db, &collection, prefix, cursor, options.count)?;
    let mut members = walk.members;
    members.retain(|(member, _)| options.matches(member));
    reply_cursor(walk.cursor, out);
    out.array(members.len().saturating_mul(parts_of));
    members.into_iter().try_for_each(|(member, value)| reply(member, value, out))
}

struct Options<'a> {
    count: usize,
    pattern: Option<&'a Bytes>,
    kind: Option<&'a Bytes>,
}

impl<'a> Options<'a> {
    /// Only keys have a type.
    fn parse(options: &'a [Bytes], of_keys: bool) -> Result<Self, Fail> {
        let mut parsed = Self { count: COUNT_DEFAULT, pattern: None, kind: None };
        for option in options.chunks(2) {
            let [name, value] = option else { return Err(Fail::SYNTAX) };
            match name {
                name if is(name, "count") => {
                    let count = usize::try_from(integer(value)?).unwrap_or(0);
                    if count == 0 {
                        return Err(Fail::SYNTAX);
                    }
                    parsed.count = count.min(COUNT_MAX);
                }
                name if is(name, "match") => parsed.pattern = Some(value),
                name if is(name, "type") && of_keys => parsed.kind = Some(value),
                _ => return Err(Fail::SYNTAX),
            }
        }
        Ok(parsed)
    }

    fn matches(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name))
    }
}

fn reply_cursor(cursor: u64, out: &mut Encoder) {
    out.array(2);
    out.bulk(itoa::Buffer::new().format(cursor).as_bytes());
}

/// An empty cursor is 0, and one below 0 counts down from 2^64, as C's `strtoul` has it.
fn parse_cursor(cursor: &[u8]) -> Result<u64, Fail> {
    if cursor.is_empty() {
        return Ok(0);
    }
    let parse = |digits: &str| match digits.strip_prefix('-') {
        Some(digits) if !digits.starts_with('+') => digits.parse().map(u64::wrapping_neg).ok(),
        Some(_) => None,
        None => digits.parse().ok(),
    };
    std::str::from_utf8(cursor).ok().and_then(parse).ok_or(Fail::text("ERR invalid cursor"))
}

fn reply_keys(keys: Vec<Bytes>, out: &mut Encoder) {
    out.array(keys.len());
    for key in keys {
        out.bulk_bytes(key);
    }
}
