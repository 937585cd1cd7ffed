//! `SAVE`, `BGSAVE`, `LASTSAVE`: checkpoints, which `pontoon restore` makes data of again.

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::resp::{Args, Encoder};

use super::args::is;
use super::context::{AsyncContext, ConnectionContext};
use super::fail::Fail;
use super::server_state::ServerState;
use super::spec::{Command, Flags, Group, Run};

const ADMIN: Flags =
    Flags::ADMIN.or(Flags::NOSCRIPT).or(Flags::NO_ASYNC_LOADING).or(Flags::DANGEROUS);

const fn row(name: &'static str, arity: i32, run: Run) -> Command {
    Command::new(name, arity, run).group(Group::Server)
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[
    row("bgsave", -1, Run::Connection(bgsave)).flags(ADMIN).syntax("[SCHEDULE]").docs(
        "1.0.0",
        "O(N) with the size of the data on redb, O(1) on RocksDB",
        "Begins to make a checkpoint",
    ),
    row("lastsave", 1, Run::Connection(lastsave))
        .flags(Flags::LOADING.or(Flags::STALE).or(Flags::FAST))
        .categories(&["admin", "dangerous"])
        .docs("1.0.0", "O(1)", "Returns when the last checkpoint was made"),
    row("save", 1, Run::Async(save, save_in_transaction)).flags(ADMIN.or(Flags::NO_MULTI)).docs(
        "1.0.0",
        "O(N) with the size of the data on redb, O(1) on RocksDB",
        "Makes a checkpoint, and answers once it is made",
    ),
];

/// The memory engine has nothing to make one of.
fn check(server: &ServerState) -> Result<(), Fail> {
    if server.settings.persistent {
        return Ok(());
    }
    Err(Fail::text("ERR the memory engine keeps nothing on disk, so that there is nothing to save"))
}

fn bgsave(context: &mut ConnectionContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    match args.as_slice() {
        [_] => {}
        // Redis has other work that a save may have to wait for; here there is none.
        [_, option] if is(option, "schedule") => {}
        _ => return Err(Fail::SYNTAX),
    }
    check(context.server)?;
    context.server.saves.ask()?;
    let started = if context.session.in_exec {
        "Background saving scheduled"
    } else {
        "Background saving started"
    };
    out.simple(started);
    Ok(())
}

fn save(context: AsyncContext, _: Args) -> BoxFuture<'static, Result<Encoder, Fail>> {
    async move {
        let server = &context.service.state;
        check(server)?;
        let mut ended = server.saves.ask()?;
        let outcome = match ended.changed().await {
            Ok(()) => ended.borrow_and_update().clone(),
            Err(_) => Err("the server stops".into()),
        };
        outcome.map_err(|why| Fail::Reply(format!("ERR {why}").into()))?;
        let mut out = Encoder::new(context.protocol);
        out.ok();
        Ok(out)
    }
    .boxed()
}

/// Its flags keep it out of transactions.
fn save_in_transaction(
    _: &mut ConnectionContext<'_>,
    _: &Args,
    _: &mut Encoder,
) -> Result<(), Fail> {
    Err(Fail::text("ERR Command not allowed inside a transaction"))
}

fn lastsave(context: &mut ConnectionContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    out.integer(context.server.saves.last_time() as i64);
    Ok(())
}
