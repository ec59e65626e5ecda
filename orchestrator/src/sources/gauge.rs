//! How a source is: its state, its counters, what it found at its other end, and its gate.
//!
//! Written by the source's own task and by the routes that accept for it; read by the status.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidemill_connectors as connectors;
use tidemill_connectors::{Receipt, Reconciled};
use tidemill_dsl::ids::Time;
use tidemill_dsl::manifest::SourceLimits;
use tokio::sync::Notify;

use super::gate::Gate;
use super::recent::Recent;

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
    /// How old the last accepted event is while records wait behind it, seconds.
    pub lag_seconds: Option<u64>,
    /// Events accepted per second, over the last minute.
    pub rate: f64,
    /// Events accepted since the process began.
    pub accepted: u64,
    /// Duplicates since the process began.
    pub duplicates: u64,
    /// Errors since the process began.
    pub errors: u64,
    /// The last one.
    pub last_error: Option<Trouble>,
    /// Events that came though no enabled rule wants them, and calls without valid credentials, since the process began.
    pub refused: u64,
    /// What the last comparison of its entries with the rules found; none for kinds without entries.
    pub reconciled: Option<Reconciled>,
}

impl SourceStatus {
    /// One without a history.
    pub fn new(state: State, since: Time) -> SourceStatus {
        SourceStatus {
            state,
            since,
            last_event_at: None,
            lag: None,
            lag_seconds: None,
            rate: 0.0,
            accepted: 0,
            duplicates: 0,
            errors: 0,
            last_error: None,
            refused: 0,
            reconciled: None,
        }
    }
}

/// What has come since the process began: it outlives a run that is paused, sent elsewhere or changed.
struct Tally {
    recent: Recent,
    /// The `time` of the last accepted event.
    last: Option<Time>,
    last_event_at: Option<Time>,
    accepted: u64,
    duplicates: u64,
    errors: u64,
    refused: u64,
}

/// One source's counters and state, shared with its task.
pub struct Gauge {
    /// What lets its events in.
    pub gate: Gate,
    clock: crate::clock::Clock,
    status: Mutex<SourceStatus>,
    tally: Arc<Mutex<Tally>>,
    /// When it told something last, in milliseconds after `made`.
    heard: AtomicU64,
    made: Instant,
    /// It runs to clear up alone, and shows as paused.
    is_paused: bool,
    /// Told after each comparison.
    told: Arc<Notify>,
}

impl Gauge {
    pub(super) fn new(
        clock: crate::clock::Clock,
        state: State,
        (limits, told): (SourceLimits, Arc<Notify>),
    ) -> Gauge {
        let status = SourceStatus::new(state, clock());
        let gate = Gate::new(clock.clone(), limits);
        Gauge {
            gate,
            clock,
            status: Mutex::new(status),
            tally: Arc::new(Mutex::new(Tally {
                recent: Recent::new(),
                last: None,
                last_event_at: None,
                accepted: 0,
                duplicates: 0,
                errors: 0,
                refused: 0,
            })),
            heard: AtomicU64::new(0),
            made: crate::clock::tick(),
            is_paused: state == State::Paused,
            told,
        }
    }

    /// The same source after a former run: it counts on.
    pub(super) fn after(self, former: &Gauge) -> Gauge {
        Gauge { tally: former.tally.clone(), ..self }
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with(&self, change: impl FnOnce(&mut SourceStatus)) {
        self.heard.store(self.age(), Ordering::Relaxed);
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn turn(&self, state: State) {
        let ended = matches!(state, State::Stopped | State::Failed);
        let state = if self.is_paused && !ended { State::Paused } else { state };
        let now = (self.clock)();
        self.with(|s| {
            if s.state != state {
                s.state = state;
                s.since = now;
            }
        });
    }

    /// Notes a trouble; the state stays.
    pub fn trouble(&self, code: &str, message: &str, help: &str) {
        let at = (self.clock)();
        self.tally().errors += 1;
        self.with(|s| {
            s.last_error =
                Some(Trouble { at, code: code.into(), message: message.into(), help: help.into() });
        });
    }

    fn age(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// How long it has told nothing.
    pub(super) fn silent_for(&self) -> Duration {
        Duration::from_millis(self.age().saturating_sub(self.heard.load(Ordering::Relaxed)))
    }

    /// Everything it tells.
    pub fn status(&self) -> SourceStatus {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (now, tally) = ((self.clock)(), self.tally());
        let behind = |last: Time| u64::try_from((now.0 - last.0) / 1000).unwrap_or(0);
        let lag_seconds = match status.lag {
            Some(0) => Some(0),
            Some(_) => tally.last.map(behind),
            // Kinds that count no records tell it themselves.
            None => status.lag_seconds,
        };
        SourceStatus {
            lag_seconds,
            rate: tally.recent.per_second(now),
            last_event_at: tally.last_event_at,
            accepted: tally.accepted,
            duplicates: tally.duplicates,
            errors: tally.errors,
            refused: tally.refused,
            ..status
        }
    }

    /// Counts an event that no enabled rule wants, or a call that was turned away.
    pub fn refused(&self) {
        self.tally().refused += 1;
    }

    /// Its state now.
    pub fn state(&self) -> State {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).state
    }

    /// Counts accepted events; `last` is the `time` of the last one.
    pub fn counted(&self, receipt: &Receipt, last: Option<&str>) {
        let now = (self.clock)();
        self.heard.store(self.age(), Ordering::Relaxed);
        let mut tally = self.tally();
        tally.recent.add(now, receipt.accepted as u64);
        tally.last = last.and_then(Time::parse).or(tally.last);
        tally.accepted += receipt.accepted as u64;
        tally.duplicates += receipt.duplicates as u64;
        if receipt.accepted > 0 {
            tally.last_event_at = Some(now);
        }
    }
}

impl connectors::Health for Gauge {
    fn running(&self) {
        self.turn(State::Running);
    }

    fn alive(&self) {
        self.heard.store(self.age(), Ordering::Relaxed);
    }

    fn degraded(&self, code: &str, message: &str, help: &str) {
        self.turn(State::Degraded);
        self.trouble(code, message, help);
    }

    fn lag(&self, records: u64) {
        self.with(|s| s.lag = Some(records));
    }

    fn behind(&self, seconds: u64) {
        self.with(|s| s.lag_seconds = Some(seconds));
    }

    fn poison(&self, message: &str) {
        self.trouble("poison-record", message, "the record was set aside; the others go on");
    }

    fn reconciled(&self, found: Reconciled) {
        self.with(|s| s.reconciled = Some(found));
        self.told.notify_waiters();
    }
}
