//! The supervisor of sources: each enabled source of a kind that runs has one task; it is started again with back-off
//! and jitter, stopped when paused, changed or deleted. Knows no protocol.

mod door;
mod gate;
mod gauge;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidemill_connectors as connectors;
use tidemill_connectors::registry::Lookup;
use tidemill_connectors::{Context, Rules, SourceError};
use tidemill_dsl::ids::{Namespace, Time};
use tidemill_dsl::manifest::{self, Manifest};
use tidemill_store::DefinitionKind;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::catalog::{ManifestEntry, Space};
use crate::deliveries::blocking;
use crate::relations;
use crate::rooms::Rooms;
use door::Door;
pub use gate::{Closed, Gate, Permit};
pub use gauge::{Gauge, SourceStatus, State, Trouble};

/// First and longest delay before a failed source is started again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_mins(1));
/// How often a source looks again for a secret or a connection that it lacks.
const LACKING: Duration = Duration::from_secs(5);

struct Running {
    generation: u64,
    mode: Mode,
    rules: watch::Sender<Rules>,
    stop: CancellationToken,
    task: Option<tokio::task::JoinHandle<()>>,
    gauge: Arc<Gauge>,
}

/// How a source runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Events come in.
    Open,
    /// To clear up at the source alone: something of it is being deleted.
    Clearing,
    /// Not at all.
    Off,
}

impl Mode {
    fn of(space: &Space, entry: &ManifestEntry) -> Mode {
        let name = &entry.definition.name;
        if active(entry) && !space.is_deleting(DefinitionKind::Source, name) {
            Mode::Open
        } else if relations::must_clear(space, name) {
            Mode::Clearing
        } else {
            Mode::Off
        }
    }
}

type Key = (Namespace, Arc<str>);

/// All sources of the process.
#[derive(Default)]
pub struct Sources {
    running: Mutex<HashMap<Key, Running>>,
    restarts: AtomicU64,
    /// Told when a source has compared its entries with the rules.
    pub(crate) told: Arc<Notify>,
}

impl Sources {
    /// How a source is.
    pub fn status(&self, namespace: &Namespace, name: &str) -> Option<SourceStatus> {
        self.gauge(namespace, name).map(|gauge| gauge.status())
    }

    /// A source's counters, for routes that accept on its behalf.
    pub fn gauge(&self, namespace: &Namespace, name: &str) -> Option<Arc<Gauge>> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(&(namespace.clone(), name.into())).map(|r| r.gauge.clone())
    }

    /// The same for callers that may be faster than the source's own start.
    pub fn gauge_at_once(
        self: &Arc<Self>,
        rooms: &Arc<Rooms>,
        namespace: &Namespace,
        name: &str,
    ) -> Option<Arc<Gauge>> {
        self.gauge(namespace, name).or_else(|| {
            self.sync(rooms);
            self.gauge(namespace, name)
        })
    }

    /// Starts, stops and restarts so that what runs is what the catalog says.
    pub fn sync(self: &Arc<Self>, rooms: &Arc<Rooms>) {
        let mut wanted: BTreeMap<Key, (ManifestEntry, Mode, Rules)> = BTreeMap::new();
        for (namespace, space) in rooms.catalog.spaces() {
            for entry in space.manifests(DefinitionKind::Source) {
                let mode = Mode::of(&space, entry);
                let name = entry.definition.name.clone();
                let rules = relations::rules(&space, &name, mode == Mode::Open);
                wanted.insert((namespace.clone(), name), (entry.clone(), mode, rules));
            }
        }
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|key, source| {
            let keep = wanted.get(key).is_some_and(|(entry, mode, _)| {
                entry.definition.generation == source.generation && *mode == source.mode
            });
            if !keep {
                source.stop.cancel();
            }
            keep
        });
        for (key, (entry, mode, rules)) in wanted {
            match running.entry(key) {
                Entry::Vacant(vacant) => {
                    let source = self.launch(rooms, vacant.key(), &entry, (mode, rules));
                    vacant.insert(source);
                }
                Entry::Occupied(own) => {
                    own.get().rules.send_if_modified(|now| std::mem::replace(now, rules.clone()) != rules);
                }
            }
        }
    }

    fn launch(
        self: &Arc<Self>,
        rooms: &Arc<Rooms>,
        key: &Key,
        entry: &ManifestEntry,
        (mode, rules): (Mode, Rules),
    ) -> Running {
        let stop = CancellationToken::new();
        let state = if mode == Mode::Open { State::Starting } else { State::Paused };
        let limits = match &*entry.manifest {
            Manifest::Source(spec) => spec.limits,
            _ => manifest::SourceLimits::default(),
        };
        let gauge = Arc::new(Gauge::new(rooms.clock.clone(), state, (limits, self.told.clone())));
        let rules = watch::Sender::new(rules);
        let task = match &*entry.manifest {
            Manifest::Source(spec) if mode != Mode::Off => {
                let supervised = Supervised {
                    rooms: rooms.clone(),
                    sources: self.clone(),
                    key: key.clone(),
                    spec: (**spec).clone(),
                    since: entry.definition.at,
                    stop: stop.clone(),
                    gauge: gauge.clone(),
                    rules: rules.subscribe(),
                };
                Some(tokio::spawn(supervised.run()))
            }
            _ => None,
        };
        Running { generation: entry.definition.generation, mode, rules, stop, task, gauge }
    }

    /// Stops all and waits for them, at most `limit`.
    pub async fn stop(&self, limit: Duration) {
        let all: Vec<Running> =
            self.running.lock().unwrap_or_else(PoisonError::into_inner).drain().map(|(_, r)| r).collect();
        for source in &all {
            source.stop.cancel();
        }
        let _ = tokio::time::timeout(limit, async {
            for source in all {
                if let Some(task) = source.task {
                    let _ = task.await;
                }
            }
        })
        .await;
    }
}

fn active(entry: &ManifestEntry) -> bool {
    let enabled = matches!(&*entry.manifest, Manifest::Source(s) if s.enabled);
    enabled && !entry.definition.paused
}

struct Supervised {
    rooms: Arc<Rooms>,
    sources: Arc<Sources>,
    key: Key,
    spec: manifest::Source,
    since: Time,
    stop: CancellationToken,
    gauge: Arc<Gauge>,
    rules: watch::Receiver<Rules>,
}

impl Supervised {
    async fn run(self) {
        let mut failures = 0;
        while !self.stop.is_cancelled() {
            let began = crate::clock::tick();
            let result = self.once().await;
            if self.stop.is_cancelled() {
                break;
            }
            match result {
                // A kind without a run of its own (a route).
                Ok(None) => {
                    self.gauge.turn(State::Running);
                    self.stop.cancelled().await;
                    break;
                }
                Ok(Some(())) => failures = 0,
                Err(error) => {
                    self.gauge.trouble(&error.code, &error.message, &error.help);
                    tracing::warn!(source = %self.key.1, code = %error.code, message = %error.message, "a source failed");
                    if error.permanent {
                        self.gauge.turn(State::Failed);
                        // Secrets and connections come without a change of the source.
                        if !error.code.starts_with("secret-") && &*error.code != "connection-absent" {
                            self.stop.cancelled().await;
                            break;
                        }
                        let _ = tokio::time::timeout(LACKING, self.stop.cancelled()).await;
                        continue;
                    }
                    self.gauge.turn(State::Degraded);
                    failures = if began.elapsed() > BACK_OFF.1 { 1 } else { failures + 1 };
                }
            }
            self.sources.restarts.fetch_add(1, Ordering::Relaxed);
            let delay = BACK_OFF.0.saturating_mul(1 << failures.min(7)).min(BACK_OFF.1);
            let jittered = delay.mul_f64(0.5 + crate::ids::fraction() / 2.0);
            tokio::select! {
                () = tokio::time::sleep(jittered) => {}
                () = self.stop.cancelled() => {}
            }
        }
        self.gauge.turn(State::Stopped);
    }

    async fn once(&self) -> Result<Option<()>, SourceError> {
        let (namespace, name) = self.key.clone();
        let Some(source) = build(&self.rooms, &namespace, &self.spec)? else {
            return Ok(None);
        };
        let store = self.rooms.store.clone();
        let (n, s) = (namespace.clone(), name.clone());
        let saved = blocking(move || store.checkpoints(&n, &s)).await.map_err(|e| SourceError {
            code: "store".into(),
            message: e.to_string(),
            help: "see the service's log".into(),
            permanent: false,
        })?;
        let context = Context {
            namespace,
            name,
            ingress: Arc::new(Door {
                rooms: self.rooms.clone(),
                sources: self.sources.clone(),
                gauge: self.gauge.clone(),
            }),
            positions: saved.into_iter().map(|c| (c.partition, c.value)).collect(),
            stop: self.stop.clone(),
            health: self.gauge.clone(),
            clock: self.rooms.clock.clone(),
            since: self.since,
            rules: self.rules.clone(),
            reconcile: self.rooms.reconcile,
        };
        source.run(context).await.map(Some)
    }
}

/// The connector of a source, with the secrets and connections of its namespace.
fn build(
    rooms: &Rooms,
    namespace: &Namespace,
    spec: &manifest::Source,
) -> Result<Option<Box<dyn connectors::Source>>, SourceError> {
    with_lookup(rooms, namespace, |lookup| connectors::registry::build(spec, lookup))
}

/// The route of an http source; none for other kinds. Secrets are read now.
pub fn route(
    rooms: &Rooms,
    namespace: &Namespace,
    spec: &manifest::Source,
) -> Result<Option<connectors::http::Spec>, SourceError> {
    with_lookup(rooms, namespace, |lookup| connectors::registry::route(spec, lookup))
}

/// The hook of a source that its other end calls; none for other kinds. Secrets are read now.
pub fn hook(
    rooms: &Rooms,
    namespace: &Namespace,
    spec: &manifest::Source,
) -> Result<Option<connectors::minio::Hook>, SourceError> {
    with_lookup(rooms, namespace, |lookup| connectors::registry::hook(spec, lookup))
}

fn with_lookup<T>(rooms: &Rooms, namespace: &Namespace, build: impl FnOnce(&Lookup<'_>) -> T) -> T {
    let secrets = rooms.secrets.of(namespace);
    let space = rooms.catalog.space(namespace);
    let secret = |name: &str| tidemill_dsl::expr::Arguments::get(&secrets, name);
    let connection = |name: &str| match &*space.manifest(DefinitionKind::Connection, name)?.manifest {
        Manifest::Connection(connection) => Some(connection.kind.clone()),
        _ => None,
    };
    build(&Lookup { secret: &secret, connection: &connection })
}
