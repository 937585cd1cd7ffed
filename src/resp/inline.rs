//! The words of an inline command, by the quoting rules of `redis-cli` and `redis.conf`
//! (`sdssplitargs` in Redis's `sds.c`).

use bytes::Bytes;

use super::Args;

/// The words of `line`. In double quotes `\n \r \t \b \a \xHH` stand for a byte and a backslash
/// before anything else for that; in single quotes only `\'` is special. A closing quote must end
/// its word. `None` when the quotes do not balance.
pub(super) fn split_args(line: &[u8]) -> Option<Args> {
    let mut args = Args::new();
    let mut rest = line;
    loop {
        while let [byte, behind @ ..] = rest
            && is_space(*byte)
        {
            rest = behind;
        }
        if rest.is_empty() {
            return Some(args);
        }
        let word;
        (word, rest) = split_word(rest)?;
        args.push(word);
    }
}

/// The word that `rest` begins with, and what is behind it.
fn split_word(mut rest: &[u8]) -> Option<(Bytes, &[u8])> {
    let mut word = Vec::new();
    loop {
        rest = match rest {
            [] | [b' ' | b'\t' | b'\r' | b'\n', ..] => return Some((word.into(), rest)),
            [b'"', inner @ ..] => {
                let behind = double_quoted(inner, &mut word)?;
                return Some((word.into(), behind));
            }
            [b'\'', inner @ ..] => {
                let behind = single_quoted(inner, &mut word)?;
                return Some((word.into(), behind));
            }
            [byte, behind @ ..] => {
                word.push(*byte);
                behind
            }
        };
    }
}

/// Adds what stands before the closing quote to `word`; returns what is behind the quote.
fn double_quoted<'l>(mut rest: &'l [u8], word: &mut Vec<u8>) -> Option<&'l [u8]> {
    loop {
        rest = match rest {
            [] => return None,
            [b'"', behind @ ..] => return closed(behind),
            [b'\\', b'x', high, low, behind @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                word.push(hex_value(*high) << 4 | hex_value(*low));
                behind
            }
            [b'\\', escaped, behind @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                behind
            }
            [byte, behind @ ..] => {
                word.push(*byte);
                behind
            }
        };
    }
}

fn single_quoted<'l>(mut rest: &'l [u8], word: &mut Vec<u8>) -> Option<&'l [u8]> {
    loop {
        rest = match rest {
            [] => return None,
            [b'\'', behind @ ..] => return closed(behind),
            [b'\\', b'\'', behind @ ..] => {
                word.push(b'\'');
                behind
            }
            [byte, behind @ ..] => {
                word.push(*byte);
                behind
            }
        };
    }
}

/// What is behind a closing quote, if that may be there.
fn closed(behind: &[u8]) -> Option<&[u8]> {
    behind.first().is_none_or(|byte| is_space(*byte)).then_some(behind)
}

/// C's `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::split_args;

    #[track_caller]
    fn assert_words(line: &[u8], expected: Option<&[&[u8]]>) {
        let words = split_args(line);
        let words = words.as_ref().map(|words| words.iter().map(|w| &w[..]).collect::<Vec<_>>());
        assert_eq!(words.as_deref(), expected, "{}", line.escape_ascii());
    }

    #[test]
    fn blanks_separate_words() {
        assert_words(b"", Some(&[]));
        assert_words(b" \t\x0b\x0c ", Some(&[]));
        assert_words(b"  set\tkey   value ", Some(&[b"set", b"key", b"value"]));
        assert_words(b"a\x0bb \x0bc", Some(&[b"a\x0bb", b"c"]));
    }

    #[test]
    fn double_quotes_hold_blanks_and_escapes() {
        assert_words(br#"set "a b" "" "#, Some(&[b"set", b"a b", b""]));
        assert_words(br#""\n\r\t\b\a\q\"\\""#, Some(&[b"\n\r\t\x08\x07q\"\\"]));
        assert_words(br#""\x00\xfF\xg1\x1""#, Some(&[b"\x00\xffxg1x1"]));
        assert_words(br#"foo"bar" baz"#, Some(&[b"foobar", b"baz"]));
    }

    #[test]
    fn single_quotes_hold_everything_but_an_escaped_quote() {
        assert_words(br"'a \n b' 'it\'s'", Some(&[br"a \n b", b"it's"]));
    }

    #[test]
    fn unbalanced_quotes_are_refused() {
        assert_words(br#""abc"#, None);
        assert_words(br#""abc\""#, None);
        assert_words(br"'abc", None);
        assert_words(br"'abc\'", None);
        assert_words(br#""a"b"#, None);
        assert_words(br"'a'b", None);
    }
}
