//! Values as text: what words, numbers and lists of them mean. Error texts are Redis's where Redis has
//! the same kind of value.

use std::net::{IpAddr, Ipv4Addr};

use pontoon_storage::EngineKind;

/// Percentiles in one list: each is a line of `INFO` for every command.
const PERCENTILES_MAX: usize = 64;

/// A number of bytes with the units of `redis.conf`: `k` is 1000, `kb` is 1024, and so on.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits_len = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, unit) = text.split_at(digits_len);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return Err("the units are b, k, kb, m, mb, g and gb".into()),
    };
    let number: u64 = digits.parse().map_err(|_| "not a number of bytes")?;
    number.checked_mul(factor).ok_or_else(|| "too many bytes".into())
}

/// A number of bytes in the largest unit that it is a multiple of.
pub(crate) fn show_bytes(bytes: u64) -> String {
    let units = [("gb", 30), ("mb", 20), ("kb", 10)];
    let fitting = units.iter().find(|(_, bits)| bytes > 0 && bytes.trailing_zeros() >= *bits);
    match fitting {
        Some((unit, bits)) => format!("{}{unit}", bytes >> bits),
        None => bytes.to_string(),
    }
}

/// Addresses to listen on, separated by commas or blanks.
pub(crate) fn parse_bind(text: &str) -> Result<Vec<IpAddr>, String> {
    let names = text.split([',', ' ', '\t']).filter(|name| !name.is_empty());
    let mut addresses = Vec::new();
    for name in names {
        let address = match name {
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            other => other.parse().map_err(|_| format!("{other:?} is not an IP address"))?,
        };
        if addresses.contains(&address) {
            return Err(format!("{address} is there twice"));
        }
        addresses.push(address);
    }
    if addresses.is_empty() { Err("no address".into()) } else { Ok(addresses) }
}

/// An engine that this build has.
pub(crate) fn parse_engine(text: &str) -> Result<EngineKind, String> {
    let all = [EngineKind::Memory, EngineKind::Redb, EngineKind::Rocksdb];
    let Some(kind) = all.into_iter().find(|kind| kind.name() == text) else {
        return Err("the engines are redb, rocksdb and memory".into());
    };
    if !EngineKind::AVAILABLE.contains(&kind) {
        return Err(format!(
            "this build has no {text} engine; build with `cargo build --features {text}`"
        ));
    }
    Ok(kind)
}

/// Percentiles separated by blanks, each from 0 to 100.
pub(crate) fn parse_percentiles(text: &str) -> Result<Vec<f64>, String> {
    let name = "latency-tracking-info-percentiles";
    let mut percentiles = Vec::new();
    for word in text.split_ascii_whitespace() {
        let percentile: f64 = word.parse().map_err(|_| format!("Invalid {name} parameters"))?;
        if percentile.is_nan() {
            return Err(format!("Invalid {name} parameters"));
        }
        if !(0.0..=100.0).contains(&percentile) {
            return Err(format!("{name} parameters should sit between [0.0,100.0]"));
        }
        if percentiles.len() == PERCENTILES_MAX {
            return Err(format!("{name} takes at most {PERCENTILES_MAX} percentiles"));
        }
        percentiles.push(percentile);
    }
    Ok(percentiles)
}

/// Percentiles with six decimals at the most, and no zeros at their end.
pub(crate) fn show_percentiles(percentiles: &[f64]) -> String {
    let one = |percentile: &f64| {
        let text = format!("{percentile:.6}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    percentiles.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_units_of_redis_conf() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("17b", 17),
            ("3k", 3000),
            ("3KB", 3 << 10),
            ("3m", 3_000_000),
            ("3mB", 3 << 20),
            ("3g", 3_000_000_000),
            ("3gb", 3 << 30),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in
            ["", "kb", "-1", "1 kb", "1.5mb", "2xb", "18446744073709551616", "99999999999gb"]
        {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bytes_are_shown_so_that_they_come_back() {
        for (bytes, text) in
            [(0, "0"), (1023, "1023"), (1 << 10, "1kb"), (3 << 20, "3mb"), (1 << 40, "1024gb")]
        {
            assert_eq!(show_bytes(bytes), text);
            assert_eq!(parse_bytes(text), Ok(bytes));
        }
    }

    #[test]
    fn percentiles_are_shown_as_redis_shows_them() {
        let shown = |text: &str| parse_percentiles(text).map(|list| show_percentiles(&list));
        assert_eq!(shown("50.0 99.99  0.1234567 1e1").unwrap(), "50 99.99 0.123457 10");
        assert_eq!(shown("100 0 0.0").unwrap(), "100 0 0");
        assert_eq!(shown("").unwrap(), "");
        for text in ["x", "50 x", "nan", "50,99"] {
            assert!(shown(text).unwrap_err().starts_with("Invalid "), "{text}");
        }
        for text in ["101", "-0.1", "inf"] {
            assert!(shown(text).unwrap_err().ends_with("[0.0,100.0]"), "{text}");
        }
        assert!(shown(&"1 ".repeat(65)).unwrap_err().contains("at most 64"));
    }
}
