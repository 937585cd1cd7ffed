//! What a command's arguments are, read from the line in its row: see [`Command::syntax`](super::Command).
//!
//! `COMMAND DOCS` answers with it as a tree, and `docs/commands.md` writes it as Redis's pages do.

/// One argument, or several that belong together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Argument {
    /// What it is called.
    pub name: String,
    /// What it is.
    pub kind: ArgumentKind,
    /// What is sent before it, as it is.
    pub token: Option<String>,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether it may be repeated.
    pub multiple: bool,
    /// Whether its token is repeated with it.
    pub multiple_token: bool,
    /// Its parts, or what may stand for it.
    pub arguments: Vec<Argument>,
}

/// What an argument is, by the names of `COMMAND DOCS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ArgumentKind {
    /// Any bytes.
    #[default]
    String,
    /// An integer.
    Integer,
    /// A number.
    Double,
    /// A key.
    Key,
    /// A pattern.
    Pattern,
    /// A time, in seconds or milliseconds since 1970.
    UnixTime,
    /// A word that is sent as it is.
    PureToken,
    /// One of its parts.
    OneOf,
    /// All of its parts.
    Block,
}

/// The kinds that a line names, behind a colon.
const NAMED: &[(&str, ArgumentKind)] = &[
    ("string", ArgumentKind::String),
    ("integer", ArgumentKind::Integer),
    ("double", ArgumentKind::Double),
    ("key", ArgumentKind::Key),
    ("pattern", ArgumentKind::Pattern),
    ("unix-time", ArgumentKind::UnixTime),
];

impl ArgumentKind {
    /// Its name in `COMMAND DOCS`.
    pub fn name(self) -> &'static str {
        match self {
            ArgumentKind::PureToken => "pure-token",
            ArgumentKind::OneOf => "oneof",
            ArgumentKind::Block => "block",
            named => {
                NAMED.iter().find(|(_, kind)| *kind == named).map_or("string", |(name, _)| name)
            }
        }
    }
}

/// The arguments that `line` describes.
///
/// # Errors
/// What is wrong with the line, for who wrote it.
pub fn parse(line: &str) -> Result<Vec<Argument>, String> {
    let mut rest: Vec<&str> = words(line);
    rest.reverse();
    let arguments = sequence(&mut rest)?;
    match rest.pop() {
        None => Ok(arguments),
        Some(word) => Err(format!("{word:?} is out of place in {line:?}")),
    }
}

/// Words and signs.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for mut word in line.split_whitespace() {
        while !word.is_empty() {
            let is_sign = word.starts_with(SIGNS);
            let end = if is_sign { 1 } else { word.find(SIGNS).unwrap_or(word.len()) };
            let (head, tail) = word.split_at(end);
            words.push(head);
            word = tail;
        }
    }
    words
}

const SIGNS: [char; 7] = ['[', ']', '<', '>', '(', ')', '|'];

/// What follows, the next word last in `rest`, up to the end of the group it is in.
fn sequence(rest: &mut Vec<&str>) -> Result<Vec<Argument>, String> {
    let mut arguments: Vec<Argument> = Vec::new();
    while let Some(&word) = rest.last() {
        if ["]", ">", ")", "|"].contains(&word) {
            break;
        }
        rest.pop();
        let argument = match word {
            "..." => {
                let repeated = arguments.last_mut().ok_or("nothing is repeated")?;
                repeated.multiple = true;
                repeated.multiple_token =
                    repeated.token.is_some() && repeated.kind != ArgumentKind::PureToken;
                continue;
            }
            "[" => Argument { optional: true, ..choice(rest, "]")? },
            "<" => choice(rest, ">")?,
            "(" => choice(rest, ")")?,
            word => plain(word)?,
        };
        arguments.push(argument);
    }
    Ok(arguments)
}

/// What is between brackets: one sequence, or several of which one is chosen.
fn choice(rest: &mut Vec<&str>, close: &str) -> Result<Argument, String> {
    let mut alternatives = vec![one(sequence(rest)?)?];
    loop {
        match rest.pop() {
            Some("|") => alternatives.push(one(sequence(rest)?)?),
            Some(word) if word == close => break,
            _ => return Err(format!("{close:?} is missing")),
        }
    }
    if alternatives.len() == 1 {
        return alternatives.pop().ok_or_else(String::new);
    }
    let names: Vec<&str> = alternatives.iter().map(|argument| argument.name.as_str()).collect();
    let (name, kind) = (names.join("_or_"), ArgumentKind::OneOf);
    Ok(Argument { name, kind, arguments: alternatives, ..Argument::default() })
}

/// A sequence as one argument: a token belongs to what follows it.
fn one(mut sequence: Vec<Argument>) -> Result<Argument, String> {
    match sequence.as_slice() {
        [] => Err("nothing is between the brackets".into()),
        [_] => sequence.pop().ok_or_else(String::new),
        [first, second] if is_bare_token(first) && second.token.is_none() && !second.optional => {
            let token = first.token.clone();
            let second = sequence.pop().unwrap_or_default();
            Ok(Argument { token, ..second })
        }
        [first, ..] => {
            let token = if is_bare_token(first) { sequence.remove(0).token } else { None };
            let names: Vec<&str> = sequence.iter().map(|part| part.name.as_str()).collect();
            let (name, kind) = (names.join("_"), ArgumentKind::Block);
            Ok(Argument { name, kind, token, arguments: sequence, ..Argument::default() })
        }
    }
}

fn is_bare_token(argument: &Argument) -> bool {
    argument.kind == ArgumentKind::PureToken && !argument.multiple && !argument.optional
}

fn plain(word: &str) -> Result<Argument, String> {
    let is_token = word.chars().any(|c| c.is_ascii_uppercase() || !c.is_ascii_alphanumeric())
        && !word.chars().any(|c| c.is_ascii_lowercase());
    if is_token {
        let (name, token) = (word.to_ascii_lowercase(), Some(word.to_owned()));
        return Ok(Argument { name, kind: ArgumentKind::PureToken, token, ..Argument::default() });
    }
    let (name, kind) = match word.split_once(':') {
        Some((name, kind)) => {
            let known = NAMED.iter().find(|(known, _)| *known == kind);
            (name, known.ok_or_else(|| format!("{kind:?} is no kind"))?.1)
        }
        None if word == "key" => (word, ArgumentKind::Key),
        None => (word, ArgumentKind::String),
    };
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    if name.is_empty() || !name.chars().all(is_name) {
        return Err(format!("{name:?} is no name"));
    }
    Ok(Argument { name: name.into(), kind, ..Argument::default() })
}

/// The arguments as Redis's pages write them: `key value [NX | XX] [EX seconds]`.
pub(super) fn render(arguments: &[Argument]) -> String {
    arguments.iter().map(render_one).collect::<Vec<_>>().join(" ")
}

fn render_one(argument: &Argument) -> String {
    let inner = match argument.kind {
        ArgumentKind::PureToken => String::new(),
        ArgumentKind::OneOf => {
            let parts: Vec<String> = argument.arguments.iter().map(render_one).collect();
            parts.join(" | ")
        }
        ArgumentKind::Block => render(&argument.arguments),
        _ => argument.name.clone(),
    };
    let token = argument.token.as_deref().unwrap_or_default();
    // In brackets of its own, unless those around it do.
    let needs_brackets = argument.kind == ArgumentKind::OneOf
        && (!argument.optional || argument.token.is_some() || argument.multiple);
    let inner = if needs_brackets { format!("<{inner}>") } else { inner };
    let joined = |parts: &[&str]| {
        parts.iter().copied().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    };
    let whole = joined(&[token, &inner]);
    let text = match (argument.multiple, argument.multiple_token) {
        (false, _) => whole,
        (true, true) => format!("{whole} [{whole} ...]"),
        // All of it is optional: then one is no more needed than the next.
        (true, false) if argument.optional && argument.token.is_none() => format!("{inner} ..."),
        (true, false) => joined(&[token, &inner, &format!("[{inner} ...]")]),
    };
    if argument.optional { format!("[{text}]") } else { text }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_rendered_as_redis_writes_them() {
        for (line, rendered) in [
            ("", ""),
            ("key", "key"),
            ("key ...", "key [key ...]"),
            (
                "key value [NX | XX] [GET] [EX seconds:integer | KEEPTTL]",
                "key value [NX | XX] [GET] [EX seconds | KEEPTTL]",
            ),
            ("(key value) ...", "key value [key value ...]"),
            ("<LEFT | RIGHT> [COUNT count:integer]", "<LEFT | RIGHT> [COUNT count]"),
            ("[message]", "[message]"),
            ("[section ...]", "[section ...]"),
            (
                "destination:key numkeys:integer key ... [WEIGHTS weight:double ...]",
                "destination numkeys key [key ...] [WEIGHTS weight [weight ...]]",
            ),
            ("[AGGREGATE <SUM | MIN | MAX>]", "[AGGREGATE <SUM | MIN | MAX>]"),
            ("[LIMIT offset:integer count:integer]", "[LIMIT offset count]"),
            ("[(GET pattern:pattern) ...]", "[GET pattern [GET pattern ...]]"),
            (
                "[protover:integer [AUTH username password] [SETNAME clientname]]",
                "[protover [AUTH username password] [SETNAME clientname]]",
            ),
        ] {
            assert_eq!(render(&parse(line).unwrap()), rendered, "{line}");
        }
    }

    #[test]
    fn lines_become_trees() {
        let arguments =
            parse("key:key [EX seconds:integer | PERSIST] [(GET pattern:pattern) ...]").unwrap();
        let [key, expiry, get] = &arguments[..] else { panic!("{arguments:?}") };
        assert_eq!((key.name.as_str(), key.kind), ("key", ArgumentKind::Key));
        assert_eq!((expiry.kind, expiry.optional), (ArgumentKind::OneOf, true));
        assert_eq!(expiry.name, "seconds_or_persist");
        let [seconds, persist] = &expiry.arguments[..] else { panic!("{expiry:?}") };
        assert_eq!((seconds.kind, seconds.token.as_deref()), (ArgumentKind::Integer, Some("EX")));
        assert_eq!(
            (persist.kind, persist.token.as_deref()),
            (ArgumentKind::PureToken, Some("PERSIST"))
        );
        assert!(get.optional && get.multiple && get.multiple_token);
        let limit = &parse("[LIMIT offset:integer count:integer]").unwrap()[0];
        assert_eq!((limit.kind, limit.token.as_deref()), (ArgumentKind::Block, Some("LIMIT")));
        assert_eq!((limit.name.as_str(), limit.arguments.len()), ("offset_count", 2));
        let weights = &parse("[WEIGHTS weight:double ...]").unwrap()[0];
        assert!(weights.multiple && !weights.multiple_token);
        assert_eq!(parse("[= | ~]").unwrap()[0].arguments[1].kind, ArgumentKind::PureToken);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in ["[key", "key]", "<a | >", "[]", "...", "key:colour", "a:integer:b", "Key"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
