//! A Redis-compatible server over durable, ordered storage.
//!
//! Layers, each knowing only the one below: [`resp`] is the wire format, [`command`] what clients
//! may ask, [`data`] Redis values over plain key-value, and `pontoon_storage` the storage. Above
//! them, [`server`] accepts connections and stops in order; [`cli`], [`config`] and [`settings`] say how it
//! is started and what can change while it runs.
//!
//! What this is not: a library of storage. To embed a store, use the crate `pontoon-storage`.

pub mod bench;
pub mod check;
pub mod cli;
pub mod command;
pub mod config;
pub mod data;
pub mod glob;
pub mod resp;
pub mod server;
pub mod service;
pub mod settings;

mod accept;
mod connection;
mod cores;
mod idle;
mod labelled;
mod launch;
mod listener;
mod logging;
mod open_files;
mod rates;
mod restore;
mod run;
mod saver;
mod signals;
mod storage_stats;
mod store_options;
mod sweep;
mod variables;

pub use launch::launch;

/// Compiles what the readme shows.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
