//! Keys whose time has come go away by themselves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use common::{Reply, Server, encode, ok};

#[test]
fn expired_keys_are_swept_without_being_touched() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    let keys = 1000;
    let requests: Vec<u8> = (0..keys)
        .flat_map(|key| encode(&[b"SET", format!("k{key}").as_bytes(), b"v", b"PX", b"1"]))
        .collect();
    client.send(&requests);
    for _ in 0..keys {
        assert_eq!(client.read(), ok());
    }
    assert_eq!(client.call(&["SET", "stays", "v"]), ok());
    while client.call(&["DBSIZE"]) != Reply::Integer(1) {}
    assert_eq!(client.info("expired_keys"), keys.to_string());
}
