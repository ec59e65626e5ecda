//! The state of one visit.

use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::{Time, Visit};
use tidemill_dsl::program::{Next, TaskId};
use tidemill_dsl::value::Value;

use crate::history::{Output, Work};
use crate::record::Due;

/// The visit number of the workflow itself.
pub(crate) const ROOT: Visit = 0;

/// Set in the number of a visit within a fetched function, whose visits are no part of the public history.
const INNER: Visit = 1 << 31;

/// Whether a visit is within a fetched function.
pub(crate) fn is_inner(visit: Visit) -> bool {
    visit & INNER != 0
}

/// The number that the visit counted as `count` has for this task.
pub(crate) fn numbered(count: Visit, task: TaskId) -> Visit {
    if task.is_linked() { count | INNER } else { count }
}

/// One visit of a task.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    pub visit: Visit,
    pub task: TaskId,
    pub parent: Visit,
    /// Which of its parent's children it is, from 1, counted anew in each attempt.
    pub ordinal: u32,
    /// Children entered in this attempt.
    pub entered: u32,
    pub attempt: u32,
    pub raw: Value,
    pub input: Value,
    /// The data that flows within it.
    pub flow: Value,
    /// A branch's own copy of the context.
    pub context: Option<Value>,
    /// Whether that copy was replaced by an export.
    pub exported: bool,
    pub started: Time,
    pub deadline: Option<Time>,
    pub closed: Option<Closed>,
    /// What was left to do in its list when it was closed.
    pub rest: Option<Work>,
    /// The extensions that apply to it.
    pub extensions: Vec<u32>,
    pub state: State,
}

/// How a visit that is kept for a retry was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    Faulted,
    Cancelled,
}

/// What a visit waits for, by kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    Ready,
    Plain,
    Call,
    /// A call whose partner answers later.
    Callback,
    Wait(Time),
    Listen,
    Child,
    /// With the context that the function's body sees.
    Local(Value),
    For {
        items: Value,
        /// Iterations begun.
        begun: usize,
    },
    Fork(Vec<Slot>),
    Try(Attempts),
    /// Fetches what it needs: the number of the request.
    Fetch(u32),
    /// The `before` lists run: how many extensions have had their turn.
    Before(u32),
    /// The `after` lists run.
    After(Box<Held>),
}

/// What an extended task has given, while its `after` lists run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Held {
    /// How many extensions have had their turn.
    pub turn: u32,
    pub raw: Value,
    pub output: Value,
    pub next: Next,
}

/// What has become of a branch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Slot {
    Open,
    Skipped,
    Failed(Fault),
    /// Output, and the context if the branch exported one.
    Done(Value, Option<Value>),
}

/// The progress of a `try`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Attempts {
    pub phase: Phase,
    /// From 1.
    pub number: u32,
    /// This attempt's deadline.
    pub limit: Option<Time>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Phase {
    Body,
    Delay(Time),
    Handler(Fault),
}

/// At most two timers of one visit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Timers(pub [Option<Due>; 2]);

impl Timers {
    pub(crate) fn push(&mut self, due: Due) {
        if let Some(slot) = self.0.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some(due);
        }
    }

    pub(crate) fn contains(&self, due: &Due) -> bool {
        self.0.iter().flatten().any(|other| other == due)
    }
}

impl Frame {
    /// An output that stands in the frame.
    pub(crate) fn output(&self, output: &Output) -> Option<&Value> {
        match (output, &self.state) {
            (Output::Input, _) => Some(&self.input),
            (Output::Flow, _) => Some(&self.flow),
            (Output::Held, State::After(held)) => Some(&held.output),
            _ => None,
        }
    }

    pub(crate) fn size(&self) -> usize {
        let state = match &self.state {
            State::For { items, .. } => items.size(),
            State::Local(context) => context.size(),
            State::After(held) => held.raw.size() + held.output.size(),
            State::Fork(slots) => slots
                .iter()
                .map(|slot| {
                    size_of::<Slot>() + if let Slot::Done(value, _) = slot { value.size() } else { 0 }
                })
                .sum(),
            _ => 0,
        };
        size_of::<Frame>() + self.input.size() + self.flow.size() + state
    }
}
