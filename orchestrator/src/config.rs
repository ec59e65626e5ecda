//! The configuration: flags over environment over one TOML file over defaults. The only place that reads the
//! environment.
//!
//! Owns the settings as types, their layering and their limits. Opens no socket and no store.

mod keys;
mod layers;
mod places;
mod resolve;
mod shown;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::catalog::Mode;
pub use crate::telemetry::LogFormat;

pub use keys::{KEYS, Key, Kind};
pub use layers::{ConfigError, Given, Layers, Mistake, Origin, Setting};
pub use places::{Environment, Places};
pub use resolve::Purpose;

/// Longest drain of a stop (limit `drain`).
pub const MAX_DRAIN: Duration = Duration::from_secs(25);
/// Shortest retention of events, as dedupe lives as long as they do (limit `retention-events`).
pub const MIN_RETAIN_EVENTS: Duration = Duration::from_hours(24);
/// Shortest and longest time between two removals of what is beyond retention (limit `retention-every`).
pub const RETAIN_EVERY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(1));
/// Shortest and longest time between two comparisons of a twoWay source's entries (limit `sources-reconcile`).
pub const RECONCILE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(1));
/// Most emitted events that may be let lead to one another (setting `limits.hop_count`).
pub const MAX_HOPS: usize = 255;
/// Most lanes (limit `lanes`): there are 256 shards.
pub const MAX_LANES: usize = 256;

/// What a commit must survive before it is acknowledged (promise 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: flushed to the disk. The default.
    Power,
    /// A crash of the process only: handed to the operating system.
    Process,
}

impl Durability {
    /// The word of the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Durability::Power => "power",
            Durability::Process => "process",
        }
    }
}

/// Everything that can be set.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// Where `/metrics` listens.
    pub metrics_listen: SocketAddr,
    /// The SQLite database file.
    pub database: PathBuf,
    /// The data folder: database, lock, reserve, key.
    pub data_dir: PathBuf,
    /// What a commit survives.
    pub durability: Durability,
    /// How changed texts of a workflow version are taken.
    pub mode: Mode,
    /// Lanes: threads on which decisions run.
    pub lanes: usize,
    /// How long ended executions are kept.
    pub retain_executions: Duration,
    /// How long events are kept (at least 24 h).
    pub retain_events: Duration,
    /// Time between two removals of what is beyond retention.
    pub retain_every: Duration,
    /// How often a twoWay source compares its entries with the rules.
    pub reconcile: Duration,
    /// Emitted events that may lead to one another (limit `hop-count`).
    pub hops: usize,
    /// Wrong credentials from one address at one hook within a minute that are answered like the first (limit
    /// `hook-guesses`).
    pub hook_guesses: usize,
    /// Networks (CIDR) and hosts that calls may reach beside public ones.
    pub egress_allow: Vec<String>,
    /// Whether calls may reach loopback (`dev`).
    pub egress_loopback: bool,
    /// Hosts whose calls go elsewhere: host -> base URL.
    pub egress_rewrite: BTreeMap<String, String>,
    /// Kinds of run task that are allowed in every namespace: `shell`, `script`.
    pub run_allow: Vec<String>,
    /// Folder that relative working directories and commands of processes start from; none: the server's own.
    pub process_dir: Option<PathBuf>,
    /// PATH of the processes of functions.
    pub process_path: String,
    /// How long a stop waits for calls in flight (at most 25 s).
    pub drain: Duration,
    /// What is logged, in the form of `tracing` directives: `info`, `tidemill=debug,warn`; none: what suits the verb.
    pub log_level: Option<String>,
    /// How it is written.
    pub log_format: LogFormat,
    /// Whether every request needs credentials, also on a loopback address.
    pub auth_required: bool,
}

/// An environment variable of the server, for a Secret manifest that names one.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl Config {
    /// The defaults for a data folder.
    pub fn new(data_dir: PathBuf) -> Config {
        let day = Duration::from_hours(24);
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 8484)),
            metrics_listen: SocketAddr::from(([127, 0, 0, 1], 8485)),
            database: data_dir.join("tidemill.db"),
            data_dir,
            durability: Durability::Power,
            mode: Mode::Serve,
            lanes: cores(),
            retain_executions: 7 * day,
            retain_events: 7 * day,
            retain_every: Duration::from_mins(1),
            reconcile: Duration::from_secs(30),
            hops: tidemill_engine::MAX_HOPS,
            hook_guesses: 20,
            egress_allow: Vec::new(),
            egress_loopback: false,
            egress_rewrite: BTreeMap::new(),
            run_allow: Vec::new(),
            process_dir: None,
            process_path: std::env::var("PATH")
                .unwrap_or_else(|_| tidemill_workers::process::DEFAULT_PATH.to_owned()),
            drain: MAX_DRAIN,
            log_level: None,
            log_format: LogFormat::Text,
            auth_required: false,
        }
    }

    /// Why the service may not listen where it should, if so: an address that is not loopback needs authentication,
    /// which this release does not have (security.md 5a, bind).
    pub fn exposed(&self) -> Option<(&'static str, SocketAddr)> {
        [("server.listen", self.listen), ("metrics.listen", self.metrics_listen)]
            .into_iter()
            .find(|(_, address)| !address.ip().is_loopback())
    }
}

/// Cores that the process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

#[cfg(test)]
mod tests;
