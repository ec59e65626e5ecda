//! The reads of the memory store: filters over the tables, as plain as they can be.
//!
//! Owns the meaning of every read and its order. Changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidemill_dsl::event::StoredEvent;
use tidemill_dsl::ids::{ExecutionId, Namespace, Time};
use tidemill_dsl::value::Value;
use tidemill_engine::record::{Due, Subscription, Transition};

use super::MemoryStore;
use super::queries::{
    buffers, event_page, execution_page, log_of, matches, pinned, unfinished, without_result,
};
use super::state::State;
use crate::batch::{
    Checkpoint, DeadLetter, Definition, DefinitionKind, DeliveryState, InboxItem, StateSnapshot, StoredBucket,
};
use crate::read::{
    BufferRow, DeadQuery, DeliveryQuery, EventQuery, ExecutionQuery, ExecutionRow, Read, ReadResult,
    SealedSecret, StoredDelivery, Usage,
};

impl Read for MemoryStore {
    fn log(&self, execution: ExecutionId) -> ReadResult<(Option<StateSnapshot>, Vec<Transition>)> {
        self.read(|state| {
            let snapshot = state.states.get(&execution).cloned();
            let folded = snapshot.as_ref().map_or(0, |s| s.transitions);
            let rest = log_of(state, execution).skip(folded as usize).cloned().collect();
            (snapshot, rest)
        })
    }

    fn transitions(
        &self,
        execution: ExecutionId,
        sequence: u64,
        limit: usize,
    ) -> ReadResult<Vec<Transition>> {
        self.read(|state| {
            let rows = log_of(state, execution).skip_while(|t| t.first + u64::from(t.count) <= sequence);
            rows.take(limit).cloned().collect()
        })
    }

    fn execution(&self, namespace: &str, id: ExecutionId) -> ReadResult<Option<ExecutionRow>> {
        self.read(|state| state.executions.get(&id).filter(|row| *row.namespace == *namespace).cloned())
    }

    fn executions(&self, query: &ExecutionQuery) -> ReadResult<Vec<ExecutionRow>> {
        self.read(|state| execution_page(state, query))
    }

    fn count_executions(&self, query: &ExecutionQuery) -> ReadResult<u64> {
        self.read(|state| state.executions.values().filter(|row| matches(query, row)).count() as u64)
    }

    fn unfinished(&self, after: Option<ExecutionId>, limit: usize) -> ReadResult<Vec<ExecutionRow>> {
        self.read(|state| {
            let rows = state.executions.values().filter(|row| after.is_none_or(|after| row.id > after));
            rows.filter(|row| unfinished(state, row)).take(limit).map(without_result).collect()
        })
    }

    fn start_key(
        &self,
        namespace: &str,
        workflow: &str,
        key: &str,
    ) -> ReadResult<Option<(ExecutionId, [u8; 32])>> {
        let slot = (namespace.into(), workflow.into(), key.into());
        self.read(|state| state.start_keys.get(&slot).copied())
    }

    fn caused_by(
        &self,
        namespace: &str,
        binding: &str,
        source: &str,
        id: &str,
    ) -> ReadResult<Vec<ExecutionRow>> {
        let event = Some((binding.into(), source.into(), id.into()));
        self.read(|state| {
            let rows = state.executions.values();
            rows.filter(|row| *row.namespace == *namespace && row.event == event).cloned().collect()
        })
    }

    fn children(&self, parent: ExecutionId) -> ReadResult<Vec<ExecutionRow>> {
        self.read(|state| {
            let rows = state.executions.values();
            rows.filter(|row| row.parent.is_some_and(|p| p.execution == parent)).cloned().collect()
        })
    }

    fn due(&self, after: Option<Due>, until: Time, limit: usize) -> ReadResult<Vec<Due>> {
        self.read(|state| {
            let rows = state.due.keys().filter(|due| after.is_none_or(|after| **due > after));
            rows.take_while(|due| due.at <= until).take(limit).copied().collect()
        })
    }

    fn subscriptions(&self) -> ReadResult<Vec<Subscription>> {
        self.read(|state| state.subscriptions.values().cloned().collect())
    }

    fn inbox(&self) -> ReadResult<Vec<InboxItem>> {
        self.read(|state| {
            state.inbox.iter().map(|(key, body)| InboxItem { key: *key, body: body.clone() }).collect()
        })
    }

    fn events(&self, query: &EventQuery) -> ReadResult<Vec<StoredEvent>> {
        self.read(|state| event_page(state, query))
    }

    fn event(&self, namespace: &str, source: &str, id: &str) -> ReadResult<Vec<StoredEvent>> {
        self.read(|state| {
            let mut found: BTreeMap<Arc<str>, StoredEvent> = BTreeMap::new();
            for ((key @ (ns, binding, s, i), _), _) in state.seen.iter() {
                if **ns == *namespace
                    && **s == *source
                    && **i == *id
                    && let Some(event) = super::apply::latest(state, key)
                {
                    found.insert(binding.clone(), event.clone());
                }
            }
            found.into_values().collect()
        })
    }

    fn log_rows(
        &self,
        execution: ExecutionId,
        after: u64,
        limit: usize,
    ) -> ReadResult<Vec<(u64, Transition)>> {
        self.read(|state| {
            let rows = state.log.iter().filter(|(pos, t)| **pos > after && t.execution == execution);
            rows.take(limit).map(|(pos, t)| (*pos, t.clone())).collect()
        })
    }

    fn stream(&self, after: u64, lifecycle: bool, limit: usize) -> ReadResult<Vec<(u64, Transition)>> {
        self.read(|state| {
            let rows = state.log.iter().filter(|(pos, t)| **pos > after && (!lifecycle || t.lifecycle));
            rows.take(limit).map(|(pos, t)| (*pos, t.clone())).collect()
        })
    }

    fn last_pos(&self) -> ReadResult<u64> {
        self.read(|state| state.pos)
    }

    fn first_pos(&self, namespace: &str) -> ReadResult<u64> {
        self.read(|state| state.removed_log.get(&Namespace::from(namespace)).map_or(1, |pos| pos + 1))
    }

    fn first_event(&self, namespace: &str) -> ReadResult<u64> {
        self.read(|state| state.removed_event.get(&Namespace::from(namespace)).map_or(1, |pos| pos + 1))
    }

    fn deliveries(&self, query: &DeliveryQuery) -> ReadResult<Vec<StoredDelivery>> {
        self.read(|state| {
            let rows = state.deliveries.iter().filter(|(key, d)| {
                key.namespace == query.namespace
                    && key.trigger == query.trigger
                    && d.state == query.state
                    && d.delivery.not_before <= query.now
            });
            let mut rows: Vec<StoredDelivery> = rows.map(|(_, d)| d.clone()).collect();
            rows.sort_by_key(|d| (std::cmp::Reverse(d.delivery.priority), d.pos));
            rows.truncate(query.limit);
            rows
        })
    }

    fn ahead(&self, delivery: &StoredDelivery) -> ReadResult<u64> {
        let place = |d: &StoredDelivery| (std::cmp::Reverse(d.delivery.priority), d.pos);
        let own = &delivery.delivery;
        self.read(|state| {
            let before = state.deliveries.iter().filter(|(key, d)| {
                key.namespace == own.namespace
                    && key.trigger == own.trigger
                    && d.state == DeliveryState::Ready
                    && place(d) < place(delivery)
            });
            before.count() as u64
        })
    }

    fn buffers(&self) -> ReadResult<Vec<BufferRow>> {
        self.read(buffers)
    }

    fn delivery_of(&self, execution: ExecutionId) -> ReadResult<Option<StoredDelivery>> {
        self.read(|state| state.deliveries.values().find(|d| d.delivery.execution == execution).cloned())
    }

    fn running(&self, namespace: &str) -> ReadResult<u64> {
        self.read(|state| {
            let own = state.executions.values().filter(|row| *row.namespace == *namespace);
            let open = own.filter(|row| !row.status.ended()).count();
            open.saturating_sub(waiting(state, namespace).count()) as u64
        })
    }

    fn usage(&self, namespace: &str) -> ReadResult<Usage> {
        self.read(|state| {
            let bytes = |id: ExecutionId| log_of(state, id).map(|t| t.body.len() as u64).sum::<u64>();
            let own = state.executions.values().filter(|row| *row.namespace == *namespace);
            let events = state.events.values().filter(|(ns, _)| **ns == *namespace);
            let events: u64 = events.map(|(_, event)| event.event.to_json().len() as u64).sum();
            Usage {
                stored: own.map(|row| bytes(row.id)).sum::<u64>() + events,
                buffered: waiting(state, namespace).map(bytes).sum(),
            }
        })
    }

    fn bucket(&self, namespace: &str, trigger: &str) -> ReadResult<Option<StoredBucket>> {
        self.read(|state| state.buckets.get(&(namespace.into(), trigger.into())).copied())
    }

    fn dead_letters(&self, query: &DeadQuery) -> ReadResult<Vec<DeadLetter>> {
        self.read(|state| {
            let rows = state.dead.values().rev().filter(|letter| {
                letter.namespace == query.namespace
                    && query.trigger.as_ref().is_none_or(|t| *t == letter.trigger)
                    && query.cause.as_ref().is_none_or(|c| *c == letter.cause)
                    && query.state.is_none_or(|s| s == letter.state)
                    && query.before.is_none_or(|before| letter.id < before)
            });
            rows.take(query.limit).cloned().collect()
        })
    }

    fn dead_letter(&self, namespace: &str, id: u64) -> ReadResult<Option<DeadLetter>> {
        self.read(|state| state.dead.get(&id).filter(|letter| *letter.namespace == *namespace).cloned())
    }

    fn definitions(&self) -> ReadResult<Vec<Definition>> {
        self.read(|state| {
            state.definitions.values().filter(|d| d.current || pinned(state, d)).cloned().collect()
        })
    }

    fn revision(&self, namespace: &str, name: &str, digest: &[u8; 32]) -> ReadResult<Option<Definition>> {
        self.read(|state| {
            let found = state.definitions.values().find(|d| {
                d.kind == DefinitionKind::Workflow
                    && *d.namespace == *namespace
                    && *d.name == *name
                    && d.digest == *digest
            });
            found.cloned()
        })
    }

    fn checkpoints(&self, namespace: &str, source: &str) -> ReadResult<Vec<Checkpoint>> {
        self.read(|state| {
            let rows =
                state.checkpoints.iter().filter(|((ns, s, _), _)| **ns == *namespace && **s == *source);
            rows.map(|((_, source, partition), value)| Checkpoint {
                source: source.clone(),
                partition: partition.clone(),
                value: value.clone(),
            })
            .collect()
        })
    }

    fn namespaces(&self) -> ReadResult<Vec<(Namespace, Arc<str>, Time)>> {
        self.read(|state| {
            state.namespaces.iter().map(|(name, (text, at))| (name.clone(), text.clone(), *at)).collect()
        })
    }

    fn secrets(&self) -> ReadResult<Vec<SealedSecret>> {
        self.read(|state| {
            let rows = state.secrets.iter();
            rows.map(|((ns, name), (bytes, at))| (ns.clone(), name.clone(), bytes.clone(), *at)).collect()
        })
    }

    fn works(&self) -> ReadResult<Vec<(Arc<str>, Vec<u8>)>> {
        self.read(|state| state.works.iter().map(|(id, body)| (id.clone(), body.clone())).collect())
    }

    fn meta(&self, key: &str) -> ReadResult<Option<Value>> {
        self.read(|state| state.meta.get(key).cloned())
    }
}

/// The executions of a namespace that wait in buffers.
fn waiting<'a>(state: &'a State, namespace: &'a str) -> impl Iterator<Item = ExecutionId> {
    let waits = |d: &&StoredDelivery| matches!(d.state, DeliveryState::Ready | DeliveryState::Blocked);
    let own = state.deliveries.values().filter(move |d| *d.delivery.namespace == *namespace);
    own.filter(waits).map(|d| d.delivery.execution)
}
