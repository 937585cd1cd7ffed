//! Which mode is best, case by case, as a table that colours speak through.

use super::super::result::Subject;
use super::figures::Styles;
use super::format::{escape, factor, list};
use super::group::{Group, runtime_title};
use super::verdict::Outcome;

/// Lead at which a cell's colour is at its strongest.
const FACTOR_FULL: f64 = 4.0;
/// How much of a colour a cell gets, in percent: the text on it must stay readable.
const SHARE_MIN: f64 = 14.0;
const SHARE_MAX: f64 = 46.0;

/// The table; nothing where no case has two to compare.
pub(super) fn render(groups: &[Group<'_>], subject: Subject, styles: &Styles) -> Option<String> {
    let mut concurrencies: Vec<u32> = groups.iter().flat_map(|g| g.concurrencies.clone()).collect();
    concurrencies.sort_unstable();
    concurrencies.dedup();
    let mut rows = String::new();
    for group in groups {
        for runtime in group.runtimes() {
            let mut row = String::new();
            let mut is_compared = false;
            for concurrency in &concurrencies {
                let outcome = group.outcome(runtime, *concurrency, group.measure);
                is_compared |= outcome.is_some();
                row += &cell(outcome.as_ref(), styles);
            }
            if !is_compared {
                continue;
            }
            let runtime = if subject == Subject::Storage && !runtime.is_empty() {
                format!(" <small>{}</small>", escape(runtime_title(runtime)))
            } else {
                String::new()
            };
            rows += &format!(
                "<tr><th scope=\"row\">{}{runtime}</th>{row}</tr>\n",
                escape(&group.title())
            );
        }
    }
    if rows.is_empty() {
        return None;
    }
    let head: String =
        concurrencies.iter().map(|n| format!("<th scope=\"col\">{n}</th>")).collect();
    Some(format!(
        "<div class=\"scroll\"><table class=\"heat\"><thead><tr><th></th>{head}</tr></thead>\n\
         <tbody>\n{rows}</tbody></table></div>\n"
    ))
}

fn cell(outcome: Option<&Outcome>, styles: &Styles) -> String {
    match outcome {
        None => "<td class=\"none\">–</td>".into(),
        Some(Outcome::Equal { names, is_all }) => {
            let who = escape(&list(names));
            if *is_all {
                format!("<td title=\"{who} are equal within noise\">equal</td>")
            } else {
                format!("<td title=\"they lead together, equal within noise\">{who}</td>")
            }
        }
        Some(Outcome::Best { name, factor: lead, next }) => {
            let strength = (lead.ln() / FACTOR_FULL.ln()).clamp(0.0, 1.0);
            let share = SHARE_MIN + strength * (SHARE_MAX - SHARE_MIN);
            format!(
                "<td class=\"best {}\" style=\"--share:{share:.0}%\" title=\"next: {}\">{} {}×</td>",
                styles.of_family(name).class(),
                escape(next),
                escape(name),
                factor(*lead)
            )
        }
    }
}
