//! Commands about the server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use harness::{START_MS, Shell};
use pontoon::command::{Settings, ShutdownRequest};

fn configured() -> Shell {
    Shell::with_settings(Settings { port: 7000, clients_max: 100, ..Settings::default() })
}

#[test]
fn info_has_its_sections() {
    let mut shell = configured();
    shell.run("SET a 1");
    shell.run("SET b 1 EX 10");
    shell.run("SELECT 2");
    shell.run("SET c 1");
    shell.server.set_storage_stats(|| vec![("storage_engine".into(), "memory".into())]);
    let info = shell.run("INFO");
    for expected in [
        "# Server\\r\\nredis_version:7.0.15\\r\\n",
        "\\r\\n\\r\\n# Clients\\r\\n",
        "tcp_port:7000\\r\\n",
        "maxclients:100\\r\\n",
        "role:master\\r\\n",
        "loading:0\\r\\n",
        "aof_last_write_status:ok\\r\\n",
        "# Storage\\r\\nstorage_bridge:pool\\r\\nstorage_durability:none\\r\\nstorage_engine:memory\\r\\n",
        "# Keyspace\\r\\ndb0:keys=2,expires=1,avg_ttl=0\\r\\ndb2:keys=1,expires=0,avg_ttl=0\\r\\n",
    ] {
        assert!(info.contains(expected), "{expected} is not in {info}");
    }
    let titles = |info: &str| -> Vec<String> {
        info.split("\\r\\n").filter(|line| line.contains("# ")).map(str::to_owned).collect()
    };
    assert_eq!(titles(&info).len(), 12);
    for default in ["INFO default", "INFO DEFAULT cpu", "info server Default nope"] {
        assert_eq!(titles(&shell.run(default)), titles(&info), "{default}");
    }
    let all = titles(&shell.run("INFO all"));
    assert_eq!(all.len(), 14);
    for title in ["# Commandstats", "# Latencystats"] {
        assert!(all.iter().any(|found| found == title), "{title}");
        assert!(!info.contains(title), "{title}");
    }
    for everything in ["info everything", "INFO server all", "INFO default EVERYTHING"] {
        assert_eq!(titles(&shell.run(everything)), all, "{everything}");
    }
    for modules in ["INFO modules", "INFO module_list"] {
        shell.check(modules, "\"# Modules\\r\\n\"");
    }
    shell.check(
        "INFO keyspace",
        "\"# Keyspace\\r\\ndb0:keys=2,expires=1,avg_ttl=0\\r\\ndb2:keys=1,expires=0,avg_ttl=0\\r\\n\"",
    );
    shell.check(
        "INFO replication cluster",
        concat!(
            "\"# Replication\\r\\nrole:master\\r\\nconnected_slaves:0\\r\\n",
            "master_failover_state:no-failover\\r\\nmaster_repl_offset:0\\r\\n",
            "repl_backlog_active:0\\r\\n\\r\\n",
            "# Cluster\\r\\ncluster_enabled:0\\r\\n\""
        ),
    );
    shell.check("INFO nope", "\"\"");
}

#[cfg(target_os = "linux")]
#[test]
fn info_measures_the_process() {
    let info = Shell::new().run("INFO memory cpu server");
    let number = |name: &str| -> f64 {
        let (_, rest) = info.split_once(&format!("{name}:")).expect(name);
        rest.split_once("\\r").unwrap().0.parse().expect(name)
    };
    assert!(number("used_memory") > 1e5);
    assert!(number("used_memory_peak") >= number("used_memory_rss"));
    assert!(number("total_system_memory") > number("used_memory"));
    for suffix in ["", "_children", "_main_thread"] {
        for kind in ["sys", "user"] {
            assert!(number(&format!("used_cpu_{kind}{suffix}")) >= 0.0);
        }
    }
    assert_eq!(number("process_id"), f64::from(std::process::id()));
}

#[test]
fn statistics_count_and_reset() {
    let mut shell = Shell::new();
    shell.script(
        "SET a 1 -> OK\n INCRBY a x -> (error) ERR value is not an integer or out of range",
    );
    shell.run("NOPE");
    let info = shell.run("INFO stats");
    assert!(info.contains("total_commands_processed:2\\r"), "{info}");
    assert!(info.contains("total_error_replies:2\\r"), "{info}");
    shell.check("CONFIG RESETSTAT", "OK");
    let info = shell.run("INFO stats");
    assert!(info.contains("total_error_replies:0\\r"), "{info}");
}

#[test]
fn expired_keys_are_counted_when_removed() {
    let mut shell = Shell::new();
    shell.run("SET a 1 PX 1");
    shell.now_ms = START_MS + 2;
    shell.run("GET a");
    assert!(shell.run("INFO stats").contains("expired_keys:0\\r"));
    shell.run("SETNX a 2");
    assert!(shell.run("INFO stats").contains("expired_keys:1\\r"));
}

#[test]
fn expired_keys_that_a_failing_command_met_are_not_counted() {
    let mut shell = Shell::new();
    shell.run("SET k 1 PX 1");
    shell.now_ms += 10;
    shell.check("INCRBYFLOAT k x", "(error) ERR value is not a valid float");
    shell.check("DBSIZE", "1");
    assert!(shell.run("INFO stats").contains("expired_keys:0\\r"));
    shell.check("DEL k", "0");
    assert!(shell.run("INFO stats").contains("expired_keys:1\\r"));
}

#[test]
fn shutdown_asks_the_server() {
    let mut shell = Shell::new();
    let requests = shell.server.shutdown_requests();
    shell.script(
        "
        SHUTDOWN SAVE NOSAVE -> (error) ERR syntax error
        SHUTDOWN ABORT NOW -> (error) ERR syntax error
        SHUTDOWN what -> (error) ERR syntax error
        SHUTDOWN ABORT -> (error) ERR No shutdown in progress.
        ",
    );
    assert_eq!(*requests.borrow(), None);
    assert_eq!(shell.reply_bytes(&[b"SHUTDOWN", b"NOSAVE"]), b"");
    assert_eq!(*requests.borrow(), Some(ShutdownRequest { now: false }));
    assert!(shell.session.close_after_reply);
    shell.reply_bytes(&[b"SHUTDOWN", b"SAVE", b"NOW", b"FORCE"]);
    assert_eq!(*requests.borrow(), Some(ShutdownRequest { now: true }));
}

#[test]
fn time_is_the_clock() {
    let before = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let reply = Shell::new().run("TIME");
    let parts: Vec<u64> = reply
        .trim_matches(['[', ']'])
        .split(' ')
        .map(|part| part.trim_matches('"').parse().unwrap())
        .collect();
    let [seconds, micros] = parts[..] else { panic!("{reply}") };
    assert!((before..=before + 60).contains(&seconds));
    assert!(micros < 1_000_000);
}
