//! Sets, one at a time. `set_algebra` has the commands that combine several.

use std::slice;

use bytes::Bytes;

use crate::data::effects::class;
use crate::data::encoding::hashed;
use crate::data::sample;
use crate::data::{Collection, Editor, Kind, Sampler, set};
use crate::resp::{Args, Encoder, parse_integer};

use super::args::{at_least, exactly};
use super::context::{ReadContext, WriteContext};
use super::fail::Fail;
use super::random::{Count, damaged};
use super::scan;
use super::spec::{Command, Flags, Group, Prepared, Run};

const FAST: Flags = Flags::FAST;

const fn row(name: &'static str, arity: i32, run: Run) -> Command {
    Command::new(name, arity, run).group(Group::Set).keys(1, 1, 1)
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[
    row("sadd", -3, Run::Write(sadd))
        .flags(Flags::DENYOOM.or(FAST))
        .access("RW insert")
        .syntax("key member ...")
        .docs("1.0.0", "O(N) with the number of members given", "Adds members to a set"),
    row("scard", 2, Run::Read(scard)).flags(FAST).access("RO").syntax("key").docs(
        "1.0.0",
        "O(1)",
        "Returns how many members a set has",
    ),
    row("sismember", 3, Run::Read(sismember)).flags(FAST).access("RO").syntax("key member").docs(
        "1.0.0",
        "O(1)",
        "Says whether a set has a member",
    ),
    row("smembers", 2, Run::Read(smembers)).syntax("key").docs(
        "1.0.0",
        "O(N) with the number of members",
        "Returns all members of a set",
    ),
    row("smismember", -3, Run::Read(smismember)).flags(FAST).syntax("key member ...").docs(
        "6.2.0",
        "O(N) with the number of members given",
        "Says which of several members a set has",
    ),
    row("smove", 4, Run::Write(smove))
        .flags(FAST)
        .keys(1, 2, 1)
        .access("RW access delete, RW insert")
        .syntax("source:key destination:key member")
        .docs("1.0.0", "O(1)", "Moves a member from one set to another"),
    row("spop", -2, Run::Write(spop))
        .flags(FAST)
        .prepare(prepare_spop)
        .access("RW access delete")
        .syntax("key [count:integer]")
        .docs(
            "1.0.0",
            "O(N) with the number of members asked for",
            "Removes random members of a set and returns them",
        ),
    row("srandmember", -2, Run::Read(srandmember)).syntax("key [count:integer]").docs(
        "1.0.0",
        "O(N) with the number of members asked for",
        "Returns random members of a set",
    ),
    row("srem", -3, Run::Write(srem))
        .flags(FAST)
        .access("RW delete")
        .syntax("key member ...")
        .docs("1.0.0", "O(N) with the number of members given", "Removes members of a set"),
    row("sscan", -3, Run::Read(sscan))
        .syntax("key cursor:integer [MATCH pattern:pattern] [COUNT count:integer]")
        .docs(
            "2.8.0",
            "O(1) a call, O(N) with the number of members for a whole iteration",
            "Returns the members of a set step by step",
        ),
];

fn sadd(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, key], members) = at_least(args)?;
    let mut editor = set::open(&mut context.db, key)?;
    let mut added = 0;
    for member in members {
        added += i64::from(set::add(&mut context.db, &mut editor.collection, member)?);
    }
    if added > 0 {
        save(context, editor, key, "sadd")?;
    }
    out.integer(added);
    Ok(())
}

fn srem(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, key], members) = at_least(args)?;
    let mut editor = set::open(&mut context.db, key)?;
    let mut removed = 0;
    for member in members {
        if editor.collection.size() == 0 {
            break;
        }
        removed += i64::from(set::remove(&mut context.db, &mut editor.collection, member)?);
    }
    if removed > 0 {
        save(context, editor, key, "srem")?;
    }
    out.integer(removed);
    Ok(())
}

fn sismember(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key, member] = exactly(args)?;
    let is_member = match set::read(&mut context.db, key)? {
        Some(set) => set::contains(&mut context.db, &set, member)?,
        None => false,
    };
    out.integer(i64::from(is_member));
    Ok(())
}

fn smismember(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, key], members) = at_least(args)?;
    context.walk(members.len() as u64)?;
    let are_members = match set::read(&mut context.db, key)? {
        Some(set) => set::contains_many(&mut context.db, &set, members)?,
        None => vec![false; members.len()],
    };
    out.array(are_members.len());
    are_members.into_iter().for_each(|is_member| out.integer(i64::from(is_member)));
    Ok(())
}

fn scard(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key] = exactly(args)?;
    let size = set::read(&mut context.db, key)?.map_or(0, |set| set.size());
    out.integer(size as i64);
    Ok(())
}

fn smembers(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key] = exactly(args)?;
    let Some(set) = set::read(&mut context.db, key)? else {
        out.set(0);
        return Ok(());
    };
    context.walk(set.size())?;
    out.set(usize::try_from(set.size()).unwrap_or(usize::MAX));
    let mut left = set.size();
    set::for_each(&mut context.db, &set, |member| {
        out.bulk_bytes(member);
        left = left.wrapping_sub(1);
        Ok(())
    })?;
    // A reply must have as many parts as it says.
    if left == 0 { Ok(()) } else { Err(damaged()) }
}

fn sscan(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    scan::scan_members(context, args, (Kind::Set, b""), 1, out, |member, _, out| {
        out.bulk_bytes(member);
        Ok(())
    })
}

fn smove(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, from_key, to_key, member] = exactly(args)?;
    let mut from = set::open(&mut context.db, from_key)?;
    if !from.existed() {
        out.integer(0);
        return Ok(());
    }
    let to = set::open(&mut context.db, to_key)?;
    if from_key == to_key {
        let is_member = set::contains(&mut context.db.reader(), &from.collection, member)?;
        out.integer(i64::from(is_member));
        return Ok(());
    }
    let is_member = set::remove(&mut context.db, &mut from.collection, member)?;
    if is_member {
        save(context, from, from_key, "srem")?;
        let mut to = to;
        if set::add(&mut context.db, &mut to.collection, member)? {
            save(context, to, to_key, "sadd")?;
        }
    }
    out.integer(i64::from(is_member));
    Ok(())
}

fn srandmember(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, key], options) = at_least(args)?;
    let count = match options {
        [] => None,
        [count] => Some(Count::parse(count)?),
        _ => return Err(Fail::SYNTAX),
    };
    let Some(set) = set::read(&mut context.db, key)? else {
        if count.is_some() {
            out.array(0);
        } else {
            out.null();
        }
        return Ok(());
    };
    let Some(count) = count else {
        let chosen = Sampler::new(&set, b"").one(&mut context.db)?.ok_or_else(damaged)?;
        out.bulk_bytes(hashed::member(&chosen.0)?);
        return Ok(());
    };
    count.reply(context, &set, b"", 1, out, |(subkey, _), out| {
        out.bulk_bytes(hashed::member(&subkey)?);
        Ok(())
    })
}

fn spop(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, key], options) = at_least(args)?;
    if !options.is_empty() {
        let prepared = prepare_spop(&mut context.reading(), args)?;
        return prepared(context, out);
    }
    let mut editor = set::open(&mut context.db, key)?;
    if !editor.existed() {
        out.null();
        return Ok(());
    }
    let chosen = Sampler::new(&editor.collection, b"").one(&mut context.db.reader())?;
    let (subkey, _) = chosen.ok_or_else(damaged)?;
    set::remove_elements(&mut context.db, &mut editor.collection, slice::from_ref(&subkey))?;
    save(context, editor, key, "spop")?;
    out.bulk_bytes(hashed::member(&subkey)?);
    Ok(())
}

/// Chooses what is to be popped; for `SPOP` with a count, the only one that walks.
fn prepare_spop(context: &mut ReadContext<'_>, args: &Args) -> Result<Prepared, Fail> {
    let ([_, key], options) = at_least(args)?;
    let [count] = options else { return Err(Fail::SYNTAX) };
    let count = parse_integer(count)
        .and_then(|count| u64::try_from(count).ok())
        .ok_or(Fail::text("ERR value is out of range, must be positive"))?;
    let set = context.db.lookup_kind(key, Kind::Set)?;
    let popped = match set.as_ref().map(Collection::from_record).transpose()? {
        Some(set) => Popped::choose(context, &set, count)?,
        None => Popped::default(),
    };
    let key = key.clone();
    Ok(Box::new(move |context, out| popped.apply(context, &key, out)))
}

/// What `SPOP` takes from a set, as subkeys.
#[derive(Debug, Default)]
struct Popped {
    elements: Vec<Bytes>,
    /// What is left, if that is so little that it is written anew; else what is popped is removed.
    rest: Option<Vec<Bytes>>,
}

/// What is left of a set is written anew if what is popped is at least so many times as much.
const POPPED_TO_REST_MIN: u64 = 5;

impl Popped {
    fn choose(context: &mut ReadContext<'_>, set: &Collection, count: u64) -> Result<Self, Fail> {
        let size = set.size();
        context.walk(sample::cost(size, count).max(count.min(size)))?;
        let db = &mut context.db;
        let left = size.saturating_sub(count);
        let mut sampler = Sampler::new(set, b"");
        let subkeys = |chosen: Vec<(Bytes, Bytes)>| chosen.into_iter().map(|(subkey, _)| subkey);
        if left.saturating_mul(POPPED_TO_REST_MIN) > count {
            let elements = subkeys(sampler.distinct(db, count)?).collect();
            return Ok(Self { elements, rest: None });
        }
        let mut rest: Vec<Bytes> = subkeys(sampler.distinct(db, left)?).collect();
        rest.sort_unstable();
        let mut elements = Vec::new();
        set.for_each(db, hashed::range_from(&[], 0), false, |subkey, _| {
            if rest.binary_search(&subkey).is_err() {
                elements.push(subkey);
            }
            Ok(true)
        })?;
        Ok(Self { elements, rest: Some(rest) })
    }

    fn apply(
        self,
        context: &mut WriteContext<'_>,
        key: &Bytes,
        out: &mut Encoder,
    ) -> Result<(), Fail> {
        let db = &mut context.db;
        let mut editor = set::open(db, key)?;
        // Its time may have come since they were chosen.
        if !editor.existed() || self.elements.is_empty() {
            out.set(0);
            return Ok(());
        }
        match &self.rest {
            None => set::remove_elements(db, &mut editor.collection, &self.elements)?,
            Some(rest) => {
                let expires_at_ms = editor.collection.expires_at_ms();
                editor.collection = set::of_elements(db, rest)?;
                editor.collection.set_expires_at_ms(expires_at_ms);
            }
        }
        save(context, editor, key, "spop")?;
        out.set(self.elements.len());
        for subkey in self.elements {
            out.bulk_bytes(hashed::member(&subkey)?);
        }
        Ok(())
    }
}

fn save(
    context: &mut WriteContext<'_>,
    editor: Editor,
    key: &[u8],
    event: &'static str,
) -> Result<(), Fail> {
    let is_there = editor.save(&mut context.db)?;
    context.db.notify(class::SET, event, key);
    if !is_there {
        context.db.notify(class::GENERIC, "del", key);
    }
    Ok(())
}
