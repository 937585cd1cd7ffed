//! `LCS`: what two strings have in common.

use bytes::{Bytes, BytesMut};

use crate::data::lcs::{self, Match};
use crate::data::{DbReader, Kind, Record, string};
use crate::resp::{Args, Encoder};

use super::args::{at_least, integer, is};
use super::context::ReadContext;
use super::fail::Fail;
use super::spec::{Command, Flags, Group, Run};

/// The table's row. It works long rather than over many keys, which is no less a reason to run alone.
pub(super) const COMMANDS: &[Command] = &[Command::new("lcs", -3, Run::Read(lcs))
    .group(Group::String)
    .keys(1, 2, 1)
    .flags(Flags::WALKING)
    .syntax("key1:key key2:key [LEN] [IDX] [MINMATCHLEN len:integer] [WITHMATCHLEN]")
    .docs(
        "7.0.0",
        "O(N*M) with the lengths of the strings",
        "Returns the longest common subsequence of two strings",
    )];

#[derive(Debug, Default)]
struct Options {
    len: bool,
    idx: bool,
    with_match_len: bool,
    match_len_min: u64,
}

impl Options {
    fn parse(mut args: &[Bytes]) -> Result<Self, Fail> {
        let mut options = Self::default();
        loop {
            args = match args {
                [] => break,
                [word, rest @ ..] if is(word, "idx") => {
                    options.idx = true;
                    rest
                }
                [word, rest @ ..] if is(word, "len") => {
                    options.len = true;
                    rest
                }
                [word, rest @ ..] if is(word, "withmatchlen") => {
                    options.with_match_len = true;
                    rest
                }
                [word, len, rest @ ..] if is(word, "minmatchlen") => {
                    options.match_len_min = u64::try_from(integer(len)?).unwrap_or(0);
                    rest
                }
                _ => return Err(Fail::SYNTAX),
            };
        }
        if options.len && options.idx {
            return Err(Fail::text(
                "ERR If you want both the length and indexes, please just use IDX.",
            ));
        }
        Ok(options)
    }
}

fn lcs(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, first, second], options) = at_least(args)?;
    let records = [context.db.read(first)?, context.db.read(second)?];
    if records.iter().flatten().any(|record| record.kind != Kind::String) {
        return Err(Fail::text("ERR The specified keys must contain string values"));
    }
    let options = Options::parse(options)?;
    let [first_len, second_len] =
        records.each_ref().map(|record| record.as_ref().map_or(0, |record| record.size));
    if !lcs::is_allowed(first_len, second_len) {
        return Err(Fail::text(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ));
    }
    let [first, second] = &records;
    let first = read(&mut context.db, first.as_ref())?;
    let second = read(&mut context.db, second.as_ref())?;
    if options.len {
        out.integer(lcs::length(&first, &second) as i64);
        return Ok(());
    }
    let matches = lcs::matches(&first, &second);
    if options.idx {
        reply_places(&matches, &options, out);
    } else {
        let mut common = BytesMut::with_capacity(common_len(&matches));
        for part in matches.iter().rev().filter_map(|found| first.get(found.first.clone())) {
            common.extend_from_slice(part);
        }
        out.bulk_bytes(common.freeze());
    }
    Ok(())
}

fn read(db: &mut DbReader<'_>, record: Option<&Record>) -> Result<Bytes, Fail> {
    Ok(record.map(|record| string::read(db, record)).transpose()?.unwrap_or_default())
}

fn reply_places(matches: &[Match], options: &Options, out: &mut Encoder) {
    let long_enough = |found: &&Match| found.first.len() as u64 >= options.match_len_min;
    out.map(2);
    out.bulk(b"matches");
    out.array(matches.iter().filter(long_enough).count());
    for found in matches.iter().filter(long_enough) {
        out.array(2 + usize::from(options.with_match_len));
        for range in [&found.first, &found.second] {
            out.array(2);
            out.integer(range.start as i64);
            out.integer(range.end as i64 - 1);
        }
        if options.with_match_len {
            out.integer(found.first.len() as i64);
        }
    }
    out.bulk(b"len");
    out.integer(common_len(matches) as i64);
}

fn common_len(matches: &[Match]) -> usize {
    matches.iter().map(|found| found.first.len()).sum()
}
