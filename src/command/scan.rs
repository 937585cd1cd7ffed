//! Walking the keys.

use bytes::Bytes;

use crate::data;
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
    Command::new("keys", 2, Run::Read(keys)).flags(WALK.or(Flags::DANGEROUS)).docs(
        "1.0.0",
        "O(N) with the number of keys in the database",
        "Returns all keys whose names match a pattern",
    ),
    Command::new("scan", -2, Run::Read(scan)).flags(WALK).docs(
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
    let options = Options::parse(options)?;
    let walk = data::scan(&mut context.db, cursor, options.count)?;
    let matching = walk
        .keys
        .into_iter()
        .filter(|(key, key_kind)| {
            options.pattern.is_none_or(|pattern| glob::matches(pattern, key))
                && options.kind.is_none_or(|kind| is(kind, key_kind.name()))
        })
        .map(|(key, _)| key)
        .collect();
    out.array(2);
    out.bulk(itoa::Buffer::new().format(walk.cursor).as_bytes());
    reply_keys(matching, out);
    Ok(())
}

struct Options<'a> {
    count: usize,
    pattern: Option<&'a Bytes>,
    kind: Option<&'a Bytes>,
}

impl<'a> Options<'a> {
    fn parse(options: &'a [Bytes]) -> Result<Self, Fail> {
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
                name if is(name, "type") => parsed.kind = Some(value),
                _ => return Err(Fail::SYNTAX),
            }
        }
        Ok(parsed)
    }
}

/// An empty cursor is 0, as C's `strtoul` has it.
fn parse_cursor(cursor: &[u8]) -> Result<u64, Fail> {
    if cursor.is_empty() {
        return Ok(0);
    }
    std::str::from_utf8(cursor)
        .ok()
        .filter(|digits| !digits.starts_with('+'))
        .and_then(|digits| digits.parse().ok())
        .ok_or(Fail::text("ERR invalid cursor"))
}

fn reply_keys(keys: Vec<Bytes>, out: &mut Encoder) {
    out.array(keys.len());
    for key in keys {
        out.bulk_bytes(key);
    }
}
