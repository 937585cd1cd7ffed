//! Strings as bits: single bits, counting, finding, combining, fields. `bitmap_model.rs` compares
//! them with plain bits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use bytes::Bytes;
use harness::Shell;
use pontoon::command::find;
use pontoon::data::string::{CHUNK_BYTES, INLINE_BYTES_MAX};
use pontoon::data::{DbWriter, Kind, Record, RunState};

#[test]
fn setbit_and_getbit() {
    Shell::new().script(
        r#"
        GETBIT k 7 -> 0
        EXISTS k -> 0
        SETBIT k 7 1 -> 0
        SETBIT k 7 1 -> 1
        GET k -> "\x01"
        SETBIT k 0 1 -> 0
        SETBIT k 7 0 -> 1
        GET k -> "\x80"
        GETBIT k 0 -> 1
        GETBIT k 1 -> 0
        GETBIT k 100 -> 0
        SETBIT k 20 0 -> 0
        GET k -> "\x80\x00\x00"
        SET number 1 EX 100 -> OK
        GETBIT number 3 -> 1
        SETBIT number 6 1 -> 0
        GET number -> "3"
        TTL number -> 100
        "#,
    );
}

#[test]
fn setbit_and_getbit_refuse() {
    let mut shell = Shell::new();
    shell.run("SET k v");
    for offset in ["-1", "#1", "x", "''", "4294967296", "9223372036854775808"] {
        let refusal = "(error) ERR bit offset is not an integer or out of range";
        shell.check(&format!("SETBIT k {offset} 1"), refusal);
        shell.check(&format!("GETBIT k {offset}"), refusal);
    }
    for bit in ["2", "-1", "x", "11"] {
        let refusal = "(error) ERR bit is not an integer or out of range";
        shell.check(&format!("SETBIT k 0 {bit}"), refusal);
    }
    shell.check("GET k", "\"v\"");
}

#[test]
fn the_last_bit_takes_no_room_before_it() {
    let mut shell = Shell::new();
    shell.script(
        "
        SETBIT k 4294967295 1 -> 0
        STRLEN k -> 536870912
        GETBIT k 4294967295 -> 1
        GETBIT k 4294967294 -> 0
        GETBIT k 5 -> 0
        BITCOUNT k -> 1
        BITPOS k 1 -> 4294967295
        BITPOS k 0 -> 0
        BITPOS k 0 4294967295 4294967295 BIT -> -1
        BITPOS k 0 536870911 -> 4294967288
        SETBIT zeros 4000000000 0 -> 0
        BITPOS zeros 1 -> -1
        BITCOUNT zeros -> 0
        BITFIELD k SET i64 4294967288 1 -> (error) ERR string exceeds maximum allowed size (proto-max-bulk-len)
        BITFIELD k GET u8 4294967288 GET u16 4294967295 -> [1 32768]
        ",
    );
    let elements = shell.databases.elements().clone();
    assert_eq!(shell.dump(&elements).len(), 1);
}

#[test]
fn setbit_writes_one_chunk_and_only_if_something_changes() {
    let mut shell = Shell::new();
    shell.run_args(&[b"SET", b"k", &vec![0xaa; 5 * CHUNK_BYTES]]);
    let elements = shell.databases.elements().clone();
    let before = shell.dump(&elements);
    shell.check(&format!("SETBIT k {} 1", 2 * CHUNK_BYTES * 8), "1");
    assert_eq!(shell.dump(&elements), before);
    shell.check(&format!("SETBIT k {} 0", 2 * CHUNK_BYTES * 8), "1");
    let after = shell.dump(&elements);
    let changed: Vec<usize> = (0..5).filter(|&index| before[index] != after[index]).collect();
    assert_eq!(changed, [2]);
}

#[test]
fn bitcount() {
    let mut shell = Shell::new();
    shell.script(
        "
        BITCOUNT missing -> 0
        BITCOUNT missing 0 1000 BIT -> 0
        BITCOUNT missing 0 -> 0
        SET k foobar -> OK
        BITCOUNT k -> 26
        BITCOUNT k 0 -1 -> 26
        BITCOUNT k 1 1 -> 6
        BITCOUNT k 1 -2 -> 18
        BITCOUNT k 1 -2 byte -> 18
        BITCOUNT k 0 1000 -> 26
        BITCOUNT k 6 10 -> 0
        BITCOUNT k -2 1 -> 0
        BITCOUNT k -6 -7 -> 0
        BITCOUNT k 0 -100 -> 4
        BITCOUNT k 5 30 BIT -> 17
        BITCOUNT k 0 -1 BIT -> 26
        BITCOUNT k 10 14 BIT -> 4
        BITCOUNT k 3 29 bit -> 16
        BITCOUNT k 10 -34 bit -> 4
        BITCOUNT k 9 9 bit -> 1
        BITCOUNT k 8 8 bit -> 0
        BITCOUNT k 48 100 bit -> 0
        BITCOUNT k 0 4294967296 -> 26
        BITCOUNT k -9223372036854775808 9223372036854775807 -> 26
        BITCOUNT k 0 -> (error) ERR syntax error
        BITCOUNT k 0 1 hello -> (error) ERR syntax error
        BITCOUNT k 0 1 bit byte -> (error) ERR syntax error
        BITCOUNT k x 1 -> (error) ERR value is not an integer or out of range
        BITCOUNT k 0 x hello -> (error) ERR value is not an integer or out of range
        BITCOUNT k -6 -7 hello -> 0
        ",
    );
    shell.run_args(&[b"SET", b"empty", b""]);
    shell.check("BITCOUNT empty 0 -1", "0");
}

#[test]
fn bitpos() {
    let mut shell = Shell::new();
    shell.script(
        "
        BITPOS missing 0 -> 0
        BITPOS missing 1 -> -1
        BITPOS missing 0 0 -1 bit -> 0
        BITPOS missing 1 x -> -1
        BITPOS missing 2 -> (error) ERR The bit argument must be 1 or 0.
        BITPOS missing x -> (error) ERR value is not an integer or out of range
        ",
    );
    shell.run_args(&[b"SET", b"empty", b""]);
    shell.run_args(&[b"SET", b"ones", b"\xff\xff\xff"]);
    shell.run_args(&[b"SET", b"k", b"\x00\xff\xf0"]);
    shell.script(
        "
        BITPOS empty 0 -> -1
        BITPOS empty 0 0 -1 -> -1
        BITPOS ones 0 -> 24
        BITPOS ones 0 1 -> 24
        BITPOS ones 0 0 -1 -> -1
        BITPOS ones 0 3 -> -1
        BITPOS ones 0 0 -1 bit -> -1
        BITPOS ones 1 9 -1 bit -> 9
        BITPOS k 1 -> 8
        BITPOS k 1 2 -> 16
        BITPOS k 0 1 -> 20
        BITPOS k 0 1 1 -> -1
        BITPOS k 0 1 1 byte -> -1
        BITPOS k 0 -2 -1 -> 20
        BITPOS k 0 5 -1 bit -> 5
        BITPOS k 0 8 -1 bit -> 20
        BITPOS k 0 8 19 bit -> -1
        BITPOS k 1 0 7 bit -> -1
        BITPOS k 1 20 -1 bit -> -1
        BITPOS k 1 9 200 bit -> 9
        BITPOS k 1 3 2 -> -1
        BITPOS k 1 0 1 hello -> (error) ERR syntax error
        BITPOS k 1 0 x hello -> (error) ERR syntax error
        BITPOS k 1 x 1 hello -> (error) ERR value is not an integer or out of range
        BITPOS k 1 0 1 bit bit -> (error) ERR syntax error
        ",
    );
}

#[test]
fn bitop() {
    let mut shell = Shell::new();
    shell.run_args(&[b"SET", b"a", b"\x01\x02\xff\xff"]);
    shell.run_args(&[b"SET", b"b", b"\x03\x02\xf0"]);
    shell.script(
        r#"
        BITOP AND to a b -> 4
        GET to -> "\x01\x02\xf0\x00"
        BITOP or to a b -> 4
        GET to -> "\x03\x02\xff\xff"
        BITOP Xor to b a -> 4
        GET to -> "\x02\x00\x0f\xff"
        BITOP not to a -> 4
        GET to -> "\xfe\xfd\x00\x00"
        BITOP AND to a -> 4
        GET to -> "\x01\x02\xff\xff"
        BITOP AND to missing a -> 4
        GET to -> "\x00\x00\x00\x00"
        BITOP OR to missing a missing -> 4
        GET to -> "\x01\x02\xff\xff"
        EXPIRE a 100 -> 1
        BITOP NOT a a -> 4
        GET a -> "\xfe\xfd\x00\x00"
        TTL a -> -1
        BITOP OR to missing other -> 0
        EXISTS to -> 0
        BITOP NOT to missing -> 0
        BITOP NOT to a b -> (error) ERR BITOP NOT must be called with a single source key.
        BITOP NAND to a b -> (error) ERR syntax error
        "#,
    );
}

#[test]
fn bitop_over_chunks_leaves_out_zeros() {
    let mut shell = Shell::new();
    let far = 70 * CHUNK_BYTES;
    shell.run(&format!("SETRANGE a {far} \u{7f}"));
    shell.run("SET b x");
    shell.check("BITOP OR to a b", &(far + 1).to_string());
    shell.check(&format!("GETRANGE to {} -1", far - 1), "\"\\x00\\x7f\"");
    shell.check("GETRANGE to 0 1", "\"x\\x00\"");
    shell.check("BITOP XOR a a a", &(far + 1).to_string());
    shell.check("BITCOUNT a", "0");
    shell.sweep(100);
    let elements = shell.databases.elements().clone();
    assert_eq!(shell.dump(&elements).len(), 2, "two chunks of `to`, and none of `a`");
    shell.check("BITOP NOT a a", &(far + 1).to_string());
    shell.check("BITCOUNT a", &((far + 1) * 8).to_string());
    shell.check("BITPOS a 0", &((far + 1) * 8).to_string());
}

#[test]
fn bitfield_basics() {
    Shell::new().script(
        r#"
        BITFIELD k -> []
        BITFIELD k GET u8 0 GET i64 1000 -> [0 0]
        EXISTS k -> 0
        BITFIELD k SET i8 0 -100 -> [0]
        BITFIELD k SET i8 0 101 -> [-100]
        BITFIELD k GET i8 0 -> [101]
        DEL k -> 1
        BITFIELD k set i8 0 255 set i8 0 100 get i8 0 -> [0 -1 100]
        DEL k -> 1
        BITFIELD k SET u8 0 255 INCRBY u8 0 100 GET u8 0 -> [0 99 99]
        BITFIELD k SET u8 #0 65 SET u8 #1 66 SET u8 #2 67 -> [99 0 0]
        GET k -> "ABC"
        BITFIELD k INCRBY u8 #0 100 INCRBY u8 #0 100 -> [165 9]
        BITFIELD k SET u5 7 23 GET u5 7 -> [20 23]
        GET k -> "\trC"
        BITFIELD k SET i64 3 -9223372036854775808 GET i64 3 INCRBY i64 3 -1 -> [5445441287723417600 -9223372036854775808 9223372036854775807]
        DEL k -> 1
        BITFIELD k SET i8 0 10 SET i8 64 10 INCRBY i8 10 99900 -> [0 0 60]
        SET number 1 -> OK
        BITFIELD number GET u1 0 GET u4 4 -> [0 1]
        "#,
    );
}

#[test]
fn bitfield_overflow() {
    Shell::new().script(
        r#"
        BITFIELD k SET u8 0 100 OVERFLOW WRAP INCRBY u8 0 257 INCRBY u8 0 255 -> [0 101 100]
        BITFIELD k OVERFLOW SAT INCRBY u8 0 257 INCRBY u8 0 -256 SET u8 0 -1 SET u8 0 300 -> [255 0 0 255]
        BITFIELD k SET i8 0 100 OVERFLOW WRAP INCRBY i8 0 257 INCRBY i8 0 255 -> [-1 101 100]
        BITFIELD k OVERFLOW sat INCRBY i8 0 257 INCRBY i8 0 -256 SET i8 0 1000 SET i8 0 -1000 -> [127 -128 -128 127]
        BITFIELD k GET i8 0 -> [-128]
        BITFIELD k OVERFLOW FAIL INCRBY i8 0 -1 SET i8 0 128 INCRBY i8 0 1 OVERFLOW WRAP SET i8 0 128 -> [nil nil -127 -127]
        GET k -> "\x80"
        BITFIELD new OVERFLOW FAIL SET u8 8 256 -> [nil]
        GET new -> "\x00\x00"
        BITFIELD k OVERFLOW SAT SET u63 0 9223372036854775807 INCRBY u63 0 1 -> [4611686018427387904 9223372036854775807]
        BITFIELD k OVERFLOW SAT INCRBY i64 0 9223372036854775807 INCRBY i64 0 1 -> [9223372036854775805 9223372036854775806]
        BITFIELD k OVERFLOW SAT INCRBY i64 0 9 SET i8 0 -9223372036854775808 GET i8 0 -> [9223372036854775807 127 -128]
        "#,
    );
}

#[test]
fn bitfield_refuses() {
    let mut shell = Shell::new();
    let refusal = "(error) ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not \
                   supported but i64 is.";
    for kind in ["x8", "8", "u64", "i65", "u0", "i0", "i", "u-1", "I8", "''", "u08"] {
        shell.check(&format!("BITFIELD k GET {kind} 0"), refusal);
    }
    let refusal = "(error) ERR bit offset is not an integer or out of range";
    for offset in ["-1", "x", "#", "#-1", "##1", "4294967296", "#536870912", "#9223372036854775807"]
    {
        shell.check(&format!("BITFIELD k GET u8 {offset}"), refusal);
    }
    shell.script(
        "
        BITFIELD k GET u8 #536870911 -> [0]
        BITFIELD k GET u8 -> (error) ERR syntax error
        BITFIELD k SET u8 0 -> (error) ERR syntax error
        BITFIELD k HELLO u8 0 1 -> (error) ERR syntax error
        BITFIELD k SET u8 0 x -> (error) ERR value is not an integer or out of range
        BITFIELD k SET u8 0 1 OVERFLOW -> (error) ERR syntax error
        BITFIELD k OVERFLOW HELLO -> (error) ERR Invalid OVERFLOW type specified
        BITFIELD k SET u8 0 1 GET u99 0 -> (error) ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.
        EXISTS k -> 0
        BITFIELD_RO k -> []
        BITFIELD_RO k GET u8 0 -> [0]
        BITFIELD_RO k OVERFLOW SAT GET u8 0 -> [0]
        BITFIELD_RO k GET u8 0 SET u8 0 1 -> (error) ERR BITFIELD_RO only supports the GET subcommand
        BITFIELD_RO k GET u8 0 SET u8 0 x -> (error) ERR value is not an integer or out of range
        EXISTS k -> 0
        ",
    );
}

#[test]
fn a_bitfield_keeps_the_expiry_and_moves_into_chunks() {
    let mut shell = Shell::new();
    let edge = INLINE_BYTES_MAX * 8;
    shell.script(&format!(
        "
        SET k abc EX 100 -> OK
        BITFIELD k SET u16 {} 258 -> [0]
        STRLEN k -> {INLINE_BYTES_MAX}
        BITFIELD k SET u16 {} 772 -> [512]
        TTL k -> 100
        GETRANGE k 0 3 -> \"abc\\x00\"
        BITFIELD k GET u24 {} -> [66308]
        ",
        edge - 16,
        edge - 8,
        edge - 16,
    ));
    let elements = shell.databases.elements().clone();
    assert_eq!(shell.dump(&elements).len(), 1);
    let across = CHUNK_BYTES * 8 - 5;
    shell.check(&format!("BITFIELD k SET i11 {across} -7 GET i11 {across}"), "[0 -7]");
    assert_eq!(shell.dump(&elements).len(), 2);
    shell.check(&format!("BITFIELD_RO k GET i11 {across} GET u5 {across}"), "[-7 31]");
    shell.check("GETRANGE k 0 3", "\"abc\\x00\"");
    // The chunk that the short string becomes is not the one that is set.
    shell.run("SET short abc");
    shell.check("SETBIT short 1000000 1", "0");
    shell.check("GETRANGE short 0 3", "\"abc\\x00\"");
    shell.check("BITCOUNT short", "11");
}

#[test]
fn gets_alone_count_as_reads() {
    let mut shell = Shell::new();
    shell.run("BITFIELD k SET u8 0 1");
    let hits_and_misses = |shell: &mut Shell| {
        let stats = shell.run("INFO stats");
        ["keyspace_hits:", "keyspace_misses:"].map(|name| {
            let rest = stats.split_once(name).unwrap().1;
            rest.split('\\').next().unwrap().parse::<u64>().unwrap()
        })
    };
    assert_eq!(hits_and_misses(&mut shell), [0, 0]);
    shell.run("BITFIELD k GET u8 0");
    shell.run("BITFIELD missing GET u8 0");
    assert_eq!(hits_and_misses(&mut shell), [1, 1]);
    let is_write = |line: &str| {
        let args = line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        find(&args).unwrap().is_write()
    };
    assert!(!is_write("BITFIELD k") && !is_write("BITFIELD k OVERFLOW SAT GET u8 0 GET i8 #1"));
    assert!(is_write("BITFIELD k GET u8 0 INCRBY u8 0 0") && is_write("BITFIELD k GET u8 x"));
}

#[test]
fn what_others_hear() {
    Shell::new().event_script(
        "
        SETBIT a 5 0 -> new a, setbit a
        SETBIT a 5 0 -> none
        SETBIT a 5 1 -> setbit a
        SETBIT a 100 0 -> setbit a
        GETBIT missing 0 -> keymiss missing
        BITCOUNT missing -> keymiss missing
        BITPOS missing 1 -> keymiss missing
        BITFIELD missing GET u8 0 -> keymiss missing
        BITFIELD_RO missing GET u8 0 -> keymiss missing
        BITFIELD b SET u8 0 0 -> new b, setbit b
        BITFIELD b SET u8 0 0 -> none
        BITFIELD b SET u8 0 1 INCRBY u8 0 1 -> setbit b
        BITFIELD b OVERFLOW FAIL INCRBY u8 0 256 -> none
        BITFIELD c OVERFLOW FAIL SET u8 0 256 -> new c
        BITFIELD c OVERFLOW FAIL SET u8 8 256 SET u8 0 0 -> setbit c
        BITOP OR d a b -> new d, set d
        BITOP OR d a b -> set d
        BITOP OR d missing -> keymiss missing, del d
        BITOP OR d missing -> keymiss missing
        LCS missing a -> keymiss missing
        ",
    );
}

#[test]
fn other_types_are_refused() {
    let mut shell = Shell::new();
    let now_ms = shell.now_ms;
    shell.update(move |tx, databases| {
        let mut state = RunState::new(databases, now_ms);
        let payload = Bytes::new();
        let record =
            Record { kind: Kind::Set, expires_at_ms: None, version: None, size: 1, payload };
        DbWriter::new(tx, &mut state, 0).store(b"set", None, &record)?;
        Ok(state.write_books(tx)?)
    });
    shell.run("SET k v");
    for command in [
        "SETBIT set 0 1",
        "GETBIT set 0",
        "BITCOUNT set 0 x hello",
        "BITPOS set 1 x",
        "BITOP OR to k set",
        "BITOP NOT set set",
        "BITFIELD set",
        "BITFIELD set GET u8 0",
        "BITFIELD set SET u8 0 1",
        "BITFIELD_RO set GET u8 0",
    ] {
        let refusal = "(error) WRONGTYPE Operation against a key holding the wrong kind of value";
        shell.check(command, refusal);
    }
    let refusal = "(error) ERR The specified keys must contain string values";
    shell.check("LCS set missing HELLO", refusal);
    shell.check("LCS k set", refusal);
    shell.check("EXISTS to", "0");
    // What the target of BITOP was does not matter.
    shell.check("BITOP OR set k", "1");
    shell.check("GET set", "\"v\"");
}
