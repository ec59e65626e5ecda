//! The supervisor of sources: each enabled source of a kind that runs has one task; it is started again with back-off
//! and jitter, stopped when paused, changed or deleted. Knows no protocol.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidemill_connectors as connectors;
use tidemill_connectors::registry::Lookup;
use tidemill_connectors::{Arrivals, BoxFuture, Context, Receipt, Refused, SourceError};
use tidemill_dsl::ids::{Namespace, Time};
use tidemill_dsl::manifest::{self, Manifest};
use tidemill_store::{Checkpoint, DefinitionKind};
use tokio_util::sync::CancellationToken;

use crate::catalog::ManifestEntry;
use crate::deliveries::blocking;
use crate::error::Error;
use crate::ingress::Offer;
use crate::rooms::Rooms;

/// First and longest delay before a failed source is started again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_mins(1));

/// How a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Being started.
    Starting,
    /// Connected and reading.
    Running,
    /// Paused by an operator or disabled.
    Paused,
    /// Working, with trouble that it is mending.
    Degraded,
    /// Failed for good until it is changed.
    Failed,
    /// Stopped.
    Stopped,
}

impl State {
    /// The word of the API.
    pub fn word(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Running => "running",
            State::Paused => "paused",
            State::Degraded => "degraded",
            State::Failed => "failed",
            State::Stopped => "stopped",
        }
    }
}

/// A source's last trouble.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// When.
    pub at: Time,
    /// Stable code.
    pub code: Arc<str>,
    /// What happened.
    pub message: Arc<str>,
    /// What to do.
    pub help: Arc<str>,
}

/// What a source tells of itself.
#[derive(Clone, Debug)]
pub struct SourceStatus {
    /// State.
    pub state: State,
    /// Since when.
    pub since: Time,
    /// When its last event was accepted.
    pub last_event_at: Option<Time>,
    /// Records behind, when the kind can tell.
    pub lag: Option<u64>,
    /// Events accepted since the process began.
    pub accepted: u64,
    /// Duplicates since the process began.
    pub duplicates: u64,
    /// Errors since the process began.
    pub errors: u64,
    /// The last one.
    pub last_error: Option<Trouble>,
}

/// One source's counters and state, shared with its task.
pub struct Gauge {
    clock: crate::clock::Clock,
    status: Mutex<SourceStatus>,
}

impl Gauge {
    fn new(clock: crate::clock::Clock, state: State) -> Gauge {
        let since = clock();
        let status = SourceStatus {
            state,
            since,
            last_event_at: None,
            lag: None,
            accepted: 0,
            duplicates: 0,
            errors: 0,
            last_error: None,
        };
        Gauge { clock, status: Mutex::new(status) }
    }

    fn with(&self, change: impl FnOnce(&mut SourceStatus)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn turn(&self, state: State) {
        let now = (self.clock)();
        self.with(|s| {
            if s.state != state {
                s.state = state;
                s.since = now;
            }
        });
    }

    fn trouble(&self, code: &str, message: &str, help: &str) {
        let at = (self.clock)();
        self.with(|s| {
            s.errors += 1;
            s.last_error =
                Some(Trouble { at, code: code.into(), message: message.into(), help: help.into() });
        });
    }

    /// Its state now.
    pub fn state(&self) -> State {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).state
    }

    /// Counts accepted events.
    pub fn counted(&self, receipt: &Receipt) {
        let now = (self.clock)();
        self.with(|s| {
            s.accepted += receipt.accepted as u64;
            s.duplicates += receipt.duplicates as u64;
            if receipt.accepted > 0 {
                s.last_event_at = Some(now);
            }
        });
    }
}

impl connectors::Health for Gauge {
    fn running(&self) {
        self.turn(State::Running);
    }

    fn degraded(&self, code: &str, message: &str, help: &str) {
        self.turn(State::Degraded);
        self.trouble(code, message, help);
    }

    fn lag(&self, records: u64) {
        self.with(|s| s.lag = Some(records));
    }

    fn poison(&self, message: &str) {
        self.trouble("poison-record", message, "the record was set aside; the others go on");
    }
}

struct Running {
    generation: u64,
    active: bool,
    stop: CancellationToken,
    task: Option<tokio::task::JoinHandle<()>>,
    gauge: Arc<Gauge>,
}

type Key = (Namespace, Arc<str>);

/// All sources of the process.
#[derive(Default)]
pub struct Sources {
    running: Mutex<HashMap<Key, Running>>,
    restarts: AtomicU64,
}

impl Sources {
    /// How a source is.
    pub fn status(&self, namespace: &Namespace, name: &str) -> Option<SourceStatus> {
        self.gauge(namespace, name).map(|g| g.status.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// A source's counters, for routes that accept on its behalf.
    pub fn gauge(&self, namespace: &Namespace, name: &str) -> Option<Arc<Gauge>> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(&(namespace.clone(), name.into())).map(|r| r.gauge.clone())
    }

    /// Starts, stops and restarts so that what runs is what the catalog says.
    pub fn sync(self: &Arc<Self>, rooms: &Arc<Rooms>) {
        let mut wanted: BTreeMap<Key, ManifestEntry> = BTreeMap::new();
        for (namespace, space) in rooms.catalog.spaces() {
            for entry in space.manifests(DefinitionKind::Source) {
                wanted.insert((namespace.clone(), entry.definition.name.clone()), entry.clone());
            }
        }
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|key, source| {
            let keep = wanted
                .get(key)
                .is_some_and(|e| e.definition.generation == source.generation && active(e) == source.active);
            if !keep {
                source.stop.cancel();
            }
            keep
        });
        for (key, entry) in wanted {
            if let Entry::Vacant(vacant) = running.entry(key) {
                let source = self.launch(rooms, vacant.key(), &entry);
                vacant.insert(source);
            }
        }
    }

    fn launch(self: &Arc<Self>, rooms: &Arc<Rooms>, key: &Key, entry: &ManifestEntry) -> Running {
        let active = active(entry);
        let stop = CancellationToken::new();
        let state = if active { State::Starting } else { State::Paused };
        let gauge = Arc::new(Gauge::new(rooms.clock.clone(), state));
        let task = match &*entry.manifest {
            Manifest::Source(spec) if active => {
                let supervised = Supervised {
                    rooms: rooms.clone(),
                    sources: self.clone(),
                    key: key.clone(),
                    spec: (**spec).clone(),
                    stop: stop.clone(),
                    gauge: gauge.clone(),
                };
                Some(tokio::spawn(supervised.run()))
            }
            _ => None,
        };
        Running { generation: entry.definition.generation, active, stop, task, gauge }
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
    stop: CancellationToken,
    gauge: Arc<Gauge>,
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
                        self.stop.cancelled().await;
                        break;
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
            ingress: Arc::new(Door { rooms: self.rooms.clone(), gauge: self.gauge.clone() }),
            positions: saved.into_iter().map(|c| (c.partition, c.value)).collect(),
            stop: self.stop.clone(),
            health: self.gauge.clone(),
            clock: self.rooms.clock.clone(),
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

fn with_lookup<T>(rooms: &Rooms, namespace: &Namespace, build: impl FnOnce(&Lookup<'_>) -> T) -> T {
    let secrets = rooms.secrets.of(namespace);
    let space = rooms.catalog.space(namespace);
    let secret = |name: &str| tidemill_dsl::expr::Arguments::get(&secrets, name);
    let connection = |name: &str| match &*space.manifest(DefinitionKind::Connection, name)?.manifest {
        Manifest::Connection(connection) => match &connection.kind {
            manifest::ConnectionKind::Kafka(kafka) => Some(kafka.clone()),
        },
        _ => None,
    };
    build(&Lookup { secret: &secret, connection: &connection })
}

/// The ingress as a connector sees it.
struct Door {
    rooms: Arc<Rooms>,
    gauge: Arc<Gauge>,
}

impl connectors::Ingress for Door {
    fn accept(&self, arrivals: Arrivals) -> BoxFuture<'_, Result<Receipt, Refused>> {
        Box::pin(async move {
            let checkpoints = arrivals
                .positions
                .into_iter()
                .map(|(partition, value)| Checkpoint { source: arrivals.source.clone(), partition, value })
                .collect();
            let offer = Offer {
                namespace: arrivals.namespace,
                binding: arrivals.source,
                events: arrivals.events,
                checkpoints,
                dedupe: arrivals.dedupe,
                patient: true,
            };
            let receipts =
                self.rooms.ingress.accept(&self.rooms, offer).await.map_err(|error| refused(&error))?;
            let duplicates = receipts.iter().filter(|r| r.duplicate).count();
            let receipt = Receipt { accepted: receipts.len() - duplicates, duplicates };
            self.gauge.counted(&receipt);
            Ok(receipt)
        })
    }
}

fn refused(error: &Error) -> Refused {
    Refused::Busy(error.to_string().into())
}
