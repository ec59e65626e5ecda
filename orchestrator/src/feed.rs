//! Lifecycle events for those who ask for them: triggers and listens that state such a type (D11).
//!
//! Follows the stored log with a stored cursor and offers what somebody wants to the ingress; what nobody wants is
//! never stored. An event that was offered before is a duplicate there, so going over a stretch again is harmless.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tidemill_dsl::event::{Event, LIFECYCLE};
use tidemill_dsl::filter::Filter;
use tidemill_dsl::ids::{Namespace, Time};
use tidemill_dsl::value::Value;
use tidemill_engine::record::Transition;
use tidemill_store::{Batch, Class, OperatorChange, Part};

use crate::buffer::submit;
use crate::deliveries::blocking;
use crate::error::Error;
use crate::hops;
use crate::ingress::Offer;
use crate::lifecycle;
use crate::logbook::Shelf;
use crate::rooms::Rooms;

/// Log rows read at once.
const PAGE: usize = 500;
/// Where the cursor is kept.
const CURSOR: &str = "lifecycle-cursor";
/// Between two attempts after a failure.
const REST: Duration = Duration::from_secs(1);

/// Who wants which types.
#[derive(Default)]
struct Wanted {
    kinds: BTreeMap<Namespace, BTreeSet<Arc<str>>>,
    /// Listens, and since when each wants to see events.
    listens: BTreeMap<String, Time>,
}

/// What was wanted the last time.
#[derive(Default)]
struct Known {
    asked: bool,
    listens: HashSet<String>,
}

/// Follows the log, forever. One task of the runtime.
pub async fn run(rooms: Arc<Rooms>) {
    let mut committed = rooms.stream.watch();
    let mut cursor = loop {
        match start(&rooms).await {
            Ok(cursor) => break cursor,
            Err(error) => tracing::warn!(%error, "cannot read the cursor of lifecycle events"),
        }
        tokio::time::sleep(REST).await;
    };
    let mut known = Known::default();
    loop {
        let until = *committed.borrow_and_update();
        if let Err(error) = follow(&rooms, &mut cursor, &mut known, until).await {
            tracing::warn!(%error, "cannot offer lifecycle events; trying again");
            tokio::time::sleep(REST).await;
            continue;
        }
        if committed.changed().await.is_err() {
            return;
        }
    }
}

/// Where the last process left off; the end of the log if nobody ever asked.
async fn start(rooms: &Arc<Rooms>) -> Result<u64, Error> {
    let store = rooms.store.clone();
    blocking(move || match store.meta(CURSOR)?.and_then(|value| value.as_i64()) {
        Some(cursor) => Ok(cursor as u64),
        None => store.last_pos(),
    })
    .await
}

async fn follow(rooms: &Arc<Rooms>, cursor: &mut u64, known: &mut Known, until: u64) -> Result<(), Error> {
    let wanted = wanted(rooms);
    if wanted.kinds.is_empty() {
        *cursor = until.max(*cursor);
        *known = Known::default();
        return Ok(());
    }
    if !known.asked {
        // A restart must not go back to what was before anybody asked.
        keep(rooms, *cursor).await?;
        known.asked = true;
    }
    let fresh =
        wanted.listens.iter().filter(|(key, _)| !known.listens.contains(*key)).map(|(_, since)| *since).min();
    if let Some(since) = fresh {
        *cursor = back(rooms, *cursor, since).await?;
    }
    known.listens = wanted.listens.keys().cloned().collect();
    let began = *cursor;
    while *cursor < until {
        let (events, end) = page(rooms, &wanted, *cursor).await?;
        for (namespace, event) in events {
            offer(rooms, namespace, event).await?;
        }
        match end {
            Some(end) => *cursor = end,
            None => *cursor = until,
        }
    }
    if *cursor > began {
        keep(rooms, *cursor).await?;
    }
    Ok(())
}

async fn keep(rooms: &Arc<Rooms>, cursor: u64) -> Result<(), Error> {
    let change = OperatorChange::Meta { key: CURSOR.into(), value: Value::from(cursor) };
    submit(rooms, Batch { class: Class::Running, parts: vec![Part::Operator(vec![change])] }).await?;
    Ok(())
}

fn wanted(rooms: &Rooms) -> Wanted {
    let mut wanted = Wanted::default();
    for (namespace, space) in rooms.catalog.spaces() {
        let stated = space.triggers().flat_map(|trigger| &trigger.spec.filters).filter_map(Filter::types);
        let own: BTreeSet<Arc<str>> = stated.flatten().filter(|kind| kind.starts_with(LIFECYCLE)).collect();
        if !own.is_empty() {
            wanted.kinds.insert(namespace, own);
        }
    }
    for subscription in rooms.listeners.stating(LIFECYCLE) {
        let Some(kind) = subscription.kind else { continue };
        wanted.kinds.entry(subscription.namespace).or_default().insert(kind);
        wanted
            .listens
            .insert(format!("{}/{}", subscription.execution, subscription.visit), subscription.since);
    }
    wanted
}

/// The position behind which everything was decided after an instant: a listen sees events since its execution began.
async fn back(rooms: &Arc<Rooms>, cursor: u64, since: Time) -> Result<u64, Error> {
    let store = rooms.store.clone();
    blocking(move || {
        let (mut high, mut width) = (cursor, PAGE as u64);
        loop {
            let low = high.saturating_sub(width);
            let first = store.stream(low, false, 1)?;
            let old = first.first().is_none_or(|(pos, row)| *pos > high || row.time < since);
            if low == 0 || old && !first.is_empty() {
                return Ok(low);
            }
            high = low;
            width = width.saturating_mul(2);
        }
    })
    .await
}

type Events = Vec<(Namespace, Event)>;

/// The wanted events of the next rows, and the last row's position; none at the end of the log.
async fn page(rooms: &Arc<Rooms>, wanted: &Wanted, after: u64) -> Result<(Events, Option<u64>), Error> {
    let (rooms, kinds) = (rooms.clone(), wanted.kinds.clone());
    let read = tokio::task::spawn_blocking(move || {
        let workflows_only = kinds.values().flatten().all(|kind| lifecycle::is_of_workflow(kind));
        let rows = rooms.store.stream(after, workflows_only, PAGE)?;
        let end = if rows.len() == PAGE { rows.last().map(|(pos, _)| *pos) } else { None };
        let mut shelf = Shelf::default();
        let mut events = Vec::new();
        for (_, transition) in rows {
            if let Some(own) = kinds.get(&transition.namespace) {
                told(&rooms, own, &transition, &mut shelf, &mut events)?;
            }
        }
        Ok::<_, Error>((events, end))
    });
    read.await.map_err(|error| Error::Unavailable(format!("read the log: {error}")))?
}

fn told(
    rooms: &Rooms,
    kinds: &BTreeSet<Arc<str>>,
    transition: &Transition,
    shelf: &mut Shelf,
    events: &mut Events,
) -> Result<(), Error> {
    let Some(book) = shelf.book(rooms, transition)? else {
        return Ok(());
    };
    let own = book.of(transition).iter().filter_map(|entry| lifecycle::event_of(&book.birth, entry, ""));
    for mut event in own.filter(|event| kinds.contains(&event.kind)) {
        if book.birth.path.len() >= rooms.hops {
            tracing::warn!(execution = %book.birth.id, kind = %event.kind, "a lifecycle event is not offered (limit hop-count)");
            metrics::counter!("tidemill_limit_met_total", "limit" => "hop-count").increment(1);
            continue;
        }
        hops::mark(&mut event, &book.birth);
        events.push((transition.namespace.clone(), event));
    }
    Ok(())
}

async fn offer(rooms: &Arc<Rooms>, namespace: Namespace, event: Event) -> Result<(), Error> {
    let offer = Offer {
        namespace,
        binding: "".into(),
        events: vec![event],
        checkpoints: Vec::new(),
        marks: Vec::new(),
        placed: Vec::new(),
        patient: true,
    };
    rooms.ingress.accept(rooms, offer).await?;
    Ok(())
}
