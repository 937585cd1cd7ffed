//! Which plots a run gives, and what they show.

use super::super::result::{Cell, Results, Sample, Spread, Subject};
use super::format;
use super::group::{Group, family, runtime_title, slug};
use super::plot::{Plot, Point, Series, SpreadAs, Style};
use super::scale::Scale;

/// Points a curve has between one power of ten of 1/(1-p) and the next.
const POINTS_PER_DECADE: i32 = 8;
/// Up to 99.99 %: beyond, a run of seconds has too few operations.
const DECADES: i32 = 4;
/// Percentiles with a tick, as 1/(1-p).
const PERCENTILES: [(f64, &str); 6] =
    [(1.0, "0"), (2.0, "50"), (10.0, "90"), (100.0, "99"), (1000.0, "99.9"), (10_000.0, "99.99")];

/// Looks of the contenders, by name: in all plots the same, whatever the runtime.
#[derive(Debug)]
pub(super) struct Styles(Vec<(String, Style)>);

impl Styles {
    /// In the order in which the contenders come first.
    pub(super) fn of(results: &Results) -> Self {
        let mut styles: Vec<(String, Style)> = Vec::new();
        for cell in &results.cells {
            let contender = &cell.contender;
            if styles.iter().any(|(name, _)| *name == contender.name) {
                continue;
            }
            // Servers are peers: no line is there for the others' sake.
            let is_baseline = contender.is_baseline && results.subject == Subject::Storage;
            let index = styles.iter().filter(|(_, style)| style.is_baseline == is_baseline).count();
            styles.push((contender.name.clone(), Style { index, is_baseline }));
        }
        Self(styles)
    }

    /// That of a contender.
    pub(super) fn get(&self, name: &str) -> Style {
        let found = self.0.iter().find(|(own, _)| own == name);
        found.map_or(Style { index: 0, is_baseline: false }, |(_, style)| *style)
    }

    /// That of a contender, or of the first of a family.
    pub(super) fn of_family(&self, name: &str) -> Style {
        let is_member = |own: &str| own == name || family(own) == name;
        self.get(
            self.0.iter().map(|(own, _)| own.as_str()).find(|own| is_member(own)).unwrap_or(name),
        )
    }
}

/// The plots of one runtime, and who is in them.
#[derive(Debug)]
pub(super) struct Facet {
    /// Empty where no contender has a runtime.
    pub(super) runtime: String,
    pub(super) legend: Vec<(String, Style)>,
    pub(super) plots: Vec<Plot>,
}

/// How an axis writes its values.
pub(super) type Label = fn(f64) -> String;

/// What is drawn by concurrency.
struct Figure {
    slug: &'static str,
    caption: &'static str,
    unit: &'static str,
    label: Label,
    scale: fn(&[f64], Label) -> Scale,
    value: fn(&Sample) -> Option<f64>,
}

const FIGURES: [Figure; 3] = [
    Figure {
        slug: "throughput",
        caption: "Throughput",
        unit: "operations/s",
        label: format::count,
        scale: Scale::fitting,
        value: |sample| Some(sample.throughput()),
    },
    Figure {
        slug: "p99",
        caption: "p99 latency",
        unit: "p99",
        label: format::time,
        scale: Scale::log,
        value: |sample| (sample.operations > 0).then_some(sample.latency.p99_us),
    },
    Figure {
        slug: "cpu",
        caption: "CPU per operation",
        unit: "CPU/operation",
        label: format::time,
        scale: Scale::fitting,
        value: |sample| sample.cpu_us_per_op,
    },
];

/// What a run calls those who call.
pub(super) fn callers(subject: Subject) -> &'static str {
    match subject {
        Subject::Storage => "callers",
        Subject::Server => "connections",
    }
}

/// The plots of `group`, one facet for each runtime. Axes are the same in all facets, so that these
/// can be compared by eye.
pub(super) fn facets(group: &Group<'_>, subject: Subject, styles: &Styles) -> Vec<Facet> {
    let ticks = group.concurrencies.iter().map(|n| (f64::from(*n), n.to_string()));
    let x = Scale::with_ticks(ticks.collect());
    let x_label = callers(subject);
    let facet = |runtime: &&str| {
        let lines = lines(group, runtime, styles);
        let place = [group.title().as_str(), runtime_title(runtime)].join(", ");
        let place = place.trim_end_matches(", ");
        let mut plots: Vec<Plot> = Vec::new();
        for figure in &FIGURES {
            let values = spreads(&group.cells, figure.value);
            if values.is_empty() {
                continue;
            }
            let y = (figure.scale)(&values, figure.label);
            plots.push(Plot {
                slug: slug(&[&group.slug(), figure.slug, runtime]),
                place: place.into(),
                caption: figure.caption.into(),
                x_label: x_label.into(),
                y_label: if y.is_log() {
                    format!("{} (log)", figure.unit)
                } else {
                    figure.unit.into()
                },
                x: x.clone(),
                y,
                spread_as: SpreadAs::Whiskers,
                series: lines.iter().map(|line| line.by_concurrency(figure, x_label)).collect(),
            });
        }
        plots.extend(curve(group, runtime, &lines, place, x_label));
        let legend = lines.iter().map(|line| (line.name.to_owned(), line.style)).collect();
        Facet { runtime: (*runtime).to_owned(), legend, plots }
    };
    group.runtimes().iter().map(facet).collect()
}

/// Medians, least and greatest of all `cells`, for an axis that must have room for them.
fn spreads(cells: &[&Cell], value: fn(&Sample) -> Option<f64>) -> Vec<f64> {
    let spreads = cells.iter().filter_map(|cell| cell.spread(value));
    spreads.flat_map(|spread| [spread.min, spread.median, spread.max]).collect()
}

/// One contender's cells, by concurrency.
struct Line<'r> {
    name: &'r str,
    style: Style,
    cells: Vec<&'r Cell>,
}

fn lines<'r>(group: &Group<'r>, runtime: &str, styles: &Styles) -> Vec<Line<'r>> {
    let mut lines: Vec<Line<'r>> = Vec::new();
    for cell in group.facet(runtime) {
        let name = cell.contender.name.as_str();
        match lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.cells.push(cell),
            None => lines.push(Line { name, style: styles.get(name), cells: vec![cell] }),
        }
    }
    for line in &mut lines {
        line.cells.sort_by_key(|cell| cell.case.concurrency);
    }
    // Modes first, as the legend reads from its beginning.
    lines.sort_by_key(|line| line.style.is_baseline);
    lines
}

impl Line<'_> {
    fn by_concurrency(&self, figure: &Figure, x_label: &str) -> Series {
        let point = |cell: &&Cell| {
            let y = cell.spread(figure.value)?;
            let x = cell.case.concurrency;
            let hint = format!("{}, {x} {x_label}: {}", self.name, with_range(y, figure.label));
            Some(Point { x: f64::from(x), y, hint: Some(hint) })
        };
        let points = self.cells.iter().filter_map(point).collect();
        Series { name: self.name.into(), style: self.style, points }
    }

    fn by_percentile(&self, concurrency: u32) -> Series {
        let cell = self.cells.iter().find(|cell| cell.case.concurrency == concurrency);
        let points = cell.map(|cell| percentiles(cell, self.name)).unwrap_or_default();
        Series { name: self.name.into(), style: self.style, points }
    }
}

/// `312 k`, or `312 k (300 k to 320 k)` with rounds that differ.
pub(super) fn with_range(spread: Spread, label: Label) -> String {
    let [min, median, max] = [spread.min, spread.median, spread.max].map(label);
    if min == max { median } else { format!("{median} ({min} to {max})") }
}

/// The latency percentiles at the highest concurrency, where queues are longest.
fn curve(
    group: &Group<'_>,
    runtime: &str,
    lines: &[Line<'_>],
    place: &str,
    callers: &str,
) -> Option<Plot> {
    let concurrency = *group.concurrencies.last()?;
    let at_highest = group.cells.iter().filter(|cell| cell.case.concurrency == concurrency);
    let values: Vec<f64> = at_highest
        .flat_map(|cell| percentiles(cell, ""))
        .flat_map(|point| [point.y.min, point.y.median, point.y.max])
        .collect();
    if values.is_empty() {
        return None;
    }
    let caption = format!("Latency percentiles at {concurrency} {callers}");
    let ticks = PERCENTILES.map(|(value, label)| (value, label.to_owned()));
    Some(Plot {
        slug: slug(&[&group.slug(), "percentiles", runtime]),
        place: place.into(),
        caption,
        x_label: "percentile".into(),
        y_label: "latency (log)".into(),
        x: Scale::with_ticks(ticks.into()),
        y: Scale::log(&values, format::time),
        spread_as: SpreadAs::Band,
        series: lines.iter().map(|line| line.by_percentile(concurrency)).collect(),
    })
}

/// The curve's points, as far as the operations of a round reach, with a marker at each tick.
fn percentiles(cell: &Cell, name: &str) -> Vec<Point> {
    let between = (0..=POINTS_PER_DECADE * DECADES)
        .map(|n| (10f64.powf(f64::from(n) / f64::from(POINTS_PER_DECADE)), None));
    let mut places: Vec<(f64, Option<&str>)> =
        between.chain(PERCENTILES.map(|(x, label)| (x, Some(label)))).collect();
    places.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Where both meet, the one with a marker stays.
    places.dedup_by(|next, kept| {
        let is_same = next.0 < kept.0 * 1.001;
        if is_same && kept.1.is_none() {
            kept.1 = next.1;
        }
        is_same
    });
    let point = |(x, label): (f64, Option<&str>)| {
        let y = cell.spread(|sample| latency_at(sample, x))?;
        let hint = label
            .filter(|label| *label != "0")
            .map(|label| format!("{name}, p{label}: {}", with_range(y, format::time)));
        Some(Point { x, y, hint })
    };
    places.into_iter().filter_map(point).collect()
}

/// What all but one of `one_in` operations stayed below; `None` with fewer operations than that.
fn latency_at(sample: &Sample, one_in: f64) -> Option<f64> {
    if sample.operations == 0 || sample.operations as f64 * 1.001 < one_in {
        return None;
    }
    let fraction = 1.0 - 1.0 / one_in;
    let latency = &sample.latency;
    if latency.curve.is_empty() {
        let known = [(0.5, latency.p50_us), (0.99, latency.p99_us), (0.999, latency.p999_us)];
        return known.into_iter().find(|(at, _)| (at - fraction).abs() < 1e-9).map(|(_, us)| us);
    }
    let after = latency.curve.iter().position(|(at, _)| *at >= fraction - 1e-9)?;
    let (at, us) = *latency.curve.get(after)?;
    let Some((from, before_us)) = after.checked_sub(1).and_then(|n| latency.curve.get(n)) else {
        // A curve that begins later says nothing of what is before.
        return (at - fraction < 0.01).then_some(us);
    };
    let share = (fraction - from) / (at - from);
    if share.is_finite() {
        Some(before_us + (us - before_us) * share.clamp(0.0, 1.0))
    } else {
        Some(us)
    }
}
