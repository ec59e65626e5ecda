//! Letting in: which of the offered events have room now, in the quotas of their namespace and in the buffers.
//!
//! Owns the waiting for room and the refusals. Writes nothing.

use std::sync::Arc;
use std::time::Duration;

use tidemill_dsl::event::Event;
use tidemill_dsl::ids::Namespace;
use tidemill_store::IngressPart;

use super::plan::{divert, plan};
use super::{Planned, PlannedEvent, counts};
use crate::buffer::{Full, Room};
use crate::error::Error;
use crate::quotas::{Admission, Wish};
use crate::rooms::Rooms;

/// Shortest and longest rest of a source whose namespace has used up a quota.
const QUOTA_REST: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// How long a full buffer with `whenFull: wait` holds an HTTP caller before 429.
const HOLD: Duration = Duration::from_secs(1);

/// What is to be accepted.
pub(super) struct Asked<'a> {
    pub(super) namespace: Namespace,
    pub(super) binding: Arc<str>,
    pub(super) events: &'a [Arc<Event>],
    /// A first part may be taken alone.
    pub(super) cuttable: bool,
    /// It waits as long as it takes.
    pub(super) patient: bool,
}

/// What was let in: it has its room in the buffers and its place in the quotas.
pub(super) struct Admitted {
    pub(super) part: IngressPart,
    pub(super) planned: Planned,
    pub(super) admission: Admission,
}

/// Plans the events, or as many of them as the quotas and the buffers have room for, waiting where that is asked for.
pub(super) async fn admit(rooms: &Rooms, asked: &Asked<'_>) -> Result<Admitted, Error> {
    let Asked { namespace, binding, events, cuttable, patient } = asked;
    let began = crate::clock::tick();
    let mut count = events.len();
    loop {
        let left = if *patient { None } else { Some(HOLD.saturating_sub(began.elapsed())) };
        let space = rooms.catalog.space(namespace);
        let (part, planned) = plan(&space, namespace, binding, &events[..count], (rooms.clock)())?;
        let admission = match rooms.quotas.admit(rooms, (namespace, &space), wish(&planned)).await {
            Ok(admission) => admission,
            // A part of what may be cut may fit; a source waits for the rest.
            Err(_) if *cuttable && count > 1 => {
                count = count.div_ceil(2);
                continue;
            }
            Err(Error::Quota { after, .. }) if *patient => {
                tokio::time::sleep(after.clamp(QUOTA_REST.0, QUOTA_REST.1)).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        let full = match rooms.buffers.reserve(&space, namespace, counts(&planned)) {
            Room::Yes => return Ok(Admitted { part, planned, admission }),
            Room::Divert(full) => {
                let (part, planned) = divert(part, planned, &space, &full);
                return Ok(Admitted { part, planned, admission });
            }
            Room::Full(full) => full,
        };
        let fits = if *cuttable { fitting(&planned, &full) } else { 0 };
        if fits > 0 {
            count = fits;
        } else {
            hold(full, *cuttable, left).await?;
        }
    }
}

fn full_buffer(trigger: &str) -> Error {
    Error::Busy {
        code: "buffer-full",
        detail: format!("accept events: the buffer of trigger `{trigger}` is full (limit buffer.capacity)"),
        after: Duration::from_secs(1),
    }
}

/// What the quotas of the namespace are asked for.
fn wish(planned: &Planned) -> Wish {
    let sum = |count: fn(&PlannedEvent) -> usize| planned.events.iter().map(count).sum::<usize>() as u64;
    Wish { begins: sum(|event| event.begins.len()), waits: sum(|event| event.buffered.len()) }
}

/// How many events from the first on have room, as far as the full buffer goes.
fn fitting(planned: &Planned, full: &Full) -> usize {
    let mut free = full.free;
    let fits = |event: &PlannedEvent| {
        if event.buffered.iter().any(|(name, _)| *name == full.trigger) {
            let fits = free > 0;
            free = free.saturating_sub(1);
            return fits;
        }
        true
    };
    planned.events.iter().map(fits).take_while(|fits| *fits).count()
}

/// Waits for room, or refuses: at once where the buffer refuses, where the events can never fit, or when no time is
/// left to wait (none: as long as it takes).
async fn hold(full: Full, cuttable: bool, left: Option<Duration>) -> Result<(), Error> {
    if full.wanted > full.capacity && !cuttable {
        let detail = format!(
            "accept {} events for trigger `{}` at once: its buffer holds {} (limit buffer.capacity); send fewer at once",
            full.wanted, full.trigger, full.capacity
        );
        return Err(Error::Unprocessable { code: "buffer-capacity", detail });
    }
    let Some(freed) = full.freed else { return Err(full_buffer(&full.trigger)) };
    match left {
        None => {
            metrics::counter!("tidemill_source_holds_total", "trigger" => full.trigger.to_string())
                .increment(1);
            freed.await;
            Ok(())
        }
        // Room looked free now and then is room that others took: the hold is one, however often it was looked.
        Some(left) if left.is_zero() => Err(full_buffer(&full.trigger)),
        Some(left) => match tokio::time::timeout(left, freed).await {
            Ok(()) => Ok(()),
            Err(_) => Err(full_buffer(&full.trigger)),
        },
    }
}
