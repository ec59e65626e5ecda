//! Planning: what an event fires, rendered and ready to be written. Pure in the catalog's snapshot and the time.
//!
//! Owns births, deliveries and dead letters of arrivals. Reserves no room and writes nothing.

use std::sync::Arc;

use tidemill_dsl::event::Event;
use tidemill_dsl::expr::NoArguments;
use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::{ExecutionId, Namespace, Time};
use tidemill_dsl::manifest::{self, Overlap, Target};
use tidemill_dsl::value::Value;
use tidemill_engine::record::{Birth, Cause};
use tidemill_store::{Arrival, AttemptRecord, Create, DeadLetter, DeadState, Delivery, IngressPart};

use super::{Planned, PlannedEvent};
use crate::catalog::{Space, TriggerEntry};
use crate::error::Error;
use crate::hops;
use crate::repair;
use crate::shard::create_pending;

/// Triggers that one event may fire (limit `triggers-per-event`).
const MAX_TRIGGERS: usize = 100;

/// An event that fires nothing.
pub(super) fn bare(
    namespace: &Namespace,
    binding: &Arc<str>,
    event: &Arc<Event>,
    now: Time,
) -> (IngressPart, Planned) {
    let (arrival, planned) = empty(event, now);
    (
        part_of(namespace, binding, vec![arrival]),
        Planned { namespace: namespace.clone(), binding: binding.clone(), events: vec![planned] },
    )
}

fn empty(event: &Arc<Event>, accepted: Time) -> (Arrival, PlannedEvent) {
    let (starts, deliveries, dead, skips) = (vec![], vec![], vec![], vec![]);
    let arrival = Arrival { event: event.clone(), accepted, placed: false, starts, deliveries, dead, skips };
    let (begins, buffered, triggers) = (vec![], vec![], vec![]);
    (arrival, PlannedEvent { event: event.clone(), accepted, begins, buffered, triggers })
}

fn part_of(namespace: &Namespace, binding: &Arc<str>, arrivals: Vec<Arrival>) -> IngressPart {
    IngressPart { namespace: namespace.clone(), binding: binding.clone(), arrivals, checkpoints: Vec::new() }
}

/// Matches and renders.
pub(super) fn plan(
    space: &Space,
    namespace: &Namespace,
    binding: &Arc<str>,
    events: &[Arc<Event>],
    now: Time,
) -> Result<(IngressPart, Planned), Error> {
    let mut arrivals = Vec::with_capacity(events.len());
    let mut planned = Vec::with_capacity(events.len());
    for event in events {
        let fired = space.matching(binding, event);
        if fired.len() > MAX_TRIGGERS {
            let detail = format!(
                "fire {} triggers with one event (limit triggers-per-event: {MAX_TRIGGERS})",
                fired.len()
            );
            return Err(Error::Unprocessable { code: "triggers-per-event", detail });
        }
        let (mut arrival, mut own) = empty(event, now);
        if !fired.is_empty() {
            let envelope = event.to_value();
            for trigger in fired {
                own.triggers.push(trigger.name.clone());
                fire(space, (&trigger, &envelope), &mut arrival, &mut own, (namespace, binding));
            }
        }
        arrivals.push(arrival);
        planned.push(own);
    }
    let planned = Planned { namespace: namespace.clone(), binding: binding.clone(), events: planned };
    Ok((part_of(namespace, binding, arrivals), planned))
}

fn fire(
    space: &Space,
    (trigger, envelope): (&TriggerEntry, &Value),
    arrival: &mut Arrival,
    planned: &mut PlannedEvent,
    (namespace, binding): (&Namespace, &Arc<str>),
) {
    let event = arrival.event.clone();
    match start(space, trigger, envelope, (namespace, binding, &event), (arrival.accepted, 1)) {
        Ok((create, delivery)) => {
            match delivery {
                Some(delivery) => {
                    planned.buffered.push((trigger.name.clone(), delivery.execution));
                    if trigger.spec.overlap == Overlap::Skip {
                        arrival.skips.push(trigger.name.clone());
                    }
                    arrival.deliveries.push(delivery);
                }
                None => planned.begins.push(create.birth.clone()),
            }
            arrival.starts.push(create);
        }
        Err((cause, fault)) => {
            let id = execution_id(arrival.accepted, trigger, binding, &event, 1);
            let attempt = AttemptRecord { execution: id, at: arrival.accepted, error: fault };
            let letter = dead_letter(trigger, (namespace, binding, &event), cause, arrival.accepted);
            let letter = DeadLetter { attempts: vec![attempt], ..letter };
            bury(space, trigger, letter, (arrival, planned));
        }
    }
}

/// A dead letter goes with its event, and so does the repair it starts.
fn bury(
    space: &Space,
    trigger: &TriggerEntry,
    letter: DeadLetter,
    (arrival, planned): (&mut Arrival, &mut PlannedEvent),
) {
    if let Some(create) = repair::start(space, trigger, &letter) {
        planned.begins.push(create.birth.clone());
        arrival.starts.push(create);
    }
    arrival.dead.push(letter);
}

/// A fresh dead letter of a trigger for an event.
pub fn dead_letter(
    trigger: &TriggerEntry,
    (namespace, binding, event): (&Namespace, &Arc<str>, &Arc<Event>),
    cause: &str,
    at: Time,
) -> DeadLetter {
    DeadLetter {
        id: 0,
        namespace: namespace.clone(),
        trigger: trigger.name.clone(),
        generation: trigger.generation,
        cause: cause.into(),
        binding: binding.clone(),
        event: event.clone(),
        key: None,
        parked: None,
        attempts: Vec::new(),
        at,
        state: DeadState::Open,
    }
}

fn execution_id(at: Time, trigger: &TriggerEntry, binding: &str, event: &Event, attempt: u32) -> ExecutionId {
    let parts: [&[u8]; 6] = [
        trigger.namespace.as_bytes(),
        binding.as_bytes(),
        event.source.as_bytes(),
        event.id.as_bytes(),
        trigger.name.as_bytes(),
        &attempt.to_be_bytes(),
    ];
    ExecutionId::derived(at, &parts)
}

/// Why a delivery cannot become an execution: a dead letter's cause and the error.
pub type Unstartable = (&'static str, Fault);

/// The pending execution of one event for one trigger, and its delivery when the trigger has a buffer.
pub fn start(
    space: &Space,
    trigger: &TriggerEntry,
    envelope: &Value,
    (namespace, binding, event): (&Namespace, &Arc<str>, &Arc<Event>),
    (now, attempt): (Time, u32),
) -> Result<(Create, Option<Delivery>), Unstartable> {
    let program = space.target(trigger).ok_or_else(|| {
        let detail = format!("cannot find the target of trigger `{}`", trigger.name);
        ("target-missing", Fault::configuration(detail))
    })?;
    let render = |template: &Option<tidemill_dsl::expr::Template>| match template {
        Some(template) => template.eval(envelope, &NoArguments).map_err(|fault| ("input-error", fault)),
        None => Ok(envelope.clone()),
    };
    let input = render(&trigger.spec.input)?;
    let input = match &trigger.spec.target {
        Target::Sink(_) if trigger.spec.input.is_some() => manifest::sent(envelope, input),
        _ => input,
    };
    let mut tags = Vec::with_capacity(trigger.spec.tags.len());
    for (name, template) in &trigger.spec.tags {
        let value = template.eval(envelope, &NoArguments).map_err(|fault| ("input-error", fault))?;
        tags.push((name.clone(), text_of(&value)));
    }
    let key = match trigger.spec.buffer.as_ref().and_then(|b| b.order_by.as_ref()) {
        Some(template) => {
            let value = template.eval(envelope, &NoArguments).map_err(|fault| ("input-error", fault))?;
            (!value.is_null()).then(|| text_of(&value))
        }
        None => None,
    };
    let buffered = trigger.buffered();
    let birth = Arc::new(Birth {
        id: execution_id(now, trigger, binding, event, attempt),
        namespace: namespace.clone(),
        workflow: program.document.name.clone(),
        version: program.document.version.clone(),
        digest: program.digest,
        created: now,
        input,
        cause: Some(Cause {
            trigger: trigger.name.clone(),
            generation: trigger.generation,
            attempt,
            binding: binding.clone(),
            source: event.source.clone(),
            id: event.id.clone(),
            buffered,
        }),
        parent: None,
        tags,
        path: hops::path(event),
    });
    let delivery = buffered.then(|| Delivery {
        namespace: namespace.clone(),
        trigger: trigger.name.clone(),
        execution: birth.id,
        key,
        priority: trigger.spec.buffer.as_ref().map_or(0, |b| b.priority),
        attempt,
        not_before: now,
    });
    Ok((create_pending(&program, &birth), delivery))
}

fn text_of(value: &Value) -> Arc<str> {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string().into(),
    }
}

/// Deliveries beyond the free places of full buffers with `whenFull: divert` become dead letters instead.
pub(super) fn divert(
    mut part: IngressPart,
    mut planned: Planned,
    space: &Space,
    full: &[(Arc<str>, u64)],
) -> (IngressPart, Planned) {
    for (name, free) in full {
        let Some(trigger) = space.trigger(name) else { continue };
        let mut left = *free;
        for (arrival, own) in part.arrivals.iter_mut().zip(&mut planned.events) {
            let Some(at) = arrival.deliveries.iter().position(|d| d.trigger == *name) else {
                continue;
            };
            if left > 0 {
                left -= 1;
                continue;
            }
            let delivery = arrival.deliveries.remove(at);
            arrival.starts.retain(|c| c.birth.id != delivery.execution);
            own.buffered.retain(|(_, id)| *id != delivery.execution);
            let about = (&part.namespace, &part.binding, &arrival.event);
            let letter = dead_letter(trigger, about, "buffer-full", arrival.accepted);
            bury(space, trigger, letter, (arrival, own));
        }
    }
    (part, planned)
}
