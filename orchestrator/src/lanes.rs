//! The lanes: plain threads on which decisions and expressions run (D1). This file owns their queues.
//!
//! Shard s belongs to lane s mod L. Whole `Vec`s are handed over: no channel entry, waker or task per step.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use tidemill_dsl::event::{Event, StoredEvent};
use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::{ExecutionId, Namespace, Shard, Visit};
use tidemill_dsl::order::Outcome;
use tidemill_dsl::value::Value;
use tidemill_engine::record::{Birth, Due, Ended};
use tidemill_store::{InboxKey, StartKey};
use tokio::sync::oneshot;

use crate::error::Error;
use crate::shard::Released;
use crate::view::ExecutionView;

/// What a lane is handed.
pub enum Input {
    /// A start asked for by hand: create and begin in one transition.
    Start(Box<Start>),
    /// An execution whose creation is durable: begin it.
    Begin(ExecutionId, Option<Arc<Birth>>),
    /// A worker's answer.
    Outcome(ExecutionId, Visit, u32, Outcome),
    /// A timer.
    Timer(Due),
    /// An event for a listen.
    Event(ExecutionId, Visit, Arc<StoredEvent>),
    /// The end of an awaited child.
    ChildEnded(Box<ChildEnded>),
    /// An operator's verb.
    Command(Box<Command>),
    /// A decision that yielded goes on.
    Continue(ExecutionId),
    /// A batch is durable: its effects may leave.
    Committed(Box<Released>),
    /// A start was refused: its execution never was.
    Unborn(ExecutionId),
    /// Fold and take up again after a restart.
    Recover(ExecutionId),
    /// Forget what a namespace has that is being removed; told when nothing of it is written here any more.
    Forget(Namespace, oneshot::Sender<()>),
    /// Tell the state of an execution.
    Query(ExecutionId, oneshot::Sender<Option<ExecutionView>>),
}

/// A start asked for by hand.
pub struct Start {
    /// Facts of birth.
    pub birth: Arc<Birth>,
    /// `Idempotency-Key`.
    pub key: Option<StartKey>,
    /// Told once durable.
    pub reply: oneshot::Sender<Result<ExecutionView, Error>>,
}

/// An awaited child's end, for its parent.
pub struct ChildEnded {
    /// The parent.
    pub parent: ExecutionId,
    /// Its `run` task's visit.
    pub visit: Visit,
    /// The child.
    pub child: ExecutionId,
    /// How it ended.
    pub ended: Ended,
    /// The inbox item to remove.
    pub key: Option<InboxKey>,
}

/// An operator's verb for one execution.
pub struct Command {
    /// Which.
    pub execution: ExecutionId,
    /// What.
    pub verb: Verb,
    /// Why, as told.
    pub reason: Option<Arc<str>>,
    /// The inbox item to remove, when it came through one.
    pub key: Option<InboxKey>,
    /// Told once durable.
    pub reply: Option<oneshot::Sender<Result<(), Error>>>,
}

/// Operator verbs.
#[derive(Clone, Debug)]
pub enum Verb {
    /// End it now.
    Cancel,
    /// Hold it.
    Suspend,
    /// Let it go on.
    Resume,
    /// Go on from the failed task.
    Retry {
        /// Replaces the raw input of the task it begins with.
        input: Option<Value>,
        /// The task to begin with, by reference.
        from: Option<Arc<str>>,
    },
    /// Give an event to its listens alone.
    Signal(Arc<Event>),
    /// End a call whose partner answers later.
    Callback {
        /// The task's visit.
        visit: Visit,
        /// The raw output, or the error.
        answer: Result<Value, Fault>,
    },
}

/// One lane's queue.
#[derive(Default)]
struct Queue {
    inner: Mutex<QueueState>,
    filled: Condvar,
}

#[derive(Default)]
struct QueueState {
    inputs: VecDeque<Input>,
    closed: bool,
}

/// Handles of all lanes.
#[derive(Clone)]
pub struct Lanes {
    queues: Arc<Vec<Queue>>,
}

impl Lanes {
    /// `count` empty queues.
    pub fn new(count: usize) -> Lanes {
        Lanes { queues: Arc::new((0..count.max(1)).map(|_| Queue::default()).collect()) }
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.queues.len()
    }

    /// The lane of an execution: by its shard.
    pub fn of(&self, id: ExecutionId) -> usize {
        usize::from(Shard::of(id).0) % self.count()
    }

    /// Hands over inputs.
    pub fn push(&self, lane: usize, inputs: impl IntoIterator<Item = Input>) {
        let queue = &self.queues[lane];
        let mut state = queue.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = state.inputs.is_empty();
        state.inputs.extend(inputs);
        if was_empty && !state.inputs.is_empty() {
            queue.filled.notify_one();
        }
    }

    /// Hands over one input for one execution.
    pub fn send(&self, id: ExecutionId, input: Input) {
        self.push(self.of(id), [input]);
    }

    /// Takes everything waiting, at most `limit` inputs; blocks while there is nothing. None once closed and empty.
    pub fn take(&self, lane: usize, limit: usize) -> Option<VecDeque<Input>> {
        let queue = &self.queues[lane];
        let mut state = queue.inner.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if !state.inputs.is_empty() {
                if state.inputs.len() <= limit {
                    return Some(std::mem::take(&mut state.inputs));
                }
                let rest = state.inputs.split_off(limit);
                return Some(std::mem::replace(&mut state.inputs, rest));
            }
            if state.closed {
                return None;
            }
            state = queue.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Inputs waiting in all queues.
    pub fn depth(&self) -> usize {
        self.queues.iter().map(|q| q.inner.lock().unwrap_or_else(PoisonError::into_inner).inputs.len()).sum()
    }

    /// Lets every lane end once its queue is empty.
    pub fn close(&self) {
        for queue in self.queues.iter() {
            queue.inner.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
            queue.filled.notify_all();
        }
    }
}
