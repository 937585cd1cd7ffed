//! The page: one file that needs no network and no script.

use super::super::result::{Load, Results, Subject};
use super::conclusion::Conclusion;
use super::figures::{Facet, Styles};
use super::format::{escape, list, per_sec};
use super::group::{Group, runtime_title};
use super::{heat_map, tables};

/// What the page is made of.
pub(super) struct Page<'p> {
    pub(super) results: &'p Results,
    pub(super) groups: &'p [Group<'p>],
    pub(super) styles: &'p Styles,
    pub(super) conclusion: &'p Conclusion,
    /// One for each group.
    pub(super) facets: &'p [Vec<Facet>],
}

impl Page<'_> {
    /// As HTML.
    pub(super) fn html(&self) -> String {
        let title = match self.results.subject {
            Subject::Storage => "Pontoon bench: storage",
            Subject::Server => "Pontoon bench: servers",
        };
        let machine = &self.results.machine;
        let mut html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
             <style>\n{}{}{}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n\
             <p class=\"soft\">{} · {} · {}</p>\n",
            include_str!("theme.css"),
            include_str!("plot.css"),
            include_str!("page.css"),
            escape(&self.results.date),
            escape(&machine.cpu),
            escape(self.load_in_short().as_str()),
        );
        html += &self.lead();
        html += &self.contents();
        html += &self.heat_map();
        let told = self.conclusion.by_group.iter();
        for ((group, facets), told) in self.groups.iter().zip(self.facets).zip(told) {
            let (id, title) = (escape(&group.slug()), escape(&group.title()));
            html += &format!("<h2 id=\"{id}\">{title}</h2>\n");
            html += &plots(facets, told);
        }
        html += "<h2 id=\"figures\">All figures</h2>\n";
        for group in self.groups {
            html += &format!("<h3>{}</h3>\n{}", escape(&group.title()), tables::figures(group));
        }
        html += &self.method();
        html += &format!(
            "<h2 id=\"machine\">Where and how it ran</h2>\n{}<h3>To repeat it</h3>\n<pre>{}</pre>\n",
            tables::facts(self.results),
            escape(&self.results.command)
        );
        html += "</main>\n</body>\n</html>\n";
        html
    }

    fn load_in_short(&self) -> String {
        match self.results.load {
            Load::Closed => "closed loop".into(),
            Load::Open { rate_per_sec } => format!("open loop at {}", per_sec(rate_per_sec)),
        }
    }

    fn lead(&self) -> String {
        let conclusion = self.conclusion;
        let mut lead = items(&conclusion.lead);
        if !conclusion.modes.is_empty() {
            lead += &format!("<h3>Case by case</h3>\n{}", items(&conclusion.modes));
        }
        format!("<section class=\"lead\">\n<h2>In short</h2>\n{lead}</section>\n")
    }

    fn contents(&self) -> String {
        let mut entries = Vec::new();
        for group in self.groups {
            entries.push((group.slug(), group.title()));
        }
        let others = [
            ("figures", "All figures"),
            ("method", "How to read it"),
            ("machine", "Machine and command"),
        ];
        entries.extend(others.map(|(id, title)| (id.into(), title.into())));
        let links = entries.iter().map(|(id, title)| {
            format!("<li><a href=\"#{}\">{}</a></li>\n", escape(id), escape(title))
        });
        format!("<nav><ul>\n{}</ul></nav>\n", links.collect::<String>())
    }

    fn heat_map(&self) -> String {
        let Some(table) = heat_map::render(self.groups, self.results.subject, self.styles) else {
            return String::new();
        };
        let (what, columns) = match self.results.subject {
            Subject::Storage => ("mode", "callers"),
            Subject::Server => ("server", "connections"),
        };
        let by = match self.results.load {
            Load::Closed => "throughput",
            Load::Open { .. } => "p99 latency",
        };
        format!(
            "<h2 id=\"best\">The best {what}, case by case</h2>\n\
             <p class=\"soft\">By {by}, and how many times as good as the next; columns: {columns}. “equal”: \
             the rounds do not agree on a difference of more than 5 %.</p>\n{table}"
        )
    }

    fn method(&self) -> String {
        let load = match self.results.load {
            Load::Closed => "Closed loop: each caller calls, waits for the answer, and calls again, and latency \
                             counts from the call, so while all wait, nobody adds to the load."
                .to_owned(),
            Load::Open { rate_per_sec } => format!(
                "Open loop: {} operations arrive whatever the answers do, and latency counts from the intended \
                 start, so that a stall counts for all whom it keeps waiting.",
                per_sec(rate_per_sec)
            ),
        };
        let mut sentences = vec![
            load,
            "Rounds are interleaved: in each round every contender does the same case, so that what slows the \
             machine for a while slows all of them."
                .into(),
            "Figures are medians over the rounds; whiskers and bands reach from the least to the greatest round."
                .into(),
            "Ratios are taken within a round, and their median is told. A difference counts if all rounds agree \
             on who is better and the median is more than 5 % away from equal; all else is noise."
                .into(),
        ];
        if self.results.subject == Subject::Storage {
            let baselines = self.results.cells.iter().filter(|cell| cell.contender.is_baseline);
            let mut names: Vec<&str> = baselines.map(|cell| cell.contender.name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            if !names.is_empty() {
                sentences.push(format!(
                    "Baselines ({}) are there to compare with and are drawn thin, grey and dashed; direct calls \
                     the engine on plain threads without any bridge.",
                    list(&names)
                ));
            }
            sentences.push(
                "The best mode is picked by its median, case by case. Modes that differ in their number of \
                 threads alone meet the others as one, with the best of them."
                    .into(),
            );
        }
        format!("<h2 id=\"method\">How to read it</h2>\n{}", items(&sentences))
    }
}

fn items(sentences: &[String]) -> String {
    if sentences.is_empty() {
        return String::new();
    }
    let items = sentences.iter().map(|sentence| format!("<li>{}</li>\n", escape(sentence)));
    format!("<ul>\n{}</ul>\n", items.collect::<String>())
}

fn plots(facets: &[Facet], told: &[Vec<String>]) -> String {
    let mut html = String::new();
    for (facet, told) in facets.iter().zip(told) {
        if !facet.runtime.is_empty() {
            html += &format!("<h3>{}</h3>\n", escape(runtime_title(&facet.runtime)));
        }
        html += &items(told);
        html += "<ul class=\"legend\">\n";
        for (name, style) in &facet.legend {
            html += &format!("<li>{}{}</li>\n", style.key(), escape(name));
        }
        html += "</ul>\n<div class=\"plots\">\n";
        for plot in &facet.plots {
            let caption = escape(&plot.caption);
            html += &format!(
                "<figure>\n<figcaption>{caption}</figcaption>\n{}</figure>\n",
                plot.inline()
            );
        }
        html += "</div>\n";
    }
    html
}
