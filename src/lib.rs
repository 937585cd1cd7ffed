//! A Redis-compatible server over durable, ordered storage.
//!
//! Layers, each knowing only the one below: [`resp`] is the wire format, [`command`] what clients
//! may ask, [`data`] Redis values over plain key-value, and `pontoon_storage` the storage.

pub mod command;
pub mod data;
pub mod glob;
pub mod resp;
