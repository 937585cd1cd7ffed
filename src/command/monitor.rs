//! `MONITOR`: clients that are shown what others do.

use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::resp::{Args, Encoder};

use super::clients::{Client, lock};
use super::context::ConnectionContext;
use super::fail::Fail;
use super::mailbox::OutputLimit;
use super::redact::redacted;
use super::spec::{Command, Flags, Group, Run};

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[Command::new("monitor", 1, Run::Connection(monitor))
    .group(Group::Server)
    .flags(Flags::ADMIN.or(Flags::NOSCRIPT).or(Flags::LOADING).or(Flags::STALE))
    .flags(Flags::DANGEROUS)
    .docs("1.0.0", "O(1)", "Shows the client all commands that the server runs from now on")];

/// Those who are shown what others do.
#[derive(Debug, Default)]
pub struct Monitors {
    len: AtomicUsize,
    clients: Mutex<Vec<Arc<Client>>>,
}

impl Monitors {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len.load(Ordering::Relaxed) == 0
    }

    /// Adds one.
    pub fn add(&self, client: &Arc<Client>) {
        let mut clients = lock(&self.clients);
        clients.push(Arc::clone(client));
        self.len.store(clients.len(), Ordering::Relaxed);
    }

    /// Takes one out: once this returns, nothing more is sent to it.
    pub fn remove(&self, client: &Arc<Client>) {
        let mut clients = lock(&self.clients);
        clients.retain(|other| !Arc::ptr_eq(other, client));
        self.len.store(clients.len(), Ordering::Relaxed);
    }

    /// Shows a command that `client` has run on `db`. What is for administrators may hold secrets, and is
    /// not shown; passwords are not, either.
    pub(super) fn tell(
        &self,
        command: &Command,
        args: &Args,
        client: &Client,
        db: u8,
        limit: OutputLimit,
    ) {
        if command.flags.contains(Flags::ADMIN) || command.flags.contains(Flags::SKIP_MONITOR) {
            return;
        }
        let line = line(SystemTime::now(), db, &client.addr, &redacted(command, args));
        let clients = lock(&self.clients);
        for monitor in &*clients {
            monitor.send(line.clone(), limit);
        }
    }
}

/// A command as it is shown: a status of one line, in either protocol.
fn line(now: SystemTime, db: u8, addr: &str, args: &[Bytes]) -> Bytes {
    let since_1970 = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, micros) = (since_1970.as_secs(), since_1970.subsec_micros());
    let mut line = format!("+{seconds}.{micros:06} [{db} {addr}]");
    for arg in args {
        line.push_str(" \"");
        for &byte in arg {
            push_escaped(&mut line, byte);
        }
        line.push('"');
    }
    line.push_str("\r\n");
    line.into()
}

fn push_escaped(line: &mut String, byte: u8) {
    match byte {
        b'\\' | b'"' => line.extend(['\\', char::from(byte)]),
        b'\n' => line.push_str("\\n"),
        b'\r' => line.push_str("\\r"),
        b'\t' => line.push_str("\\t"),
        0x07 => line.push_str("\\a"),
        0x08 => line.push_str("\\b"),
        b' '..=b'~' => line.push(char::from(byte)),
        // Writing to a string does not fail.
        _ => drop(write!(line, "\\x{byte:02x}")),
    }
}

fn monitor(context: &mut ConnectionContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let session = &mut *context.session;
    if session.in_exec {
        return Err(Fail::text("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    // As in Redis, who is one already has no answer.
    if !session.is_monitor {
        session.is_monitor = true;
        context.server.monitors.add(&session.client);
        out.ok();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_line_says_when_where_who_and_what() {
        let now = UNIX_EPOCH + Duration::from_micros(1_600_000_000_000_042);
        let args = [&b"set"[..], b"k y", b"\"\\\n\r\t\x07\x08\x00\x7f\xffz'", b""];
        let args: Vec<_> = args.into_iter().map(Bytes::from_static).collect();
        let line = line(now, 3, "127.0.0.1:5", &args);
        let expected = "+1600000000.000042 [3 127.0.0.1:5] \"set\" \"k y\" \
                        \"\\\"\\\\\\n\\r\\t\\a\\b\\x00\\x7f\\xffz'\" \"\"\r\n";
        assert_eq!(line, expected.as_bytes());
    }
}
