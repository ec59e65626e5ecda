//! The supervisor of sources: each enabled source of a kind that runs has one task; it is started again with back-off
//! and jitter, stopped when paused, changed or deleted. Knows no protocol.

mod door;
mod gate;
mod gauge;
mod recent;
mod run;
mod used;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidemill_connectors as connectors;
use tidemill_connectors::registry::Lookup;
use tidemill_connectors::{Rules, SourceError};
use tidemill_dsl::ids::Namespace;
use tidemill_dsl::manifest::{self, Manifest};
use tidemill_store::DefinitionKind;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::catalog::{ManifestEntry, Space};
use crate::relations;
use crate::rooms::Rooms;
pub use gate::{Closed, Gate, Permit};
pub use gauge::{Gauge, SourceStatus, State, Trouble};
use run::Supervised;

/// Sources that are started at one time without being spread, and the time that each one more spreads them over, at
/// most [`SPREAD`]: a thousand that begin or come back at once would storm their servers.
const AT_ONCE: usize = 50;
const SPREAD_EACH: Duration = Duration::from_millis(5);
const SPREAD: Duration = Duration::from_secs(10);

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

    /// How all are, by namespace and name.
    pub fn all(&self) -> Vec<(Namespace, Arc<str>, SourceStatus)> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.iter().map(|((ns, name), own)| (ns.clone(), name.clone(), own.gauge.status())).collect()
    }

    /// Runs that were started again, since the process began.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
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
        let mut former: HashMap<Key, Arc<Gauge>> = HashMap::new();
        running.retain(|key, source| {
            let keep = wanted.get(key).is_some_and(|(entry, mode, _)| {
                entry.definition.generation == source.generation && *mode == source.mode
            });
            if !keep {
                source.stop.cancel();
                former.insert(key.clone(), source.gauge.clone());
            }
            keep
        });
        let fresh = wanted.keys().filter(|key| !running.contains_key(*key)).count();
        let most = SPREAD_EACH.saturating_mul(fresh.saturating_sub(AT_ONCE) as u32).min(SPREAD);
        for (key, (entry, mode, rules)) in wanted {
            match running.entry(key) {
                Entry::Vacant(vacant) => {
                    let spread = most.mul_f64(crate::ids::fraction());
                    let former = former.get(vacant.key()).map(|gauge| &**gauge);
                    let source = self.launch(rooms, (vacant.key(), former), &entry, (mode, rules, spread));
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
        (key, former): (&Key, Option<&Gauge>),
        entry: &ManifestEntry,
        (mode, rules, spread): (Mode, Rules, Duration),
    ) -> Running {
        let stop = CancellationToken::new();
        let state = if mode == Mode::Open { State::Starting } else { State::Paused };
        let limits = match &*entry.manifest {
            Manifest::Source(spec) => spec.limits,
            _ => manifest::SourceLimits::default(),
        };
        let gauge = Gauge::new(rooms.clock.clone(), state, (limits, self.told.clone()));
        let gauge = Arc::new(match former {
            Some(former) => gauge.after(former),
            None => gauge,
        });
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
                    spread,
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

/// Does something with the secrets and connections of a namespace as they are now.
pub(crate) fn with_lookup<T>(
    rooms: &Rooms,
    namespace: &Namespace,
    build: impl FnOnce(&Lookup<'_>) -> T,
) -> T {
    let secrets = rooms.secrets.of(namespace);
    let space = rooms.catalog.space(namespace);
    let secret = |name: &str| tidemill_dsl::expr::Arguments::get(&secrets, name);
    let connection = |name: &str| match &*space.manifest(DefinitionKind::Connection, name)?.manifest {
        Manifest::Connection(connection) => Some(connection.kind.clone()),
        _ => None,
    };
    build(&Lookup { secret: &secret, connection: &connection })
}
