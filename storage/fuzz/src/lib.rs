//! What libFuzzer tries of the server: the two files that turn bytes from elsewhere into values, and a
//! function for each that takes any bytes and panics where a promise is broken.
//!
//! The files are the server's own, so that its many dependencies need not be built here. The
//! storage's functions are in its crate, since they need its insides.
#![allow(dead_code, unreachable_pub)]

// What the functions call `pontoon` is what is below.
extern crate self as pontoon;

/// The server's `data`, as far as it decodes.
#[path = "."] // what it has is not in a folder of its own here
pub mod data {
    #[path = "../../../src/data/encoding.rs"]
    pub mod encoding;

    /// What the encoding asks of strings.
    pub mod string {
        /// As in the server.
        pub const BYTES_MAX: u64 = 512 << 20;
    }
}

pub mod encoding;
pub mod resp_target;

#[path = "../../../src/resp/mod.rs"]
pub mod resp;
