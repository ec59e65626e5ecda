//! The state of one visit.

use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::{Time, Visit};
use tidemill_dsl::program::TaskId;
use tidemill_dsl::value::Value;

use crate::history::Work;
use crate::record::Due;

/// The visit number of the workflow itself.
pub(crate) const ROOT: Visit = 0;

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
    pub(crate) fn size(&self) -> usize {
        let state = match &self.state {
            State::For { items, .. } => items.size(),
            State::Local(context) => context.size(),
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
