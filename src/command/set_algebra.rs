//! Unions, intersections and differences of sets.

use bytes::Bytes;

use crate::data::effects::class;
use crate::data::encoding::hashed;
use crate::data::{Collection, Editor, Kind, set};
use crate::resp::{Args, Encoder, parse_integer};

use super::args::{at_least, is};
use super::context::{ReadContext, WriteContext};
use super::fail::Fail;
use super::spec::{Command, Flags, Group, Prepared, Run};

/// Bytes of members that a `STORE` form gathers before it writes them: what a transaction takes.
const GATHERED_BYTES_MAX: usize = 1 << 30;

/// What holding a member costs besides its bytes.
const MEMBER_OVERHEAD_BYTES: usize = size_of::<Bytes>();

const fn row(name: &'static str, arity: i32, run: Run) -> Command {
    Command::new(name, arity, run).group(Group::Set).keys(1, -1, 1)
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[
    row("sdiff", -2, Run::Read(sdiff)).syntax("key ...").docs(
        "1.0.0",
        "O(N) with the number of members of all sets together",
        "Returns the members of the first set that are in no other",
    ),
    row("sdiffstore", -3, Run::Write(sdiffstore))
        .flags(Flags::DENYOOM)
        .prepare(prepare_sdiffstore)
        .access("OW update, RO access")
        .syntax("destination:key key ...")
        .docs(
            "1.0.0",
            "O(N) with the number of members of all sets together",
            "Stores the members of the first set that are in no other",
        ),
    row("sinter", -2, Run::Read(sinter)).syntax("key ...").docs(
        "1.0.0",
        "O(N*M) with the members of the smallest set and the number of sets",
        "Returns the members that are in every set",
    ),
    row("sintercard", -3, Run::Read(sintercard))
        .keys(0, 0, 0)
        .movable_keys(sintercard_keys)
        .syntax("numkeys:integer key ... [LIMIT limit:integer]")
        .docs(
            "7.0.0",
            "O(N*M) with the members of the smallest set and the number of sets",
            "Counts the members that are in every set",
        ),
    row("sinterstore", -3, Run::Write(sinterstore))
        .flags(Flags::DENYOOM)
        .prepare(prepare_sinterstore)
        .access("RW update, RO access")
        .syntax("destination:key key ...")
        .docs(
            "1.0.0",
            "O(N*M) with the members of the smallest set and the number of sets",
            "Stores the members that are in every set",
        ),
    row("sunion", -2, Run::Read(sunion)).syntax("key ...").docs(
        "1.0.0",
        "O(N) with the number of members of all sets together",
        "Returns the members that are in any set",
    ),
    row("sunionstore", -3, Run::Write(sunionstore))
        .flags(Flags::DENYOOM)
        .prepare(prepare_sunionstore)
        .access("OW update, RO access")
        .syntax("destination:key key ...")
        .docs(
            "1.0.0",
            "O(N) with the number of members of all sets together",
            "Stores the members that are in any set",
        ),
];

fn sdiff(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    Operation::Difference.reply(context, args, out)
}

fn sinter(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    Operation::Intersection.reply(context, args, out)
}

fn sunion(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    Operation::Union.reply(context, args, out)
}

fn sdiffstore(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    prepare_sdiffstore(&mut context.reading(), args)?(context, out)
}

fn sinterstore(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    prepare_sinterstore(&mut context.reading(), args)?(context, out)
}

fn sunionstore(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    prepare_sunionstore(&mut context.reading(), args)?(context, out)
}

fn prepare_sdiffstore(context: &mut ReadContext<'_>, args: &Args) -> Result<Prepared, Fail> {
    Operation::Difference.prepare(context, args, "sdiffstore")
}

fn prepare_sinterstore(context: &mut ReadContext<'_>, args: &Args) -> Result<Prepared, Fail> {
    Operation::Intersection.prepare(context, args, "sinterstore")
}

fn prepare_sunionstore(context: &mut ReadContext<'_>, args: &Args) -> Result<Prepared, Fail> {
    Operation::Union.prepare(context, args, "sunionstore")
}

fn sintercard(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, number], rest) = at_least(args)?;
    let number = parse_integer(number)
        .and_then(|number| usize::try_from(number).ok())
        .filter(|number| *number > 0)
        .ok_or(Fail::text("ERR numkeys should be greater than 0"))?;
    let (keys, options) = rest
        .split_at_checked(number)
        .ok_or(Fail::text("ERR Number of keys can't be greater than number of args"))?;
    let mut limit = 0;
    for option in options.chunks(2) {
        match option {
            [name, value] if is(name, "limit") => {
                limit = parse_integer(value)
                    .and_then(|limit| u64::try_from(limit).ok())
                    .ok_or(Fail::text("ERR LIMIT can't be negative"))?;
            }
            _ => return Err(Fail::SYNTAX),
        }
    }
    let mut count = 0;
    Operation::Intersection.run(context, keys, |_| {
        count += 1;
        Ok(count != limit)
    })?;
    out.integer(count as i64);
    Ok(())
}

fn sintercard_keys(args: &Args) -> Vec<usize> {
    let number = args.get(1).and_then(|number| parse_integer(number));
    let number = number.and_then(|number| usize::try_from(number).ok()).unwrap_or(0);
    (2..args.len()).take(number).collect()
}

#[derive(Debug, Clone, Copy)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

impl Operation {
    /// Calls `visit` with the elements of the result, by their subkeys, until it returns `false`.
    fn run(
        self,
        context: &mut ReadContext<'_>,
        keys: &[Bytes],
        visit: impl FnMut(Bytes) -> Result<bool, crate::data::Error>,
    ) -> Result<(), Fail> {
        let mut sets = Vec::with_capacity(keys.len());
        for key in keys {
            sets.push(
                set::read(&mut context.db, key)?.unwrap_or_else(|| Collection::new(Kind::Set)),
            );
        }
        match (self, sets.as_slice()) {
            (Operation::Union, sets) => {
                context.walk(set::union_cost(sets))?;
                set::union(&mut context.db, sets, visit)?;
            }
            (Operation::Intersection, sets) => {
                context.walk(set::intersection_cost(sets))?;
                set::intersection(&mut context.db, sets, visit)?;
            }
            (Operation::Difference, [first, others @ ..]) => {
                context.walk(set::difference_cost(first, others))?;
                set::difference(&mut context.db, first, others, visit)?;
            }
            (Operation::Difference, []) => {}
        }
        Ok(())
    }

    fn reply(
        self,
        context: &mut ReadContext<'_>,
        args: &Args,
        out: &mut Encoder,
    ) -> Result<(), Fail> {
        let ([_], keys) = at_least(args)?;
        // How many there are is known only behind them.
        let mut members = Encoder::new(out.protocol());
        let mut count = 0;
        self.run(context, keys, |subkey| {
            members.bulk_bytes(hashed::member(&subkey)?);
            count += 1;
            Ok(true)
        })?;
        out.set(count);
        out.append(members);
        Ok(())
    }

    fn prepare(
        self,
        context: &mut ReadContext<'_>,
        args: &Args,
        event: &'static str,
    ) -> Result<Prepared, Fail> {
        let ([_, key], keys) = at_least(args)?;
        let mut elements = Vec::new();
        let mut bytes = 0;
        self.run(context, keys, |subkey| {
            bytes += MEMBER_OVERHEAD_BYTES + subkey.len();
            elements.push(subkey);
            Ok(bytes <= GATHERED_BYTES_MAX)
        })?;
        if bytes > GATHERED_BYTES_MAX {
            let (what, size, limit) = ("result", bytes as u64, GATHERED_BYTES_MAX as u64);
            return Err(pontoon_storage::Error::TooLarge { what, size, limit }.into());
        }
        let key = key.clone();
        Ok(Box::new(move |context, out| store(context, &key, &elements, event, out)))
    }
}

/// Puts a set of `elements` in place of whatever is at `key`.
fn store(
    context: &mut WriteContext<'_>,
    key: &Bytes,
    elements: &[Bytes],
    event: &'static str,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let db = &mut context.db;
    let mut editor = Editor::replace(db, key, Kind::Set)?;
    editor.collection = set::of_elements(db, elements)?;
    let existed = editor.existed();
    if editor.save(db)? {
        db.notify(class::SET, event, key);
    } else if existed {
        db.notify(class::GENERIC, "del", key);
    }
    out.integer(elements.len() as i64);
    Ok(())
}
