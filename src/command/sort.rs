//! `SORT` and `SORT_RO`.
//!
//! `SORT` writes only where it is told to `STORE`; without that it is run as the reading command that it is.

use std::cmp::Ordering;
use std::ops::Range;

use bytes::Bytes;

use crate::data::collection::Editor;
use crate::data::list::{self, End};
use crate::data::sort::{self, Budget, Place};
use crate::data::{self, Kind, class};
use crate::resp::{Args, Encoder};

use super::args::{at_least, integer, is};
use super::context::{ReadContext, WriteContext};
use super::decimal;
use super::fail::Fail;
use super::spec::{Command, Flags, Prepared, Run};
use super::watch::KeyPattern;

/// Patterns of one command that are watched each by itself, while it is prepared; where there are more, any
/// key of the database counts.
const WATCHED_PATTERNS_MAX: usize = 16;

const NOT_NUMBERS: Fail = Fail::text("ERR One or more scores can't be converted into double");

const fn row(name: &'static str, run: Run) -> Command {
    Command::new(name, -2, run)
        .flags(Flags::DANGEROUS)
        .keys(1, 1, 1)
        .movable_keys(stored_at)
        .categories(&["set", "sortedset", "list"])
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[
    row("sort", Run::Write(sort))
        .flags(Flags::DENYOOM)
        .reads_if(only_reads, sort_read)
        .prepare(prepare_sort)
        .patterns(patterns)
        .access("RO access, OW update")
        .syntax(
            "key [BY pattern:pattern] [LIMIT offset:integer count:integer] [(GET \
             pattern:pattern) ...] [ASC | DESC] [ALPHA] [STORE destination:key]",
        )
        .docs(
            "1.0.0",
            "O(N log N) with the number of elements, and what BY and GET read besides",
            "Returns or stores the elements of a list, set or sorted set in another order",
        ),
    row("sort_ro", Run::Read(sort_ro))
        .syntax(
            "key [BY pattern:pattern] [LIMIT offset:integer count:integer] [(GET \
             pattern:pattern) ...] [ASC | DESC] [ALPHA]",
        )
        .docs(
            "7.0.0",
            "O(N log N) with the number of elements, and what BY and GET read besides",
            "Returns the elements of a list, set or sorted set in another order",
        ),
];

fn sort_read(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    reply(Sort::parse(args, true)?.run(context)?, out);
    Ok(())
}

fn sort_ro(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    reply(Sort::parse(args, false)?.run(context)?, out);
    Ok(())
}

fn sort(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let sort = Sort::parse(args, true)?;
    // What has expired goes now, as with every command that writes.
    context.db.lookup(&sort.key)?;
    let values = sort.run(&mut context.reading())?;
    sort.store(context, values, out)
}

fn prepare_sort(context: &mut ReadContext<'_>, args: &Args) -> Result<Prepared, Fail> {
    let sort = Sort::parse(args, true)?;
    let values = sort.run(context)?;
    Ok(Box::new(move |context, out| sort.store(context, values, out)))
}

/// A mistake in the arguments is found, and answered, by whoever runs it.
fn only_reads(args: &Args) -> bool {
    Sort::parse(args, true).is_ok_and(|sort| sort.store.is_none())
}

/// Where the key is that `STORE` names, as Redis finds it, which it does by the words alone.
fn stored_at(args: &Args) -> Vec<usize> {
    let mut found = None;
    let mut at = 2;
    while let Some(word) = args.get(at) {
        if is(word, "limit") {
            at += 2;
        } else if is(word, "get") || is(word, "by") {
            at += 1;
        } else if is(word, "store") && at + 1 < args.len() {
            found = Some(at + 1);
        }
        at += 1;
    }
    found.into_iter().collect()
}

/// Where it may find what `BY` and `GET` look for.
fn patterns(args: &Args) -> Vec<KeyPattern> {
    let Ok(sort) = Sort::parse(args, true) else { return Vec::new() };
    let places = sort.places();
    if places.len() > WATCHED_PATTERNS_MAX {
        return vec![KeyPattern { prefix: Bytes::new(), suffix: Bytes::new() }];
    }
    let pattern =
        |place: &Place| KeyPattern { prefix: place.prefix.clone(), suffix: place.suffix.clone() };
    places.into_iter().map(pattern).collect()
}

fn reply(values: Vec<Option<Bytes>>, out: &mut Encoder) {
    out.array(values.len());
    for value in values {
        match value {
            Some(value) => out.bulk_bytes(value),
            None => out.null(),
        }
    }
}

/// What it is asked for.
#[derive(Debug)]
struct Sort {
    key: Bytes,
    by: By,
    skip: i64,
    count: i64,
    descending: bool,
    alpha: bool,
    gets: Vec<Get>,
    store: Option<Bytes>,
}

/// What is compared.
#[derive(Debug)]
enum By {
    /// The elements.
    Itself,
    /// Nothing: they stay in the order in which they are.
    Nothing,
    /// What belongs to them.
    Place(Place),
}

/// What it answers with for an element.
#[derive(Debug)]
enum Get {
    /// The element.
    Itself,
    /// What is never there.
    Nothing,
    /// What belongs to it.
    Place(Place),
}

impl Sort {
    fn parse(args: &Args, may_store: bool) -> Result<Self, Fail> {
        let ([_, key], mut rest) = at_least(args)?;
        let mut sort = Self {
            key: key.clone(),
            by: By::Itself,
            skip: 0,
            count: -1,
            descending: false,
            alpha: false,
            gets: Vec::new(),
            store: None,
        };
        loop {
            rest = match rest {
                [] => return Ok(sort),
                [option, rest @ ..] if is(option, "asc") => {
                    sort.descending = false;
                    rest
                }
                [option, rest @ ..] if is(option, "desc") => {
                    sort.descending = true;
                    rest
                }
                [option, rest @ ..] if is(option, "alpha") => {
                    sort.alpha = true;
                    rest
                }
                [option, skip, count, rest @ ..] if is(option, "limit") => {
                    (sort.skip, sort.count) = (integer(skip)?, integer(count)?);
                    rest
                }
                [option, key, rest @ ..] if may_store && is(option, "store") => {
                    sort.store = Some(key.clone());
                    rest
                }
                [option, pattern, rest @ ..] if is(option, "by") => {
                    // Once it has been told not to sort, no other pattern makes it.
                    sort.by = match (Place::parse(pattern), sort.by) {
                        (None, _) | (_, By::Nothing) => By::Nothing,
                        (Some(place), _) => By::Place(place),
                    };
                    rest
                }
                [option, pattern, rest @ ..] if is(option, "get") => {
                    sort.gets.push(match Place::parse(pattern) {
                        _ if pattern == "#" => Get::Itself,
                        None => Get::Nothing,
                        Some(place) => Get::Place(place),
                    });
                    rest
                }
                _ => return Err(Fail::SYNTAX),
            };
        }
    }

    /// Everything that it reads besides the elements.
    fn places(&self) -> Vec<&Place> {
        let by = match &self.by {
            By::Place(place) => Some(place),
            _ => None,
        };
        let gets = self.gets.iter().filter_map(|get| match get {
            Get::Place(place) => Some(place),
            _ => None,
        });
        by.into_iter().chain(gets).collect()
    }

    /// Which of `size` elements are wanted, by their places in the order.
    fn wanted(&self, size: u64) -> Range<u64> {
        let start = u64::try_from(self.skip).unwrap_or(0).min(size);
        let end = match u64::try_from(self.count) {
            Ok(count) => start.saturating_add(count).min(size),
            Err(_) => size,
        };
        start..end
    }

    /// What it answers with, or stores.
    fn run(&self, context: &mut ReadContext<'_>) -> Result<Vec<Option<Bytes>>, Fail> {
        let Some(record) = context.db.read(&self.key)? else { return Ok(Vec::new()) };
        if !sort::is_sortable(record.kind) {
            return Err(data::Error::WrongType.into());
        }
        let size = record.size;
        let wanted = self.wanted(size);
        // What is stored has an order that anybody can tell.
        let is_alphabetical_set = record.kind == Kind::Set && self.store.is_some();
        let by = match &self.by {
            By::Nothing if is_alphabetical_set => &By::Itself,
            by => by,
        };
        let alpha = self.alpha || matches!(self.by, By::Nothing);
        let elements_read = match by {
            By::Nothing => wanted.end,
            By::Itself => size,
            By::Place(_) => size.saturating_mul(2),
        };
        let gets = (wanted.end - wanted.start).saturating_mul(self.gets.len() as u64);
        context.walk(elements_read.saturating_add(gets))?;
        let budget = &mut Budget::default();
        let elements = if let By::Nothing = by {
            let reverse = self.descending && record.kind != Kind::Set;
            sort::elements(&mut context.db, &record, reverse, wanted, budget)?
        } else {
            let all = sort::elements(&mut context.db, &record, false, 0..size, budget)?;
            let sorted = self.sorted(context, all, by, alpha, budget)?;
            let (skip, len) = (wanted.start as usize, (wanted.end - wanted.start) as usize);
            sorted.into_iter().skip(skip).take(len).collect()
        };
        if self.gets.is_empty() {
            return Ok(elements.into_iter().map(Some).collect());
        }
        let mut values = Vec::new();
        for element in elements {
            for get in &self.gets {
                let value = match get {
                    Get::Itself => Some(element.clone()),
                    Get::Nothing => None,
                    Get::Place(place) => place.read(&mut context.db, &element)?,
                };
                budget.take(value.as_deref().unwrap_or_default())?;
                values.push(value);
            }
        }
        Ok(values)
    }

    fn sorted(
        &self,
        context: &mut ReadContext<'_>,
        elements: Vec<Bytes>,
        by: &By,
        alpha: bool,
        budget: &mut Budget,
    ) -> Result<Vec<Bytes>, Fail> {
        let directed = |order: Ordering| if self.descending { order.reverse() } else { order };
        if alpha {
            let By::Place(place) = by else {
                let mut elements = elements;
                elements.sort_by(|left, right| directed(left.cmp(right)));
                return Ok(elements);
            };
            let mut weighed = Vec::with_capacity(elements.len());
            for element in elements {
                let weight = place.read(&mut context.db, &element)?;
                budget.take(weight.as_deref().unwrap_or_default())?;
                weighed.push((weight, element));
            }
            // What has no weight comes first; those of equal weight stay in the order in which they are.
            weighed.sort_by(|(left, _), (right, _)| directed(left.cmp(right)));
            return Ok(weighed.into_iter().map(|(_, element)| element).collect());
        }
        let mut weighed = Vec::with_capacity(elements.len());
        for element in elements {
            let weight = match by {
                By::Place(place) => match place.read(&mut context.db, &element)? {
                    Some(value) => decimal::parse_as_c(&value),
                    None => Some(0.0),
                },
                _ => decimal::parse_as_c(&element),
            };
            weighed.push((weight.ok_or(NOT_NUMBERS)?, element));
        }
        weighed.sort_by(|(left, left_element), (right, right_element)| {
            let by_weight = left.partial_cmp(right).unwrap_or(Ordering::Equal);
            directed(by_weight.then_with(|| left_element.cmp(right_element)))
        });
        Ok(weighed.into_iter().map(|(_, element)| element).collect())
    }

    /// Stores `values` as a list, or answers with them if that is what it is asked for.
    fn store(
        &self,
        context: &mut WriteContext<'_>,
        values: Vec<Option<Bytes>>,
        out: &mut Encoder,
    ) -> Result<(), Fail> {
        let Some(key) = &self.store else {
            reply(values, out);
            return Ok(());
        };
        let mut editor = Editor::replace(&mut context.db, key, Kind::List)?;
        for value in values {
            let value = value.unwrap_or_default();
            list::push(&mut editor.collection, &mut context.db, End::Right, &value)?;
        }
        let (len, existed) = (editor.collection.size(), editor.existed());
        if editor.save(&mut context.db)? {
            context.db.notify(class::LIST, "sortstore", key);
        } else if existed {
            context.db.notify(class::GENERIC, "del", key);
        }
        out.integer(i64::try_from(len).unwrap_or(i64::MAX));
        Ok(())
    }
}
