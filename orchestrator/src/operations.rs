//! What a caller may do with executions: start, show, wait, command, read the history.

use std::sync::Arc;
use std::time::Duration;

use tidemill_dsl::fault::Fault;
use tidemill_dsl::ids::{ExecutionId, Namespace, Visit};
use tidemill_dsl::manifest::Manifest;
use tidemill_dsl::program::{Program, SchemaRef};
use tidemill_dsl::value::Value;
use tidemill_engine::entry::Entry;
use tidemill_engine::history::Record;
use tidemill_engine::record::{Birth, Status};
use tidemill_store::{ExecutionRow, StartKey};
use tokio::sync::oneshot;

use crate::bookmarks::Bookmark;
use crate::deliveries::blocking;
use crate::error::Error;
use crate::lanes::{Command, Input, Start, Verb};
use crate::logbook;
use crate::quotas::Wish;
use crate::rooms::Rooms;
use crate::view::ExecutionView;

/// Longest wait a caller may ask for (limit `http-wait`).
pub const MAX_WAIT: Duration = Duration::from_mins(1);
/// Transitions read at once for a history.
const PAGE: usize = 1000;

/// A start by hand.
pub struct StartRequest {
    /// Namespace.
    pub namespace: Namespace,
    /// Workflow name.
    pub workflow: Arc<str>,
    /// Version; none is the highest.
    pub version: Option<Arc<str>>,
    /// Raw input.
    pub input: Value,
    /// Tags.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    /// `Idempotency-Key` with the hash of the body.
    pub key: Option<StartKey>,
    /// Wait for the end, at most this long.
    pub wait: Option<Duration>,
}

/// The workflow version that a start would run; an input that misses its schema is refused.
pub fn startable(rooms: &Rooms, request: &StartRequest) -> Result<Arc<Program>, Error> {
    let program = wanted(rooms, request)?;
    // A schema from elsewhere is judged by the execution, which fetches it.
    match &program.input.schema {
        Some(SchemaRef::Here(schema)) => schema.validate(&request.input).map_err(Error::Input)?,
        Some(SchemaRef::Elsewhere(_)) | None => {}
    }
    Ok(program)
}

fn wanted(rooms: &Rooms, request: &StartRequest) -> Result<Arc<Program>, Error> {
    let space = rooms.catalog.existing(&request.namespace);
    let found = space.as_ref().and_then(|s| s.workflow(&request.workflow, request.version.as_deref()));
    found.map(|entry| entry.program.clone()).ok_or_else(|| match &request.version {
        Some(version) => Error::not_found("workflow", format!("{}:{version}", request.workflow)),
        None => Error::not_found("workflow", &*request.workflow),
    })
}

/// Starts an execution; answers once it is durable (and, if asked to wait, once it ended or the wait is over).
pub async fn start(rooms: &Rooms, request: StartRequest) -> Result<ExecutionView, Error> {
    let program = wanted(rooms, &request)?;
    let now = (rooms.clock)();
    let birth = Arc::new(Birth {
        id: crate::ids::execution(now),
        namespace: request.namespace.clone(),
        workflow: program.document.name.clone(),
        version: program.document.version.clone(),
        digest: program.digest,
        created: now,
        input: request.input,
        cause: None,
        parent: None,
        tags: request.tags,
        path: Vec::new(),
    });
    if let Some(key) = &request.key
        && let Some(id) = taken(rooms, &birth, key).await?
    {
        return wait(rooms, &request.namespace, id, request.wait.unwrap_or_default()).await;
    }
    let wish = Wish { begins: 1, ..Wish::default() };
    let space = rooms.catalog.space(&request.namespace);
    let admission = rooms.quotas.admit(rooms, (&request.namespace, &space), wish).await?;
    let id = birth.id;
    let ended = request.wait.map(|_| rooms.waiters.wait(id));
    let (reply, accepted) = oneshot::channel();
    let start = Start { birth: birth.clone(), key: request.key.clone(), reply };
    rooms.lanes.send(id, Input::Start(Box::new(start)));
    let accepted = accepted.await.map_err(|_| Error::Unavailable("start: the service is stopping".into()))?;
    drop(admission);
    let view = match (accepted, &request.key) {
        (Ok(view), _) => view,
        // Another start with the same key was faster: its execution is the answer.
        (Err(Error::Conflict { code: "idempotency-key", .. }), Some(key)) => {
            let id = taken(rooms, &birth, key)
                .await?
                .ok_or_else(|| Error::Unavailable("start: lost a race".into()))?;
            return wait(rooms, &request.namespace, id, request.wait.unwrap_or_default()).await;
        }
        (Err(error), _) => return Err(error),
    };
    match (ended, request.wait) {
        (Some(ended), Some(limit)) if !view.status.ended() => {
            match tokio::time::timeout(limit.min(MAX_WAIT), ended).await {
                Ok(Ok(view)) => Ok(view),
                _ => show(rooms, &request.namespace, id).await,
            }
        }
        _ => Ok(view),
    }
}

/// The execution that holds a start key; a conflict if its body was another one.
async fn taken(rooms: &Rooms, birth: &Birth, key: &StartKey) -> Result<Option<ExecutionId>, Error> {
    let (store, namespace, workflow, name) =
        (rooms.store.clone(), birth.namespace.clone(), birth.workflow.clone(), key.key.clone());
    match blocking(move || store.start_key(&namespace, &workflow, &name)).await? {
        Some((id, body)) if body == key.body => Ok(Some(id)),
        Some((id, _)) => Err(Error::conflict(
            "idempotency-key-reused",
            format!("the idempotency key was used with another body, by execution {id}"),
        )),
        None => Ok(None),
    }
}

/// One execution: from its lane's memory, else from the store.
pub async fn show(rooms: &Rooms, namespace: &Namespace, id: ExecutionId) -> Result<ExecutionView, Error> {
    let (tx, rx) = oneshot::channel();
    rooms.lanes.send(id, Input::Query(id, tx));
    if let Ok(Some(view)) = rx.await {
        return if view.namespace == *namespace { Ok(view) } else { Err(missing(id)) };
    }
    let row = row(rooms, namespace, id).await?;
    if row.status.ended() {
        let store = rooms.store.clone();
        let first = blocking(move || store.transitions(id, 0, 1)).await?;
        let input = first.first().and_then(|t| tidemill_engine::birth_of(t).ok()).map(|b| b.input.clone());
        return Ok(ExecutionView { input, ..ExecutionView::of_row(row) });
    }
    let folded = rooms.fold(id)?;
    Ok(match folded {
        Some((program, execution)) => ExecutionView::in_full(&program, &execution),
        None => ExecutionView::of_row(row),
    })
}

fn missing(id: ExecutionId) -> Error {
    Error::not_found("execution", id.to_string())
}

/// One summary row; not found across namespaces.
pub async fn row(rooms: &Rooms, namespace: &Namespace, id: ExecutionId) -> Result<ExecutionRow, Error> {
    let (store, namespace) = (rooms.store.clone(), namespace.clone());
    blocking(move || store.execution(&namespace, id)).await?.ok_or_else(|| missing(id))
}

/// One execution once it ended, or as it is when the wait is over.
pub async fn wait(
    rooms: &Rooms,
    namespace: &Namespace,
    id: ExecutionId,
    limit: Duration,
) -> Result<ExecutionView, Error> {
    let ended = rooms.waiters.wait(id);
    let view = show(rooms, namespace, id).await?;
    if view.status.ended() || limit.is_zero() {
        return Ok(view);
    }
    match tokio::time::timeout(limit.min(MAX_WAIT), ended).await {
        Ok(Ok(view)) => Ok(view),
        _ => show(rooms, namespace, id).await,
    }
}

/// Whether a status allows a verb.
pub fn judge(status: Status, verb: &Verb) -> Result<(), Error> {
    let allowed = match verb {
        Verb::Cancel | Verb::Signal(_) | Verb::Callback { .. } => !status.ended(),
        Verb::Suspend => matches!(status, Status::Running | Status::Waiting),
        Verb::Resume => status == Status::Suspended,
        Verb::Retry { .. } => matches!(status, Status::Faulted | Status::Cancelled),
    };
    if allowed {
        Ok(())
    } else {
        Err(Error::conflict("state", format!("the execution is {}", status.word())))
    }
}

/// An operator's verb; answers after its commit.
pub async fn command(
    rooms: &Rooms,
    namespace: &Namespace,
    id: ExecutionId,
    verb: Verb,
    reason: Option<Arc<str>>,
) -> Result<(), Error> {
    row(rooms, namespace, id).await?;
    let (tx, rx) = oneshot::channel();
    let command = Command { execution: id, verb, reason, key: None, reply: Some(tx) };
    rooms.lanes.send(id, Input::Command(Box::new(command)));
    rx.await.map_err(|_| Error::Unavailable("carry out the command: the service is stopping".into()))?
}

/// How many entries an execution's history has.
pub async fn history_length(rooms: &Arc<Rooms>, id: ExecutionId) -> Result<u64, Error> {
    let rooms = rooms.clone();
    let folded = tokio::task::spawn_blocking(move || rooms.fold(id));
    let folded = folded.await.map_err(|e| Error::Unavailable(e.to_string()))??;
    Ok(folded.map_or(0, |(_, execution)| execution.next_sequence() - 1))
}

/// Ends a call whose partner answers later; the output must fit the function's schema. Answers after its commit.
pub async fn callback(
    rooms: &Rooms,
    namespace: &Namespace,
    id: ExecutionId,
    (visit, answer): (Visit, Result<Value, Fault>),
) -> Result<(), Error> {
    let view = show(rooms, namespace, id).await?;
    let callee =
        view.waiting_for.iter().find(|wait| wait.visit == visit).and_then(|wait| wait.callee.clone());
    let answer = match (callee, answer) {
        (Some(callee), Ok(output)) => {
            let called = called(rooms, id, visit, &callee).await?;
            fitting(rooms, namespace, called, output)
        }
        (_, answer) => answer,
    };
    command(rooms, namespace, id, Verb::Callback { visit, answer }, None).await
}

/// The function `name:version` of an open call, with the version that an alias stood for when the call was made.
async fn called<'c>(
    rooms: &Rooms,
    id: ExecutionId,
    visit: Visit,
    callee: &'c str,
) -> Result<(&'c str, Option<u32>), Error> {
    let (name, version) = callee.split_once(':').unwrap_or((callee, ""));
    if let Ok(number) = version.parse() {
        return Ok((name, Some(number)));
    }
    let store = rooms.store.clone();
    let chosen = blocking(move || {
        let mut chosen = None;
        logbook::records(&*store, id, |_| true, &mut |_, _, record| {
            if let Record::Chosen { visit: of, version } = record
                && of == visit
            {
                chosen = Some(version);
            }
        })?;
        Ok(chosen)
    });
    Ok((name, chosen.await?))
}

/// The output, or the fault that it does not fit the schema of the function's version.
fn fitting(
    rooms: &Rooms,
    namespace: &Namespace,
    (name, version): (&str, Option<u32>),
    output: Value,
) -> Result<Value, Fault> {
    let space = rooms.catalog.space(namespace);
    let entry = space.function(name, version);
    if let Some(Manifest::Function(function)) = entry.map(|entry| &*entry.manifest)
        && let Some(schema) = &function.output
    {
        schema.validate(&output)?;
    }
    Ok(output)
}

/// History entries with a sequence above `after`, at most `limit`.
pub async fn history(
    rooms: &Arc<Rooms>,
    namespace: &Namespace,
    id: ExecutionId,
    (after, limit): (u64, usize),
) -> Result<Vec<Entry>, Error> {
    let row = row(rooms, namespace, id).await?;
    let program = rooms
        .catalog
        .revision(&row.namespace, &row.workflow, &row.digest)
        .ok_or_else(|| Error::not_found("workflow revision", format!("{}:{}", row.workflow, row.version)))?;
    let rooms = rooms.clone();
    let read = tokio::task::spawn_blocking(move || entries(&rooms, &program, id, (after, limit)));
    read.await.map_err(|e| Error::Unavailable(e.to_string()))?
}

/// Expands from the nearest bookmark on, as values refer back, and leaves one where the next page begins.
fn entries(
    rooms: &Rooms,
    program: &Program,
    id: ExecutionId,
    (after, limit): (u64, usize),
) -> Result<Vec<Entry>, Error> {
    let Bookmark { mut pos, mut expander, .. } = rooms.bookmarks.take(id, after);
    let mut entries: Vec<Entry> = Vec::new();
    let mut mark = None;
    while entries.len() <= limit {
        let page = rooms.store.log_rows(id, pos, PAGE)?;
        let full = page.len() == PAGE;
        for (at, transition) in page {
            // The entry behind the page is read too, so the transition that holds it is the next page's first.
            if mark.is_none() && entries.len() + transition.count as usize >= limit {
                let expander = expander.clone();
                mark = Some(Bookmark { execution: id, pos, next: transition.first, expander });
            }
            let own = expander.feed(program, &transition);
            let own = own.map_err(|e| Error::Unavailable(format!("read the history: {e}")))?;
            entries.extend(own.into_iter().filter(|entry| entry.sequence > after));
            pos = at;
            if entries.len() > limit {
                break;
            }
        }
        if !full {
            break;
        }
    }
    if let Some(mark) = mark {
        rooms.bookmarks.put(mark);
    }
    entries.truncate(limit);
    Ok(entries)
}
