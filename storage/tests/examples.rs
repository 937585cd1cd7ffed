//! Runs the examples, which assert what they print.
#![allow(missing_docs)]

#[path = "../examples/counter_service.rs"]
mod counter_service;
#[cfg(feature = "redb")]
#[path = "../examples/embed_current_thread.rs"]
mod embed_current_thread;
#[cfg(feature = "redb")]
#[path = "../examples/embed_multi_thread.rs"]
mod embed_multi_thread;
#[path = "../examples/embed_without_tokio.rs"]
mod embed_without_tokio;

#[cfg(feature = "redb")]
#[test]
fn embedding_on_current_thread() -> pontoon_storage::Result<()> {
    embed_current_thread::main()
}

#[cfg(feature = "redb")]
#[test]
fn embedding_on_multi_thread() -> pontoon_storage::Result<()> {
    embed_multi_thread::main()
}

#[test]
fn embedding_without_tokio() -> pontoon_storage::Result<()> {
    embed_without_tokio::main()
}

#[test]
fn a_counter_service() -> Result<(), Box<dyn std::error::Error>> {
    counter_service::main()
}
