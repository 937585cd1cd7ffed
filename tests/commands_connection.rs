//! Commands about the connection.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use harness::Shell;
use pontoon::command::{REDIS_VERSION, Settings};
use pontoon::resp::Protocol;

fn with_password() -> Shell {
    Shell::with_settings(Settings { password: Some("secret".into()), ..Settings::default() })
}

#[test]
fn ping_echo_and_unknown_commands() {
    Shell::new().script(
        r#"
        PING -> PONG
        ping hello -> "hello"
        PING a b -> (error) ERR wrong number of arguments for 'ping' command
        ECHO hello -> "hello"
        ECHO -> (error) ERR wrong number of arguments for 'echo' command
        NOPE -> (error) ERR unknown command 'NOPE', with args beginning with:
        "#,
    );
    let mut shell = Shell::new();
    assert_eq!(
        shell.reply_bytes(&[b"nope", b"a\r\n", b"b"]),
        b"-ERR unknown command 'nope', with args beginning with: 'a  ' 'b' \r\n"
    );
    let long = "x".repeat(1000);
    let reply = shell.run(&format!("{long} {long} {long}"));
    assert_eq!(
        reply,
        format!(
            "(error) ERR unknown command '{x}', with args beginning with: '{x}' ",
            x = "x".repeat(128)
        )
    );
}

#[test]
fn authentication() {
    let mut shell = with_password();
    shell.script(
        "
        GET a -> (error) NOAUTH Authentication required.
        PING -> (error) NOAUTH Authentication required.
        NOPE -> (error) ERR unknown command 'NOPE', with args beginning with:
        AUTH wrong! -> (error) WRONGPASS invalid username-password pair or user is disabled.
        AUTH secre -> (error) WRONGPASS invalid username-password pair or user is disabled.
        AUTH secrets -> (error) WRONGPASS invalid username-password pair or user is disabled.
        AUTH other secret -> (error) WRONGPASS invalid username-password pair or user is disabled.
        AUTH a b c -> (error) ERR syntax error
        GET a -> (error) NOAUTH Authentication required.
        AUTH secret -> OK
        GET a -> nil
        RESET -> RESET
        GET a -> (error) NOAUTH Authentication required.
        AUTH default secret -> OK
        GET a -> nil
        ",
    );
    let mut open = Shell::new();
    assert!(open.run("AUTH x").starts_with("(error) ERR AUTH <password> called without any"));
    open.check("AUTH default anything", "OK");
}

#[test]
fn hello_switches_the_protocol() {
    let mut shell = Shell::new();
    let id = shell.session.client.id;
    let expected = format!(
        "[\"server\" \"redis\" \"version\" \"{REDIS_VERSION}\" \"proto\" 2 \"id\" {id} \"mode\" \
         \"standalone\" \"role\" \"master\" \"modules\" []]"
    );
    shell.check("HELLO", &expected);
    let reply = shell.run("HELLO 3 SETNAME me");
    assert!(reply.starts_with("{\"server\""), "{reply}");
    assert!(reply.contains("\"proto\" 3"), "{reply}");
    assert_eq!(shell.session.protocol, Protocol::Resp3);
    shell.check("CLIENT GETNAME", "\"me\"");
    assert_eq!(shell.reply_bytes(&[b"GET", b"missing"]), b"_\r\n");
    assert!(shell.run("HELLO 2").starts_with('['));
    assert_eq!(shell.reply_bytes(&[b"GET", b"missing"]), b"$-1\r\n");
    shell.script(
        "
        HELLO 4 -> (error) NOPROTO unsupported protocol version
        HELLO x -> (error) ERR Protocol version is not an integer or out of range
        HELLO 3 WHAT -> (error) ERR Syntax error in HELLO option 'WHAT'
        HELLO 3 AUTH default -> (error) ERR Syntax error in HELLO option 'AUTH'
        ",
    );
    assert_eq!(shell.session.protocol, Protocol::Resp2);
}

#[test]
fn hello_authenticates() {
    let mut shell = with_password();
    assert!(shell.run("HELLO 3").starts_with("(error) NOAUTH HELLO must be called with"));
    assert_eq!(shell.session.protocol, Protocol::Resp2);
    assert!(shell.run("HELLO 3 AUTH default nope").starts_with("(error) WRONGPASS"));
    assert!(shell.run("HELLO 3 AUTH default secret").starts_with('{'));
    shell.check("GET a", "nil");
}

#[test]
fn client_knows_and_names() {
    let mut shell = Shell::new();
    let id = shell.session.client.id;
    shell.check("CLIENT ID", &id.to_string());
    shell.script(
        r#"
        CLIENT GETNAME -> nil
        CLIENT SETNAME me -> OK
        client getname -> "me"
        CLIENT SETNAME '' -> OK
        CLIENT GETNAME -> nil
        CLIENT SETINFO LIB-NAME lib -> OK
        CLIENT SETINFO lib-ver 1.2 -> OK
        CLIENT SETINFO other 1.2 -> (error) ERR Unrecognized option 'other'
        CLIENT -> (error) ERR wrong number of arguments for 'client' command
        CLIENT ID 1 -> (error) ERR wrong number of arguments for 'client|id' command
        CLIENT NOPE -> (error) ERR unknown subcommand 'NOPE'. Try CLIENT HELP.
        "#,
    );
    assert_eq!(
        shell.run_args(&[b"CLIENT", b"SETNAME", b"a b"]),
        "(error) ERR Client names cannot contain spaces, newlines or special characters."
    );
    assert_eq!(
        shell.run_args(&[b"CLIENT", b"SETINFO", b"LIB-VER", b"a b"]),
        "(error) ERR lib-ver cannot contain spaces, newlines or special characters."
    );
    let info = shell.run("CLIENT INFO");
    assert!(info.starts_with(&format!("\"id={id} addr=127.0.0.1:50000 laddr=")), "{info}");
    assert!(info.contains(" db=0 ") && info.ends_with("lib-name=lib lib-ver=1.2\\n\""), "{info}");
    let help = shell.run("CLIENT HELP");
    assert!(help.starts_with("[CLIENT <subcommand> [<arg>"), "{help}");
    assert!(help.ends_with("HELP     Prints this help.]"), "{help}");
}

#[test]
fn quit_and_reset() {
    let mut shell = Shell::new();
    shell.run("HELLO 3 SETNAME me");
    shell.run("SELECT 5");
    shell.check("RESET", "RESET");
    assert_eq!((shell.session.db, shell.session.protocol), (0, Protocol::Resp2));
    shell.check("CLIENT GETNAME", "nil");
    assert!(!shell.session.close_after_reply);
    shell.check("QUIT", "OK");
    assert!(shell.session.close_after_reply);
}
