//! `ROLE`, `REPLICAOF`: there is no replication, and these say so.

use crate::resp::{Args, Encoder};

use super::args::{exactly, is};
use super::context::ConnectionContext;
use super::fail::Fail;
use super::spec::{Command, Flags, Group, Run};

const ADMIN: Flags = Flags::ADMIN
    .or(Flags::NOSCRIPT)
    .or(Flags::STALE)
    .or(Flags::NO_ASYNC_LOADING)
    .or(Flags::DANGEROUS);

const fn row(name: &'static str, arity: i32, run: Run) -> Command {
    Command::new(name, arity, run).group(Group::Server)
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] =
    &[
        row("replicaof", 3, Run::Connection(replicaof))
            .flags(ADMIN)
            .syntax("host port:integer")
            .docs("5.0.0", "O(1)", "Fails, but for NO ONE, since there is no replication"),
        row("role", 1, Run::Connection(role))
            .flags(Flags::NOSCRIPT.or(Flags::LOADING).or(Flags::STALE).or(Flags::FAST))
            .categories(&["admin", "dangerous"])
            .docs("2.8.12", "O(1)", "Returns that this is a master without replicas"),
        row("slaveof", 3, Run::Connection(replicaof))
            .flags(ADMIN)
            .syntax("host port:integer")
            .docs("1.0.0", "O(1)", "The old name of REPLICAOF"),
    ];

fn role(_: &mut ConnectionContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    out.array(3);
    out.bulk(b"master");
    out.integer(0);
    out.array(0);
    Ok(())
}

fn replicaof(_: &mut ConnectionContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, host, port] = exactly(args)?;
    if is(host, "no") && is(port, "one") {
        out.ok();
        return Ok(());
    }
    Err(Fail::text("ERR Pontoon has no replication: it cannot be the replica of another server"))
}
