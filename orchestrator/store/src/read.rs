//! What is read: by the owner of a shard when it folds an execution again, and by the status API.

use std::sync::Arc;

use tidemill_dsl::event::StoredEvent;
use tidemill_dsl::ids::{ExecutionId, Namespace, Time};
use tidemill_dsl::value::Value;
use tidemill_engine::record::{Due, Ended, Parent, Status, Subscription, Transition};

use crate::batch::{
    Checkpoint, DeadLetter, DeadState, Definition, Delivery, DeliveryState, InboxItem, StateSnapshot,
    StoredBucket,
};

/// Why a read failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("read the store: {0}")]
pub struct ReadError(pub Arc<str>);

/// A read's answer.
pub type ReadResult<T> = Result<T, ReadError>;

/// Reads; each takes its own consistent view.
pub trait Read {
    /// The snapshot of an execution, if any, and the transitions after it, in order.
    fn log(&self, execution: ExecutionId) -> ReadResult<(Option<StateSnapshot>, Vec<Transition>)>;
    /// An execution's transitions from the one that holds `sequence` on, at most `limit`, in order.
    fn transitions(&self, execution: ExecutionId, sequence: u64, limit: usize)
    -> ReadResult<Vec<Transition>>;
    /// Log rows of one execution after a position, in order, at most `limit` (a stream that follows it reads these).
    fn log_rows(
        &self,
        execution: ExecutionId,
        after: u64,
        limit: usize,
    ) -> ReadResult<Vec<(u64, Transition)>>;
    /// One summary.
    fn execution(&self, namespace: &str, id: ExecutionId) -> ReadResult<Option<ExecutionRow>>;
    /// A page of summaries, without results: `result` is none in a list.
    fn executions(&self, query: &ExecutionQuery) -> ReadResult<Vec<ExecutionRow>>;
    /// How many summaries a query has (ignores its page).
    fn count_executions(&self, query: &ExecutionQuery) -> ReadResult<u64>;
    /// Executions that a restart must look at: pending ones without a delivery, and running or suspended ones (a
    /// waiting one is woken by its timer or subscription). In id order, after `after`, without results.
    fn unfinished(&self, after: Option<ExecutionId>, limit: usize) -> ReadResult<Vec<ExecutionRow>>;
    /// The execution that holds a start key.
    fn start_key(
        &self,
        namespace: &str,
        workflow: &str,
        key: &str,
    ) -> ReadResult<Option<(ExecutionId, [u8; 32])>>;
    /// Executions begun by an event (all attempts, all triggers), in id order.
    fn caused_by(
        &self,
        namespace: &str,
        binding: &str,
        source: &str,
        id: &str,
    ) -> ReadResult<Vec<ExecutionRow>>;
    /// Children of an execution, in id order.
    fn children(&self, parent: ExecutionId) -> ReadResult<Vec<ExecutionRow>>;

    /// Timers due up to `until`, in order, after `after`.
    fn due(&self, after: Option<Due>, until: Time, limit: usize) -> ReadResult<Vec<Due>>;
    /// Every subscription.
    fn subscriptions(&self) -> ReadResult<Vec<Subscription>>;
    /// Every inbox item not done.
    fn inbox(&self) -> ReadResult<Vec<InboxItem>>;

    /// Events in order of position after `after`: of one type if given, accepted after `since` if given.
    fn events(&self, query: &EventQuery) -> ReadResult<Vec<StoredEvent>>;
    /// The event of (source, id), one per binding that has it (the latest where a binding has it twice), in order of
    /// binding.
    fn event(&self, namespace: &str, source: &str, id: &str) -> ReadResult<Vec<StoredEvent>>;

    /// Log rows after a position, in order (the stream reads these); `lifecycle` alone if asked.
    fn stream(&self, after: u64, lifecycle: bool, limit: usize) -> ReadResult<Vec<(u64, Transition)>>;
    /// The last position given: of log, events, deliveries and dead letters.
    fn last_pos(&self) -> ReadResult<u64>;
    /// The position from which on nothing of a namespace was removed from the log (1 if nothing ever was): a stream that
    /// resumes below it has a gap. Rows of executions that have not ended stay below it.
    fn first_pos(&self, namespace: &str) -> ReadResult<u64>;
    /// The same for its events.
    fn first_event(&self, namespace: &str) -> ReadResult<u64>;

    /// How many executions of a namespace have not ended, those that wait in buffers left out.
    fn running(&self, namespace: &str) -> ReadResult<u64>;
    /// How many bytes a namespace has.
    fn usage(&self, namespace: &str) -> ReadResult<Usage>;

    /// Deliveries of a trigger in one state that may be taken at `now`: by priority, then position.
    fn deliveries(&self, query: &DeliveryQuery) -> ReadResult<Vec<StoredDelivery>>;
    /// Depth of every buffer that is not empty.
    fn buffers(&self) -> ReadResult<Vec<BufferRow>>;
    /// How many deliveries of its trigger that may be taken go before this one: by priority, then position.
    fn ahead(&self, delivery: &StoredDelivery) -> ReadResult<u64>;
    /// The delivery of an execution.
    fn delivery_of(&self, execution: ExecutionId) -> ReadResult<Option<StoredDelivery>>;
    /// Saved bucket of a trigger.
    fn bucket(&self, namespace: &str, trigger: &str) -> ReadResult<Option<StoredBucket>>;
    /// Dead letters, newest first, with id below `before` if given.
    fn dead_letters(&self, query: &DeadQuery) -> ReadResult<Vec<DeadLetter>>;
    /// One dead letter.
    fn dead_letter(&self, namespace: &str, id: u64) -> ReadResult<Option<DeadLetter>>;

    /// Every definition that is current, or that an unfinished execution may pin.
    fn definitions(&self) -> ReadResult<Vec<Definition>>;
    /// A workflow revision by digest, current or not.
    fn revision(&self, namespace: &str, name: &str, digest: &[u8; 32]) -> ReadResult<Option<Definition>>;
    /// Positions of a source's partitions.
    fn checkpoints(&self, namespace: &str, source: &str) -> ReadResult<Vec<Checkpoint>>;
    /// Namespaces with manifest text and instant of the first write.
    fn namespaces(&self) -> ReadResult<Vec<(Namespace, Arc<str>, Time)>>;
    /// Every sealed secret.
    fn secrets(&self) -> ReadResult<Vec<SealedSecret>>;
    /// Resumable pieces of work.
    fn works(&self) -> ReadResult<Vec<(Arc<str>, Vec<u8>)>>;
    /// A value of `meta`.
    fn meta(&self, key: &str) -> ReadResult<Option<Value>>;
}

/// A sealed secret: namespace, name, bytes, instant of the last write.
pub type SealedSecret = (Namespace, Arc<str>, Vec<u8>, Time);

/// An execution's summary.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecutionRow {
    /// Its identity.
    pub id: ExecutionId,
    /// Namespace.
    pub namespace: Namespace,
    /// Workflow name.
    pub workflow: Arc<str>,
    /// Workflow version.
    pub version: Arc<str>,
    /// Digest of the definition's text.
    pub digest: [u8; 32],
    /// Status.
    pub status: Status,
    /// Created.
    pub created: Time,
    /// Began.
    pub started: Option<Time>,
    /// Ended.
    pub ended: Option<Time>,
    /// Output or error, once ended.
    pub result: Option<Ended>,
    /// Trigger.
    pub trigger: Option<Arc<str>>,
    /// The causing event: binding, source, id.
    pub event: Option<(Arc<str>, Arc<str>, Arc<str>)>,
    /// Attempt of the delivery.
    pub attempt: u32,
    /// Parent.
    pub parent: Option<Parent>,
    /// Tags.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
}

impl ExecutionRow {
    /// The instant lists go by: the start, or the creation of one not begun.
    pub fn listed(&self) -> Time {
        self.started.unwrap_or(self.created)
    }
}

/// Which executions: all given conditions hold. Order: by (started or else created, id).
#[derive(Clone, Debug, Default)]
pub struct ExecutionQuery {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Workflow name.
    pub workflow: Option<Arc<str>>,
    /// Any of these statuses; empty: all.
    pub status: Vec<Status>,
    /// Trigger name.
    pub trigger: Option<Arc<str>>,
    /// Every one of these tags.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    /// Started (or created, if not begun) at or after.
    pub since: Option<Time>,
    /// Started (or created, if not begun) before.
    pub until: Option<Time>,
    /// Oldest first instead of newest first.
    pub ascending: bool,
    /// Behind this key in the chosen order.
    pub after: Option<(Time, ExecutionId)>,
    /// Page size.
    pub limit: usize,
}

/// Which events.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Exactly this type.
    pub kind: Option<Arc<str>>,
    /// Accepted at or after.
    pub since: Option<Time>,
    /// Accepted before.
    pub until: Option<Time>,
    /// Position above this (ascending) or below it (descending).
    pub after: Option<u64>,
    /// Newest first.
    pub descending: bool,
    /// Page size.
    pub limit: usize,
}

/// Which deliveries.
#[derive(Clone, Debug)]
pub struct DeliveryQuery {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Trigger.
    pub trigger: Arc<str>,
    /// State.
    pub state: DeliveryState,
    /// `not_before` at or before this.
    pub now: Time,
    /// Page size.
    pub limit: usize,
}

/// A delivery as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredDelivery {
    /// Its position: identity within its trigger.
    pub pos: u64,
    /// State.
    pub state: DeliveryState,
    /// It.
    pub delivery: Delivery,
}

/// Depth of one buffer.
#[derive(Clone, Debug, PartialEq)]
pub struct BufferRow {
    /// Namespace.
    pub namespace: Namespace,
    /// Trigger.
    pub trigger: Arc<str>,
    /// Ready and blocked.
    pub waiting: u64,
    /// In flight.
    pub in_flight: u64,
    /// Parked.
    pub parked: u64,
    /// Position of the oldest waiting one.
    pub oldest: Option<u64>,
}

/// Bytes of a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Histories of its executions, and its events.
    pub stored: u64,
    /// Histories of those that wait in buffers.
    pub buffered: u64,
}

/// Which dead letters.
#[derive(Clone, Debug, Default)]
pub struct DeadQuery {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Trigger.
    pub trigger: Option<Arc<str>>,
    /// Cause.
    pub cause: Option<Arc<str>>,
    /// State; none: all.
    pub state: Option<DeadState>,
    /// Id below this.
    pub before: Option<u64>,
    /// Page size.
    pub limit: usize,
}
