//! What commands on sorted sets tell those who listen for events of keys, and which of them walk too far to be
//! run where others wait.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use std::sync::Arc;

use bytes::Bytes;
use futures::executor::block_on;
use harness::Shell;
use pontoon::command::{Environment, Request, admit, execute_read, execute_write};
use pontoon::resp::{Args, Encoder};
use pontoon_storage::Error;

#[test]
fn events_of_changes() {
    Shell::new().event_script(
        "
        ZADD z 1 a 2 b -> new z, zadd z
        ZADD z 1 a -> none
        ZADD z 3 a 4 b 5 c -> zadd z
        ZADD z NX 9 a -> none
        ZADD z XX 9 x -> none
        ZADD none XX 1 a -> none
        ZADD z GT 1 a -> none
        ZADD z INCR 1 a -> zincr z
        ZADD z INCR 0 a -> none
        ZINCRBY z 1 d -> zincr z
        ZREM z missing -> none
        ZREM z d -> zrem z
        ZADD z 1 d 2 e 3 f 4 g 5 h -> zadd z
        ZREMRANGEBYRANK z 0 0 -> zremrangebyrank z
        ZREMRANGEBYRANK z 99 99 -> none
        ZREMRANGEBYSCORE z 2 2 -> zremrangebyscore z
        ZREMRANGEBYSCORE z 99 99 -> none
        ZREM z a b c f g h -> zrem z, del z
        ZADD z 0 a 0 b -> new z, zadd z
        ZREMRANGEBYLEX z [a [a -> zremrangebylex z
        ZREMRANGEBYLEX z - + -> zremrangebylex z, del z
        ZADD z 0 a -> new z, zadd z
        ZREMRANGEBYRANK z 0 -1 -> zremrangebyrank z, del z
        ",
    );
}

#[test]
fn events_of_what_is_taken() {
    Shell::new().event_script(
        "
        ZADD z 1 a 2 b 3 c 4 d 5 e 6 f 7 g -> new z, zadd z
        ZPOPMIN z -> zpopmin z
        ZPOPMAX z 0 -> none
        ZPOPMAX z 2 -> zpopmax z
        ZMPOP 2 x z MIN -> zpopmin z
        BZPOPMAX z 0 -> zpopmax z
        BZMPOP 0 1 z MAX COUNT 9 -> zpopmax z, del z
        ZPOPMIN z -> none
        ZADD z 1 a -> new z, zadd z
        BZPOPMIN z 0 -> zpopmin z, del z
        ",
    );
}

#[test]
fn events_of_what_is_stored() {
    Shell::new().event_script(
        "
        ZADD z 1 a 2 b -> new z, zadd z
        ZRANGESTORE to z 0 -1 -> new to, zrangestore to
        ZRANGESTORE to z 5 6 -> del to
        ZRANGESTORE to z 5 6 -> none
        ZUNIONSTORE to 1 z -> new to, zunionstore to
        ZINTERSTORE to 1 z -> zinterstore to
        ZDIFFSTORE to 1 z -> zdiffstore to
        ZDIFFSTORE to 2 z z -> del to
        ZUNIONSTORE to 1 none -> keymiss none
        ZRANGESTORE to none 0 -1 -> keymiss none
        ",
    );
}

fn request(shell: &Shell, line: &str) -> Request {
    let args: Args = line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
    (admit(&shell.session, &shell.server, &args).unwrap(), args)
}

/// Whether the command is given back because it walks too far.
fn walks(shell: &Shell, line: &str) -> bool {
    let requests = vec![request(shell, line)];
    let (databases, server) = (shell.databases.clone(), Arc::clone(&shell.server));
    let (client, now_ms) = (Arc::clone(&shell.session.client), shell.now_ms);
    let mut out = Encoder::default();
    let is_write = requests[0].0.is_write();
    let mut run = move |tx: Option<&mut pontoon_storage::Transaction>,
                        view: Option<&pontoon_storage::View>| {
        let (databases, server, client) = (&databases, &server, &client);
        let environment = Environment { databases, server, client, db: 0, may_walk: false, now_ms };
        match (tx, view) {
            (Some(tx), _) => execute_write(tx, &environment, &requests, &mut out).unwrap().ran,
            (_, Some(view)) => execute_read(view, &environment, &requests, &mut out),
            _ => unreachable!(),
        }
    };
    let ran = if is_write {
        block_on(shell.store.update(move |tx| Ok::<_, Error>(run(Some(tx), None))))
    } else {
        block_on(shell.store.view(move |view| Ok::<_, Error>(run(None, Some(view)))))
    };
    let ran = ran.unwrap();
    assert_eq!(ran.done, usize::from(!ran.walks), "{line}");
    ran.walks
}

fn fill(shell: &mut Shell, key: &str, size: u32, name: &str) {
    let pairs = (0..size).fold(String::new(), |line, n| line + &format!(" {n} {name}{n:05}"));
    shell.check(&format!("ZADD {key}{pairs}"), &size.to_string());
}

#[test]
fn what_walks_far_is_given_back() {
    let mut shell = Shell::new();
    fill(&mut shell, "z", 1200, "m");
    shell.run("ZADD few 1 m1 2 m2");
    for line in [
        "ZRANGE z 0 -1",
        "ZRANGE z 100 1199",
        "ZREVRANGE z 0 1024",
        "ZRANGEBYSCORE z 100 inf",
        "ZREVRANGEBYSCORE z 1100 0 LIMIT 10 1030",
        "ZRANGEBYLEX z - +",
        "ZUNION 2 few z",
        "ZINTER 2 z z",
        "ZDIFF 2 z few",
        "ZINTERCARD 2 z z",
        "ZRANDMEMBER z 1100",
        "ZRANDMEMBER few -1100",
        "ZSCAN z 0 COUNT 1100",
        "ZRANGESTORE to z 0 -1",
        "ZRANGESTORE to z 0 1100 BYSCORE",
        "ZUNIONSTORE to 1 z",
        "ZINTERSTORE to 2 z z",
        "ZDIFFSTORE to 1 z",
    ] {
        assert!(walks(&shell, line), "{line}");
    }
    for line in [
        "ZRANGE z 0 1023",
        "ZRANGE z 1000 -1 WITHSCORES",
        "ZRANGEBYSCORE z 0 inf LIMIT 0 10",
        "ZRANGEBYSCORE z 0 inf LIMIT 1100 1024",
        "ZREVRANGEBYSCORE z 1000 0 LIMIT 900 1024",
        "ZRANK z m00600",
        "ZCOUNT z 0 600",
        "ZLEXCOUNT z - +",
        "ZINTER 2 few z",
        "ZDIFF 2 few z",
        "ZRANDMEMBER z",
        "ZRANDMEMBER z 10",
        "ZSCAN z 0 COUNT 1000",
        "ZSCAN few 0 COUNT 2000",
        "ZRANGESTORE to z 0 1000",
        "ZINTERSTORE to 2 few z",
        "ZADD z 0 m01100",
        "ZREMRANGEBYRANK z 0 -1",
    ] {
        assert!(!walks(&shell, line), "{line}");
    }
}

/// Their ranks are found by walking over all of them.
#[test]
fn ranks_among_names_that_begin_alike_for_long_walk_far() {
    let mut shell = Shell::new();
    let name = "m".repeat(150);
    let pairs = (0..1200).fold(String::new(), |line, n| line + &format!(" 1 {name}{n:05}"));
    shell.check(&format!("ZADD z{pairs}"), "1200");
    for line in [
        format!("ZRANK z {name}00600"),
        "ZCOUNT z 0 600".into(),
        format!("ZLEXCOUNT z [{name}00100 +"),
        "ZRANGE z 1100 1110".into(),
    ] {
        assert!(walks(&shell, &line), "{line}");
    }
    assert!(!walks(&shell, "ZRANGE z 0 10"));
    shell.check(&format!("ZRANK z {name}00600"), "600");
    shell.check(&format!("ZLEXCOUNT z [{name}00100 +"), "1100");
}

#[test]
fn what_is_read_first_is_written_then() {
    let mut shell = Shell::new();
    fill(&mut shell, "z", 1200, "m");
    assert_eq!(shell.run_prepared("ZRANGESTORE to z 0 -1", |_| {}), "1200");
    shell.check("ZRANK to m00700", "700");
    assert_eq!(shell.run_prepared("ZUNIONSTORE to 2 z to", |_| {}), "1200");
    shell.check("ZSCORE to m00700", "\"1400\"");
    // What changes in between counts: all of it is done again.
    let between = |shell: &mut Shell| shell.check("ZADD z 0 new", "1");
    assert_eq!(shell.run_prepared("ZINTERSTORE to 2 z z", between), "1201");
    let between = |shell: &mut Shell| shell.check("SET to string", "OK");
    assert_eq!(shell.run_prepared("ZDIFFSTORE to 2 z none", between), "1201");
    assert_eq!(shell.run_prepared("ZDIFFSTORE to 2 z z", |_| {}), "0");
    shell.check("EXISTS to", "0");
}

#[test]
fn sets_count_with_score_1() {
    let mut shell = Shell::new();
    shell.script(
        r#"
        SADD s a b c -> 3
        ZADD z 5 b 7 d -> 2
        ZUNION 2 s z WITHSCORES -> ["a" "1" "c" "1" "b" "6" "d" "7"]
        ZINTER 2 z s WEIGHTS 2 3 WITHSCORES -> ["b" "13"]
        ZDIFF 2 z s WITHSCORES -> ["d" "7"]
        ZDIFF 2 s z WITHSCORES -> ["a" "1" "c" "1"]
        ZINTERCARD 2 s z -> 1
        ZUNIONSTORE s 1 s -> 3
        TYPE s -> zset
        "#,
    );
    let members = (0..700).fold(String::new(), |line, n| line + &format!(" m{n}"));
    shell.check(&format!("SADD large{members}"), "700");
    shell.check("ZADD z 1 m5 2 m699 3 m700", "3");
    shell.check("ZINTER 2 z large WITHSCORES", r#"["m5" "2" "m699" "3"]"#);
    shell.check("ZDIFFSTORE to 2 large z", "698");
    shell.check("ZDIFF 2 z large", r#"["m700" "b" "d"]"#);
    shell.check("ZUNIONSTORE to 2 z large", "703");
}

#[test]
fn random_members() {
    let mut shell = Shell::new();
    shell.script(
        r#"
        ZRANDMEMBER none -> nil
        ZRANDMEMBER none 1 -> []
        ZRANDMEMBER none -1 WITHSCORES -> []
        ZADD z 1.5 a -> 1
        ZRANDMEMBER z -> "a"
        ZRANDMEMBER z 5 -> ["a"]
        ZRANDMEMBER z 5 withscores -> ["a" "1.5"]
        ZRANDMEMBER z -2 WITHSCORES -> ["a" "1.5" "a" "1.5"]
        ZRANDMEMBER z 0 -> []
        ZRANDMEMBER z x -> (error) ERR value is not an integer or out of range
        ZRANDMEMBER z 1 WHAT -> (error) ERR syntax error
        ZRANDMEMBER z 1 WITHSCORES 1 -> (error) ERR syntax error
        ZRANDMEMBER z -9223372036854775808 -> (error) ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
        ZRANDMEMBER z -9223372036854775807 WITHSCORES -> (error) ERR value is out of range
        "#,
    );
    fill(&mut shell, "large", 1100, "m");
    let reply = shell.run("ZRANDMEMBER large 20 WITHSCORES");
    let words: Vec<_> =
        reply.trim_matches(['[', ']']).split(' ').map(|w| w.trim_matches('"')).collect();
    assert_eq!(words.len(), 40);
    for pair in words.chunks(2) {
        let score: u32 = pair[1].parse().unwrap();
        assert_eq!(pair[0], format!("m{score:05}"));
    }
    shell.run("HELLO 3");
    shell.check("ZRANDMEMBER z 1 WITHSCORES", r#"[["a" ,1.5]]"#);
    shell.check("ZRANDMEMBER z -1", r#"["a"]"#);
}

#[test]
fn zscan() {
    let mut shell = Shell::new();
    shell.script(
        r#"
        ZSCAN none 0 -> ["0" []]
        ZADD z 1.5 a 2 b -> 2
        ZSCAN z 0 MATCH a* -> ["0" ["a" "1.5"]]
        ZSCAN z x -> (error) ERR invalid cursor
        ZSCAN z 0 COUNT 0 -> (error) ERR syntax error
        "#,
    );
    fill(&mut shell, "large", 1100, "m");
    let (mut seen, mut cursor) = (vec![], "0".to_owned());
    loop {
        let reply = shell.run(&format!("ZSCAN large {cursor} COUNT 100"));
        let inside = reply.strip_prefix("[\"").unwrap().strip_suffix("]]").unwrap();
        let (next, members) = inside.split_once("\" [").unwrap();
        let words: Vec<_> = members.split(' ').map(|word| word.trim_matches('"')).collect();
        for pair in words.chunks(2) {
            assert_eq!(pair[0], format!("m{:05}", pair[1].parse::<u32>().unwrap()));
            seen.push(pair[0].to_owned());
        }
        cursor = next.to_owned();
        if cursor == "0" {
            break;
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 1100);
    shell.run("HELLO 3");
    shell.check("ZSCAN z 0 MATCH a", r#"["0" ["a" "1.5"]]"#);
}

#[test]
fn encodings_are_those_of_redis() {
    let mut shell = Shell::new();
    fill(&mut shell, "z", 128, "m");
    let long = "x".repeat(64);
    shell.check("OBJECT ENCODING z", "\"listpack\"");
    shell.check("ZADD z 1 more", "1");
    shell.check("OBJECT ENCODING z", "\"skiplist\"");
    shell.check("ZREM z more", "1");
    shell.check("OBJECT ENCODING z", "\"skiplist\"");
    shell.check("ZRANGESTORE to z 0 -1", "128");
    shell.check("OBJECT ENCODING to", "\"listpack\"");
    shell.check(&format!("ZADD y 1 {long}"), "1");
    shell.check("OBJECT ENCODING y", "\"listpack\"");
    shell.check(&format!("ZADD y 1 {long}x"), "1");
    shell.check("OBJECT ENCODING y", "\"skiplist\"");
    shell.check("ZUNIONSTORE to 2 y z", "130");
    shell.check("OBJECT ENCODING to", "\"skiplist\"");
}
