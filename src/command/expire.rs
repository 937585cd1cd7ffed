//! When keys expire.

use crate::data::{Record, class};
use crate::resp::{Args, Encoder};

use super::args::{at_least, exactly, integer, is, lossy};
use super::context::{ReadContext, WriteContext};
use super::fail::Fail;
use super::spec::{Command, Flags, Run};
use super::string_options::When;

const fn row(name: &'static str, arity: i32, run: Run) -> Command {
    Command::new(name, arity, run).flags(Flags::FAST.or(Flags::KEYSPACE)).keys(1, 1, 1)
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[
    row("expire", -3, Run::Write(expire))
        .access("RW update")
        .syntax("key seconds:integer [NX | XX | GT | LT]")
        .docs("1.0.0", "O(1)", "Sets a key's expiry, in seconds from now"),
    row("expireat", -3, Run::Write(expireat))
        .access("RW update")
        .syntax("key unix-time-seconds:unix-time [NX | XX | GT | LT]")
        .docs("1.2.0", "O(1)", "Sets a key's expiry, in seconds since 1970"),
    row("expiretime", 2, Run::Read(expiretime)).syntax("key").docs(
        "7.0.0",
        "O(1)",
        "Returns a key's expiry, in seconds since 1970",
    ),
    row("persist", 2, Run::Write(persist)).access("RW update").syntax("key").docs(
        "2.2.0",
        "O(1)",
        "Removes a key's expiry",
    ),
    row("pexpire", -3, Run::Write(pexpire))
        .access("RW update")
        .syntax("key milliseconds:integer [NX | XX | GT | LT]")
        .docs("2.6.0", "O(1)", "Sets a key's expiry, in milliseconds from now"),
    row("pexpireat", -3, Run::Write(pexpireat))
        .access("RW update")
        .syntax("key unix-time-milliseconds:unix-time [NX | XX | GT | LT]")
        .docs("2.6.0", "O(1)", "Sets a key's expiry, in milliseconds since 1970"),
    row("pexpiretime", 2, Run::Read(pexpiretime)).syntax("key").docs(
        "7.0.0",
        "O(1)",
        "Returns a key's expiry, in milliseconds since 1970",
    ),
    row("pttl", 2, Run::Read(pttl)).syntax("key").docs(
        "2.6.0",
        "O(1)",
        "Returns how many milliseconds a key has left",
    ),
    row("ttl", 2, Run::Read(ttl)).syntax("key").docs(
        "1.0.0",
        "O(1)",
        "Returns how many seconds a key has left",
    ),
];

fn expire(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    set_expiry(context, args, When::EX, "expire", out)
}

fn pexpire(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    set_expiry(context, args, When::PX, "pexpire", out)
}

fn expireat(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    set_expiry(context, args, When::EXAT, "expireat", out)
}

fn pexpireat(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    set_expiry(context, args, When::PXAT, "pexpireat", out)
}

fn persist(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key] = exactly(args)?;
    let expiring = context.db.lookup(key)?.filter(|record| record.expires_at_ms.is_some());
    if let Some(old) = &expiring {
        let new = Record { expires_at_ms: None, ..old.clone() };
        context.db.store(key, Some(old), &new)?;
        context.db.notify(class::GENERIC, "persist", key);
    }
    out.integer(i64::from(expiring.is_some()));
    Ok(())
}

fn ttl(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    reply_expiry(context, args, out, |at_ms, now_ms| (at_ms.saturating_sub(now_ms) + 500) / 1000)
}

fn pttl(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    reply_expiry(context, args, out, |at_ms, now_ms| at_ms.saturating_sub(now_ms))
}

fn expiretime(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    reply_expiry(context, args, out, |at_ms, _| (at_ms + 500) / 1000)
}

fn pexpiretime(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    reply_expiry(context, args, out, |at_ms, _| at_ms)
}

/// Answers -2 for no key, -1 for no expiry, else what `show` makes of expiry and clock.
fn reply_expiry(
    context: &mut ReadContext<'_>,
    args: &Args,
    out: &mut Encoder,
    show: fn(u64, u64) -> u64,
) -> Result<(), Fail> {
    let [_, key] = exactly(args)?;
    let now_ms = context.db.now_ms();
    out.integer(match context.db.read(key)?.map(|record| record.expires_at_ms) {
        None => -2,
        Some(None) => -1,
        Some(Some(at_ms)) => i64::try_from(show(at_ms, now_ms)).unwrap_or(i64::MAX),
    });
    Ok(())
}

fn set_expiry(
    context: &mut WriteContext<'_>,
    args: &Args,
    when: When,
    name: &str,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let ([_, key, time], options) = at_least(args)?;
    let guard = Guard::parse(options)?;
    let now_ms = context.db.now_ms();
    let given = integer(time)?;
    let at_ms = when.to_ms(given, now_ms).ok_or_else(|| Fail::expire_time(name))?;
    let Some(old) = context.db.lookup(key)?.filter(|old| guard.allows(old.expires_at_ms, at_ms))
    else {
        out.integer(0);
        return Ok(());
    };
    match u64::try_from(at_ms) {
        Ok(at_ms) if at_ms > now_ms => {
            let new = Record { expires_at_ms: Some(at_ms), ..old.clone() };
            context.db.store(key, Some(&old), &new)?;
            context.db.notify(class::GENERIC, "expire", key);
        }
        _ => {
            context.db.remove(key, &old)?;
            context.db.notify(class::GENERIC, "del", key);
        }
    }
    out.integer(1);
    Ok(())
}

/// Under which conditions an expiry is set.
#[derive(Debug, Default, Clone, Copy)]
struct Guard {
    if_none: bool,
    if_any: bool,
    if_later: bool,
    if_earlier: bool,
}

impl Guard {
    fn parse(options: &[bytes::Bytes]) -> Result<Self, Fail> {
        let mut guard = Self::default();
        for option in options {
            match option {
                option if is(option, "nx") => guard.if_none = true,
                option if is(option, "xx") => guard.if_any = true,
                option if is(option, "gt") => guard.if_later = true,
                option if is(option, "lt") => guard.if_earlier = true,
                option => {
                    let text = format!("ERR Unsupported option {}", lossy(option));
                    return Err(Fail::Reply(text.into()));
                }
            }
        }
        if guard.if_none && (guard.if_any || guard.if_later || guard.if_earlier) {
            return Err(Fail::text(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if guard.if_later && guard.if_earlier {
            return Err(Fail::text("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(guard)
    }

    /// Whether an expiry at `new_ms` may take the place of the `current` one. No expiry is later
    /// than any.
    fn allows(self, current: Option<u64>, new_ms: i64) -> bool {
        let new = i128::from(new_ms);
        let current = current.map(i128::from);
        !(self.if_none && current.is_some()
            || self.if_any && current.is_none()
            || self.if_later && current.is_none_or(|current| new <= current)
            || self.if_earlier && current.is_some_and(|current| new >= current))
    }
}
