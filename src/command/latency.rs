//! `LATENCY`: what took long, when, and how the times of each command are spread.

use std::fmt::Write;

use crate::resp::{Args, Encoder};

use super::args::{at_least, exactly, lossy};
use super::command_stats::CommandStats;
use super::context::ConnectionContext;
use super::fail::Fail;
use super::histogram::Distribution;
use super::introspect::{by_full_name, help};
use super::latency_monitor::{COMMAND, EXPIRE_CYCLE, FAST_COMMAND, Series, UNBLOCKING, graph};
use super::server_state::ServerState;
use super::spec::{Command, Flags, Group, Run};
use super::table::all;

const ANY_TIME: Flags = Flags::LOADING.or(Flags::STALE);
const ADMIN: Flags = ANY_TIME.or(Flags::ADMIN).or(Flags::NOSCRIPT).or(Flags::DANGEROUS);

const fn row(name: &'static str, arity: i32, run: Run) -> Command {
    Command::new(name, arity, run).group(Group::Server)
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[row("latency", -2, Run::Connection(help))
    .docs("2.8.13", "depends on the subcommand", "A container for what is known about latency")
    .container(
        SUBCOMMANDS,
        &[
            "DOCTOR",
            "    Returns a report for people.",
            "GRAPH <event>",
            "    Returns a picture of the samples of an event in plain characters.",
            "HISTORY <event>",
            "    Returns the samples of an event: time and milliseconds.",
            "LATEST",
            "    Returns the latest sample of each event.",
            "RESET [<event> ...]",
            "    Forgets the samples of the events named, or all.",
            "HISTOGRAM [<command> ...]",
            "    Returns how the times of the commands named, or of all, are spread.",
        ],
    )];

const SUBCOMMANDS: &[Command] = &[
    row("latency|doctor", 2, Run::Connection(doctor)).flags(ADMIN).docs(
        "2.8.13",
        "O(1)",
        "Returns a report about latency for people",
    ),
    row("latency|graph", 3, Run::Connection(draw)).flags(ADMIN).syntax("event").docs(
        "2.8.13",
        "O(1)",
        "Returns a picture of the samples of an event",
    ),
    row("latency|help", 2, Run::Connection(help)).flags(ANY_TIME).docs(
        "2.8.13",
        "O(1)",
        "Returns a short help",
    ),
    row("latency|histogram", -2, Run::Connection(histogram))
        .flags(ADMIN)
        .syntax("[command ...]")
        .docs(
            "7.0.0",
            "O(N) with the number of commands that have run",
            "Returns how the times of commands are spread",
        ),
    row("latency|history", 3, Run::Connection(history)).flags(ADMIN).syntax("event").docs(
        "2.8.13",
        "O(1)",
        "Returns the samples of an event",
    ),
    row("latency|latest", 2, Run::Connection(latest)).flags(ADMIN).docs(
        "2.8.13",
        "O(1)",
        "Returns the latest sample of each event",
    ),
    row("latency|reset", -2, Run::Connection(reset)).flags(ADMIN).syntax("[event ...]").docs(
        "2.8.13",
        "O(1)",
        "Forgets samples",
    ),
];

fn history(
    context: &mut ConnectionContext<'_>,
    args: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let [_, _, event] = exactly(args)?;
    let series = context.server.latency.get(event).map(|(_, series)| series).unwrap_or_default();
    let samples = series.samples();
    out.array(samples.len());
    for sample in samples {
        out.array(2);
        out.integer(sample.time as i64);
        out.integer(number(sample.ms));
    }
    Ok(())
}

fn latest(context: &mut ConnectionContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let events = context.server.latency.all();
    let latest: Vec<_> = events
        .iter()
        .filter_map(|(event, series)| Some((event, series.latest()?, series.max_ms())))
        .collect();
    out.array(latest.len());
    for (event, sample, max_ms) in latest {
        out.array(4);
        out.bulk(event.as_bytes());
        out.integer(sample.time as i64);
        out.integer(number(sample.ms));
        out.integer(number(max_ms));
    }
    Ok(())
}

fn reset(context: &mut ConnectionContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, _], events) = at_least(args)?;
    let monitor = &context.server.latency;
    let forgotten = if events.is_empty() {
        monitor.reset(None)
    } else {
        events.iter().map(|event| monitor.reset(Some(event))).sum()
    };
    out.integer(i64::try_from(forgotten).unwrap_or(i64::MAX));
    Ok(())
}

fn draw(context: &mut ConnectionContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, _, name] = exactly(args)?;
    let Some((event, series)) = context.server.latency.get(name) else {
        let text = format!("ERR No samples available for event '{}'", lossy(name));
        return Err(Fail::Reply(text.into()));
    };
    let now = super::server_state::unix_seconds(context.now);
    out.verbatim("txt", graph(event, &series, now).as_bytes());
    Ok(())
}

fn histogram(
    context: &mut ConnectionContext<'_>,
    args: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let ([_, _], names) = at_least(args)?;
    let chosen: Vec<&'static Command> = if names.is_empty() {
        all().to_vec()
    } else {
        names.iter().filter_map(|name| by_full_name(name)).collect()
    };
    let server = context.server;
    let with_times: Vec<(&str, Distribution)> = chosen
        .into_iter()
        .flat_map(|command| std::iter::once(command).chain(command.subcommands))
        .filter_map(|command| Some((command.name, stats_of(server, command)?.times()?)))
        .collect();
    out.map(with_times.len());
    for (name, times) in with_times {
        out.bulk(name.as_bytes());
        out.map(2);
        out.bulk(b"calls");
        out.integer(number(times.total()));
        out.bulk(b"histogram_usec");
        let steps = times.cumulative();
        out.map(steps.len());
        for (micros, count) in steps {
            out.integer(number(micros));
            out.integer(number(count));
        }
    }
    Ok(())
}

fn doctor(context: &mut ConnectionContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let now = super::server_state::unix_seconds(context.now);
    out.verbatim("txt", report(context.server, now).as_bytes());
    Ok(())
}

/// What the samples say, and what may be done about it.
fn report(server: &ServerState, now: u64) -> String {
    let events = server.latency.all();
    let threshold_ms = server.live.latency_threshold_ms();
    if events.is_empty() && threshold_ms == 0 {
        return "The latency monitor is off. CONFIG SET latency-monitor-threshold <milliseconds> \
                turns it on.\n"
            .into();
    }
    if events.is_empty() {
        return format!("Nothing has taken {threshold_ms} ms or longer so far.\n");
    }
    let mut text = String::from("What took long:\n\n");
    for (event, series) in &events {
        describe(event, series, now, &mut text);
    }
    text.push_str("\nWhat may help:\n\n");
    for (event, _) in &events {
        for advice in advice(event, server) {
            let _ = writeln!(text, "- {advice}");
        }
    }
    text
}

fn describe(event: &str, series: &Series, now: u64, text: &mut String) {
    let Some(summary) = series.summary(now) else { return };
    let _ = writeln!(
        text,
        "- {event}: {} samples, {} ms on average, mean deviation {} ms, one in {:.2} seconds; the \
         longest ever was {} ms.",
        summary.samples,
        summary.mean_ms,
        summary.deviation_ms,
        summary.period,
        series.max_ms(),
    );
}

fn advice(event: &str, server: &ServerState) -> Vec<String> {
    let threshold_us = server.live.latency_threshold_ms().saturating_mul(1000);
    let slower_than_us = server.live.slowlog_slower_than_us();
    match event {
        COMMAND => {
            let log = match u64::try_from(slower_than_us) {
                Err(_) => format!(
                    "The log of slow commands is off: CONFIG SET slowlog-log-slower-than \
                     {threshold_us} shows which they are."
                ),
                Ok(slower_than_us) if slower_than_us > threshold_us => format!(
                    "The log of slow commands leaves out what the latency monitor keeps: CONFIG SET \
                     slowlog-log-slower-than {threshold_us} shows all of it."
                ),
                Ok(_) => "SLOWLOG GET shows which commands they were.".into(),
            };
            let large = "Large values in one request, or many elements in one reply, take their time: \
                         page through them with SCAN and its like.";
            vec![log, large.into()]
        }
        FAST_COMMAND => vec![
            "Commands that do little took long: the machine may be short of CPU or of memory, or \
             reads wait for a slow disk. INFO storage says how many reads the caches answer; a \
             larger cache-bytes or engine-cache-bytes may keep more of them off the disk."
                .into(),
        ],
        UNBLOCKING => vec![
            "Serving clients that wait for keys took long: what they take may be large.".into(),
        ],
        EXPIRE_CYCLE => vec![
            "Removing expired keys took long, in steps that writes wait for: spread the times at \
             which keys expire."
                .into(),
        ],
        _ => Vec::new(),
    }
}

pub(super) fn stats_of<'s>(server: &'s ServerState, command: &Command) -> Option<&'s CommandStats> {
    server.command_stats.get(command.id)
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
