//! `COPY`, `MOVE` and `SWAPDB`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use harness::Shell;

#[test]
fn copy() {
    Shell::new().script(
        r#"
        COPY a b -> 0
        SET a 1 -> OK
        COPY a b -> 1
        GET b -> "1"
        SET a 2 -> OK
        COPY a b -> 0
        GET b -> "1"
        COPY a b REPLACE -> 1
        GET b -> "2"
        APPEND b x -> 2
        MGET a b -> ["2" "2x"]
        COPY a b DB 3 -> 1
        COPY a b DB 3 -> 0
        COPY a b DB 0 -> 0
        COPY a a DB 3 replace -> 1
        COPY a b DB 4 DB 5 REPLACE REPLACE -> 1
        DBSIZE -> 2
        SELECT 3 -> OK
        MGET a b -> ["2" "2"]
        SELECT 4 -> OK
        DBSIZE -> 0
        SELECT 5 -> OK
        GET b -> "2"
        "#,
    );
}

#[test]
fn copy_brings_the_expiry_along() {
    Shell::new().script(
        r#"
        SET a 1 EX 100 -> OK
        SET b 2 -> OK
        SET c 3 EX 50 -> OK
        COPY a b REPLACE -> 1
        TTL b -> 100
        COPY a b DB 1 -> 1
        PERSIST a -> 1
        COPY a c REPLACE -> 1
        TTL c -> -1
        GET c -> "1"
        SELECT 1 -> OK
        TTL b -> 100
        "#,
    );
}

#[test]
fn copy_refuses() {
    Shell::new().script(
        "
        COPY a a -> (error) ERR source and destination objects are the same
        COPY a a REPLACE -> (error) ERR source and destination objects are the same
        COPY a a DB 0 -> (error) ERR source and destination objects are the same
        COPY a b DB -> (error) ERR syntax error
        COPY a b NOW -> (error) ERR syntax error
        COPY a b DB x -> (error) ERR value is not an integer or out of range
        COPY a b DB 16 -> (error) ERR DB index is out of range
        COPY a b DB -1 -> (error) ERR DB index is out of range
        COPY a b DB 9999999999 -> (error) ERR value is out of range, value must between -2147483648 and 2147483647
        COPY a -> (error) ERR wrong number of arguments for 'copy' command
        ",
    );
    let mut shell = Shell::new();
    shell.run("SET a 1");
    let long = "k".repeat(70_000);
    let reply = shell.run(&format!("COPY a {long}"));
    assert_eq!(reply, "(error) ERR key exceeds maximum allowed size (65536 bytes)");
    shell.check("DBSIZE", "1");
}

#[test]
fn move_to_another_database() {
    Shell::new().script(
        r#"
        MOVE a 1 -> 0
        SET a 1 EX 100 -> OK
        SET b 2 -> OK
        MOVE a 0 -> (error) ERR source and destination objects are the same
        MOVE a x -> (error) ERR value is not an integer or out of range
        MOVE a 16 -> (error) ERR DB index is out of range
        MOVE a -1 -> (error) ERR DB index is out of range
        MOVE a -> (error) ERR wrong number of arguments for 'move' command
        MOVE a 1 -> 1
        EXISTS a -> 0
        SET a 9 -> OK
        MOVE a 1 -> 0
        MOVE b 1 -> 1
        GET a -> "9"
        DBSIZE -> 1
        SELECT 1 -> OK
        MGET a b -> ["1" "2"]
        TTL a -> 100
        TTL b -> -1
        DBSIZE -> 2
        MOVE b 0 -> 1
        SELECT 0 -> OK
        MGET a b -> ["9" "2"]
        "#,
    );
}

#[test]
fn long_strings_are_copied_and_moved_whole_and_leave_nothing_behind() {
    let mut shell = Shell::new();
    let long: Vec<u8> = (0..100_000).map(|byte| byte as u8).collect();
    shell.run_args(&[b"SET", b"a", &long]);
    shell.script(
        "
        COPY a b -> 1
        COPY a c DB 2 -> 1
        SETRANGE b 50000 xyz -> 100000
        SETRANGE a 200000 end -> 200003
        MOVE b 2 -> 1
        SELECT 2 -> OK
        ",
    );
    assert_eq!(shell.get(b"c").unwrap(), long);
    let mut changed = long.clone();
    changed[50_000..50_003].copy_from_slice(b"xyz");
    assert_eq!(shell.get(b"b").unwrap(), changed);
    shell.run("COPY b c REPLACE");
    assert_eq!(shell.get(b"c").unwrap(), changed);
    shell.script(
        "
        DEL b c -> 2
        SELECT 0 -> OK
        DEL a -> 1
        ",
    );
    shell.sweep(100);
    assert_eq!(shell.dump(shell.databases.elements()), []);
}

/// What a value of each type is, small and large, as a command shows it.
#[test]
fn every_type_is_copied_moved_renamed_and_removed_whole() {
    let long = "v".repeat(100);
    for count in [3, 200] {
        let all =
            |each: &dyn Fn(usize) -> String| (0..count).map(each).collect::<Vec<_>>().join(" ");
        for (make, show, change) in [
            (format!("RPUSH a {}", all(&|n| format!("{n}{long}"))), "LRANGE a 0 -1", "LPOP a"),
            (format!("SADD a {}", all(&|n| format!("{n}{long}"))), "SMEMBERS a", "SADD a new"),
            (format!("HSET a {}", all(&|n| format!("{n} {long}"))), "HGETALL a", "HSET a new v"),
            (
                format!("ZADD a {}", all(&|n| format!("{} {n}{long}", n * 7 % 10))),
                "ZRANGE a 0 -1 WITHSCORES",
                "ZADD a 5.5 new",
            ),
            (format!("SETRANGE a {} x", count * 100), "GET a", "APPEND a y"),
        ] {
            let mut shell = Shell::new();
            shell.run(&make);
            shell.run("EXPIRE a 1000");
            let value = shell.run(show);
            let show_at = |key: &str| show.replace(" a", &format!(" {key}"));
            let check = |shell: &mut Shell, key: &str| {
                shell.check(&show_at(key), &value);
                shell.check(&format!("TTL {key}"), "1000");
            };
            shell.check("COPY a b", "1");
            check(&mut shell, "b");
            // Neither has anything to do with the other.
            shell.run(change);
            check(&mut shell, "b");
            let changed = shell.run(show);
            assert_ne!(changed, value);
            shell.check("MOVE b 9", "1");
            shell.check("EXISTS b", "0");
            shell.check("RENAME a c", "OK");
            assert_eq!(shell.run(&show_at("c")), changed);
            shell.check("COPY c d DB 9", "1");
            shell.check("DEL c", "1");
            shell.check("SELECT 9", "OK");
            check(&mut shell, "b");
            assert_eq!(shell.run(&show_at("d")), changed);
            // The indices that find its elements have come along.
            shell.run("RENAME b a");
            shell.run(change);
            assert_eq!(shell.run(show), changed);
            shell.check("UNLINK a d", "2");
            shell.sweep(100);
            let databases = shell.databases.clone();
            for keyspace in [databases.meta(), databases.elements(), databases.expiry()] {
                assert_eq!(shell.dump(keyspace), [], "{make:.20}");
            }
        }
    }
}

#[test]
fn swapdb() {
    Shell::new().script(
        r#"
        SET a zero -> OK
        SET b zero EX 100 -> OK
        SELECT 1 -> OK
        SET a one -> OK
        SWAPDB 0 1 -> OK
        GET a -> "zero"
        TTL b -> 100
        DBSIZE -> 2
        SELECT 0 -> OK
        GET a -> "one"
        EXISTS b -> 0
        DBSIZE -> 1
        SWAPDB 1 0 -> OK
        MGET a b -> ["zero" "zero"]
        SWAPDB 3 3 -> OK
        SWAPDB 0 7 -> OK
        DBSIZE -> 0
        SWAPDB x 1 -> (error) ERR invalid first DB index
        SWAPDB 99 x -> (error) ERR invalid second DB index
        SWAPDB 99999999999 1 -> (error) ERR invalid first DB index
        SWAPDB 0 16 -> (error) ERR DB index is out of range
        SWAPDB -1 0 -> (error) ERR DB index is out of range
        SWAPDB 0 -> (error) ERR wrong number of arguments for 'swapdb' command
        "#,
    );
}

#[test]
fn what_expires_in_a_database_that_was_swapped_is_swept() {
    let mut shell = Shell::new();
    shell.run("SET a 1 PX 10");
    shell.run("SWAPDB 0 5");
    shell.now_ms += 11;
    assert_eq!(shell.expire_step(10).removed, 1);
    shell.script(
        "
        SELECT 5 -> OK
        DBSIZE -> 0
        ",
    );
}

#[test]
fn events() {
    Shell::new().event_script(
        "
        COPY a b -> keymiss a
        SET a 1 -> new a, set a
        COPY a b -> new b, copy_to b
        COPY a b -> none
        COPY a b REPLACE -> new b, copy_to b
        COPY a b DB 9 -> new 9:b, copy_to 9:b
        MOVE missing 9 -> none
        MOVE b 9 -> none
        MOVE a 9 -> new 9:a, move_from a, move_to 9:a
        SWAPDB 0 9 -> none
        SET e 1 PXAT 1 -> new e, set e, expire e
        COPY e f -> expired e, keymiss e
        SET e 1 PXAT 1 -> new e, set e, expire e
        COPY a e -> expired e, new e, copy_to e
        SET f 1 PXAT 1 -> new f, set f, expire f
        MOVE f 9 -> expired f
        ",
    );
}
