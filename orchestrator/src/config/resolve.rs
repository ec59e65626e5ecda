//! From layers to a configuration: the meaning of each value, its limits, and the defaults that depend on what runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;
use serde_json::Value;
use tidemill_dsl::duration::parse_human;
use tidemill_workers::egress::Allow;
use tracing_subscriber::EnvFilter;

use super::layers::{ConfigError, Layers, Mistake, Origin};
use super::places::Places;
use super::shown::human;
use super::{
    Config, Durability, LogFormat, MAX_DRAIN, MAX_HOPS, MAX_LANES, MIN_RETAIN_EVENTS, RECONCILE, RETAIN_EVERY,
};
use crate::catalog::Mode;

/// What the settings are read for; some defaults follow from it.
#[derive(Clone, Debug)]
pub enum Purpose {
    /// `serve`: data below `$XDG_STATE_HOME`.
    Serve,
    /// `dev` on a folder: data in its `.tidemill`, calls to loopback allowed, processes start from it.
    Dev(PathBuf),
    /// `run` of a file in a folder: nothing is kept; `scratch` holds files for the time it takes.
    Run {
        /// Where processes start from.
        dir: PathBuf,
        /// Data folder, removed afterwards.
        scratch: PathBuf,
    },
}

/// Kinds of run task that can be allowed.
const RUN_KINDS: [&str; 2] = ["shell", "script"];

impl Layers {
    /// The configuration for a purpose, or every mistake in it.
    pub fn resolve(&self, purpose: &Purpose, places: &Places) -> Result<Config, ConfigError> {
        let mut reading = Reading { layers: self, mistakes: Vec::new() };
        let config = reading.config(purpose, places);
        match config {
            Some(config) if reading.mistakes.is_empty() => Ok(config),
            _ => Err(ConfigError(reading.mistakes)),
        }
    }
}

struct Reading<'a> {
    layers: &'a Layers,
    mistakes: Vec<Mistake>,
}

impl Reading<'_> {
    fn config(&mut self, purpose: &Purpose, places: &Places) -> Option<Config> {
        let (data_dir, database) = self.data(purpose, places)?;
        let base = Config::new(data_dir);
        let local = !matches!(purpose, Purpose::Serve);
        let run_default =
            if local { RUN_KINDS.iter().map(|kind| (*kind).to_owned()).collect() } else { Vec::new() };
        Some(Config {
            listen: self.address("server.listen").unwrap_or(base.listen),
            metrics_listen: self.address("metrics.listen").unwrap_or(base.metrics_listen),
            database: database.unwrap_or(base.database.clone()),
            durability: self
                .choice("durability", &[("power", Durability::Power), ("process", Durability::Process)])
                .unwrap_or(base.durability),
            mode: if local { Mode::Dev } else { Mode::Serve },
            lanes: self.count("lanes", MAX_LANES).unwrap_or(base.lanes),
            retain_executions: self
                .duration("retention.executions", Duration::from_secs(1), Duration::MAX)
                .unwrap_or(base.retain_executions),
            retain_events: self
                .duration("retention.events", MIN_RETAIN_EVENTS, Duration::MAX)
                .unwrap_or(base.retain_events),
            retain_every: self
                .duration("retention.every", RETAIN_EVERY.0, RETAIN_EVERY.1)
                .unwrap_or(base.retain_every),
            reconcile: self.duration("sources.reconcile", RECONCILE.0, RECONCILE.1).unwrap_or(base.reconcile),
            hops: self.count("limits.hop_count", MAX_HOPS).unwrap_or(base.hops),
            hook_guesses: self.count("limits.hook_guesses", 10_000).unwrap_or(base.hook_guesses),
            egress_allow: self.allow(),
            egress_loopback: local,
            process_dir: match purpose {
                Purpose::Serve => None,
                Purpose::Dev(dir) | Purpose::Run { dir, .. } => Some(absolute(dir)),
            },
            egress_rewrite: self.rewrite(),
            run_allow: self.run_allow().unwrap_or(run_default),
            drain: self.duration("drain", Duration::ZERO, MAX_DRAIN).unwrap_or(base.drain),
            log_level: self.level(),
            log_format: self
                .choice("log.format", &[("text", LogFormat::Text), ("json", LogFormat::Json)])
                .unwrap_or(base.log_format),
            auth_required: self.value("auth.required").and_then(Value::as_bool).unwrap_or(base.auth_required),
            ..base
        })
    }

    fn value(&self, path: &str) -> Option<&Value> {
        self.layers.settings.get(path).map(|setting| &setting.value)
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.layers.settings.get(path).and_then(|setting| setting.value.as_str())
    }

    fn wrong(&mut self, path: &str, message: impl std::fmt::Display, help: Option<String>) {
        let place = self.layers.settings.get(path).map_or(Origin::Default, |setting| setting.origin.clone());
        self.mistakes.push(Mistake {
            place: place.to_string(),
            message: format!("`{path}` {message}"),
            help,
        });
    }

    /// The data folder, and the database where it is not in its usual place there.
    fn data(&mut self, purpose: &Purpose, places: &Places) -> Option<(PathBuf, Option<PathBuf>)> {
        if let Purpose::Run { scratch, .. } = purpose {
            return Some((absolute(scratch), None));
        }
        let database = match self.text("store").map(str::to_owned) {
            None => None,
            Some(store) => self.database(&store)?,
        };
        let folder = self.text("data_dir").map(PathBuf::from);
        let beside = || database.as_deref().map(folder_of);
        let usual = || match purpose {
            Purpose::Serve => places.state.as_ref().map(|state| state.join("tidemill")),
            Purpose::Dev(dir) => Some(dir.join(".tidemill")),
            Purpose::Run { scratch, .. } => Some(scratch.clone()),
        };
        let Some(folder) = folder.or_else(beside).or_else(usual) else {
            let help = "set it with --data-dir DIR, or set HOME or XDG_STATE_HOME";
            self.wrong(
                "data_dir",
                "has no default here: neither HOME nor XDG_STATE_HOME is set",
                Some(help.into()),
            );
            return None;
        };
        Some((absolute(&folder), database.map(|path| absolute(&path))))
    }

    /// Outer none: a mistake. Inner none: the usual file of the data folder.
    #[allow(clippy::option_option)]
    fn database(&mut self, store: &str) -> Option<Option<PathBuf>> {
        if store == "sqlite" {
            return Some(None);
        }
        let path = store.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path));
        match path {
            Some(path) if !path.is_empty() && !path.ends_with('/') => Some(Some(path.into())),
            Some(_) => {
                self.wrong(
                    "store",
                    "names no database file",
                    Some("write it like sqlite:/var/lib/tidemill/tidemill.db".into()),
                );
                None
            }
            None if store.starts_with("postgres:") || store.starts_with("postgresql:") => {
                let help = "use sqlite:PATH; the PostgreSQL store comes with a later release";
                self.wrong(
                    "store",
                    "names a PostgreSQL database, which this release cannot use",
                    Some(help.into()),
                );
                None
            }
            None => {
                self.wrong(
                    "store",
                    "is neither `sqlite` nor `sqlite:PATH`",
                    Some("write it like sqlite:/var/lib/tidemill/tidemill.db".into()),
                );
                None
            }
        }
    }

    fn address(&mut self, path: &str) -> Option<SocketAddr> {
        let text = self.text(path)?.to_owned();
        let spelt = text.strip_prefix("localhost:").map_or(text.clone(), |port| format!("127.0.0.1:{port}"));
        let address = spelt.parse().ok();
        if address.is_none() {
            self.wrong(
                path,
                format!("is no address: `{text}`"),
                Some("write it like 127.0.0.1:8484 or [::1]:8484".into()),
            );
        }
        address
    }

    fn choice<T: Copy>(&mut self, path: &str, among: &[(&str, T)]) -> Option<T> {
        let text = self.text(path)?.to_owned();
        let found = among.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let words: Vec<String> = among.iter().map(|(word, _)| format!("`{word}`")).collect();
            self.wrong(path, format!("is `{text}`"), Some(format!("it is one of {}", words.join(", "))));
        }
        found
    }

    fn level(&mut self) -> Option<String> {
        let text = self.text("log.level")?.to_owned();
        if let Err(error) = EnvFilter::try_new(&text) {
            let help = "write it like info, or tidemill=debug,warn";
            self.wrong("log.level", format!("is `{text}`: {error}"), Some(help.into()));
        }
        Some(text)
    }

    /// A number from 1 on.
    fn count(&mut self, path: &str, most: usize) -> Option<usize> {
        let count = self.value(path)?.as_u64()?;
        if count == 0 || count > most as u64 {
            let limit = path.rsplit('.').next().unwrap_or(path).replace('_', "-");
            self.wrong(path, format!("is {count}"), Some(format!("it is 1 to {most} (limit {limit})")));
            return None;
        }
        Some(count as usize)
    }

    fn duration(&mut self, path: &str, least: Duration, most: Duration) -> Option<Duration> {
        let text = self.text(path)?.to_owned();
        let limit = path.replace('.', "-");
        match parse_human(&text) {
            Ok(found) if found < least => {
                self.wrong(
                    path,
                    format!("is `{text}`"),
                    Some(format!("it is at least {} (limit {limit})", human(least))),
                );
            }
            Ok(found) if found > most => {
                self.wrong(
                    path,
                    format!("is `{text}`"),
                    Some(format!("it is at most {} (limit {limit})", human(most))),
                );
            }
            Ok(found) => return Some(found),
            Err(error) => self.wrong(path, format!("is no duration: {error}"), None),
        }
        None
    }

    fn list(&self, path: &str) -> Option<Vec<String>> {
        let items = self.value(path)?.as_array()?;
        Some(items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
    }

    fn allow(&mut self) -> Vec<String> {
        let list = self.list("egress.allow").unwrap_or_default();
        for entry in &list {
            if entry.parse::<Allow>().is_err() {
                let help = "an entry is a network such as 10.0.0.0/8, an address, or a host name";
                self.wrong("egress.allow", format!("has the entry `{entry}`"), Some(help.into()));
            }
        }
        list
    }

    fn rewrite(&mut self) -> std::collections::BTreeMap<String, String> {
        let members = self.value("egress.rewrite").and_then(Value::as_object).cloned().unwrap_or_default();
        let mut rewrite = std::collections::BTreeMap::new();
        for (host, url) in members {
            let url = url.as_str().unwrap_or_default().to_owned();
            let target =
                Url::parse(&url).ok().filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host());
            if target.is_none() {
                let help =
                    "a target is the scheme, host and port of a URL, for example http://127.0.0.1:9099";
                self.wrong("egress.rewrite", format!("sends `{host}` to `{url}`"), Some(help.into()));
            }
            rewrite.insert(host, url);
        }
        rewrite
    }

    fn run_allow(&mut self) -> Option<Vec<String>> {
        let list = self.list("run.allow")?;
        for kind in list.iter().filter(|kind| !RUN_KINDS.contains(&kind.as_str())) {
            let help = format!("a kind is one of {}", RUN_KINDS.join(", "));
            self.wrong("run.allow", format!("has the entry `{kind}`"), Some(help));
        }
        Some(list)
    }
}

fn folder_of(database: &Path) -> PathBuf {
    match database.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => ".".into(),
    }
}

/// Made absolute against the working folder, which `dev` changes later.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
