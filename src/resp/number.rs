//! Numbers as RESP and Redis write them.

/// The integer that `text` is, in the one way Redis accepts (`string2ll`): decimal, no blanks, no
/// plus sign, no leading zeros, no `-0`.
///
/// ```
/// use pontoon::resp::parse_integer;
///
/// assert_eq!(parse_integer(b"-9223372036854775808"), Some(i64::MIN));
/// assert_eq!(parse_integer(b"01"), None);
/// ```
pub fn parse_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] => {}
        _ => return None,
    }
    digits.iter().try_fold(0i64, |number, digit| {
        let digit = i64::from(digit.wrapping_sub(b'0'));
        if digit > 9 {
            return None;
        }
        let number = number.checked_mul(10)?;
        if negative { number.checked_sub(digit) } else { number.checked_add(digit) }
    })
}

/// The number that `text` is, in the ways Redis accepts (C's `strtod`): decimal or hexadecimal, with or
/// without an exponent, or infinite; no blanks, no NaN, and none that a 64-bit number cannot come near.
///
/// ```
/// use pontoon::resp::parse_double;
///
/// assert_eq!(parse_double(b"-1.5e3"), Some(-1500.0));
/// assert_eq!(parse_double(b"+inf"), Some(f64::INFINITY));
/// assert_eq!(parse_double(b"0x1.8p1"), Some(3.0));
/// assert_eq!(parse_double(b"1e400"), None);
/// ```
pub fn parse_double(text: &[u8]) -> Option<f64> {
    let number = read_double(text)?;
    let is_hexadecimal = text.contains(&b'x') || text.contains(&b'X');
    let exponent_marks: &[u8] = if is_hexadecimal { b"pPxX" } else { b"eE" };
    // Without the exponent: is there more in it than zeros?
    let mut parts = text.split(|byte| exponent_marks.contains(byte));
    let digits = if is_hexadecimal { parts.nth(1) } else { parts.next() };
    let is_something = |digits: &[u8]| digits.iter().any(|d| d.is_ascii_hexdigit() && *d != b'0');
    let is_lost = number == 0.0 && digits.is_some_and(is_something);
    let is_too_large = number.is_infinite() && text.iter().any(u8::is_ascii_digit);
    (!is_lost && !is_too_large).then_some(number)
}

/// As [`parse_double`], where Redis is less strict: blanks may be before the number, nothing at all is 0,
/// and what is too large or too small is infinite or 0.
pub fn parse_double_leniently(text: &[u8]) -> Option<f64> {
    if text.is_empty() { Some(0.0) } else { read_double(text.trim_ascii_start()) }
}

fn read_double(text: &[u8]) -> Option<f64> {
    let (sign, magnitude) = match text {
        [b'-', magnitude @ ..] => (-1.0, magnitude),
        [b'+', magnitude @ ..] => (1.0, magnitude),
        magnitude => (1.0, magnitude),
    };
    if let [b'0', b'x' | b'X', digits @ ..] = magnitude {
        return Some(sign * read_hexadecimal(digits)?);
    }
    let number = std::str::from_utf8(text).ok()?.parse::<f64>().ok()?;
    (!number.is_nan()).then_some(number)
}

fn read_hexadecimal(digits: &[u8]) -> Option<f64> {
    let mut mantissa = 0u64;
    let mut exponent = 0i64;
    let (mut has_digits, mut in_fraction) = (false, false);
    let mut rest = digits;
    while let [byte, behind @ ..] = rest {
        match byte {
            b'.' if !in_fraction => in_fraction = true,
            b'p' | b'P' => {
                let written: i64 = std::str::from_utf8(behind).ok()?.parse().ok()?;
                exponent = exponent.saturating_add(written);
                break;
            }
            _ => {
                let digit = char::from(*byte).to_digit(16)?;
                has_digits = true;
                if mantissa >> 60 == 0 {
                    mantissa = mantissa << 4 | u64::from(digit);
                    exponent = exponent.saturating_sub(if in_fraction { 4 } else { 0 });
                } else {
                    // Beyond what a number keeps; it only says to which side to round.
                    mantissa |= u64::from(digit != 0);
                    exponent = exponent.saturating_add(if in_fraction { 0 } else { 4 });
                }
            }
        }
        rest = behind;
    }
    // Half at a time, so that neither half is out of range before the other brings it back.
    let exponent = exponent.clamp(-2000, 2000) as i32;
    let half = exponent / 2;
    has_digits.then(|| mantissa as f64 * 2f64.powi(half) * 2f64.powi(exponent - half))
}

/// `number` with 17 significant digits, as Redis 7.0 replies with it (C's `%.17g`).
///
/// ```
/// use pontoon::resp::format_double;
///
/// assert_eq!(format_double(3.0), "3");
/// assert_eq!(format_double(0.1), "0.10000000000000001");
/// assert_eq!(format_double(-1e300), "-1.0000000000000001e+300");
/// assert_eq!(format_double(f64::INFINITY), "inf");
/// ```
pub fn format_double(number: f64) -> String {
    const DIGITS: i32 = 17;
    if number.is_nan() {
        return "nan".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let scientific = format!("{number:.16e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..DIGITS).contains(&exponent) {
        let decimals = usize::try_from(DIGITS - 1 - exponent).unwrap_or(0);
        return without_trailing_zeros(&format!("{number:.decimals$}")).into();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", without_trailing_zeros(mantissa), exponent.abs())
}

fn without_trailing_zeros(decimal: &str) -> &str {
    if decimal.contains('.') {
        decimal.trim_end_matches('0').trim_end_matches('.')
    } else {
        decimal
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_have_one_spelling() {
        for good in ["0", "1", "-1", "10", "9223372036854775807", "-9223372036854775808"] {
            assert_eq!(parse_integer(good.as_bytes()), Some(good.parse().unwrap()), "{good}");
        }
        for bad in
            ["", "-", "-0", "00", "01", "+1", " 1", "1 ", "1a", "1.0", "9223372036854775808", "--1"]
        {
            assert_eq!(parse_integer(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn doubles_are_read_as_strtod_does() {
        for (text, number) in [
            ("0", 0.0),
            ("-0", 0.0),
            ("1.", 1.0),
            (".5", 0.5),
            ("+1e3", 1000.0),
            ("1E-2", 0.01),
            ("0e999", 0.0),
            ("1e-310", 1e-310),
            ("inf", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("0x10", 16.0),
            ("-0X.8p1", -1.0),
            ("0x1p-1074", 5e-324),
            ("0x1.fffffffffffffp1023", f64::MAX),
            ("0x0p99999", 0.0),
            ("0x20000000000001", 9007199254740993.0),
            ("0x200000000000010000", 590295810358705651712.0),
        ] {
            assert_eq!(parse_double(text.as_bytes()), Some(number), "{text}");
        }
        for text in [
            "",
            " 1",
            "1 ",
            ".",
            "e1",
            "1e",
            "1e400",
            "-1e400",
            "1e-400",
            "nan",
            "-nan",
            "0x",
            "0x.",
            "0x1p",
            "0x1p2000",
            "0x1p-2000",
            "1,5",
            "--1",
            "infinit",
            "0x1..8",
        ] {
            assert_eq!(parse_double(text.as_bytes()), None, "{text}");
        }
        for (text, number) in [
            ("", 0.0),
            (" 1", 1.0),
            ("1e400", f64::INFINITY),
            ("-1e400", f64::NEG_INFINITY),
            ("1e-400", 0.0),
        ] {
            assert_eq!(parse_double_leniently(text.as_bytes()), Some(number), "{text}");
        }
        for text in [" ", "1 ", "nan", "a"] {
            assert_eq!(parse_double_leniently(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn doubles_are_written_as_printf_does() {
        for (number, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.5, "1.5"),
            (100.0, "100"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (123456789.125, "123456789.125"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "4.9406564584124654e-324"),
            (1e23, "9.9999999999999992e+22"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(format_double(number), expected);
        }
    }

    proptest! {
        #[test]
        fn integers_round_trip(number: i64) {
            prop_assert_eq!(parse_integer(number.to_string().as_bytes()), Some(number));
        }

        #[test]
        fn doubles_round_trip(number in proptest::num::f64::NORMAL | proptest::num::f64::ZERO) {
            prop_assert_eq!(parse_double(format_double(number).as_bytes()), Some(number));
        }
    }
}
