//! The `redis` crate as its users have it: one connection shared by many tasks, a pool, both protocols,
//! transactions, subscriptions, blocking commands, and iterations.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::collections::{BTreeMap, HashMap, HashSet};

use common::{PATIENCE, Server, persistent_engines};
use deadpool_redis::{Manager, Pool, Runtime};
use futures::{StreamExt, future};
use redis::aio::{ConnectionManager, MultiplexedConnection};
use redis::{AsyncCommands, AsyncConnectionConfig, Client, Direction, RedisResult, Value, pipe};

const TASKS: usize = 32;

/// Calls `test` with a connection of each protocol to a server of each engine that keeps data.
fn with_connections<F, Fut>(test: F)
where
    F: Fn(String, MultiplexedConnection) -> Fut,
    Fut: Future<Output = ()>,
{
    for engine in persistent_engines() {
        for protocol in ["resp2", "resp3"] {
            let dir = tempfile::tempdir().unwrap();
            let data = dir.path().join("data");
            let durability = ["--durability", "everysec"];
            let server = Server::start(
                &[&["--engine", engine, "--dir", data.to_str().unwrap()], &durability[..]].concat(),
            );
            let url = format!("redis://127.0.0.1:{}/?protocol={protocol}", server.port);
            block_on(async {
                let connection = connect(&url).await;
                test(url.clone(), connection).await;
            });
        }
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The crate gives up on a reply after half a second by itself, which a slow disk may take.
fn patient() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE))
}

async fn connect(url: &str) -> MultiplexedConnection {
    let client = Client::open(url).unwrap();
    client.get_multiplexed_async_connection_with_config(&patient()).await.unwrap()
}

#[test]
fn values_of_every_type_come_back_as_rust_has_them() {
    with_connections(|_, mut db| async move {
        let () = db.set("s", "text").await.unwrap();
        assert_eq!(db.get::<_, String>("s").await.unwrap(), "text");
        assert_eq!(db.get::<_, Option<String>>("none").await.unwrap(), None);
        assert_eq!(db.incr::<_, _, i64>("n", 5).await.unwrap(), 5);
        let () = db.hset_multiple("h", &[("a", 1), ("b", 2)]).await.unwrap();
        let hash: BTreeMap<String, i64> = db.hgetall("h").await.unwrap();
        assert_eq!(hash, BTreeMap::from([("a".into(), 1), ("b".into(), 2)]));
        assert!(db.hexists::<_, _, bool>("h", "a").await.unwrap());
        let () = db.rpush("l", &["x", "y", "z"]).await.unwrap();
        assert_eq!(db.lrange::<_, Vec<String>>("l", 0, -1).await.unwrap(), ["x", "y", "z"]);
        let moved: String = db.lmove("l", "m", Direction::Left, Direction::Right).await.unwrap();
        assert_eq!(moved, "x");
        let () = db.sadd("set", &["p", "q"]).await.unwrap();
        let members: HashSet<String> = db.smembers("set").await.unwrap();
        assert_eq!(members, HashSet::from(["p".into(), "q".into()]));
        assert!(db.sismember::<_, _, bool>("set", "p").await.unwrap());
        let () = db.zadd_multiple("z", &[(1.5, "one"), (2.0, "two")]).await.unwrap();
        let scores: Vec<(String, f64)> = db.zrange_withscores("z", 0, -1).await.unwrap();
        assert_eq!(scores, [("one".into(), 1.5), ("two".into(), 2.0)]);
        assert_eq!(db.zscore::<_, _, Option<f64>>("z", "one").await.unwrap(), Some(1.5));
        assert_eq!(db.zrank::<_, _, Option<i64>>("z", "two").await.unwrap(), Some(1));
        assert!(db.expire::<_, bool>("s", 100).await.unwrap());
        assert!(db.ttl::<_, i64>("s").await.unwrap() > 90);
        let wrong: RedisResult<i64> = db.llen("s").await;
        assert_eq!(wrong.unwrap_err().code(), Some("WRONGTYPE"));
    });
}

#[test]
fn many_tasks_share_one_connection() {
    with_connections(|url, db| async move {
        let tasks = (0..TASKS).map(|task| {
            let mut db = db.clone();
            async move {
                for turn in 0..20 {
                    let () = db.set(format!("{task}:{turn}"), turn).await.unwrap();
                    assert_eq!(db.get::<_, usize>(format!("{task}:{turn}")).await.unwrap(), turn);
                    let () = db.incr("sum", 1).await.unwrap();
                }
            }
        });
        future::join_all(tasks).await;
        let mut managed = ConnectionManager::new(Client::open(url).unwrap()).await.unwrap();
        assert_eq!(managed.get::<_, usize>("sum").await.unwrap(), TASKS * 20);
    });
}

#[test]
fn a_pool_of_connections() {
    with_connections(|url, _| async move {
        let manager = Manager::new_with_config(url, patient()).unwrap();
        let pool = Pool::builder(manager).runtime(Runtime::Tokio1).build().unwrap();
        let tasks = (0..TASKS).map(|task| {
            let pool = pool.clone();
            async move {
                let mut db = pool.get().await.unwrap();
                let () = db.hset("pooled", task, task * 2).await.unwrap();
                db.hget::<_, _, usize>("pooled", task).await.unwrap()
            }
        });
        let found = future::join_all(tasks).await;
        assert_eq!(found, (0..TASKS).map(|task| task * 2).collect::<Vec<_>>());
    });
}

#[test]
fn pipelines_and_transactions() {
    with_connections(|url, mut db| async move {
        let (first, second): (i64, Vec<String>) = pipe()
            .cmd("RPUSH")
            .arg("l")
            .arg("a")
            .arg("b")
            .cmd("LRANGE")
            .arg("l")
            .arg(0)
            .arg(-1)
            .query_async(&mut db)
            .await
            .unwrap();
        assert_eq!((first, second), (2, vec!["a".into(), "b".into()]));
        let (one, two): (i64, i64) =
            pipe().atomic().incr("n", 1).incr("n", 1).query_async(&mut db).await.unwrap();
        assert_eq!((one, two), (1, 2));
        // Each watches, reads, and writes only if nobody else did.
        let tasks = (0..4).map(|_| {
            let url = url.clone();
            async move {
                let mut db = connect(&url).await;
                let mut aborted = 0;
                for _ in 0..10 {
                    loop {
                        let () = redis::cmd("WATCH").arg("n").query_async(&mut db).await.unwrap();
                        let n: i64 = db.get("n").await.unwrap();
                        let done: Option<(String,)> =
                            pipe().atomic().set("n", n + 1).query_async(&mut db).await.unwrap();
                        if done.is_some() {
                            break;
                        }
                        aborted += 1;
                    }
                }
                aborted
            }
        });
        let _aborted: Vec<usize> = future::join_all(tasks).await;
        assert_eq!(db.get::<_, i64>("n").await.unwrap(), 42);
    });
}

#[test]
fn iterations_return_everything() {
    with_connections(|_, mut db| async move {
        let mut fill = pipe();
        for number in 0..500 {
            fill.set(format!("key:{number}"), number).ignore();
            fill.hset("hash", format!("field {number}"), number).ignore();
        }
        let () = fill.query_async(&mut db).await.unwrap();
        let mut reading = db.clone();
        let keys: HashSet<String> = reading
            .scan_match::<_, String>("key:*")
            .await
            .unwrap()
            .map(Result::unwrap)
            .collect()
            .await;
        assert_eq!(keys.len(), 500);
        let mut reading = db.clone();
        let fields: HashMap<String, i64> = reading
            .hscan::<_, (String, i64)>("hash")
            .await
            .unwrap()
            .map(Result::unwrap)
            .collect()
            .await;
        assert_eq!(fields.len(), 500);
        assert_eq!(fields["field 7"], 7);
    });
}

#[test]
fn subscribers_are_told() {
    with_connections(|url, mut db| async move {
        let mut subscriber = Client::open(url).unwrap().get_async_pubsub().await.unwrap();
        subscriber.subscribe("news").await.unwrap();
        subscriber.psubscribe("n?ws.*").await.unwrap();
        assert_eq!(db.publish::<_, _, i64>("news", "hello").await.unwrap(), 1);
        assert_eq!(db.publish::<_, _, i64>("news.local", "there").await.unwrap(), 1);
        assert_eq!(db.publish::<_, _, i64>("olds", "nobody").await.unwrap(), 0);
        let mut messages = subscriber.on_message();
        let first = messages.next().await.unwrap();
        assert_eq!(first.get_channel_name(), "news");
        assert_eq!(first.get_payload::<String>().unwrap(), "hello");
        let second = messages.next().await.unwrap();
        assert_eq!(second.get_pattern::<String>().unwrap(), "n?ws.*");
        assert_eq!(second.get_payload::<String>().unwrap(), "there");
    });
}

#[test]
fn resp3_pushes_come_beside_replies() {
    let server = Server::in_memory(&[]);
    block_on(async {
        let url = format!("redis://127.0.0.1:{}/?protocol=resp3", server.port);
        let (sender, mut pushes) = tokio::sync::mpsc::channel(16);
        let config = patient()
            .set_push_sender(move |push| sender.try_send(push).map_err(|_| redis::aio::SendError));
        let client = Client::open(url).unwrap();
        let mut db = client.get_multiplexed_async_connection_with_config(&config).await.unwrap();
        let () = db.subscribe("news").await.unwrap();
        // In RESP3 a subscriber goes on as it was.
        let () = db.set("k", "v").await.unwrap();
        assert_eq!(db.publish::<_, _, i64>("news", "hello").await.unwrap(), 1);
        let kinds = [pushes.recv().await.unwrap(), pushes.recv().await.unwrap()];
        assert_eq!(kinds[0].kind, redis::PushKind::Subscribe);
        assert_eq!(kinds[1].kind, redis::PushKind::Message);
        assert_eq!(kinds[1].data[1], Value::BulkString(b"hello".to_vec()));
    });
}

#[test]
fn a_blocked_client_is_served_by_another() {
    with_connections(|url, mut db| async move {
        let mut waiting = connect(&url).await;
        let waiter =
            async move { waiting.blpop::<_, (String, String)>("queue", 0.0).await.unwrap() };
        let pusher = async {
            loop {
                let info: String =
                    redis::cmd("INFO").arg("clients").query_async(&mut db).await.unwrap();
                if info.contains("blocked_clients:1\r\n") {
                    break;
                }
            }
            let () = db.rpush("queue", "job").await.unwrap();
        };
        let (served, ()) = future::join(waiter, pusher).await;
        assert_eq!(served, ("queue".into(), "job".into()));
    });
}
