//! Redis's glob dialect, for `KEYS`, `SCAN MATCH` and `CONFIG GET`.
//!
//! `*` any bytes, `?` any byte, `[abc]`, `[a-z]`, `[^a]` one byte of (or not of) a class, `\x` the
//! byte `x`. As in Redis's `stringmatchlen`, a class that is not closed ends with the pattern, a
//! range may be given backwards, and a lone `\` at the end stands for itself. Time is at the most
//! the product of the two lengths, whatever the pattern.

/// Whether `pattern` matches the whole of `text`.
///
/// ```
/// assert!(pontoon::glob::matches(b"h[ae]llo*", b"hello, world"));
/// assert!(!pontoon::glob::matches(b"h?llo", b"heello"));
/// ```
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    search(pattern, text, |byte| byte)
}

/// As [`matches()`], taking ASCII letters of either case for the same.
pub fn matches_ignoring_case(pattern: &[u8], text: &[u8]) -> bool {
    search(pattern, text, |byte| byte.to_ascii_lowercase())
}

/// Only the latest `*` is ever worth going back to: whatever an earlier one could take instead, the
/// latest can take too.
fn search(pattern: &[u8], text: &[u8], fold: impl Fn(u8) -> u8) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    let mut latest_star: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            if rest.is_empty() {
                return true;
            }
            latest_star = Some((rest, text));
            pattern = rest;
            continue;
        }
        let Some((&byte, text_rest)) = text.split_first() else {
            return pattern.is_empty();
        };
        if let Some(pattern_rest) = match_one(pattern, byte, &fold) {
            (pattern, text) = (pattern_rest, text_rest);
            continue;
        }
        let Some((behind_star, skipped)) = latest_star else { return false };
        let Some((_, skipped_rest)) = skipped.split_first() else { return false };
        latest_star = Some((behind_star, skipped_rest));
        (pattern, text) = (behind_star, skipped_rest);
    }
}

/// What of `pattern`, which does not begin with `*`, follows its first element, if that matches
/// `byte`.
fn match_one<'p>(pattern: &'p [u8], byte: u8, fold: &impl Fn(u8) -> u8) -> Option<&'p [u8]> {
    match pattern {
        [] => None,
        [b'?', rest @ ..] => Some(rest),
        [b'[', class @ ..] => match_class(class, byte, fold),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => {
            (fold(*literal) == fold(byte)).then_some(rest)
        }
    }
}

fn match_class<'p>(class: &'p [u8], byte: u8, fold: &impl Fn(u8) -> u8) -> Option<&'p [u8]> {
    let (negated, mut rest) = match class {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let byte = fold(byte);
    let mut found = false;
    let behind = loop {
        match rest {
            [] => break rest,
            [b']', behind @ ..] => break behind,
            [b'\\', literal, behind @ ..] => {
                found |= fold(*literal) == byte;
                rest = behind;
            }
            [start, b'-', end, behind @ ..] => {
                let (start, end) = (fold(*start), fold(*end));
                found |= (start.min(end)..=start.max(end)).contains(&byte);
                rest = behind;
            }
            [literal, behind @ ..] => {
                found |= fold(*literal) == byte;
                rest = behind;
            }
        }
    };
    (found != negated).then_some(behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dialect() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "", true),
            ("?", "", false),
            ("a", "", false),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("a*c", "abbbc", true),
            ("a*c", "abbb", false),
            ("*a*b*", "xxaxxbxx", true),
            ("a?c", "abc", true),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h[a-c]llo", "hdllo", false),
            ("[a-]", "-", false),
            ("[a-]", "^", true),
            ("[]a]", "a]", false),
            ("[abc", "b", true),
            ("[abc", "d", false),
            ("[\\]]", "]", true),
            ("[\\-a]", "-", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("\\?\\[", "?[", true),
            ("a\\", "a\\", true),
            ("a\\", "a", false),
            ("*\\", "x\\", true),
            ("[^", "a", true),
            ("A", "a", false),
        ] {
            let got = matches(pattern.as_bytes(), text.as_bytes());
            assert_eq!(got, expected, "{pattern:?} against {text:?}");
        }
    }

    #[test]
    fn case_is_ignored_on_request() {
        for (pattern, text, expected) in [
            ("MaxClients", "maxclients", true),
            ("MAX*", "maxclients", true),
            ("[A-C]x", "bX", true),
            ("[^A]", "a", false),
        ] {
            let got = matches_ignoring_case(pattern.as_bytes(), text.as_bytes());
            assert_eq!(got, expected, "{pattern:?} against {text:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_match_too() {
        assert!(matches(b"\xff*\x00", b"\xff\xfe\x00"));
        assert!(matches(b"[\x80-\xff]", b"\x90"));
    }

    /// Backtracking to every star would take longer than the universe has had.
    #[test]
    fn many_stars_do_not_explode() {
        let pattern = "a*".repeat(200) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(10_000).as_bytes()));
    }
}
