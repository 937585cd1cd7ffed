//! The connection: greeting, authentication, the selected database.

use crate::resp::{Args, Encoder, Protocol, parse_integer};

use super::args::{database, exactly, int, is, lossy};
use super::client::set_name;
use super::context::ConnectionContext;
use super::execute_write::unwatch;
use super::fail::Fail;
use super::pubsub::Effect;
use super::server_state::REDIS_VERSION;
use super::session::ReplyMode;
use super::spec::{Command, Flags, Group, Run};
use super::subscribe::leave_all;

/// The only user there is.
pub(super) const USER: &str = "default";

const WRONG_PASSWORD: Fail =
    Fail::text("WRONGPASS invalid username-password pair or user is disabled.");
const ANY_TIME: Flags = Flags::FAST.or(Flags::LOADING).or(Flags::STALE);
const GREETING: Flags = ANY_TIME.or(Flags::NOSCRIPT).or(Flags::NO_AUTH).or(Flags::ALLOW_BUSY);
const ALWAYS: Flags = Flags::UNQUEUED.or(Flags::WHILE_SUBSCRIBED);

const fn row(name: &'static str, arity: i32, run: Run) -> Command {
    Command::new(name, arity, run).group(Group::Connection)
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[
    row("auth", -2, Run::Connection(auth)).flags(GREETING).syntax("[username] password").docs(
        "1.0.0",
        "O(1)",
        "Authenticates the connection",
    ),
    row("echo", 2, Run::Connection(echo)).flags(ANY_TIME).syntax("message").docs(
        "1.0.0",
        "O(1)",
        "Returns its argument",
    ),
    row("hello", -1, Run::Connection(hello))
        .flags(GREETING)
        .syntax("[protover:integer [AUTH username password] [SETNAME clientname]]")
        .docs(
            "6.0.0",
            "O(1)",
            "Chooses the protocol, may authenticate, and says what the server is",
        ),
    row("ping", -1, Run::Connection(ping))
        .flags(Flags::FAST.or(Flags::WHILE_SUBSCRIBED))
        .syntax("[message]")
        .docs("1.0.0", "O(1)", "Returns PONG, or its argument"),
    row("quit", -1, Run::Connection(quit)).flags(GREETING.or(ALWAYS)).docs(
        "1.0.0",
        "O(1)",
        "Closes the connection",
    ),
    row("reset", 1, Run::Connection(reset)).flags(GREETING.or(ALWAYS)).docs(
        "6.2.0",
        "O(1)",
        "Brings the connection back to where it began",
    ),
    row("select", 2, Run::Connection(select)).flags(ANY_TIME).syntax("index:integer").docs(
        "1.0.0",
        "O(1)",
        "Selects a database",
    ),
];

fn ping(context: &mut ConnectionContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    match args.as_slice() {
        // What looks like a message, since those are all that the client expects.
        [_, message @ ..] if message.len() <= 1 && context.session.is_subscriber() => {
            out.array(2);
            out.bulk(b"pong");
            out.bulk(message.first().map_or(b"", |message| message));
        }
        [_] => out.simple("PONG"),
        [_, message] => out.bulk_bytes(message.clone()),
        _ => return Err(Fail::arity("ping")),
    }
    Ok(())
}

fn echo(_: &mut ConnectionContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, message] = exactly(args)?;
    out.bulk_bytes(message.clone());
    Ok(())
}

fn auth(context: &mut ConnectionContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let (user, password) = match args.as_slice() {
        [_, _] if !context.server.requires_password() => {
            return Err(Fail::text(
                "ERR AUTH <password> called without any password configured for the default \
                 user. Are you sure your configuration is correct?",
            ));
        }
        [_, password] => (USER.as_bytes(), password),
        [_, user, password] => (&**user, password),
        _ => return Err(Fail::SYNTAX),
    };
    authenticate(context, user, password)?;
    out.ok();
    Ok(())
}

fn hello(context: &mut ConnectionContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let protocol = match args.get(1).map(|version| parse_integer(version)) {
        None => context.session.protocol,
        Some(Some(2)) => Protocol::Resp2,
        Some(Some(3)) => Protocol::Resp3,
        Some(Some(_)) => return Err(Fail::text("NOPROTO unsupported protocol version")),
        Some(None) => {
            return Err(Fail::text("ERR Protocol version is not an integer or out of range"));
        }
    };
    let mut options = args.get(2..).unwrap_or_default();
    loop {
        options = match options {
            [] => break,
            [option, user, password, rest @ ..] if is(option, "auth") => {
                authenticate(context, user, password)?;
                rest
            }
            [option, name, rest @ ..] if is(option, "setname") => {
                set_name(context.session, name)?;
                rest
            }
            [option, ..] => {
                let option = lossy(option);
                let text = format!("ERR Syntax error in HELLO option '{option}'");
                return Err(Fail::Reply(text.into()));
            }
        };
    }
    if context.server.requires_password() && !context.session.authenticated {
        return Err(Fail::text(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
             HELLO AUTH <user> <pass> option can be used to authenticate the client and select \
             the RESP protocol version at the same time",
        ));
    }
    speak(context, protocol, out);
    out.map(7);
    for (name, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        out.bulk(name.as_bytes());
        out.bulk(value.as_bytes());
    }
    out.bulk(b"proto");
    out.integer(protocol.version());
    out.bulk(b"id");
    out.integer(context.session.client.id as i64);
    for (name, value) in [("mode", "standalone"), ("role", "master")] {
        out.bulk(name.as_bytes());
        out.bulk(value.as_bytes());
    }
    out.bulk(b"modules");
    out.array(0);
    Ok(())
}

fn quit(context: &mut ConnectionContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    context.session.close_after_reply = true;
    out.ok();
    Ok(())
}

fn reset(context: &mut ConnectionContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    leave_all(context);
    let session = &mut *context.session;
    if std::mem::take(&mut session.is_monitor) {
        context.server.monitors.remove(&session.client);
    }
    session.db = 0;
    session.transaction = None;
    unwatch(context.server, &session.client);
    session.client.profile().name.clear();
    session.authenticated = !context.server.requires_password();
    session.reply_mode = ReplyMode::On;
    speak(context, Protocol::Resp2, out);
    out.simple("RESET");
    Ok(())
}

/// Changes the protocol of replies, and of messages.
fn speak(context: &mut ConnectionContext<'_>, protocol: Protocol, out: &mut Encoder) {
    if context.session.protocol != protocol {
        context.session.protocol = protocol;
        context.affect(vec![Effect::Speak(protocol)]);
    }
    out.set_protocol(protocol);
}

fn select(context: &mut ConnectionContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, index] = exactly(args)?;
    context.session.db = database(int(index, None)?)?;
    out.ok();
    Ok(())
}

fn authenticate(
    context: &mut ConnectionContext<'_>,
    user: &[u8],
    password: &[u8],
) -> Result<(), Fail> {
    if user != USER.as_bytes() || !context.server.live.password_fits(password) {
        return Err(WRONG_PASSWORD);
    }
    context.session.authenticated = true;
    Ok(())
}
