#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use pontoon_storage::{Options, Store};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::*;
use crate::command::{Client, ServerState, Settings, lookup};
use crate::data::Databases;
use crate::resp::Limits;

/// A connection, and the client's end of it.
async fn connection() -> (Box<Connection>, TcpStream) {
    let store = Store::open(Options::in_memory().cache_bytes(1 << 20)).await.unwrap();
    let databases = Databases::open(&store).await.unwrap();
    let state = ServerState::new(Settings::default());
    let service = Arc::new(Service::new(state, store, databases));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let session = Session::new(1, String::new(), String::new(), true);
    (Connection::new(stream, Writes::new(service), session), client)
}

/// Lets the connection take and answer what the client has sent, until `replies` bytes came back.
async fn exchange(connection: &mut Connection, client: &mut TcpStream, replies: &[u8]) {
    let mut received = vec![0; replies.len()];
    let mut reading = pin!(client.read_exact(&mut received));
    loop {
        tokio::select! {
            biased;
            event = connection.next_event(true) => {
                assert!(matches!(event.unwrap(), Event::Received(1..)));
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
async fn nor_after_reads_that_all_came_from_the_cache() {
    let (mut connection, mut client) = connection().await;
    client.write_all(b"SET k v\r\n").await.unwrap();
    exchange(&mut connection, &mut client, b"+OK\r\n").await;
    client.write_all(&b"GET k\r\n".repeat(1000)).await.unwrap();
    exchange(&mut connection, &mut client, &b"$1\r\nv\r\n".repeat(1000)).await;
    assert_eq!(connection.pending.capacity(), 0);
    assert_eq!(connection.replies.capacity(), 0);
}

#[tokio::test]
async fn a_client_whose_reads_all_hit_lets_others_run() {
    let (mut connection, mut client) = connection().await;
    client.write_all(b"SET k v\r\n").await.unwrap();
    exchange(&mut connection, &mut client, b"+OK\r\n").await;
    for request in [&b"GET k\r\n"[..], b"PING\r\n"] {
        connection.input.extend_from_slice(&request.repeat(1000));
        let mut answering = pin!(connection.answer());
        assert!(futures::poll!(&mut answering).is_pending(), "{request:?}");
        answering.await.unwrap();
    }
}

/// As if a command had a bug.
static BUG: Command = Command::new(
    "bug",
    2,
    Run::Read(|_, _, out| {
        out.ok();
        panic!("a command with a bug")
    }),
)
.keys(1, 1, 1);

#[tokio::test]
async fn a_command_that_panics_leaves_one_reply_for_each_request() {
    let (mut connection, mut client) = connection().await;
    client.write_all(b"SET k v\r\n").await.unwrap();
    exchange(&mut connection, &mut client, b"+OK\r\n").await;
    let args = |line: &'static [u8]| {
        let mut input = BytesMut::from(line);
        Decoder::new(Limits::default()).decode(&mut input).unwrap().unwrap()
    };
    connection.pending.push(lookup(b"get").unwrap(), args(b"GET k\r\n"));
    connection.pending.push(&BUG, args(b"BUG k\r\n"));
    connection.execute().await.unwrap();
    let replies = connection.replies.as_slice().unwrap();
    assert_eq!(replies.iter().filter(|byte| **byte == b'-').count(), 2, "{replies:?}");
    assert_eq!(replies.split(|byte| *byte == b'\n').count(), 3, "{replies:?}");
}

#[tokio::test]
async fn what_is_buffered_is_bounded_by_what_was_sent() {
    let (mut connection, mut client) = connection().await;
    client.write_all(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nabc").await.unwrap();
    connection.next_event(true).await.unwrap();
    connection.answer().await.unwrap();
    client.write_all(b"def").await.unwrap();
    connection.next_event(true).await.unwrap();
    assert!(connection.input.capacity() <= 2 * READ_BYTES, "{}", connection.input.capacity());
}

/// What the future of a connection may measure, which takes memory whether it does something or not.
const SERVE_BYTES_MAX: usize = 768;

/// What it may with the rest of an idle connection that is ours: tokio's share comes to about as much.
const IDLE_BYTES_MAX: usize = 2 << 10;

#[tokio::test]
async fn an_idle_connection_is_small() {
    let (connection, _client) = connection().await;
    let serving = connection.serve(std::future::pending());
    let (future, connection) = (size_of_val(&serving), size_of::<Connection>());
    assert!(future <= SERVE_BYTES_MAX, "the future has {future} bytes");
    let all = future + connection + size_of::<Client>();
    assert!(all <= IDLE_BYTES_MAX, "{future} of the future, {connection} and the client's: {all}");
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
