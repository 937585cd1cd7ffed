//! `WAIT` and `WAITAOF`: waiting for others to have what was written, or for the disk to.
//!
//! There are no replicas: who asks for some waits in vain, for as long as it says.

use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use pontoon_storage::Error;

use crate::resp::{Args, Encoder, parse_integer};

use super::args::{exactly, integer};
use super::context::{AsyncContext, ConnectionContext};
use super::fail::Fail;
use super::parked::Unparked;
use super::server_state::{ServerState, unix_now};
use super::spec::{Command, Flags, Group, Run};
use super::waiting::UNBLOCKED;

const fn row(name: &'static str, arity: i32, run: Run) -> Command {
    Command::new(name, arity, run)
        .group(Group::Generic)
        .flags(Flags::NOSCRIPT.or(Flags::WAITS))
        .categories(&["connection"])
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[
    row("wait", 3, Run::Async(wait, wait_in_transaction))
        .syntax("numreplicas:integer timeout:integer")
        .docs("3.0.0", "O(1)", "Waits for replicas, of which there are none"),
    row("waitaof", 4, Run::Async(waitaof, waitaof_in_transaction))
        .syntax("numlocal:integer numreplicas:integer timeout:integer")
        .docs(
            "7.2.0",
            "O(1), and an fsync",
            "Waits until what the connection has written is on the disk",
        ),
];

struct Wait {
    replicas: i64,
    timeout: Option<Duration>,
}

impl Wait {
    fn parse(args: &Args) -> Result<Self, Fail> {
        let [_, replicas, timeout] = exactly(args)?;
        Ok(Self { replicas: integer(replicas)?, timeout: parse_timeout(timeout)? })
    }
}

fn wait(context: AsyncContext, args: Args) -> BoxFuture<'static, Result<Encoder, Fail>> {
    async move {
        let Wait { replicas, timeout } = Wait::parse(&args)?;
        if replicas > 0 {
            let parked = &context.service.state.parked;
            end_of(parked.park(&context.client, timeout).await)?;
        }
        let mut out = Encoder::new(context.protocol);
        out.integer(0);
        Ok(out)
    }
    .boxed()
}

fn wait_in_transaction(
    _: &mut ConnectionContext<'_>,
    args: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    Wait::parse(args)?;
    out.integer(0);
    Ok(())
}

struct WaitAof {
    /// Whether to wait for this server's own disk.
    local: bool,
    /// Whether to wait for those of replicas.
    replicas: bool,
    timeout: Option<Duration>,
}

impl WaitAof {
    fn parse(args: &Args, server: &ServerState) -> Result<Self, Fail> {
        let [_, local, replicas, timeout] = exactly(args)?;
        let local = match integer(local)? {
            0 => false,
            1 => true,
            _ => return Err(Fail::text("ERR value is out of range, value must between 0 and 1")),
        };
        let replicas = parse_integer(replicas)
            .ok_or(Fail::text("ERR value is out of range, must be positive"))?;
        if replicas < 0 {
            return Err(Fail::text("ERR value is out of range, must be positive"));
        }
        let timeout = parse_timeout(timeout)?;
        if local && !server.settings.persistent {
            return Err(Fail::text(
                "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
            ));
        }
        Ok(Self { local, replicas: replicas > 0, timeout })
    }
}

fn waitaof(context: AsyncContext, args: Args) -> BoxFuture<'static, Result<Encoder, Fail>> {
    async move {
        let server = &context.service.state;
        let WaitAof { local, replicas, timeout } = WaitAof::parse(&args, server)?;
        let mut is_synced = server.is_synced_at_once();
        if replicas || local && !is_synced {
            let mut parking = pin!(server.parked.park(&context.client, timeout));
            let mut syncing = pin!(sync(&context));
            let may_sync = server.settings.persistent;
            while replicas || !is_synced {
                tokio::select! {
                    synced = &mut syncing, if may_sync && !is_synced => {
                        synced?;
                        is_synced = true;
                    }
                    why = &mut parking => {
                        end_of(why)?;
                        break;
                    }
                }
            }
        }
        let mut out = Encoder::new(context.protocol);
        reply_synced(is_synced, &mut out);
        Ok(out)
    }
    .boxed()
}

async fn sync(context: &AsyncContext) -> Result<(), Fail> {
    let storage = context.service.storage().await;
    storage.store.sync().await.map_err(|error| {
        if matches!(error, Error::Commit(_) | Error::ReadOnly(_)) {
            context.service.state.last_write_ok.store(false, Relaxed);
        }
        Fail::Storage(error)
    })
}

/// What is known without waiting: with the transaction's reply, all of it is as durable as any write.
fn waitaof_in_transaction(
    context: &mut ConnectionContext<'_>,
    args: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    WaitAof::parse(args, context.server)?;
    reply_synced(context.server.is_synced_at_once(), out);
    Ok(())
}

fn reply_synced(is_synced: bool, out: &mut Encoder) {
    out.array(2);
    out.integer(i64::from(is_synced));
    out.integer(0);
}

fn end_of(why: Unparked) -> Result<(), Fail> {
    match why {
        Unparked::InVain => Ok(()),
        Unparked::WithError => Err(UNBLOCKED),
    }
}

/// Milliseconds, of which 0 is for ever.
/// A time to wait, in milliseconds; `None` for 0.
///
/// # Errors
/// A reply for what is none, or would end beyond what the clock can say.
pub(super) fn parse_timeout(arg: &[u8]) -> Result<Option<Duration>, Fail> {
    let millis =
        parse_integer(arg).ok_or(Fail::text("ERR timeout is not an integer or out of range"))?;
    let millis = u64::try_from(millis).map_err(|_| Fail::text("ERR timeout is negative"))?;
    if millis.saturating_add(unix_now().saturating_mul(1000)) > i64::MAX as u64 {
        return Err(Fail::text("ERR timeout is out of range"));
    }
    Ok((millis > 0).then(|| Duration::from_millis(millis)))
}
