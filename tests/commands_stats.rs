//! What is kept of the commands that have run: figures, times, errors, what took long.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use harness::Shell;

/// The fields of a section of `INFO` that begin with `prefix`, without it.
fn fields(shell: &mut Shell, section: &str, prefix: &str) -> Vec<String> {
    let info = shell.run(&format!("INFO {section}"));
    let lines = info.trim_matches('"').split("\\r\\n").map(str::to_owned);
    lines.filter_map(|line| Some(line.strip_prefix(prefix)?.to_owned())).collect()
}

/// As `CONFIG SET`, but no command.
fn set(shell: &Shell, name: &str, value: &str) {
    shell.server.live.set(&[(name, value)]).unwrap();
}

/// What `INFO commandstats` says of a command, without the times.
fn command_stats(shell: &mut Shell, name: &str) -> Option<String> {
    let found = fields(shell, "commandstats", &format!("cmdstat_{name}:")).pop()?;
    let counts: Vec<&str> = found.split(',').filter(|field| !field.starts_with("usec")).collect();
    Some(counts.join(" "))
}

#[test]
fn every_command_is_counted() {
    let mut shell = Shell::new();
    shell.script(
        "
        SET a 1 -> OK
        SET b 2 -> OK
        GET a -> \"1\"
        GET -> (error) ERR wrong number of arguments for 'get' command
        INCRBY a x -> (error) ERR value is not an integer or out of range
        CLIENT ID -> 1
        ",
    );
    for (name, expected) in [
        ("set", "calls=2 rejected_calls=0 failed_calls=0"),
        ("get", "calls=1 rejected_calls=1 failed_calls=0"),
        ("incrby", "calls=1 rejected_calls=0 failed_calls=1"),
        ("client|id", "calls=1 rejected_calls=0 failed_calls=0"),
    ] {
        assert_eq!(command_stats(&mut shell, name).as_deref(), Some(expected), "{name}");
    }
    assert_eq!(command_stats(&mut shell, "append"), None);
    let line = fields(&mut shell, "commandstats", "cmdstat_set:").pop().unwrap();
    let figure = |name: &str| -> f64 {
        let found = line.split(',').find_map(|field| field.strip_prefix(name)).expect(name);
        found.parse().unwrap()
    };
    let mean = figure("usec=") / 2.0;
    assert!((figure("usec_per_call=") - mean).abs() < 0.01, "{line}");
}

#[test]
fn a_pipeline_is_counted_command_by_command() {
    let mut shell = Shell::new();
    shell.pipeline(&["SET a 1", "APPEND a 2", "GET a", "GET b"]);
    shell.pipeline(&["GET a", "GET b", "STRLEN a"]);
    for (name, calls) in [("set", 1), ("append", 1), ("get", 4), ("strlen", 1)] {
        let expected = format!("calls={calls} rejected_calls=0 failed_calls=0");
        assert_eq!(command_stats(&mut shell, name), Some(expected), "{name}");
    }
}

#[test]
fn a_command_that_waits_is_counted_when_it_begins() {
    let mut shell = Shell::new();
    shell.check("BLPOP list 0", "blocked");
    let expected = "calls=1 rejected_calls=0 failed_calls=0";
    assert_eq!(command_stats(&mut shell, "blpop").as_deref(), Some(expected));
    // Its time is kept once it is over.
    assert!(fields(&mut shell, "latencystats", "latency_percentiles_usec_blpop").is_empty());
}

#[test]
fn errors_are_counted_by_code() {
    let mut shell = Shell::new();
    for line in ["NOPE", "GET", "INCRBY a x", "LPUSH list a", "GET list"] {
        shell.run(line);
    }
    assert_eq!(
        fields(&mut shell, "errorstats", "errorstat_"),
        ["ERR:count=3", "WRONGTYPE:count=1"]
    );
    shell.check("CONFIG RESETSTAT", "OK");
    assert!(fields(&mut shell, "errorstats", "errorstat_").is_empty());
    assert_eq!(fields(&mut shell, "stats", "total_error_replies:"), ["0"]);
    assert_eq!(command_stats(&mut shell, "incrby"), None);
    // The reset is the first to be counted.
    let expected = "calls=1 rejected_calls=0 failed_calls=0";
    assert_eq!(command_stats(&mut shell, "config|resetstat").as_deref(), Some(expected));
}

#[test]
fn times_are_kept_while_they_are_wanted() {
    let mut shell = Shell::new();
    set(&shell, "latency-tracking", "no");
    shell.run("SET a 1");
    shell.check("LATENCY HISTOGRAM set", "[]");
    assert!(fields(&mut shell, "latencystats", "latency_").is_empty());
    set(&shell, "latency-tracking", "yes");
    shell.run("SET a 1");
    let found = fields(&mut shell, "latencystats", "latency_percentiles_usec_set:");
    let percentiles: Vec<&str> =
        found[0].split(',').map(|field| field.split_once('=').unwrap().0).collect();
    assert_eq!(percentiles, ["p50", "p99", "p99.9"]);
    set(&shell, "latency-tracking-info-percentiles", "0 100");
    let found = fields(&mut shell, "latencystats", "latency_percentiles_usec_set:");
    assert!(found[0].starts_with("p0=") && found[0].contains(",p100="), "{found:?}");
    shell.run("CONFIG RESETSTAT");
    shell.check("LATENCY HISTOGRAM set", "[]");
}

#[test]
fn histograms_are_those_of_the_commands_named() {
    let mut shell = Shell::new();
    shell.run("HELLO 3");
    shell.run("CONFIG RESETSTAT");
    for line in ["SET a 1", "SET b 1", "GET a", "CLIENT ID", "CLIENT GETNAME"] {
        shell.run(line);
    }
    let set = shell.run("LATENCY HISTOGRAM set");
    assert!(set.starts_with("{\"set\" {\"calls\" 2 \"histogram_usec\" {"), "{set}");
    assert!(set.ends_with(" 2}}}"), "{set}");
    let names = |reply: &str| -> Vec<String> {
        let quoted: Vec<&str> = reply.split('"').skip(1).step_by(2).collect();
        let is_name = |name: &&&str| !["calls", "histogram_usec"].contains(*name);
        quoted.iter().filter(is_name).map(|name| (*name).to_owned()).collect()
    };
    for (line, expected) in [
        ("LATENCY HISTOGRAM nope get SET", "get set"),
        ("LATENCY HISTOGRAM client", "client|getname client|id"),
        ("LATENCY HISTOGRAM client|id", "client|id"),
        ("LATENCY HISTOGRAM nope", ""),
    ] {
        assert_eq!(names(&shell.run(line)).join(" "), expected, "{line}");
    }
    let all = names(&shell.run("LATENCY HISTOGRAM"));
    let expected =
        ["client|getname", "client|id", "config|resetstat", "get", "latency|histogram", "set"];
    assert_eq!(all, expected);
}

#[test]
fn the_slow_log_keeps_what_is_slow() {
    let mut shell = Shell::new();
    set(&shell, "slowlog-log-slower-than", "1000000000");
    shell.run("SET a 1");
    shell.check("SLOWLOG LEN", "0");
    set(&shell, "slowlog-log-slower-than", "0");
    shell.run("CLIENT SETNAME me");
    shell.run("SET b 1");
    set(&shell, "slowlog-log-slower-than", "-1");
    shell.run("SET c 1");
    shell.check("SLOWLOG LEN", "2");
    let log = shell.run("SLOWLOG GET");
    let entry = log.strip_prefix("[[1 ").expect("the latest first, with its id");
    assert!(entry.contains(" [\"SET\" \"b\" \"1\"] \"127.0.0.1:50000\" \"me\"] [0 "), "{log}");
    shell.script(
        "
        SLOWLOG GET 0 -> []
        SLOWLOG GET -2 -> (error) ERR count should be greater than or equal to -1
        SLOWLOG GET x -> (error) ERR count should be greater than or equal to -1
        SLOWLOG GET 1 2 -> (error) ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP.
        SLOWLOG RESET -> OK
        SLOWLOG LEN -> 0
        SLOWLOG NOPE -> (error) ERR unknown subcommand 'NOPE'. Try SLOWLOG HELP.
        ",
    );
}

#[test]
fn the_slow_log_is_bounded() {
    let mut shell = Shell::new();
    set(&shell, "slowlog-log-slower-than", "0");
    set(&shell, "slowlog-max-len", "3");
    for _ in 0..10 {
        shell.run("PING");
    }
    shell.check("SLOWLOG LEN", "3");
    let count = |shell: &mut Shell, line: &str| shell.run(line).matches("127.0.0.1:").count();
    assert_eq!(count(&mut shell, "SLOWLOG GET 2"), 2);
    assert_eq!(count(&mut shell, "SLOWLOG GET -1"), 3);
    set(&shell, "slowlog-max-len", "1");
    assert_eq!(count(&mut shell, "SLOWLOG GET"), 1);
    shell.run("SLOWLOG RESET");
    let many: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    shell.run(&format!("DEL {}", many.join(" ")));
    let log = shell.run("SLOWLOG GET 1");
    assert!(log.contains(" \"29\" \"... (10 more arguments)\"]"), "{log}");
    shell.run(&format!("ECHO {}", "x".repeat(129)));
    let log = shell.run("SLOWLOG GET 1");
    assert!(log.contains(&format!("\"{}... (1 more bytes)\"", "x".repeat(128))), "{log}");
    shell.run(&format!("ECHO {}", "x".repeat(128)));
    assert!(!shell.run("SLOWLOG GET 1").contains("more"));
}

#[test]
fn the_slow_log_keeps_no_passwords_and_no_exec() {
    let mut shell = Shell::new();
    set(&shell, "slowlog-log-slower-than", "0");
    shell.run("AUTH user secret");
    shell.run("EXEC");
    shell.run("CONFIG SET requirepass secret");
    let log = shell.run("SLOWLOG GET");
    assert!(!log.contains("secret") && !log.contains("EXEC"), "{log}");
    assert!(log.contains("[\"AUTH\" \"(redacted)\" \"(redacted)\"]"), "{log}");
}

#[test]
fn the_latency_monitor_keeps_what_is_longer_than_its_threshold() {
    let mut shell = Shell::new();
    shell.run("SET a 1");
    shell.script(
        r#"
        LATENCY LATEST -> []
        LATENCY HISTORY command -> []
        LATENCY GRAPH command -> (error) ERR No samples available for event 'command'
        LATENCY RESET -> 0
        LATENCY RESET command nope -> 0
        LATENCY NOPE -> (error) ERR unknown subcommand 'NOPE'. Try LATENCY HELP.
        LATENCY HELP x -> (error) ERR wrong number of arguments for 'latency|help' command
        "#,
    );
    assert!(shell.run("LATENCY DOCTOR").contains("is off"));
    set(&shell, "latency-monitor-threshold", "1000000");
    shell.run("SET a 1");
    shell.check("LATENCY LATEST", "[]");
    assert!(shell.run("LATENCY DOCTOR").contains("Nothing has taken 1000000 ms"));
}

#[test]
fn what_took_long_is_shown_as_history_picture_and_report() {
    let mut shell = Shell::new();
    set(&shell, "latency-monitor-threshold", "1");
    let begun = shell.server.begin_command();
    let long = begun.plus(std::time::Duration::from_millis(700));
    let set = pontoon::command::lookup(b"append").unwrap();
    let get = pontoon::command::lookup(b"get").unwrap();
    let sort = pontoon::command::lookup(b"keys").unwrap();
    for (command, timing) in [(set, long), (get, long), (sort, long), (sort, begun)] {
        let (server, client) = (&shell.server, &shell.session.client);
        server.end_command(timing, command, &Vec::new(), client, false);
    }
    let latest = shell.run("LATENCY LATEST");
    assert!(latest.starts_with("[[\"command\" "), "{latest}");
    assert!(latest.contains("] [\"fast-command\" "), "{latest}");
    let history = shell.run("LATENCY HISTORY command");
    let ms: u64 = history.trim_end_matches(']').rsplit(' ').next().unwrap().parse().unwrap();
    assert!((700..60_000).contains(&ms), "{history}");
    shell.check("LATENCY HISTORY COMMAND", "[]");
    assert!(shell.run("LATENCY GRAPH command").contains("command - high "));
    let report = shell.run("LATENCY DOCTOR");
    assert!(report.contains("- command: 1 samples") || report.contains("- command: 2 samples"));
    assert!(
        report.contains("SLOWLOG GET") || report.contains("slowlog-log-slower-than"),
        "{report}"
    );
    shell.script("LATENCY RESET fast-command -> 1\n LATENCY RESET -> 1\n LATENCY LATEST -> []");
}
