//! The live stream: server-sent events made from the stored log by one function, live and replayed alike (D9).
//!
//! Owns topics, frames and cursors. `id:` is `pos * 4096 + index`: it rises across restarts and can be replayed from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header;
use tidemill_dsl::event::StoredEvent;
use tidemill_dsl::ids::{ExecutionId, Namespace};
use tidemill_dsl::program::Program;
use tidemill_dsl::value::Value;
use tidemill_engine::entry::{Entry, Expander};
use tidemill_engine::record::Birth;
use tidemill_store::{DeadLetter, DeadQuery, EventQuery};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::body::{raw, with};
use super::call::Call;
use super::executions::HistoryEntry;
use super::query::bad;
use crate::error::Error;
use crate::logbook::{Shelf, key, placed};
use crate::operations;
use crate::problem::Problem;
use crate::rooms::Rooms;

/// Between two signs of life.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Rows read at once per topic.
const PAGE: usize = 500;
/// Frames waiting for a slow reader (limit `stream-frames`); the reading of the log then waits.
const FRAMES: usize = 256;
/// `execution:ID` topics of one stream (limit `stream-topics`).
const MAX_FOLLOWED: usize = 20;

/// What a stream shows.
struct Topics {
    executions: bool,
    events: bool,
    dead_letters: bool,
    followed: Vec<Follower>,
}

/// One followed execution: fed from its first transition on, because records do not repeat earlier data.
struct Follower {
    id: ExecutionId,
    expander: Expander,
    program: Option<Arc<Program>>,
    fed: u64,
}

type Frames = BTreeMap<u64, Bytes>;

/// `GET /stream`.
pub async fn open(call: Call) -> Result<Response, Problem> {
    let topics = topics(&call).await?;
    let last = last_event_id(&call)?;
    let permit = call.state.streams.clone().try_acquire_owned();
    let permit =
        permit.map_err(|_| Problem::new(429, "streams", "too many streams are open (limit streams: 100)"))?;
    if let Some(last) = last {
        gap(&call, &topics, last).await?;
    }
    let (tx, rx) = mpsc::channel(FRAMES);
    let reader = Reader { rooms: call.rooms().clone(), namespace: call.namespace.clone(), topics, tx };
    let closing = call.closing.clone();
    tokio::spawn(async move {
        let ended = async {
            match closing {
                Some(closing) => closing.0.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            result = reader.run(last) => {
                if let Err(error) = result {
                    tracing::warn!(%error, "a stream ended");
                }
            }
            () = ended => {}
        }
        drop(permit);
    });
    let response = raw(200, "text/event-stream", Body::from_stream(ReceiverStream::new(rx)));
    Ok(with(response, header::CACHE_CONTROL, "no-cache"))
}

async fn topics(call: &Call) -> Result<Topics, Problem> {
    let mut topics = Topics { executions: false, events: false, dead_letters: false, followed: Vec::new() };
    let mut words = call.query.list("topics");
    if words.is_empty() {
        words.push("executions");
    }
    for word in words {
        match word {
            "executions" => topics.executions = true,
            "events" => topics.events = true,
            "dead-letters" => topics.dead_letters = true,
            other => {
                let Some(id) = other.strip_prefix("execution:") else {
                    let known = "executions, execution:ID, events and dead-letters";
                    return Err(bad("topics", &format!("has `{other}`; there are {known}")));
                };
                let id: ExecutionId = id.parse().map_err(|_| Problem::not_found("execution", id))?;
                operations::row(call.rooms(), &call.namespace, id).await?;
                topics.followed.push(Follower { id, expander: Expander::new(), program: None, fed: 0 });
            }
        }
    }
    if topics.followed.len() > MAX_FOLLOWED {
        return Err(bad("topics", "follows more than 20 executions (limit stream-topics)"));
    }
    Ok(topics)
}

fn last_event_id(call: &Call) -> Result<Option<u64>, Problem> {
    let Some(text) = call.header("last-event-id").map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let id = text
        .parse()
        .map_err(|_| Problem::bad("bad-last-event-id", "Last-Event-ID is no id of this stream"))?;
    Ok(Some(id))
}

/// An id older than the retention cannot be gone on from.
async fn gap(call: &Call, topics: &Topics, last: u64) -> Result<(), Problem> {
    let (log, events) = (topics.executions, topics.events);
    let (store, namespace) = (call.rooms().store.clone(), call.namespace.clone());
    let first = crate::deliveries::blocking(move || {
        let log = if log { store.first_pos(&namespace)? } else { 0 };
        let events = if events { store.first_event(&namespace)? } else { 0 };
        Ok(log.max(events))
    })
    .await?;
    if last / 4096 + 1 < first {
        let detail =
            format!("what follows id {last} was removed by retention; read the lists, then stream from now");
        return Err(Problem::new(410, "stream-gap", detail));
    }
    Ok(())
}

struct Reader {
    rooms: Arc<Rooms>,
    namespace: Namespace,
    topics: Topics,
    tx: mpsc::Sender<Result<Bytes, std::convert::Infallible>>,
}

impl Reader {
    async fn run(mut self, last: Option<u64>) -> Result<(), Error> {
        let mut committed = self.rooms.stream.watch();
        let store = self.rooms.store.clone();
        let now = crate::deliveries::blocking(move || store.last_pos()).await?;
        self.send(Bytes::from_static(b": open\n\n")).await;
        let mut cursor = if let Some(last) = last {
            last
        } else {
            // A followed execution is shown from its first entry on, everything else from now on.
            let live = key(now + 1, 0) - 1;
            while self.history(now).await? {}
            live
        };
        loop {
            let until = (*committed.borrow_and_update()).max(now);
            while key(until + 1, 0) > cursor + 1 {
                let more = self.advance(&mut cursor, until).await?;
                if self.tx.is_closed() {
                    return Ok(());
                }
                if !more {
                    break;
                }
            }
            tokio::select! {
                changed = committed.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                }
                () = tokio::time::sleep(KEEP_ALIVE) => self.send(Bytes::from_static(b": keep-alive\n\n")).await,
                () = self.tx.closed() => return Ok(()),
            }
        }
    }

    async fn send(&self, frame: Bytes) {
        // A reader that went away is noticed by the loop.
        let _ = self.tx.send(Ok(frame)).await;
    }

    /// A page of the followed executions alone, up to a position; whether there may be more.
    async fn history(&mut self, until: u64) -> Result<bool, Error> {
        if self.topics.followed.is_empty() {
            return Ok(false);
        }
        let rooms = self.rooms.clone();
        let mut followed = std::mem::take(&mut self.topics.followed);
        let read = tokio::task::spawn_blocking(move || -> Result<_, Error> {
            let mut frames = Frames::new();
            let edge = follow(&rooms, &mut followed, until, &mut frames)?;
            Ok((followed, frames, edge < until))
        });
        let (followed, frames, more) = joined(read.await)??;
        self.topics.followed = followed;
        for frame in frames.into_values() {
            self.send(frame).await;
        }
        Ok(more)
    }

    /// One page of every topic above the cursor, in order of id; whether there may be more below `until`.
    async fn advance(&mut self, cursor: &mut u64, until: u64) -> Result<bool, Error> {
        let (rooms, namespace, from) = (self.rooms.clone(), self.namespace.clone(), *cursor);
        let mut topics = std::mem::replace(
            &mut self.topics,
            Topics { executions: false, events: false, dead_letters: false, followed: Vec::new() },
        );
        let read = tokio::task::spawn_blocking(move || -> Result<_, Error> {
            let mut frames = Frames::new();
            let edge = page(&rooms, &namespace, &mut topics, (from, until), &mut frames)?;
            Ok((topics, frames, edge))
        });
        let (topics, mut frames, edge) = joined(read.await)??;
        self.topics = topics;
        let end = key(edge + 1, 0) - 1;
        let beyond = frames.split_off(&(end + 1));
        drop(beyond);
        for frame in frames.split_off(&(from + 1)).into_values() {
            self.send(frame).await;
        }
        *cursor = end.max(from);
        Ok(edge < until)
    }
}

fn joined<T>(result: Result<T, tokio::task::JoinError>) -> Result<T, Error> {
    result.map_err(|error| Error::Unavailable(format!("read the stream: {error}")))
}

/// Frames of all topics with positions from the cursor's on; the position up to which they are complete.
fn page(
    rooms: &Rooms,
    namespace: &Namespace,
    topics: &mut Topics,
    (from, until): (u64, u64),
    frames: &mut Frames,
) -> Result<u64, Error> {
    let after = (from / 4096).saturating_sub(1);
    let mut edge = until;
    if topics.executions {
        edge = edge.min(lifecycle(rooms, namespace, after, frames)?);
    }
    if topics.events {
        edge = edge.min(events(rooms, namespace, after, frames)?);
    }
    if topics.dead_letters {
        dead_letters(rooms, namespace, after, frames)?;
    }
    Ok(edge.min(follow(rooms, &mut topics.followed, edge, frames)?))
}

/// `executions`: the `workflow.*` entries of the namespace.
fn lifecycle(rooms: &Rooms, namespace: &str, after: u64, frames: &mut Frames) -> Result<u64, Error> {
    let rows = rooms.store.stream(after, true, PAGE)?;
    let edge = if rows.len() == PAGE { rows.last().map_or(u64::MAX, |(pos, _)| *pos) } else { u64::MAX };
    let mut shelf = Shelf::default();
    for (pos, transition) in rows.into_iter().filter(|(_, t)| *t.namespace == *namespace) {
        let Some(book) = shelf.book(rooms, &transition)? else {
            continue;
        };
        for found in placed(&book, pos, &transition) {
            if found.entry.kind.starts_with("workflow.") {
                frames.insert(found.key, frame(found.key, &book.birth, found.entry));
            }
        }
    }
    Ok(edge)
}

/// `execution:ID`: every entry of the followed executions, not above `until`.
fn follow(rooms: &Rooms, followed: &mut [Follower], until: u64, frames: &mut Frames) -> Result<u64, Error> {
    let mut edge = until;
    for follower in followed {
        let rows = rooms.store.log_rows(follower.id, follower.fed, PAGE)?;
        if rows.len() == PAGE {
            edge = edge.min(rows.last().map_or(until, |(pos, _)| *pos));
        }
        for (pos, transition) in rows.into_iter().filter(|(pos, _)| *pos <= until) {
            let unreadable =
                |e: tidemill_engine::DecodeError| Error::Unavailable(format!("read the log: {e}"));
            if follower.program.is_none() {
                let birth = tidemill_engine::birth_of(&transition).map_err(unreadable)?;
                follower.program = rooms.catalog.revision(&birth.namespace, &birth.workflow, &birth.digest);
            }
            let Some(program) = &follower.program else { break };
            let entries = follower.expander.feed(program, &transition).map_err(unreadable)?;
            follower.fed = pos;
            let Some(execution) = follower.expander.execution() else {
                break;
            };
            let birth = execution.birth();
            for (index, entry) in entries.into_iter().enumerate() {
                let key = key(pos, index as u64);
                frames.insert(key, frame(key, birth, entry));
            }
        }
    }
    Ok(edge)
}

/// `events`: accepted events.
fn events(rooms: &Rooms, namespace: &Namespace, after: u64, frames: &mut Frames) -> Result<u64, Error> {
    let query =
        EventQuery { namespace: namespace.clone(), after: Some(after), limit: PAGE, ..EventQuery::default() };
    let rows = rooms.store.events(&query)?;
    let edge = if rows.len() == PAGE { rows.last().map_or(u64::MAX, |row| row.pos) } else { u64::MAX };
    for row in rows {
        let key = key(row.pos, 0);
        frames.insert(key, framed(key, &event_data(&row)));
    }
    Ok(edge)
}

/// `dead-letters`: new ones.
fn dead_letters(rooms: &Rooms, namespace: &Namespace, after: u64, frames: &mut Frames) -> Result<(), Error> {
    let mut query = DeadQuery { namespace: namespace.clone(), limit: PAGE, ..DeadQuery::default() };
    loop {
        let rows = rooms.store.dead_letters(&query)?;
        let full = rows.len() == PAGE;
        query.before = rows.last().map(|row| row.id);
        let all_new = rows.iter().all(|row| row.id > after);
        for row in rows.into_iter().filter(|row| row.id > after) {
            let key = key(row.id, 0);
            frames.insert(key, framed(key, &dead_data(&row)));
        }
        if !full || !all_new {
            return Ok(());
        }
    }
}

/// The one function that frames a history entry, live and replayed.
fn frame(key: u64, birth: &Birth, entry: Entry) -> Bytes {
    let body = serde_json::to_string(&HistoryEntry::from(entry)).unwrap_or_else(|_| "{}".into());
    let rest = body.strip_prefix('{').unwrap_or("}");
    let (id, namespace, workflow) =
        (birth.id, Value::text(birth.namespace.clone()), Value::text(birth.workflow.clone()));
    let version = Value::text(birth.version.clone());
    let about = format!(r#"{{"namespace":{namespace},"name":{workflow},"version":{version}}}"#);
    framed(key, &format!(r#"{{"execution":"{id}","workflow":{about},{rest}"#))
}

fn framed(key: u64, data: &str) -> Bytes {
    format!("id: {key}\ndata: {data}\n\n").into()
}

fn event_data(row: &StoredEvent) -> String {
    let (binding, at) = (Value::text(row.binding.clone()), row.accepted.rfc3339());
    let event = row.event.to_value();
    format!(
        r#"{{"type":"event.accepted","execution":null,"time":"{at}","binding":{binding},"event":{event}}}"#
    )
}

fn dead_data(row: &DeadLetter) -> String {
    let execution =
        row.attempts.last().map_or(Value::Null, |attempt| Value::text(attempt.execution.to_string()));
    let (trigger, cause) = (Value::text(row.trigger.clone()), Value::text(row.cause.clone()));
    let (source, event) = (Value::text(row.event.source.clone()), Value::text(row.event.id.clone()));
    format!(
        r#"{{"type":"dead-letter.added","execution":{execution},"time":"{}","deadLetter":"{}","trigger":{trigger},"cause":{cause},"source":{source},"event":{event}}}"#,
        row.at.rfc3339(),
        row.id
    )
}
