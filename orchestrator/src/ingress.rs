//! Ingress: one commit for source position, event, dedupe key and everything the event starts (promise 2).
//!
//! Matches, renders inputs, asks the buffers for room, hands one batch to the store and, once it is durable, tells the
//! lanes, buffers and listens. Speaks no protocol.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidemill_dsl::event::{Event, StoredEvent};
use tidemill_dsl::expr::NoArguments;
use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::{ExecutionId, Namespace, Time};
use tidemill_dsl::value::Value;
use tidemill_engine::record::{Birth, Cause};
use tidemill_store::{
    Accepted, Arrival, AttemptRecord, Batch, Checkpoint, Class, Create, DeadLetter, DeadState, Delivery,
    IngressPart, Part,
};

use crate::buffer::Room;
use crate::catalog::{Space, TriggerEntry};
use crate::error::Error;
use crate::lanes::Input;
use crate::rooms::Rooms;
use crate::shard::create_pending;

/// Triggers that one event may fire (limit `triggers-per-event`).
const MAX_TRIGGERS: usize = 100;
/// How long a full buffer with `whenFull: wait` holds an HTTP caller before 429.
const HOLD: Duration = Duration::from_secs(1);

/// Acceptance of events; counts what it did.
#[derive(Default)]
pub struct Ingress {
    accepted: AtomicU64,
    duplicates: AtomicU64,
    mismatches: AtomicU64,
}

/// What to tell whom once a part is stored.
pub struct Planned {
    namespace: Namespace,
    binding: Arc<str>,
    events: Vec<PlannedEvent>,
}

struct PlannedEvent {
    event: Arc<Event>,
    accepted: Time,
    begins: Vec<Arc<Birth>>,
    buffered: Vec<Arc<str>>,
    triggers: Vec<Arc<str>>,
}

impl Planned {
    /// How many events it holds.
    pub fn events(&self) -> usize {
        self.events.len()
    }
}

/// What became of one event.
#[derive(Debug, Clone)]
pub struct EventReceipt {
    /// Its id.
    pub id: Arc<str>,
    /// Its source.
    pub source: Arc<str>,
    /// Whether it was already there.
    pub duplicate: bool,
    /// Whether a duplicate's data differ from the first one's.
    pub mismatch: bool,
    /// Triggers that it fired.
    pub triggers: Vec<Arc<str>>,
}

/// Events to accept.
pub struct Offer {
    /// Namespace.
    pub namespace: Namespace,
    /// A Source's name, or "".
    pub binding: Arc<str>,
    /// The events.
    pub events: Vec<Event>,
    /// Positions to save in the same commit.
    pub checkpoints: Vec<Checkpoint>,
    /// Whether duplicates are judged by (source, id).
    pub dedupe: bool,
    /// Wait as long as it takes for room (a source), or answer busy after a second (an HTTP caller).
    pub patient: bool,
}

impl Ingress {
    /// Accepts events; returns after the commit.
    pub async fn accept(&self, rooms: &Rooms, offer: Offer) -> Result<Vec<EventReceipt>, Error> {
        let Offer { namespace, binding, events, checkpoints, dedupe, patient } = offer;
        rooms.catalog.ensure_namespace(rooms, &namespace).await?;
        let events: Vec<Arc<Event>> = events.into_iter().map(Arc::new).collect();
        let began = crate::clock::tick();
        let (mut part, planned) = loop {
            let space = rooms.catalog.space(&namespace);
            let (part, planned) = plan(&space, &namespace, &binding, &events, (rooms.clock)())?;
            match rooms.buffers.reserve(&space, &namespace, counts(&planned)) {
                Room::Yes => break (part, planned),
                Room::Divert(full) => break divert(part, planned, &space, &full),
                Room::Reject(trigger) => return Err(full_buffer(&trigger)),
                Room::Wait(trigger, freed) if patient => {
                    metrics::counter!("tidemill_source_holds_total", "trigger" => trigger.to_string())
                        .increment(1);
                    freed.await;
                }
                // Room looked free now and then is room that others took: the hold is one, however often it was looked.
                Room::Wait(trigger, freed) => {
                    let left = HOLD.saturating_sub(began.elapsed());
                    if left.is_zero() || tokio::time::timeout(left, freed).await.is_err() {
                        return Err(full_buffer(&trigger));
                    }
                }
            }
        };
        part.seen = dedupe;
        part.checkpoints = checkpoints;
        let (tx, rx) = tokio::sync::oneshot::channel();
        rooms.store.submit(
            Batch { class: Class::New, parts: vec![Part::Ingress(part)] },
            Box::new(move |result| {
                let _ = tx.send(result);
            }),
        );
        let result = rx.await.map_err(|_| Error::Unavailable("accept events: the store is closed".into()))?;
        match result {
            Ok(committed) => {
                let receipts = receipts(&planned, &committed.arrivals);
                self.stored(rooms, planned, &committed.arrivals);
                rooms.stream.committed(committed.pos);
                Ok(receipts)
            }
            Err(refusal) => {
                rooms.buffers.release(&namespace, counts(&planned));
                Err(refusal.into())
            }
        }
    }

    /// An emitted event: planned for the batch of the execution that emits it. A full buffer takes it all the same:
    /// a lane never waits.
    pub fn plan_emitted(
        &self,
        rooms: &Rooms,
        namespace: &Namespace,
        event: Event,
        now: Time,
    ) -> (IngressPart, Planned) {
        let space = rooms.catalog.space(namespace);
        let event = Arc::new(event);
        let binding: Arc<str> = "".into();
        let plan_one = |events: &[Arc<Event>]| plan(&space, namespace, &binding, events, now);
        let (part, planned) = plan_one(std::slice::from_ref(&event)).unwrap_or_else(|error| {
            tracing::error!(%error, "cannot match an emitted event; it is stored and fires nothing");
            bare(namespace, &binding, &event, now)
        });
        rooms.buffers.force(namespace, counts(&planned));
        (part, planned)
    }

    /// The part is durable: pending executions begin, buffers and listens wake.
    pub fn stored(&self, rooms: &Rooms, planned: Planned, outcomes: &[Accepted]) {
        let Planned { namespace, binding, events } = planned;
        let mut unused: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for (planned, outcome) in events.into_iter().zip(outcomes) {
            match outcome {
                Accepted::Stored(pos) => {
                    self.accepted.fetch_add(1, Ordering::Relaxed);
                    for birth in planned.begins {
                        rooms.lanes.send(birth.id, Input::Begin(birth.id, Some(birth)));
                    }
                    for trigger in &planned.buffered {
                        rooms.buffers.wake(&namespace, trigger);
                    }
                    let woken = rooms.listeners.event(&namespace, || StoredEvent {
                        pos: *pos,
                        accepted: planned.accepted,
                        binding: binding.clone(),
                        event: planned.event.clone(),
                    });
                    for ((id, visit), event) in woken {
                        rooms.lanes.send(id, Input::Event(id, visit, event));
                    }
                }
                Accepted::Duplicate { mismatch, .. } => {
                    self.duplicates.fetch_add(1, Ordering::Relaxed);
                    self.mismatches.fetch_add(u64::from(*mismatch), Ordering::Relaxed);
                    for trigger in planned.buffered {
                        *unused.entry(trigger).or_default() += 1;
                    }
                }
            }
        }
        if !unused.is_empty() {
            rooms.buffers.release(&namespace, unused);
        }
    }

    /// Accepted, duplicates, mismatches since the start.
    pub fn counters(&self) -> (u64, u64, u64) {
        (
            self.accepted.load(Ordering::Relaxed),
            self.duplicates.load(Ordering::Relaxed),
            self.mismatches.load(Ordering::Relaxed),
        )
    }
}

fn full_buffer(trigger: &str) -> Error {
    Error::Busy {
        code: "buffer-full",
        detail: format!("accept events: the buffer of trigger `{trigger}` is full (limit buffer.capacity)"),
        after: Duration::from_secs(1),
    }
}

fn counts(planned: &Planned) -> BTreeMap<Arc<str>, u64> {
    let mut counts = BTreeMap::new();
    for trigger in planned.events.iter().flat_map(|e| &e.buffered) {
        *counts.entry(trigger.clone()).or_default() += 1;
    }
    counts
}

fn receipts(planned: &Planned, outcomes: &[Accepted]) -> Vec<EventReceipt> {
    let pairs = planned.events.iter().zip(outcomes);
    pairs
        .map(|(p, outcome)| {
            let (duplicate, mismatch) = match outcome {
                Accepted::Stored(_) => (false, false),
                Accepted::Duplicate { mismatch, .. } => (true, *mismatch),
            };
            EventReceipt {
                id: p.event.id.clone(),
                source: p.event.source.clone(),
                duplicate,
                mismatch,
                triggers: if duplicate { Vec::new() } else { p.triggers.clone() },
            }
        })
        .collect()
}

fn bare(namespace: &Namespace, binding: &Arc<str>, event: &Arc<Event>, now: Time) -> (IngressPart, Planned) {
    let arrival =
        Arrival { event: event.clone(), accepted: now, starts: vec![], deliveries: vec![], dead: vec![] };
    let planned = PlannedEvent {
        event: event.clone(),
        accepted: now,
        begins: vec![],
        buffered: vec![],
        triggers: vec![],
    };
    (
        part_of(namespace, binding, vec![arrival]),
        Planned { namespace: namespace.clone(), binding: binding.clone(), events: vec![planned] },
    )
}

fn part_of(namespace: &Namespace, binding: &Arc<str>, arrivals: Vec<Arrival>) -> IngressPart {
    IngressPart {
        namespace: namespace.clone(),
        binding: binding.clone(),
        arrivals,
        seen: true,
        checkpoints: Vec::new(),
    }
}

/// Matches and renders: pure in the catalog's snapshot and the time.
fn plan(
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
        let mut arrival =
            Arrival { event: event.clone(), accepted: now, starts: vec![], deliveries: vec![], dead: vec![] };
        let mut own = PlannedEvent {
            event: event.clone(),
            accepted: now,
            begins: vec![],
            buffered: vec![],
            triggers: vec![],
        };
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
                    planned.buffered.push(trigger.name.clone());
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
            arrival.dead.push(DeadLetter { attempts: vec![attempt], ..letter });
        }
    }
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

/// Deliveries for full buffers with `whenFull: divert` become dead letters instead.
fn divert(
    mut part: IngressPart,
    mut planned: Planned,
    space: &Space,
    full: &[Arc<str>],
) -> (IngressPart, Planned) {
    for (arrival, own) in part.arrivals.iter_mut().zip(&mut planned.events) {
        for name in full {
            let Some(at) = arrival.deliveries.iter().position(|d| d.trigger == *name) else {
                continue;
            };
            let delivery = arrival.deliveries.remove(at);
            arrival.starts.retain(|c| c.birth.id != delivery.execution);
            own.buffered.retain(|t| t != name);
            if let Some(trigger) = space.trigger(name) {
                let about = (&part.namespace, &part.binding, &arrival.event);
                arrival.dead.push(dead_letter(trigger, about, "buffer-full", arrival.accepted));
            }
        }
    }
    (part, planned)
}
