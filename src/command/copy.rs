//! `COPY` and `MOVE`: whole values to other keys and other databases.
//!
//! Elements belong to one key of one database, so both cost as much as there are elements. Of a large value
//! they are read on the background lane first.

use bytes::Bytes;

use crate::data::{ValueCopy, class};
use crate::resp::{Args, Encoder};

use super::args::{at_least, database, exactly, int, is};
use super::context::{ReadContext, WriteContext};
use super::fail::Fail;
use super::spec::{Command, Flags, Prepared, Run};

const SAME_KEY: Fail = Fail::text("ERR source and destination objects are the same");

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[
    Command::new("copy", -3, Run::Write(copy))
        .flags(Flags::KEYSPACE.or(Flags::DENYOOM))
        .keys(1, 2, 1)
        .prepare(prepare_copy)
        .access("RO access, OW update")
        .syntax("source:key destination:key [DB destination-db:integer] [REPLACE]")
        .docs(
            "6.2.0",
            "O(N) with the number of elements",
            "Copies a value, with its expiry, to another key or another database",
        ),
    Command::new("move", 3, Run::Write(move_key))
        .flags(Flags::KEYSPACE.or(Flags::FAST))
        .keys(1, 1, 1)
        .prepare(prepare_move)
        .syntax("key db:integer")
        .docs(
            "1.0.0",
            "O(N) with the number of elements",
            "Moves a key to another database, if it is not there",
        ),
];

/// Where a value is to go.
struct Plan {
    source: Bytes,
    target: Bytes,
    target_db: u8,
    replace: bool,
    /// Whether the source goes away.
    moves: bool,
}

impl Plan {
    fn of_copy(args: &Args, db: u8) -> Result<Self, Fail> {
        let ([_, source, target], mut rest) = at_least(args)?;
        let (mut target_db, mut replace) = (db, false);
        loop {
            rest = match rest {
                [] => break,
                [option, rest @ ..] if is(option, "replace") => {
                    replace = true;
                    rest
                }
                [option, number, rest @ ..] if is(option, "db") => {
                    target_db = database(int(number, None)?)?;
                    rest
                }
                _ => return Err(Fail::SYNTAX),
            };
        }
        if target_db == db && source == target {
            return Err(SAME_KEY);
        }
        let (source, target) = (source.clone(), target.clone());
        Ok(Self { source, target, target_db, replace, moves: false })
    }

    fn of_move(args: &Args, db: u8) -> Result<Self, Fail> {
        let [_, key, number] = exactly(args)?;
        let target_db = database(int(number, None)?)?;
        if target_db == db {
            return Err(SAME_KEY);
        }
        let (source, target) = (key.clone(), key.clone());
        Ok(Self { source, target, target_db, replace: false, moves: true })
    }

    /// Reads the value, if there is one and it is wanted.
    fn read(&self, context: &mut ReadContext<'_>) -> Result<Option<ValueCopy>, Fail> {
        // Only COPY counts as reading what it finds, and tells that it found nothing.
        let found = match self.moves {
            true => context.db.lookup(&self.source)?,
            false => context.db.read(&self.source)?,
        };
        let Some(record) = found else { return Ok(None) };
        let is_taken = context.db.database(self.target_db).lookup(&self.target)?.is_some();
        if is_taken && !self.replace {
            return Ok(None);
        }
        context.walk(ValueCopy::cost(&record))?;
        Ok(Some(ValueCopy::read(&mut context.db, record)?))
    }

    /// Brings `copy` where it is to go, unless something is there by now; whether it did.
    fn write(&self, context: &mut WriteContext<'_>, copy: ValueCopy) -> Result<bool, Fail> {
        let source = if self.moves { context.db.lookup(&self.source)? } else { None };
        if self.moves && source.is_none() {
            return Ok(false);
        }
        let mut target = context.db.database(self.target_db);
        if let Some(replaced) = target.lookup(&self.target)? {
            if !self.replace {
                return Ok(false);
            }
            target.remove(&self.target, &replaced)?;
        }
        copy.store(&mut target, &self.target)?;
        if let Some(source) = source {
            context.db.remove(&self.source, &source)?;
            context.db.notify(class::GENERIC, "move_from", &self.source);
        }
        let event = if self.moves { "move_to" } else { "copy_to" };
        context.db.database(self.target_db).notify(class::GENERIC, event, &self.target);
        Ok(true)
    }

    fn run(self, context: &mut WriteContext<'_>, out: &mut Encoder) -> Result<(), Fail> {
        // What has expired goes now, as with every command that writes.
        if context.db.lookup(&self.source)?.is_some() {
            context.db.database(self.target_db).lookup(&self.target)?;
        }
        let copy = self.read(&mut context.reading())?;
        let is_done = copy.map_or(Ok(false), |copy| self.write(context, copy))?;
        out.integer(i64::from(is_done));
        Ok(())
    }

    fn prepare(self, context: &mut ReadContext<'_>) -> Result<Prepared, Fail> {
        let copy = self.read(context)?;
        Ok(Box::new(move |context, out| {
            let is_done = copy.map_or(Ok(false), |copy| self.write(context, copy))?;
            out.integer(i64::from(is_done));
            Ok(())
        }))
    }
}

fn copy(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    Plan::of_copy(args, context.db.number())?.run(context, out)
}

fn prepare_copy(context: &mut ReadContext<'_>, args: &Args) -> Result<Prepared, Fail> {
    Plan::of_copy(args, context.db.number())?.prepare(context)
}

fn move_key(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    Plan::of_move(args, context.db.number())?.run(context, out)
}

fn prepare_move(context: &mut ReadContext<'_>, args: &Args) -> Result<Prepared, Fail> {
    Plan::of_move(args, context.db.number())?.prepare(context)
}
