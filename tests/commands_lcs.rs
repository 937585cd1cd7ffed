//! What two strings have in common.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use harness::Shell;
use proptest::prelude::*;

#[test]
fn lcs() {
    let mut shell = Shell::new();
    shell.script(
        r#"
        MSET a ohmytext b mynewtext -> OK
        LCS a b -> "mytext"
        LCS a b LEN -> 6
        LCS a b IDX -> ["matches" [[[4 7] [5 8]] [[2 3] [0 1]]] "len" 6]
        LCS a b IDX MINMATCHLEN 4 -> ["matches" [[[4 7] [5 8]]] "len" 6]
        LCS a b IDX MINMATCHLEN -4 WITHMATCHLEN -> ["matches" [[[4 7] [5 8] 4] [[2 3] [0 1] 2]] "len" 6]
        LCS a b minmatchlen 100 len -> 6
        LCS a missing -> ""
        LCS missing b LEN -> 0
        LCS missing missing IDX -> ["matches" [] "len" 0]
        LCS a a idx -> ["matches" [[[0 7] [0 7]]] "len" 8]
        LCS a b LEN IDX -> (error) ERR If you want both the length and indexes, please just use IDX.
        LCS a b MINMATCHLEN -> (error) ERR syntax error
        LCS a b MINMATCHLEN x -> (error) ERR value is not an integer or out of range
        LCS a b HELLO -> (error) ERR syntax error
        "#,
    );
    shell.run("HELLO 3");
    shell.check("LCS a b IDX", r#"{"matches" [[[4 7] [5 8]] [[2 3] [0 1]]] "len" 6}"#);
}

#[test]
fn it_has_a_limit() {
    let mut shell = Shell::new();
    let refusal = "(error) ERR Insufficient memory, transient memory for LCS exceeds \
                   proto-max-bulk-len";
    shell.run("SETRANGE a 134217727 x");
    shell.check("LCS a missing LEN", refusal);
    shell.check("SETRANGE b 40959 x", "40960");
    shell.check("SETRANGE c 3275 x", "3276");
    // 40,961 * 3,277 places of 4 bytes are just above 512 MiB.
    shell.check("LCS b c LEN", refusal);
    shell.run("DEL c");
    shell.run("SETRANGE c 3274 x");
    shell.check("LCS b c LEN", "3275");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn it_is_the_textbooks(
        (a, b) in (1..5u8).prop_flat_map(|letters| (text(letters), text(letters))),
    ) {
        let mut shell = Shell::new();
        shell.run_args(&[b"MSET", b"a", &a, b"b", &b]);
        let common = plain_lcs(&a, &b);
        shell.check("LCS a b", &format!("\"{}\"", common.escape_ascii()));
        shell.check("LCS a b LEN", &common.len().to_string());
        let places = shell.run("LCS a b IDX WITHMATCHLEN");
        prop_assert!(places.ends_with(&format!("\"len\" {}]", common.len())), "{}", places);
    }
}

fn text(letters: u8) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec((0..letters).prop_map(|letter| b'a' + letter), 0..200)
}

/// What the textbook says, and in which order Redis walks back.
fn plain_lcs(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut table = vec![vec![0u32; b.len() + 1]; a.len() + 1];
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            table[i][j] = if a[i - 1] == b[j - 1] {
                table[i - 1][j - 1] + 1
            } else {
                table[i - 1][j].max(table[i][j - 1])
            };
        }
    }
    let (mut i, mut j, mut common) = (a.len(), b.len(), Vec::new());
    while i > 0 && j > 0 {
        if a[i - 1] == b[j - 1] {
            common.push(a[i - 1]);
            (i, j) = (i - 1, j - 1);
        } else if table[i - 1][j] > table[i][j - 1] {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    common.reverse();
    common
}
