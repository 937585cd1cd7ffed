//! Hashes behave as in Redis, whether they are in their record or have an entry for each field.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use std::collections::{BTreeMap, BTreeSet};

use harness::Shell;
use pontoon::data::{Record, encoding, hash};
use pontoon::resp::Protocol;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// The parts of a reply that is an array of strings without blanks, which are not sorted.
fn parts(reply: &str) -> Vec<String> {
    let inside = reply.trim_matches(|c| "~[]{}".contains(c));
    inside.split(' ').filter(|part| !part.is_empty()).map(|part| part.replace('"', "")).collect()
}

fn sorted(reply: &str) -> Vec<String> {
    let mut parts = parts(reply);
    parts.sort();
    parts
}

fn pairs(reply: &str) -> BTreeMap<String, String> {
    let parts = parts(reply);
    assert!(parts.len().is_multiple_of(2), "{reply}");
    let pairs: BTreeMap<_, _> =
        parts.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
    assert_eq!(pairs.len(), parts.len() / 2, "a field came twice: {reply}");
    pairs
}

/// A hash of so many fields `f0`, `f1`, … with values `v0`, `v1`, …
fn fill(shell: &mut Shell, key: &str, size: u32) {
    let line = (0..size).fold(format!("HSET {key}"), |line, n| line + &format!(" f{n} v{n}"));
    shell.check(&line, &size.to_string());
}

fn encoding_of(shell: &Shell, key: &str) -> &'static str {
    let meta = shell.databases.meta().clone();
    let stored = shell.dump(&meta).into_iter().find(|(stored, _)| {
        let (_, name) = encoding::split_record_key(stored).unwrap();
        name == key
    });
    hash::encoding(&Record::decode(stored.unwrap().1).unwrap()).unwrap()
}

#[test]
fn fields_are_set_and_read() {
    Shell::new().script(
        r#"
        HGET h a -> nil
        HSET h a 1 -> 1
        HSET h a 2 b 3 c '' -> 2
        HGET h a -> "2"
        HGET h c -> ""
        HGET h d -> nil
        HLEN h -> 3
        HMGET h a d b a -> ["2" nil "3" "2"]
        HEXISTS h a -> 1
        HEXISTS h d -> 0
        HSTRLEN h c -> 0
        HSTRLEN h b -> 1
        HSTRLEN h d -> 0
        HSET h a 1 a 2 -> 0
        HGET h a -> "2"
        HSET new a 1 a 2 -> 1
        HMSET h a 5 e 6 -> OK
        HLEN h -> 4
        HSETNX h a 9 -> 0
        HSETNX h f 9 -> 1
        HGET h a -> "5"
        HGET h f -> "9"
        HSET h '' empty -> 1
        HGET h '' -> "empty"
        TYPE h -> hash
        "#,
    );
}

#[test]
fn what_is_not_there_is_empty() {
    let mut shell = Shell::new();
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        shell.session.protocol = protocol;
        shell.script(
            "
            HGET h a -> nil
            HMGET h a b -> [nil nil]
            HKEYS h -> []
            HVALS h -> []
            HLEN h -> 0
            HSTRLEN h a -> 0
            HEXISTS h a -> 0
            HDEL h a -> 0
            HRANDFIELD h -> nil
            HRANDFIELD h 5 -> []
            HRANDFIELD h -5 WITHVALUES -> []
            HSCAN h 0 NO SUCH OPTIONS -> [\"0\" []]
            EXISTS h -> 0
            ",
        );
    }
    shell.check("HGETALL h", "{}");
    shell.session.protocol = Protocol::Resp2;
    shell.check("HGETALL h", "[]");
}

#[test]
fn fields_are_removed_and_the_key_with_the_last() {
    let mut shell = Shell::new();
    shell.script(
        "
        HSET h a 1 b 2 c 3 -> 3
        HDEL h x y -> 0
        HDEL h a x a b -> 2
        HDEL h c c -> 1
        EXISTS h -> 0
        DBSIZE -> 0
        ",
    );
    fill(&mut shell, "large", 300);
    for n in 0..299 {
        shell.check(&format!("HDEL large f{n} f{n}"), "1");
    }
    shell.script(
        "
        HLEN large -> 1
        HGETALL large -> [\"f299\" \"v299\"]
        HDEL large f299 -> 1
        EXISTS large -> 0
        ",
    );
    shell.sweep(100);
    let elements = shell.databases.elements().clone();
    assert_eq!(shell.dump(&elements), []);
}

#[test]
fn all_of_it_is_returned_whatever_its_size() {
    let mut shell = Shell::new();
    for size in [1, 5, 40, 100, 600, 1500] {
        let key = format!("h{size}");
        fill(&mut shell, &key, size);
        shell.check(&format!("HLEN {key}"), &size.to_string());
        let all = pairs(&shell.run(&format!("HGETALL {key}")));
        assert_eq!(all.len(), size as usize);
        assert!(all.iter().all(|(field, value)| field[1..] == value[1..]));
        let keys = sorted(&shell.run(&format!("HKEYS {key}")));
        assert!(keys.iter().eq(all.keys()));
        let values = sorted(&shell.run(&format!("HVALS {key}")));
        let expected: BTreeSet<_> = all.values().collect();
        assert!(values.iter().eq(expected));
    }
    shell.session.protocol = Protocol::Resp3;
    shell.check("HGETALL h1", r#"{"f0" "v0"}"#);
    shell.check("HKEYS h1", r#"["f0"]"#);
}

#[test]
fn numbers_are_added_to() {
    let mut shell = Shell::new();
    shell.script(
        r#"
        HINCRBY h n 5 -> 5
        HINCRBY h n -7 -> -2
        HGET h n -> "-2"
        HSET h s x -> 1
        HINCRBY h s 1 -> (error) ERR hash value is not an integer
        HINCRBY h n x -> (error) ERR value is not an integer or out of range
        HINCRBY h n 1.5 -> (error) ERR value is not an integer or out of range
        HSET h n 9223372036854775807 -> 0
        HINCRBY h n 1 -> (error) ERR increment or decrement would overflow
        HINCRBY h n -1 -> 9223372036854775806
        HINCRBYFLOAT h f 10.50 -> "10.5"
        HINCRBYFLOAT h f 0.1 -> "10.6"
        HGET h f -> "10.6"
        HINCRBYFLOAT h f -5 -> "5.6"
        HINCRBYFLOAT h n 0.5 -> "9223372036854775806.5"
        HINCRBYFLOAT h s 1 -> (error) ERR hash value is not a float
        HINCRBYFLOAT h f x -> (error) ERR value is not a valid float
        HINCRBYFLOAT h hex 0x10 -> "16"
        HDEL h hex -> 1
        HINCRBYFLOAT h f inf -> (error) ERR value is NaN or Infinity
        HINCRBYFLOAT none f -inf -> (error) ERR value is NaN or Infinity
        HINCRBYFLOAT none f nan -> (error) ERR value is not a valid float
        EXISTS none -> 0
        HSET h f inf -> 0
        HINCRBYFLOAT h f 1 -> (error) ERR increment would produce NaN or Infinity
        "#,
    );
    shell.run_args(&[b"HSET", b"h", b"blank", b" 11"]);
    shell.check("HINCRBY h blank 1", "(error) ERR hash value is not an integer");
    shell.check("HINCRBYFLOAT h blank 1", "(error) ERR hash value is not a float");
}

#[test]
fn errors_come_in_the_order_of_redis() {
    let mut shell = Shell::new();
    shell.check("SET s x", "OK");
    for line in [
        "HGET s a",
        "HMGET s a",
        "HGETALL s",
        "HKEYS s",
        "HVALS s",
        "HLEN s",
        "HSTRLEN s a",
        "HEXISTS s a",
        "HDEL s a",
        "HSET s a 1",
        "HMSET s a 1",
        "HSETNX s a 1",
        "HINCRBY s a 1",
        "HINCRBYFLOAT s a 1",
        "HRANDFIELD s",
        "HRANDFIELD s 0",
        "HSCAN s 0 NO SUCH OPTIONS",
    ] {
        let wrong = "(error) WRONGTYPE Operation against a key holding the wrong kind of value";
        shell.check(line, wrong);
    }
    shell.script(
        "
        HSET s a -> (error) ERR wrong number of arguments for 'hset' command
        HSET s a 1 b -> (error) ERR wrong number of arguments for 'hset' command
        HMSET s a 1 b -> (error) ERR wrong number of arguments for 'hmset' command
        HINCRBY s a x -> (error) ERR value is not an integer or out of range
        HINCRBYFLOAT s a x -> (error) ERR value is not a valid float
        HINCRBYFLOAT s a inf -> (error) ERR value is NaN or Infinity
        HRANDFIELD s x -> (error) ERR value is not an integer or out of range
        HRANDFIELD s 1 x -> (error) ERR syntax error
        HSCAN s x -> (error) ERR invalid cursor
        ",
    );
}

#[test]
fn fields_at_random() {
    let mut shell = Shell::new();
    fill(&mut shell, "h", 5);
    fill(&mut shell, "large", 300);
    for (key, size) in [("h", 5), ("large", 300)] {
        let all: BTreeSet<_> = parts(&shell.run(&format!("HKEYS {key}"))).into_iter().collect();
        let one = shell.run(&format!("HRANDFIELD {key}")).replace('"', "");
        assert!(all.contains(&one));
        for count in [1, 3, size - 1, size, 1000] {
            let fields = parts(&shell.run(&format!("HRANDFIELD {key} {count}")));
            let different: BTreeSet<_> = fields.iter().cloned().collect();
            assert_eq!((fields.len(), different.len()), (count.min(size), count.min(size)));
            assert!(different.is_subset(&all));
            let fields = parts(&shell.run(&format!("HRANDFIELD {key} -{count}")));
            assert_eq!(fields.len(), count);
            assert!(fields.iter().all(|field| all.contains(field)));
            let with_values = parts(&shell.run(&format!("HRANDFIELD {key} -{count} WITHVALUES")));
            assert_eq!(with_values.len(), 2 * count);
            assert!(with_values.chunks(2).all(|pair| pair[0][1..] == pair[1][1..]));
        }
        let with_values = pairs(&shell.run(&format!("HRANDFIELD {key} 3 withvalues")));
        assert_eq!(with_values.len(), 3);
        assert!(with_values.iter().all(|(field, value)| field[1..] == value[1..]));
    }
    shell.script(
        "
        HRANDFIELD h 0 -> []
        HRANDFIELD h x -> (error) ERR value is not an integer or out of range
        HRANDFIELD h 1 x -> (error) ERR syntax error
        HRANDFIELD h 1 WITHVALUES x -> (error) ERR syntax error
        HRANDFIELD h -9223372036854775808 -> (error) ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
        HRANDFIELD h -9223372036854770000 WITHVALUES -> (error) ERR value is out of range
        HRANDFIELD h 4611686018427387904 WITHVALUES -> (error) ERR value is out of range
        HRANDFIELD h -9223372036854775807 -> (error) ERR reply exceeds maximum allowed size (536870912 bytes)
        HSET one f v -> 1
        ",
    );
    shell.session.protocol = Protocol::Resp3;
    shell.script(
        r#"
        HRANDFIELD one 2 -> ["f"]
        HRANDFIELD one 2 WITHVALUES -> [["f" "v"]]
        HRANDFIELD one -2 WITHVALUES -> [["f" "v"] ["f" "v"]]
        "#,
    );
}

#[test]
fn long_fields_and_values() {
    let mut shell = Shell::new();
    let (long, too_long) = (vec![b'f'; 64 << 10], vec![b'f'; (64 << 10) + 1]);
    let value = vec![b'v'; 1 << 20];
    assert_eq!(shell.run_args(&[b"HSET", b"h", &long, &value]), "1");
    assert_eq!(shell.run_args(&[b"HSTRLEN", b"h", &long]), (1 << 20).to_string());
    let reply = shell.reply_bytes(&[b"HGET", b"h", &long]);
    assert!(reply.ends_with(b"v\r\n") && reply.len() > 1 << 20);

    let refused = "(error) ERR member or field exceeds maximum allowed size (65536 bytes)";
    assert_eq!(shell.run_args(&[b"HSET", b"h", b"a", b"1", &too_long, b"2"]), refused);
    assert_eq!(shell.run_args(&[b"HSETNX", b"h", &too_long, b"2"]), refused);
    assert_eq!(shell.run_args(&[b"HINCRBY", b"new", &too_long, b"2"]), refused);
    assert_eq!(shell.run_args(&[b"HGET", b"h", &too_long]), "nil");
    assert_eq!(shell.run_args(&[b"HMGET", b"h", &too_long, b"a"]), "[nil nil]");
    assert_eq!(shell.run_args(&[b"HEXISTS", b"h", &too_long]), "0");
    assert_eq!(shell.run_args(&[b"HDEL", b"h", &too_long, &long]), "1");
    shell.check("DBSIZE", "0");
}

#[test]
fn expiry_and_names_stay_with_it() {
    let mut shell = Shell::new();
    for size in [3, 300] {
        fill(&mut shell, "h", size);
        shell.script(
            "
            EXPIRE h 100 -> 1
            HSET h f0 other -> 0
            HDEL h f1 -> 1
            HINCRBY h n 1 -> 1
            TTL h -> 100
            RENAME h moved -> OK
            HGET moved f2 -> \"v2\"
            HLEN h -> 0
            TTL moved -> 100
            ",
        );
        shell.now_ms += 100_001;
        shell.check("HGETALL moved", "[]");
        shell.check("HSET moved f0 again", "1");
        shell.check("HGETALL moved", "[\"f0\" \"again\"]");
        shell.check("TTL moved", "-1");
        shell.check("DEL moved", "1");
    }
    shell.sweep(100);
    let elements = shell.databases.elements().clone();
    assert_eq!(shell.dump(&elements), []);
}

#[test]
fn redis_would_encode_it_so() {
    let mut shell = Shell::new();
    fill(&mut shell, "h", 512);
    assert_eq!(encoding_of(&shell, "h"), "listpack");
    shell.check("HSET h f0 changed", "0");
    assert_eq!(encoding_of(&shell, "h"), "listpack");
    shell.check("HSET h f512 v", "1");
    assert_eq!(encoding_of(&shell, "h"), "hashtable");
    shell.check("HDEL h f512", "1");
    assert_eq!(encoding_of(&shell, "h"), "hashtable");

    let (fits, long) = ("x".repeat(64), "x".repeat(65));
    for (fields, expected) in [
        (format!("{fits} {fits}"), "listpack"),
        (format!("{long} v"), "hashtable"),
        (format!("f {long} f short"), "hashtable"),
    ] {
        shell.run("DEL h");
        shell.run(&format!("HSET h {fields}"));
        assert_eq!(encoding_of(&shell, "h"), expected);
    }
    shell.run("DEL h");
    shell.run(&format!("HSETNX h {long} v"));
    assert_eq!(encoding_of(&shell, "h"), "hashtable");
    shell.run("DEL h");
    shell.run(&format!("HINCRBY h {long} 1"));
    assert_eq!(encoding_of(&shell, "h"), "hashtable");
}

#[test]
fn it_is_a_map() {
    for seed in 0..4 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut shell = Shell::new();
        let mut model = BTreeMap::<String, String>::new();
        // From packed to large and, once the key is gone, back.
        let fields = [20, 60, 120, 400][seed as usize];
        for step in 0..1500 {
            let field = format!("f{}", rng.random_range(0..fields));
            let value = format!("{}", rng.random_range(0..1000));
            match rng.random_range(0..100) {
                0..40 => {
                    let is_new = model.insert(field.clone(), value.clone()).is_none();
                    let reply = u8::from(is_new).to_string();
                    shell.check(&format!("HSET h {field} {value}"), &reply);
                }
                40..50 => {
                    let is_new = !model.contains_key(&field);
                    model.entry(field.clone()).or_insert_with(|| value.clone());
                    let reply = u8::from(is_new).to_string();
                    shell.check(&format!("HSETNX h {field} {value}"), &reply);
                }
                50..75 => {
                    let reply = u8::from(model.remove(&field).is_some()).to_string();
                    shell.check(&format!("HDEL h {field}"), &reply);
                }
                75..85 => {
                    let sum = model.get(&field).map_or(0, |value| value.parse().unwrap()) + 7;
                    model.insert(field.clone(), sum.to_string());
                    shell.check(&format!("HINCRBY h {field} 7"), &sum.to_string());
                }
                85..99 => {
                    let reply = model.get(&field).map_or("nil".into(), |v| format!("\"{v}\""));
                    shell.check(&format!("HGET h {field}"), &reply);
                }
                _ if rng.random_range(0..4) == 0 => {
                    model.clear();
                    shell.run("DEL h");
                }
                _ => {}
            }
            if step % 100 == 0 {
                assert_eq!(pairs(&shell.run("HGETALL h")), model);
                shell.check("HLEN h", &model.len().to_string());
                shell.check("EXISTS h", if model.is_empty() { "0" } else { "1" });
            }
        }
        shell.run("DEL h");
        shell.sweep(1000);
        let elements = shell.databases.elements().clone();
        assert_eq!(shell.dump(&elements), []);
    }
}
