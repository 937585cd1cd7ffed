//! The arithmetic of `INCRBYFLOAT` and `HINCRBYFLOAT`.
//!
//! Redis adds in C's `long double` and prints 17 decimals, so its last digits depend on the machine:
//! 1000 + 0.1 is 1000.09999999999999998 on x86, 1000.1 on 64-bit ARM. Here sums are exact to 17
//! decimals for numbers below about 10^20. Beyond that it is 64-bit floating point, which has a
//! smaller range (10^308) and fewer digits than Redis there.

use crate::resp::parse_double;

use super::fail::Fail;

/// Decimals kept and printed.
const DECIMALS: i32 = 17;
const ONE: u128 = 10u128.pow(DECIMALS as u32);

/// The sum of two decimal numbers, as Redis writes it: no exponent, no trailing zeros, no `-0`.
///
/// # Errors
/// [`Fail::NOT_A_FLOAT`] for what is no number; a reply for a sum out of range.
pub(super) fn add(left: &[u8], right: &[u8]) -> Result<String, Fail> {
    let (left_float, right_float) = (float(left)?, float(right)?);
    if let Some(sum) = fixed(left).zip(fixed(right)).and_then(|(l, r)| l.checked_add(r)) {
        return Ok(format_fixed(sum));
    }
    let sum = left_float + right_float;
    if !sum.is_finite() {
        return Err(Fail::text("ERR increment would produce NaN or Infinity"));
    }
    Ok(if sum == 0.0 { "0".into() } else { sum.to_string() })
}

/// The number that `text` is for C's `strtod`, if that takes all of it up to a byte of zero: blanks may come
/// before it, nothing at all is 0, and what is too large or too small for 64-bit floating point is none.
pub(super) fn parse_as_c(text: &[u8]) -> Option<f64> {
    let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let digits = text.iter().position(|byte| !is_blank(byte)).and_then(|at| text.get(at..))?;
    parse_double(digits).filter(|number| !number.is_subnormal())
}

/// Refuses what is no number to add.
///
/// # Errors
/// [`Fail::NOT_A_FLOAT`] for what is no number; a reply for what is not finite.
pub(super) fn check_finite(text: &[u8]) -> Result<(), Fail> {
    if float(text)?.is_finite() { Ok(()) } else { Err(Fail::text("ERR value is NaN or Infinity")) }
}

/// Whether it is a number to be added to.
pub(super) fn is_number(text: &[u8]) -> bool {
    float(text).is_ok()
}

fn float(text: &[u8]) -> Result<f64, Fail> {
    let plain = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
    // In hexadecimal, too, as C reads numbers.
    let number = plain.or_else(|| parse_double(text));
    // Infinity may be meant; a number that is too large is none.
    let is_meant = |number: &f64| number.is_finite() || !text.iter().any(u8::is_ascii_digit);
    number.filter(|number| !number.is_nan() && is_meant(number)).ok_or(Fail::NOT_A_FLOAT)
}

/// `text`, a valid number, in units of the last decimal; `None` if that does not fit.
fn fixed(text: &[u8]) -> Option<i128> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let mut mantissa = 0i128;
    let mut exponent = 0i32;
    let mut in_fraction = false;
    let mut rest = text;
    while let [byte, behind @ ..] = rest {
        rest = behind;
        match byte {
            b'0'..=b'9' => {
                mantissa = mantissa.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
                exponent -= i32::from(in_fraction);
            }
            b'.' => in_fraction = true,
            b'e' | b'E' => {
                let written: i32 = std::str::from_utf8(behind).ok()?.parse().ok()?;
                exponent = exponent.checked_add(written)?;
                break;
            }
            _ => return None,
        }
    }
    let scaled = scale(mantissa, exponent.checked_add(DECIMALS)?)?;
    Some(if negative { -scaled } else { scaled })
}

/// `mantissa` times ten to the `power`, rounded half to even.
fn scale(mantissa: i128, power: i32) -> Option<i128> {
    if mantissa == 0 {
        return Some(0);
    }
    let Some(factor) = 10i128.checked_pow(power.unsigned_abs()) else {
        // More digits behind the last decimal than the number can have.
        return (power < 0).then_some(0);
    };
    if power >= 0 {
        return mantissa.checked_mul(factor);
    }
    let (quotient, remainder) = (mantissa / factor, mantissa % factor);
    let up = match remainder.cmp(&(factor - remainder)) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => quotient % 2 == 1,
        std::cmp::Ordering::Greater => true,
    };
    Some(quotient + i128::from(up))
}

fn format_fixed(number: i128) -> String {
    let sign = if number < 0 { "-" } else { "" };
    let magnitude = number.unsigned_abs();
    let (whole, fraction) = (magnitude / ONE, magnitude % ONE);
    if fraction == 0 {
        return format!("{sign}{whole}");
    }
    let fraction = format!("{fraction:017}");
    format!("{sign}{whole}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sums() {
        for (left, right, sum) in [
            ("0", "0", "0"),
            ("10.50", "0.1", "10.6"),
            ("0.1", "0.2", "0.3"),
            ("5.0e3", "2.0e2", "5200"),
            ("1", "-1.1", "-0.1"),
            ("-1", "1", "0"),
            ("-0", "0", "0"),
            ("1.5", "1.5", "3"),
            ("+1.5", ".5", "2"),
            ("3.", "1E-2", "3.01"),
            ("1000", "0.1", "1000.1"),
            ("17179869184", "1.5", "17179869185.5"),
            ("0.00000000000000001", "0", "0.00000000000000001"),
            ("0.000000000000000004", "0", "0"),
            ("1e-400", "1", "1"),
            ("1e25", "1e25", "20000000000000000000000000"),
            ("0x10", "0.5", "16.5"),
            ("99999999999999999999", "1", "100000000000000000000"),
        ] {
            let got = add(left.as_bytes(), right.as_bytes()).unwrap();
            assert_eq!(got, sum, "{left} + {right}");
        }
    }

    #[test]
    fn what_is_no_number() {
        for text in ["", " 1", "1 ", "a", "1e", "nan", "0x", "1,5", "--1", ".", "1e400"] {
            assert!(
                matches!(add(text.as_bytes(), b"1"), Err(Fail::Reply(text))
                    if text == "ERR value is not a valid float"),
                "{text:?}"
            );
        }
    }

    #[test]
    fn numbers_as_c_reads_them() {
        for (text, number) in [
            ("", Some(0.0)),
            ("0", Some(0.0)),
            ("-0", Some(0.0)),
            ("0e999", Some(0.0)),
            (" 1.5", Some(1.5)),
            ("\t\n\x0b\x0c\r-2", Some(-2.0)),
            ("+.5", Some(0.5)),
            ("5.", Some(5.0)),
            ("1e3", Some(1000.0)),
            (" 0x10", Some(16.0)),
            ("1\0x", Some(1.0)),
            ("\0x", Some(0.0)),
            ("inf", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("2.2250738585072014e-308", Some(f64::MIN_POSITIVE)),
            (" ", None),
            ("1 ", None),
            ("1x", None),
            ("1e", None),
            (".", None),
            ("e5", None),
            ("nan", None),
            ("1e999", None),
            ("-1e999", None),
            ("1e-999", None),
            ("1e-310", None),
            ("--1", None),
        ] {
            assert_eq!(parse_as_c(text.as_bytes()), number, "{text:?}");
        }
    }

    #[test]
    fn infinity_is_no_sum() {
        for (left, right) in [("inf", "1"), ("-inf", "1"), ("inf", "-inf"), ("1e308", "1e308")] {
            assert!(
                matches!(add(left.as_bytes(), right.as_bytes()), Err(Fail::Reply(text))
                    if text == "ERR increment would produce NaN or Infinity"),
                "{left} + {right}"
            );
        }
    }
}
