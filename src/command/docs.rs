//! `docs/commands.md`, rendered from the table.

use std::fmt::Write;

use super::spec::{Command, Group};
use super::syntax::{parse, render};
use super::table::all;

const INTRODUCTION: &str = "\
# Commands

Pontoon follows Redis 7.0: names, arguments, replies and error texts. What differs is said below the
tables. This page is rendered from the command table; `UPDATE_DOCS=1 cargo test --test docs_commands`
writes it anew.

*Arity* counts the arguments with the command's name; a negative number means at least that many.
*Since* is the version of Redis that introduced the command.
";

const DIFFERENCES: &str = "
## What differs from Redis

- Keys are at most 64 KiB long.
- A request has at most 1,048,576 arguments, as up to Redis 6.2; more are a protocol error.
- `INCRBYFLOAT` is exact to 17 decimals below about 10^20, where Redis shows the rounding of the
  machine's `long double` (1000 + 0.1 is 1000.1 here and on ARM, 1000.09999999999999998 on x86); beyond,
  it is 64-bit floating point.
- `BITFIELD` refuses to set a field that ends beyond 512 MiB, and an offset such as `#9223372036854775807` that
  overflows. `OVERFLOW SAT` saturates a signed field at its least value however far below it a number is,
  where Redis takes numbers near -2^63 for great ones.
- What of a bitmap was never set to 1 takes no room, and `BITCOUNT` and `BITPOS` do not read it.
- `LCS` is refused for strings for which Redis's table would pass 512 MiB, though ours is smaller.
- `SCAN` returns each key once, and its cursors stay valid over restarts. `COUNT` is cut to 65,536, and a call
  returns fewer keys than asked for when they come to megabytes.
- `KEYS` and `SCAN` return keys in the order of their hashes.
- `LINDEX`, `LSET` and `LRANGE` cost the same anywhere in a list. `LINSERT` and `LREM` move the elements on the shorter
  side of the place, each a write of its own, and other writes wait meanwhile; what would move more than 256 MiB
  is refused.
- A timeout of a blocking command that is too large is out of range, where Redis calls it negative; it is
  decimal, never hexadecimal.
- Members of sets and sorted sets, and fields of hashes, are at most 64 KiB long. Those of sets and hashes are returned
  in the order of their hashes.
- `HSCAN` and `SSCAN` return each element once, and their cursors stay valid over restarts; `COUNT` is cut, and
  calls end early, as with `SCAN`. A set or hash of up to a kilobyte is returned whole.
- Ranks of sorted sets cost the square root of the number of members, where Redis's cost its logarithm. A score of `-0`
  is 0, as in Redis's compact form. In a set whose members have several scores, commands by name (`ZRANGEBYLEX` and its
  like) take the least of them for all.
- `ZSCAN` does as `HSCAN`.
- `SRANDMEMBER`, `HRANDFIELD` and `ZRANDMEMBER` with a negative count refuse a reply of more than 512 MiB.
- `DBSIZE`, as in Redis, counts keys whose time has come until a sweep or an access removes them.
- `FLUSHALL` and `FLUSHDB` take the same, constant, time with `SYNC` and `ASYNC`.
- `CONFIG` has the settings of [pontoon.toml](pontoon.toml), which are flags, variables and keys of the file of
  `--config` by the same names. `CONFIG SET` changes those marked there as live, all or nothing; the others may only be
  set to what they are. Redis's other settings are refused with the reason, and `CONFIG GET` shows nothing for
  them: layout tuning such as `hash-max-listpack-entries`, for which there is no such layout, or replication. Of
  `maxmemory`, `maxmemory-policy`, `save`, `appendonly` and `databases` there is one value each.
- `appendfsync` is another name of `durability`, `shutdown-timeout-secs` of `shutdown-timeout`, and `log` of
  `loglevel`, which takes the levels and directives of Rust's `tracing` besides Redis's. Patterns show the one name.
- `CONFIG SET loglevel` and `durability` take effect at once, `tcp-keepalive` (at most 32,767) for connections to
  come. A string is 512 MiB at the most, whatever `proto-max-bulk-len` says.
- `CONFIG REWRITE` writes what `CONFIG SET` has changed since the start, into the file that it was started with; a
  value that came from a flag or a variable stays out of it.
- `SHUTDOWN` with `SAVE`, `NOSAVE` or `FORCE` is the same as without: what was acknowledged is saved
  already. `ABORT` finds no shutdown in progress: one cannot be called off.
- `MOVE` costs as much as the value has elements. `COPY` and `MOVE` refuse a value of more than 1 GiB.
- `OBJECT ENCODING` goes by the type and size of the value: a short string that was changed in place is `embstr`,
  where Redis says `raw`. `OBJECT REFCOUNT` is 1. `OBJECT IDLETIME` fails: when a key was used last is not kept.
- `SORT` with `ALPHA` compares bytes, whatever the server's locale is. It holds up to 1 GiB of elements and of what
  `BY` and `GET` find. With `BY` and a pattern without `*`, the elements of a set are in the order of their hashes.
- A command that only reads leaves a key whose time has come to the sweep, which tells of it: `expired` comes then.
- Not there, besides the types that the README names: `DUMP`, `RESTORE` and `MIGRATE`; `BGREWRITEAOF`, as there is no log to
  rewrite; `ACL` (there is one user, with `requirepass`); `MODULE`; `FAILOVER`, `SYNC` and `PSYNC`, so `redis-cli --rdb` does not work.
- A client that waits for a list or sorted set is served as well when a command puts one in the place of a value of another
  type (`SORT … STORE`, `ZUNIONSTORE`), where Redis lets it wait on.
- What a transaction publishes, and what it subscribes to or leaves, takes effect with its commit. Messages that reach the
  client itself come behind the reply to `EXEC`, where Redis puts them into it; likewise, notifications of
  what a client does itself come behind the reply.
- A client has 1,048,576 subscriptions at the most, whose names come to 64 MiB at the most.
- `client-output-buffer-limit`: a client that is a monitor is in the class `replica`, since `normal` has no limit by
  default; and whatever the class, messages beyond 1 GiB that a client does not read cut it off.
- `client-query-buffer-limit` is of the length that a request announces: what is longer is a protocol error.
- `MONITOR` shows a command once it has run, which is before it is committed; of commands that run at the same time,
  in any order. It hides all arguments of an `AUTH` with too many.
- `CLIENT TRACKING` is refused, but for `OFF`: the server does not track what clients keep.
- `CLIENT LIST` has the fields of Redis 7.0, with the sizes of what is here in place of Redis's buffers, and
  `lib-name` and `lib-ver`, which are, as `CLIENT SETINFO`, of 7.2. There is one user: `default`.
- `COMMAND` says of the shard channels of `SPUBLISH` and its kin nothing, where Redis says `not_key`.
- `WAITAOF` is of Redis 7.2.
- `INFO` leaves out what has no counterpart, and has the section `Storage`, whose figures are up to a second old and
  count from when the store was opened. `used_memory` is what the process occupies. The time of a command is that
  of its own work: without waiting for its turn or for the commit, as in Redis without that of `appendfsync`; what a
  pipeline reads ahead is shared out among its commands. `avg_ttl` is an estimate, as in Redis; of up to 512 keys that
  expire it is exact.
- `SLOWLOG` and the latency monitor leave out what `WAIT` and `WAITAOF` wait. The monitor's events are `command`,
  `fast-command`, `command-unblocking` and `expire-cycle`. At most 128 codes of errors are counted each.
- `MEMORY USAGE` returns the bytes that a key, its record, its place in the expiry index and its elements take as they
  are given to the engine, which adds its own and may compress. Of a value with more elements than `SAMPLES`, 512
  unless it is said, the rest is taken to be like the first. `MEMORY STATS` has the figures that are known, which are
  few of Redis's; `MEMORY PURGE` does nothing.
- `SAVE` and `BGSAVE` make a checkpoint, in a directory of its own below `checkpoint-dir`, of which the newest two are
  kept; `pontoon restore` makes a directory of data of one. It is one state of all data: what was acknowledged
  before the command is in it, and what came while it was made may be. `SAVE` makes its own client wait alone. With the
  memory engine both fail. `SHUTDOWN` waits for a checkpoint that is being made.
- `DEBUG` needs `enable-debug-command`, as in Redis, and has `SLEEP`, `SET-ACTIVE-EXPIRE`, `OBJECT`, `PROTOCOL` and
  `RELOAD`. `SLEEP` makes its own client wait alone, where Redis stops; in a transaction it holds up all writes, for 10
  seconds at the most. `RELOAD` closes the store and opens it again from the disk while the requests of other
  clients wait; it takes no options. `OBJECT` describes how a value is stored here.
- There is no replication: `WAIT` for replicas waits in vain, and `REPLICAOF` fails but for `NO ONE`.
- `COMMAND DOCS` has names of its own for arguments that are a choice, and no history. `COMMAND INFO` has no tips, and
  no key specifications for keys whose place depends on other arguments; `COMMAND GETKEYS` finds them.
- `LOLWUT` draws a pontoon, whatever version it is asked for.
";

/// The page, as Markdown.
pub fn commands_markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    for &group in Group::ALL {
        let title = group.name();
        let (first, rest) = title.split_at(1);
        push(&mut page, format_args!("\n## {}{rest}\n\n", first.to_ascii_uppercase()));
        page.push_str("| command | arity | since | cost | what it does |\n|---|---|---|---|---|\n");
        for command in all().iter().filter(|command| command.group == group) {
            push_row(&mut page, command);
            for subcommand in command.subcommands {
                push_row(&mut page, subcommand);
            }
        }
    }
    page.push_str(DIFFERENCES);
    page
}

fn push_row(page: &mut String, command: &Command) {
    let Command { arity, since, complexity, summary, .. } = command;
    let name = command.name.to_ascii_uppercase().replace('|', " ");
    // A test sees to it that every line makes sense. A bar would end the cell, even in a code span.
    let arguments = render(&parse(command.syntax).unwrap_or_default()).replace('|', "\\|");
    let gap = if arguments.is_empty() { "" } else { " " };
    push(
        page,
        format_args!(
            "| `{name}{gap}{arguments}` | {arity} | {since} | {complexity} | {summary} |\n"
        ),
    );
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = page.write_fmt(text);
}
