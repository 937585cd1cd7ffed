#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use pontoon_storage::{Options, Store};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::*;
use crate::command::{ServerState, Settings};
use crate::data::Databases;

/// A connection, and the client's end of it.
async fn connection() -> (Connection, TcpStream) {
    let store = Store::open(Options::in_memory()).await.unwrap();
    let databases = Databases::open(&store).await.unwrap();
    let state = ServerState::new(Settings::default());
    let service = Arc::new(Service { store, databases, state });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let session = Session::new(1, String::new(), String::new(), true);
    (Connection::new(stream, service, session), client)
}

/// Lets the connection take and answer what the client has sent, until `replies` bytes came back.
async fn exchange(connection: &mut Connection, client: &mut TcpStream, replies: &[u8]) {
    let mut received = vec![0; replies.len()];
    let mut reading = pin!(client.read_exact(&mut received));
    loop {
        tokio::select! {
            biased;
            len = connection.receive() => {
                assert_ne!(len.unwrap(), 0);
                connection.answer().await.unwrap();
            }
            len = &mut reading => {
                len.unwrap();
                break;
            }
        }
    }
    assert_eq!(received, replies);
}

#[tokio::test]
async fn an_idle_connection_holds_no_buffers() {
    let (mut connection, mut client) = connection().await;
    let value = "v".repeat(100_000);
    let set = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\n{value}\r\n");
    client.write_all(set.as_bytes()).await.unwrap();
    client.write_all(b"GET k\r\nGET nothing\r\n").await.unwrap();
    let replies = format!("+OK\r\n$100000\r\n{value}\r\n$-1\r\n");
    exchange(&mut connection, &mut client, replies.as_bytes()).await;
    assert_eq!(connection.input.capacity(), 0);
    assert_eq!(connection.replies.capacity(), 0);
    assert_eq!(connection.pending.capacity(), 0);
}

#[tokio::test]
async fn what_is_buffered_is_bounded_by_what_was_sent() {
    let (mut connection, mut client) = connection().await;
    client.write_all(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nabc").await.unwrap();
    connection.receive().await.unwrap();
    connection.answer().await.unwrap();
    client.write_all(b"def").await.unwrap();
    connection.receive().await.unwrap();
    assert!(connection.input.capacity() <= 2 * READ_BYTES, "{}", connection.input.capacity());
}

#[tokio::test]
async fn draining_ends_an_idle_connection() {
    let (connection, mut client) = connection().await;
    connection.serve(std::future::ready(())).await;
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn many_chunks_are_written_in_order() {
    let (mut connection, mut client) = connection().await;
    let mut expected = Vec::new();
    for number in 0..200usize {
        let value = vec![number as u8; 20_000 + number];
        expected.extend(format!("${}\r\n", value.len()).into_bytes());
        expected.extend_from_slice(&value);
        expected.extend_from_slice(b"\r\n");
        connection.replies.bulk_bytes(value.into());
    }
    let mut received = vec![0; expected.len()];
    let (written, read) = tokio::join!(connection.flush(), client.read_exact(&mut received));
    written.unwrap();
    read.unwrap();
    assert_eq!(received, expected);
}
