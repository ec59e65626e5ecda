//! Events: posting, listing, one event.
//!
//! Owns their JSON forms. Reading CloudEvents is the language's, accepting them the ingress's.

use std::sync::Arc;

use axum::response::Response;
use serde::{Deserialize, Serialize};
use tidemill_dsl::event::{self, Event, LIFECYCLE, Limits, StoredEvent};
use tidemill_store::EventQuery;
use utoipa::ToSchema;

use super::batches::rate;
use super::body::{Json, json, raw};
use super::call::Call;
use super::dead_letters::{instant, launch};
use super::lenient;
use super::paging::{Keyset, Page};
use crate::deliveries::blocking;
use crate::error::Error;
use crate::ingress::{EventReceipt, Offer};
use crate::lifecycle;
use crate::logbook::{self, Walk};
use crate::problem::Problem;
use crate::redrive::{Action, Filter, Plan};
use crate::rooms::Rooms;

/// Events read at once for a count.
const COUNT_PAGE: usize = 1000;
/// Events replayed per second when the caller states no rate.
const REPLAY_RATE: f64 = 100.0;

/// The answer to posted events.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Taken<'a> {
    /// How many are new.
    accepted: usize,
    /// How many were there already.
    duplicates: usize,
    /// How many of the duplicates have other data than the first one.
    mismatches: usize,
    events: Vec<Receipt<'a>>,
}

/// What became of one event.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Receipt<'a> {
    id: &'a str,
    source: &'a str,
    duplicate: bool,
    mismatch: bool,
    /// The triggers that it fired.
    triggers: Vec<&'a str>,
}

/// One event of a list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// The CloudEvent.
    event: Json,
    /// The Source that brought it, or "".
    binding: String,
    received_at: String,
}

/// `POST /events`.
pub async fn post(call: Call) -> Result<Response, Problem> {
    let headers = call.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let events = event::http::read(headers, &call.body, Limits::default())?;
    if call.query.flag("dryRun")? {
        return dry(&call, &events);
    }
    let offer = Offer {
        namespace: call.namespace.clone(),
        binding: "".into(),
        events,
        checkpoints: Vec::new(),
        marks: Vec::new(),
        placed: Vec::new(),
        patient: false,
    };
    let receipts = call.rooms().ingress.accept(call.rooms(), offer).await?;
    json(202, &accepted(&receipts))
}

/// What would be fired, without writing.
fn dry(call: &Call, events: &[Event]) -> Result<Response, Problem> {
    let space = call.rooms().catalog.space(&call.namespace);
    let receipts: Vec<EventReceipt> = events
        .iter()
        .map(|event| EventReceipt {
            id: event.id.clone(),
            source: event.source.clone(),
            duplicate: false,
            mismatch: false,
            triggers: space.matching("", event).iter().map(|trigger| trigger.name.clone()).collect(),
        })
        .collect();
    json(200, &accepted(&receipts))
}

/// The receipts as told.
pub(super) fn accepted(receipts: &[EventReceipt]) -> Taken<'_> {
    let duplicates = receipts.iter().filter(|r| r.duplicate).count();
    Taken {
        accepted: receipts.len() - duplicates,
        duplicates,
        mismatches: receipts.iter().filter(|r| r.mismatch).count(),
        events: receipts
            .iter()
            .map(|r| Receipt {
                id: &r.id,
                source: &r.source,
                duplicate: r.duplicate,
                mismatch: r.mismatch,
                triggers: r.triggers.iter().map(|t| &**t).collect(),
            })
            .collect(),
    }
}

/// Body of a replay.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplayBody {
    /// The trigger that is given the events; its rule is judged again.
    trigger: String,
    /// Only events of this type.
    #[serde(rename = "type")]
    kind: Option<String>,
    since: Option<String>,
    until: Option<String>,
    /// At most so many per time; `100/s` when absent; a number is so many a second.
    #[serde(default, deserialize_with = "lenient::rate")]
    rate: Option<String>,
    limit: Option<u64>,
    #[serde(default)]
    dry_run: bool,
}

/// `POST /events/replay`: stored events to one trigger, as a batch at a capped rate.
pub async fn replay(call: Call) -> Result<Response, Problem> {
    let body: ReplayBody = call.read()?;
    let plan = Plan {
        namespace: call.namespace.clone(),
        action: Action::Replay,
        filter: Filter {
            trigger: Some(body.trigger.into()),
            kind: body.kind.map(Into::into),
            since: instant("since", body.since.as_ref())?,
            until: instant("until", body.until.as_ref())?,
            ..Filter::default()
        },
        rate: rate(body.rate.as_deref())?.or(Some(REPLAY_RATE)),
        limit: body.limit,
        reason: None,
        edit: None,
    };
    launch(&call, plan, body.dry_run).await
}

/// `GET /events`: newest first. Lifecycle events are listed when their type is asked for.
pub async fn list(call: Call) -> Result<Response, Problem> {
    let keyset = Keyset::new("events", &call.namespace, &call.query);
    let size = call.query.page_size(50)?;
    let wanted = Wanted {
        kind: call.query.text("type"),
        since: call.query.time("since")?,
        until: call.query.time("until")?,
        before: keyset.number(&call.query)?.unwrap_or(u64::MAX),
        size,
        url: call.url(),
    };
    let (rooms, namespace) = (call.rooms().clone(), call.namespace.clone());
    let read = tokio::task::spawn_blocking(move || read(&rooms, &namespace, &wanted));
    let (items, rest) = read.await.map_err(|e| Error::Unavailable(format!("read events: {e}")))??;
    let next = rest.map(|key| keyset.token(&key.to_be_bytes()));
    let total = if call.query.flag("count")? { Some(count(&call).await?) } else { None };
    json(200, &Page { total, ..Page::new(items, next) })
}

struct Wanted {
    kind: Option<Arc<str>>,
    since: Option<tidemill_dsl::ids::Time>,
    until: Option<tidemill_dsl::ids::Time>,
    before: u64,
    size: usize,
    url: String,
}

/// How many events the list has, over all its pages.
async fn count(call: &Call) -> Result<u64, Problem> {
    let mut wanted = Wanted {
        kind: call.query.text("type"),
        since: call.query.time("since")?,
        until: call.query.time("until")?,
        before: u64::MAX,
        size: COUNT_PAGE,
        url: String::new(),
    };
    let (rooms, namespace) = (call.rooms().clone(), call.namespace.clone());
    let counted = tokio::task::spawn_blocking(move || {
        let mut total = 0;
        loop {
            let (items, rest) = read(&rooms, &namespace, &wanted)?;
            total += items.len() as u64;
            match rest {
                Some(key) => wanted.before = key,
                None => return Ok::<_, Error>(total),
            }
        }
    });
    Ok(counted.await.map_err(|e| Error::Unavailable(format!("count events: {e}")))??)
}

/// One page: stored events and, for a lifecycle type, those that the log tells; the key below which to go on.
fn read(rooms: &Rooms, namespace: &str, wanted: &Wanted) -> Result<(Vec<Listed>, Option<u64>), Error> {
    let mut found = stored(rooms, namespace, wanted)?;
    let full = found.len() > wanted.size;
    found.truncate(wanted.size);
    let mut rest = found.last().filter(|_| full).map(|(key, _)| *key);
    if let Some(kind) = wanted.kind.as_deref().filter(|kind| kind.starts_with(LIFECYCLE)) {
        let told = told(rooms, namespace, wanted, kind)?;
        // Below the higher of the two ends one of the walks has not looked yet.
        let edge = rest.max(told.rest);
        found.extend(told.items.into_iter().map(|(key, listed)| (key, Some(listed))));
        found.sort_by(|(a, _), (b, _)| b.cmp(a));
        found.retain(|(key, _)| edge.is_none_or(|edge| *key >= edge));
        let cut = found.len() > wanted.size;
        found.truncate(wanted.size);
        rest = if cut { found.last().map(|(key, _)| *key) } else { edge };
    }
    Ok((found.into_iter().filter_map(|(_, listed)| listed).collect(), rest))
}

fn stored(rooms: &Rooms, namespace: &str, wanted: &Wanted) -> Result<Vec<(u64, Option<Listed>)>, Error> {
    let query = EventQuery {
        namespace: namespace.into(),
        kind: wanted.kind.clone(),
        since: wanted.since,
        until: wanted.until,
        // An event's key is that of its position, so what lies below the key begins below the position.
        after: (wanted.before != u64::MAX).then(|| wanted.before.div_ceil(4096)),
        descending: true,
        limit: wanted.size + 1,
    };
    let rows = rooms.store.events(&query)?;
    // A lifecycle event that was stored for a trigger or a listen is told by the log already: its place holds nothing.
    let own = |row: &StoredEvent| lifecycle::named(namespace, &row.event.source, &row.event.id).is_none();
    Ok(rows.into_iter().map(|row| (logbook::key(row.pos, 0), own(&row).then(|| listed(&row)))).collect())
}

fn listed(row: &StoredEvent) -> Listed {
    Listed {
        event: Json(row.event.to_value()),
        binding: row.binding.to_string(),
        received_at: row.accepted.rfc3339(),
    }
}

fn told(
    rooms: &Rooms,
    namespace: &str,
    wanted: &Wanted,
    kind: &str,
) -> Result<logbook::Found<Listed>, Error> {
    let Some(entry_kind) = lifecycle::entry_of(kind) else {
        return Ok(logbook::Found { items: Vec::new(), rest: None });
    };
    let walk = Walk {
        namespace,
        lifecycle: lifecycle::is_of_workflow(kind),
        since: wanted.since,
        until: wanted.until,
        before: wanted.before,
    };
    logbook::backwards(rooms, &walk, wanted.size, |birth, entry| {
        if entry.kind != entry_kind {
            return None;
        }
        let event = lifecycle::event_of(birth, entry, &wanted.url)?;
        Some(Listed {
            event: Json(event.to_value()),
            binding: String::new(),
            received_at: entry.time.rfc3339(),
        })
    })
}

/// `GET /events/{source}/{id}`: the event itself.
pub async fn get(call: Call) -> Result<Response, Problem> {
    let found = find(&call).await?;
    let first = found.first().ok_or_else(|| missing(&call))?;
    Ok(raw(200, event::http::STRUCTURED, first.event.to_value().to_json()))
}

/// No such event.
pub(super) fn missing(call: &Call) -> Problem {
    Problem::not_found("event", &format!("{} {}", call.param("source"), call.param("event")))
}

/// The event of the path, one per binding that has it; a lifecycle event has one.
pub(super) async fn find(call: &Call) -> Result<Vec<StoredEvent>, Problem> {
    let (source, id) = (call.param("source").to_owned(), call.param("event").to_owned());
    let (store, namespace) = (call.rooms().store.clone(), call.namespace.clone());
    let (own_source, own_id) = (source.clone(), id.clone());
    let mut found = blocking(move || store.event(&namespace, &own_source, &own_id)).await?;
    if let Some(binding) = call.query.get("binding") {
        found.retain(|row| *row.binding == *binding);
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let Some((execution, sequence)) = lifecycle::named(&call.namespace, &source, &id) else {
        return Ok(found);
    };
    let (rooms, url) = (call.rooms().clone(), call.url());
    let read = tokio::task::spawn_blocking(move || -> Result<Option<StoredEvent>, Error> {
        let Some(book) = logbook::read(&rooms, execution, sequence + 1)? else {
            return Ok(None);
        };
        let Some(entry) = book.entry(sequence) else {
            return Ok(None);
        };
        let event = lifecycle::event_of(&book.birth, entry, &url);
        Ok(event.map(|event| StoredEvent {
            pos: 0,
            accepted: entry.time,
            binding: "".into(),
            event: event.into(),
        }))
    });
    let told = read.await.map_err(|e| Error::Unavailable(format!("read the log: {e}")))??;
    Ok(told.into_iter().collect())
}
