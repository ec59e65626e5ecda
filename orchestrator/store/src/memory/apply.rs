//! What each part of a batch means: the specification the other stores are measured against.
//!
//! Owns the meaning of parts. A refusal leaves the state for the caller to roll back.

use std::sync::Arc;

use tidemill_dsl::event::StoredEvent;
use tidemill_dsl::ids::{ExecutionId, Namespace};
use tidemill_engine::record::{DueChange, SubscriptionChange, Summary, Transition};

use super::buffer::{buffer, bury, enqueue, is_open};
use super::operator::{definition, operator};
use super::state::{EventKey, State};
use crate::batch::{Accepted, Arrival, Batch, Committed, Create, IngressPart, Part, Refusal, ShardPart};
use crate::read::ExecutionRow;
use crate::{Counters, day};

/// Applies a batch, part by part.
pub(super) fn apply(state: &mut State, batch: &Batch, counters: &mut Counters) -> Result<Committed, Refusal> {
    let mut out = Committed::default();
    for part in &batch.parts {
        match part {
            Part::Shard(part) => shard(state, part, counters)?,
            Part::Ingress(part) => ingress(state, part, &mut out, counters)?,
            Part::Create(create) => begin(state, create, counters)?,
            Part::Inbox(items) => {
                for item in items {
                    state.inbox.put_new(item.key, item.body.clone());
                }
            }
            Part::Buffer(changes) => {
                for change in changes {
                    buffer(state, change, &mut out);
                }
            }
            Part::Definitions(changes) => {
                for change in changes {
                    definition(state, change);
                }
            }
            Part::Operator(changes) => {
                for change in changes {
                    operator(state, change, &mut out);
                }
            }
        }
    }
    out.pos = state.pos;
    Ok(out)
}

fn shard(state: &mut State, part: &ShardPart, counters: &mut Counters) -> Result<(), Refusal> {
    for (shard, epoch) in &part.epochs {
        match state.epochs.get(shard) {
            Some(known) if known > epoch => return Err(Refusal::StaleEpoch),
            _ => state.epochs.put(*shard, *epoch),
        }
    }
    for transition in &part.transitions {
        append(state, transition, counters);
    }
    for summary in &part.summaries {
        summarise(state, summary);
    }
    for snapshot in &part.states {
        state.states.put(snapshot.execution, snapshot.clone());
    }
    for change in &part.due {
        match change {
            DueChange::Set(due) => state.due.put(*due, ()),
            DueChange::Clear(due) => drop(state.due.delete(due)),
        }
    }
    for change in &part.subscriptions {
        match change {
            SubscriptionChange::Add(s) => state.subscriptions.put((s.execution, s.visit), s.clone()),
            SubscriptionChange::Remove(execution, visit) => {
                drop(state.subscriptions.delete(&(*execution, *visit)));
            }
        }
    }
    for key in &part.inbox_done {
        state.inbox.delete(key);
    }
    Ok(())
}

fn append(state: &mut State, transition: &Transition, counters: &mut Counters) {
    let pos = state.next();
    state.log.put(pos, transition.clone());
    state.log_of.put((transition.execution, pos), ());
    counters.transitions += 1;
    counters.bytes += transition.body.len() as u64;
}

fn summarise(state: &mut State, summary: &Summary) {
    state.executions.change(&summary.execution, |row| {
        row.status = summary.status;
        row.started = summary.started;
        row.ended = summary.ended;
        row.result.clone_from(&summary.result);
    });
}

fn begin(state: &mut State, create: &Create, counters: &mut Counters) -> Result<(), Refusal> {
    let birth = &create.birth;
    if let Some(key) = &create.key {
        let slot = (birth.namespace.clone(), birth.workflow.clone(), key.key.clone());
        if let Some((execution, body)) = state.start_keys.get(&slot) {
            return Err(Refusal::KeyTaken { execution: *execution, same_body: *body == key.body });
        }
        state.start_keys.put(slot, (birth.id, key.body));
    }
    if state.executions.contains_key(&birth.id) {
        return Err(Refusal::Exists(birth.id));
    }
    let cause = birth.cause.as_ref();
    let row = ExecutionRow {
        id: birth.id,
        namespace: birth.namespace.clone(),
        workflow: birth.workflow.clone(),
        version: birth.version.clone(),
        digest: birth.digest,
        status: create.summary.status,
        created: birth.created,
        started: create.summary.started,
        ended: create.summary.ended,
        result: create.summary.result.clone(),
        trigger: cause.map(|c| c.trigger.clone()),
        event: cause.map(|c| (c.binding.clone(), c.source.clone(), c.id.clone())),
        attempt: cause.map_or(0, |c| c.attempt),
        parent: birth.parent,
        tags: birth.tags.clone(),
    };
    state.executions.put(birth.id, row);
    append(state, &create.first, counters);
    Ok(())
}

fn ingress(
    state: &mut State,
    part: &IngressPart,
    out: &mut Committed,
    counters: &mut Counters,
) -> Result<(), Refusal> {
    for arrival in &part.arrivals {
        let event = &arrival.event;
        let key: EventKey =
            (part.namespace.clone(), part.binding.clone(), event.source.clone(), event.id.clone());
        if !arrival.placed
            && let Some(earlier) = latest(state, &key)
        {
            let mismatch = earlier.event.data != event.data;
            out.arrivals.push(Accepted::Duplicate { pos: earlier.pos, mismatch });
            continue;
        }
        let pos = state.next();
        let stored = StoredEvent {
            pos,
            accepted: arrival.accepted,
            binding: part.binding.clone(),
            event: event.clone(),
        };
        state.events.put(pos, (part.namespace.clone(), stored));
        state.seen.put((key, day(arrival.accepted)), pos);
        out.arrivals.push(Accepted::Stored(pos));
        follow(state, arrival, out, counters)?;
    }
    for checkpoint in &part.checkpoints {
        let key = (part.namespace.clone(), checkpoint.source.clone(), checkpoint.partition.clone());
        state.checkpoints.put(key, checkpoint.value.clone());
    }
    Ok(())
}

/// What an accepted event starts.
fn follow(
    state: &mut State,
    arrival: &Arrival,
    out: &mut Committed,
    counters: &mut Counters,
) -> Result<(), Refusal> {
    let may_skip = arrival.deliveries.iter().filter(|d| arrival.skips.contains(&d.trigger));
    let skipped: Vec<_> = may_skip.filter(|d| is_open(state, d)).map(|d| d.execution).collect();
    for create in arrival.starts.iter().filter(|create| !skipped.contains(&create.birth.id)) {
        begin(state, create, counters)?;
    }
    for delivery in arrival.deliveries.iter().filter(|d| !skipped.contains(&d.execution)) {
        out.deliveries.push(enqueue(state, delivery));
    }
    out.skipped.extend(skipped);
    for letter in &arrival.dead {
        bury(state, letter);
    }
    Ok(())
}

/// The latest stored event of a key.
pub(super) fn latest<'a>(state: &'a State, key: &EventKey) -> Option<&'a StoredEvent> {
    let days = (key.clone(), i64::MIN)..=(key.clone(), i64::MAX);
    let positions = state.seen.range(days).map(|(_, pos)| pos);
    positions.filter_map(|pos| state.events.get(pos)).map(|(_, event)| event).max_by_key(|event| event.pos)
}

/// Removes an execution's summary and all that hangs on it, except its log and its timers (an ended one has none).
pub(super) fn forget(state: &mut State, id: ExecutionId) {
    if state.executions.delete(&id).is_none() {
        return;
    }
    state.states.delete(&id);
    state.start_keys.delete_where(|_, (execution, _)| *execution == id);
    state.subscriptions.delete_where(|(execution, _), _| *execution == id);
}

/// Whether a row keyed by a namespace belongs to it.
pub(super) fn within(namespace: &Namespace) -> impl Fn(&Arc<str>) -> bool {
    let namespace = namespace.clone();
    move |other| *other == namespace
}
