//! From the server's settings to the storage's.

use pontoon_storage::{Bridge, Options};

use crate::config::{BridgeChoice, Config};
use crate::data::STORAGE_KEY_BYTES_MAX;

/// Files that the engine may hold open, which clients then cannot use.
pub(crate) const ENGINE_OPEN_FILES_MAX: u32 = 512;

/// How to open the store that `config` describes.
pub(crate) fn store_options(config: &Config) -> Options {
    let options = if config.engine.is_persistent() {
        Options::new(&config.dir).engine(config.engine)
    } else {
        Options::in_memory()
    };
    let mut options = options
        .key_bytes_max(STORAGE_KEY_BYTES_MAX)
        .cache_bytes(config.cache_bytes)
        .engine_cache_bytes(config.engine_cache_bytes)
        .open_files_max(ENGINE_OPEN_FILES_MAX)
        .durability(config.durability.durability())
        .bridge(match config.bridge {
            BridgeChoice::Pool => Bridge::Pool,
            BridgeChoice::Blocking => Bridge::Blocking,
        });
    if let Some(threads) = config.pool_threads {
        options = options.pool_threads(threads);
    }
    options
}
