//! Records: the facts one decision yields, and how many public history entries each stands for (D9).
//!
//! Owns the record type. A record says what happened, never what is to be done; values that follow from earlier
//! records are not repeated in it. A task is named by its index in the program, which the execution's digest pins:
//! the order in which the compiler numbers tasks is part of the stored format (D13).

use std::sync::Arc;

use tidemill_dsl::event::Event;
use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::{Time, Visit};
use tidemill_dsl::program::{Next, ResourceKind, TaskId};
use tidemill_dsl::value::Value;

use crate::frame::is_inner;
use crate::record::{Birth, Ended, TimerKind};

/// A fact about an execution.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// The execution exists. Always the very first record.
    Created(Arc<Birth>),
    /// `workflow.started`.
    Started {
        /// The transformed input; none: the raw one.
        input: Option<Value>,
        /// The workflow's deadline.
        deadline: Option<Time>,
        /// Whether the input could not be taken: a fault follows.
        failed: bool,
    },
    /// The workflow's input was taken after its start: by a retry, or once its schemas were fetched.
    Taken {
        /// The transformed input.
        input: Value,
        /// The workflow's deadline, if it begins now.
        deadline: Option<Time>,
    },
    /// `task.created` of the next visit, which fetches what its task needs from elsewhere.
    Fetching {
        /// The task.
        task: TaskId,
        /// The visit it runs in; 0: the workflow.
        parent: Visit,
        /// Its raw input if it is not the data that flows in the parent.
        raw: Option<Value>,
    },
    /// One more resource is asked for.
    Asked {
        /// The visit that needs it; 0: the workflow.
        visit: Visit,
    },
    /// A resource was fetched, and is kept for the whole execution.
    Fetched(Resource),
    /// `task.started` of a visit that has fetched what it needs.
    Took {
        /// The visit.
        visit: Visit,
        /// Its transformed input; none: the raw one.
        input: Option<Value>,
        /// Its deadline.
        deadline: Option<Time>,
    },
    /// The next list of an extension begins around an open task.
    Around {
        /// The visit of the extended task.
        visit: Visit,
        /// How many of its extensions have had their turn, this one included.
        turn: u32,
    },
    /// An extended task has done its work; its `after` lists follow.
    Held {
        /// The visit.
        visit: Visit,
        /// Its raw output; none: the transformed one.
        raw: Option<Value>,
        /// Its transformed output.
        output: Output,
        /// The new context.
        export: Option<Export>,
        /// Where the flow goes after it.
        next: Next,
    },
    /// `task.created` and `task.started` of the next visit.
    Entered {
        /// The task.
        task: TaskId,
        /// The visit it runs in; 0: the workflow.
        parent: Visit,
        /// Its raw input if it is not the data that flows in the parent.
        raw: Option<Value>,
        /// Its transformed input; none: the raw one.
        input: Option<Value>,
        /// Its deadline.
        deadline: Option<Time>,
        /// What its body waits for.
        begin: Begin,
    },
    /// `task.created`, `task.started` and `task.completed` of the next visit, in one.
    Step {
        /// The task.
        task: TaskId,
        /// The visit it runs in; 0: the workflow.
        parent: Visit,
        /// Its raw input if it is not the data that flows in the parent.
        raw: Option<Value>,
        /// Its transformed input; none: the raw one.
        input: Option<Value>,
        /// Its transformed output: the input or inline.
        output: Output,
        /// The new context.
        export: Option<Export>,
    },
    /// The body of an entered task has begun.
    Began {
        /// The visit.
        visit: Visit,
        /// What its body waits for.
        begin: Begin,
    },
    /// `task.completed`.
    Ended {
        /// The visit.
        visit: Visit,
        /// Its transformed output.
        output: Output,
        /// The new context.
        export: Option<Export>,
    },
    /// `task.faulted`.
    Faulted {
        /// The visit.
        visit: Visit,
        /// The error.
        fault: Fault,
        /// Whether the fault is the task's own and not one of a task within it.
        own: bool,
    },
    /// `task.cancelled`.
    Cancelled {
        /// The visit.
        visit: Visit,
        /// What was left to do in its list.
        rest: Option<Work>,
    },
    /// The next item of a `for`.
    Iterated {
        /// The visit of the `for`.
        visit: Visit,
    },
    /// A branch of a fork was skipped.
    Passed {
        /// The visit of the fork.
        visit: Visit,
        /// The branch.
        task: TaskId,
    },
    /// The branches of a fork have come together: outputs and contexts.
    Joined {
        /// The visit of the fork.
        visit: Visit,
    },
    /// A `try` waits before its next attempt.
    Delayed {
        /// The visit of the `try`.
        visit: Visit,
        /// Until then.
        until: Time,
    },
    /// `task.retried`: the next attempt of a `try` begins.
    Retried {
        /// The visit of the `try`.
        visit: Visit,
        /// The attempt's deadline.
        limit: Option<Time>,
    },
    /// A `try` has caught an error and runs `catch.do`.
    Handling {
        /// The visit of the `try`.
        visit: Visit,
        /// The error.
        fault: Fault,
    },
    /// The alias that a call names stood for this version of its function; told with the call's end.
    Chosen {
        /// The visit.
        visit: Visit,
        /// The version.
        version: u32,
    },
    /// A listen has consumed an event.
    Heard {
        /// The visit.
        visit: Visit,
        /// The event's position.
        pos: u64,
    },
    /// The partner of a call will answer later, by a callback.
    Promised {
        /// The visit.
        visit: Visit,
    },
    /// A signal has arrived: an event for the listens of this execution alone.
    Signalled(Arc<Event>),
    /// A listen has taken a signal.
    Heeded {
        /// The visit.
        visit: Visit,
        /// Which of the waiting signals, from 0.
        at: u32,
    },
    /// The data that flows in a visit was replaced.
    Patched {
        /// The visit; 0: the workflow.
        visit: Visit,
        /// The data.
        flow: Value,
    },
    /// The decision has yielded; this is left to do.
    Yielded(Vec<Work>),
    /// What was left to do is taken up.
    Continued,
    /// Something arrived while suspended and is kept for the resume.
    Kept {
        /// The visit it is for; 0: the workflow.
        visit: Visit,
        /// What.
        what: Kept,
    },
    /// What was kept has been used.
    Settled,
    /// `task.suspended` of the waiting tasks, then `workflow.suspended`.
    Suspended {
        /// The waiting visits.
        waiting: Vec<Visit>,
        /// Why.
        reason: Option<Arc<str>>,
    },
    /// `workflow.resumed`, then `task.resumed` of the waiting tasks.
    Resumed {
        /// The waiting visits.
        waiting: Vec<Visit>,
        /// Why.
        reason: Option<Arc<str>>,
    },
    /// `workflow.retried`.
    Reopened {
        /// The workflow's new deadline.
        deadline: Option<Time>,
        /// Why.
        reason: Option<Arc<str>>,
    },
    /// `task.created` and `task.started` of the next visit, which takes over a closed one's place and state.
    Revived {
        /// The closed visit.
        visit: Visit,
        /// The visit it runs in.
        parent: Visit,
        /// Its deadline.
        deadline: Option<Time>,
        /// The deadline of its attempt (`try`).
        limit: Option<Time>,
    },
    /// Closed visits are no longer needed.
    Cleared,
    /// `workflow.completed`.
    Completed {
        /// The output: of the workflow's input, of its flowing data, or inline.
        output: Output,
    },
    /// `workflow.faulted`.
    WorkflowFaulted {
        /// The error.
        fault: Fault,
        /// What was left to do in the top list.
        rest: Option<Work>,
    },
    /// `workflow.cancelled`.
    WorkflowCancelled {
        /// Why.
        reason: Option<Arc<str>>,
        /// What was left to do in the top list.
        rest: Option<Work>,
    },
}

/// A transformed output, not repeated where it passes through.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// The transformed input.
    Input,
    /// The data that flows in the visit: the last output within it.
    Flow,
    /// What was held while the `after` lists ran.
    Held,
    /// This.
    Inline(Value),
}

/// A resource as it was fetched.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// What it is read as.
    pub kind: ResourceKind,
    /// Where it was fetched from.
    pub uri: Arc<str>,
    /// Its text.
    pub text: Arc<str>,
}

/// A new context.
#[derive(Clone, Debug, PartialEq)]
pub enum Export {
    /// The transformed output.
    Output,
    /// This.
    Inline(Value),
}

/// What an entered task's body waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum Begin {
    /// Its turn (a branch of a fork).
    Ready,
    /// Tasks within it, or nothing.
    Plain,
    /// The outcome of an outside call.
    Call,
    /// An instant.
    Wait(Time),
    /// An event.
    Listen,
    /// A child execution.
    Child,
    /// The body of a local function, with its raw input (none: the caller's transformed input).
    Local(Option<Value>),
    /// The iterations over these items.
    For(Value),
    /// Its branches.
    Fork,
    /// Its first attempt, which has this deadline.
    Try(Option<Time>),
    /// The `before` lists of these extensions.
    Extended(Vec<u32>),
}

/// Something left to do when a decision yields.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// Enter a task in a visit, with this raw input if it is not what flows there.
    Enter {
        /// The task.
        task: TaskId,
        /// The visit; 0: the workflow.
        parent: Visit,
        /// The raw input.
        raw: Option<Value>,
    },
    /// Begin the body of an entered branch.
    Run(Visit),
    /// The list within this visit is complete.
    Done(Visit),
}

impl Work {
    /// The visit it belongs to.
    pub(crate) fn visit(&self) -> Visit {
        match self {
            Work::Enter { parent, .. } => *parent,
            Work::Run(visit) | Work::Done(visit) => *visit,
        }
    }
}

/// Something that arrived while suspended.
#[derive(Clone, Debug, PartialEq)]
pub enum Kept {
    /// A call's outcome.
    Outcome(Result<Value, Fault>),
    /// A timer of this kind and instant.
    Timer(TimerKind, Time),
    /// A consumed event, as the listen reads it, and its position.
    Event(Value, u64),
    /// A child's end.
    Child(Ended),
}

impl Record {
    /// How many public history entries it stands for.
    pub fn entries(&self) -> u64 {
        match self {
            // What a fetched function does is no part of the public history.
            Record::Entered { task, .. } | Record::Step { task, .. } | Record::Fetching { task, .. }
                if task.is_linked() =>
            {
                0
            }
            Record::Revived { visit, .. }
            | Record::Took { visit, .. }
            | Record::Ended { visit, .. }
            | Record::Faulted { visit, .. }
            | Record::Cancelled { visit, .. }
            | Record::Retried { visit, .. }
                if is_inner(*visit) =>
            {
                0
            }
            Record::Entered { .. } | Record::Revived { .. } => 2,
            Record::Step { .. } => 3,
            Record::Suspended { waiting, .. } | Record::Resumed { waiting, .. } => waiting.len() as u64 + 1,
            Record::Started { .. }
            | Record::Fetching { .. }
            | Record::Took { .. }
            | Record::Ended { .. }
            | Record::Faulted { .. }
            | Record::Cancelled { .. }
            | Record::Retried { .. }
            | Record::Reopened { .. }
            | Record::Completed { .. }
            | Record::WorkflowFaulted { .. }
            | Record::WorkflowCancelled { .. } => 1,
            _ => 0,
        }
    }

    /// Whether it stands for a `workflow.*` entry.
    pub fn is_lifecycle(&self) -> bool {
        matches!(
            self,
            Record::Started { .. }
                | Record::Suspended { .. }
                | Record::Resumed { .. }
                | Record::Reopened { .. }
                | Record::Completed { .. }
                | Record::WorkflowFaulted { .. }
                | Record::WorkflowCancelled { .. }
        )
    }
}
