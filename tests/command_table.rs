//! The command table makes sense in itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::HashSet;

use bytes::Bytes;
use pontoon::command::{
    Argument, ArgumentKind, Command, Flags, KeySpec, Run, all, find, lookup, parse_syntax,
};

fn rows() -> Vec<&'static Command> {
    all().iter().flat_map(|&command| [command].into_iter().chain(command.subcommands)).collect()
}

#[test]
fn names_are_sorted_lower_case_and_unique() {
    assert!(all().is_sorted_by_key(|command| command.name));
    let mut seen = HashSet::new();
    for row in rows() {
        assert!(seen.insert(row.name), "{} twice", row.name);
        let plain = |c: char| c.is_ascii_lowercase() || c == '|' || c == '-' || c == '_';
        assert!(row.name.chars().all(plain), "{}", row.name);
    }
}

#[test]
fn lookup_ignores_case_and_finds_nothing_else() {
    for command in all() {
        let upper = command.name.to_ascii_uppercase();
        assert_eq!(lookup(upper.as_bytes()).unwrap().name, command.name);
        assert_eq!(lookup(command.name.as_bytes()).unwrap().name, command.name);
    }
    for name in ["", "ge", "gett", "zzz", "client|id", "get "] {
        assert!(lookup(name.as_bytes()).is_none(), "{name}");
    }
}

#[test]
fn arity_leaves_room_for_the_keys() {
    for row in rows() {
        let needed = row.arity.unsigned_abs();
        assert!(needed > u32::from(row.name.contains('|')), "{}", row.name);
        let KeySpec { first, last, step } = row.keys;
        if row.keys == KeySpec::NONE {
            continue;
        }
        assert!(first >= 1 && first < needed && step >= 1, "{}", row.name);
        if let Ok(last) = u32::try_from(last) {
            assert!(last >= first && last < needed, "{}", row.name);
            assert_eq!((last - first) % step, 0, "{}", row.name);
        } else {
            assert!(row.arity < 0, "{}: keys to the end of a fixed number", row.name);
        }
    }
}

#[test]
fn keys_are_where_the_row_says() {
    let args = |line: &str| -> Vec<Bytes> {
        line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
    };
    for (line, keys) in [
        ("get a", "a"),
        ("set a 1 ex 10", "a"),
        ("mget a b c", "a b c"),
        ("mset a 1 b 2", "a b"),
        ("mset a 1 b", "a b"),
        ("rename a b", "a b"),
        ("ping", ""),
        ("dbsize", ""),
    ] {
        let args = args(line);
        let found: Vec<_> =
            find(&args).unwrap().keys.of(&args).map(|key| str::from_utf8(key).unwrap()).collect();
        assert_eq!(found.join(" "), keys, "{line}");
    }
    assert_eq!(lookup(b"get").unwrap().keys.of(&vec![]).count(), 0);
    assert_eq!(lookup(b"mget").unwrap().keys.of(&vec![]).count(), 0);
}

#[test]
fn every_row_is_documented() {
    for row in rows() {
        assert!(!row.summary.is_empty() && !row.summary.ends_with('.'), "{}", row.name);
        assert!(row.since.split('.').all(|part| part.parse::<u32>().is_ok()), "{}", row.name);
    }
}

/// How many words a request has at the least, and whether it may have more.
fn words_of(arguments: &[Argument]) -> (usize, bool) {
    let mut sum = (0, false);
    for argument in arguments {
        let (own, may_vary) = match argument.kind {
            ArgumentKind::PureToken => (0, false),
            ArgumentKind::Block => words_of(&argument.arguments),
            ArgumentKind::OneOf => {
                let each: Vec<_> = argument
                    .arguments
                    .iter()
                    .map(|argument| words_of(std::slice::from_ref(argument)))
                    .collect();
                let least = each.iter().map(|(words, _)| *words).min().unwrap();
                (least, each.iter().any(|(words, may_vary)| *may_vary || *words != least))
            }
            _ => (1, false),
        };
        let words = own + usize::from(argument.token.is_some());
        sum.0 += if argument.optional { 0 } else { words };
        sum.1 |= may_vary || argument.optional || argument.multiple;
    }
    sum
}

#[test]
fn every_command_says_what_its_arguments_are() {
    let mut wrong = Vec::new();
    for row in rows().into_iter().filter(|row| row.subcommands.is_empty()) {
        let arguments =
            parse_syntax(row.syntax).unwrap_or_else(|why| panic!("{}: {why}", row.name));
        let (words, may_vary) = words_of(&arguments);
        let words = words + 1 + usize::from(row.name.contains('|'));
        let fits = row.arity.unsigned_abs() as usize == words && (row.arity < 0 || !may_vary);
        if !fits {
            wrong.push(format!("{}: arity {}, {:?}", row.name, row.arity, row.syntax));
        }
    }
    assert!(wrong.is_empty(), "the line of `.syntax(…)` must fit the arity:\n{}", wrong.join("\n"));
}

#[test]
fn keys_and_what_is_done_to_them_go_together() {
    let words = [
        "RO",
        "RW",
        "OW",
        "RM",
        "access",
        "insert",
        "update",
        "delete",
        "not_key",
        "variable_flags",
    ];
    for row in rows() {
        assert!(
            row.access.is_empty() || row.keys != KeySpec::NONE || row.movable_keys.is_some(),
            "{}",
            row.name
        );
        for word in row.access_of_keys().into_iter().flatten() {
            assert!(words.contains(&word), "{}: {word}", row.name);
        }
    }
}

#[test]
fn containers_have_help_and_their_own_subcommands() {
    for command in all().iter().filter(|command| !command.subcommands.is_empty()) {
        assert!(!command.help.is_empty(), "{}", command.name);
        assert!(command.subcommands.is_sorted_by_key(|row| row.name), "{}", command.name);
        for row in command.subcommands {
            let (container, own) = row.name.split_once('|').unwrap();
            assert_eq!(container, command.name);
            assert!(row.subcommands.is_empty());
            let heading = own.to_ascii_uppercase();
            let mentioned = command.help.iter().any(|line| line.starts_with(&heading));
            assert!(mentioned || own == "help", "{} is not in the help", row.name);
        }
        assert!(command.subcommands.iter().any(|row| row.own_name() == "help"));
    }
}

#[test]
fn flags_fit_the_function() {
    for row in rows() {
        let is = |flag| row.flags.contains(flag);
        match row.run {
            // What is not queued behind MULTI belongs to the session, though WATCH runs among the writes.
            Run::Write(_) if is(Flags::UNQUEUED) => {}
            Run::Write(_) => assert!(!is(Flags::LOADING) && !is(Flags::NO_AUTH), "{}", row.name),
            Run::Read(_) => assert!(!is(Flags::DENYOOM) && !is(Flags::NO_AUTH), "{}", row.name),
            Run::Connection(_) | Run::Async(..) => {
                assert!(!is(Flags::DENYOOM) && !is(Flags::WALKING), "{}", row.name);
                assert_eq!(row.keys, KeySpec::NONE, "{}", row.name);
            }
        }
        assert!(!(is(Flags::WALKING) && is(Flags::FAST)), "{}", row.name);
    }
}
