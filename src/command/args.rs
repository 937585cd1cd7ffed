//! Reading arguments.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use crate::data::DATABASES;
use crate::resp::{Args, parse_integer};

use super::fail::Fail;

/// All arguments, which are `N` with the name. The arity check has seen to that already; a mistake
/// in the table is a syntax error rather than a panic.
pub(super) fn exactly<const N: usize>(args: &Args) -> Result<&[Bytes; N], Fail> {
    args.as_slice().try_into().map_err(|_| Fail::SYNTAX)
}

/// The first `N` arguments, the name among them, and the rest.
pub(super) fn at_least<const N: usize>(args: &Args) -> Result<(&[Bytes; N], &[Bytes]), Fail> {
    args.split_first_chunk().ok_or(Fail::SYNTAX)
}

/// The integer that an argument must be.
pub(super) fn integer(arg: &[u8]) -> Result<i64, Fail> {
    parse_integer(arg).ok_or(Fail::NOT_AN_INTEGER)
}

/// The integer of 32 bits that an argument must be; `complaint` is the error reply if it is none.
pub(super) fn int(arg: &[u8], complaint: Option<Fail>) -> Result<i32, Fail> {
    let Some(number) = parse_integer(arg) else {
        return Err(complaint.unwrap_or(Fail::NOT_AN_INTEGER));
    };
    let range = "ERR value is out of range, value must between -2147483648 and 2147483647";
    i32::try_from(number).map_err(|_| complaint.unwrap_or(Fail::text(range)))
}

/// The database of this number.
pub(super) fn database(number: i32) -> Result<u8, Fail> {
    let number = u8::try_from(number).ok().filter(|&number| number < DATABASES);
    number.ok_or(Fail::text("ERR DB index is out of range"))
}

/// The integer from `min` on that an argument must be; whatever else it is, `complaint` is the reply.
pub(super) fn integer_from(min: u64, arg: &[u8], complaint: &'static str) -> Result<u64, Fail> {
    let number = parse_integer(arg).and_then(|number| u64::try_from(number).ok());
    number.filter(|number| *number >= min).ok_or(Fail::text(complaint))
}

/// How long a blocking command waits at the most, from decimal seconds; `None`, for 0, is for ever.
pub(super) fn blocking_timeout(arg: &[u8]) -> Result<Option<Duration>, Fail> {
    const MILLIS_MAX: f64 = i64::MAX as f64;
    let seconds = std::str::from_utf8(arg).ok().and_then(|text| text.parse::<f64>().ok());
    let seconds = seconds
        .filter(|seconds| !seconds.is_nan())
        .ok_or(Fail::text("ERR timeout is not a float or out of range"))?;
    // Up to the next millisecond, so that the shortest wait is none for ever.
    let millis = (seconds * 1000.0).ceil();
    if millis < 0.0 {
        return Err(Fail::text("ERR timeout is negative"));
    }
    if millis >= MILLIS_MAX {
        return Err(Fail::text("ERR timeout is out of range"));
    }
    Ok(Some(Duration::from_millis(millis as u64)).filter(|timeout| !timeout.is_zero()))
}

/// Whether an argument is this word, in any case.
pub(super) fn is(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}

/// An argument as part of an error text.
pub(super) fn lossy(arg: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(arg)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_decimal_seconds() {
        for (text, millis) in [
            ("1", Some(1000)),
            ("0.001", Some(1)),
            ("0.0001", Some(1)),
            ("1e-9", Some(1)),
            ("2.5", Some(2500)),
            (".5", Some(500)),
            ("+1.", Some(1000)),
            ("9000000000000", Some(9_000_000_000_000_000)),
            ("0", None),
            ("-0", None),
            ("-0.0001", None),
        ] {
            let timeout = blocking_timeout(text.as_bytes()).unwrap();
            assert_eq!(timeout, millis.map(Duration::from_millis), "{text}");
        }
        for (text, complaint) in [
            ("", "ERR timeout is not a float or out of range"),
            (" 1", "ERR timeout is not a float or out of range"),
            ("1 ", "ERR timeout is not a float or out of range"),
            ("abc", "ERR timeout is not a float or out of range"),
            ("nan", "ERR timeout is not a float or out of range"),
            ("-1", "ERR timeout is negative"),
            ("-inf", "ERR timeout is negative"),
            ("1e20", "ERR timeout is out of range"),
            ("inf", "ERR timeout is out of range"),
        ] {
            let refused = blocking_timeout(text.as_bytes());
            assert!(
                matches!(&refused, Err(Fail::Reply(said)) if said == complaint),
                "{text}: {refused:?}"
            );
        }
    }
}
