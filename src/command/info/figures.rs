//! Counters: of the server as a whole, of commands, of errors.

use std::sync::atomic::Ordering::Relaxed;

use crate::command::server_state::ServerState;
use crate::command::spec::Command;
use crate::command::subscriptions::Topic;
use crate::command::table::all;

use super::Fields;

pub(super) fn stats(state: &ServerState, fields: &mut Fields) {
    let stats = &state.stats;
    let rates = state.rates.now();
    fields.add("total_connections_received", stats.connections_received.load(Relaxed));
    fields.add("total_commands_processed", stats.commands_processed.load(Relaxed));
    fields.add("instantaneous_ops_per_sec", rates.commands);
    fields.add("total_net_input_bytes", stats.net_input_bytes.load(Relaxed));
    fields.add("total_net_output_bytes", stats.net_output_bytes.load(Relaxed));
    let kilobytes = |bytes: u64| format!("{:.2}", bytes as f64 / 1024.0);
    fields.add("instantaneous_input_kbps", kilobytes(rates.input_bytes));
    fields.add("instantaneous_output_kbps", kilobytes(rates.output_bytes));
    fields.add("rejected_connections", stats.connections_rejected.load(Relaxed));
    fields.add("expired_keys", stats.expired_keys.load(Relaxed));
    fields.add("evicted_keys", 0);
    fields.add("keyspace_hits", stats.keyspace_hits.load(Relaxed));
    fields.add("keyspace_misses", stats.keyspace_misses.load(Relaxed));
    for (name, topic) in [
        ("pubsub_channels", Topic::Channel),
        ("pubsub_patterns", Topic::Pattern),
        ("pubsubshard_channels", Topic::Shard),
    ] {
        fields.add(name, state.pubsub.names_len(topic));
    }
    fields.add("total_error_replies", stats.error_replies.load(Relaxed));
}

pub(super) fn commands(state: &ServerState, fields: &mut Fields) {
    for command in with_subcommands() {
        let stats = state.command_stats.get(command.id);
        let Some(figures) = stats.and_then(|stats| stats.figures()) else { continue };
        let per_call =
            if figures.calls == 0 { 0.0 } else { figures.micros as f64 / figures.calls as f64 };
        fields.add(
            format_args!("cmdstat_{}", command.name),
            format_args!(
                "calls={},usec={},usec_per_call={per_call:.2},rejected_calls={},failed_calls={}",
                figures.calls, figures.micros, figures.rejected, figures.failed
            ),
        );
    }
}

pub(super) fn errors(state: &ServerState, fields: &mut Fields) {
    for (code, count) in state.error_stats.counts() {
        // A client can make up a code; it must not make up a field as well.
        let code: String =
            code.chars().map(|c| if c.is_ascii_graphic() && c != ':' { c } else { '_' }).collect();
        fields.add(format_args!("errorstat_{code}"), format_args!("count={count}"));
    }
}

pub(super) fn latencies(state: &ServerState, fields: &mut Fields) {
    if !state.live.latency_tracking() {
        return;
    }
    let config = state.live.current();
    for command in with_subcommands() {
        let stats = state.command_stats.get(command.id);
        let Some(times) = stats.and_then(|stats| stats.times()) else { continue };
        let shown: Vec<String> = config
            .latency_percentiles
            .iter()
            .map(|&percent| format!("p{percent}={:.3}", times.percentile(percent) as f64 / 1000.0))
            .collect();
        fields.add(format_args!("latency_percentiles_usec_{}", command.name), shown.join(","));
    }
}

fn with_subcommands() -> impl Iterator<Item = &'static Command> {
    all().iter().flat_map(|&command| [command].into_iter().chain(command.subcommands))
}
