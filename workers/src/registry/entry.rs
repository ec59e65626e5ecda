//! One published version of a function: its rules and its counters.
//!
//! Owns timeout, schemas, admission and counting of one version. Knows nothing of names and aliases.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidemill_dsl::fault::Fault;
use tidemill_dsl::order::{Call, DEFAULT_CALL_TIMEOUT, MAX_OUTPUT, Order, Outcome};
use tidemill_dsl::schema::Schema;
use tidemill_dsl::value::Value;
use tokio_util::sync::CancellationToken;

use crate::Function;
use crate::admission::{Admission, Limits};
use crate::builtin::Builtin;
use crate::clock::{Clock, mark};
use crate::http::{Auth, HttpFunction, Outbound};
use crate::process::{InstanceStatus, OneShot, ProcessConfig, Resident};
use crate::secret::{SecretSource, Text};

/// What a function version is and which rules hold for it (manifests.md, Function).
pub struct FunctionSpec {
    /// What is called.
    pub kind: FunctionKind,
    /// Longest time of one call, waiting for admission and start included.
    pub timeout: Duration,
    /// Judges inputs.
    pub input: Option<Schema>,
    /// Judges outputs.
    pub output: Option<Schema>,
    /// Admission.
    pub limits: Limits,
}

impl FunctionSpec {
    /// A function of this kind with the default rules: 30 s, no schemas, no limits of its own.
    pub fn new(kind: FunctionKind) -> FunctionSpec {
        FunctionSpec {
            kind,
            timeout: DEFAULT_CALL_TIMEOUT,
            input: None,
            output: None,
            limits: Limits::default(),
        }
    }
}

/// What is called.
pub enum FunctionKind {
    /// `builtin`.
    Builtin(Builtin),
    /// `http`.
    Http(HttpSpec),
    /// `process` with `lifecycle: oneShot`.
    OneShot(ProcessConfig),
    /// `process` with `lifecycle: resident`.
    Resident(ProcessConfig),
    /// Something of the caller's own.
    Other(Arc<dyn Function>),
}

/// `http` of a function manifest.
#[derive(Debug, Clone)]
pub struct HttpSpec {
    /// Where it is.
    pub url: String,
    /// Method (default POST).
    pub method: String,
    /// Further header fields.
    pub headers: Vec<(String, Text)>,
    /// Credentials.
    pub auth: Option<Auth>,
}

/// Counters of one function version since it was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionStats {
    /// Namespace.
    pub namespace: String,
    /// Function name.
    pub name: String,
    /// Version number.
    pub version: u32,
    /// Calls that ended.
    pub calls: u64,
    /// Calls that ended with an error.
    pub failures: u64,
    /// Calls in flight.
    pub in_flight: u64,
    /// Time of all ended calls together.
    pub duration: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    begun: AtomicU64,
    ended: AtomicU64,
    failed: AtomicU64,
    micros: AtomicU64,
}

impl Counters {
    pub(super) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self, took: Duration, has_failed: bool) {
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.failed.fetch_add(u64::from(has_failed), Ordering::Relaxed);
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stats(&self, namespace: &str, name: &str, version: u32) -> FunctionStats {
        let calls = self.ended.load(Ordering::Relaxed);
        FunctionStats {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            version,
            calls,
            failures: self.failed.load(Ordering::Relaxed),
            in_flight: self.begun.load(Ordering::Relaxed).saturating_sub(calls),
            duration: Duration::from_micros(self.micros.load(Ordering::Relaxed)),
        }
    }
}

/// Counts a call also when its future is dropped.
struct Counting<'a> {
    counters: &'a Counters,
    begun: tokio::time::Instant,
    has_failed: bool,
}

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        self.counters.end(self.begun.elapsed(), self.has_failed);
    }
}

pub(super) struct Entry {
    target: Target,
    timeout: Duration,
    input: Option<Schema>,
    output: Option<Schema>,
    admission: Admission,
    pub(super) counters: Counters,
}

enum Target {
    Builtin(Builtin),
    Resident(Resident),
    Other(Arc<dyn Function>),
}

impl Entry {
    pub(super) fn new(
        namespace: &str,
        spec: FunctionSpec,
        outbound: Outbound,
        secrets: Arc<dyn SecretSource>,
        clock: Clock,
    ) -> Entry {
        let target = match spec.kind {
            FunctionKind::Builtin(builtin) => Target::Builtin(builtin),
            FunctionKind::Http(HttpSpec { url, method, headers, auth }) => {
                let function = HttpFunction::new(url, outbound, secrets);
                Target::Other(Arc::new(HttpFunction { method, headers, auth, ..function }))
            }
            FunctionKind::OneShot(config) => Target::Other(Arc::new(OneShot::new(config))),
            FunctionKind::Resident(config) => {
                Target::Resident(Resident::new(config, namespace.into(), clock))
            }
            FunctionKind::Other(function) => Target::Other(function),
        };
        Entry {
            target,
            timeout: spec.timeout,
            input: spec.input,
            output: spec.output,
            admission: Admission::new(spec.limits),
            counters: Counters::default(),
        }
    }

    /// The outcome, if none has to be waited for: a builtin without admission of its own, or an input that misses
    /// the schema.
    pub(super) fn at_once(&self, input: &Value) -> Option<Outcome> {
        if let Some(Err(fault)) = self.input.as_ref().map(|schema| schema.validate(input)) {
            return Some(Outcome::Failed(fault));
        }
        let Target::Builtin(builtin) = &self.target else {
            return None;
        };
        let outcome = self.judged(builtin.at_once(input)?);
        self.counters.begin();
        self.counters.end(Duration::ZERO, matches!(outcome, Outcome::Failed(_)));
        Some(outcome)
    }

    pub(super) async fn call(&self, mut order: Order, stop: CancellationToken, clock: &Clock) -> Outcome {
        self.counters.begin();
        let mut counting = Counting { counters: &self.counters, begun: mark(), has_failed: true };
        let (limit, whose) = match order.deadline.map(|deadline| clock.until(deadline)) {
            Some(left) if left < self.timeout => (left, "the deadline of the task"),
            _ => (self.timeout, "the timeout of the function"),
        };
        let task = order.task.clone();
        order.deadline =
            Some(order.deadline.unwrap_or_else(|| clock.now().plus(limit)).min(clock.now().plus(limit)));
        let outcome = tokio::time::timeout(limit, self.admitted(order, stop)).await.unwrap_or_else(|_| {
            let waited = limit.as_millis();
            Outcome::Failed(Fault::timeout(format!(
                "the call of {task} took longer than {waited} ms ({whose})"
            )))
        });
        counting.has_failed = matches!(outcome, Outcome::Failed(_));
        outcome
    }

    async fn admitted(&self, order: Order, stop: CancellationToken) -> Outcome {
        if let (Some(schema), Call::Function { input, .. }) = (&self.input, &order.what)
            && let Err(fault) = schema.validate(input)
        {
            return Outcome::Failed(fault);
        }
        let entered = tokio::select! {
            biased;
            () = stop.cancelled() => Err(Fault::runtime("the call was cut off")),
            entered = self.admission.enter() => entered,
        };
        let _permit = match entered {
            Ok(permit) => permit,
            Err(fault) => return Outcome::Failed(fault),
        };
        let outcome = match &self.target {
            Target::Builtin(builtin) => builtin.call(order, stop).await,
            Target::Resident(resident) => resident.call(order, stop).await,
            Target::Other(function) => function.call(order, stop).await,
        };
        self.judged(outcome)
    }

    /// An output is at most [`MAX_OUTPUT`] large and fits the schema.
    fn judged(&self, outcome: Outcome) -> Outcome {
        let Outcome::Done(value) = &outcome else {
            return outcome;
        };
        if value.size() > MAX_OUTPUT {
            let detail = format!("the output is larger than {MAX_OUTPUT} bytes (limit `task-output`)");
            return Outcome::Failed(Fault::runtime(detail));
        }
        match self.output.as_ref().map(|schema| schema.validate(value)) {
            Some(Err(fault)) => Outcome::Failed(fault),
            _ => outcome,
        }
    }

    pub(super) fn instances(&self) -> Vec<InstanceStatus> {
        match &self.target {
            Target::Resident(resident) => resident.instances(),
            Target::Builtin(_) | Target::Other(_) => Vec::new(),
        }
    }
}
