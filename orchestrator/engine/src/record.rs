//! What leaves the engine for the store: facts of birth, transitions, summaries, timers, subscriptions.
//!
//! Owns the record types that the store persists without understanding their bodies. Decides nothing.

use std::sync::Arc;

use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::{ExecutionId, Namespace, Time, Visit};
use tidemill_dsl::value::Value;

/// An execution's phase, in the language's words (dsl.md section 2.3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Status {
    /// Accepted, not begun.
    Pending = 0,
    /// An outside call is open, a child is awaited, or a retry delay runs.
    Running = 1,
    /// Everything open is a wait or a listen.
    Waiting = 2,
    /// Held by an operator; wins over running and waiting.
    Suspended = 3,
    /// Ended by a cancel.
    Cancelled = 4,
    /// Ended by an error nobody caught; may be retried.
    Faulted = 5,
    /// Ended well.
    Completed = 6,
}

impl Status {
    /// All, in order.
    pub const ALL: [Status; 7] = [
        Status::Pending,
        Status::Running,
        Status::Waiting,
        Status::Suspended,
        Status::Cancelled,
        Status::Faulted,
        Status::Completed,
    ];

    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Running => "running",
            Status::Waiting => "waiting",
            Status::Suspended => "suspended",
            Status::Cancelled => "cancelled",
            Status::Faulted => "faulted",
            Status::Completed => "completed",
        }
    }

    /// The status of a word.
    pub fn of_word(word: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|s| s.word() == word)
    }

    /// The status of a stored byte.
    pub fn of_byte(byte: u8) -> Option<Status> {
        Status::ALL.get(usize::from(byte)).copied()
    }

    /// Cancelled, faulted or completed.
    pub fn ended(self) -> bool {
        matches!(self, Status::Cancelled | Status::Faulted | Status::Completed)
    }
}

/// What is fixed when an execution is created.
#[derive(Clone, Debug, PartialEq)]
pub struct Birth {
    /// Its identity.
    pub id: ExecutionId,
    /// Its namespace.
    pub namespace: Namespace,
    /// Workflow name.
    pub workflow: Arc<str>,
    /// Workflow version (semantic version).
    pub version: Arc<str>,
    /// Digest of the definition's text: pins the very revision (invariant 12).
    pub digest: [u8; 32],
    /// When it was created.
    pub created: Time,
    /// Raw input.
    pub input: Value,
    /// The delivery it stems from.
    pub cause: Option<Cause>,
    /// The execution and visit that run it as a child.
    pub parent: Option<Parent>,
    /// Searchable tags.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    /// Workflows whose emitted events led here one after another, oldest first: one per hop (limit `hop-count`).
    pub path: Vec<Arc<str>>,
}

/// The delivery an execution stems from: one event for one trigger.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    /// Trigger name.
    pub trigger: Arc<str>,
    /// The trigger's generation.
    pub generation: u64,
    /// Attempt of the delivery, from 1.
    pub attempt: u32,
    /// Binding of the event (a Source's name or "").
    pub binding: Arc<str>,
    /// The event's `source`.
    pub source: Arc<str>,
    /// The event's `id`.
    pub id: Arc<str>,
    /// Whether the trigger wants to be told of the end whatever it is (it has a buffer); otherwise it is told of a
    /// fault only.
    pub buffered: bool,
}

/// The execution and visit that run a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The parent.
    pub execution: ExecutionId,
    /// Its `run` task's visit.
    pub visit: Visit,
    /// Whether the parent awaits the end.
    pub awaited: bool,
}

/// One append to an execution's log: what one decision yielded. One row (D8).
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// The execution.
    pub execution: ExecutionId,
    /// Its namespace.
    pub namespace: Namespace,
    /// Sequence of the first public history entry in it, from 1.
    pub first: u64,
    /// Number of public entries (may be 0).
    pub count: u32,
    /// When it was decided.
    pub time: Time,
    /// Whether it holds a `workflow.*` entry.
    pub lifecycle: bool,
    /// Format byte and records (D9).
    pub body: Vec<u8>,
}

/// A change of an execution's summary; written at start, status change and end only.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The execution.
    pub execution: ExecutionId,
    /// Its status now.
    pub status: Status,
    /// When it began.
    pub started: Option<Time>,
    /// When it ended; none again after an accepted retry.
    pub ended: Option<Time>,
    /// Output or error, once ended.
    pub result: Option<Ended>,
}

/// How an execution ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// With this output.
    Completed(Value),
    /// With this error.
    Faulted(Fault),
    /// By a cancel.
    Cancelled,
}

/// What a timer is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum TimerKind {
    /// The end of a `wait`.
    Wait = 0,
    /// A task's timeout.
    Timeout = 1,
    /// The next attempt of a `try`.
    Retry = 2,
    /// `limit.attempt.duration` of a `try`.
    Attempt = 3,
    /// The workflow's timeout (visit 0).
    Workflow = 4,
}

impl TimerKind {
    /// The kind of a stored byte.
    pub fn of_byte(byte: u8) -> Option<TimerKind> {
        [TimerKind::Wait, TimerKind::Timeout, TimerKind::Retry, TimerKind::Attempt, TimerKind::Workflow]
            .get(usize::from(byte))
            .copied()
    }
}

/// A stored timer (promise 4). Ordered by instant first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Due {
    /// Not before this instant.
    pub at: Time,
    /// The execution.
    pub execution: ExecutionId,
    /// The visit.
    pub visit: Visit,
    /// What for.
    pub kind: TimerKind,
}

/// A change of the stored timers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DueChange {
    /// Store it.
    Set(Due),
    /// Remove it (fired or no longer wanted).
    Clear(Due),
}

/// A listen's cursor on the events (D10).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscription {
    /// The listening execution.
    pub execution: ExecutionId,
    /// Its namespace.
    pub namespace: Namespace,
    /// The listening visit.
    pub visit: Visit,
    /// The literal `type` the filter states, if any.
    pub kind: Option<Arc<str>>,
    /// Events at or before this instant are not seen: the execution's start.
    pub since: Time,
}

/// A change of the stored subscriptions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SubscriptionChange {
    /// Store it.
    Add(Subscription),
    /// Remove the one of this visit.
    Remove(ExecutionId, Visit),
}
