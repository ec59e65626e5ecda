//! Removal: slices of retention, and of namespaces.
//!
//! Owns which rows go and in which order. Nothing of an execution that has not ended is removed by retention.

use std::collections::BTreeMap;

use tidemill_dsl::ids::{ExecutionId, Namespace, Time};

use super::apply::{forget, within};
use super::state::State;
use super::table::Table;
use crate::batch::{DeadState, Span};
use crate::day;

/// One slice: first the logs of executions whose removal has begun, then span by span executions ended before it by
/// (end, id), then span by span and type by type events accepted before it from the lowest position up to the first that
/// stays, then span by span dead letters that were dealt with. A summary goes before its log, so nobody folds half a
/// log. Tells whether something is left; when nothing is, the keys of the days before every span are forgotten.
pub(super) fn retain(state: &mut State, spans: &[Span], rows: u32) -> bool {
    let mut left = finish_removals(state, rows);
    for span in spans {
        while left > 0
            && let Some(id) = next_ended(state, span)
        {
            left = remove_execution(state, id, left);
        }
    }
    for span in spans {
        while left > 0
            && let Some(pos) = next_event(state, &span.namespace, span.events)
        {
            remove_event(state, &span.namespace, pos);
            left -= 1;
        }
    }
    for span in spans {
        while left > 0
            && let Some(id) = next_letter(state, span)
        {
            state.dead.delete(&id);
            left -= 1;
        }
    }
    let more = !state.removal.is_empty()
        || spans.iter().any(|span| {
            next_ended(state, span).is_some()
                || next_event(state, &span.namespace, span.events).is_some()
                || next_letter(state, span).is_some()
        });
    if !more && let Some(first) = spans.iter().map(|span| day(span.events)).min() {
        state.seen.delete_where(|(_, day), _| *day < first);
    }
    more
}

fn finish_removals(state: &mut State, rows: u32) -> u32 {
    let mut left = rows;
    while left > 0
        && let Some(id) = state.removal.keys().next().copied()
    {
        left = remove_execution(state, id, left);
    }
    left
}

fn next_ended(state: &State, span: &Span) -> Option<ExecutionId> {
    let own = state.executions.values().filter(|row| row.namespace == span.namespace);
    let ended = own.filter_map(|row| Some((row.ended?, row.id)));
    ended.filter(|(end, _)| *end < span.executions).min().map(|(_, id)| id)
}

fn next_event(state: &State, namespace: &Namespace, before: Time) -> Option<u64> {
    let mut first: BTreeMap<&str, (u64, Time)> = BTreeMap::new();
    for (pos, (_, event)) in state.events.iter().filter(|(_, (ns, _))| ns == namespace) {
        first.entry(&event.event.kind).or_insert((*pos, event.accepted));
    }
    first.into_values().find(|(_, accepted)| *accepted < before).map(|(pos, _)| pos)
}

fn remove_event(state: &mut State, namespace: &Namespace, pos: u64) {
    state.events.delete(&pos);
    raise(&mut state.removed_event, namespace, pos);
}

fn raise(highest: &mut Table<Namespace, u64>, namespace: &Namespace, pos: u64) {
    let known = highest.get(namespace).copied().unwrap_or(0);
    highest.put(namespace.clone(), known.max(pos));
}

fn next_letter(state: &State, span: &Span) -> Option<u64> {
    let own = state.dead.values().filter(|letter| letter.namespace == span.namespace);
    let settled = own.filter(|letter| letter.state != DeadState::Open && letter.at < span.events);
    settled.map(|letter| (letter.at, letter.id)).min().map(|(_, id)| id)
}

/// Removes the summary and at most `left` rows of the log; gives what is left of `left`.
fn remove_execution(state: &mut State, id: ExecutionId, left: u32) -> u32 {
    forget(state, id);
    state.removal.put(id, ());
    let rows: Vec<u64> = positions(state, id).take(left as usize).collect();
    for pos in &rows {
        if let Some(transition) = state.log.delete(pos) {
            raise(&mut state.removed_log, &transition.namespace, *pos);
        }
        state.log_of.delete(&(id, *pos));
    }
    if positions(state, id).next().is_none() {
        state.removal.delete(&id);
    }
    left - rows.len() as u32
}

fn positions(state: &State, id: ExecutionId) -> impl Iterator<Item = u64> {
    state.log_of.range((id, 0)..=(id, u64::MAX)).map(|((_, pos), ())| *pos)
}

/// One slice of removing a namespace: its executions by (workflow, status, instant of the list, id), its events as retention
/// goes through them, then what else is of it, and at last itself. Tells whether something is left.
pub(super) fn drop_namespace(state: &mut State, namespace: &Namespace, rows: u32) -> bool {
    let mut left = finish_removals(state, rows);
    while left > 0
        && let Some(id) = next_listed(state, namespace)
    {
        left = remove_execution(state, id, left);
    }
    while left > 0
        && let Some(pos) = next_event(state, namespace, Time(i64::MAX))
    {
        remove_event(state, namespace, pos);
        left -= 1;
    }
    if left == 0 {
        return true;
    }
    let mine = within(namespace);
    take(&mut state.seen, |(key, _), _| mine(&key.0), &mut left);
    take(&mut state.dead, |_, letter| mine(&letter.namespace), &mut left);
    take(&mut state.deliveries, |key, _| mine(&key.namespace), &mut left);
    take(&mut state.buckets, |(ns, _), _| mine(ns), &mut left);
    take(&mut state.checkpoints, |(ns, _, _), _| mine(ns), &mut left);
    take(&mut state.definitions, |key, _| mine(&key.1), &mut left);
    take(&mut state.secrets, |(ns, _), _| mine(ns), &mut left);
    if left > 0 {
        state.namespaces.delete(namespace);
    }
    left == 0
}

fn next_listed(state: &State, namespace: &Namespace) -> Option<ExecutionId> {
    let own = state.executions.values().filter(|row| row.namespace == *namespace);
    own.min_by_key(|row| (row.workflow.clone(), row.status, row.listed(), row.id)).map(|row| row.id)
}

/// Removes the first rows that are doomed, as many as are left.
fn take<K: Ord + Clone, V: Clone>(table: &mut Table<K, V>, doomed: impl Fn(&K, &V) -> bool, left: &mut u32) {
    let keys: Vec<K> = table
        .iter()
        .filter(|(key, row)| doomed(key, row))
        .take(*left as usize)
        .map(|(key, _)| key.clone())
        .collect();
    *left -= keys.len() as u32;
    for key in keys {
        table.delete(&key);
    }
}
