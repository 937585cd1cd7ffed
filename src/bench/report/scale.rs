//! Where on an axis a value stands, and which values the axis names.

/// One axis of a plot.
#[derive(Debug, Clone)]
pub(super) struct Scale {
    is_log: bool,
    from: f64,
    to: f64,
    /// The values that have a line and a label.
    pub(super) ticks: Vec<(f64, String)>,
}

/// Steps between ticks, of which a power of ten is taken.
const LINEAR_STEPS: [f64; 4] = [1.0, 2.0, 5.0, 10.0];
/// Ticks a linear axis has at the most, zero aside.
const TICKS_MAX: f64 = 5.0;
/// From this many times the least on, the greatest would press all others to the ground.
const LINEAR_SPAN_MAX: f64 = 20.0;

impl Scale {
    /// From zero to the greatest, or logarithmic where the values are too far from each other for that.
    pub(super) fn fitting(values: &[f64], label: fn(f64) -> String) -> Self {
        let (least, greatest) = bounds(values);
        if greatest > least * LINEAR_SPAN_MAX {
            Self::log(values, label)
        } else {
            Self::linear(values, label)
        }
    }

    /// From zero to the greatest, or a little more.
    pub(super) fn linear(values: &[f64], label: fn(f64) -> String) -> Self {
        let (_, greatest) = bounds(values);
        let rough = greatest / TICKS_MAX;
        let magnitude = 10f64.powf(rough.log10().floor());
        let fits = |step: &f64| step * magnitude >= rough * 0.999;
        let step = LINEAR_STEPS.into_iter().find(fits).unwrap_or(10.0) * magnitude;
        let steps = (greatest / step - 0.001).ceil().max(1.0) as u32;
        let ticks = (0..=steps).map(|n| f64::from(n) * step).map(|value| (value, label(value)));
        Self { is_log: false, from: 0.0, to: f64::from(steps) * step, ticks: ticks.collect() }
    }

    /// Logarithmic, between round values around all that are above zero.
    pub(super) fn log(values: &[f64], label: fn(f64) -> String) -> Self {
        let (least, greatest) = bounds(values);
        let candidates = round_values(least, greatest);
        let from = candidates.iter().copied().rfind(|v| *v <= least * 1.001).unwrap_or(least);
        let above = |v: &f64| *v >= greatest * 0.999 && *v > from * 1.5;
        let to = candidates.iter().copied().find(above).unwrap_or(greatest.max(from) * 2.0);
        let decades = (to / from).log10();
        let is_decade = |v: f64| (v.log10() - v.log10().round()).abs() < 0.01;
        // Long axes name each second power of ten, short ones what lies between as well.
        let is_tick = |v: f64| match decades {
            d if d < 2.2 => true,
            d if d < 7.0 => is_decade(v),
            _ => is_decade(v) && v.log10().round() as i64 % 2 == 0,
        };
        let inside = candidates.into_iter().filter(|v| *v >= from && *v <= to * 1.001);
        let ticks = inside.filter(|v| is_tick(*v)).map(|value| (value, label(value)));
        Self { is_log: true, from, to, ticks: ticks.collect() }
    }

    /// Logarithmic, with exactly these ticks, the first and the last at its ends.
    pub(super) fn with_ticks(ticks: Vec<(f64, String)>) -> Self {
        let values: Vec<f64> = ticks.iter().map(|(value, _)| *value).collect();
        let (mut from, mut to) = bounds(&values);
        if to < from * 1.01 {
            (from, to) = (from / 2.0, to * 2.0);
        }
        Self { is_log: true, from, to, ticks }
    }

    /// Whether it is logarithmic.
    pub(super) fn is_log(&self) -> bool {
        self.is_log
    }

    /// From 0 (where it begins) to 1 (where it ends); `None` for what has no place on it.
    pub(super) fn position(&self, value: f64) -> Option<f64> {
        let position = if self.is_log {
            if value <= 0.0 {
                return None;
            }
            (value / self.from).ln() / (self.to / self.from).ln()
        } else {
            (value - self.from) / (self.to - self.from)
        };
        (position.is_finite() && (-0.001..=1.001).contains(&position))
            .then(|| position.clamp(0.0, 1.0))
    }

    /// As [`position`](Self::position), with what lies outside put at the nearer end.
    pub(super) fn clamped(&self, value: f64) -> f64 {
        if value <= self.from { 0.0 } else { self.position(value).unwrap_or(1.0) }
    }
}

/// Least and greatest of what is above zero; something to draw an axis for where nothing is.
fn bounds(values: &[f64]) -> (f64, f64) {
    let positive = || values.iter().copied().filter(|v| v.is_finite() && *v > 0.0);
    let least = positive().fold(f64::INFINITY, f64::min);
    let greatest = positive().fold(0.0, f64::max);
    if greatest > 0.0 { (least, greatest) } else { (1.0, 10.0) }
}

/// 1, 2 and 5 times each power of ten from below `least` to above `greatest`.
fn round_values(least: f64, greatest: f64) -> Vec<f64> {
    let first = least.log10().floor() as i32;
    let last = greatest.log10().ceil() as i32 + 1;
    let powers = (first..=last).map(|power| 10f64.powi(power));
    powers.flat_map(|ten| [ten, 2.0 * ten, 5.0 * ten]).collect()
}

#[cfg(test)]
mod tests {
    use super::super::format;
    use super::*;

    fn labels(scale: &Scale) -> Vec<&str> {
        scale.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn a_linear_axis_begins_at_zero_and_ends_above_the_greatest() {
        let scale = Scale::linear(&[120.0, 470.0], format::count);
        assert_eq!(labels(&scale), ["0", "100", "200", "300", "400", "500"]);
        assert_eq!(scale.position(250.0), Some(0.5));
        assert_eq!(scale.position(600.0), None);
    }

    #[test]
    fn a_log_axis_ends_at_round_values() {
        let scale = Scale::log(&[130.0, 42_000.0], format::time);
        assert_eq!(labels(&scale), ["100 µs", "1 ms", "10 ms"]);
        assert_eq!(scale.position(100.0), Some(0.0));
        assert_eq!(scale.position(50_000.0), Some(1.0));
        assert_eq!(scale.position(0.0), None);
        assert_eq!(scale.clamped(0.0), 0.0);
        assert_eq!(scale.clamped(1e9), 1.0);
    }

    #[test]
    fn a_short_log_axis_names_what_lies_between_powers_of_ten() {
        assert_eq!(labels(&Scale::log(&[1.5, 9.0], format::count)), ["1", "2", "5", "10"]);
        assert_eq!(labels(&Scale::log(&[10.0], format::count)), ["10", "20"]);
    }

    #[test]
    fn far_values_make_an_axis_logarithmic() {
        assert!(Scale::fitting(&[1.0, 100.0], format::count).is_log());
        assert!(!Scale::fitting(&[10.0, 100.0], format::count).is_log());
    }

    #[test]
    fn whatever_the_values_positions_are_numbers_between_0_and_1() {
        let odd = [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-300, 1e300, 3.0];
        for values in [&odd[..], &odd[..4], &odd[..0], &odd[4..5], &odd[6..]] {
            for scale in [
                Scale::linear(values, format::count),
                Scale::log(values, format::count),
                Scale::fitting(values, format::count),
                Scale::with_ticks(values.iter().map(|v| (*v, v.to_string())).collect()),
            ] {
                for value in odd {
                    if let Some(position) = scale.position(value) {
                        assert!((0.0..=1.0).contains(&position), "{value} on {scale:?}");
                    }
                    assert!((0.0..=1.0).contains(&scale.clamped(value)), "{value} on {scale:?}");
                }
            }
        }
    }
}
