//! What is written of buffers: deliveries and their states, rate buckets, dead letters.

use std::sync::Arc;

use tidemill_dsl::event::Event;
use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::{ExecutionId, Namespace, Time};

/// A delivery waiting in a buffer: one event for one trigger.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Namespace.
    pub namespace: Namespace,
    /// Trigger name.
    pub trigger: Arc<str>,
    /// Its (pending) execution.
    pub execution: ExecutionId,
    /// Order key; at most one delivery of a key is ready or in flight, the others are blocked behind it.
    pub key: Option<Arc<str>>,
    /// Higher goes first.
    pub priority: i32,
    /// Attempt, from 1.
    pub attempt: u32,
    /// Not before.
    pub not_before: Time,
}

/// State of a stored delivery (D8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum DeliveryState {
    /// May be taken.
    Ready = 0,
    /// Behind another delivery of its order key.
    Blocked = 1,
    /// Failed for good; its key is held until redriven, dropped or released.
    Parked = 2,
    /// Taken, its execution runs.
    InFlight = 3,
}

/// Identity of a stored delivery.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryKey {
    /// Namespace.
    pub namespace: Namespace,
    /// Trigger.
    pub trigger: Arc<str>,
    /// Position at which it was stored.
    pub pos: u64,
}

/// A change of a buffer. One that the delivery's state does not allow, or of a delivery that is gone, changes nothing.
#[derive(Clone, Debug)]
pub enum BufferChange {
    /// A delivery enters (redrive; arrivals carry theirs themselves). Its state follows from its key.
    Enqueue(Delivery),
    /// Ready -> in flight.
    Take(DeliveryKey),
    /// Done with: removed, whatever its state; the next of its key (by position) becomes ready.
    Finish(DeliveryKey),
    /// In flight or parked -> ready again with a later instant, the next attempt and its new pending execution. It keeps
    /// its place in its order key.
    Again {
        /// Which.
        key: DeliveryKey,
        /// Not before.
        not_before: Time,
        /// Attempt, from 1.
        attempt: u32,
        /// The new execution.
        execution: ExecutionId,
    },
    /// In flight -> parked: its order key is held.
    Park(DeliveryKey),
    /// The rate bucket's state, saved with the takes it paid for.
    Bucket {
        /// Namespace.
        namespace: Namespace,
        /// Trigger.
        trigger: Arc<str>,
        /// It.
        bucket: StoredBucket,
    },
    /// A dead letter.
    Dead(Box<DeadLetter>),
    /// A dead letter was redriven or purged.
    DeadState {
        /// Namespace.
        namespace: Namespace,
        /// Its id.
        id: u64,
        /// New state.
        state: DeadState,
    },
}

/// The state of a rate bucket. What its figures mean is its owner's business.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StoredBucket {
    /// Tokens left.
    pub tokens: f64,
    /// Starts that were missed and are made up for.
    pub arrears: f64,
    /// At this instant.
    pub at: Time,
}

/// State of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum DeadState {
    /// Waits for someone.
    Open = 0,
    /// Put back by a redrive.
    Redriven = 1,
    /// Dropped by an operator.
    Purged = 2,
}

/// A delivery that came to nothing, with all that is needed to do it again.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    /// Identity within the store: its position; given by the store (0 in a batch).
    pub id: u64,
    /// Namespace.
    pub namespace: Namespace,
    /// Trigger.
    pub trigger: Arc<str>,
    /// The trigger's generation.
    pub generation: u64,
    /// Why: `faulted`, `buffer-full`, ...
    pub cause: Arc<str>,
    /// The binding.
    pub binding: Arc<str>,
    /// The original event.
    pub event: Arc<Event>,
    /// Order key, if the trigger orders.
    pub key: Option<Arc<str>>,
    /// The parked delivery that holds the key.
    pub parked: Option<u64>,
    /// Every attempt.
    pub attempts: Vec<AttemptRecord>,
    /// When it died.
    pub at: Time,
    /// Where it is.
    pub state: DeadState,
}

/// One failed attempt of a delivery.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptRecord {
    /// The execution.
    pub execution: ExecutionId,
    /// Its end.
    pub at: Time,
    /// Its error.
    pub error: Fault,
}
