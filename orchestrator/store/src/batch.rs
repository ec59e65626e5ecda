//! What is written: a batch is a value made of typed parts (D3), so it can be logged, simulated, compared between
//! stores and committed in groups.

mod buffer;

use std::sync::Arc;

pub use buffer::*;

use tidemill_dsl::event::Event;
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
    /// Whether the position alone tells if it is new (D8); else it is a duplicate if one of its key is stored. The key is
    /// kept in both cases: events are found by it.
    pub placed: bool,
    /// Executions begun at once (triggers without a buffer).
    pub starts: Vec<Create>,
    /// Deliveries into buffers; each has its pending execution in `starts` too.
    pub deliveries: Vec<Delivery>,
    /// Events that went straight to the dead letters (`whenFull: divert`).
    pub dead: Vec<DeadLetter>,
    /// Triggers with `overlap: skip`: their delivery is left out, with its execution, while one of the same trigger and
    /// order key is stored, whatever its state.
    pub skips: Vec<Arc<str>>,
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
    /// One slice of removing a namespace with everything of it, at most `rows` rows; the completion tells whether more
    /// is left. The namespace itself goes with the last slice. Timers of its executions are their owner's to clear
    /// before.
    DropNamespace {
        /// Which.
        namespace: Namespace,
        /// Slice size.
        rows: u32,
    },
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
    /// One slice of retention: what is beyond its namespace's span is removed, at most `rows` log and event rows in this
    /// transaction. The completion tells whether more is left. Dead letters that were redriven or purged go with the
    /// events; the last slice also forgets the event keys of days before every span.
    Retain {
        /// One for each namespace.
        spans: Vec<Span>,
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

/// What a namespace keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Namespace.
    pub namespace: Namespace,
    /// Executions ended before this instant are beyond retention.
    pub executions: Time,
    /// Events accepted before this instant are.
    pub events: Time,
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
    /// Executions that were left out with their delivery ([`Arrival::skips`]).
    pub skipped: Vec<ExecutionId>,
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
