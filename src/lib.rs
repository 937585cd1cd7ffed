//! Pontoon: a Redis-compatible server over durable, ordered storage.

pub mod resp;
