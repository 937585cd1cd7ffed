#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use pontoon_storage::EngineKind;

use super::*;
use crate::config::DurabilityChoice;
use crate::settings::TABLE;

fn live() -> LiveSettings {
    LiveSettings::new(Config { engine: EngineKind::Redb, ..Config::default() })
}

#[track_caller]
fn check_refused(live: &LiveSettings, pairs: &[(&str, &str)], name: &str, why: &str) {
    let before = format!("{:?}", live.current());
    let expected = SetError::Refused { name: name.into(), why: why.into() };
    assert_eq!(live.set(pairs), Err(expected));
    assert_eq!(format!("{:?}", live.current()), before);
}

#[test]
fn what_is_read_often_follows() {
    let live = live();
    assert_eq!((live.timeout(), live.notify()), (None, NotifyFlags::NONE));
    assert!(live.protected_mode() && live.latency_tracking() && !live.requires_password());
    assert!(live.password_fits(b"anything"));
    live.set(&[
        ("maxclients", "7"),
        ("timeout", "8"),
        ("protected-mode", "no"),
        ("requirepass", "secret"),
        ("client-query-buffer-limit", "2mb"),
        ("proto-max-bulk-len", "3mb"),
        ("notify-keyspace-events", "KA"),
        ("slowlog-log-slower-than", "-1"),
        ("slowlog-max-len", "9"),
        ("latency-monitor-threshold", "10"),
        ("latency-tracking", "no"),
        ("client-output-buffer-limit", "normal 1 2 3 replica 4 5 6 pubsub 7 8 9"),
    ])
    .unwrap();
    assert_eq!(live.clients_max(), 7);
    assert_eq!(live.timeout(), Some(Duration::from_secs(8)));
    assert!(!live.protected_mode() && !live.latency_tracking());
    assert!(live.requires_password());
    assert!(live.password_fits(b"secret"));
    for wrong in ["", "Secret", "secre", "secrets"] {
        assert!(!live.password_fits(wrong.as_bytes()), "{wrong}");
    }
    assert_eq!(live.query_buffer_bytes_max(), 2 << 20);
    assert_eq!(live.bulk_bytes_max(), 3 << 20);
    assert_eq!(live.notify(), NotifyFlags::ALL.or(NotifyFlags::KEYSPACE));
    assert_eq!((live.slowlog_slower_than_us(), live.slowlog_len_max()), (-1, 9));
    assert_eq!(live.latency_threshold_ms(), 10);
    for (class, hard_bytes) in
        [(ClientClass::Normal, 1), (ClientClass::Replica, 4), (ClientClass::PubSub, 7)]
    {
        let soft_time = Duration::from_secs(hard_bytes + 2);
        let limit = OutputLimit { hard_bytes, soft_bytes: hard_bytes + 1, soft_time };
        assert_eq!(live.output_limit(class), limit);
    }
    live.set(&[("requirepass", "")]).unwrap();
    assert!(!live.requires_password());
    assert!(live.password_fits(b"secret") && live.password_fits(b"other"));
}

#[test]
fn one_wrong_value_changes_nothing() {
    let pairs = [("timeout", "5"), ("slowlog-max-len", "x"), ("maxclients", "0")];
    let why = "argument couldn't be parsed into an integer";
    check_refused(&live(), &pairs, "slowlog-max-len", why);
}

#[test]
fn names_are_wrong_before_values_are() {
    let live = live();
    let pairs = [("timeout", "x"), ("nope", "1"), ("port", "1")];
    assert_eq!(live.set(&pairs), Err(SetError::Unknown("nope".into())));
    check_refused(&live, &[("timeout", "x"), ("PORT", "1")], "PORT", IMMUTABLE);
    let twice = [("appendfsync", "no"), ("Durability", "always")];
    check_refused(&live, &twice, "Durability", "duplicate parameter");
    check_refused(
        &live,
        &[("TIMEOUT", "x")],
        "timeout",
        "argument couldn't be parsed into an integer",
    );
}

#[test]
fn what_only_a_start_can_change_may_be_set_to_what_it_is() {
    let live = live();
    for setting in TABLE {
        let value = setting.kind.show(&live.current());
        let outcome = live.set(&[(setting.name, &value)]);
        assert_eq!(outcome.is_ok(), setting.name != "databases", "{}: {outcome:?}", setting.name);
    }
    for (name, other) in
        [("port", "1"), ("dir", "/x"), ("engine", "memory"), ("bridge", "blocking")]
    {
        check_refused(&live, &[(name, other)], name, IMMUTABLE);
    }
    for (name, other) in [("save", "900 1"), ("maxmemory", "1"), ("appendonly", "no")] {
        assert!(matches!(live.set(&[(name, other)]), Err(SetError::Refused { .. })), "{name}");
    }
}

#[test]
fn what_means_nothing_here_is_refused_with_the_reason() {
    let live = live();
    let layout = why_refused("hash-max-listpack-entries").unwrap();
    assert!(layout.starts_with("Pontoon has no such layout"));
    check_refused(
        &live,
        &[("hash-max-listpack-entries", "1")],
        "hash-max-listpack-entries",
        layout,
    );
    check_refused(&live, &[("daemonize", "yes")], "daemonize", IMMUTABLE);
}

#[test]
fn a_change_that_cannot_come_true_changes_nothing() {
    let live = live();
    live.on_change(|old, new| {
        assert_eq!(old.clients_max, 10_000);
        if new.clients_max > 20_000 { Err(("maxclients", "too many".into())) } else { Ok(()) }
    });
    check_refused(&live, &[("timeout", "1"), ("maxclients", "20001")], "maxclients", "too many");
    live.set(&[("maxclients", "20000")]).unwrap();
    assert_eq!(live.clients_max(), 20_000);
}

#[test]
fn memory_has_no_durability() {
    let config = Config {
        engine: EngineKind::Memory,
        durability: DurabilityChoice::No,
        ..Config::default()
    };
    let live = LiveSettings::new(config);
    let why = "the memory engine keeps nothing, however it is asked";
    check_refused(&live, &[("durability", "always")], "durability", why);
    live.set(&[("durability", "no")]).unwrap();
}

#[test]
fn only_what_was_changed_goes_into_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.toml");
    std::fs::write(&path, "timeout = 1 # second\n").unwrap();
    // As a flag that has won over the file.
    let timeout = Duration::from_secs(3);
    let live = LiveSettings::new(Config { file: Some(path.clone()), timeout, ..Config::default() });
    let text = || std::fs::read_to_string(&path).unwrap();
    live.rewrite().unwrap();
    assert_eq!(text(), "timeout = 1 # second\n");
    live.set(&[("slowlog-max-len", "5")]).unwrap();
    live.rewrite().unwrap();
    let signed = "timeout = 1 # second\n\n# Written by CONFIG REWRITE\nslowlog-max-len = ";
    assert_eq!(text(), format!("{signed}5\n"));
    live.set(&[("slowlog-max-len", "128"), ("timeout", "3")]).unwrap();
    live.rewrite().unwrap();
    assert_eq!(text(), format!("{}128\n", signed.replace("= 1", "= 3")));
}

#[test]
fn without_a_file_there_is_nothing_to_write() {
    assert_eq!(live().rewrite(), Err(None));
}
