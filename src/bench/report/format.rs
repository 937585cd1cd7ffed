//! Numbers and texts as people read them.

/// What stands where there is no figure.
pub(in crate::bench) const NONE: &str = "–";

/// `text` with what HTML and SVG would take for markup written as entities.
pub(in crate::bench) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // XML, and so an SVG file, allows no other control characters.
            c if c.is_control() && !matches!(c, '\n' | '\t') => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Three digits that count, without zeros at the end: `0.012`, `1.5`, `312`.
fn digits(number: f64) -> String {
    let magnitude = if number == 0.0 { 0.0 } else { number.abs().log10().floor() };
    // Beyond six places a figure is as good as nothing.
    let places = (2.0 - magnitude).clamp(0.0, 6.0) as usize;
    let text = format!("{number:.places$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// In the greatest of `units` that leaves at least 1 before the point; each is `step` times the one before.
fn scaled(number: f64, step: f64, units: &[&str]) -> String {
    if !number.is_finite() {
        return NONE.into();
    }
    let mut number = number;
    let mut units = units.iter().peekable();
    while let Some(unit) = units.next() {
        // 999.6 would be written as 1000.
        if number.abs() < step - 0.5 || units.peek().is_none() {
            return format!("{}{unit}", digits(number));
        }
        number /= step;
    }
    digits(number)
}

/// `312`, `4.1 k`, `1.25 M`.
pub(in crate::bench) fn count(number: f64) -> String {
    scaled(number, 1000.0, &["", " k", " M", " G"])
}

/// `312/s`, `4.1 k/s`.
pub(in crate::bench) fn per_sec(number: f64) -> String {
    scaled(number, 1000.0, &["/s", " k/s", " M/s", " G/s"])
}

/// `0.85 µs`, `12 ms`, `1.5 s`, from microseconds.
pub(in crate::bench) fn time(us: f64) -> String {
    scaled(us, 1000.0, &[" µs", " ms", " s"])
}

/// `512 B`, `64 MiB`.
pub(in crate::bench) fn bytes(number: f64) -> String {
    scaled(number, 1024.0, &[" B", " KiB", " MiB", " GiB", " TiB"])
}

/// How many times one thing is another, to two digits: `0.043`, `1.3`, `13`.
pub(in crate::bench) fn factor(number: f64) -> String {
    if !number.is_finite() {
        return NONE.into();
    }
    if number == 0.0 {
        return "0".into();
    }
    let places = (1.0 - number.abs().log10().floor()).clamp(0.0, 4.0) as usize;
    format!("{number:.places$}")
}

/// `pool`, `pool and blocking`, `a, b and c`.
pub(in crate::bench) fn list<T: ToString>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    match items.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_a_unit() {
        assert_eq!(count(0.0), "0");
        assert_eq!(count(0.01234), "0.0123");
        assert_eq!(count(999.7), "1 k");
        assert_eq!(per_sec(312_345.0), "312 k/s");
        assert_eq!(per_sec(1_254_000.0), "1.25 M/s");
        assert_eq!(time(0.85), "0.85 µs");
        assert_eq!(time(12_000.0), "12 ms");
        assert_eq!(time(90e6), "90 s");
        assert_eq!(time(4_500e6), "4500 s");
        assert_eq!(bytes(64.0 * 1024.0 * 1024.0), "64 MiB");
        assert_eq!(count(f64::NAN), NONE);
    }

    #[test]
    fn a_factor_has_two_digits() {
        let written = [0.0432, 0.4, 1.0, 1.26, 13.4, 140.0, f64::INFINITY].map(factor);
        assert_eq!(written, ["0.043", "0.40", "1.0", "1.3", "13", "140", NONE]);
    }

    #[test]
    fn markup_is_escaped() {
        assert_eq!(escape("<a href='x'>&\"\u{1}"), "&lt;a href=&#39;x&#39;&gt;&amp;&quot; ");
    }

    #[test]
    fn lists_read_as_spoken() {
        assert_eq!(list::<u32>(&[]), "");
        assert_eq!(list(&[1]), "1");
        assert_eq!(list(&[1, 16, 256]), "1, 16 and 256");
    }
}
