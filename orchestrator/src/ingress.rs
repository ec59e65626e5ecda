//! Ingress: one commit for source position, event, dedupe key and everything the event starts (promise 2).
//!
//! Matches, renders inputs, asks the buffers for room, hands one batch to the store and, once it is durable, tells the
//! lanes, buffers and listens. Speaks no protocol.

mod admit;
mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidemill_dsl::event::{Event, StoredEvent};
use tidemill_dsl::ids::{ExecutionId, Namespace, Time};
use tidemill_engine::record::Birth;
use tidemill_store::{Accepted, Batch, Checkpoint, Class, IngressPart, Part};

use crate::error::Error;
use crate::hops;
use crate::lanes::Input;
use crate::rooms::Rooms;
use admit::{Admitted, Asked, admit};
pub use plan::{Unstartable, dead_letter, start};
use plan::{bare, plan};

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
    buffered: Vec<(Arc<str>, ExecutionId)>,
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
    /// Whether the position alone tells if an event is new, one each; empty: all are judged by (source, id).
    pub placed: Vec<bool>,
    /// The position behind each event, one each; where a first part is taken alone its last ones are saved with it.
    /// Empty: nothing is saved before the last part.
    pub marks: Vec<Checkpoint>,
    /// Wait as long as it takes for room (a source), or answer busy after a second (an HTTP caller).
    pub patient: bool,
}

impl Offer {
    /// The first events of it, with the positions behind them.
    #[must_use]
    pub fn first(&self, count: usize) -> Offer {
        let whole = count == self.events.len();
        let marks = if whole { &self.marks[..] } else { &self.marks[..count.min(self.marks.len())] };
        Offer {
            namespace: self.namespace.clone(),
            binding: self.binding.clone(),
            events: self.events[..count].to_vec(),
            checkpoints: if whole { self.checkpoints.clone() } else { behind(marks) },
            marks: marks.to_vec(),
            placed: self.placed.iter().copied().take(count).collect(),
            patient: self.patient,
        }
    }

    /// Whether a first part may be taken alone: what comes again then is known by its position, or by its id.
    pub fn is_cuttable(&self) -> bool {
        self.patient && (self.placed.is_empty() || self.marks.len() == self.events.len())
    }

    /// Leaves the first events out: they are stored.
    pub fn skip(&mut self, count: usize) {
        self.events.drain(..count);
        self.marks.drain(..count.min(self.marks.len()));
        self.placed.drain(..count.min(self.placed.len()));
    }
}

impl Ingress {
    /// Accepts events; returns after the commit. Of what can be cut it may take only the first, as many as the receipts
    /// say: those that have room in their buffers. What was submitted is seen to its end also when nobody waits for it
    /// any more.
    pub async fn accept(&self, rooms: &Arc<Rooms>, offer: Offer) -> Result<Vec<EventReceipt>, Error> {
        let cuttable = offer.is_cuttable();
        let Offer { namespace, binding, events, checkpoints, marks, placed, patient } = offer;
        rooms.catalog.ensure_namespace(rooms, &namespace).await?;
        let events: Vec<Arc<Event>> = events.into_iter().map(Arc::new).collect();
        let asked = Asked { namespace, binding, events: &events, cuttable, patient };
        let Admitted { mut part, planned, admission } = admit(rooms, &asked).await?;
        let count = planned.events();
        let whole = count == events.len();
        for (arrival, placed) in part.arrivals.iter_mut().zip(placed) {
            arrival.placed = placed;
        }
        part.checkpoints = if whole { checkpoints } else { behind(&marks[..count.min(marks.len())]) };
        let committed = tokio::spawn(commit(rooms.clone(), Admitted { part, planned, admission }));
        committed.await.map_err(|_| Error::Unavailable("accept events: the service is stopping".into()))?
    }

    /// An emitted event: planned for the batch of the execution that emits it. A full buffer takes it all the same:
    /// a lane never waits.
    pub fn plan_emitted(
        &self,
        rooms: &Rooms,
        birth: &Birth,
        mut event: Event,
        now: Time,
    ) -> (IngressPart, Planned) {
        let namespace = &birth.namespace;
        let space = rooms.catalog.space(namespace);
        hops::mark(&mut event, birth);
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

    /// The part was refused: nothing of it was written, the room it had is free again.
    pub fn refused(&self, rooms: &Rooms, planned: &Planned) {
        rooms.buffers.release(&planned.namespace, counts(planned));
    }

    /// The part is durable: pending executions begin, buffers and listens wake.
    /// Executions that overlap left out never were.
    pub fn stored(&self, rooms: &Rooms, planned: Planned, outcomes: &[Accepted], skipped: &[ExecutionId]) {
        let Planned { namespace, binding, events } = planned;
        let mut unused: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for (planned, outcome) in events.into_iter().zip(outcomes) {
            match outcome {
                Accepted::Stored(pos) => {
                    self.accepted.fetch_add(1, Ordering::Relaxed);
                    for birth in planned.begins {
                        rooms.lanes.send(birth.id, Input::Begin(birth.id, Some(birth)));
                    }
                    for (trigger, id) in &planned.buffered {
                        if skipped.contains(id) {
                            metrics::counter!("tidemill_overlap_skipped_total", "trigger" => trigger.to_string())
                                .increment(1);
                            *unused.entry(trigger.clone()).or_default() += 1;
                        } else {
                            rooms.buffers.wake(&namespace, trigger);
                        }
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
                    for (trigger, _) in planned.buffered {
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

/// Writes what was let in and tells everyone concerned.
async fn commit(rooms: Arc<Rooms>, admitted: Admitted) -> Result<Vec<EventReceipt>, Error> {
    let Admitted { part, planned, admission: _admission } = admitted;
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
            let receipts = receipts(&planned, &committed.arrivals, &committed.skipped);
            rooms.ingress.stored(&rooms, planned, &committed.arrivals, &committed.skipped);
            rooms.stream.committed(committed.pos);
            Ok(receipts)
        }
        Err(refusal) => {
            rooms.ingress.refused(&rooms, &planned);
            Err(refusal.into())
        }
    }
}

fn counts(planned: &Planned) -> BTreeMap<Arc<str>, u64> {
    let mut counts = BTreeMap::new();
    for (trigger, _) in planned.events.iter().flat_map(|e| &e.buffered) {
        *counts.entry(trigger.clone()).or_default() += 1;
    }
    counts
}

/// The last position of each partition.
fn behind(marks: &[Checkpoint]) -> Vec<Checkpoint> {
    let last: BTreeMap<&str, &Checkpoint> = marks.iter().map(|mark| (&*mark.partition, mark)).collect();
    last.into_values().cloned().collect()
}

fn receipts(planned: &Planned, outcomes: &[Accepted], skipped: &[ExecutionId]) -> Vec<EventReceipt> {
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
                triggers: if duplicate { Vec::new() } else { fired(p, skipped) },
            }
        })
        .collect()
}

/// The triggers whose delivery was not left out.
fn fired(planned: &PlannedEvent, skipped: &[ExecutionId]) -> Vec<Arc<str>> {
    let left_out: Vec<&Arc<str>> =
        planned.buffered.iter().filter(|(_, id)| skipped.contains(id)).map(|(name, _)| name).collect();
    planned.triggers.iter().filter(|name| !left_out.contains(name)).cloned().collect()
}
