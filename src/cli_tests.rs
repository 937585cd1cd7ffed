#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::*;

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
        "--shutdown-timeout-secs=5",
        "--log=warn,pontoon=debug",
    ]);
    assert_eq!(config.bind, ["127.0.0.1".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
    assert_eq!((config.port, config.clients_max), (0, 7));
    assert_eq!(config.password.as_deref(), Some("secret"));
    assert!(!config.protected_mode);
    assert_eq!(config.dir, PathBuf::from("/data"));
    assert_eq!(config.durability, DurabilityChoice::Everysec);
    assert_eq!(config.engine_cache_bytes, Some(2 << 20));
    assert_eq!((config.bridge, config.pool_threads), (BridgeChoice::Pool, Some(3)));
    assert_eq!((config.runtime, config.worker_threads), (RuntimeChoice::MultiThread, Some(4)));
    assert_eq!(config.shutdown_timeout, Duration::from_secs(5));
    assert_eq!(config.log, "warn,pontoon=debug");
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
    assert_refused(&["--maxclients=0"], ValueValidation, "at least 1");
    assert_refused(&["--pool-threads=0"], ValueValidation, "at least 1");
    assert_refused(&["--worker-threads=-1"], ValueValidation, "not a number");
    assert_refused(&["--requirepass="], InvalidValue, "empty");
    assert_refused(&["--protected-mode=maybe"], InvalidValue, "yes");
    assert_refused(&["--engine=sled"], ValueValidation, "redb, rocksdb and memory");
    assert_refused(&["--durability=sometimes"], InvalidValue, "everysec");
    assert_refused(&["--engine-cache-bytes=2xb"], ValueValidation, "units");
    assert_refused(&["--engine-cache-bytes=99999999999gb"], ValueValidation, "too many");
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
    assert!(options.len() >= 15);
    for option in options {
        let variable = format!("PONTOON_{}", option.to_uppercase().replace('-', "_"));
        assert!(help.contains(&format!("--{option} ")), "{option}");
        assert!(help.contains(&variable), "{variable}");
    }
}
