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
            prop_assert_eq!(format_double(number).parse::<f64>().unwrap(), number);
        }
    }
}
