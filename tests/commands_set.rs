//! Sets behave as in Redis, whether they are in their record or have an entry for each member.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use std::collections::BTreeSet;

use bytes::Bytes;
use harness::Shell;
use pontoon::command::find;
use pontoon::data::{Record, encoding, set};
use pontoon::resp::Protocol;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

type Members = BTreeSet<String>;

const WRONG_TYPE: &str =
    "(error) WRONGTYPE Operation against a key holding the wrong kind of value";

/// The members of a reply, none of which has a blank, and none of which may come twice.
fn members(reply: &str) -> Members {
    let inside = reply.trim_matches(|c| "~[]".contains(c));
    let parts: Vec<_> = inside.split(' ').filter(|part| !part.is_empty()).collect();
    let members: Members = parts.iter().map(|part| part.replace('"', "")).collect();
    assert_eq!(members.len(), parts.len(), "a member came twice: {reply}");
    members
}

fn words<'w>(words: impl IntoIterator<Item = &'w str>) -> Members {
    words.into_iter().map(str::to_owned).collect()
}

/// A set of the members `m0`, `m1`, …
fn fill(shell: &mut Shell, key: &str, range: std::ops::Range<u32>) -> Members {
    let names: Members = range.map(|n| format!("m{n}")).collect();
    let line = names.iter().fold(format!("SADD {key}"), |line, name| line + " " + name);
    shell.check(&line, &names.len().to_string());
    names
}

fn encoding_of(shell: &Shell, key: &str) -> &'static str {
    let meta = shell.databases.meta().clone();
    let stored = shell.dump(&meta).into_iter().find(|(stored, _)| {
        let (_, name) = encoding::split_record_key(stored).unwrap();
        name == key
    });
    set::encoding(&Record::decode(stored.unwrap().1).unwrap()).unwrap()
}

#[test]
fn members_are_added_and_removed() {
    Shell::new().script(
        r#"
        SADD s a b a -> 2
        SADD s b c -> 1
        SCARD s -> 3
        SISMEMBER s a -> 1
        SISMEMBER s x -> 0
        SMISMEMBER s a x c -> [1 0 1]
        SREM s a x a -> 1
        SCARD s -> 2
        SADD s '' -> 1
        SISMEMBER s '' -> 1
        TYPE s -> set
        SREM s b c '' b -> 3
        EXISTS s -> 0
        SREM s a -> 0
        SCARD s -> 0
        SMISMEMBER s a b -> [0 0]
        SISMEMBER s a -> 0
        "#,
    );
}

#[test]
fn all_members_are_returned_whatever_their_number() {
    let mut shell = Shell::new();
    for size in [1, 5, 60, 150, 600, 1500] {
        let key = format!("s{size}");
        let names = fill(&mut shell, &key, 0..size);
        assert_eq!(members(&shell.run(&format!("SMEMBERS {key}"))), names);
        shell.check(&format!("SCARD {key}"), &size.to_string());
    }
    shell.script(
        r#"
        SMEMBERS s1 -> ["m0"]
        SMEMBERS none -> []
        SINTER none -> []
        "#,
    );
    shell.session.protocol = Protocol::Resp3;
    shell.script(
        r#"
        SMEMBERS s1 -> ~["m0"]
        SMEMBERS none -> ~[]
        SINTER s1 -> ~["m0"]
        SUNION none s1 -> ~["m0"]
        SDIFF s1 none -> ~["m0"]
        SINTER none s1 -> ~[]
        SPOP s1 5 -> ~["m0"]
        SPOP s1 5 -> ~[]
        SPOP s1 -> nil
        SADD one m -> 1
        SRANDMEMBER one 5 -> ["m"]
        SRANDMEMBER none 5 -> []
        "#,
    );
}

#[test]
fn members_move() {
    let mut shell = Shell::new();
    shell.script(
        r#"
        SADD a 1 2 -> 2
        SADD b 3 -> 1
        SMOVE a b 2 -> 1
        SMEMBERS a -> ["1"]
        SISMEMBER b 2 -> 1
        SMOVE a b x -> 0
        SMOVE none b 1 -> 0
        SMOVE a a 1 -> 1
        SMOVE a a x -> 0
        SMOVE b a 2 -> 1
        SMOVE a c 2 -> 1
        SMEMBERS c -> ["2"]
        SADD c 1 -> 1
        SMOVE a c 1 -> 1
        EXISTS a -> 0
        SCARD c -> 2
        SET str x -> OK
        SMOVE none str 1 -> 0
        SMOVE c c 1 -> 1
        "#,
    );
    shell.check("SMOVE str c 1", WRONG_TYPE);
    shell.check("SMOVE c str 1", WRONG_TYPE);
    shell.check("SMOVE c str nosuchmember", WRONG_TYPE);
}

#[test]
fn errors_come_in_the_order_of_redis() {
    let mut shell = Shell::new();
    shell.run("SET str x");
    shell.run("SADD s a");
    for line in [
        "SADD str a",
        "SREM str a",
        "SISMEMBER str a",
        "SMISMEMBER str a",
        "SMEMBERS str",
        "SCARD str",
        "SPOP str",
        "SPOP str 0",
        "SRANDMEMBER str",
        "SRANDMEMBER str 0",
        "SSCAN str 0 NO SUCH OPTIONS",
        "SINTER none str",
        "SINTER s str",
        "SUNION none str",
        "SDIFF none str",
        "SINTERCARD 2 none str",
        "SINTERSTORE s none str",
        "SUNIONSTORE s none str",
        "SDIFFSTORE s none str",
    ] {
        shell.check(line, WRONG_TYPE);
    }
    shell.script(
        "
        SCARD s -> 1
        SPOP str x -> (error) ERR value is out of range, must be positive
        SPOP str -1 -> (error) ERR value is out of range, must be positive
        SPOP s 1 2 -> (error) ERR syntax error
        SRANDMEMBER str x -> (error) ERR value is not an integer or out of range
        SRANDMEMBER s 1 2 -> (error) ERR syntax error
        SRANDMEMBER s -9223372036854775808 -> (error) ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
        SRANDMEMBER s -9223372036854775807 -> (error) ERR reply exceeds maximum allowed size (536870912 bytes)
        SINTERCARD 0 s -> (error) ERR numkeys should be greater than 0
        SINTERCARD x s -> (error) ERR numkeys should be greater than 0
        SINTERCARD 2 s -> (error) ERR Number of keys can't be greater than number of args
        SINTERCARD 1 s LIMIT -> (error) ERR syntax error
        SINTERCARD 1 s s -> (error) ERR syntax error
        SINTERCARD 1 s LIMIT x -> (error) ERR LIMIT can't be negative
        SINTERCARD 1 s LIMIT -1 -> (error) ERR LIMIT can't be negative
        SINTERCARD 1 s limit 1 LIMIT 0 -> 1
        ",
    );
}

#[test]
fn the_keys_of_sintercard() {
    for (line, keys) in [
        ("SINTERCARD 2 a b LIMIT 1", "a b"),
        ("SINTERCARD 1 a b", "a"),
        ("SINTERCARD 3 a b", "a b"),
        ("SINTERCARD x a b", ""),
        ("SINTERCARD -1 a b", ""),
    ] {
        let args = line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        let found = find(&args).unwrap().keys_of(&args);
        let found: Vec<_> = found.iter().map(|key| str::from_utf8(key).unwrap()).collect();
        assert_eq!(found.join(" "), keys, "{line}");
    }
}

#[test]
fn members_too_long_to_be_stored() {
    let mut shell = Shell::new();
    let (long, too_long) = (vec![b'm'; 64 << 10], vec![b'm'; (64 << 10) + 1]);
    assert_eq!(shell.run_args(&[b"SADD", b"s", &long]), "1");
    assert_eq!(shell.run_args(&[b"SISMEMBER", b"s", &long]), "1");
    let refused = "(error) ERR member or field exceeds maximum allowed size (65536 bytes)";
    assert_eq!(shell.run_args(&[b"SADD", b"s", b"a", &too_long]), refused);
    assert_eq!(shell.run_args(&[b"SISMEMBER", b"s", &too_long]), "0");
    assert_eq!(shell.run_args(&[b"SMISMEMBER", b"s", &too_long, &long]), "[0 1]");
    assert_eq!(shell.run_args(&[b"SMOVE", b"s", b"t", &too_long]), "0");
    assert_eq!(shell.run_args(&[b"SREM", b"s", &too_long, &long]), "1");
    shell.check("DBSIZE", "0");
}

#[test]
fn members_at_random() {
    let mut shell = Shell::new();
    for (key, size) in [("s", 5), ("large", 400)] {
        let all = fill(&mut shell, key, 0..size);
        let size = size as usize;
        assert!(all.is_superset(&members(&shell.run(&format!("SRANDMEMBER {key}")))));
        for count in [0, 1, 3, size - 1, size, 1000] {
            let some = members(&shell.run(&format!("SRANDMEMBER {key} {count}")));
            assert_eq!(some.len(), count.min(size));
            assert!(all.is_superset(&some));
            if count == 0 {
                continue;
            }
            let reply = shell.run(&format!("SRANDMEMBER {key} -{count}"));
            let some: Vec<_> = reply.trim_matches(['[', ']']).split(' ').collect();
            assert_eq!(some.len(), count);
            assert!(some.iter().all(|name| all.contains(&name.replace('"', ""))));
        }
        shell.check(&format!("SCARD {key}"), &size.to_string());
    }
}

#[test]
fn popped_members_are_gone_and_the_others_stay() {
    for size in [5, 60, 1000] {
        for counts in [[0, 1, 2, 1], [3, 40, 300, 1], [size, 1, 1, 1], [size - 1, 1, 1, 1]] {
            let mut shell = Shell::new();
            let mut left = fill(&mut shell, "s", 0..size);
            shell.run("EXPIRE s 100");
            for count in counts {
                let popped = members(&shell.run(&format!("SPOP s {count}")));
                assert_eq!(popped.len(), left.len().min(count as usize));
                assert!(popped.is_subset(&left));
                left.retain(|member| !popped.contains(member));
                assert_eq!(members(&shell.run("SMEMBERS s")), left);
                shell.check("SCARD s", &left.len().to_string());
                shell.check("TTL s", if left.is_empty() { "-2" } else { "100" });
            }
            while !left.is_empty() && left.len() < 10 {
                let popped = shell.run("SPOP s").replace('"', "");
                assert!(left.remove(&popped), "{popped}");
                shell.check("SCARD s", &left.len().to_string());
            }
            shell.run("DEL s");
            shell.check("SPOP s", "nil");
            shell.check("SPOP s 2", "[]");
            shell.sweep(1000);
            let elements = shell.databases.elements().clone();
            assert_eq!(shell.dump(&elements), []);
        }
    }
}

#[test]
fn sets_are_combined() {
    let mut shell = Shell::new();
    shell.run("SADD a 1 2 3 4 x");
    shell.run("SADD b 3 4 5 x");
    shell.run("SADD c 4 x y");
    for (line, expected) in [
        ("SINTER a b c", "4 x"),
        ("SINTER a a", "1 2 3 4 x"),
        ("SINTER a none b", ""),
        ("SUNION a b c none", "1 2 3 4 5 x y"),
        ("SUNION none", ""),
        ("SDIFF a b", "1 2"),
        ("SDIFF a b c", "1 2"),
        ("SDIFF a none", "1 2 3 4 x"),
        ("SDIFF none a", ""),
        ("SDIFF a a", ""),
        ("SDIFF c b a", "y"),
    ] {
        assert_eq!(members(&shell.run(line)), words(expected.split_whitespace()), "{line}");
    }
    shell.script(
        r#"
        SINTERCARD 2 a b -> 3
        SINTERCARD 2 a b LIMIT 2 -> 2
        SINTERCARD 2 a b LIMIT 0 -> 3
        SINTERCARD 2 a b LIMIT 9 -> 3
        SINTERCARD 2 a none -> 0
        SINTERSTORE d a b c -> 2
        SCARD d -> 2
        SUNIONSTORE d a b c -> 7
        SCARD d -> 7
        SDIFFSTORE d d a b -> 1
        SMEMBERS d -> ["y"]
        SDIFFSTORE d d d -> 0
        EXISTS d -> 0
        SET d string EX 100 -> OK
        SUNIONSTORE d c -> 3
        TTL d -> -1
        SET d string -> OK
        SINTERSTORE d a none -> 0
        EXISTS d -> 0
        SINTERSTORE d none -> 0
        SUNIONSTORE a a a -> 5
        "#,
    );
}

/// Sets of different sizes, so that members are looked up where one is much smaller, and merged where not;
/// each result as the model has it, and as stored.
#[test]
fn sets_of_any_size_are_combined() {
    let mut rng = SmallRng::seed_from_u64(11);
    let mut shell = Shell::new();
    let mut model = Vec::new();
    for (index, size) in [0, 3, 30, 150, 700, 3000].into_iter().enumerate() {
        let names: Members =
            (0..size).map(|_| format!("m{}", rng.random_range(0..size * 2 + 5))).collect();
        for chunk in names.iter().collect::<Vec<_>>().chunks(500) {
            let chunk: Vec<&[u8]> = chunk.iter().map(|name| name.as_bytes()).collect();
            let key = format!("s{index}");
            shell.run_args(&[&[&b"SADD"[..], key.as_bytes()], &chunk[..]].concat());
        }
        model.push(names);
    }
    for _ in 0..60 {
        let chosen: Vec<usize> =
            (0..rng.random_range(1..4)).map(|_| rng.random_range(0..model.len())).collect();
        let keys: Vec<String> = chosen.iter().map(|index| format!("s{index}")).collect();
        let keys = keys.join(" ");
        let sets: Vec<&Members> = chosen.iter().map(|index| &model[*index]).collect();
        let of_first = |keep: &dyn Fn(&String) -> bool| {
            sets[0].iter().filter(|name| keep(name)).cloned().collect::<Members>()
        };
        for (operation, expected) in [
            ("UNION", sets.iter().flat_map(|set| set.iter()).cloned().collect()),
            ("INTER", of_first(&|name| sets.iter().all(|set| set.contains(name)))),
            ("DIFF", of_first(&|name| !sets[1..].iter().any(|set| set.contains(name)))),
        ] {
            let reply = shell.run(&format!("S{operation} {keys}"));
            assert_eq!(members(&reply), expected, "{operation} {keys}");
            let size = expected.len().to_string();
            shell.check(&format!("S{operation}STORE stored {keys}"), &size);
            assert_eq!(members(&shell.run("SMEMBERS stored")), expected);
            shell.check("SCARD stored", &size);
            if operation == "INTER" {
                shell.check(&format!("SINTERCARD {} {keys}", chosen.len()), &size);
            }
        }
    }
}

#[test]
fn redis_would_encode_it_so() {
    let mut shell = Shell::new();
    let numbers = |range: std::ops::Range<u32>| {
        range.fold(String::new(), |line, n| line + " " + &n.to_string())
    };
    shell.run(&format!("SADD s {}", numbers(0..512)));
    assert_eq!(encoding_of(&shell, "s"), "intset");
    shell.run("SADD s 511");
    assert_eq!(encoding_of(&shell, "s"), "intset");
    shell.run("SADD s 512");
    assert_eq!(encoding_of(&shell, "s"), "hashtable");
    shell.run("SREM s 512");
    assert_eq!(encoding_of(&shell, "s"), "hashtable");
    for (added, expected) in [
        ("1 -1 9223372036854775807 -9223372036854775808", "intset"),
        ("1 a", "hashtable"),
        ("a", "hashtable"),
        ("01", "hashtable"),
        ("-0", "hashtable"),
        ("9223372036854775808", "hashtable"),
        ("1.0", "hashtable"),
        ("''", "hashtable"),
    ] {
        shell.run("DEL t");
        shell.run(&format!("SADD t {added}"));
        assert_eq!(encoding_of(&shell, "t"), expected, "{added}");
    }
    shell.run("SADD mixed 1 2 a");
    shell.run("SREM mixed a");
    assert_eq!(encoding_of(&shell, "mixed"), "hashtable");
    shell.run("SUNIONSTORE stored mixed");
    assert_eq!(encoding_of(&shell, "stored"), "intset");
    // What is left over from nearly everything is written anew.
    shell.run(&format!("SADD popped {}", numbers(0..600)));
    assert_eq!(encoding_of(&shell, "popped"), "hashtable");
    shell.run("SPOP popped 590");
    assert_eq!(encoding_of(&shell, "popped"), "intset");
}

#[test]
fn it_is_a_set() {
    for seed in 0..4 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut shell = Shell::new();
        let mut model = Members::new();
        let names = [20, 60, 120, 400][seed as usize];
        for step in 0..1500 {
            let name = format!("m{}", rng.random_range(0..names));
            match rng.random_range(0..100) {
                0..50 => {
                    let reply = u8::from(model.insert(name.clone())).to_string();
                    shell.check(&format!("SADD s {name}"), &reply);
                }
                50..75 => {
                    let reply = u8::from(model.remove(&name)).to_string();
                    shell.check(&format!("SREM s {name}"), &reply);
                }
                75..90 => {
                    let reply = u8::from(model.contains(&name)).to_string();
                    shell.check(&format!("SISMEMBER s {name}"), &reply);
                }
                90..99 => {
                    let popped = shell.run("SPOP s").replace('"', "");
                    assert_eq!(model.remove(&popped), popped != "nil", "{popped}");
                }
                _ if rng.random_range(0..4) == 0 => {
                    model.clear();
                    shell.run("DEL s");
                }
                _ => {}
            }
            if step % 100 == 0 {
                assert_eq!(members(&shell.run("SMEMBERS s")), model);
                shell.check("SCARD s", &model.len().to_string());
                shell.check("EXISTS s", if model.is_empty() { "0" } else { "1" });
            }
        }
    }
}

#[test]
fn a_large_one_is_removed_at_once_and_swept_later() {
    let mut shell = Shell::new();
    fill(&mut shell, "s", 0..500);
    fill(&mut shell, "kept", 0..100);
    let elements = shell.databases.elements().clone();
    assert_eq!(shell.dump(&elements).len(), 600);
    shell.check("DEL s", "1");
    shell.check("SCARD s", "0");
    assert_eq!(shell.dump(&elements).len(), 600);
    assert_eq!(fill(&mut shell, "s", 0..5).len(), 5);
    shell.sweep(50);
    assert_eq!(shell.dump(&elements).len(), 100);
    shell.check("SCARD kept", "100");
    shell.check("SUNIONSTORE kept s", "5");
    shell.sweep(50);
    assert_eq!(shell.dump(&elements).len(), 0);
}
