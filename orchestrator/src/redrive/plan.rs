//! What a batch is: its plan, its record, its steps.
//!
//! Owns the types that are stored and how outcomes are counted. Touches nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidemill_dsl::ids::{ExecutionId, Namespace, Time};
use tidemill_engine::record::Status;

/// Steps taken at once.
const WIDTH: usize = 64;
/// Errors kept as examples.
const EXAMPLES: usize = 20;

/// What a batch does to each thing it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Puts dead letters back.
    Redrive,
    /// Cancels executions.
    Cancel,
    /// Retries executions.
    Retry,
    /// Delivers stored events to one trigger once more.
    Replay,
}

impl Action {
    /// The word of the API.
    pub fn word(self) -> &'static str {
        match self {
            Action::Redrive => "redrive",
            Action::Cancel => "cancel",
            Action::Retry => "retry",
            Action::Replay => "replay",
        }
    }
}

/// Which things a batch matches: all given conditions hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Dead letters by id.
    pub ids: Option<BTreeSet<u64>>,
    /// Executions by id.
    pub executions: Option<BTreeSet<ExecutionId>>,
    /// Trigger name.
    pub trigger: Option<Arc<str>>,
    /// Events of this type.
    pub kind: Option<Arc<str>>,
    /// Dead letters of this cause.
    pub cause: Option<Arc<str>>,
    /// Executions of this workflow.
    pub workflow: Option<Arc<str>>,
    /// Executions in one of these states; empty: all that the action can touch.
    pub status: Vec<Status>,
    /// Executions with these tags.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    /// At or after.
    pub since: Option<Time>,
    /// Before.
    pub until: Option<Time>,
}

/// A batch as asked for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Namespace.
    pub namespace: Namespace,
    /// What to do.
    pub action: Action,
    /// To which things.
    pub filter: Filter,
    /// Steps per second, at most.
    pub rate: Option<f64>,
    /// Steps in all, at most.
    pub limit: Option<u64>,
    /// Why, as an operator has said; it stands in the history of each execution.
    pub reason: Option<Arc<str>>,
    /// Redrive: an expression `${ ... }` over each letter's event that gives the event that is delivered instead.
    pub edit: Option<Arc<str>>,
}

/// What a plan would touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// Steps it would take.
    pub matched: u64,
    /// Executions that its filter names, by status, whether the action can touch them or not.
    pub states: BTreeMap<&'static str, u64>,
}

/// State of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// It works.
    Running,
    /// Held by an operator.
    Paused,
    /// Done.
    Completed,
    /// Ended by an operator.
    Cancelled,
}

impl State {
    /// The word of the API.
    pub fn word(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Paused => "paused",
            State::Completed => "completed",
            State::Cancelled => "cancelled",
        }
    }

    pub(super) fn ended(self) -> bool {
        matches!(self, State::Completed | State::Cancelled)
    }
}

/// A batch with what it has done, as stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Its id.
    pub id: Arc<str>,
    /// Namespace.
    pub namespace: Namespace,
    /// What it does.
    pub action: Action,
    /// State.
    pub state: State,
    /// Steps per second, at most.
    pub rate: Option<f64>,
    /// Why, as an operator has said.
    #[serde(default)]
    pub reason: Option<Arc<str>>,
    /// Redrive: what is made of each letter's event.
    #[serde(default)]
    pub edit: Option<Arc<str>>,
    /// What it touches, in order: decided when it was made.
    #[serde(skip)]
    pub(super) steps: Arc<Vec<Step>>,
    /// How many of them are dealt with.
    pub next: usize,
    /// Done.
    pub done: u64,
    /// Found nothing to do.
    pub skipped: u64,
    /// Failed.
    pub failed: u64,
    /// Some of the failures.
    pub errors: Vec<Failure>,
    /// Made, in milliseconds.
    pub created: i64,
    /// Ended, in milliseconds.
    pub ended: Option<i64>,
}

impl Record {
    /// Steps in all.
    pub fn total(&self) -> usize {
        self.steps.len()
    }

    /// The reason that stands in the history of what it has touched; no other batch has it.
    pub(super) fn mark(&self) -> Arc<str> {
        match &self.reason {
            Some(reason) => format!("batch {}: {reason}", self.id).into(),
            None => format!("batch {}", self.id).into(),
        }
    }
}

/// One thing to touch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Step {
    Letter(u64),
    Execution(String),
    Event(Box<EventKey>),
}

/// A stored event, and the trigger it is delivered to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct EventKey {
    pub(super) trigger: Arc<str>,
    pub(super) binding: Arc<str>,
    pub(super) source: Arc<str>,
    pub(super) id: Arc<str>,
}

/// A step that failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// What it was about.
    pub id: String,
    /// Why.
    pub detail: String,
}

pub(super) enum Outcome {
    Done,
    Skipped,
    Failed(Failure),
}

impl Record {
    pub(super) fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Done => self.done += 1,
            Outcome::Skipped => self.skipped += 1,
            Outcome::Failed(failure) => {
                self.failed += 1;
                if self.errors.len() < EXAMPLES {
                    self.errors.push(failure);
                }
            }
        }
    }
}

/// The next steps to take at once; fewer when the rate is low, so that the pace is even.
pub(super) fn chunk(record: &Record) -> Vec<Step> {
    let width = record.rate.map_or(WIDTH, |rate| ((rate / 10.0) as usize).clamp(1, WIDTH));
    record.steps.iter().skip(record.next).take(width).cloned().collect()
}
