//! The memory of the simulated process: executions, inputs, turns on their way. All of it is lost when the process dies.
//!
//! Owns the types. What is done with them is in `driver`, `commit` and `recovery`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tidemill_dsl::event::{Event, StoredEvent};
use tidemill_dsl::fault::Fault as Error;
use tidemill_dsl::ids::{ExecutionId, Visit};
use tidemill_dsl::order::{Order, Outcome};
use tidemill_dsl::value::Value;
use tidemill_engine::Execution;
use tidemill_engine::record::{Birth, Due, DueChange, Subscription, SubscriptionChange};
use tidemill_store::{Arrival, Committed, InboxItem, InboxKey, Part, Refusal, ShardPart};

use super::coverage::{Rows, Sheet};
use super::inbox;

/// What a lane is handed.
#[derive(Clone, Debug)]
pub(super) enum Input {
    /// A start by hand, with the number of the client's start.
    Start(usize, Arc<Birth>),
    Begin(ExecutionId),
    Outcome(ExecutionId, Visit, u32, Outcome),
    Timer(Due),
    Event(ExecutionId, Visit, Arc<StoredEvent>),
    ChildEnded(inbox::ChildEnded, Option<InboxKey>),
    Verb(ExecutionId, Verb, Option<InboxKey>),
    /// An event for this execution alone, with the number of the client's wish.
    Signal(ExecutionId, Arc<Event>, usize),
    /// What a partner answers who had taken the call.
    Callback(ExecutionId, Visit, Result<Value, Error>),
    Continue(ExecutionId),
    Recover(ExecutionId),
}

/// Operator verbs.
#[derive(Clone, Debug)]
pub(super) enum Verb {
    Cancel,
    Suspend,
    Resume,
    Retry { input: Option<Value>, from: Option<Arc<str>> },
}

/// One execution in memory.
pub(super) struct Slot {
    pub sheet: Arc<Sheet>,
    pub execution: Execution,
    /// Decisions that are submitted and not durable.
    pub undurable: u32,
    pub born: bool,
    pub snapshot: u64,
    /// Inputs that wait for its birth or for the fold.
    pub deferred: Vec<Input>,
    /// A batch of it failed: it is folded again once nothing of it is on its way.
    pub refold: bool,
    /// What its last decision began.
    pub recent: Rows,
}

/// What leaves the process once a batch is durable.
#[derive(Default)]
pub(super) struct Released {
    /// Orders, each with the number of transitions that must be durable before it leaves.
    pub orders: Vec<(Order, u64)>,
    pub aborts: Vec<(ExecutionId, Visit)>,
    pub pushes: Vec<Input>,
    pub due: Vec<DueChange>,
    pub subscriptions: Vec<SubscriptionChange>,
    /// Emitted events, in the order of their parts.
    pub emitted: Vec<Arrival>,
    /// The executions of its decisions, one entry each.
    pub touched: Vec<ExecutionId>,
    /// It is durable, though the store will say that it failed.
    pub applied: bool,
    /// Executions taken up in it.
    pub resumed: Vec<ExecutionId>,
    /// Outcomes used, children's ends used.
    pub settled: Vec<(ExecutionId, Visit, u32)>,
    pub told: Vec<(ExecutionId, Visit)>,
    /// Signals taken, by the numbers of their wishes; callbacks used.
    pub signals: Vec<usize>,
    pub callbacks: Vec<(ExecutionId, Visit)>,
    /// The client's start that waits for it.
    pub start: Option<(usize, ExecutionId)>,
    /// The client's post that waits for it, with the executions it starts.
    pub post: Option<(usize, Vec<ExecutionId>)>,
}

/// One turn's work.
#[derive(Default)]
pub(super) struct Turn {
    pub part: ShardPart,
    pub creates: Vec<Part>,
    pub inbox: Vec<InboxItem>,
    pub emitted: Vec<Part>,
    pub released: Released,
}

impl Turn {
    /// A call that was to be made and is cut off within the same turn.
    pub(super) fn forget_call(&mut self, id: ExecutionId, visit: Visit) {
        self.released.orders.retain(|(order, _)| (order.execution, order.visit) != (id, visit));
    }

    /// A call that was to be made and is answered within the same turn; the visit may have another one by now.
    pub(super) fn forget_answered(&mut self, (id, visit, attempt): (ExecutionId, Visit, u32)) {
        let other = |order: &Order| (order.execution, order.visit, order.attempt) != (id, visit, attempt);
        self.released.orders.retain(|(order, _)| other(order));
    }
}

type Done = Arc<Mutex<VecDeque<(u64, Result<Committed, Refusal>)>>>;

/// The memory of the process.
#[derive(Default)]
pub(super) struct Lane {
    pub slots: BTreeMap<ExecutionId, Slot>,
    pub queue: VecDeque<Input>,
    /// Submitted, completion not handled.
    pub turns: BTreeMap<u64, Released>,
    pub next_turn: u64,
    /// Completions not handled.
    pub done: Done,
    /// Timers in memory.
    pub near: BTreeSet<Due>,
    pub listening: BTreeMap<(ExecutionId, Visit), Subscription>,
    /// What was open before the last crash is being taken up.
    pub recovering: bool,
}

impl Lane {
    /// Completions that wait to be handled.
    pub(super) fn completions(&self) -> usize {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(super) fn completed(&self) -> BTreeSet<u64> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(number, _)| *number).collect()
    }

    /// The next turn to be committed.
    pub(super) fn first_held(&mut self) -> Option<&mut Released> {
        let completed = self.completed();
        self.turns.iter_mut().find(|(number, _)| !completed.contains(number)).map(|(_, released)| released)
    }

    /// Executions of the turns whose completion waits, or of all turns submitted.
    pub(super) fn touched(&self, completed: bool) -> BTreeSet<ExecutionId> {
        let numbers = self.completed();
        let turns = self.turns.iter().filter(|(number, _)| !completed || numbers.contains(number));
        turns.flat_map(|(_, released)| released.touched.iter().copied()).collect()
    }
}
