//! `CLIENT`, and what else one client can do about itself and about others, over sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeMap;

use common::{Client, Reply, Server, bulk, encode, error, ok, until};
use rustix::process::Signal;

fn queued() -> Reply {
    Reply::Simple("QUEUED".into())
}

/// The fields of a line of `CLIENT LIST`.
fn fields(line: &str) -> BTreeMap<String, String> {
    let pairs = line.split(' ').map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(name, value)| (name.into(), value.into())).collect()
}

/// What `CLIENT LIST` says of the clients that `options` choose.
fn list(client: &mut Client, options: &str) -> Vec<BTreeMap<String, String>> {
    let list = client.ask(format!("CLIENT LIST {options}").trim_end());
    list.text().lines().map(fields).collect()
}

fn id(client: &mut Client) -> String {
    match client.ask("CLIENT ID") {
        Reply::Integer(id) => id.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_line_says_what_is_known_of_a_client() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    let own = client.ask("CLIENT INFO");
    let own = own.text().strip_suffix('\n').unwrap();
    let names: Vec<&str> = own.split(' ').map(|pair| pair.split_once('=').unwrap().0).collect();
    assert_eq!(
        names,
        [
            "id",
            "addr",
            "laddr",
            "fd",
            "name",
            "age",
            "idle",
            "flags",
            "db",
            "sub",
            "psub",
            "ssub",
            "multi",
            "qbuf",
            "qbuf-free",
            "argv-mem",
            "multi-mem",
            "rbs",
            "rbp",
            "obl",
            "oll",
            "omem",
            "tot-mem",
            "events",
            "cmd",
            "user",
            "redir",
            "resp",
            "lib-name",
            "lib-ver",
        ]
    );
    let own = fields(own);
    assert_eq!(own["laddr"], format!("127.0.0.1:{}", server.port));
    assert!(own["addr"].starts_with("127.0.0.1:"));
    for (name, value) in [
        ("name", ""),
        ("flags", "N"),
        ("db", "0"),
        ("multi", "-1"),
        ("qbuf", "26"),
        ("argv-mem", "10"),
        ("cmd", "client|info"),
        ("user", "default"),
        ("resp", "2"),
        ("omem", "0"),
    ] {
        assert_eq!(own[name], value, "{name}");
    }
    client.ask("HELLO 3 SETNAME me");
    client.ask("CLIENT SETINFO LIB-NAME lib");
    client.ask("SELECT 7");
    client.ask("MULTI");
    client.ask("SET key value");
    let mut other = server.connect();
    other.ask("SUBSCRIBE a b");
    other.ask("PSUBSCRIBE p*");
    let mut asking = server.connect();
    asking.ask("CLIENT NO-EVICT ON");
    let all = list(&mut asking, "");
    assert_eq!(all.len(), 3);
    for (line, expected) in all.iter().zip([
        &[
            ("name", "me"),
            ("lib-name", "lib"),
            ("db", "7"),
            ("flags", "x"),
            ("multi", "1"),
            ("resp", "3"),
            ("cmd", "set"),
        ][..],
        &[("flags", "P"), ("sub", "2"), ("psub", "1"), ("ssub", "0"), ("cmd", "psubscribe")],
        &[("flags", "e"), ("cmd", "client|list")],
    ]) {
        for (name, value) in expected {
            assert_eq!(line[*name], *value, "{name}");
        }
    }
    // The bytes of the arguments, and what the bookkeeping costs.
    assert!(all[0]["multi-mem"].parse::<usize>().unwrap() >= 11);
    let ids: Vec<&String> = all.iter().map(|line| &line["id"]).collect();
    assert_eq!(list(&mut asking, "TYPE pubsub")[0]["id"], *ids[1]);
    assert_eq!(list(&mut asking, "TYPE normal").len(), 2);
    assert_eq!(list(&mut asking, "TYPE replica").len(), 0);
    let chosen = list(&mut asking, &format!("ID {} 99999 {}", ids[2], ids[0]));
    assert_eq!([&chosen[0]["id"], &chosen[1]["id"]], [ids[2], ids[0]]);
}

#[test]
fn flags_say_what_a_client_is_doing() {
    let server = Server::in_memory(&[]);
    let mut asking = server.connect();
    let mut others: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    let ids: Vec<String> = others.iter_mut().map(id).collect();
    others[0].begin("BLPOP list 0");
    others[1].ask("MONITOR");
    others[2].ask("WATCH k");
    asking.ask("SET k v");
    others[3].ask("GET k");
    until("it waits", || asking.info("blocked_clients") == "1");
    let options = format!("ID {}", ids.join(" "));
    let flags: Vec<String> =
        list(&mut asking, &options).into_iter().map(|line| line["flags"].clone()).collect();
    assert_eq!(flags, ["b", "O", "d", "N"]);
}

#[test]
fn wrong_requests_are_refused_as_in_redis() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    let syntax = "ERR syntax error";
    let wrong = |name: &str| {
        format!(
            "ERR unknown subcommand or wrong number of arguments for '{name}'. Try CLIENT HELP."
        )
    };
    for (line, text) in [
        ("CLIENT LIST x", syntax),
        ("CLIENT LIST ID", syntax),
        ("CLIENT LIST TYPE", syntax),
        ("CLIENT LIST ID x", "ERR Invalid client ID"),
        ("CLIENT LIST TYPE x", "ERR Unknown client type 'x'"),
        ("CLIENT KILL", "ERR wrong number of arguments for 'client|kill' command"),
        ("CLIENT KILL 1.2.3.4:5", "ERR No such client"),
        ("CLIENT KILL ID 10 x", syntax),
        ("CLIENT KILL ID x", "ERR client-id should be greater than 0"),
        ("CLIENT KILL ID 0", "ERR client-id should be greater than 0"),
        ("CLIENT KILL TYPE x", "ERR Unknown client type 'x'"),
        ("CLIENT KILL USER x", "ERR No such user 'x'"),
        ("CLIENT KILL SKIPME maybe", syntax),
        ("CLIENT KILL MAXAGE 5", syntax),
        ("CLIENT PAUSE x", "ERR timeout is not an integer or out of range"),
        ("CLIENT PAUSE -1", "ERR timeout is negative"),
        ("CLIENT PAUSE 9223372036854775807", "ERR timeout is out of range"),
        ("CLIENT PAUSE 1 x", "ERR CLIENT PAUSE mode must be WRITE or ALL"),
        ("CLIENT PAUSE 1 ALL x", &wrong("PAUSE")),
        ("CLIENT UNBLOCK x", "ERR value is not an integer or out of range"),
        ("CLIENT UNBLOCK 1 x", "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
        ("CLIENT UNBLOCK 1 ERROR x", &wrong("UNBLOCK")),
        ("CLIENT NO-EVICT x", syntax),
        ("CLIENT REPLY x", syntax),
        (
            "CLIENT TRACKING ON",
            "ERR CLIENT TRACKING is not supported: the server does not track what clients keep",
        ),
        (
            "CLIENT CACHING YES",
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN \
             or OPTOUT mode enabled",
        ),
    ] {
        client.check(line, error(text));
    }
    client.check("CLIENT TRACKING OFF", ok());
    client.check("CLIENT GETREDIR", Reply::Integer(-1));
    client.ask("HELLO 3");
    client.check(
        "CLIENT TRACKINGINFO",
        Reply::Map(vec![
            (bulk("flags"), Reply::Set(vec![bulk("off")])),
            (bulk("redirect"), Reply::Integer(-1)),
            (bulk("prefixes"), Reply::Array(vec![])),
        ]),
    );
}

#[test]
fn clients_can_be_closed_by_what_they_are() {
    let server = Server::in_memory(&[]);
    let mut admin = server.connect();
    let admin_id = id(&mut admin);
    let mut others: Vec<Client> = (0..6).map(|_| server.connect()).collect();
    let ids: Vec<String> = others.iter_mut().map(id).collect();
    let addr = list(&mut admin, &format!("ID {}", ids[0]))[0]["addr"].clone();
    others[2].ask("SUBSCRIBE x");
    others[3].begin("BLPOP list 0");
    until("it waits", || admin.info("blocked_clients") == "1");

    admin.check(&format!("CLIENT KILL {addr}"), ok());
    others[0].assert_closed();
    admin.check(&format!("CLIENT KILL {addr}"), error("ERR No such client"));
    admin.check(&format!("CLIENT KILL ID {}", ids[1]), Reply::Integer(1));
    // Counted no longer from then on, whenever its connection is closed.
    assert_eq!(admin.info("connected_clients"), "5");
    assert_eq!(list(&mut admin, "").len(), 5);
    others[1].assert_closed();
    admin.check("CLIENT KILL TYPE pubsub", Reply::Integer(1));
    others[2].assert_closed();
    admin.check("PUBLISH x y", Reply::Integer(0));
    admin.check(&format!("CLIENT KILL ID {} USER default", ids[3]), Reply::Integer(1));
    others[3].assert_closed();
    until("its place in line is free", || admin.info("blocked_clients") == "0");
    admin.check("RPUSH list kept", Reply::Integer(1));
    admin.check("LLEN list", Reply::Integer(1));
    let local = format!("127.0.0.1:{}", server.port);
    admin.check(&format!("CLIENT KILL LADDR {local} TYPE master"), Reply::Integer(0));
    admin.check(&format!("CLIENT KILL ID {} ADDR 1.2.3.4:5", ids[4]), Reply::Integer(0));
    admin.check(&format!("CLIENT KILL LADDR {local}"), Reply::Integer(2));
    others[4].assert_closed();
    others[5].assert_closed();
    // Itself, only if asked for, and answered first.
    admin.check(&format!("CLIENT KILL ID {admin_id}"), Reply::Integer(0));
    admin.check(&format!("CLIENT KILL ID {admin_id} SKIPME no"), Reply::Integer(1));
    admin.assert_closed();
    assert_eq!(server.stop(Signal::TERM).code(), Some(0));
}

#[test]
fn a_client_that_never_reads_can_be_closed() {
    let server = Server::in_memory(&[]);
    let (mut admin, mut other) = (server.connect(), server.connect());
    let other_id = id(&mut other);
    let value = vec![b'v'; 4 << 20];
    admin.send(&encode(&[b"SET", b"k", &value]));
    assert_eq!(admin.read(), ok());
    other.send(&encode(&[b"GET", b"k"]).repeat(20));
    until("its replies pile up", || {
        let line = &list(&mut admin, &format!("ID {other_id}"))[0];
        line["omem"] != "0" && line["events"] == "rw"
    });
    admin.check(&format!("CLIENT KILL ID {other_id}"), Reply::Integer(1));
    assert_eq!(server.stop(Signal::TERM).code(), Some(0));
}

#[test]
fn a_client_that_waits_can_be_sent_on_its_way() {
    let server = Server::in_memory(&[]);
    let (mut admin, mut other) = (server.connect(), server.connect());
    let other_id = id(&mut other);
    let unblock = |reason: &str| format!("CLIENT UNBLOCK {other_id}{reason}");
    admin.check(&unblock(""), Reply::Integer(0));
    let unblocked = error("UNBLOCKED client unblocked via CLIENT UNBLOCK");
    for (reason, reply) in [("", Reply::Null), (" TIMEOUT", Reply::Null), (" ERROR", unblocked)] {
        other.begin("BLPOP list 0");
        until("it waits", || admin.info("blocked_clients") == "1");
        admin.check(&unblock(reason), Reply::Integer(1));
        assert_eq!(other.read(), reply);
        other.check("ECHO hi", bulk("hi"));
    }
    admin.check("CLIENT UNBLOCK -1", Reply::Integer(0));
}

#[test]
fn replies_can_be_turned_off() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    client.begin("CLIENT REPLY OFF");
    for line in ["PING", "SET k v", "NOPE", "GET", "MULTI", "INCR n", "EXEC", "CLIENT REPLY SKIP"] {
        client.begin(line);
    }
    client.check("CLIENT REPLY ON", ok());
    client.check("MGET k n", Reply::Array(vec![bulk("v"), bulk("1")]));
    // As a pipeline too, with large replies that must not leave.
    let large = vec![b'x'; 2 << 20];
    client.send(&encode(&[b"SET", b"large", &large]));
    assert_eq!(client.read(), ok());
    let mut requests = encode(&[b"CLIENT", b"REPLY", b"OFF"]);
    requests.extend(encode(&[b"GET", b"large"]).repeat(3));
    requests.extend(encode(&[b"CLIENT", b"REPLY", b"ON"]));
    requests.extend(encode(&[b"PING"]));
    client.send(&requests);
    assert_eq!(client.read(), ok());
    assert_eq!(client.read(), Reply::Simple("PONG".into()));
    for skipped in ["PING", "NOPE", "GET large"] {
        client.begin("CLIENT REPLY SKIP");
        client.begin(skipped);
        client.check("ECHO hi", bulk("hi"));
    }
    client.begin("CLIENT REPLY SKIP");
    client.check("CLIENT REPLY ON", ok());
    client.check("PING", Reply::Simple("PONG".into()));
    client.begin("CLIENT REPLY OFF");
    client.check("RESET", Reply::Simple("RESET".into()));
    client.check("PING", Reply::Simple("PONG".into()));
}

#[test]
fn what_writes_waits_for_the_end_of_a_pause_of_writes() {
    let server = Server::in_memory(&[]);
    let mut admin = server.connect();
    let mut in_multi = server.connect();
    in_multi.check("MULTI", ok());
    in_multi.check("INCR n", queued());
    admin.check("CLIENT PAUSE 1000000 WRITE", ok());
    let mut reader = server.connect();
    reader.check("GET k", Reply::Null);
    reader.check("MULTI", ok());
    reader.check("GET k", queued());
    reader.check("EXEC", Reply::Array(vec![Reply::Null]));
    reader.check("WATCH k", ok());
    // Nor does it keep anybody from learning what is wrong.
    reader.check("SET k", error("ERR wrong number of arguments for 'set' command"));
    let mut writers: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    writers[0].begin("SET k v");
    writers[1].begin("PUBLISH x y");
    writers[2].begin("MULTI");
    assert_eq!(writers[2].read(), ok());
    writers[2].begin("SET queued v");
    in_multi.begin("EXEC");
    until("they wait", || admin.info("blocked_clients") == "4");
    let ids = list(&mut admin, "").iter().filter(|line| line["flags"].contains('b')).count();
    assert_eq!(ids, 4);
    admin.check("MGET k n", Reply::Array(vec![Reply::Null, Reply::Null]));
    admin.check("CLIENT UNPAUSE", ok());
    assert_eq!(writers[0].read(), ok());
    assert_eq!(writers[1].read(), Reply::Integer(0));
    assert_eq!(writers[2].read(), queued());
    assert_eq!(in_multi.read(), Reply::Array(vec![Reply::Integer(1)]));
    assert_eq!(admin.info("blocked_clients"), "0");
}

#[test]
fn a_pause_of_everything_ends_by_itself() {
    let server = Server::in_memory(&[]);
    let (mut admin, mut other) = (server.connect(), server.connect());
    admin.check("CLIENT PAUSE 100", ok());
    other.begin("PING");
    other.begin("SET k v");
    assert_eq!(other.read(), Reply::Simple("PONG".into()));
    assert_eq!(other.read(), ok());
    admin.check("GET k", bulk("v"));
}

#[test]
fn a_pause_begins_behind_the_transaction_it_is_in() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    for line in ["MULTI", "SET a 1", "CLIENT PAUSE 1000000 WRITE", "SET b 2"] {
        client.ask(line);
    }
    client.check("EXEC", Reply::Array(vec![ok(), ok(), ok()]));
    client.check("MGET a b", Reply::Array(vec![bulk("1"), bulk("2")]));
    let mut other = server.connect();
    other.begin("SET c 3");
    until("it waits", || client.info("blocked_clients") == "1");
    client.check("CLIENT UNPAUSE", ok());
    assert_eq!(other.read(), ok());
}

#[test]
fn who_waits_for_the_end_of_a_pause_hears_messages_and_may_leave() {
    let server = Server::in_memory(&[]);
    let mut admin = server.connect();
    let (mut leaving, mut hearing) = (server.connect(), server.connect());
    hearing.ask("HELLO 3");
    hearing.ask("SUBSCRIBE __keyspace@0__:k x");
    hearing.read();
    for line in ["MULTI", "PUBLISH x y", "CLIENT PAUSE 1000000 WRITE"] {
        admin.ask(line);
    }
    // Sent with the commit, so after the pause has begun.
    leaving.begin("GET nothing");
    leaving.read();
    admin.check("EXEC", Reply::Array(vec![Reply::Integer(1), ok()]));
    leaving.begin("SET k 1");
    hearing.begin("SET k 2");
    until("they wait", || admin.info("blocked_clients") == "2");
    let parts = ["message", "x", "y"].map(bulk);
    assert_eq!(hearing.read(), Reply::Push(parts.into()));
    drop(leaving);
    until("it has left", || admin.info("blocked_clients") == "1");
    // Stopping the server ends the pause, and what was received is answered.
    server.signal(Signal::TERM);
    assert_eq!(hearing.read(), ok());
    hearing.assert_closed();
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn keys_do_not_go_while_writes_are_paused() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    for line in ["MULTI", "SET k v PX 1", "CLIENT PAUSE 1000000 WRITE"] {
        client.ask(line);
    }
    client.check("EXEC", Reply::Array(vec![ok(), ok()]));
    until("its time has come", || client.ask("GET k") == Reply::Null);
    client.check("DBSIZE", Reply::Integer(1));
    assert_eq!(client.info("expired_keys"), "0");
    client.check("CLIENT UNPAUSE", ok());
    until("it is swept", || client.ask("DBSIZE") == Reply::Integer(0));
}

#[test]
fn a_reset_connection_is_as_a_new_one() {
    let server = Server::in_memory(&["--requirepass", "secret"]);
    let mut client = server.connect();
    client.ask("HELLO 3 AUTH default secret SETNAME me");
    for line in ["SELECT 5", "WATCH k", "SUBSCRIBE x", "MULTI", "SET k v"] {
        client.ask(line);
    }
    client.check("RESET", Reply::Simple("RESET".into()));
    client.check("GET k", error("NOAUTH Authentication required."));
    client.check("AUTH secret", ok());
    client.check("EXEC", error("ERR EXEC without MULTI"));
    let line = fields(client.ask("CLIENT INFO").text().trim_end());
    for (name, value) in
        [("name", ""), ("db", "0"), ("flags", "N"), ("sub", "0"), ("resp", "2"), ("multi", "-1")]
    {
        assert_eq!(line[name], value, "{name}");
    }
    client.check("PUBLISH x y", Reply::Integer(0));
}

#[test]
fn a_password_is_asked_for_before_everything_else() {
    let server = Server::in_memory(&["--requirepass", "secret"]);
    let mut client = server.connect();
    let refused = error("NOAUTH Authentication required.");
    for line in ["MULTI", "SUBSCRIBE x", "MONITOR", "CLIENT KILL TYPE normal", "PING"] {
        client.check(line, refused.clone());
    }
    client.check("NOPE", error("ERR unknown command 'NOPE', with args beginning with: "));
    client.check("AUTH secret", ok());
    client.check("MULTI", ok());
    client.check("AUTH wrong", queued());
    client.check("AUTH default secret", queued());
    client.check(
        "EXEC",
        Reply::Array(vec![
            error("WRONGPASS invalid username-password pair or user is disabled."),
            ok(),
        ]),
    );
    // A request that is too large for those who have not authenticated.
    let large = vec![b'x'; 20 << 10];
    client.send(&encode(&[b"ECHO", &large]));
    assert!(client.read() == Reply::Bulk(large.clone()));
    client.check("RESET", Reply::Simple("RESET".into()));
    client.send(&encode(&[b"ECHO", &large]));
    client.check("PING", error("ERR Protocol error: unauthenticated bulk length"));
}

#[test]
fn idle_clients_are_closed_but_for_those_who_wait() {
    let server = Server::in_memory(&[]);
    let mut admin = server.connect();
    let mut idle = server.connect();
    idle.ask("CLIENT SETNAME idle");
    let mut listening = server.connect();
    listening.ask("SUBSCRIBE x");
    let mut watching = server.connect();
    watching.ask("MONITOR");
    let mut waiting = server.connect();
    waiting.begin("BLPOP list 0");
    until("it waits", || admin.info("blocked_clients") == "1");
    admin.check("CONFIG SET timeout 1", ok());
    // Who asks again and again is not idle.
    until("it is closed", || list(&mut admin, "").len() == 4);
    idle.assert_closed();
    let flags: Vec<_> =
        list(&mut admin, "").into_iter().map(|line| line["flags"].clone()).collect();
    assert_eq!(flags, ["N", "P", "O", "b"]);
}

#[test]
fn a_request_larger_than_the_limit_closes_the_connection() {
    let server = Server::in_memory(&[]);
    let (mut admin, mut other) = (server.connect(), server.connect());
    other.check("PING", Reply::Simple("PONG".into()));
    admin.check("CONFIG SET client-query-buffer-limit 1048576", ok());
    // For connections that are there already, too.
    let half = vec![b'x'; 600_000];
    other.send(&encode(&[b"ECHO", &half]));
    assert!(other.read() == Reply::Bulk(half.clone()));
    other.send(&encode(&[b"DEL", &half, &half]));
    assert!(other.read().text().contains("too big"));
    other.assert_closed();
}
