//! A plot as SVG: part of the page, or a file of its own that brings its legend and colours along.

use super::super::result::Spread;
use super::format::escape;
use super::scale::Scale;

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 27.0;
/// Between the left axis and the first value, so that no marker covers a label.
const INSET: f64 = 10.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 50.0;
/// Above the plot in a file of its own, for where and what.
const HEAD: f64 = 50.0;
/// From the left of a file of its own.
const INDENT: f64 = 10.0;
/// In a file of its own, for an entry of the legend.
const ENTRY_WIDTH: f64 = 156.0;
const ENTRY_HEIGHT: f64 = 21.0;
const ENTRIES_PER_ROW: usize = 3;
/// Room that a letter of a label takes on a phone, where they are drawn larger.
const LETTER_WIDTH: f64 = 9.0;

/// Each relative to its middle.
const MARKERS: [&str; 8] = [
    "m-4,0a4,4 0 1 0 8,0a4,4 0 1 0 -8,0z",
    "m-3.5,-3.5h7v7h-7z",
    "m0,-4.6l4.5,7.8h-9z",
    "m0,-5l5,5l-5,5l-5,-5z",
    "m0,4.6l4.5,-7.8h-9z",
    "m-1.5,-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
    "m-4.4,0l2.2,-3.9h4.4l2.2,3.9l-2.2,3.9h-4.4z",
    "m0,-5l1.5,3.4l3.5,.4l-2.7,2.5l.8,3.7l-3.1,-1.9l-3.1,1.9l.8,-3.7l-2.7,-2.5l3.5,-.4z",
];
const DASHES: [&str; 5] = ["7 4", "2 3", "9 3 2 3", "4 3", "1 4"];

/// How one contender's line looks, the same in all plots of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    /// Which of its kind it is, from 0.
    pub(super) index: usize,
    /// Thin, grey and dashed, as what is there to compare with only.
    pub(super) is_baseline: bool,
}

impl Style {
    /// The class that sets its colour.
    pub(super) fn class(self) -> String {
        if self.is_baseline { "base".into() } else { format!("s{}", self.index % MARKERS.len()) }
    }

    fn marker(self) -> &'static str {
        // The first baseline does not look like the first mode, not even in print.
        let at = if self.is_baseline { self.index + 3 } else { self.index };
        MARKERS.get(at % MARKERS.len()).copied().unwrap_or_default()
    }

    fn dash(self) -> String {
        // Colours that come round again are told apart by dashes.
        let at = match (self.is_baseline, self.index.checked_sub(MARKERS.len())) {
            (true, _) => self.index,
            (false, Some(again)) => again / MARKERS.len(),
            (false, None) => return String::new(),
        };
        let dash = DASHES.get(at % DASHES.len()).copied().unwrap_or_default();
        format!(" stroke-dasharray=\"{dash}\"")
    }

    /// What stands beside the name in a legend of the page.
    pub(super) fn key(self) -> String {
        let sample = self.sample(0.0, 7.0);
        format!(
            "<svg class=\"plot key\" width=\"34\" height=\"14\" viewBox=\"0 0 34 14\" aria-hidden=\"true\">{sample}</svg>"
        )
    }

    fn sample(self, x: f64, y: f64) -> String {
        let (from, to, middle, y) = (coord(x + 1.0), coord(x + 33.0), coord(x + 17.0), coord(y));
        let (class, dash, marker) = (self.class(), self.dash(), self.marker());
        format!(
            "<g class=\"{class}\"><path class=\"line\"{dash} d=\"M{from},{y}H{to}\"/>\
             <path class=\"mark\" d=\"M{middle},{y}{marker}\"/></g>"
        )
    }
}

/// One value of a line.
#[derive(Debug, Clone)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: Spread,
    /// What a reader who points at its marker sees; none, no marker.
    pub(super) hint: Option<String>,
}

/// One contender's line.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) style: Style,
    pub(super) points: Vec<Point>,
}

/// How the spread over the rounds is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SpreadAs {
    /// From the least to the greatest at each marker.
    Whiskers,
    /// An area along the line, for all but baselines.
    Band,
}

/// What is drawn.
#[derive(Debug, Clone)]
pub(super) struct Plot {
    /// The name of its file, without `.svg`.
    pub(super) slug: String,
    /// Engine, workload and runtime: the page's headings have them, a file of its own needs them.
    pub(super) place: String,
    pub(super) caption: String,
    pub(super) x_label: String,
    pub(super) y_label: String,
    pub(super) x: Scale,
    pub(super) y: Scale,
    pub(super) spread_as: SpreadAs,
    pub(super) series: Vec<Series>,
}

impl Plot {
    /// As part of a page that has the style sheets and a legend.
    pub(super) fn inline(&self) -> String {
        format!(
            "<svg class=\"plot\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n{}</svg>\n",
            self.label(),
            self.body()
        )
    }

    /// As a file of its own, light or dark as its reader likes it.
    pub(super) fn standalone(&self) -> String {
        let rows = self.series.len().div_ceil(ENTRIES_PER_ROW) as f64;
        let width = WIDTH + INDENT;
        let height = HEAD + HEIGHT + rows * ENTRY_HEIGHT + 10.0;
        let mut legend = String::new();
        for (n, series) in self.series.iter().enumerate() {
            let x = INDENT + (n % ENTRIES_PER_ROW) as f64 * ENTRY_WIDTH;
            let y = HEAD + HEIGHT + 8.0 + (n / ENTRIES_PER_ROW) as f64 * ENTRY_HEIGHT;
            let (name, text_x, text_y) = (escape(&series.name), coord(x + 40.0), coord(y + 4.5));
            legend += &series.style.sample(x, y);
            legend +=
                &format!("<text class=\"name\" x=\"{text_x}\" y=\"{text_y}\">{name}</text>\n");
        }
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">\n\
             <style>\n{theme}{style}</style>\n\
             <rect class=\"back\" width=\"{width}\" height=\"{height}\" rx=\"6\"/>\n\
             <text class=\"head\" x=\"{INDENT}\" y=\"24\">{place}</text>\n\
             <text class=\"name\" x=\"{INDENT}\" y=\"44\">{caption}</text>\n\
             <g transform=\"translate({INDENT} {HEAD})\">\n{body}</g>\n{legend}</svg>\n",
            label = self.label(),
            place = escape(&self.place),
            caption = escape(&self.caption),
            theme = include_str!("theme.css"),
            style = include_str!("plot.css"),
            body = self.body(),
        )
    }

    /// For who cannot see it.
    fn label(&self) -> String {
        escape(&format!("{}: {}", self.place, self.caption))
    }

    fn body(&self) -> String {
        let mut body = self.axes();
        let baselines = self.series.iter().filter(|series| series.style.is_baseline);
        let modes = self.series.iter().filter(|series| !series.style.is_baseline);
        for series in baselines.chain(modes) {
            body += &self.line(series);
        }
        body
    }

    fn axes(&self) -> String {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let mut axes = String::new();
        let mut grid = String::new();
        for (value, label) in &self.y.ticks {
            let Some(y) = self.y_at(*value) else { continue };
            grid += &format!("M{LEFT},{}H{right}", coord(y));
            let (x, y) = (coord(LEFT - 7.0), coord(y + 4.5));
            axes += &format!("<text class=\"y\" x=\"{x}\" y=\"{y}\">{}</text>\n", escape(label));
        }
        let mut taken_to = f64::NEG_INFINITY;
        for (value, label) in &self.x.ticks {
            let Some(x) = self.x_at(*value) else { continue };
            grid += &format!("M{},{TOP}V{bottom}", coord(x));
            let half = label.chars().count() as f64 * LETTER_WIDTH / 2.0;
            if x - half < taken_to {
                continue;
            }
            taken_to = x + half + LETTER_WIDTH;
            let (x, y) = (coord(x), coord(bottom + 18.0));
            axes += &format!("<text class=\"x\" x=\"{x}\" y=\"{y}\">{}</text>\n", escape(label));
        }
        let (x_label, y_label) = (escape(&self.x_label), escape(&self.y_label));
        let (middle, below) = (coord((LEFT + right) / 2.0), coord(HEIGHT - 11.0));
        format!(
            "<path class=\"grid\" d=\"{grid}\"/>\n<path class=\"axis\" d=\"M{LEFT},{TOP}V{bottom}H{right}\"/>\n\
             {axes}<text x=\"2\" y=\"17\">{y_label}</text>\n\
             <text class=\"x\" x=\"{middle}\" y=\"{below}\">{x_label}</text>\n"
        )
    }

    fn line(&self, series: &Series) -> String {
        let style = series.style;
        let mut line = String::new();
        let mut ranges = String::new();
        let mut marks = String::new();
        let (mut upper, mut lower) = (Vec::new(), Vec::new());
        for point in &series.points {
            let (Some(x), Some(y)) = (self.x_at(point.x), self.y_at(point.y.median)) else {
                continue;
            };
            let (x, y) = (coord(x), coord(y));
            line += &format!("{}{x},{y}", if line.is_empty() { 'M' } else { 'L' });
            let [low, high] = [point.y.min, point.y.max].map(|y| coord(self.y_clamped(y)));
            if self.spread_as == SpreadAs::Whiskers && low != high {
                ranges += &format!("M{x},{low}V{high}m-3,0h6M{x},{low}m-3,0h6");
            }
            upper.push(format!("{x},{high}"));
            lower.push(format!("{x},{low}"));
            if let Some(hint) = &point.hint {
                let (marker, hint) = (style.marker(), escape(hint));
                marks += &format!(
                    "<path class=\"mark\" d=\"M{x},{y}{marker}\"><title>{hint}</title></path>\n"
                );
            }
        }
        if line.is_empty() {
            return String::new();
        }
        let band = if self.spread_as == SpreadAs::Band && !style.is_baseline && upper != lower {
            lower.reverse();
            format!("<path class=\"band\" d=\"M{}L{}z\"/>\n", upper.join("L"), lower.join("L"))
        } else {
            String::new()
        };
        if !ranges.is_empty() {
            ranges = format!("<path class=\"range\" d=\"{ranges}\"/>\n");
        }
        let (class, dash) = (style.class(), style.dash());
        format!(
            "<g class=\"{class}\">{band}<path class=\"line\"{dash} d=\"{line}\"/>\n{ranges}{marks}</g>\n"
        )
    }

    fn x_at(&self, value: f64) -> Option<f64> {
        let width = WIDTH - LEFT - INSET - RIGHT;
        Some(LEFT + INSET + self.x.position(value)? * width)
    }

    fn y_at(&self, value: f64) -> Option<f64> {
        self.y.position(value).map(height_to_y)
    }

    fn y_clamped(&self, value: f64) -> f64 {
        height_to_y(self.y.clamped(value))
    }
}

fn height_to_y(height: f64) -> f64 {
    HEIGHT - BOTTOM - height * (HEIGHT - TOP - BOTTOM)
}

/// To a tenth of a pixel, which is as fine as anybody sees.
fn coord(number: f64) -> String {
    let number = if number.is_finite() { number } else { 0.0 };
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}
