//! What the longer reads of the memory store mean: filters over the tables, as plain as they can be.
//!
//! Owns conditions and orders. Changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidemill_dsl::event::StoredEvent;
use tidemill_dsl::ids::{ExecutionId, Namespace};
use tidemill_engine::record::{Status, Transition};

use super::state::State;
use crate::batch::{Definition, DefinitionKind, DeliveryState};
use crate::read::{BufferRow, EventQuery, ExecutionQuery, ExecutionRow};

pub(super) fn log_of(state: &State, id: ExecutionId) -> impl Iterator<Item = &Transition> {
    let positions = state.log_of.range((id, 0)..=(id, u64::MAX));
    positions.filter_map(|((_, pos), ())| state.log.get(pos))
}

pub(super) fn matches(query: &ExecutionQuery, row: &ExecutionRow) -> bool {
    let listed = row.listed();
    row.namespace == query.namespace
        && query.workflow.as_ref().is_none_or(|w| *w == row.workflow)
        && (query.status.is_empty() || query.status.contains(&row.status))
        && query.trigger.as_ref().is_none_or(|t| row.trigger.as_ref() == Some(t))
        && query.tags.iter().all(|tag| row.tags.contains(tag))
        && query.since.is_none_or(|since| listed >= since)
        && query.until.is_none_or(|until| listed < until)
}

pub(super) fn unfinished(state: &State, row: &ExecutionRow) -> bool {
    match row.status {
        Status::Running | Status::Suspended => true,
        Status::Pending => !state.deliveries.values().any(|d| d.delivery.execution == row.id),
        _ => false,
    }
}

pub(super) fn without_result(row: &ExecutionRow) -> ExecutionRow {
    ExecutionRow { result: None, ..row.clone() }
}

pub(super) fn buffers(state: &State) -> Vec<BufferRow> {
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

pub(super) fn pinned(state: &State, definition: &Definition) -> bool {
    definition.kind == DefinitionKind::Workflow
        && state.executions.values().any(|row| {
            !row.status.ended()
                && row.namespace == definition.namespace
                && row.workflow == definition.name
                && row.digest == definition.digest
        })
}

pub(super) fn event_page(state: &State, query: &EventQuery) -> Vec<StoredEvent> {
    let rows = state.events.values().filter(|(namespace, event)| {
        *namespace == query.namespace
            && query.kind.as_ref().is_none_or(|kind| *kind == event.event.kind)
            && query.since.is_none_or(|since| event.accepted >= since)
            && query.until.is_none_or(|until| event.accepted < until)
            && query
                .after
                .is_none_or(|after| if query.descending { event.pos < after } else { event.pos > after })
    });
    let rows = rows.map(|(_, event)| event.clone());
    if query.descending { rows.rev().take(query.limit).collect() } else { rows.take(query.limit).collect() }
}

pub(super) fn execution_page(state: &State, query: &ExecutionQuery) -> Vec<ExecutionRow> {
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
