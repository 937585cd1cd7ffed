//! The servers under load: who they are, and the keys they need.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use tokio::task::JoinSet;

use super::args::{Address, Server, Workload};
use super::connection::{Access, Connection, Scratch};
use super::load;
use super::process::Process;
use super::reply;
use super::request::{Requests, Values, key_name};

/// Connections that fill a server.
const FILLING: u64 = 8;

/// Bytes of the requests that each sends at once, about.
const FILL_BYTES: u64 = 64 << 10;

/// What servers call their version in `INFO`, those first that call Redis's version theirs, too.
const VERSION_FIELDS: [(&str, &str); 6] = [
    ("pontoon_version", "pontoon"),
    ("kvrocks_version", "kvrocks"),
    ("valkey_version", "valkey"),
    ("dragonfly_version", "dragonfly"),
    ("garnet_version", "garnet"),
    ("redis_version", "redis"),
];

/// A server that answers.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) access: Access,
    /// Its software and version.
    pub(super) version: String,
    /// Its process, or why nothing can be said of that.
    pub(super) process: Result<Process, String>,
}

impl Target {
    /// Finds out about the server at `address`.
    ///
    /// # Errors
    /// When it is not there, or will not have us.
    pub(super) fn find(address: &Address, args: &Server) -> Result<Self, String> {
        let access = Access {
            address: resolve(&address.place)?,
            user: args.user.clone(),
            password: args.password.clone(),
            db: args.db,
        };
        let info = load::runtime()?
            .block_on(async { Connection::open(&access).await?.call(&["INFO", "server"]).await })?;
        // A server without INFO can be loaded all the same.
        let info = reply::text(&info).unwrap_or_default();
        let process = Process::find(info_field(&info, "process_id").unwrap_or(""), access.address);
        Ok(Self { name: address.name.clone(), access, version: version(&info), process })
    }

    /// Whether it takes connections.
    pub(super) fn is_there(&self) -> bool {
        let tried = load::runtime().map(|runtime| {
            runtime.block_on(async { Connection::open(&self.access).await.map(drop) })
        });
        matches!(tried, Ok(Ok(())))
    }

    /// Sets all `keys` keys and looks whether they are there.
    pub(super) fn fill(&self, keys: u64, values: &Arc<Values>, seed: u64) -> Result<(), String> {
        let runtime = load::runtime()?;
        runtime.block_on(async {
            let mut parts = JoinSet::new();
            for part in 0..FILLING {
                let part_seed = seed.wrapping_add(part);
                let requests = Requests::new(Workload::Set, keys, Arc::clone(values), part_seed);
                let range = keys * part / FILLING..keys * (part + 1) / FILLING;
                parts.spawn(fill_part(self.access.clone(), requests, range, values.value_bytes()));
            }
            while let Some(part) = parts.join_next().await {
                part.map_err(|error| error.to_string())??;
            }
            self.check_filled(keys, values.value_bytes()).await
        })
    }

    async fn check_filled(&self, keys: u64, value_bytes: u64) -> Result<(), String> {
        let mut connection = Connection::open(&self.access).await?;
        for key in [0, keys / 2, keys - 1] {
            let name = key_name(key);
            let reply = connection.call(&["STRLEN", &name]).await?;
            let len = reply::text(&reply)?;
            if len != value_bytes.to_string() {
                return Err(format!("{name} has {len} bytes, of {value_bytes} that were set"));
            }
        }
        Ok(())
    }
}

async fn fill_part(
    access: Access,
    mut requests: Requests,
    mut keys: std::ops::Range<u64>,
    value_bytes: u64,
) -> Result<(), String> {
    let mut connection = Connection::open(&access).await?;
    let scratch = Scratch::new();
    let batch = (FILL_BYTES / Requests::bytes_max(Workload::Set, value_bytes)).max(1);
    while !keys.is_empty() {
        let count = batch.min(keys.end - keys.start);
        connection.out.clear();
        keys.by_ref().take(count as usize).for_each(|key| {
            requests.push_set(key, &mut connection.out);
        });
        let answers = connection.exchange(count as u32, &scratch).await?;
        if answers.errors > 0 {
            let why = connection.first_error().unwrap_or("an error");
            return Err(format!("it answered SET with {why}"));
        }
    }
    Ok(())
}

fn resolve(place: &str) -> Result<SocketAddr, String> {
    let found = place.to_socket_addrs().map_err(|error| format!("cannot resolve it: {error}"))?;
    // Most servers listen on IPv4 alone by default.
    let found: Vec<_> = found.collect();
    let v4 = found.iter().find(|address| address.is_ipv4());
    v4.or(found.first()).copied().ok_or_else(|| "it has no address".into())
}

fn version(info: &str) -> String {
    let known = VERSION_FIELDS.iter().find_map(|(field, software)| {
        info_field(info, field).map(|version| format!("{software} {version}"))
    });
    known.unwrap_or_else(|| "unknown".into())
}

fn info_field<'i>(info: &'i str, name: &str) -> Option<&'i str> {
    info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_servers_own() {
        let redis = "# Server\r\nredis_version:7.0.15\r\nprocess_id:5\r\n";
        assert_eq!(version(redis), "redis 7.0.15");
        assert_eq!(version(&format!("{redis}pontoon_version:0.1.0\r\n")), "pontoon 0.1.0");
        assert_eq!(version(""), "unknown");
        assert_eq!(info_field(redis, "process_id"), Some("5"));
        assert_eq!(info_field(redis, "process"), None);
    }
}
