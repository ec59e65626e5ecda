//! What becomes of a delivery whose execution ended: done, tried again, or a dead letter. And redrive: the way back.

use std::sync::Arc;
use std::time::Duration;

use tidemill_dsl::event::StoredEvent;
use tidemill_dsl::expr::{NoArguments, Template};
use tidemill_dsl::ids::{Namespace, Time};
use tidemill_dsl::manifest::{self, ErrorClass};
use tidemill_engine::record::Ended;
use tidemill_store::{
    AttemptRecord, Batch, BufferChange, Class, Create, DeadLetter, DeadState, DeliveryKey, Part,
    StoredDelivery,
};

use crate::buffer::submit;
use crate::catalog::TriggerEntry;
use crate::error::Error;
use crate::inbox::DeliveryEnded;
use crate::ingress;
use crate::lanes::Input;
use crate::repair;
use crate::rooms::Rooms;
use crate::shard::create_pending;

/// The tag that an execution begun by a replay has: the batch that replayed its event.
pub const REPLAY: &str = "tidemill-replay";

/// What becomes of a delivery.
pub enum Verdict {
    /// It is done with.
    Done,
    /// It is tried again with a new execution.
    Again {
        /// The new pending execution.
        create: Box<Create>,
        /// Not before.
        not_before: Time,
        /// Attempt, from 1.
        attempt: u32,
    },
    /// It is dead, and its letter may start a repair.
    Dead(Box<DeadLetter>, Option<Box<Create>>),
}

/// Judges the end of a triggered execution by its trigger's retry policy. Without the trigger (deleted meanwhile) a
/// fault is a dead letter at once.
pub async fn judge(
    rooms: &Arc<Rooms>,
    end: &DeliveryEnded,
    delivery: Option<&StoredDelivery>,
) -> Result<Verdict, Error> {
    let Some(fault) = &end.fault else {
        return Ok(Verdict::Done);
    };
    let Some(stored) = event_of(rooms, end).await? else {
        tracing::warn!(execution = %end.execution, "the event of a failed delivery is beyond retention");
        return Ok(Verdict::Done);
    };
    let space = rooms.catalog.space(&end.namespace);
    let trigger = space.trigger(&end.cause.trigger);
    let about = (&end.namespace, &end.cause.binding, &stored.event);
    if let (Some(trigger), Some(_)) = (trigger, delivery)
        && let Some(not_before) = again_at(trigger, end, stored.accepted, fault)
    {
        let attempt = end.cause.attempt + 1;
        let envelope = stored.event.to_value();
        if let Ok((create, _)) = ingress::start(&space, trigger, &envelope, about, (end.at, attempt)) {
            return Ok(Verdict::Again { create: Box::new(create), not_before, attempt });
        }
    }
    if trigger.is_some_and(|t| matches!(t.spec.dead_letter, manifest::DeadLetter::Drop)) {
        metrics::counter!("tidemill_dead_letters_dropped_total").increment(1);
        return Ok(Verdict::Done);
    }
    let attempts = attempts_of(rooms, end).await?;
    let key = delivery.and_then(|d| d.delivery.key.clone());
    let base = match trigger {
        Some(trigger) => ingress::dead_letter(trigger, about, "faulted", end.at),
        None => orphan(end, &stored),
    };
    let parks = trigger.is_none_or(TriggerEntry::parks);
    let parked = key.as_ref().and(delivery).filter(|_| parks).map(|d| d.pos);
    let letter = DeadLetter { attempts, key, parked, ..base };
    let repair = trigger.and_then(|trigger| repair::start(&space, trigger, &letter)).map(Box::new);
    Ok(Verdict::Dead(Box::new(letter), repair))
}

fn orphan(end: &DeliveryEnded, stored: &StoredEvent) -> DeadLetter {
    DeadLetter {
        id: 0,
        namespace: end.namespace.clone(),
        trigger: end.cause.trigger.clone(),
        generation: end.cause.generation,
        cause: "faulted".into(),
        binding: end.cause.binding.clone(),
        event: stored.event.clone(),
        key: None,
        parked: None,
        attempts: Vec::new(),
        at: end.at,
        state: DeadState::Open,
    }
}

/// When the next attempt may begin; none when there is none.
fn again_at(
    trigger: &TriggerEntry,
    end: &DeliveryEnded,
    accepted: Time,
    fault: &tidemill_dsl::fault::Fault,
) -> Option<Time> {
    let policy = trigger.retries()?;
    if ErrorClass::of(fault) == ErrorClass::Permanent {
        return None;
    }
    let age = Duration::from_millis((end.at.0 - accepted.0).max(0) as u64);
    let mut seed = [0; 8];
    seed.copy_from_slice(&end.execution.0[8..]);
    let after = ErrorClass::retry_after(fault);
    policy.next(end.cause.attempt, (age, after), u64::from_be_bytes(seed)).map(|delay| end.at.plus(delay))
}

async fn event_of(rooms: &Arc<Rooms>, end: &DeliveryEnded) -> Result<Option<StoredEvent>, Error> {
    let (store, end) = (rooms.store.clone(), end.clone());
    let found = blocking(move || {
        store
            .event(&end.namespace, &end.cause.source, &end.cause.id)
            .map(|found| found.into_iter().find(|e| e.binding == end.cause.binding))
    })
    .await?;
    Ok(found)
}

async fn attempts_of(rooms: &Arc<Rooms>, end: &DeliveryEnded) -> Result<Vec<AttemptRecord>, Error> {
    let (store, e) = (rooms.store.clone(), end.clone());
    let rows =
        blocking(move || store.caused_by(&e.namespace, &e.cause.binding, &e.cause.source, &e.cause.id))
            .await?;
    let own = rows.into_iter().filter(|r| r.trigger.as_ref() == Some(&end.cause.trigger));
    Ok(own
        .filter_map(|row| match row.result {
            Some(Ended::Faulted(error)) => {
                Some(AttemptRecord { execution: row.id, at: row.ended.unwrap_or(row.created), error })
            }
            _ => None,
        })
        .collect())
}

/// Runs a read of the store on a blocking thread.
pub async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> tidemill_store::ReadResult<T> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(read).await;
    Ok(done.map_err(|e| Error::Unavailable(format!("read the store: {e}")))??)
}

/// Puts one dead letter back: a new pending execution (through the buffer if its trigger has one), the letter marked,
/// in one commit. With an edit its input, tags and order key are made from what that gives; the stored event stays as
/// it is. False if it is not open any more.
pub async fn redrive(
    rooms: &Arc<Rooms>,
    letter: &DeadLetter,
    edit: Option<&Template>,
) -> Result<bool, Error> {
    let (store, namespace, id) = (rooms.store.clone(), letter.namespace.clone(), letter.id);
    let current = blocking(move || store.dead_letter(&namespace, id)).await?;
    let Some(letter) = current.filter(|l| l.state == DeadState::Open) else {
        return Ok(false);
    };
    let space = rooms.catalog.space(&letter.namespace);
    let trigger =
        space.trigger(&letter.trigger).ok_or_else(|| Error::not_found("trigger", &*letter.trigger))?;
    let now = (rooms.clock)();
    let edited = edit.map(|edit| edit.eval(&letter.event.to_value(), &NoArguments)).transpose();
    let edited = edited.map_err(|fault| Error::conflict("edit", format!("edit the event: {fault}")))?;
    let envelope = edited.unwrap_or_else(|| letter.event.to_value());
    let about = (&letter.namespace, &letter.binding, &letter.event);
    let (create, delivery) =
        ingress::start(&space, trigger, &envelope, about, (now, 1)).map_err(|(cause, fault)| {
            Error::Conflict { code: cause, detail: fault.detail.unwrap_or_default().to_string() }
        })?;
    let birth = create.birth.clone();
    let mut changes = vec![BufferChange::DeadState {
        namespace: letter.namespace.clone(),
        id: letter.id,
        state: DeadState::Redriven,
    }];
    let buffered = delivery.is_some();
    match (delivery, letter.parked) {
        (Some(delivery), Some(pos)) => changes.push(BufferChange::Again {
            key: DeliveryKey { namespace: letter.namespace.clone(), trigger: letter.trigger.clone(), pos },
            not_before: now,
            attempt: 1,
            execution: delivery.execution,
        }),
        (Some(delivery), None) => changes.push(BufferChange::Enqueue(delivery)),
        (None, _) => {}
    }
    let parts = vec![Part::Create(Box::new(create)), Part::Buffer(changes)];
    submit(rooms, Batch { class: Class::New, parts }).await?;
    if buffered {
        rooms.buffers.force(&letter.namespace, std::iter::once((letter.trigger.clone(), 1)).collect());
        rooms.buffers.wake(&letter.namespace, &letter.trigger);
    } else {
        rooms.lanes.send(birth.id, Input::Begin(birth.id, Some(birth)));
    }
    Ok(true)
}

/// Delivers a stored event to a trigger once more: a new pending execution whose identity is derived from `at`, so that
/// the same replay does it once. False if it was done before.
pub async fn replay(
    rooms: &Arc<Rooms>,
    (namespace, batch): (&Namespace, &str),
    trigger: &str,
    row: &StoredEvent,
    at: Time,
) -> Result<bool, Error> {
    let space = rooms.catalog.space(namespace);
    let trigger = space.trigger(trigger).ok_or_else(|| Error::not_found("trigger", trigger))?;
    let envelope = row.event.to_value();
    let about = (namespace, &row.binding, &row.event);
    let (create, delivery) =
        ingress::start(&space, trigger, &envelope, about, (at, 1)).map_err(|(cause, fault)| {
            Error::Conflict { code: cause, detail: fault.detail.unwrap_or_default().to_string() }
        })?;
    let program =
        space.target(trigger).ok_or_else(|| Error::not_found("target of trigger", &*trigger.name))?;
    let mut birth = (*create.birth).clone();
    birth.tags.push((REPLAY.into(), batch.into()));
    let birth = Arc::new(birth);
    let create = create_pending(&program, &birth);
    let buffered = delivery.is_some();
    let changes = delivery.into_iter().map(BufferChange::Enqueue).collect();
    let parts = vec![Part::Create(Box::new(create)), Part::Buffer(changes)];
    match submit(rooms, Batch { class: Class::New, parts }).await {
        Ok(_) => {}
        Err(Error::Conflict { code: "exists", .. }) => return Ok(false),
        Err(error) => return Err(error),
    }
    if buffered {
        rooms.buffers.force(namespace, std::iter::once((trigger.name.clone(), 1)).collect());
        rooms.buffers.wake(namespace, &trigger.name);
    } else {
        rooms.lanes.send(birth.id, Input::Begin(birth.id, Some(birth)));
    }
    Ok(true)
}
