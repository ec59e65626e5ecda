//! One source under supervision: run after run, with back-off and jitter in between, until it is stopped.
//!
//! Owns when a run ends: by itself, by a change of what it was made with, or without a sign of life. Knows no protocol.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use tidemill_connectors as connectors;
use tidemill_connectors::{Context, Rules, SourceError};
use tidemill_dsl::ids::Time;
use tidemill_dsl::manifest;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::door::Door;
use super::used::{self, Used};
use super::{Gauge, Key, Sources, State};
use crate::deliveries::blocking;
use crate::rooms::Rooms;

/// First and longest delay before a failed source is started again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_mins(1));
/// A source under supervision.
pub(super) struct Supervised {
    pub(super) rooms: Arc<Rooms>,
    pub(super) sources: Arc<Sources>,
    pub(super) key: Key,
    pub(super) spec: manifest::Source,
    pub(super) since: Time,
    pub(super) stop: CancellationToken,
    pub(super) gauge: Arc<Gauge>,
    pub(super) rules: watch::Receiver<Rules>,
    /// How long it waits before its first run.
    pub(super) spread: Duration,
}

/// How a run ended that did not fail.
enum End {
    /// It was stopped, or has nothing more to do.
    Stopped,
    /// What it was made with has changed.
    Changed,
}

impl Supervised {
    /// Runs it until it is stopped.
    pub(super) async fn run(self) {
        let mut failures = 0;
        self.pause(self.spread).await;
        while !self.stop.is_cancelled() {
            let began = crate::clock::tick();
            let (built, used) = used::build(&self.rooms, &self.key.0, &self.spec);
            let ended = match built {
                Ok(Some(source)) => self.once(source, &used).await,
                // A kind without a run of its own (a route).
                Ok(None) => {
                    self.gauge.turn(State::Running);
                    self.stop.cancelled().await;
                    break;
                }
                Err(error) => Err(error),
            };
            if self.stop.is_cancelled() {
                break;
            }
            failures = match &ended {
                Ok(End::Stopped) => 0,
                Ok(End::Changed) => {
                    self.gauge.turn(State::Starting);
                    0
                }
                Err(error) if self.failed(error) => {
                    self.until_changed(&used, None).await;
                    continue;
                }
                Err(_) if began.elapsed() > BACK_OFF.1 => 1,
                Err(_) => failures + 1,
            };
            self.sources.restarts.fetch_add(1, Ordering::Relaxed);
            let delay = BACK_OFF.0.saturating_mul(1 << failures.min(7)).min(BACK_OFF.1);
            self.until_changed(&used, Some(delay.mul_f64(0.5 + crate::ids::fraction() / 2.0))).await;
        }
        self.gauge.turn(State::Stopped);
    }

    /// Tells an error; whether it is for good, so far as the source itself goes.
    fn failed(&self, error: &SourceError) -> bool {
        self.gauge.trouble(&error.code, &error.message, &error.help);
        tracing::warn!(source = %self.key.1, code = %error.code, message = %error.message, "a source failed");
        self.gauge.turn(if error.permanent { State::Failed } else { State::Degraded });
        error.permanent
    }

    async fn pause(&self, time: Duration) {
        let _ = tokio::time::timeout(time, self.stop.cancelled()).await;
    }

    /// Waits for a time, or until what the run is made with has changed, or a stop.
    async fn until_changed(&self, used: &Used, time: Option<Duration>) {
        let passed = async {
            match time {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = used.changes(&self.rooms, &self.key.0) => {}
            () = passed => {}
        }
    }

    /// One run, until it ends, is to be made anew, or gives no sign of life.
    async fn once(&self, source: Box<dyn connectors::Source>, used: &Used) -> Result<End, SourceError> {
        let stop = self.stop.child_token();
        let context = self.context(stop.clone()).await?;
        let silence = source.silence();
        let mut run = std::pin::pin!(heard(unharmed(source.run(context)), &self.gauge, silence));
        tokio::select! {
            biased;
            ended = &mut run => ended.map(|()| End::Stopped),
            () = used.changes(&self.rooms, &self.key.0) => {
                stop.cancel();
                run.await.map(|()| End::Changed)
            }
        }
    }

    async fn context(&self, stop: CancellationToken) -> Result<Context, SourceError> {
        let (namespace, name) = self.key.clone();
        let store = self.rooms.store.clone();
        let (n, s) = (namespace.clone(), name.clone());
        let saved = blocking(move || store.checkpoints(&n, &s)).await.map_err(|e| SourceError {
            code: "store".into(),
            message: e.to_string(),
            help: "see the service's log".into(),
            permanent: false,
        })?;
        Ok(Context {
            namespace,
            name,
            ingress: Arc::new(Door {
                rooms: self.rooms.clone(),
                sources: self.sources.clone(),
                gauge: self.gauge.clone(),
            }),
            positions: saved.into_iter().map(|c| (c.partition, c.value)).collect(),
            stop,
            health: self.gauge.clone(),
            clock: self.rooms.clock.clone(),
            since: self.since,
            rules: self.rules.clone(),
            reconcile: self.rooms.reconcile,
        })
    }
}

/// A run that may fall over: a panic in it is an error as others are, and it is started again.
async fn unharmed(run: impl Future<Output = Result<(), SourceError>>) -> Result<(), SourceError> {
    AssertUnwindSafe(run).catch_unwind().await.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(SourceError {
            code: "source-panicked".into(),
            message: format!("it fell over by a fault of its own: {text}"),
            help: "it is started again by itself; please report what stands in the service's log".into(),
            permanent: false,
        })
    })
}

/// A run, given up when it has told nothing for longer than it may.
async fn heard(
    run: impl Future<Output = Result<(), SourceError>>,
    gauge: &Gauge,
    silence: Option<Duration>,
) -> Result<(), SourceError> {
    let Some(most) = silence else {
        return run.await;
    };
    connectors::Health::alive(gauge);
    let silent = async {
        while gauge.silent_for() < most {
            tokio::time::sleep(most / 8).await;
        }
    };
    tokio::select! {
        biased;
        ended = run => ended,
        () = silent => Err(SourceError {
            code: "source-silent".into(),
            message: format!("it gave no sign of life for {} s", most.as_secs()),
            help: "it is started again by itself; see the log of its other end if that happens often".into(),
            permanent: false,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_run_that_falls_over_is_an_error() {
        let check = async |run: fn() -> Result<(), SourceError>, expected: Option<&str>| {
            let error = unharmed(async move { run() }).await.err();
            let told = error.map(|error| (error.code.to_string(), error.message, error.permanent));
            let message = |text: &str| format!("it fell over by a fault of its own: {text}");
            assert_eq!(told, expected.map(|text| ("source-panicked".into(), message(text), false)));
        };
        check(|| panic!("no number {}", 7), Some("no number 7")).await;
        check(|| panic!("no number"), Some("no number")).await;
        check(|| Ok(()), None).await;
    }

    #[tokio::test]
    async fn a_run_without_a_sign_of_life_is_given_up() {
        let gauge = Gauge::new(
            crate::clock::system(),
            State::Starting,
            (manifest::SourceLimits::default(), Arc::default()),
        );
        let most = Duration::from_millis(80);
        let error = heard(std::future::pending(), &gauge, Some(most)).await.unwrap_err();
        assert_eq!((&*error.code, error.permanent), ("source-silent", false));
        assert!(gauge.silent_for() >= most);
        let telling = async {
            let mut each = tokio::time::interval(most / 10);
            for _ in 0..30 {
                each.tick().await;
                connectors::Health::alive(&gauge);
            }
            Ok(())
        };
        heard(telling, &gauge, Some(most)).await.unwrap();
    }
}
