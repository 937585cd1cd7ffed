//! The table as flags and environment variables of the command line.

use std::env;
use std::path::PathBuf;
use std::sync::LazyLock;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};

use crate::config::Config;

use super::assemble::{Given, Origin};
use super::kind::Kind;
use super::table::{Setting, TABLE};

/// The file of settings.
const FILE: &str = "config";

/// What the variables of settings begin with.
const PREFIX: &str = "PONTOON_";

/// What the command line and the environment say about settings.
#[derive(Debug, Clone)]
pub(crate) struct Flags {
    /// The file of settings.
    pub(crate) file: Option<PathBuf>,
    /// Those that were set, each once.
    pub(crate) given: Vec<Given>,
}

/// What clap wants to have for as long as the program runs.
struct Row {
    setting: &'static Setting,
    /// Its variables, by its names.
    variables: Vec<String>,
    default: String,
}

static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let defaults = Config::default();
    let row = |setting: &'static Setting| Row {
        setting,
        variables: setting.names().map(variable).collect(),
        default: setting.kind.show_short(&defaults),
    };
    TABLE.iter().map(row).collect()
});

/// Every environment variable that is a setting, in groups that mean the same.
pub(crate) fn variables() -> impl Iterator<Item = &'static [String]> {
    ROWS.iter().map(|row| row.variables.as_slice())
}

fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.to_uppercase().replace('-', "_"))
}

impl Row {
    fn arg(&'static self) -> Arg {
        let Setting { name, aliases, heading, value_name, doc, kind, is_secret, .. } = self.setting;
        // Of the variables, the one that is set, since clap looks at one alone.
        let set = self.variables.iter().find(|name| env::var_os(name).is_some());
        let variable = set.or(self.variables.first()).map_or("", String::as_str);
        let arg = Arg::new(*name)
            .long(*name)
            .visible_aliases(aliases.iter().copied())
            .env(variable)
            .hide_env_values(*is_secret)
            .value_name(*value_name)
            .help(*doc)
            .help_heading(heading.title())
            .action(ArgAction::Set)
            .default_value(self.default.as_str())
            .hide_default_value(self.default.is_empty());
        match kind {
            Kind::YesNo { .. } => {
                let words = PossibleValuesParser::new(["yes", "no"]);
                arg.value_parser(words).ignore_case(true).hide_possible_values(true)
            }
            Kind::Choice { of, .. } => {
                let words = of.iter().map(|(word, doc)| PossibleValue::new(*word).help(*doc));
                arg.value_parser(PossibleValuesParser::new(words)).ignore_case(true)
            }
            // Its value depends on what else is set.
            Kind::Fixed { .. } => arg,
            Kind::Integer { .. } | Kind::Bytes { .. } | Kind::Text { .. } => {
                arg.allow_negative_numbers(true).value_parser(|text: &str| {
                    kind.set(&mut Config::default(), text)
                        .map(|()| text.to_owned())
                        .map_err(|why| why + kind.hint())
                })
            }
        }
    }

    fn given(&'static self, matches: &ArgMatches) -> Option<Given> {
        let origin = match matches.value_source(self.setting.name)? {
            ValueSource::CommandLine => Origin::Flag,
            ValueSource::EnvVariable => {
                let set = self.variables.iter().find(|name| env::var_os(name).is_some());
                Origin::Variable(set.or(self.variables.first()).map_or("", String::as_str))
            }
            _ => return None,
        };
        let text = matches.get_one::<String>(self.setting.name)?.clone();
        Some(Given { setting: self.setting, text, origin })
    }
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new(FILE)
            .long(FILE)
            .env("PONTOON_CONFIG")
            .value_name("FILE")
            .help("File of settings, in TOML, with the names of these options as keys")
            .value_parser(value_parser!(PathBuf));
        command.arg(file).args(ROWS.iter().map(Row::arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let file = matches.get_one::<PathBuf>(FILE).cloned();
        Ok(Self { file, given: ROWS.iter().filter_map(|row| row.given(matches)).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
