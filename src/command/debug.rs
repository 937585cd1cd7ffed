//! `DEBUG`: what tests need. Most of what Redis has here is about its own insides, and refused.

use std::sync::Arc;
use std::sync::atomic::Ordering::Release;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use pontoon_storage::View;

use crate::data::{self, DbReader, RunState, usage};
use crate::resp::{Args, Encoder, Protocol};
use crate::run::now_ms;
use crate::service::Service;

use super::args::{is, lossy};
use super::context::{AsyncContext, ConnectionContext};
use super::fail::Fail;
use super::server_state::ServerState;
use super::spec::{Command, Flags, Group, Run};

/// How long `DEBUG SLEEP` may hold up the write lane, which a transaction does.
const SLEEP_IN_TRANSACTION_MAX: Duration = Duration::from_secs(10);

/// Longer than anybody waits; a longer sleep is cut to it.
const SLEEP_MAX_SECS: f64 = 1e9;

/// Elements that `DEBUG OBJECT` looks at to say how many bytes a value takes.
const SAMPLES: u64 = 512;

/// What it can do.
const HELP: &[&str] = &[
    "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "OBJECT <key>",
    "    Returns a line about how a value is stored.",
    "PROTOCOL <type>",
    "    Returns a value of a type of the protocol: string, integer, double, bignum,",
    "    null, array, set, map, attrib, push, verbatim, true, false.",
    "RELOAD",
    "    Closes the store and opens it again; other clients' requests wait meanwhile.",
    "SET-ACTIVE-EXPIRE <0|1>",
    "    Stops, or starts again, the removal of expired keys that nobody asks for.",
    "SLEEP <seconds>",
    "    Makes this client wait; in a transaction it holds up all writes.",
    "HELP",
    "    Print this help.",
];

/// Redis's own, about what does not exist here.
const REFUSED: &[&str] = &[
    "aof-flush-sleep",
    "assert",
    "change-repl-id",
    "client-eviction",
    "clusterlink",
    "config-rewrite-force-all",
    "crash-and-recover",
    "digest",
    "digest-value",
    "drop-cluster-packet-filter",
    "error",
    "htstats",
    "htstats-key",
    "jmap",
    "leak",
    "listpack",
    "loadaof",
    "log",
    "mallctl",
    "mallctl-str",
    "oom",
    "panic",
    "pause-cron",
    "populate",
    "quicklist",
    "quicklist-packed-threshold",
    "replicate",
    "replybuffer",
    "restart",
    "sdslen",
    "segfault",
    "set-disable-deny-scripts",
    "set-skip-checksum-validation",
    "stringmatch-test",
    "structsize",
    "ziplist",
];

/// The table's rows.
pub(super) const COMMANDS: &[Command] =
    &[Command::new("debug", -2, Run::Async(debug, debug_in_transaction))
        .group(Group::Server)
        .flags(Flags::ADMIN.or(Flags::NOSCRIPT).or(Flags::LOADING).or(Flags::STALE))
        .flags(Flags::DANGEROUS.or(Flags::PROTECTED))
        .syntax("subcommand [argument ...]")
        .docs("1.0.0", "depends on the subcommand", "Does what tests need")];

fn debug(context: AsyncContext, args: Args) -> BoxFuture<'static, Result<Encoder, Fail>> {
    async move {
        let mut out = Encoder::new(context.protocol);
        match args.as_slice() {
            [_, own, seconds] if is(own, "sleep") => {
                tokio::time::sleep(parse_seconds(seconds)).await;
                out.ok();
            }
            [_, own, key] if is(own, "object") => {
                let line = object(&context, key.clone()).await?;
                out.simple(&line);
            }
            [_, own, options @ ..] if is(own, "reload") => {
                reload(&context.service, options).await?;
                out.ok();
            }
            _ => at_once(&context.service.state, &args, &mut out)?,
        }
        Ok(out)
    }
    .boxed()
}

/// In a transaction the commands run in the write lane, so that what waits holds it up, as in Redis it
/// holds up everything.
fn debug_in_transaction(
    context: &mut ConnectionContext<'_>,
    args: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    match args.as_slice() {
        [_, own, seconds] if is(own, "sleep") => {
            let time = parse_seconds(seconds);
            if time > SLEEP_IN_TRANSACTION_MAX {
                let max = SLEEP_IN_TRANSACTION_MAX.as_secs();
                let text =
                    format!("ERR DEBUG SLEEP in a transaction takes {max} seconds at the most");
                return Err(Fail::Reply(text.into()));
            }
            std::thread::sleep(time);
            out.ok();
            Ok(())
        }
        [_, own, ..] if is(own, "object") || is(own, "reload") => {
            Err(Fail::text("ERR DEBUG OBJECT and DEBUG RELOAD are not for transactions"))
        }
        _ => at_once(context.server, args, out),
    }
}

/// Those that neither wait nor read data.
fn at_once(server: &ServerState, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    match args.as_slice() {
        [_, own] if is(own, "help") => {
            out.array(HELP.len());
            for line in HELP {
                out.simple(line);
            }
        }
        [_, own, value] if is(own, "set-active-expire") => {
            server.active_expire.store(is_non_zero(value), Release);
            out.ok();
        }
        [_, own, kind] if is(own, "protocol") => protocol(kind, out)?,
        [_, own, ..] if REFUSED.iter().any(|refused| is(own, refused)) => {
            let own = lossy(own).to_ascii_uppercase();
            let text = format!("ERR DEBUG {own} is about the insides of Redis, and not supported");
            return Err(Fail::Reply(text.into()));
        }
        _ => return Err(Fail::subcommand_syntax(args)),
    }
    Ok(())
}

async fn object(context: &AsyncContext, key: Bytes) -> Result<String, Fail> {
    let storage = context.service.storage().await;
    let (databases, db) = (storage.databases.clone(), context.db);
    let line = storage.store.view(move |view: &View| {
        let mut state = RunState::new(&databases, now_ms());
        describe(&mut DbReader::new(view, &mut state, db), &key)
    });
    line.await?.ok_or(Fail::NO_SUCH_KEY)
}

/// How the value of `key` is stored, though its time may have come.
fn describe(db: &mut DbReader<'_>, key: &[u8]) -> data::Result<Option<String>> {
    let Some((record, expired)) = db.lookup_with_expired(key)? else { return Ok(None) };
    let bytes = usage(db, key, &record, SAMPLES)?;
    let place = match record.version {
        Some(version) => format!("elements version:{version}"),
        None => "record version:-".to_owned(),
    };
    let expires = match record.expires_at_ms {
        Some(at_ms) => format!("{at_ms} expired:{}", u8::from(expired)),
        None => "- expired:0".to_owned(),
    };
    Ok(Some(format!(
        "Value type:{} size:{} in:{place} record_bytes:{} element_bytes:{} serializedlength:{} \
         expires_at_ms:{expires}",
        record.kind.name(),
        record.size,
        bytes.record,
        bytes.elements,
        bytes.total(),
    )))
}

async fn reload(service: &Arc<Service>, options: &[Bytes]) -> Result<(), Fail> {
    if let Some(option) = options.first() {
        let is_known = ["merge", "noflush", "nosave"].iter().any(|known| is(option, known));
        return Err(Fail::text(if is_known {
            "ERR DEBUG RELOAD takes no options: it opens what is on the disk, which is all there is"
        } else {
            "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options."
        }));
    }
    if !service.state.settings.persistent {
        return Err(Fail::text(
            "ERR the memory engine keeps nothing on disk: after a reload there would be no data",
        ));
    }
    if service.state.saves.is_running() {
        return Err(Fail::text("ERR Background save already in progress"));
    }
    service.reload().await.map_err(Fail::Storage)
}

/// As C's `strtod` reads it: what is no number is 0.
fn parse_seconds(arg: &[u8]) -> Duration {
    let seconds: f64 = str::from_utf8(arg).ok().and_then(|text| text.parse().ok()).unwrap_or(0.0);
    Duration::try_from_secs_f64(seconds.clamp(0.0, SLEEP_MAX_SECS)).unwrap_or_default()
}

/// As C's `atoi` reads it.
fn is_non_zero(arg: &[u8]) -> bool {
    let digits = arg.strip_prefix(b"-").unwrap_or(arg);
    digits.iter().take_while(|byte| byte.is_ascii_digit()).any(|byte| *byte != b'0')
}

fn protocol(kind: &[u8], out: &mut Encoder) -> Result<(), Fail> {
    let kind = kind.to_ascii_lowercase();
    match kind.as_slice() {
        b"string" => out.bulk(b"Hello World"),
        b"integer" => out.integer(12_345),
        b"double" => out.double(3141.0 / 1000.0),
        b"bignum" => out.big_number("1234567999999999999999999999999999999"),
        b"null" => out.null(),
        b"array" | b"set" => {
            if kind == b"set" {
                out.set(3)
            } else {
                out.array(3)
            }
            for number in 0..3 {
                out.integer(number);
            }
        }
        b"map" => {
            out.map(3);
            for number in 0..3 {
                out.integer(number);
                out.boolean(number == 1);
            }
        }
        b"attrib" => {
            if out.protocol() == Protocol::Resp3 {
                out.attributes(1);
                out.bulk(b"key-popularity");
                out.array(2);
                out.bulk(b"key:123");
                out.integer(90);
            }
            out.bulk(b"Some real reply following the attribute");
        }
        b"push" => {
            if out.protocol() == Protocol::Resp2 {
                return Err(Fail::text("ERR RESP2 is not supported by this command"));
            }
            out.push(2);
            out.bulk(b"server-cpu-usage");
            out.integer(42);
            out.bulk(b"Some real reply following the push reply");
        }
        b"true" => out.boolean(true),
        b"false" => out.boolean(false),
        b"verbatim" => out.verbatim("txt", b"This is a verbatim\nstring"),
        _ => {
            return Err(Fail::text(
                "ERR Wrong protocol type name. Please use one of the following: string|integer|\
                 double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_c_does() {
        for (arg, seconds) in [("0.2", 0.2), ("1", 1.0), ("-1", 0.0), ("x", 0.0), ("1e99", 1e9)] {
            assert_eq!(parse_seconds(arg.as_bytes()).as_secs_f64(), seconds, "{arg}");
        }
        assert_eq!(parse_seconds(b"nan"), Duration::ZERO);
        for (arg, non_zero) in
            [("1", true), ("0", false), ("-2", true), ("x", false), ("007", true)]
        {
            assert_eq!(is_non_zero(arg.as_bytes()), non_zero, "{arg}");
        }
    }
}
