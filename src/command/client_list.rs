//! `CLIENT LIST`, `INFO`, `KILL`: what is known of each client, and which of them are meant.

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;

use crate::resp::{Args, Encoder, parse_integer};

use super::args::{at_least, is, lossy};
use super::clients::{Buffers, Client, Unread};
use super::connection::USER;
use super::context::ConnectionContext;
use super::fail::Fail;

/// What a connection without buffers occupies, its task and its socket's part of tokio among it.
const CONNECTION_BYTES: usize = 2_560;

/// What kinds of clients can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientType {
    Normal,
    PubSub,
    /// Of servers that replicate each other, of which there are none.
    Replication,
}

pub(super) fn info(
    context: &mut ConnectionContext<'_>,
    _: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    context.session.publish();
    out.verbatim("txt", line(&context.session.client).as_bytes());
    Ok(())
}

pub(super) fn list(
    context: &mut ConnectionContext<'_>,
    args: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let ([_, _], options) = at_least(args)?;
    let clients = &context.server.clients;
    let listed = match options {
        [] => clients.all(),
        [filter, kind] if is(filter, "type") => {
            let kind = client_type(kind)?;
            // One's own kind may have just changed.
            context.session.publish();
            let mut listed = clients.all();
            listed.retain(|client| type_of(client) == kind);
            listed
        }
        [filter, ids @ ..] if is(filter, "id") && !ids.is_empty() => {
            let mut listed = Vec::new();
            for id in ids {
                let id = parse_integer(id).ok_or(Fail::text("ERR Invalid client ID"))?;
                listed.extend(u64::try_from(id).ok().and_then(|id| clients.get(id)));
            }
            listed
        }
        _ => return Err(Fail::SYNTAX),
    };
    context.session.publish();
    let text: String = listed.iter().map(|client| line(client)).collect();
    out.verbatim("txt", text.as_bytes());
    Ok(())
}

pub(super) fn kill(
    context: &mut ConnectionContext<'_>,
    args: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let ([_, _], options) = at_least(args)?;
    let filter = match options {
        // The old form, which may mean oneself.
        [addr] => Filter { addr: Some(addr), skips_me: false, ..Filter::default() },
        options => Filter::parse(options)?,
    };
    context.session.publish();
    let own = Arc::clone(&context.session.client);
    let mut killed = 0;
    for client in context.server.clients.all() {
        let is_own = Arc::ptr_eq(&client, &own);
        if !filter.fits(&client) || is_own && filter.skips_me {
            continue;
        }
        killed += 1;
        if is_own {
            // It is answered first.
            context.session.close_after_reply = true;
        } else {
            context.server.clients.kill(&client);
        }
    }
    match options {
        [_] if killed == 0 => return Err(Fail::text("ERR No such client")),
        [_] => out.ok(),
        _ => out.integer(killed),
    }
    Ok(())
}

/// Which clients to close: those that fit all of it.
#[derive(Debug, Default)]
struct Filter<'a> {
    id: Option<u64>,
    addr: Option<&'a Bytes>,
    local_addr: Option<&'a Bytes>,
    kind: Option<ClientType>,
    skips_me: bool,
}

impl<'a> Filter<'a> {
    fn parse(mut options: &'a [Bytes]) -> Result<Self, Fail> {
        let mut filter = Self { skips_me: true, ..Self::default() };
        while let [option, rest @ ..] = options {
            let [value, rest @ ..] = rest else { return Err(Fail::SYNTAX) };
            if is(option, "id") {
                let id = parse_integer(value).and_then(|id| u64::try_from(id).ok());
                let id = id.filter(|id| *id > 0);
                filter.id = Some(id.ok_or(Fail::text("ERR client-id should be greater than 0"))?);
            } else if is(option, "type") {
                filter.kind = Some(client_type(value)?);
            } else if is(option, "addr") {
                filter.addr = Some(value);
            } else if is(option, "laddr") {
                filter.local_addr = Some(value);
            } else if is(option, "user") {
                // All are the only user there is.
                if &**value != USER.as_bytes() {
                    let text = format!("ERR No such user '{}'", lossy(value));
                    return Err(Fail::Reply(text.into()));
                }
            } else if is(option, "skipme") {
                filter.skips_me = match value {
                    value if is(value, "yes") => true,
                    value if is(value, "no") => false,
                    _ => return Err(Fail::SYNTAX),
                };
            } else {
                return Err(Fail::SYNTAX);
            }
            options = rest;
        }
        Ok(filter)
    }

    fn fits(&self, client: &Client) -> bool {
        self.id.is_none_or(|id| client.id == id)
            && self.addr.is_none_or(|addr| client.addr.as_bytes() == addr)
            && self.local_addr.is_none_or(|addr| client.local_addr.as_bytes() == addr)
            && self.kind.is_none_or(|kind| type_of(client) == kind)
    }
}

fn client_type(name: &[u8]) -> Result<ClientType, Fail> {
    if is(name, "normal") {
        Ok(ClientType::Normal)
    } else if is(name, "pubsub") {
        Ok(ClientType::PubSub)
    } else if ["master", "replica", "slave"].iter().any(|word| is(name, word)) {
        Ok(ClientType::Replication)
    } else {
        let text = format!("ERR Unknown client type '{}'", lossy(name));
        Err(Fail::Reply(text.into()))
    }
}

fn type_of(client: &Client) -> ClientType {
    match client.profile().subscriptions {
        [0, 0, 0] => ClientType::Normal,
        _ => ClientType::PubSub,
    }
}

/// What is known of a client, with Redis's names for it.
fn line(client: &Client) -> String {
    let profile = client.profile().clone();
    let Unread { messages: messages_len, message_bytes, unsent_bytes } = client.unread();
    let unread_bytes = message_bytes.saturating_add(unsent_bytes);
    let is_dirty = client.watch().as_ref().is_some_and(|watch| watch.is_changed());
    let [channels, patterns, shards] = profile.subscriptions;
    let mut flags = String::new();
    for (is_so, flag) in [
        (profile.is_monitor, 'O'),
        (profile.subscriptions != [0; 3], 'P'),
        (profile.queued.is_some(), 'x'),
        (profile.is_blocked, 'b'),
        (is_dirty, 'd'),
        (profile.no_evict, 'e'),
    ] {
        flags.extend(is_so.then_some(flag));
    }
    if flags.is_empty() {
        flags.push('N');
    }
    let Buffers { input, input_free, arguments, queued, replies, replies_peak } = profile.buffers;
    let total = CONNECTION_BYTES + input + input_free + queued + replies + unread_bytes;
    let mut line = String::with_capacity(512);
    // Writing to a string does not fail.
    let _ = writeln!(
        line,
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={flags} db={} sub={channels} \
         psub={patterns} ssub={shards} multi={} qbuf={input} qbuf-free={input_free} \
         argv-mem={arguments} multi-mem={queued} rbs={replies} rbp={replies_peak} \
         obl={unsent_bytes} oll={messages_len} omem={unread_bytes} tot-mem={total} events={} cmd={} user={USER} \
         redir=-1 resp={} lib-name={} lib-ver={}",
        client.id,
        client.addr,
        client.local_addr,
        profile.fd,
        lossy(&profile.name),
        client.created.elapsed().as_secs(),
        client.idle().as_secs(),
        profile.db,
        profile.queued.map_or(-1, |queued| queued as i64),
        if unread_bytes > 0 { "rw" } else { "r" },
        if profile.last_command.is_empty() { "NULL" } else { profile.last_command },
        profile.protocol.version(),
        lossy(&profile.lib_name),
        lossy(&profile.lib_version),
    );
    line
}
