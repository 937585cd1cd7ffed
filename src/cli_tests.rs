#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use pontoon_storage::EngineKind;

use super::*;
use crate::config::{BridgeChoice, DurabilityChoice, RuntimeChoice};
use crate::settings::{Kind, Setting, TABLE};

fn config(args: &[&str]) -> Config {
    let Action::Serve(config) = parse([&["pontoon"], args].concat(), []).unwrap() else {
        panic!("no server: {args:?}");
    };
    *config
}

#[track_caller]
fn assert_refused(args: &[&str], kind: ErrorKind, needle: &str) {
    let error = parse([&["pontoon"], args].concat(), []).expect_err("an error");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(needle), "{needle:?} is not in: {error}");
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn the_defaults_are_those_of_the_config() {
    assert_eq!(format!("{:?}", config(&[])), format!("{:?}", Config::default()));
    assert_eq!(format!("{:?}", config(&["serve"])), format!("{:?}", Config::default()));
}

#[test]
fn every_option_reaches_the_config() {
    let config = config(&[
        "serve",
        "--bind=127.0.0.1, ::1",
        "--port=0",
        "--maxclients=7",
        "--requirepass=secret",
        "--protected-mode=no",
        "--dir=/data",
        "--durability=everysec",
        "--engine-cache-bytes=2mb",
        "--bridge=pool",
        "--pool-threads=3",
        "--runtime=multi-thread",
        "--worker-threads=4",
        "--shutdown-timeout=5",
        "--slowlog-log-slower-than",
        "-1",
        "--log=warn,pontoon=debug",
    ]);
    assert_eq!(config.bind, ["127.0.0.1".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
    assert_eq!((config.port, config.clients_max), (0, 7));
    assert_eq!(config.password.as_deref(), Some("secret"));
    assert!(!config.protected_mode);
    assert_eq!(config.dir, PathBuf::from("/data"));
    assert_eq!(config.durability, DurabilityChoice::Everysec);
    assert_eq!(config.engine_cache_bytes, 2 << 20);
    assert_eq!((config.bridge, config.pool_threads), (BridgeChoice::Pool, Some(3)));
    assert_eq!((config.runtime, config.worker_threads), (RuntimeChoice::MultiThread, Some(4)));
    assert_eq!(config.shutdown_timeout, Duration::from_secs(5));
    assert_eq!(config.log, "warn,pontoon=debug");
    assert_eq!(config.slowlog_slower_than_us, -1);
}

/// A value that is not the default; `None` where there is one alone.
fn other_value(setting: &Setting) -> Option<String> {
    let default = setting.kind.show(&Config::default());
    let candidates = match &setting.kind {
        Kind::YesNo { .. } => vec!["yes", "no"],
        Kind::Integer { .. } => vec!["7", "8"],
        Kind::Bytes { .. } => vec!["3mb"],
        Kind::Choice { of, .. } => of.iter().map(|(word, _)| *word).collect(),
        Kind::Text { .. } => match setting.name {
            "bind" => vec!["::1"],
            "client-output-buffer-limit" => vec!["pubsub 1 2 3"],
            "engine" => EngineKind::AVAILABLE.iter().map(|kind| kind.name()).collect(),
            "latency-tracking-info-percentiles" => vec!["75"],
            "loglevel" => vec!["warning"],
            "notify-keyspace-events" => vec!["AKE"],
            _ => vec!["another"],
        },
        Kind::Fixed { .. } => vec![],
    };
    candidates.into_iter().find(|value| *value != default).map(str::to_owned)
}

#[test]
fn every_row_of_the_table_is_a_flag_by_each_of_its_names() {
    let flags: Vec<String> = Cli::command()
        .get_arguments()
        .filter_map(|arg| arg.get_long().map(str::to_owned))
        .filter(|name| !["help", "version", "config"].contains(&name.as_str()))
        .collect();
    assert_eq!(flags, TABLE.iter().map(|setting| setting.name).collect::<Vec<_>>());
    let defaults = Config::default();
    for setting in TABLE {
        for name in setting.names() {
            let Some(value) = other_value(setting) else {
                let same = config(&[&format!("--{name}={}", setting.kind.show(&defaults))]);
                assert_eq!(format!("{same:?}"), format!("{defaults:?}"));
                continue;
            };
            let set = config(&[&format!("--{name}={value}")]);
            let shown = setting.kind.show(&set);
            assert_ne!(shown, setting.kind.show(&defaults), "{name}");
            for other in TABLE.iter().filter(|other| other.name != setting.name) {
                let consequences = ["runtime", "durability", "appendonly", "checkpoint-dir"];
                if !consequences.contains(&other.name) {
                    let (shown, default) = (other.kind.show(&set), other.kind.show(&defaults));
                    assert_eq!(shown, default, "{name} {}", other.name);
                }
            }
        }
    }
}

#[test]
fn what_is_shown_can_be_set() {
    for setting in TABLE {
        let mut config = Config::default();
        if let Some(value) = other_value(setting) {
            setting.kind.set(&mut config, &value).unwrap();
        }
        let (shown, short) = (setting.kind.show(&config), setting.kind.show_short(&config));
        for shown_somehow in [&shown, &short] {
            let mut back = Config::default();
            setting.kind.set(&mut back, shown_somehow).unwrap();
            assert_eq!(setting.kind.show(&back), shown, "{}", setting.name);
        }
    }
}

#[test]
fn no_name_means_two_settings() {
    let mut names: Vec<&str> = TABLE.iter().flat_map(Setting::names).collect();
    let len = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), len);
}

#[test]
fn contradictions_are_refused() {
    use ErrorKind::ArgumentConflict;
    assert_refused(&["--bridge=blocking", "--pool-threads=2"], ArgumentConflict, "--pool-threads");
    assert_refused(
        &["--runtime=current-thread", "--worker-threads=2"],
        ArgumentConflict,
        "--worker-threads",
    );
    assert_refused(&["--engine=memory", "--dir=/data"], ArgumentConflict, "--dir");
    assert_refused(&["--engine=memory", "--durability=always"], ArgumentConflict, "--durability");
    assert_refused(
        &["--engine=memory", "--engine-cache-bytes=1mb"],
        ArgumentConflict,
        "--engine-cache-bytes",
    );
}

#[test]
fn two_variables_that_mean_the_same_are_refused() {
    let names = ["PONTOON_DURABILITY", "PONTOON_APPENDFSYNC"].map(OsString::from);
    let error = parse(["pontoon"], names).expect_err("an error").to_string();
    assert!(error.contains("PONTOON_DURABILITY and PONTOON_APPENDFSYNC are the same"), "{error}");
    for name in ["PONTOON_APPENDFSYNC", "PONTOON_SHUTDOWN_TIMEOUT_SECS", "PONTOON_LOG"] {
        parse(["pontoon"], [OsString::from(name)]).unwrap();
    }
}

#[test]
fn an_option_of_redis_that_means_nothing_here_is_explained() {
    use ErrorKind::UnknownArgument;
    assert_refused(&["--hash-max-listpack-entries=1"], UnknownArgument, "no such layout");
    assert_refused(&["serve", "--daemonize", "yes"], UnknownArgument, "what starts the server");
}

#[test]
fn what_is_as_it_is_here_can_be_said_and_not_changed() {
    use ErrorKind::InvalidValue;
    let said = ["--save=", "--appendonly=yes", "--databases=16", "--maxmemory=0mb"];
    assert_eq!(format!("{:?}", config(&said)), format!("{:?}", Config::default()));
    config(&["--engine=memory", "--appendonly=no"]);
    assert_refused(&["--appendonly=no"], InvalidValue, "--appendonly: the engine decides");
    assert_refused(&["--engine=memory", "--appendonly=yes"], InvalidValue, "the engine decides");
    assert_refused(&["--save=900 1"], InvalidValue, "no snapshots by time");
    assert_refused(&["--databases=32"], InvalidValue, "there are 16");
    assert_refused(&["--maxmemory=1gb"], InvalidValue, "on the disk");
    assert_refused(&["--maxmemory=much"], InvalidValue, "must be a memory value (");
    assert_refused(&["--maxmemory-policy=allkeys-lru"], InvalidValue, "nothing is ever evicted");
}

#[test]
fn a_variable_that_sets_nothing_is_refused() {
    let refusal = |names: &[&str]| {
        let error = parse(["pontoon"], names.iter().map(OsString::from)).expect_err("an error");
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    };
    let text = refusal(&["PATH", "PONTOON_PORT", "PONTOON_REQUIREPAS"]);
    let expected = "the environment variable PONTOON_REQUIREPAS sets nothing; did you mean \
                    PONTOON_REQUIREPASS?";
    assert!(text.contains(expected), "{text}");
    let text = refusal(&["PONTOON_COLOUR_OF_THE_SEA"]);
    assert!(text.contains("PONTOON_COLOUR_OF_THE_SEA sets nothing; --help"), "{text}");
    let fine = ["PATH", "PONTOON", "MY_PONTOON_X", "PONTOON_REQUIREPASS", "PONTOON_LOG"];
    parse(["pontoon"], fine.iter().map(OsString::from)).unwrap();
    parse(["pontoon", "serve"], fine.iter().map(OsString::from)).unwrap();
}

#[test]
fn senseless_values_are_refused() {
    use ErrorKind::{InvalidValue, UnknownArgument, ValueValidation};
    assert_refused(&["--bind=nowhere"], ValueValidation, "not an IP address");
    assert_refused(&["--bind="], ValueValidation, "no address");
    assert_refused(&["--bind=::1 ::1"], ValueValidation, "twice");
    assert_refused(&["--port=70000"], ValueValidation, "70000");
    assert_refused(&["--port=x"], ValueValidation, "x");
    assert_refused(&["--maxclients=0"], ValueValidation, "between 1 and 4294967295");
    assert_refused(&["--pool-threads=x"], ValueValidation, "parsed into an integer");
    assert_refused(&["--worker-threads=-1"], ValueValidation, "between 0 and");
    assert_refused(&["--requirepass="], InvalidValue, "empty");
    assert_refused(&["--protected-mode=maybe"], InvalidValue, "yes");
    assert_refused(&["--engine=sled"], ValueValidation, "redb, rocksdb and memory");
    assert_refused(&["--durability=sometimes"], InvalidValue, "everysec");
    assert_refused(&["--engine-cache-bytes=2xb"], ValueValidation, "units");
    assert_refused(&["--engine-cache-bytes=99999999999gb"], ValueValidation, "memory value");
    assert_refused(&["--log=vrebose"], ValueValidation, "no level");
    assert_refused(&["--log=pontoon=loud"], ValueValidation, "--log");
    assert_refused(&["--no-such-option"], UnknownArgument, "--no-such-option");
    assert_refused(&["--port=1", "serve"], ErrorKind::ArgumentConflict, "serve");
}

#[test]
fn an_engine_that_the_build_lacks_is_named() {
    for (name, kind) in [("redb", EngineKind::Redb), ("rocksdb", EngineKind::Rocksdb)] {
        if EngineKind::AVAILABLE.contains(&kind) {
            assert_eq!(config(&["--engine", name]).engine, kind);
        } else {
            let option = format!("--engine={name}");
            assert_refused(&[&option], ErrorKind::ValueValidation, "this build has no");
        }
    }
}

#[test]
fn help_has_every_option_with_its_variable() {
    let help = Cli::command().render_long_help().to_string();
    let options: Vec<String> = Cli::command()
        .get_arguments()
        .filter_map(|arg| arg.get_long().map(str::to_owned))
        .filter(|name| name != "help" && name != "version")
        .collect();
    assert!(options.len() > TABLE.len());
    for option in options {
        let variable = format!("PONTOON_{}", option.to_uppercase().replace('-', "_"));
        assert!(help.contains(&format!("--{option} ")), "{option}");
        assert!(help.contains(&variable), "{variable}");
    }
}
