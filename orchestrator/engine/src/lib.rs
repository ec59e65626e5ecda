//! The engine: decide / apply / effects over one execution. A pure crate.
//!
//! # Contract
//! - [`decide`] takes an execution, one [`Input`] and the time, and yields records; every record is folded into the
//!   execution by `apply` as it is yielded, so the state after a decision *is* the fold of its history (invariant 4).
//! - A stale or repeated input yields nothing (invariant 5). A task's identity is its visit number: counted, never
//!   drawn (invariant 6). Jitter, ids of emitted events and ids of children are hashes of (execution, visit, attempt).
//! - The first transition of an execution carries its [`Birth`], whether it was made by [`created`] (a trigger's start,
//!   begun later) or by the first decision (an API start, begun at once).
//! - Tasks that need nothing outside run on inside one decision up to the next point where something outside must
//!   answer; a decision yields after [`MAX_VISITS`] visits or [`MAX_BYTES`] of records ([`Decision::more`]); the driver
//!   commits and feeds [`Input::Continue`] (D6).
//! - Effects leave the process only after the decision's batch is durable. After a restart [`resume`] gives the effects
//!   of everything open again, with the same identities.
//! - What a call sends is evaluated by [`prepare`] when the call is handed out, with the secrets of the namespace; its
//!   failure is the call's outcome. Secrets never enter the execution.
//! - No IO, no clock, no randomness, no hash-ordered iteration (invariant 1).

use std::sync::Arc;

use tidemill_dsl::event::{Event, StoredEvent};
use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::{ExecutionId, Namespace, Time, Visit};
use tidemill_dsl::order::Outcome;
use tidemill_dsl::program::Program;
use tidemill_dsl::value::Value;

mod account;
mod answer;
mod apply;
mod begin;
mod codec;
mod control;
mod decode;
mod encode;
mod ending;
pub mod entry;
mod execution;
mod fetch;
mod frame;
pub mod history;
pub mod invariants;
pub mod limits;
mod machine;
mod output;
mod prepare;
pub mod record;
mod redrive;
mod resume;
mod retry;
mod scope;
mod secrets;
mod signal;
mod snapshot;
mod step;
mod timeout;
mod transition;
mod tree;

pub use codec::DecodeError;
pub use decode::{birth_of, decode};
pub use execution::{Awaited, Execution, OpenCall, WaitingFor};
pub use limits::{MAX_BYTES, MAX_HOPS, MAX_VISITS};
pub use prepare::{callee, prepare};
pub use record::{Birth, Due, DueChange, Ended, Status, SubscriptionChange, Summary, Transition};
pub use resume::{Resumption, resume};
pub use transition::{created, fold, summary, transition};

use crate::history::Record;
use crate::machine::Machine;

/// Something that has happened or is asked for.
#[derive(Clone, Debug)]
pub enum Input {
    /// Begin a pending execution.
    Begin,
    /// The outcome of an outside call.
    Outcome {
        /// Its visit.
        visit: Visit,
        /// Its attempt, as [`Effect::Call`] gave it.
        attempt: u32,
        /// The answer.
        outcome: Outcome,
    },
    /// The alias that an open call names stands for this version of its function.
    Chosen {
        /// The visit of the call.
        visit: Visit,
        /// The version.
        version: u32,
    },
    /// A stored timer has come due.
    Timer(Due),
    /// An event for a listening visit.
    Event {
        /// The visit.
        visit: Visit,
        /// The event.
        event: Arc<StoredEvent>,
    },
    /// An event for the listens of this execution alone. A repeat (the same source and id) is stale.
    Signal(Arc<Event>),
    /// The answer of a partner who said that it comes later.
    Callback {
        /// The visit.
        visit: Visit,
        /// The raw output, or the error.
        answer: Result<Value, Fault>,
    },
    /// A child execution has ended, or could not be started.
    ChildEnded {
        /// The visit that runs it.
        visit: Visit,
        /// The child.
        child: ExecutionId,
        /// How.
        ended: Ended,
    },
    /// An operator ends the execution.
    Cancel {
        /// Why.
        reason: Option<Arc<str>>,
    },
    /// An operator holds it.
    Suspend {
        /// Why.
        reason: Option<Arc<str>>,
    },
    /// An operator lets it go on.
    Resume {
        /// Why.
        reason: Option<Arc<str>>,
    },
    /// An operator lets a faulted or cancelled execution go on from where it failed.
    Retry {
        /// Replaces the raw input of the task it begins with.
        input: Option<Value>,
        /// Reference of the task to begin with; none: whatever failed or was cancelled.
        from: Option<Arc<str>>,
        /// Why.
        reason: Option<Arc<str>>,
    },
    /// Go on after a decision that yielded.
    Continue,
}

/// What is to be done outside once the decision is durable.
///
/// [`Effect::Emit`], [`Effect::Ended`] and a [`Effect::StartChild`] that is not awaited are told once: what they stand
/// for must be written in the very commit of the decision. Calls and awaited children are told again by [`resume`].
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Hand out a call: [`prepare`] gives its order.
    Call {
        /// Its visit.
        visit: Visit,
        /// Its attempt, from 1.
        attempt: u32,
    },
    /// Cut a call off; its outcome is no longer wanted.
    Abort {
        /// Its visit.
        visit: Visit,
    },
    /// Start a child execution.
    StartChild {
        /// The visit that runs it.
        visit: Visit,
        /// The child's identity.
        child: ExecutionId,
        /// The child's namespace.
        namespace: Namespace,
        /// The child's workflow.
        workflow: Arc<str>,
        /// Version, or `latest`.
        version: Arc<str>,
        /// The child's raw input.
        input: Value,
        /// Whether its end is wanted as [`Input::ChildEnded`].
        awaited: bool,
    },
    /// Cancel a child; its end is no longer wanted.
    CancelChild {
        /// The child.
        child: ExecutionId,
    },
    /// Publish an event in the namespace.
    Emit(Event),
    /// The run has ended: tell the parent and the trigger.
    Ended(Ended),
    /// A limit was met: to be counted under its name.
    LimitMet(&'static str),
}

/// Whether an input was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was.
    Applied,
    /// It was not wanted (any more): nothing has changed (invariant 5).
    Stale,
    /// An operator's verb that the state does not allow, with the reason; nothing has changed.
    Refused(Arc<str>),
}

/// What one input has led to.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The facts, already folded into the execution. Empty: nothing is written.
    pub records: Vec<Record>,
    /// What to do outside once they are durable.
    pub effects: Vec<Effect>,
    /// Changes of stored timers.
    pub due: Vec<DueChange>,
    /// Changes of stored subscriptions.
    pub subscriptions: Vec<SubscriptionChange>,
    /// The new summary, if status, start or end have changed.
    pub summary: Option<Summary>,
    /// Whether it has yielded and wants [`Input::Continue`] (D6).
    pub more: bool,
    /// Whether the input was used.
    pub verdict: Verdict,
    /// Sequence of the first public history entry.
    pub first: u64,
    /// When it was decided; never before the execution's previous transition.
    pub time: Time,
}

/// A new execution, pending. Its first record, `Created`, is written by the first transition made of it: [`created`]
/// alone, or [`transition`] of the first decision.
pub fn create(_program: &Program, birth: Arc<Birth>) -> Execution {
    Execution::unborn(birth)
}

/// What holds around a decision, from outside of the execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Around {
    /// The time.
    pub now: Time,
    /// Emitted events that may lead to one another (limit `hop-count`).
    pub hops: usize,
}

/// A time alone: the limits are those of this crate.
impl From<Time> for Around {
    fn from(now: Time) -> Around {
        Around { now, hops: MAX_HOPS }
    }
}

/// Decides what an input leads to, and folds it into the execution.
pub fn decide(
    program: &Program,
    execution: &mut Execution,
    input: Input,
    around: impl Into<Around>,
) -> Decision {
    let Around { now, hops } = around.into();
    let now = now.max(execution.time);
    let first = execution.sequence;
    let before = (execution.status(), execution.started, execution.ended);
    let (fetched, input) = fetch::absorb(program, execution, input, now);
    let whole = execution.link.0.clone();
    let mut machine = Machine::new(whole.as_deref().unwrap_or(program), execution, Around { now, hops });
    machine.records.extend(fetched);
    let verdict = take(&mut machine, input);
    let Machine { mut records, effects, due, subscriptions, .. } = machine;
    if !records.is_empty() {
        if execution.transitions == 0 {
            records.insert(0, Record::Created(execution.birth.clone()));
        }
        execution.transitions += 1;
    }
    let after = (execution.status(), execution.started, execution.ended);
    let summary = (before != after).then(|| summary(execution));
    let more = execution.more();
    Decision { records, effects, due, subscriptions, summary, more, verdict, first, time: now }
}

fn take(machine: &mut Machine<'_>, input: Input) -> Verdict {
    match input {
        Input::Begin => machine.begin(),
        Input::Outcome { visit, attempt, outcome } => machine.on_outcome(visit, attempt, outcome),
        Input::Chosen { visit, version } => machine.on_choice(visit, version),
        Input::Timer(due) => machine.on_timer(due),
        Input::Event { visit, event } => machine.on_event(visit, &event),
        Input::Signal(event) => machine.on_signal(event),
        Input::Callback { visit, answer } => machine.on_callback(visit, answer),
        Input::ChildEnded { visit, child, ended } => machine.on_child(visit, child, ended),
        Input::Cancel { reason } => machine.cancel(reason),
        Input::Suspend { reason } => machine.hold(reason),
        Input::Resume { reason } => machine.release(reason),
        Input::Retry { input, from, reason } => machine.redrive(input, from.as_deref(), reason),
        Input::Continue if machine.x.more() => {
            machine.take_up();
            machine.walk();
            Verdict::Applied
        }
        Input::Continue => Verdict::Stale,
    }
}
