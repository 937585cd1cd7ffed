//! What those who listen for events of keys hear of commands on lists.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use harness::Shell;

#[test]
fn of_the_ends() {
    Shell::new().event_script(
        "
        LPUSHX a 1 -> none
        LPUSH a 1 2 3 -> new a, lpush a
        RPUSH a 4 -> rpush a
        LPUSHX a 5 -> lpush a
        RPUSHX a 6 -> rpush a
        LPOP a -> lpop a
        RPOP a 2 -> rpop a
        LPOP a 0 -> none
        LPOP a 9 -> lpop a, del a
        LPOP a -> none
        RPUSH a 1 2 -> new a, rpush a
        RPOP a -> rpop a
        RPOP a -> rpop a, del a
        LLEN a -> keymiss a
        LRANGE a 0 -1 -> keymiss a
        LINDEX a 0 -> keymiss a
        LPOS a 0 -> keymiss a
        ",
    );
}

#[test]
fn of_what_is_between() {
    Shell::new().event_script(
        "
        RPUSH a 1 2 3 2 1 -> new a, rpush a
        LSET a 0 x -> lset a
        LSET a 9 x -> none
        LINSERT a BEFORE 3 y -> linsert a
        LINSERT a AFTER none y -> none
        LINSERT none AFTER none y -> none
        LREM a 0 2 -> lrem a
        LREM a 0 2 -> none
        LREM none 0 2 -> none
        LTRIM a 0 -1 -> ltrim a
        LTRIM a 0 1 -> ltrim a
        LTRIM none 0 1 -> none
        LREM a 0 x -> lrem a
        LREM a 0 y -> lrem a, del a
        RPUSH a 1 -> new a, rpush a
        LTRIM a 1 0 -> ltrim a, del a
        ",
    );
}

#[test]
fn of_moves() {
    Shell::new().event_script(
        "
        RPUSH a 1 2 3 -> new a, rpush a
        LMOVE a b LEFT RIGHT -> new b, rpush b, lpop a
        LMOVE a b RIGHT LEFT -> lpush b, rpop a
        RPOPLPUSH a b -> lpush b, rpop a, del a
        RPOPLPUSH a b -> none
        LMOVE b b LEFT LEFT -> lpush b, lpop b
        RPOPLPUSH b b -> lpush b, rpop b
        BLMOVE b c RIGHT RIGHT 0 -> new c, rpush c, rpop b
        BRPOPLPUSH b c 0 -> lpush c, rpop b
        LMPOP 2 a b LEFT -> lpop b, del b
        LMPOP 2 a b LEFT -> none
        BLMPOP 0 2 b c RIGHT -> rpop c
        BLPOP b c 0 -> lpop c, del c
        BLPOP b c 0 -> none
        RPUSH c 1 -> new c, rpush c
        BRPOP b c 0 -> rpop c, del c
        ",
    );
}
