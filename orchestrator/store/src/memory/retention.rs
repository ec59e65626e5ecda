//! Removal: slices of retention, and namespaces.
//!
//! Owns which rows go and in which order. Nothing of an execution that has not ended is removed by retention.

use std::collections::BTreeSet;

use tidemill_dsl::ids::{ExecutionId, Namespace, Time};

use super::apply::{forget, within};
use super::state::State;
use crate::batch::DeadState;
use crate::day;

/// One slice: first the logs of executions whose removal has begun, then executions ended before `executions` by
/// (end, id), then events accepted before `events` from the lowest position up to the first that stays, then dead
/// letters that were dealt with. A summary goes before its log, so nobody folds half a log. Tells whether something
/// is left; when nothing is, the keys of the days before `events` are forgotten.
pub(super) fn retain(state: &mut State, executions: Time, events: Time, rows: u32) -> bool {
    let mut left = rows;
    while left > 0 {
        let begun = state.removal.keys().next().copied();
        match begun.or_else(|| next_ended(state, executions)) {
            Some(id) => left = remove_execution(state, id, left),
            None => break,
        }
    }
    while left > 0 {
        let Some(pos) = next_event(state, events) else {
            break;
        };
        state.events.delete(&pos);
        state.removed_event = pos;
        left -= 1;
    }
    while left > 0 {
        let Some(id) = next_letter(state, events) else {
            break;
        };
        state.dead.delete(&id);
        left -= 1;
    }
    let more = !state.removal.is_empty()
        || next_ended(state, executions).is_some()
        || next_event(state, events).is_some()
        || next_letter(state, events).is_some();
    if !more {
        let today = day(events);
        state.seen.delete_where(|(_, day), _| *day < today);
    }
    more
}

fn next_ended(state: &State, before: Time) -> Option<ExecutionId> {
    let ended = state.executions.values().filter_map(|row| Some((row.ended?, row.id)));
    ended.filter(|(end, _)| *end < before).min().map(|(_, id)| id)
}

fn next_event(state: &State, before: Time) -> Option<u64> {
    let (pos, (_, event)) = state.events.iter().next()?;
    (event.accepted < before).then_some(*pos)
}

fn next_letter(state: &State, before: Time) -> Option<u64> {
    let settled = state.dead.values().filter(|letter| letter.state != DeadState::Open && letter.at < before);
    settled.map(|letter| (letter.at, letter.id)).min().map(|(_, id)| id)
}

/// Removes the summary and at most `left` rows of the log; gives what is left of `left`.
fn remove_execution(state: &mut State, id: ExecutionId, left: u32) -> u32 {
    forget(state, id);
    state.removal.put(id, ());
    let rows: Vec<u64> = positions(state, id).take(left as usize).collect();
    for pos in &rows {
        state.log.delete(pos);
        state.log_of.delete(&(id, *pos));
        state.removed_log = state.removed_log.max(*pos);
    }
    if positions(state, id).next().is_none() {
        state.removal.delete(&id);
    }
    left - rows.len() as u32
}

fn positions(state: &State, id: ExecutionId) -> impl Iterator<Item = u64> {
    state.log_of.range((id, 0)..=(id, u64::MAX)).map(|((_, pos), ())| *pos)
}

/// Removes a namespace with everything of it, in one go.
pub(super) fn drop_namespace(state: &mut State, namespace: &Namespace) {
    let mine = within(namespace);
    let ids: Vec<_> =
        state.executions.values().filter(|row| mine(&row.namespace)).map(|row| row.id).collect();
    for id in &ids {
        forget(state, *id);
        let rows: Vec<u64> = positions(state, *id).collect();
        for pos in rows {
            state.log.delete(&pos);
            state.log_of.delete(&(*id, pos));
        }
    }
    let ids: BTreeSet<ExecutionId> = ids.into_iter().collect();
    state.due.delete_where(|due, ()| ids.contains(&due.execution));
    state.subscriptions.delete_where(|_, s| mine(&s.namespace));
    state.events.delete_where(|_, (ns, _)| mine(ns));
    state.seen.delete_where(|(key, _), _| mine(&key.0));
    state.deliveries.delete_where(|key, _| mine(&key.namespace));
    state.buckets.delete_where(|(ns, _), _| mine(ns));
    state.dead.delete_where(|_, letter| mine(&letter.namespace));
    state.checkpoints.delete_where(|(ns, _, _), _| mine(ns));
    state.definitions.delete_where(|key, _| mine(&key.1));
    state.secrets.delete_where(|(ns, _), _| mine(ns));
    state.namespaces.delete(namespace);
}
