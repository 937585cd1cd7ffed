//! `docs/pontoon.toml`, rendered from the table: every setting with its default, commented out.

use std::fmt::Write;

use pontoon_storage::EngineKind;

use crate::config::{Config, RuntimeChoice};

use super::kind::{Kind, Shape};
use super::table::{Setting, TABLE};

/// Characters in a line of comment.
const LINE_CHARS_MAX: usize = 100;

const INTRODUCTION: &str = "\
# Settings for `pontoon --config FILE`.
#
# Each setting that there is stands here with its default, commented out. What is left out stays as it
# is; a flag or an environment variable wins over the file; a name that is not here is an error. Those
# marked (live) can change while the server runs: CONFIG SET changes them, CONFIG REWRITE writes what
# has been changed back into the file and leaves the rest of it alone.
#
# Bytes are numbers, or strings with one of the units k, kb, m, mb, g and gb, as in redis.conf.
#
# This page is rendered from the table of settings; `UPDATE_DOCS=1 cargo test --test settings` writes
# it anew.
";

/// The page. Where a default depends on the machine or the build, it has what most have.
pub fn example_toml() -> String {
    let config = Config {
        engine: EngineKind::Redb,
        runtime: RuntimeChoice::MultiThread,
        ..Config::default()
    };
    let mut page = String::from(INTRODUCTION);
    let mut heading = None;
    for setting in TABLE {
        if heading.replace(setting.heading) != Some(setting.heading) {
            push(&mut page, format_args!("\n# == {} ==\n", setting.heading.title()));
        }
        page.push('\n');
        push_comment(&mut page, "", &described(setting));
        if let Kind::Choice { of, .. } = setting.kind {
            for (word, doc) in of {
                push_comment(&mut page, "  ", &format!("{word}: {doc}."));
            }
        }
        push(&mut page, format_args!("#{} = {}\n", setting.name, value_of(setting, &config)));
    }
    page
}

fn described(setting: &Setting) -> String {
    let mut text = format!("{}.", setting.doc);
    if !setting.aliases.is_empty() {
        push(&mut text, format_args!(" Also called {}.", setting.aliases.join(" and ")));
    }
    let is_fixed = matches!(setting.kind, Kind::Fixed { .. });
    if setting.is_live && !is_fixed {
        text.push_str(" (live)");
    }
    text
}

fn value_of(setting: &Setting, config: &Config) -> String {
    let text = setting.kind.show_short(config);
    match setting.kind.shape() {
        Shape::YesNo => (text == "yes").to_string(),
        Shape::Integer => text,
        Shape::Bytes if text.bytes().all(|byte| byte.is_ascii_digit()) => text,
        Shape::Bytes | Shape::Word | Shape::Words => toml_edit::Value::from(text).to_string(),
    }
}

/// `text` as lines of comment, each with `indent` before it.
fn push_comment(page: &mut String, indent: &str, text: &str) {
    let mut line = format!("# {indent}");
    let mut is_empty = true;
    for word in text.split(' ') {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > LINE_CHARS_MAX {
            push(page, format_args!("{line}\n"));
            line = format!("# {indent}");
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    push(page, format_args!("{line}\n"));
}

fn push(text: &mut String, more: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = text.write_fmt(more);
}
