//! `COMMAND`: the table as clients see it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use harness::Shell;

#[test]
fn command_describes_itself() {
    let mut shell = Shell::new();
    let count: usize = shell.run("COMMAND COUNT").parse().unwrap();
    assert_eq!(count, pontoon::command::all().len());
    shell.check(
        "COMMAND INFO get nope",
        concat!(
            "[[\"get\" 2 [readonly fast] 1 1 1 [@read @string @fast] [] ",
            "[[\"flags\" [RO access] \"begin_search\" [\"type\" \"index\" \"spec\" [\"index\" 1]] ",
            "\"find_keys\" [\"type\" \"range\" \"spec\" ",
            "[\"lastkey\" 0 \"keystep\" 1 \"limit\" 0]]]] []] nil]"
        ),
    );
    shell.check(
        "COMMAND INFO client|id",
        "[[\"client|id\" 2 [noscript loading stale] 0 0 0 [@connection @slow] [] [] []]]",
    );
    shell.check(
        "COMMAND DOCS GETDEL nope",
        concat!(
            "[\"getdel\" [\"summary\" \"Returns a string and removes it\" ",
            "\"since\" \"6.2.0\" \"group\" \"string\" \"complexity\" \"O(1)\" ",
            "\"arguments\" [[\"name\" \"key\" \"type\" \"key\" \"key_spec_index\" 0]]]]"
        ),
    );
    shell.script(
        r#"
        COMMAND GETKEYS MSET a 1 b 2 -> ["a" "b"]
        COMMAND GETKEYS RENAME a b -> ["a" "b"]
        COMMAND GETKEYS GET -> (error) ERR wrong number of arguments for 'command|getkeys' command
        COMMAND GETKEYS SET a -> (error) ERR Invalid number of arguments specified for command
        COMMAND GETKEYS PING a -> (error) ERR The command has no key arguments
        COMMAND GETKEYS NOPE a -> (error) ERR Invalid command specified
        COMMAND LIST FILTERBY PATTERN getr* -> ["getrange"]
        COMMAND LIST FILTERBY PATTERN CLIENT|ID -> ["client|id"]
        COMMAND LIST FILTERBY MODULE x -> []
        COMMAND LIST FILTERBY ACLCAT transaction -> ["discard" "exec" "multi" "unwatch" "watch"]
        COMMAND LIST FILTERBY WHAT x -> (error) ERR syntax error
        COMMAND LIST WHAT -> (error) ERR syntax error
        COMMAND NOPE -> (error) ERR unknown subcommand 'NOPE'. Try COMMAND HELP.
        "#,
    );
    let all = shell.run("COMMAND");
    assert_eq!(all, shell.run("COMMAND INFO"));
    assert!(all.contains("\"set\" -3 [write denyoom] 1 1 1 [@write @string @slow]"));
}

#[test]
fn keys_come_with_what_is_done_to_them() {
    Shell::new().script(
        r#"
        COMMAND GETKEYSANDFLAGS GET a -> [["a" [RO access]]]
        COMMAND GETKEYSANDFLAGS SET a get -> [["a" [OW update]]]
        COMMAND GETKEYSANDFLAGS SET a 1 XX GET -> [["a" [RW access update]]]
        COMMAND GETKEYSANDFLAGS BITFIELD a GET u8 0 -> [["a" [RO access]]]
        COMMAND GETKEYSANDFLAGS INCR a -> [["a" [RW access update]]]
        COMMAND GETKEYSANDFLAGS DEL a b -> [["a" [RM delete]] ["b" [RM delete]]]
        COMMAND GETKEYSANDFLAGS RENAME a b -> [["a" [RW access delete]] ["b" [OW update]]]
        COMMAND GETKEYSANDFLAGS ZUNIONSTORE d 2 a b -> [["d" [OW update]] ["a" [RO access]] ["b" [RO access]]]
        COMMAND GETKEYSANDFLAGS SORT a STORE d -> [["a" [RO access]] ["d" [OW update]]]
        COMMAND GETKEYS ZUNIONSTORE d 2 a b -> ["d" "a" "b"]
        COMMAND GETKEYSANDFLAGS PING -> (error) ERR wrong number of arguments for 'command|getkeysandflags' command
        COMMAND GETKEYSANDFLAGS PING a -> (error) ERR The command has no key arguments
        COMMAND GETKEYS ZUNION 0 a -> (error) ERR Invalid arguments specified for command
        "#,
    );
}

#[test]
fn places_of_keys_are_told_apart_by_what_is_done_to_them() {
    let mut shell = Shell::new();
    for (command, expected) in [
        ("rename", "[RW access delete] 1 0 [OW update] 2 0"),
        ("sdiffstore", "[OW update] 1 0 [RO access] 2 -1"),
        ("mget", "[RO access] 1 -1"),
        ("sort", "[RO access] 1 0"),
        ("zunion", ""),
    ] {
        let info = shell.run(&format!("COMMAND INFO {command}"));
        let specs = info.split("\"flags\" ").skip(1).map(|spec| {
            let number = |label: &str| {
                let (_, rest) = spec.split_once(label).unwrap();
                rest.split([' ', ']']).next().unwrap().to_owned()
            };
            let flags = spec.split_inclusive(']').next().unwrap();
            format!("{flags} {} {}", number("[\"index\" "), number("\"lastkey\" "))
        });
        assert_eq!(specs.collect::<Vec<_>>().join(" "), expected, "{command}");
    }
}

#[test]
fn arguments_are_described() {
    let mut shell = Shell::new();
    let docs = shell.run("COMMAND DOCS expire");
    let expected = concat!(
        r#""arguments" [["name" "key" "type" "key" "key_spec_index" 0] "#,
        r#"["name" "seconds" "type" "integer"] "#,
        r#"["name" "nx_or_xx_or_gt_or_lt" "type" "oneof" "flags" [optional] "arguments" ["#,
        r#"["name" "nx" "type" "pure-token" "token" "NX"] ["name" "xx" "type" "pure-token" "token" "XX"] "#,
        r#"["name" "gt" "type" "pure-token" "token" "GT"] "#,
        r#"["name" "lt" "type" "pure-token" "token" "LT"]]]]]]"#,
    );
    assert!(docs.ends_with(expected), "{docs}");
    let docs = shell.run("COMMAND DOCS zunion");
    for part in [
        r#"["name" "key" "type" "key" "flags" [multiple]]"#,
        r#"["name" "weight" "type" "integer" "token" "WEIGHTS" "flags" [optional multiple]]"#,
        r#"["name" "sum_or_min_or_max" "type" "oneof" "token" "AGGREGATE" "flags" [optional]"#,
    ] {
        assert!(docs.contains(part), "{part}: {docs}");
    }
    let docs = shell.run("COMMAND DOCS sort_ro");
    let part = r#""pattern" "token" "GET" "flags" [optional multiple multiple_token]]"#;
    assert!(docs.contains(part), "{docs}");
    assert!(!shell.run("COMMAND DOCS dbsize").contains("arguments"));
}
