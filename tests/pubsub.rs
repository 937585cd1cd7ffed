//! Publishing and subscribing, over sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, reason = "a client that publishes all the time is a thread")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use common::{Client, Reply, Server, bulk, encode, error, ok, persistent_engines, until};
use rustix::process::Signal;

/// What is sent to a client that has subscribed, in its protocol.
fn message(protocol: u8, parts: &[&str]) -> Reply {
    let parts = parts.iter().map(bulk).collect();
    if protocol == 3 { Reply::Push(parts) } else { Reply::Array(parts) }
}

/// What says that a client has subscribed to something, or no longer.
fn confirmation(protocol: u8, what: &str, name: Option<&str>, len: i64) -> Reply {
    let parts = vec![bulk(what), name.map_or(Reply::Null, bulk), Reply::Integer(len)];
    if protocol == 3 { Reply::Push(parts) } else { Reply::Array(parts) }
}

fn connect(server: &Server, protocol: u8) -> Client {
    let mut client = server.connect();
    client.ask(&format!("HELLO {protocol}"));
    client
}

#[test]
fn messages_reach_those_who_have_subscribed() {
    let server = Server::in_memory(&[]);
    let mut publisher = server.connect();
    for protocol in [2, 3] {
        let mut client = connect(&server, protocol);
        let confirmed = |what, name, len| confirmation(protocol, what, Some(name), len);
        client.begin("SUBSCRIBE a b a");
        for (name, len) in [("a", 1), ("b", 2), ("a", 2)] {
            assert_eq!(client.read(), confirmed("subscribe", name, len));
        }
        client.check("PSUBSCRIBE [ab]*", confirmed("psubscribe", "[ab]*", 3));
        client.check("SSUBSCRIBE a", confirmed("ssubscribe", "a", 1));

        publisher.check("PUBLISH a hello", Reply::Integer(2));
        assert_eq!(client.read(), message(protocol, &["message", "a", "hello"]));
        assert_eq!(client.read(), message(protocol, &["pmessage", "[ab]*", "a", "hello"]));
        publisher.check("PUBLISH bb hello", Reply::Integer(1));
        assert_eq!(client.read(), message(protocol, &["pmessage", "[ab]*", "bb", "hello"]));
        publisher.check("SPUBLISH a shard", Reply::Integer(1));
        assert_eq!(client.read(), message(protocol, &["smessage", "a", "shard"]));
        publisher.check("PUBLISH c hello", Reply::Integer(0));
        publisher.check("SPUBLISH b hello", Reply::Integer(0));

        client.check("UNSUBSCRIBE b", confirmed("unsubscribe", "b", 2));
        client.check("UNSUBSCRIBE nothing", confirmed("unsubscribe", "nothing", 2));
        publisher.check("PUBLISH b hello", Reply::Integer(1));
        assert_eq!(client.read(), message(protocol, &["pmessage", "[ab]*", "b", "hello"]));
        client.check("PUNSUBSCRIBE", confirmed("punsubscribe", "[ab]*", 1));
        client.check("PUNSUBSCRIBE", confirmation(protocol, "punsubscribe", None, 1));
        client.check("UNSUBSCRIBE", confirmed("unsubscribe", "a", 0));
        client.check("UNSUBSCRIBE", confirmation(protocol, "unsubscribe", None, 0));
        client.check("SUNSUBSCRIBE", confirmed("sunsubscribe", "a", 0));
        client.check("SUNSUBSCRIBE", confirmation(protocol, "sunsubscribe", None, 0));
        publisher.check("PUBLISH a hello", Reply::Integer(0));
        client.check("ECHO hi", bulk("hi"));
    }
}

#[test]
fn a_message_may_be_any_bytes_and_large() {
    let server = Server::in_memory(&[]);
    let mut publisher = server.connect();
    let mut clients = [connect(&server, 2), connect(&server, 3)];
    for client in &mut clients {
        client.ask("SUBSCRIBE any");
    }
    for payload in [vec![], b"\0\r\n*1\r\n".to_vec(), vec![b'x'; 3 << 20]] {
        publisher.send(&encode(&[b"PUBLISH", b"any", &payload]));
        assert_eq!(publisher.read(), Reply::Integer(2));
        for (client, protocol) in clients.iter_mut().zip([2, 3]) {
            let parts = vec![bulk("message"), bulk("any"), Reply::Bulk(payload.clone())];
            let whole = if protocol == 3 { Reply::Push(parts) } else { Reply::Array(parts) };
            assert!(client.read() == whole);
        }
    }
}

#[test]
fn what_is_listened_to_can_be_asked_for() {
    let server = Server::in_memory(&[]);
    let mut asking = server.connect();
    let mut clients = [server.connect(), server.connect()];
    for client in &mut clients {
        client.ask("SUBSCRIBE shared");
        client.ask("PSUBSCRIBE p*");
    }
    clients[0].ask("SUBSCRIBE alone");
    clients[0].ask("PSUBSCRIBE q*");
    clients[1].ask("SSUBSCRIBE shard");
    let mut names = match asking.ask("PUBSUB CHANNELS") {
        Reply::Array(names) => names,
        other => panic!("{other:?}"),
    };
    names.sort_by_key(|name| name.text().to_owned());
    assert_eq!(names, [bulk("alone"), bulk("shared")]);
    asking.check("PUBSUB CHANNELS al*", Reply::Array(vec![bulk("alone")]));
    asking.check("PUBSUB SHARDCHANNELS", Reply::Array(vec![bulk("shard")]));
    asking.check("PUBSUB SHARDCHANNELS x", Reply::Array(vec![]));
    asking.check("PUBSUB NUMPAT", Reply::Integer(2));
    let counts = |pairs: &[(&str, i64)]| {
        let flat = pairs.iter().flat_map(|(name, len)| [bulk(name), Reply::Integer(*len)]);
        Reply::Array(flat.collect())
    };
    let channels = [("shared", 2), ("alone", 1), ("shard", 0)];
    asking.check("PUBSUB NUMSUB shared alone shard", counts(&channels));
    asking.check("PUBSUB NUMSUB", counts(&[]));
    asking.check("PUBSUB SHARDNUMSUB shard shared", counts(&[("shard", 1), ("shared", 0)]));
    asking.check(
        "PUBSUB CHANNELS a b",
        error(
            "ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB HELP.",
        ),
    );
    drop(clients);
    until("all subscriptions end with their clients", || {
        asking.ask("PUBSUB CHANNELS") == Reply::Array(vec![])
            && asking.ask("PUBSUB NUMPAT") == Reply::Integer(0)
            && asking.ask("PUBSUB SHARDCHANNELS") == Reply::Array(vec![])
    });
}

#[test]
fn in_resp2_a_subscriber_may_do_little_else() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    let refused = |name: &str| {
        error(&format!(
            "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / \
             RESET are allowed in this context"
        ))
    };
    for (subscribe, unsubscribe) in [
        ("SUBSCRIBE x", "UNSUBSCRIBE"),
        ("PSUBSCRIBE x", "PUNSUBSCRIBE"),
        ("SSUBSCRIBE x", "SUNSUBSCRIBE"),
    ] {
        client.ask(subscribe);
        client.check("GET a", refused("get"));
        client.check("CLIENT ID", refused("client|id"));
        client.check("MULTI", refused("multi"));
        client.check("NOPE", error("ERR unknown command 'NOPE', with args beginning with: "));
        client.check("GET", error("ERR wrong number of arguments for 'get' command"));
        client.check("PING", Reply::Array(vec![bulk("pong"), bulk("")]));
        client.check("PING hi", Reply::Array(vec![bulk("pong"), bulk("hi")]));
        client.ask(unsubscribe);
        client.check("PING hi", bulk("hi"));
        client.check("GET a", Reply::Null);
    }
    client.ask("SUBSCRIBE x");
    client.check("RESET", Reply::Simple("RESET".into()));
    client.check("GET a", Reply::Null);
    server.connect().check("PUBLISH x y", Reply::Integer(0));
    client.ask("SUBSCRIBE x");
    client.check("QUIT", ok());
    client.assert_closed();
}

#[test]
fn in_resp3_a_subscriber_may_do_everything_and_hear_itself() {
    let server = Server::in_memory(&[]);
    let mut client = connect(&server, 3);
    client.ask("SUBSCRIBE x");
    client.check("SET a 1", ok());
    client.check("PING", Reply::Simple("PONG".into()));
    client.begin("PUBLISH x self");
    assert_eq!(client.read(), message(3, &["message", "x", "self"]));
    assert_eq!(client.read(), Reply::Integer(1));
    // A client that goes back is a subscriber as RESP2 has them.
    client.ask("HELLO 2");
    assert!(client.ask("GET a").text().starts_with("ERR Can't execute 'get'"));
    server.connect().check("PUBLISH x y", Reply::Integer(1));
    assert_eq!(client.read(), message(2, &["message", "x", "y"]));
}

#[test]
fn a_transaction_publishes_with_its_commit_or_not_at_all() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    let mut listener = server.connect();
    listener.ask("SUBSCRIBE x");
    let queued = || Reply::Simple("QUEUED".into());
    client.check("MULTI", ok());
    client.check("PUBLISH x never", queued());
    client.check("DISCARD", ok());
    client.check("WATCH k", ok());
    server.connect().check("SET k 1", ok());
    client.check("MULTI", ok());
    client.check("PUBLISH x never", queued());
    client.check("EXEC", Reply::Null);
    client.check("MULTI", ok());
    client.check("PUBLISH x one", queued());
    client.check("INCR k", queued());
    client.check("PUBLISH x two", queued());
    client.check("PUBLISH nobody two", queued());
    client.check("EXEC", Reply::Array([1, 2, 1, 0].map(Reply::Integer).into()));
    assert_eq!(listener.read(), message(2, &["message", "x", "one"]));
    assert_eq!(listener.read(), message(2, &["message", "x", "two"]));
}

#[test]
fn whoever_hears_of_a_write_can_read_it() {
    for engine in persistent_engines() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let server = Server::start(&["--engine", engine, "--dir", data.to_str().unwrap()]);
        let mut listener = server.connect();
        listener.ask("SUBSCRIBE done");
        let (mut writer, mut reader) = (server.connect(), server.connect());
        for round in 0..50 {
            let number = round.to_string();
            // As a pipeline, and as a transaction, in which the message comes first.
            let lines: &[&str] = match round % 2 {
                0 => &["SET k {}", "PUBLISH done {}"],
                _ => &["MULTI", "PUBLISH done {}", "SET k {}", "EXEC"],
            };
            let requests = lines.iter().flat_map(|line| {
                let line = line.replace("{}", &number);
                encode(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>())
            });
            writer.send(&requests.collect::<Vec<u8>>());
            assert_eq!(listener.read(), message(2, &["message", "done", &number]));
            reader.check("GET k", bulk(&number));
            lines.iter().for_each(|_| drop(writer.read()));
        }
    }
}

#[test]
fn a_transaction_may_subscribe() {
    let server = Server::in_memory(&[]);
    let mut publisher = server.connect();
    for protocol in [2, 3] {
        let mut client = connect(&server, protocol);
        client.ask("MULTI");
        for line in ["SUBSCRIBE x", "PUBLISH x self", "SSUBSCRIBE x", "PSUBSCRIBE y*"] {
            client.check(line, Reply::Simple("QUEUED".into()));
        }
        publisher.check("PUBLISH x nobody", Reply::Integer(0));
        client.check(
            "EXEC",
            Reply::Array(vec![
                confirmation(protocol, "subscribe", Some("x"), 1),
                Reply::Integer(1),
                error("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client"),
                confirmation(protocol, "psubscribe", Some("y*"), 2),
            ]),
        );
        assert_eq!(client.read(), message(protocol, &["message", "x", "self"]));
        publisher.check("PUBLISH y yes", Reply::Integer(1));
        assert_eq!(client.read(), message(protocol, &["pmessage", "y*", "y", "yes"]));
        client.ask("RESET");
    }
    // What is over by the end of it brings nothing.
    let mut client = server.connect();
    client.ask("MULTI");
    client.ask("SUBSCRIBE x");
    client.ask("UNSUBSCRIBE x");
    client.ask("EXEC");
    publisher.check("PUBLISH x nobody", Reply::Integer(0));
    client.check("GET a", Reply::Null);
}

#[test]
fn confirmations_and_messages_come_though_the_client_wants_no_replies() {
    let server = Server::in_memory(&[]);
    let mut publisher = server.connect();
    for protocol in [2, 3] {
        let mut client = connect(&server, protocol);
        client.begin("CLIENT REPLY OFF");
        client.check("SUBSCRIBE x", confirmation(protocol, "subscribe", Some("x"), 1));
        client.begin("PING");
        client.begin("NOPE");
        publisher.check("PUBLISH x y", Reply::Integer(1));
        assert_eq!(client.read(), message(protocol, &["message", "x", "y"]));
        client.check("UNSUBSCRIBE x", confirmation(protocol, "unsubscribe", Some("x"), 0));
        client.begin("PING");
        client.check("CLIENT REPLY ON", ok());
        client.begin("CLIENT REPLY SKIP");
        client.check("SUBSCRIBE x", confirmation(protocol, "subscribe", Some("x"), 1));
        client.check("UNSUBSCRIBE x", confirmation(protocol, "unsubscribe", Some("x"), 0));
    }
}

/// Calls `test` while a client publishes to `x` all the time.
fn while_published(server: &Server, test: impl FnOnce()) {
    let is_over = AtomicBool::new(false);
    let mut publisher = server.connect();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                publisher.send(&encode(&[b"PUBLISH", b"x", b"+y"]).repeat(100));
                (0..100).for_each(|_| drop(publisher.read()));
            }
        });
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Relaxed);
            }
        }
        let _end = End(&is_over);
        test();
    });
}

/// Reads messages up to what is none.
fn skip_messages(client: &mut Client) -> Reply {
    loop {
        match client.read() {
            Reply::Array(parts) | Reply::Push(parts) if parts[0] == bulk("message") => {}
            other => return other,
        }
    }
}

#[test]
fn nothing_comes_behind_the_word_that_it_is_over() {
    let server = Server::in_memory(&[]);
    while_published(&server, || {
        let mut client = server.connect();
        for _ in 0..100 {
            client.check("SUBSCRIBE x", confirmation(2, "subscribe", Some("x"), 1));
            assert_eq!(client.read(), message(2, &["message", "x", "+y"]));
            client.begin("UNSUBSCRIBE");
            let last = skip_messages(&mut client);
            assert_eq!(last, confirmation(2, "unsubscribe", Some("x"), 0));
            client.check("ECHO hi", bulk("hi"));
            client.ask("SUBSCRIBE x");
            assert_eq!(client.read(), message(2, &["message", "x", "+y"]));
            client.begin("RESET");
            assert_eq!(skip_messages(&mut client), Reply::Simple("RESET".into()));
            client.check("ECHO hi", bulk("hi"));
        }
    });
}

#[test]
fn messages_are_in_the_protocol_that_is_spoken() {
    let server = Server::in_memory(&[]);
    while_published(&server, || {
        let mut client = server.connect();
        for _ in 0..100 {
            client.ask("HELLO 3");
            client.check("SUBSCRIBE x", confirmation(3, "subscribe", Some("x"), 1));
            assert_eq!(client.read(), message(3, &["message", "x", "+y"]));
            client.begin("HELLO 2");
            loop {
                match client.read() {
                    Reply::Push(_) => {}
                    Reply::Array(parts) => {
                        assert_eq!(parts[0], bulk("server"));
                        break;
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(client.read(), message(2, &["message", "x", "+y"]));
            client.begin("UNSUBSCRIBE");
            skip_messages(&mut client);
        }
    });
}

#[test]
fn a_client_that_waits_for_a_key_hears_messages_whole() {
    let server = Server::in_memory(&[]);
    let mut actor = server.connect();
    let mut client = connect(&server, 3);
    client.ask("SUBSCRIBE x");
    client.begin("BLPOP list 0");
    until("it waits", || actor.info("blocked_clients") == "1");
    actor.check("PUBLISH x hi", Reply::Integer(1));
    assert_eq!(client.read(), message(3, &["message", "x", "hi"]));
    // More than the sockets hold, so that it is served in the middle of a message.
    let large = vec![b'x'; 1 << 20];
    for _ in 0..8 {
        actor.send(&encode(&[b"PUBLISH", b"x", &large]));
        assert_eq!(actor.read(), Reply::Integer(1));
    }
    actor.check("RPUSH list value", Reply::Integer(1));
    actor.check("LLEN list", Reply::Integer(0));
    let mut messages = 0;
    loop {
        match client.read() {
            Reply::Push(parts) => {
                assert!(parts[2] == Reply::Bulk(large.clone()));
                messages += 1;
            }
            other => {
                assert_eq!(other, Reply::Array(vec![bulk("list"), bulk("value")]));
                break;
            }
        }
    }
    while messages < 8 {
        assert!(matches!(client.read(), Reply::Push(_)));
        messages += 1;
    }
    client.check("PING", Reply::Simple("PONG".into()));
}

/// A field of a client's line in `CLIENT LIST`, if it is there.
fn field(asking: &mut Client, name: &str, field: &str) -> Option<String> {
    let list = asking.ask("CLIENT LIST");
    let line = list.text().lines().find(|line| line.contains(&format!(" name={name} ")))?;
    let prefix = format!("{field}=");
    line.split(' ').find_map(|pair| pair.strip_prefix(&prefix)).map(str::to_owned)
}

#[test]
fn a_subscriber_that_does_not_read_is_cut_off_and_holds_up_nobody() {
    let server = Server::in_memory(&[]);
    let limit = 1 << 20;
    let mut publisher = server.connect();
    let setting = format!("pubsub {limit} 0 0");
    assert_eq!(publisher.call(&["CONFIG", "SET", "client-output-buffer-limit", &setting]), ok());
    let mut quick = server.connect();
    quick.ask("SUBSCRIBE x");
    let mut slow = server.connect();
    slow.ask("CLIENT SETNAME slow");
    slow.ask("SUBSCRIBE x");
    let payload = "p".repeat(1000);
    let mut most = 0;
    let mut published = 0;
    loop {
        let receivers = publisher.call(&["PUBLISH", "x", &payload]);
        published += 1;
        assert_eq!(quick.read(), message(2, &["message", "x", &payload]));
        match receivers {
            Reply::Integer(2) => {}
            other => {
                assert_eq!(other, Reply::Integer(1));
                break;
            }
        }
        if published % 100 == 0
            && let Some(held) = field(&mut publisher, "slow", "omem")
        {
            most = most.max(held.parse::<usize>().unwrap());
        }
        assert!(published < 100_000, "never cut off");
    }
    assert!(most > limit / 2 && most < limit, "{most} bytes at the most");
    assert_eq!(field(&mut publisher, "slow", "omem"), None);
    // What had left before is all that comes.
    let mut received = 0;
    let mut rest = slow.sender();
    let mut buffer = vec![0; 1 << 16];
    while let Ok(len @ 1..) = std::io::Read::read(&mut rest, &mut buffer) {
        received += len;
    }
    assert!(received < published * payload.len(), "{received}");
    server.stop(Signal::TERM);
}

#[test]
fn the_soft_limit_cuts_off_though_nothing_more_is_published() {
    let server = Server::in_memory(&[]);
    let mut publisher = server.connect();
    let setting = "pubsub 0 100000 1";
    assert_eq!(publisher.call(&["CONFIG", "SET", "client-output-buffer-limit", setting]), ok());
    let mut slow = server.connect();
    slow.ask("CLIENT SETNAME slow");
    slow.ask("SUBSCRIBE x");
    let payload = "p".repeat(10_000);
    until("it is cut off", || match field(&mut publisher, "slow", "omem") {
        // More, until the sockets hold no more and what waits stays over the limit.
        Some(held) if held.parse::<usize>().unwrap() < 200_000 => {
            publisher.call(&["PUBLISH", "x", &payload]);
            false
        }
        held => held.is_none(),
    });
    publisher.check("PUBLISH x nobody", Reply::Integer(0));
}

#[test]
fn replies_that_are_not_read_have_their_limit_too() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    let setting = "normal 100000 0 0";
    assert_eq!(client.call(&["CONFIG", "SET", "client-output-buffer-limit", setting]), ok());
    let value = "v".repeat(60_000);
    client.call(&["SET", "k", &value]);
    client.check("GET k", bulk(&value));
    // One reply too many at a time, and in a transaction, which is run all the same.
    client.send(&[encode(&[b"GET", b"k"]), encode(&[b"GET", b"k"])].concat());
    client.assert_closed();
    let mut client = server.connect();
    for line in ["MULTI", "SET a 1", "GET k", "GET k", "SET b 2"] {
        client.ask(line);
    }
    client.begin("EXEC");
    client.assert_closed();
    let mut client = server.connect();
    client.check("MGET a b", Reply::Array(vec![bulk("1"), bulk("2")]));
}
