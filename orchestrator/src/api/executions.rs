//! Executions: start, list, show, history, operator verbs.
//!
//! Owns their JSON forms. Everything that happens is asked of `operations`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use http::header;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tidemill_dsl::ids::{ExecutionId, Time};
use tidemill_dsl::program::Program;
use tidemill_dsl::value::Value;
use tidemill_engine::entry::Entry;
use tidemill_engine::record::{Ended, Status};
use tidemill_store::{ExecutionQuery, ExecutionRow, StartKey};
use utoipa::ToSchema;

use super::body::{Json, json, with};
use super::call::Call;
use super::paging::{Keyset, Page};
use super::query::bad;
use super::why::{self, Wait};
use crate::deliveries::blocking;
use crate::lanes::Verb;
use crate::operations::{self, MAX_WAIT, StartRequest};
use crate::problem::Problem;
use crate::view::ExecutionView;

/// Entries of a history page when the caller names no size.
const HISTORY_PAGE: usize = 1000;
/// Bytes of an `Idempotency-Key` (limit `idempotency-key`).
const MAX_KEY: usize = 255;

/// The workflow version an execution runs.
#[derive(Serialize, ToSchema)]
pub struct WorkflowRef<'a> {
    namespace: &'a str,
    name: &'a str,
    version: &'a str,
}

/// The event that caused an execution.
#[derive(Serialize, ToSchema)]
pub struct EventRef<'a> {
    binding: &'a str,
    source: &'a str,
    id: &'a str,
}

/// One execution.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Execution<'a> {
    id: String,
    workflow: WorkflowRef<'a>,
    status: &'a str,
    /// The raw input.
    input: Json,
    /// The output, once completed.
    output: Json,
    /// The language's error object, once faulted.
    #[schema(value_type = Option<Object>)]
    error: Option<Json>,
    created_at: String,
    started_at: Option<String>,
    ended_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<EventRef<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    attempt: u32,
    tags: BTreeMap<&'a str, &'a str>,
    /// What it waits for, as long as it has not ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waiting_for: Vec<Wait>,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// One execution in a list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionEntry {
    id: String,
    workflow: OwnedRef,
    status: &'static str,
    created_at: String,
    started_at: Option<String>,
    ended_at: Option<String>,
    trigger: Option<String>,
    parent: Option<String>,
    attempt: u32,
    tags: BTreeMap<String, String>,
}

/// The workflow version of a list entry.
#[derive(Serialize, ToSchema)]
pub struct OwnedRef {
    namespace: String,
    name: String,
    version: String,
}

/// One history entry.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    sequence: u64,
    time: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<TaskBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    child: Option<String>,
    /// The function that a call by an alias came to (the end of the call).
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<CalledBody>,
}

/// A function called by an alias.
#[derive(Serialize, ToSchema)]
pub struct CalledBody {
    name: String,
    alias: String,
    /// The version that the alias stood for.
    version: u32,
}

/// The run of a task.
#[derive(Serialize, ToSchema)]
pub struct TaskBody {
    name: String,
    reference: String,
    attempt: u32,
    visit: u32,
}

/// Body of `cancel`, `suspend` and `resume`.
#[derive(Deserialize, Default, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerbBody {
    reason: Option<String>,
}

/// Body of `retry`.
#[derive(Deserialize, Default, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetryBody {
    reason: Option<String>,
    /// Replaces the raw input of the task it begins with.
    #[serde(default, deserialize_with = "present")]
    input: Option<Json>,
    /// The task to begin with, by reference.
    from_task: Option<String>,
}

/// A member that is there, also when it is null.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

impl From<Entry> for HistoryEntry {
    fn from(entry: Entry) -> HistoryEntry {
        HistoryEntry {
            sequence: entry.sequence,
            time: entry.time.rfc3339(),
            kind: entry.kind,
            task: entry.task.map(|task| TaskBody {
                name: task.name.to_string(),
                reference: task.reference.to_string(),
                attempt: task.attempt,
                visit: task.visit,
            }),
            input: entry.input.map(Json),
            output: entry.output.map(Json),
            error: entry.error.map(|fault| Json(fault.to_value())),
            reason: entry.reason.map(|text| text.to_string()),
            child: entry.child.map(|id| id.to_string()),
            function: entry.function.map(|called| CalledBody {
                name: called.name.to_string(),
                alias: called.alias.to_string(),
                version: called.version,
            }),
        }
    }
}

/// An execution as shown.
pub fn shown(view: &ExecutionView) -> Execution<'_> {
    let (output, error) = match &view.result {
        Some(Ended::Completed(output)) => (output.clone(), None),
        Some(Ended::Faulted(fault)) => (Value::Null, Some(Json(fault.to_value()))),
        _ => (Value::Null, None),
    };
    Execution {
        id: view.id.to_string(),
        workflow: WorkflowRef { namespace: &view.namespace, name: &view.workflow, version: &view.version },
        status: view.status.word(),
        input: Json(view.input.clone().unwrap_or_default()),
        output: Json(output),
        error,
        created_at: view.created.rfc3339(),
        started_at: view.started.map(Time::rfc3339),
        ended_at: view.ended.map(Time::rfc3339),
        event: view.event.as_ref().map(|(binding, source, id)| EventRef { binding, source, id }),
        trigger: view.trigger.as_deref(),
        parent: view.parent.map(|parent| parent.execution.to_string()),
        attempt: view.attempt,
        tags: view.tags.iter().map(|(name, value)| (&**name, &**value)).collect(),
        waiting_for: view.waiting_for.iter().map(Wait::of).collect(),
        why: None,
    }
}

/// An execution with all that keeps it from going on.
pub(super) async fn whole<'a>(call: &Call, view: &'a ExecutionView) -> Result<Execution<'a>, Problem> {
    let waiting_for = why::of(call, view).await?;
    let why = (!waiting_for.is_empty()).then(|| why::told(&waiting_for));
    Ok(Execution { waiting_for, why, ..shown(view) })
}

/// A summary row as listed.
pub fn listed(row: ExecutionRow) -> ExecutionEntry {
    ExecutionEntry {
        id: row.id.to_string(),
        workflow: OwnedRef {
            namespace: row.namespace.to_string(),
            name: row.workflow.to_string(),
            version: row.version.to_string(),
        },
        status: row.status.word(),
        created_at: row.created.rfc3339(),
        started_at: row.started.map(Time::rfc3339),
        ended_at: row.ended.map(Time::rfc3339),
        trigger: row.trigger.map(|t| t.to_string()),
        parent: row.parent.map(|p| p.execution.to_string()),
        attempt: row.attempt.max(1),
        tags: row.tags.into_iter().map(|(n, v)| (n.to_string(), v.to_string())).collect(),
    }
}

/// `POST /workflows/{name}/executions`.
pub async fn start(call: Call) -> Result<Response, Problem> {
    let input = input(&call.body)?;
    let wait = call.prefer_wait().map(|wait| wait.min(MAX_WAIT));
    let request = StartRequest {
        namespace: call.namespace.clone(),
        workflow: call.name()?,
        version: call.query.text("version"),
        key: start_key(&call, &input)?,
        tags: call.query.tags()?,
        input,
        wait,
    };
    if call.query.flag("dryRun")? {
        let program = operations::startable(call.rooms(), &request)?;
        return json(200, &WouldStart::of(&program, request.input));
    }
    let view = operations::start(call.rooms(), request).await?;
    let status = if wait.is_some() && view.status.ended() { 200 } else { 202 };
    let response = json(status, &shown(&view))?;
    let response = with(response, header::LOCATION, &location(&call, view.id));
    Ok(match wait {
        Some(wait) => {
            let applied = header::HeaderName::from_static("preference-applied");
            with(response, applied, &format!("wait={}", wait.as_secs()))
        }
        None => response,
    })
}

/// What a start would begin.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WouldStart {
    workflow: OwnedRef,
    input: Json,
    dry_run: bool,
}

impl WouldStart {
    fn of(program: &Program, input: Value) -> WouldStart {
        let document = &program.document;
        let workflow = OwnedRef {
            namespace: document.namespace.to_string(),
            name: document.name.to_string(),
            version: document.version.to_string(),
        };
        WouldStart { workflow, input: Json(input), dry_run: true }
    }
}

fn location(call: &Call, id: ExecutionId) -> String {
    format!("/v1/namespaces/{}/executions/{id}", call.namespace)
}

/// Any JSON; nothing at all is `{}`, blanks only are refused.
fn input(body: &[u8]) -> Result<Value, Problem> {
    if body.is_empty() {
        return Ok(Value::object::<&str>([]));
    }
    Value::parse(body).map_err(|error| Problem::bad("bad-body", format!("cannot read the input: {error}")))
}

/// `Idempotency-Key`, bound to what was asked for: version, tags and input.
fn start_key(call: &Call, input: &Value) -> Result<Option<StartKey>, Problem> {
    let Some(value) = call.headers.get("idempotency-key") else {
        return Ok(None);
    };
    let key = value.to_str().unwrap_or_default().trim();
    if key.is_empty() || key.len() > MAX_KEY {
        let detail =
            format!("an Idempotency-Key has 1 to {MAX_KEY} visible characters (limit idempotency-key)");
        return Err(Problem::bad("bad-idempotency-key", detail));
    }
    let mut hash = Sha256::new();
    hash.update(call.query.fingerprint());
    hash.update([0]);
    hash.update(input.to_json());
    Ok(Some(StartKey { key: key.into(), body: hash.finalize().into() }))
}

/// `GET /executions`.
pub async fn list(call: Call) -> Result<Response, Problem> {
    let keyset = Keyset::new("executions", &call.namespace, &call.query);
    let size = call.query.page_size(50)?;
    let query = ExecutionQuery {
        namespace: call.namespace.clone(),
        workflow: call.query.text("workflow"),
        status: statuses(&call)?,
        trigger: call.query.text("trigger"),
        tags: call.query.tags()?,
        since: call.query.time("since")?,
        until: call.query.time("until")?,
        ascending: ascending(&call)?,
        after: keyset.execution(&call.query)?,
        limit: size + 1,
    };
    let (count, store) = (call.query.flag("count")?, call.rooms().store.clone());
    let (mut rows, total) = blocking(move || {
        let total = if count { Some(store.count_executions(&query)?) } else { None };
        Ok((store.executions(&query)?, total))
    })
    .await?;
    let more = rows.len() > size;
    rows.truncate(size);
    let next = rows.last().filter(|_| more).map(|row| keyset.after_execution(row.listed(), row.id));
    let page = Page::new(rows.into_iter().map(listed).collect::<Vec<_>>(), next);
    json(200, &Page { total, ..page })
}

fn statuses(call: &Call) -> Result<Vec<Status>, Problem> {
    let words = call.query.list("status");
    if call.query.get("status").is_some() && words.is_empty() {
        return Err(bad("status", "is empty"));
    }
    let read = |word: &str| {
        let known = Status::ALL.map(Status::word).join(", ");
        Status::of_word(word).ok_or_else(|| bad("status", &format!("has `{word}`, which is none of {known}")))
    };
    words.into_iter().map(read).collect()
}

/// `orderBy`: by start, newest first unless said otherwise.
fn ascending(call: &Call) -> Result<bool, Problem> {
    match call.query.get("orderBy") {
        None | Some("-startedAt" | "startedAt desc" | "startedAt:desc") => Ok(false),
        Some("startedAt" | "+startedAt" | " startedAt" | "startedAt asc" | "startedAt:asc") => Ok(true),
        Some(_) => Err(bad("orderBy", "is `startedAt` or `-startedAt`")),
    }
}

/// `GET /executions/{id}`.
pub async fn show(call: Call) -> Result<Response, Problem> {
    let id = call.id()?;
    let wait = call.query.duration("wait")?.unwrap_or(Duration::ZERO).min(MAX_WAIT);
    let view = operations::wait(call.rooms(), &call.namespace, id, wait).await?;
    json(200, &whole(&call, &view).await?)
}

/// `GET /executions/{id}/history`.
pub async fn history(call: Call) -> Result<Response, Problem> {
    let id = call.id()?;
    let keyset = Keyset::new("history", &format!("{}/{id}", call.namespace), &call.query);
    let size = call.query.page_size(HISTORY_PAGE)?;
    let after = keyset.number(&call.query)?.unwrap_or(0);
    let mut entries = operations::history(call.rooms(), &call.namespace, id, (after, size + 1)).await?;
    let more = entries.len() > size;
    entries.truncate(size);
    let next = entries.last().filter(|_| more).map(|entry| keyset.token(&entry.sequence.to_be_bytes()));
    let count = call.query.flag("count")?;
    let total = if count { Some(operations::history_length(call.rooms(), id).await?) } else { None };
    let page = Page::new(entries.into_iter().map(HistoryEntry::from).collect(), next);
    json(200, &Page { total, ..page })
}

/// `POST /executions/{id}/cancel`.
pub async fn cancel(call: Call) -> Result<Response, Problem> {
    plain(call, Verb::Cancel).await
}

/// `POST /executions/{id}/suspend`.
pub async fn suspend(call: Call) -> Result<Response, Problem> {
    plain(call, Verb::Suspend).await
}

/// `POST /executions/{id}/resume`.
pub async fn resume(call: Call) -> Result<Response, Problem> {
    plain(call, Verb::Resume).await
}

/// `POST /executions/{id}/retry`.
pub async fn retry(call: Call) -> Result<Response, Problem> {
    let body: RetryBody = call.read_or_default()?;
    let verb = Verb::Retry { input: body.input.map(|json| json.0), from: body.from_task.map(Into::into) };
    carry_out(call, verb, body.reason).await
}

async fn plain(call: Call, verb: Verb) -> Result<Response, Problem> {
    let body: VerbBody = call.read_or_default()?;
    carry_out(call, verb, body.reason).await
}

async fn carry_out(call: Call, verb: Verb, reason: Option<String>) -> Result<Response, Problem> {
    let id = call.id()?;
    let reason: Option<Arc<str>> = reason.map(Into::into);
    if call.query.flag("dryRun")? {
        let view = operations::show(call.rooms(), &call.namespace, id).await?;
        operations::judge(view.status, &verb)?;
        return json(200, &whole(&call, &view).await?);
    }
    operations::command(call.rooms(), &call.namespace, id, verb, reason).await?;
    let view = operations::show(call.rooms(), &call.namespace, id).await?;
    json(200, &whole(&call, &view).await?)
}
