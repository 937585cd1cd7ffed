//! Reading arguments.

use std::borrow::Cow;

use bytes::Bytes;

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

/// Whether an argument is this word, in any case.
pub(super) fn is(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}

/// An argument as part of an error text.
pub(super) fn lossy(arg: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(arg)
}
