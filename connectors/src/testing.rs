//! What connector tests share: an ingress that records and keeps positions, a health board, a Source as it is written.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_dsl::event::Event;
use tidemill_dsl::ids::Time;
use tidemill_dsl::manifest;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{Arrivals, BoxFuture, Context, Health, Ingress, Receipt, Reconciled, Refused, Rules};

type Positions = Vec<(Arc<str>, Arc<str>)>;

/// An ingress in memory. What it accepted is durable at once.
pub(crate) struct Recorder {
    stored: Mutex<(Vec<Arrivals>, Positions)>,
    gate: Semaphore,
    refusals: Mutex<u32>,
    /// Whether somebody has come to the gate since it was made.
    called: AtomicBool,
}

impl Recorder {
    pub(crate) fn new() -> Arc<Recorder> {
        Arc::new(Recorder {
            stored: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            refusals: Mutex::new(0),
            called: AtomicBool::new(false),
        })
    }

    /// One whose every accept waits for [`Recorder::open`].
    pub(crate) fn closed() -> Arc<Recorder> {
        Arc::new(Recorder { gate: Semaphore::new(0), ..Arc::into_inner(Recorder::new()).unwrap() })
    }

    /// Lets everything through from now on.
    pub(crate) fn open(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// Whether events have come, stored or not.
    pub(crate) fn was_called(&self) -> bool {
        self.called.load(Ordering::Relaxed)
    }

    /// Refuses the next `count` accepts as busy.
    pub(crate) fn refuse(&self, count: u32) {
        *self.refusals.lock().unwrap() = count;
    }

    pub(crate) fn batches(&self) -> Vec<Arrivals> {
        self.stored.lock().unwrap().0.clone()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.stored.lock().unwrap().0.iter().flat_map(|batch| batch.events.clone()).collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.stored.lock().unwrap().0.iter().map(|batch| batch.events.len()).sum()
    }

    pub(crate) fn positions(&self) -> Positions {
        self.stored.lock().unwrap().1.clone()
    }

    pub(crate) fn position(&self, partition: &str) -> Option<String> {
        self.positions().iter().find(|(name, _)| &**name == partition).map(|(_, value)| value.to_string())
    }

    pub(crate) fn save(&self, partition: &str, value: &str) {
        save(&mut self.stored.lock().unwrap().1, (partition.into(), value.into()));
    }
}

fn save(positions: &mut Positions, (name, value): (Arc<str>, Arc<str>)) {
    match positions.iter_mut().find(|(saved, _)| *saved == name) {
        Some(position) => position.1 = value,
        None => positions.push((name, value)),
    }
}

impl Ingress for Recorder {
    fn accept(&self, arrivals: Arrivals) -> BoxFuture<'_, Result<Receipt, Refused>> {
        Box::pin(async move {
            self.called.store(true, Ordering::Relaxed);
            self.gate.acquire().await.unwrap().forget();
            {
                let mut refusals = self.refusals.lock().unwrap();
                if *refusals > 0 {
                    *refusals -= 1;
                    return Err(Refused::Busy("the buffer is full".into()));
                }
            }
            let mut stored = self.stored.lock().unwrap();
            arrivals.positions.iter().for_each(|position| save(&mut stored.1, position.clone()));
            let accepted = arrivals.events.len();
            stored.0.push(arrivals);
            Ok(Receipt { accepted, duplicates: 0 })
        })
    }
}

/// Where a source under test tells how it is: the last state and all poison.
pub(crate) struct Board(Mutex<Shown>);

#[derive(Default)]
struct Shown {
    state: String,
    lags: Vec<u64>,
    behind: Option<u64>,
    poison: Vec<String>,
    trouble: Vec<String>,
    reconciled: Option<Reconciled>,
}

impl Board {
    pub(crate) fn new() -> Arc<Board> {
        Arc::new(Board(Mutex::default()))
    }

    pub(crate) fn state(&self) -> String {
        self.0.lock().unwrap().state.clone()
    }

    /// Everything told about the lag so far.
    pub(crate) fn lags(&self) -> Vec<u64> {
        self.0.lock().unwrap().lags.clone()
    }

    pub(crate) fn poison(&self) -> Vec<String> {
        self.0.lock().unwrap().poison.clone()
    }

    /// Codes of all degraded states so far.
    pub(crate) fn trouble(&self) -> Vec<String> {
        self.0.lock().unwrap().trouble.clone()
    }
}

impl Health for Board {
    fn running(&self) {
        self.0.lock().unwrap().state = "running".to_owned();
    }

    fn alive(&self) {}

    fn degraded(&self, code: &str, message: &str, help: &str) {
        let mut shown = self.0.lock().unwrap();
        shown.state = format!("{code}: {message}; {help}");
        shown.trouble.push(code.to_owned());
    }

    fn lag(&self, records: u64) {
        self.0.lock().unwrap().lags.push(records);
    }

    fn behind(&self, seconds: u64) {
        self.0.lock().unwrap().behind = Some(seconds);
    }

    fn poison(&self, message: &str) {
        self.0.lock().unwrap().poison.push(message.to_owned());
    }

    fn reconciled(&self, found: Reconciled) {
        self.0.lock().unwrap().reconciled = Some(found);
    }
}

/// A Source of a kind, written as in a manifest.
pub(crate) fn source(kind: &str) -> manifest::Source {
    let text = format!("kind: Source\nmetadata: {{name: s}}\nspec: {{{kind}}}\n");
    let node = tidemill_dsl::yaml::parse(&text).unwrap();
    match manifest::parse(&node, &text, "default") {
        Ok(manifest::Manifest::Source(source)) => *source,
        other => panic!("{other:?}"),
    }
}

/// The time now.
pub(crate) fn now() -> Time {
    Time(jiff::Timestamp::now().as_millisecond())
}

/// A context that resumes from what `ingress` has stored.
pub(crate) fn context(ingress: &Arc<Recorder>, health: &Arc<Board>, name: &str) -> Context {
    Context {
        namespace: "default".into(),
        name: name.into(),
        ingress: ingress.clone(),
        positions: ingress.positions(),
        stop: CancellationToken::new(),
        health: health.clone(),
        clock: Arc::new(now),
        since: now(),
        rules: tokio::sync::watch::Sender::new(Rules::default()).subscribe(),
        reconcile: Duration::from_secs(1),
    }
}

/// Waits until a condition holds; panics after a minute.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "{what}: not within a minute");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
