//! The tables of the memory store.
//!
//! Owns what is stored and the commit and roll-back of all tables together. Decides no meaning: `apply` does.

use std::sync::Arc;

use tidemill_dsl::event::StoredEvent;
use tidemill_dsl::ids::{ExecutionId, Namespace, SHARDS, Shard, Time, Visit};
use tidemill_dsl::value::Value;
use tidemill_engine::record::{Due, Subscription, Transition};

use super::table::Table;
use crate::FORMAT;
use crate::batch::{
    DeadLetter, Definition, DefinitionKind, DeliveryKey, InboxKey, StateSnapshot, StoredBucket,
};
use crate::read::{ExecutionRow, StoredDelivery};

/// Identity of an event: namespace, binding, source, id.
pub(super) type EventKey = (Namespace, Arc<str>, Arc<str>, Arc<str>);

/// Identity of a definition's row.
pub(super) type DefinitionRowKey = (DefinitionKind, Namespace, Arc<str>, Arc<str>, [u8; 32]);

/// Declares the tables once, with the functions that treat them all alike.
macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident: $key:ty => $row:ty,)*) => {
        /// Everything stored.
        #[derive(Clone, Debug, Default)]
        pub(super) struct State {
            /// The last position given.
            pub(super) pos: u64,
            /// The same as of the last commit.
            kept: u64,
            $($(#[$doc])* pub(super) $name: Table<$key, $row>,)*
        }

        impl State {
            /// Keeps all changes; tells how many rows they touched.
            pub(super) fn commit(&mut self) -> u64 {
                self.kept = self.pos;
                let mut rows = 0;
                $(rows += self.$name.commit();)*
                rows
            }

            /// Takes all changes since the last commit back.
            pub(super) fn roll_back(&mut self) {
                self.pos = self.kept;
                $(self.$name.roll_back();)*
            }
        }
    };
}

tables! {
    /// Transitions by position.
    log: u64 => Transition,
    /// Positions of an execution's transitions.
    log_of: (ExecutionId, u64) => (),
    /// Summaries, with their results.
    executions: ExecutionId => ExecutionRow,
    /// Idempotency keys by namespace, workflow and key.
    start_keys: (Namespace, Arc<str>, Arc<str>) => (ExecutionId, [u8; 32]),
    /// Executions whose summary is gone and whose log is being removed.
    removal: ExecutionId => (),
    /// The highest log position that was removed, by namespace.
    removed_log: Namespace => u64,
    /// The highest event position that was removed, by namespace.
    removed_event: Namespace => u64,
    /// Snapshots.
    states: ExecutionId => StateSnapshot,
    /// Timers.
    due: Due => (),
    /// Subscriptions.
    subscriptions: (ExecutionId, Visit) => Subscription,
    /// Inbox items.
    inbox: InboxKey => Vec<u8>,
    /// Events by position.
    events: u64 => (Namespace, StoredEvent),
    /// The latest position of each event key on each day of acceptance.
    seen: (EventKey, i64) => u64,
    /// Deliveries.
    deliveries: DeliveryKey => StoredDelivery,
    /// Rate buckets.
    buckets: (Namespace, Arc<str>) => StoredBucket,
    /// Dead letters.
    dead: u64 => DeadLetter,
    /// Source positions by namespace, source, partition.
    checkpoints: (Namespace, Arc<str>, Arc<str>) => Arc<str>,
    /// Definitions.
    definitions: DefinitionRowKey => Definition,
    /// Namespaces: text and first write.
    namespaces: Namespace => (Arc<str>, Time),
    /// Sealed secrets.
    secrets: (Namespace, Arc<str>) => (Vec<u8>, Time),
    /// Pieces of work.
    works: Arc<str> => Vec<u8>,
    /// Values of `meta`.
    meta: Arc<str> => Value,
    /// The latest epoch seen of each shard.
    epochs: Shard => u64,
}

impl State {
    /// An empty store, as SQLite creates it.
    pub(super) fn new() -> State {
        let mut state = State::default();
        state.meta.put("format".into(), Value::from(i64::from(FORMAT)));
        state.meta.put("shards".into(), Value::from(i64::from(SHARDS)));
        state.commit();
        state
    }

    /// The next position.
    pub(super) fn next(&mut self) -> u64 {
        self.pos += 1;
        self.pos
    }
}
