//! Settings: flags, variables and a file, which wins; and `CONFIG` while the server runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use common::{Client, Reply, Server, bulk, command, encode, error, ok, persistent_engines, run};
use pontoon::settings::{Kind, TABLE, example_toml};
use rustix::process::Signal;
use tempfile::TempDir;

/// A directory with a file of settings.
struct Files {
    dir: TempDir,
}

impl Files {
    fn new(text: &str) -> Self {
        let files = Self { dir: tempfile::tempdir().unwrap() };
        files.write(text);
        files
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("pontoon.toml")
    }

    fn write(&self, text: &str) {
        fs::write(self.path(), text).unwrap();
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    /// A server in memory with the file, and with `args`.
    fn server(&self, args: &[&str]) -> Server {
        let path = self.path();
        Server::in_memory(&[args, &["--config", path.to_str().unwrap()]].concat())
    }
}

#[track_caller]
fn check(client: &mut Client, name: &str, value: &str) {
    let reply = client.call(&["CONFIG", "GET", name]);
    assert_eq!(reply, Reply::Array(vec![bulk(name), bulk(value)]), "{name}");
}

#[test]
fn flags_win_over_variables_over_the_file_over_the_defaults() {
    let files = Files::new("timeout = 1\nslowlog-max-len = 1\nmaxclients = 1\n");
    let path = files.path();
    let mut command = command(&["--engine", "memory", "--port", "0", "--timeout", "3"]);
    command.env("PONTOON_CONFIG", &path).env("PONTOON_TIMEOUT", "2");
    command.env("PONTOON_SLOWLOG_MAX_LEN", "2");
    let server = Server::spawn(command);
    let mut client = server.connect();
    check(&mut client, "timeout", "3");
    check(&mut client, "slowlog-max-len", "2");
    check(&mut client, "maxclients", "1");
    check(&mut client, "latency-monitor-threshold", "0");
    assert_eq!(client.info("config_file"), path.to_str().unwrap());
}

#[test]
fn every_place_has_the_same_aliases() {
    let files = Files::new("shutdown-timeout-secs = 4\nlog = 'error'\n");
    let server = files.server(&["--shutdown-timeout-secs", "5"]);
    let mut client = server.connect();
    check(&mut client, "shutdown-timeout", "5");
    check(&mut client, "shutdown-timeout-secs", "5");
    check(&mut client, "loglevel", "error");
    let dir = tempfile::tempdir().unwrap();
    for engine in persistent_engines() {
        let place = dir.path().join(engine);
        let mut command =
            command(&["--engine", engine, "--dir", place.to_str().unwrap(), "--port", "0"]);
        command.env("PONTOON_APPENDFSYNC", "everysec");
        let server = Server::spawn(command);
        let mut client = server.connect();
        check(&mut client, "durability", "everysec");
        check(&mut client, "appendfsync", "everysec");
    }
}

#[test]
fn a_file_that_is_wrong_is_an_error_of_usage_that_says_where() {
    for (text, needles) in [
        ("timeout = 1\nmaxclient = 5\n", ["line 2", "maxclient is no setting", "maxclients?"]),
        ("timeout = 1\ntimeout = 2\n", ["line 2", "timeout", "duplicate"]),
        ("durability = 'no'\nappendfsync = 'no'\n", ["line 2", "appendfsync", "durability"]),
        ("\n\ntimeout = 'x'\n", ["line 3", "timeout", "an integer is wanted"]),
        ("timeout = -1\n", ["line 1", "timeout", "between 0 and"]),
        ("protected-mode = 1\n", ["line 1", "protected-mode", "true or false"]),
        ("lazyfree-lazy-expire = true\n", ["line 1", "lazyfree-lazy-expire", "no such layout"]),
        ("save = '900 1'\n", ["line 1", "save", "no snapshots by time"]),
        ("timeout =\n", ["line 1", "pontoon.toml", "error"]),
        ("engine = 'memory'\ndir = 'x'\n", ["line 2", "dir", "--engine memory"]),
    ] {
        let files = Files::new(text);
        let output = run(&["--port", "0", "--config", files.path().to_str().unwrap()]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text:?}: {stderr}");
        assert!(output.stdout.is_empty());
        for needle in needles.into_iter().chain(["pontoon.toml"]) {
            assert!(stderr.contains(needle), "{text:?}: {needle:?} is not in {stderr}");
        }
    }
    let output = run(&["--config", "/nonexistent/pontoon.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent/pontoon.toml"));
}

#[test]
fn what_was_set_and_rewritten_is_there_after_a_restart() {
    let files = Files::new("# ours\nmaxclients = 50 # few\n\nrequirepass = \"\"\n# end\n");
    fs::set_permissions(files.path(), fs::Permissions::from_mode(0o600)).unwrap();
    let server = files.server(&["--timeout", "9"]);
    let mut client = server.connect();
    assert_eq!(client.call(&["CONFIG", "REWRITE"]), ok());
    assert_eq!(files.text(), "# ours\nmaxclients = 50 # few\n\nrequirepass = \"\"\n# end\n");
    let settings = ["CONFIG", "SET", "maxclients", "60", "requirepass", "it's"];
    assert_eq!(client.call(&settings), ok());
    assert_eq!(client.call(&["CONFIG", "SET", "notify-keyspace-events", "KEA"]), ok());
    assert_eq!(client.call(&["CONFIG", "REWRITE"]), ok());
    let expected = "# ours\nmaxclients = 60 # few\n\nrequirepass = \"it's\"\n# end\n\n\
                    # Written by CONFIG REWRITE\nnotify-keyspace-events = \"AKE\"\n";
    assert_eq!(files.text(), expected);
    let mode = fs::metadata(files.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_dir(files.dir.path()).unwrap().count(), 1, "nothing is left beside it");
    assert!(server.stop(Signal::TERM).success());

    let server = files.server(&[]);
    let mut client = server.connect();
    assert_eq!(client.call(&["PING"]), error("NOAUTH Authentication required."));
    assert_eq!(client.call(&["AUTH", "it's"]), ok());
    check(&mut client, "maxclients", "60");
    check(&mut client, "notify-keyspace-events", "AKE");
    check(&mut client, "timeout", "0");
}

#[test]
fn a_file_that_cannot_be_written_is_an_error_and_stays() {
    let files = Files::new("timeout = 0\n");
    let server = files.server(&[]);
    let mut client = server.connect();
    assert_eq!(client.call(&["CONFIG", "SET", "timeout", "5"]), ok());
    files.write("timeout = 0\nnonsense = 1\n");
    let reply = client.call(&["CONFIG", "REWRITE"]);
    let expected = format!(
        "ERR Rewriting config file: {}, line 2: nonsense is no setting",
        files.path().display()
    );
    assert_eq!(reply, error(&expected));
    assert_eq!(files.text(), "timeout = 0\nnonsense = 1\n");
    // Gone altogether, it is made anew.
    fs::remove_file(files.path()).unwrap();
    assert_eq!(client.call(&["CONFIG", "REWRITE"]), ok());
    assert_eq!(files.text(), "# Written by CONFIG REWRITE\ntimeout = 5\n");
    fs::remove_dir_all(files.dir.path()).unwrap();
    let reply = client.call(&["CONFIG", "REWRITE"]);
    assert!(reply.text().starts_with("ERR Rewriting config file: cannot write "), "{reply:?}");
}

#[test]
fn who_is_let_in_changes_while_the_server_runs() {
    let server = Server::in_memory(&["--maxclients", "2"]);
    let (mut first, mut second) = (server.connect(), server.connect());
    for client in [&mut first, &mut second] {
        assert_eq!(client.call(&["PING"]), Reply::Simple("PONG".into()));
    }
    assert_eq!(first.call(&["CONFIG", "SET", "maxclients", "3"]), ok());
    let mut third = server.connect();
    assert_eq!(third.call(&["PING"]), Reply::Simple("PONG".into()));
    assert_eq!(first.call(&["CONFIG", "SET", "maxclients", "1"]), ok());
    assert_eq!(first.info("maxclients"), "1");
    let mut fourth = server.connect();
    assert_eq!(fourth.read(), error("ERR max number of clients reached"));
    fourth.assert_closed();
    assert_eq!(second.call(&["PING"]), Reply::Simple("PONG".into()), "who is in stays");

    // More than a process may open files, whoever runs it.
    let reply = first.call(&["CONFIG", "SET", "maxclients", "4294967295", "timeout", "5"]);
    let expected = "ERR CONFIG SET failed (possibly related to argument 'maxclients') - The \
                    operating system is not able to handle the specified number of clients, try \
                    with ";
    assert!(reply.text().starts_with(expected), "{reply:?}");
    check(&mut first, "maxclients", "1");
    check(&mut first, "timeout", "0");
}

#[test]
fn a_password_set_while_the_server_runs_is_asked_of_who_comes_next() {
    let server = Server::in_memory(&[]);
    let mut before = server.connect();
    assert_eq!(before.call(&["CONFIG", "SET", "requirepass", "secret"]), ok());
    assert_eq!(before.call(&["PING"]), Reply::Simple("PONG".into()));
    let mut after = server.connect();
    assert_eq!(after.call(&["PING"]), error("NOAUTH Authentication required."));
    assert_eq!(after.call(&["AUTH", "secret"]), ok());
    assert_eq!(after.call(&["CONFIG", "SET", "requirepass", ""]), ok());
    assert_eq!(server.connect().call(&["PING"]), Reply::Simple("PONG".into()));
}

#[test]
fn durability_changes_while_the_server_runs() {
    for engine in persistent_engines() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().to_str().unwrap();
        let args = ["--engine", engine, "--dir", place, "--durability", "no"];
        let server = Server::start(&args);
        let mut client = server.connect();
        assert_eq!(client.call(&["SET", "before", "1"]), ok());
        assert_eq!(client.call(&["CONFIG", "SET", "appendfsync", "always"]), ok());
        check(&mut client, "durability", "always");
        assert_eq!(client.call(&["SET", "after", "1"]), ok());
        server.stop(Signal::KILL);
        let server = Server::start(&args);
        let mut client = server.connect();
        assert_eq!(client.call(&["GET", "after"]), bulk("1"));
        assert_eq!(client.call(&["GET", "before"]), bulk("1"));
    }
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    let reply = client.call(&["CONFIG", "SET", "durability", "always"]);
    assert!(reply.text().contains("the memory engine keeps nothing"), "{reply:?}");
}

#[test]
fn the_log_level_changes_while_the_server_runs() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let mut command = command(&["--engine", "memory", "--port", "0", "--loglevel", "nothing"]);
    command.stderr(fs::File::create(&log).unwrap());
    let server = Server::spawn(command);
    let mut client = server.connect();
    assert_eq!(client.call(&["CONFIG", "SET", "loglevel", "notice"]), ok());
    client.send(&encode(&[b"SHUTDOWN"]));
    client.assert_closed();
    assert_eq!(server.wait().code(), Some(0));
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains("a client asked for it"), "{text}");
    assert!(!text.contains("DEBUG"), "{text}");
}

#[test]
fn the_example_is_the_tables() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pontoon.toml");
    let expected = example_toml();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    let page = fs::read_to_string(&path).unwrap();
    assert!(page == expected, "UPDATE_DOCS=1 cargo test --test settings writes it anew");
    for setting in TABLE {
        assert!(page.contains(&format!("\n#{} = ", setting.name)), "{}", setting.name);
    }
}

#[test]
fn the_example_with_its_comments_taken_away_says_what_is_so_anyway() {
    let example = example_toml();
    let settings = example.lines().filter_map(|line| line.strip_prefix('#'));
    let settings: Vec<&str> =
        settings.filter(|line| !line.starts_with(' ') && line.contains(" = ")).collect();
    assert_eq!(settings.len(), TABLE.len());
    // Of this machine or build alone, or of a test that must not meet another server.
    let skipped = [
        "port",
        "dir",
        "checkpoint-dir",
        "engine",
        "durability",
        "engine-cache-bytes",
        "appendonly",
        "runtime",
    ];
    let is_kept = |line: &&str| !skipped.iter().any(|name| line.starts_with(&format!("{name} =")));
    let kept: Vec<&str> = settings.iter().copied().filter(is_kept).collect();
    assert_eq!(kept.len(), TABLE.len() - skipped.len());
    let files = Files::new(&kept.join("\n"));
    let (with, without) = (files.server(&[]), Server::in_memory(&[]));
    let (mut with, mut without) = (with.connect(), without.connect());
    for setting in TABLE.iter().filter(|setting| setting.name != "port") {
        let get = ["CONFIG", "GET", setting.name];
        assert_eq!(with.call(&get), without.call(&get));
    }
}

#[test]
fn config_get_has_every_setting_and_every_one_of_them_can_be_set_to_what_it_is() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    let Reply::Array(all) = client.call(&["CONFIG", "GET", "*"]) else { panic!("no array") };
    let names: Vec<&str> = all.chunks(2).map(|pair| pair[0].text()).collect();
    assert_eq!(names, TABLE.iter().map(|setting| setting.name).collect::<Vec<_>>());
    for pair in all.chunks(2) {
        let (name, value) = (pair[0].text(), pair[1].text());
        let reply = client.call(&["CONFIG", "SET", name, value]);
        assert!(reply == ok() || name == "databases", "{name}: {reply:?}");
    }
    let is_fixed = |kind: &Kind| matches!(kind, Kind::Fixed { .. });
    assert_eq!(TABLE.iter().filter(|setting| is_fixed(&setting.kind)).count(), 5);
}
