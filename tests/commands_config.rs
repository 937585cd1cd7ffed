//! `CONFIG`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use harness::Shell;
use pontoon::command::Settings;
use pontoon::settings::TABLE;

fn configured() -> Shell {
    Shell::with_settings(Settings { port: 7000, clients_max: 100, ..Settings::default() })
}

#[test]
fn get_finds_settings_by_name_and_by_pattern() {
    configured().script(
        r#"
        CONFIG GET port -> ["port" "7000"]
        CONFIG GET PORT port -> ["PORT" "7000"]
        CONFIG GET nope -> []
        CONFIG GET max* da[a-t]* PORT max* -> ["maxclients" "100" "maxmemory" "0" "maxmemory-policy" "noeviction" "databases" "16" "PORT" "7000"]
        CONFIG GET MAXC* maxclients -> ["maxclients" "100"]
        CONFIG GET durability -> ["durability" "no"]
        CONFIG GET appendfsync -> ["appendfsync" "no"]
        CONFIG GET append* -> ["appendonly" "no"]
        CONFIG GET hash-max-* hash-max-listpack-entries -> []
        CONFIG GET -> (error) ERR wrong number of arguments for 'config|get' command
        "#,
    );
    let mut shell = configured();
    let all = shell.run("CONFIG GET *");
    for setting in TABLE {
        assert!(all.contains(&format!("\"{}\" ", setting.name)), "{}", setting.name);
    }
    shell.run("HELLO 3");
    shell.check("CONFIG GET port", "{\"port\" \"7000\"}");
}

#[test]
fn set_changes_all_or_nothing() {
    configured().script(
        r#"
        CONFIG SET timeout 5 MAXCLIENTS 50 -> OK
        CONFIG GET timeout maxclients -> ["timeout" "5" "maxclients" "50"]
        CONFIG SET timeout 6 maxclients x -> (error) ERR CONFIG SET failed (possibly related to argument 'maxclients') - argument couldn't be parsed into an integer
        CONFIG SET timeout 6 nope 1 maxclients x -> (error) ERR Unknown option or number of arguments for CONFIG SET - 'nope'
        CONFIG SET timeout 6 port 1 nope 1 -> (error) ERR CONFIG SET failed (possibly related to argument 'port') - can't set immutable config
        CONFIG SET timeout 6 timeout 7 -> (error) ERR CONFIG SET failed (possibly related to argument 'timeout') - duplicate parameter
        CONFIG GET timeout maxclients -> ["timeout" "5" "maxclients" "50"]
        CONFIG SET timeout -> (error) ERR wrong number of arguments for 'config|set' command
        CONFIG SET timeout 6 maxclients -> (error) ERR syntax error
        "#,
    );
}

#[test]
fn set_refuses_with_the_texts_of_redis() {
    configured().script(
        r#"
        CONFIG SET timeout -1 -> (error) ERR CONFIG SET failed (possibly related to argument 'timeout') - argument must be between 0 and 2147483647 inclusive
        CONFIG SET maxclients 0 -> (error) ERR CONFIG SET failed (possibly related to argument 'maxclients') - argument must be between 1 and 4294967295 inclusive
        CONFIG SET PROTECTED-mode maybe -> (error) ERR CONFIG SET failed (possibly related to argument 'protected-mode') - argument must be 'yes' or 'no'
        CONFIG SET proto-max-bulk-len 1 -> (error) ERR CONFIG SET failed (possibly related to argument 'proto-max-bulk-len') - argument must be between 1048576 and 9223372036854775807 inclusive
        CONFIG SET maxmemory abc -> (error) ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value
        CONFIG SET appendfsync x -> (error) ERR CONFIG SET failed (possibly related to argument 'appendfsync') - argument(s) must be one of the following: always, everysec, no
        CONFIG SET notify-keyspace-events Q -> (error) ERR CONFIG SET failed (possibly related to argument 'notify-keyspace-events') - Invalid event class character. Use 'Ag$lshzxeKEtmdn'.
        CONFIG SET databases 16 -> (error) ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config
        CONFIG SET daemonize yes -> (error) ERR CONFIG SET failed (possibly related to argument 'daemonize') - can't set immutable config
        "#,
    );
    let refusal = configured().run("CONFIG SET hash-max-listpack-entries 5");
    let expected = "(error) ERR CONFIG SET failed (possibly related to argument \
                    'hash-max-listpack-entries') - Pontoon has no such layout";
    assert!(refusal.starts_with(expected), "{refusal}");
}

#[test]
fn what_is_set_is_shown_as_redis_shows_it() {
    let mut shell = configured();
    shell.script(
        r#"
        CONFIG SET save '' maxmemory 0 maxmemory-policy NoEviction -> OK
        CONFIG SET notify-keyspace-events KEA -> OK
        CONFIG GET notify-keyspace-events -> ["notify-keyspace-events" "AKE"]
        CONFIG SET client-query-buffer-limit 2mb -> OK
        CONFIG GET client-query-buffer-limit -> ["client-query-buffer-limit" "2097152"]
        CONFIG SET loglevel WARNING -> OK
        CONFIG GET loglevel -> ["loglevel" "warning"]
        CONFIG GET client-output-buffer-limit -> ["client-output-buffer-limit" "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"]
        "#,
    );
    let set = |shell: &mut Shell, name: &str, value: &str| {
        shell.run_args(&[b"CONFIG", b"SET", name.as_bytes(), value.as_bytes()])
    };
    assert_eq!(set(&mut shell, "client-output-buffer-limit", "pubsub 1kb 0 5"), "OK");
    let shown = shell.run("CONFIG GET client-output-buffer-limit");
    assert!(shown.ends_with("pubsub 1024 0 5\"]"), "{shown}");
    assert_eq!(set(&mut shell, "latency-tracking-info-percentiles", "50.0 1e1"), "OK");
    shell.check(
        "CONFIG GET latency-tracking-info-percentiles",
        r#"["latency-tracking-info-percentiles" "50 10"]"#,
    );
    let reply = shell.run_args(&[b"CONFIG", b"SET", b"requirepass", b"\xff"]);
    assert!(reply.ends_with("'requirepass') - argument must be UTF-8"), "{reply}");
    let long = "n".repeat(1000);
    let reply = shell.run(&format!("CONFIG SET {long} 1"));
    assert!(reply.ends_with(&format!("CONFIG SET - '{}'", &long[..128])), "{reply}");
}

#[test]
fn a_password_counts_from_the_next_request_on() {
    let mut shell = Shell::new();
    shell.script(
        r#"
        AUTH secret -> (error) ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?
        CONFIG SET requirepass secret -> OK
        PING -> PONG
        CONFIG GET requirepass -> ["requirepass" "secret"]
        RESET -> RESET
        PING -> (error) NOAUTH Authentication required.
        AUTH wrong -> (error) WRONGPASS invalid username-password pair or user is disabled.
        AUTH secret -> OK
        CONFIG SET requirepass '' -> OK
        RESET -> RESET
        PING -> PONG
        "#,
    );
}

#[test]
fn the_rest() {
    configured().script(
        r#"
        CONFIG REWRITE -> (error) ERR The server is running without a config file
        CONFIG RESETSTAT -> OK
        CONFIG NOPE -> (error) ERR unknown subcommand 'NOPE'. Try CONFIG HELP.
        "#,
    );
}
