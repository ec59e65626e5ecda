//! The reads of the memory store: filters over the tables, as plain as they can be.
//!
//! Owns the meaning of every read and its order. Changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidemill_dsl::event::StoredEvent;
use tidemill_dsl::ids::{ExecutionId, Namespace, Time};
use tidemill_dsl::value::Value;
use tidemill_engine::record::{Due, Status, Subscription, Transition};

use super::MemoryStore;
use super::state::State;
use crate::batch::{
    Checkpoint, DeadLetter, Definition, DefinitionKind, DeliveryState, InboxItem, StateSnapshot,
};
use crate::read::{
    BufferRow, DeadQuery, DeliveryQuery, EventQuery, ExecutionQuery, ExecutionRow, Read, ReadResult, StoredDelivery,
};

fn log_of(state: &State, id: ExecutionId) -> impl Iterator<Item = &Transition> {
    let positions = state.log_of.range((id, 0)..=(id, u64::MAX));
    positions.filter_map(|((_, pos), ())| state.log.get(pos))
}

fn matches(query: &ExecutionQuery, row: &ExecutionRow) -> bool {
    let listed = row.listed();
    row.namespace == query.namespace
        && query.workflow.as_ref().is_none_or(|w| *w == row.workflow)
        && (query.status.is_empty() || query.status.contains(&row.status))
        && query.trigger.as_ref().is_none_or(|t| row.trigger.as_ref() == Some(t))
        && query.tags.iter().all(|tag| row.tags.contains(tag))
        && query.since.is_none_or(|since| listed >= since)
        && query.until.is_none_or(|until| listed < until)
}

fn unfinished(state: &State, row: &ExecutionRow) -> bool {
    match row.status {
        Status::Running | Status::Suspended => true,
        Status::Pending => !state.deliveries.values().any(|d| d.delivery.execution == row.id),
        _ => false,
    }
}

fn without_result(row: &ExecutionRow) -> ExecutionRow {
    ExecutionRow { result: None, ..row.clone() }
}

fn buffers(state: &State) -> Vec<BufferRow> {
    let mut rows: BTreeMap<(Namespace, Arc<str>), BufferRow> = BTreeMap::new();
    for (key, delivery) in state.deliveries.iter() {
        let slot = (key.namespace.clone(), key.trigger.clone());
        let row = rows.entry(slot).or_insert_with(|| BufferRow {
            namespace: key.namespace.clone(),
            trigger: key.trigger.clone(),
            waiting: 0,
            in_flight: 0,
            parked: 0,
            oldest: None,
        });
        match delivery.state {
            DeliveryState::Ready | DeliveryState::Blocked => {
                row.waiting += 1;
                row.oldest = row.oldest.or(Some(key.pos));
            }
            DeliveryState::InFlight => row.in_flight += 1,
            DeliveryState::Parked => row.parked += 1,
        }
    }
    rows.into_values().collect()
}

fn pinned(state: &State, definition: &Definition) -> bool {
    definition.kind == DefinitionKind::Workflow
        && state.executions.values().any(|row| {
            !row.status.ended()
                && row.namespace == definition.namespace
                && row.workflow == definition.name
                && row.digest == definition.digest
        })
}

fn event_page(state: &State, query: &EventQuery) -> Vec<StoredEvent> {
    let rows = state.events.values().filter(|(namespace, event)| {
        *namespace == query.namespace
            && query.kind.as_ref().is_none_or(|kind| *kind == event.event.kind)
            && query.since.is_none_or(|since| event.accepted >= since)
            && query.until.is_none_or(|until| event.accepted < until)
            && query.after.is_none_or(|after| if query.descending { event.pos < after } else { event.pos > after })
    });
    let rows = rows.map(|(_, event)| event.clone());
    if query.descending {
        rows.rev().take(query.limit).collect()
    } else {
        rows.take(query.limit).collect()
    }
}

fn execution_page(state: &State, query: &ExecutionQuery) -> Vec<ExecutionRow> {
    let mut rows: Vec<&ExecutionRow> = state.executions.values().filter(|row| matches(query, row)).collect();
    rows.sort_by_key(|row| (row.listed(), row.id));
    if !query.ascending {
        rows.reverse();
    }
    let behind = |row: &ExecutionRow| {
        query.after.is_none_or(|after| {
            let key = (row.listed(), row.id);
            if query.ascending { key > after } else { key < after }
        })
    };
    rows.into_iter().filter(|row| behind(row)).take(query.limit).map(without_result).collect()
}

impl Read for MemoryStore {
    fn log(&self, execution: ExecutionId) -> ReadResult<(Option<StateSnapshot>, Vec<Transition>)> {
        self.read(|state| {
            let snapshot = state.states.get(&execution).cloned();
            let folded = snapshot.as_ref().map_or(0, |s| s.transitions);
            let rest = log_of(state, execution).skip(folded as usize).cloned().collect();
            (snapshot, rest)
        })
    }

    fn transitions(&self, execution: ExecutionId, sequence: u64, limit: usize) -> ReadResult<Vec<Transition>> {
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

    fn start_key(&self, namespace: &str, workflow: &str, key: &str) -> ReadResult<Option<(ExecutionId, [u8; 32])>> {
        let slot = (namespace.into(), workflow.into(), key.into());
        self.read(|state| state.start_keys.get(&slot).copied())
    }

    fn caused_by(&self, namespace: &str, binding: &str, source: &str, id: &str) -> ReadResult<Vec<ExecutionRow>> {
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
            for ((_, (ns, binding, s, i)), _) in state.seen.iter() {
                if **ns == *namespace
                    && **s == *source
                    && **i == *id
                    && let Some(event) =
                        super::apply::latest(state, &(ns.clone(), binding.clone(), s.clone(), i.clone()))
                {
                    found.insert(binding.clone(), event.clone());
                }
            }
            found.into_values().collect()
        })
    }

    fn log_rows(&self, execution: ExecutionId, after: u64, limit: usize) -> ReadResult<Vec<(u64, Transition)>> {
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

    fn first_pos(&self) -> ReadResult<u64> {
        self.read(|state| state.removed_log + 1)
    }

    fn first_event(&self) -> ReadResult<u64> {
        self.read(|state| state.removed_event + 1)
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

    fn buffers(&self) -> ReadResult<Vec<BufferRow>> {
        self.read(buffers)
    }

    fn delivery_of(&self, execution: ExecutionId) -> ReadResult<Option<StoredDelivery>> {
        self.read(|state| state.deliveries.values().find(|d| d.delivery.execution == execution).cloned())
    }

    fn bucket(&self, namespace: &str, trigger: &str) -> ReadResult<Option<(f64, Time)>> {
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
        self.read(|state| state.definitions.values().filter(|d| d.current || pinned(state, d)).cloned().collect())
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
            let rows = state.checkpoints.iter().filter(|((ns, s, _), _)| **ns == *namespace && **s == *source);
            let row = |((_, source, partition), value): (&(Namespace, Arc<str>, Arc<str>), &Arc<str>)| Checkpoint {
                source: source.clone(),
                partition: partition.clone(),
                value: value.clone(),
            };
            rows.map(row).collect()
        })
    }

    fn namespaces(&self) -> ReadResult<Vec<(Namespace, Arc<str>, Time)>> {
        self.read(|state| {
            state.namespaces.iter().map(|(name, (text, at))| (name.clone(), text.clone(), *at)).collect()
        })
    }

    fn secrets(&self) -> ReadResult<Vec<(Namespace, Arc<str>, Vec<u8>, Time)>> {
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
