//! What is written: a batch is a value made of typed parts (D3), so it can be logged, simulated, compared between
//! stores and committed in groups.

use std::sync::Arc;

use tidemill_dsl::event::Event;
use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::{ExecutionId, Namespace, Shard, Time};
use tidemill_dsl::value::Value;
use tidemill_engine::record::{Birth, DueChange, SubscriptionChange, Summary, Transition};

/// Parts that commit together.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Whether it is refused or waits when the disk is full.
    pub class: Class,
    /// The parts, applied in order.
    pub parts: Vec<Part>,
}

/// What happens to a batch when the disk is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Class {
    /// Events, starts, definitions: refused at once.
    #[default]
    New,
    /// Outcomes, timers, cancel, checkpoints: use the reserve, then wait for space.
    Running,
}

/// One part of a batch.
#[derive(Clone, Debug)]
pub enum Part {
    /// What a lane decided.
    Shard(ShardPart),
    /// Accepted events with all they start.
    Ingress(IngressPart),
    /// A new execution (unique id). Ownership starts after the commit.
    Create(Box<Create>),
    /// Items for other shards (D4).
    Inbox(Vec<InboxItem>),
    /// Deliveries of buffered triggers, their buckets, dead letters.
    Buffer(Vec<BufferChange>),
    /// Workflows and manifests.
    Definitions(Vec<DefinitionChange>),
    /// Namespaces, secrets, retention and other operator business.
    Operator(Vec<OperatorChange>),
}

/// What a lane decided in one turn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShardPart {
    /// Epoch under which each touched shard is owned; a stale one refuses the batch (invariant 13): the store remembers
    /// the highest it has seen of each shard. Empty on stores that have a single owner.
    pub epochs: Vec<(Shard, u64)>,
    /// Appends.
    pub transitions: Vec<Transition>,
    /// Summary changes.
    pub summaries: Vec<Summary>,
    /// State snapshots (a cache, droppable).
    pub states: Vec<StateSnapshot>,
    /// Timers.
    pub due: Vec<DueChange>,
    /// Subscriptions.
    pub subscriptions: Vec<SubscriptionChange>,
    /// Inbox items dealt with.
    pub inbox_done: Vec<InboxKey>,
}

/// A snapshot of an execution's folded state.
#[derive(Clone, Debug, PartialEq)]
pub struct StateSnapshot {
    /// The execution.
    pub execution: ExecutionId,
    /// Sequence of the next public entry when it was taken.
    pub next: u64,
    /// Number of transitions folded into it.
    pub transitions: u64,
    /// Format byte and state.
    pub body: Vec<u8>,
}

/// Accepted events of one binding.
#[derive(Clone, Debug)]
pub struct IngressPart {
    /// Namespace.
    pub namespace: Namespace,
    /// Binding: a Source's name, or "" for `POST /events` and emitted events.
    pub binding: Arc<str>,
    /// In order of arrival.
    pub arrivals: Vec<Arrival>,
    /// Whether duplicates are judged by the seen key; false where the position is the test (Kafka, cron: D8). The key
    /// is kept in both cases: events are found by it.
    pub seen: bool,
    /// Positions of the source to resume from, saved in this very commit.
    pub checkpoints: Vec<Checkpoint>,
}

/// One accepted event and what it starts. If it is a duplicate nothing of it is written.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The event.
    pub event: Arc<Event>,
    /// When it was accepted.
    pub accepted: Time,
    /// Executions begun at once (triggers without a buffer).
    pub starts: Vec<Create>,
    /// Deliveries into buffers; each has its pending execution in `starts` too.
    pub deliveries: Vec<Delivery>,
    /// Events that went straight to the dead letters (`whenFull: divert`).
    pub dead: Vec<DeadLetter>,
}

/// A resume position of one partition of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Source name.
    pub source: Arc<str>,
    /// Partition within the source, for example `topic/0`; "" where there is only one.
    pub partition: Arc<str>,
    /// The position, in the connector's own text form.
    pub value: Arc<str>,
}

/// A new execution.
#[derive(Clone, Debug)]
pub struct Create {
    /// Facts of birth: the summary row and tags are made from it.
    pub birth: Arc<Birth>,
    /// Its first transition.
    pub first: Transition,
    /// Its summary after that transition.
    pub summary: Summary,
    /// `Idempotency-Key` of the start: unique per (namespace, workflow); a taken key refuses the batch.
    pub key: Option<StartKey>,
}

/// An idempotency key of a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartKey {
    /// As sent.
    pub key: Arc<str>,
    /// Hash of the body: the same key with another body is a conflict.
    pub body: [u8; 32],
}

/// Identity of an inbox item: chosen by the sender so that a repeat is the same item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InboxKey {
    /// The receiving shard.
    pub shard: Shard,
    /// The execution it stems from.
    pub from: ExecutionId,
    /// Distinguishes items of one origin.
    pub number: u32,
}

/// Something one shard tells another (D4).
#[derive(Clone, Debug, PartialEq)]
pub struct InboxItem {
    /// Identity.
    pub key: InboxKey,
    /// Format byte and content, known to the orchestrator alone.
    pub body: Vec<u8>,
}

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
        /// Tokens left.
        tokens: f64,
        /// At this instant.
        at: Time,
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

/// Kinds of definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DefinitionKind {
    /// A workflow version.
    Workflow = 0,
    /// A source.
    Source = 1,
    /// A trigger.
    Trigger = 2,
    /// A function version.
    Function = 3,
    /// A connection.
    Connection = 4,
    /// A queue.
    Queue = 5,
    /// An alias of a function: its name is the function's, its version the alias.
    Alias = 6,
}

/// A stored definition: for workflows one row per version and revision, for functions one per version, for the
/// others one.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// Kind.
    pub kind: DefinitionKind,
    /// Namespace.
    pub namespace: Namespace,
    /// Name.
    pub name: Arc<str>,
    /// Version (semantic for workflows, a number for functions, "" else).
    pub version: Arc<str>,
    /// The text as sent.
    pub text: Arc<str>,
    /// SHA-256 of the text.
    pub digest: [u8; 32],
    /// Rises with each change of the name.
    pub generation: u64,
    /// When it was written.
    pub at: Time,
    /// Whether it is current; a deleted or replaced workflow revision stays, not current, while executions pin it.
    pub current: bool,
    /// Paused by an operator (sources, triggers).
    pub paused: bool,
}

/// A change of the definitions.
#[derive(Clone, Debug)]
pub enum DefinitionChange {
    /// Written: replaces the current one of (kind, namespace, name, version).
    Put(Definition),
    /// Deleted: no longer current. An empty version means all versions.
    Delete {
        /// Kind.
        kind: DefinitionKind,
        /// Namespace.
        namespace: Namespace,
        /// Name.
        name: Arc<str>,
        /// Version, "" for all.
        version: Arc<str>,
    },
    /// Paused or resumed.
    Pause {
        /// Kind.
        kind: DefinitionKind,
        /// Namespace.
        namespace: Namespace,
        /// Name.
        name: Arc<str>,
        /// Paused?
        paused: bool,
    },
}

/// Operator business.
#[derive(Clone, Debug)]
pub enum OperatorChange {
    /// A namespace exists (its first write makes it); text is its manifest, "" for none.
    Namespace {
        /// Name.
        namespace: Namespace,
        /// Manifest text.
        text: Arc<str>,
        /// When.
        at: Time,
    },
    /// A namespace and everything of it is removed.
    DropNamespace(Namespace),
    /// A secret's sealed value.
    Secret {
        /// Namespace.
        namespace: Namespace,
        /// Name.
        name: Arc<str>,
        /// Sealed bytes; none deletes it.
        sealed: Option<Vec<u8>>,
        /// When.
        at: Time,
    },
    /// A resumable piece of server work (batches), by id; none deletes it.
    Work {
        /// Id.
        id: Arc<str>,
        /// Content.
        body: Option<Vec<u8>>,
    },
    /// A checkpoint set from outside the accepting commit (seek, or a position without events).
    Checkpoint {
        /// Namespace.
        namespace: Namespace,
        /// The position; an empty value removes it.
        checkpoint: Checkpoint,
    },
    /// One slice of retention: events accepted, and executions ended, before this instant are removed, at most `rows`
    /// log and event rows in this transaction. The completion tells whether more is left. Dead letters that were
    /// redriven or purged go with the events; the last slice also forgets the event keys of days before `events`.
    Retain {
        /// Executions ended before.
        executions: Time,
        /// Events accepted before.
        events: Time,
        /// Slice size.
        rows: u32,
    },
    /// A value of `meta`.
    Meta {
        /// Key.
        key: Arc<str>,
        /// Value.
        value: Value,
    },
}

/// What a committed batch gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Committed {
    /// Position of the last row written.
    pub pos: u64,
    /// One per arrival, over all ingress parts in order.
    pub arrivals: Vec<Accepted>,
    /// Positions of the deliveries stored, in order of appearance.
    pub deliveries: Vec<u64>,
    /// Whether retention left something for another slice.
    pub more: bool,
}

/// What became of one arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// Stored at this position.
    Stored(u64),
    /// Already there, at this position.
    Duplicate {
        /// The first one's position.
        pos: u64,
        /// Whether its data differ.
        mismatch: bool,
    },
}

/// Why a batch was not applied.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// No space for new work (limit `disk-free`).
    #[error("write: the disk is full (limit disk-free: 16 MiB)")]
    Full,
    /// A start's idempotency key is taken.
    #[error("start: the idempotency key is taken by execution {execution}")]
    KeyTaken {
        /// By this execution.
        execution: ExecutionId,
        /// Whether the body is the same.
        same_body: bool,
    },
    /// An execution id that exists.
    #[error("create: execution {0} exists")]
    Exists(ExecutionId),
    /// The owner's epoch is stale.
    #[error("write: the shard is owned by a later epoch")]
    StaleEpoch,
    /// The store is closed.
    #[error("write: the store is closed")]
    Closed,
    /// Anything else; the outcome may be unknown: touched executions must be folded again.
    #[error("write: {0}")]
    Failed(Arc<str>),
}
