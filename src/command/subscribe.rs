//! `SUBSCRIBE` and its kin, `PUBLISH`, `SPUBLISH`, `PUBSUB`.
//!
//! In a transaction they say at once what they do, and do it with the commit.

use std::sync::Arc;

use bytes::Bytes;

use crate::resp::{Args, Encoder};

use super::args::{at_least, exactly, lossy};
use super::context::ConnectionContext;
use super::fail::Fail;
use super::introspect::help;
use super::pubsub::{Effect, Message};
use super::spec::{Command, ConnectionFn, Flags, Group, Run};
use super::subscriptions::Topic;

const ANY_TIME: Flags = Flags::LOADING.or(Flags::STALE);
const LISTEN: Flags =
    ANY_TIME.or(Flags::PUBSUB).or(Flags::NOSCRIPT).or(Flags::CONFIRMS).or(Flags::WHILE_SUBSCRIBED);
const PUBLISH: Flags = ANY_TIME.or(Flags::PUBSUB).or(Flags::FAST).or(Flags::MAY_REPLICATE);

const fn row(name: &'static str, arity: i32, run: ConnectionFn) -> Command {
    Command::new(name, arity, Run::Connection(run)).group(Group::PubSub)
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[
    row("psubscribe", -2, |context, args, out| subscribe(Topic::Pattern, context, args, out))
        .flags(LISTEN)
        .syntax("pattern:pattern ...")
        .docs(
            "2.0.0",
            "O(N) with the number of patterns",
            "Listens for messages on channels that match patterns",
        ),
    row("publish", 3, |context, args, out| publish(false, context, args, out))
        .flags(PUBLISH)
        .syntax("channel message")
        .docs(
            "2.0.0",
            "O(N+M) with the number of receivers and of patterns",
            "Sends a message to all who listen to a channel",
        ),
    row("pubsub", -2, help)
        .docs("2.8.0", "depends on the subcommand", "A container for what is listened to")
        .container(
            SUBCOMMANDS,
            &[
                "CHANNELS [<pattern>]",
                "    Returns the channels that somebody listens to and that match, or all.",
                "NUMPAT",
                "    Returns how many patterns somebody listens to.",
                "NUMSUB [<channel> ...]",
                "    Returns how many listen to each of the channels, patterns aside.",
                "SHARDCHANNELS [<pattern>]",
                "    Returns the shard channels that somebody listens to and that match, or all.",
                "SHARDNUMSUB [<shardchannel> ...]",
                "    Returns how many listen to each of the shard channels.",
            ],
        ),
    row("punsubscribe", -1, |context, args, out| unsubscribe(Topic::Pattern, context, args, out))
        .flags(LISTEN)
        .syntax("[pattern:pattern ...]")
        .docs(
            "2.0.0",
            "O(N) with the number of patterns",
            "Listens no longer to channels that match patterns",
        ),
    row("spublish", 3, |context, args, out| publish(true, context, args, out))
        .flags(PUBLISH)
        .syntax("shardchannel message")
        .docs(
            "7.0.0",
            "O(N) with the number of receivers",
            "Sends a message to all who listen to a shard channel",
        ),
    row("ssubscribe", -2, |context, args, out| subscribe(Topic::Shard, context, args, out))
        .flags(LISTEN)
        .syntax("shardchannel ...")
        .docs(
            "7.0.0",
            "O(N) with the number of channels",
            "Listens for messages on shard channels",
        ),
    row("subscribe", -2, |context, args, out| subscribe(Topic::Channel, context, args, out))
        .flags(LISTEN)
        .syntax("channel ...")
        .docs("2.0.0", "O(N) with the number of channels", "Listens for messages on channels"),
    row("sunsubscribe", -1, |context, args, out| unsubscribe(Topic::Shard, context, args, out))
        .flags(LISTEN)
        .syntax("[shardchannel ...]")
        .docs("7.0.0", "O(N) with the number of channels", "Listens no longer to shard channels"),
    row("unsubscribe", -1, |context, args, out| unsubscribe(Topic::Channel, context, args, out))
        .flags(LISTEN)
        .syntax("[channel ...]")
        .docs("2.0.0", "O(N) with the number of channels", "Listens no longer to channels"),
];

const SUBCOMMANDS: &[Command] = &[
    row("pubsub|channels", -2, |context, args, out| names(Topic::Channel, context, args, out))
        .flags(ANY_TIME.or(Flags::PUBSUB))
        .syntax("[pattern:pattern]")
        .docs(
            "2.8.0",
            "O(N) with the number of channels",
            "Returns the channels that somebody listens to",
        ),
    row("pubsub|help", 2, help).flags(ANY_TIME).docs("6.2.0", "O(1)", "Returns a short help"),
    row("pubsub|numpat", 2, numpat).flags(ANY_TIME.or(Flags::PUBSUB)).docs(
        "2.8.0",
        "O(1)",
        "Returns how many patterns somebody listens to",
    ),
    row("pubsub|numsub", -2, |context, args, out| numsub(Topic::Channel, context, args, out))
        .flags(ANY_TIME.or(Flags::PUBSUB))
        .syntax("[channel ...]")
        .docs(
            "2.8.0",
            "O(N) with the number of those who listen",
            "Returns how many listen to channels",
        ),
    row("pubsub|shardchannels", -2, |context, args, out| names(Topic::Shard, context, args, out))
        .flags(ANY_TIME.or(Flags::PUBSUB))
        .syntax("[pattern:pattern]")
        .docs(
            "7.0.0",
            "O(N) with the number of shard channels",
            "Returns the shard channels that somebody listens to",
        ),
    row("pubsub|shardnumsub", -2, |context, args, out| numsub(Topic::Shard, context, args, out))
        .flags(ANY_TIME.or(Flags::PUBSUB))
        .syntax("[shardchannel ...]")
        .docs(
            "7.0.0",
            "O(N) with the number of those who listen",
            "Returns how many listen to shard channels",
        ),
];

fn subscribe(
    topic: Topic,
    context: &mut ConnectionContext<'_>,
    args: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let ([_], names) = at_least(args)?;
    let session = &mut *context.session;
    // Transactions could subscribe before there was a rule that nothing in them may wait.
    if topic == Topic::Shard && session.in_exec {
        return Err(Fail::text("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client"));
    }
    let subscriptions = Arc::make_mut(session.subscriptions.get_or_insert_default());
    let mut effects = Vec::new();
    let outcome = if subscriptions.has_room_for(names) {
        for name in names {
            // A copy, since the argument keeps all that arrived with it in memory.
            let name = Bytes::copy_from_slice(name);
            if subscriptions.add(topic, name.clone()) {
                effects.push(Effect::Subscribe(topic, name.clone()));
            }
            confirm("subscribe", topic, Some(&name), subscriptions.shown_len(topic), out);
        }
        Ok(())
    } else {
        Err(Fail::text("ERR too many subscriptions"))
    };
    finish(context, effects);
    outcome
}

fn unsubscribe(
    topic: Topic,
    context: &mut ConnectionContext<'_>,
    args: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let ([_], names) = at_least(args)?;
    let mut effects = Vec::new();
    let mut none = Arc::default();
    let subscriptions = context.session.subscriptions.as_mut().unwrap_or(&mut none);
    let all;
    let names = match names {
        [] => {
            all = subscriptions.in_order(topic);
            &all
        }
        names => names,
    };
    for name in names {
        if Arc::make_mut(subscriptions).remove(topic, name) {
            effects.push(Effect::Unsubscribe(topic, name.clone()));
        }
        confirm("unsubscribe", topic, Some(name), subscriptions.shown_len(topic), out);
    }
    if names.is_empty() {
        confirm("unsubscribe", topic, None, subscriptions.shown_len(topic), out);
    }
    finish(context, effects);
    Ok(())
}

/// Lets `effects` happen, and forgets subscriptions that there are none of.
fn finish(context: &mut ConnectionContext<'_>, effects: Vec<Effect>) {
    context.session.subscriptions.take_if(|subscriptions| subscriptions.is_empty());
    context.affect(effects);
}

/// Says that something is listened to, or no longer, and how much is.
fn confirm(what: &str, topic: Topic, name: Option<&Bytes>, len: usize, out: &mut Encoder) {
    let prefix = match topic {
        Topic::Channel => "",
        Topic::Pattern => "p",
        Topic::Shard => "s",
    };
    out.push(3);
    out.bulk(format!("{prefix}{what}").as_bytes());
    match name {
        Some(name) => out.bulk(name),
        None => out.null(),
    }
    out.integer(len as i64);
}

fn publish(
    is_shard: bool,
    context: &mut ConnectionContext<'_>,
    args: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let [_, channel, payload] = exactly(args)?;
    let message = Message { channel: channel.clone(), payload: payload.clone(), is_shard };
    let session = &mut *context.session;
    let receivers = if session.in_exec {
        // Whoever listens now; what the transaction itself subscribed to takes effect with the commit, too.
        let own = session.subscriptions.as_ref();
        let own = own.map_or(0, |own| own.matching_len(channel, is_shard));
        let others = context.server.pubsub.others_len(&message, &session.client);
        session.effects.push(Effect::Publish(message));
        own + others
    } else {
        context.server.publisher().publish(&message)
    };
    out.integer(receivers as i64);
    Ok(())
}

fn names(
    topic: Topic,
    context: &mut ConnectionContext<'_>,
    args: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let pattern = match args.as_slice() {
        [_, _] => None,
        [_, _, pattern] => Some(&**pattern),
        _ => return Err(wrong_number("PUBSUB", args)),
    };
    let names = context.server.pubsub.names(topic, pattern);
    out.array(names.len());
    for name in names {
        out.bulk_bytes(name);
    }
    Ok(())
}

fn numsub(
    topic: Topic,
    context: &mut ConnectionContext<'_>,
    args: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let ([_, _], names) = at_least(args)?;
    let lens = context.server.pubsub.subscribers_lens(topic, names);
    out.array(names.len() * 2);
    for (name, len) in names.iter().zip(lens) {
        out.bulk(name);
        out.integer(len as i64);
    }
    Ok(())
}

fn numpat(context: &mut ConnectionContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    out.integer(context.server.pubsub.names_len(Topic::Pattern) as i64);
    Ok(())
}

/// What a container says whose subcommand has the wrong number of arguments, where its row does not say
/// how many there may be.
pub(super) fn wrong_number(container: &str, args: &Args) -> Fail {
    let own = args.get(1).map(|own| lossy(own)).unwrap_or_default();
    let text = format!(
        "ERR unknown subcommand or wrong number of arguments for '{own}'. Try {container} HELP."
    );
    Fail::Reply(text.into())
}

/// Ends everything that the session listens to.
pub(super) fn leave_all(context: &mut ConnectionContext<'_>) {
    if let Some(subscriptions) = context.session.subscriptions.take() {
        context.server.pubsub.leave(&context.session.client, &subscriptions);
    }
}
