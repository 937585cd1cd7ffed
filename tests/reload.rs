//! `DEBUG`, and above all its `RELOAD`: the store is closed and opened again under running clients.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{Reply, Server, bulk, error, ok, persistent_engines};

fn start(dir: &Path, engine: &str) -> Server {
    let dir = dir.to_str().unwrap();
    Server::start(&["--dir", dir, "--engine", engine, "--enable-debug-command", "local"])
}

fn number(reply: Reply) -> i64 {
    match reply {
        Reply::Integer(number) => number,
        other => panic!("no number: {other:?}"),
    }
}

#[test]
fn reloads_keep_the_data_and_no_client_sees_them() {
    for engine in persistent_engines() {
        let dir = tempfile::tempdir().unwrap();
        let server = start(dir.path(), engine);
        let stop = AtomicBool::new(false);
        let mut waiting = server.connect();
        waiting.send(&common::encode(&[b"BLPOP", b"list", b"0"]));
        let mut client = server.connect();
        while client.info("blocked_clients") != "1" {}
        thread::scope(|scope| {
            let writers: Vec<_> = (0..3)
                .map(|writer: usize| {
                    let (server, stop) = (&server, &stop);
                    scope.spawn(move || {
                        let mut client = server.connect();
                        let key = format!("counter:{writer}");
                        let mut count = 0;
                        while !stop.load(Ordering::Relaxed) {
                            count += 1;
                            assert_eq!(number(client.call(&["INCR", &key])), count);
                            let read = client.call(&["MGET", &key, "nothing"]);
                            let expected = [bulk(count.to_string()), Reply::Null];
                            assert_eq!(read, Reply::Array(expected.into()));
                            assert_eq!(client.call(&["MULTI"]), ok());
                            client.call(&["GET", &key]);
                            let read = client.call(&["EXEC"]);
                            assert_eq!(read, Reply::Array(vec![bulk(count.to_string())]));
                            // What walks goes through the background lane.
                            let Reply::Array(keys) = client.call(&["KEYS", &key]) else {
                                panic!("no keys");
                            };
                            assert_eq!(keys, [bulk(&key)]);
                        }
                        (key, count)
                    })
                })
                .collect();
            for _ in 0..5 {
                assert_eq!(client.call(&["DEBUG", "RELOAD"]), ok());
            }
            stop.store(true, Ordering::Relaxed);
            for writer in writers {
                let (key, count) = writer.join().unwrap();
                assert_eq!(client.call(&["GET", &key]), bulk(count.to_string()));
            }
        });
        // One that waited all the while is served.
        assert_eq!(client.call(&["RPUSH", "list", "a"]), Reply::Integer(1));
        assert_eq!(waiting.read(), Reply::Array(vec![bulk("list"), bulk("a")]));
    }
}

#[test]
fn a_reload_reads_what_is_on_the_disk() {
    for engine in persistent_engines() {
        let dir = tempfile::tempdir().unwrap();
        let server = start(dir.path(), engine);
        let mut client = server.connect();
        client.call(&["SET", "key", "value", "EX", "1000"]);
        client.call(&["SET", "long", &"x".repeat(100_000)]);
        client.call(&["WATCH", "key"]);
        assert_eq!(client.call(&["DEBUG", "RELOAD"]), ok());
        // The store counts from its opening.
        client.call(&["MULTI"]);
        client.call(&["GET", "key"]);
        assert_eq!(client.call(&["EXEC"]), Reply::Array(vec![bulk("value")]));
        assert!((900..=1000).contains(&number(client.call(&["TTL", "key"]))));
        assert_eq!(client.call(&["STRLEN", "long"]), Reply::Integer(100_000));
    }
}

#[test]
fn two_who_reload_at_once_do_not_get_in_each_others_way() {
    let Some(engine) = persistent_engines().next() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), engine);
    let mut clients = [server.connect(), server.connect()];
    for client in &mut clients {
        client.send(&common::encode(&[b"DEBUG", b"RELOAD"]).repeat(3));
    }
    for client in &mut clients {
        for _ in 0..3 {
            let reply = client.read();
            let text = reply.text();
            assert!(text == "OK" || text.contains("reopenings"), "{reply:?}");
        }
    }
    assert_eq!(clients[0].call(&["SET", "a", "1"]), ok());
}

#[test]
fn a_reload_of_what_is_not_on_a_disk_is_refused() {
    let server = Server::in_memory(&["--enable-debug-command", "yes"]);
    let mut client = server.connect();
    client.call(&["SET", "a", "1"]);
    assert!(client.call(&["DEBUG", "RELOAD"]).text().starts_with("ERR the memory engine keeps"));
    for option in ["NOSAVE", "merge", "NOFLUSH"] {
        let refused = client.call(&["DEBUG", "RELOAD", option]);
        assert!(refused.text().starts_with("ERR DEBUG RELOAD takes no options"), "{option}");
    }
    assert_eq!(
        client.call(&["DEBUG", "RELOAD", "x"]),
        error("ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.")
    );
    assert_eq!(client.call(&["GET", "a"]), bulk("1"));
}

#[test]
fn debug_is_for_those_alone_who_are_allowed_to() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    let refused = error(
        "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you \
         can run it from a local connection, otherwise you need to set this option in the \
         configuration file, and then restart the server.",
    );
    assert_eq!(client.call(&["DEBUG", "HELP"]), refused);
    client.call(&["MULTI"]);
    assert_eq!(client.call(&["DEBUG", "SLEEP", "0"]), refused);
    assert!(client.call(&["EXEC"]).text().starts_with("EXECABORT"));
    assert_eq!(
        client.call(&["CONFIG", "GET", "enable-debug-command"]),
        Reply::Array(vec![bulk("enable-debug-command"), bulk("no")])
    );
    for who in ["local", "yes"] {
        let server = Server::in_memory(&["--enable-debug-command", who]);
        let mut client = server.connect();
        assert!(matches!(client.call(&["DEBUG", "HELP"]), Reply::Array(_)), "{who}");
    }
}

#[test]
fn a_client_that_sleeps_holds_up_nobody_else() {
    let server = Server::in_memory(&["--enable-debug-command", "local"]);
    let mut sleeping = server.connect();
    // Longer than any test has patience for.
    sleeping.send(&common::encode(&[b"DEBUG", b"SLEEP", b"1000"]));
    let mut client = server.connect();
    assert_eq!(client.call(&["SET", "a", "1"]), ok());
    assert_eq!(client.call(&["DEBUG", "SLEEP", "0.01"]), ok());
    assert_eq!(client.call(&["DEBUG", "SLEEP", "x"]), ok());
    for (request, reply) in [
        (&["MULTI"][..], "OK"),
        (&["DEBUG", "SLEEP", "0.01"], "QUEUED"),
        (&["DEBUG", "SLEEP", "11"], "QUEUED"),
        (&["DEBUG", "OBJECT", "a"], "QUEUED"),
    ] {
        assert_eq!(client.call(request).text(), reply);
    }
    let Reply::Array(replies) = client.call(&["EXEC"]) else { panic!("no replies") };
    let texts: Vec<&str> = replies.iter().map(Reply::text).collect();
    assert_eq!(texts[0], "OK");
    assert_eq!(texts[1], "ERR DEBUG SLEEP in a transaction takes 10 seconds at the most");
    assert_eq!(texts[2], "ERR DEBUG OBJECT and DEBUG RELOAD are not for transactions");
}

#[test]
fn a_sleep_is_slow_and_an_exec_with_one_too() {
    let server = Server::in_memory(&["--enable-debug-command", "local"]);
    let mut client = server.connect();
    client.call(&["CLIENT", "SETNAME", "sleeper"]);
    client.call(&["SLOWLOG", "RESET"]);
    let newest = |client: &mut common::Client| -> Vec<Reply> {
        let Reply::Array(log) = client.call(&["SLOWLOG", "GET", "1"]) else { panic!("no log") };
        let Some(Reply::Array(entry)) = log.into_iter().next() else { panic!("it is empty") };
        entry
    };
    let expected = Reply::Array(vec![bulk("DEBUG"), bulk("SLEEP"), bulk("0.05")]);
    assert_eq!(client.call(&["DEBUG", "SLEEP", "0.05"]), ok());
    let entry = newest(&mut client);
    assert!(matches!(entry[2], Reply::Integer(50_000..)), "{entry:?}");
    assert_eq!(entry[3], expected);
    assert_eq!(entry[5], bulk("sleeper"));
    client.call(&["SLOWLOG", "RESET"]);
    client.call(&["MULTI"]);
    client.call(&["DEBUG", "SLEEP", "0.05"]);
    client.call(&["EXEC"]);
    let entry = newest(&mut client);
    assert_eq!(entry[3], expected, "EXEC is not in the log, what it runs is");
    let exec = client.call(&["INFO", "commandstats"]);
    let line = exec.text().lines().find_map(|line| line.strip_prefix("cmdstat_exec:"));
    let usec = line.unwrap().split(',').find_map(|field| field.strip_prefix("usec="));
    assert!(usec.unwrap().parse::<u64>().unwrap() >= 50_000, "{line:?}");
}

#[test]
fn the_sweep_of_expired_keys_can_be_stopped() {
    let server = Server::in_memory(&["--enable-debug-command", "local"]);
    let mut client = server.connect();
    assert_eq!(client.call(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]), ok());
    client.call(&["SET", "a", "1", "PX", "1"]);
    // Whoever reads it may remove it, as Redis does.
    let micros = |client: &mut common::Client| -> u64 {
        let Reply::Array(time) = client.call(&["TIME"]) else { panic!("no time") };
        time[0].text().parse::<u64>().unwrap() * 1_000_000 + time[1].text().parse::<u64>().unwrap()
    };
    let set = micros(&mut client);
    while micros(&mut client) < set + 5_000 {}
    // The sweep looks on the background lane.
    let looks = |client: &mut common::Client| -> u64 {
        client.info("background_lane_operations").parse().unwrap()
    };
    let before = looks(&mut client);
    while looks(&mut client) < before + 3 {}
    assert_eq!(client.call(&["DBSIZE"]), Reply::Integer(1));
    assert_eq!(client.call(&["DEBUG", "SET-ACTIVE-EXPIRE", "1"]), ok());
    while client.call(&["DBSIZE"]) != Reply::Integer(0) {}
    assert_eq!(client.info("expired_keys"), "1");
}

#[test]
fn debug_shows_how_a_value_is_stored_and_what_the_protocol_has() {
    let server = Server::in_memory(&["--enable-debug-command", "local"]);
    let mut client = server.connect();
    client.call(&["SET", "short", "12345"]);
    client.call(&["SET", "long", &"x".repeat(100_000)]);
    for (key, parts) in [
        ("short", ["type:string size:5 in:record ", " serializedlength:29 ", "expires_at_ms:- "]),
        ("long", ["type:string size:100000 in:elements ", " element_bytes:100140 ", "version:"]),
    ] {
        let line = client.call(&["DEBUG", "OBJECT", key]);
        for part in parts {
            assert!(line.text().contains(part), "{part} is not in {line:?}");
        }
    }
    assert_eq!(client.call(&["DEBUG", "OBJECT", "nope"]), error("ERR no such key"));
    assert_eq!(client.call(&["DEBUG", "PROTOCOL", "double"]), bulk("3.141"));
    assert!(client.call(&["DEBUG", "PROTOCOL", "push"]).text().starts_with("ERR RESP2"));
    client.call(&["HELLO", "3"]);
    assert_eq!(client.call(&["DEBUG", "PROTOCOL", "double"]), Reply::Double("3.141".into()));
    assert_eq!(client.call(&["DEBUG", "PROTOCOL", "TRUE"]), Reply::Boolean(true));
    for (request, why) in [
        (&["DEBUG", "JMAP"][..], "ERR DEBUG JMAP is about the insides of Redis"),
        (&["DEBUG", "CHANGE-REPL-ID"], "ERR DEBUG CHANGE-REPL-ID is about the insides of Redis"),
        (&["DEBUG", "nope"], "ERR unknown subcommand or wrong number of arguments for 'nope'"),
        (&["DEBUG", "SLEEP"], "ERR unknown subcommand or wrong number of arguments for 'SLEEP'"),
        (&["DEBUG", "PROTOCOL", "x"], "ERR Wrong protocol type name"),
    ] {
        assert!(client.call(request).text().starts_with(why), "{request:?}");
    }
}
