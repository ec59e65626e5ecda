//! Batches: bulk cancel, retry and redrive as a resource.
//!
//! Owns their JSON forms. The work is `redrive.rs`.

use axum::response::Response;
use serde::{Deserialize, Serialize};
use tidemill_dsl::duration;
use tidemill_dsl::ids::{ExecutionId, Time};
use tidemill_engine::record::Status;
use utoipa::ToSchema;

use super::body::json;
use super::call::Call;
use super::dead_letters::{DeadFilter, edit, instant, launch};
use super::lenient;
use super::paging::{Keyset, Page, by_name};
use crate::problem::Problem;
use crate::redrive::{Action, Filter, Plan, Record, State};

/// A batch.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchBody {
    id: String,
    /// `redrive`, `cancel`, `retry` or `replay`.
    action: &'static str,
    /// `running`, `paused`, `completed` or `cancelled`.
    state: &'static str,
    /// Steps in all.
    total: usize,
    /// Steps dealt with.
    handled: usize,
    done: u64,
    /// Found nothing to do any more.
    skipped: u64,
    failed: u64,
    /// Some of the failures.
    errors: Vec<FailureBody>,
    /// Steps per second, at most.
    rate: Option<f64>,
    reason: Option<String>,
    created_at: String,
    ended_at: Option<String>,
}

/// A step that failed.
#[derive(Serialize, ToSchema)]
pub struct FailureBody {
    id: String,
    detail: String,
}

/// Body of a batch.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BatchRequest {
    /// `redrive`, `cancel` or `retry`.
    action: String,
    #[serde(default)]
    filter: BatchFilter,
    limit: Option<u64>,
    /// At most so many per time, for example `100/s`; a number is so many a second.
    #[serde(default, deserialize_with = "lenient::rate")]
    rate: Option<String>,
    /// Why, for the history of each execution.
    reason: Option<String>,
    /// Of a redrive: an expression `${ ... }` over each letter's event that gives the one delivered.
    edit: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

/// Which things a batch touches.
#[derive(Deserialize, Default, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BatchFilter {
    /// Ids of executions, or of dead letters for a redrive.
    ids: Option<Vec<String>>,
    workflow: Option<String>,
    #[serde(default, deserialize_with = "lenient::texts")]
    status: Vec<String>,
    trigger: Option<String>,
    /// Of dead letters.
    cause: Option<String>,
    /// `name:value`, one or several.
    #[serde(default, alias = "tag", deserialize_with = "lenient::texts")]
    tags: Vec<String>,
    since: Option<String>,
    until: Option<String>,
}

impl From<Record> for BatchBody {
    fn from(record: Record) -> BatchBody {
        BatchBody {
            id: record.id.to_string(),
            action: record.action.word(),
            state: record.state.word(),
            total: record.total(),
            handled: record.next,
            done: record.done,
            skipped: record.skipped,
            failed: record.failed,
            errors: record.errors.into_iter().map(|f| FailureBody { id: f.id, detail: f.detail }).collect(),
            rate: record.rate,
            reason: record.reason.map(|reason| reason.to_string()),
            created_at: Time(record.created).rfc3339(),
            ended_at: record.ended.map(|at| Time(at).rfc3339()),
        }
    }
}

/// A rate of a body, per second.
pub(super) fn rate(text: Option<&str>) -> Result<Option<f64>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let rate = duration::parse_rate(text)
        .map_err(|e| Problem::bad("bad-body", format!("cannot read `rate`: {e}")))?;
    Ok(Some(rate.count / rate.per.as_secs_f64()))
}

/// `POST /batches`.
pub async fn begin(call: Call) -> Result<Response, Problem> {
    let body: BatchRequest = call.read()?;
    let action = match body.action.as_str() {
        "redrive" => Action::Redrive,
        "cancel" => Action::Cancel,
        "retry" => Action::Retry,
        _ => {
            return Err(Problem::bad("bad-body", "`action` is `redrive`, `cancel` or `retry`"));
        }
    };
    if body.edit.is_some() && action != Action::Redrive {
        return Err(Problem::bad(
            "bad-body",
            "`edit` is for `redrive` alone; a retry takes `input` one by one",
        ));
    }
    let plan = Plan {
        namespace: call.namespace.clone(),
        action,
        filter: body.filter.read(action)?,
        rate: rate(body.rate.as_deref())?,
        limit: body.limit,
        reason: body.reason.map(Into::into),
        edit: edit(body.edit)?,
    };
    launch(&call, plan, body.dry_run).await
}

impl BatchFilter {
    fn read(self, action: Action) -> Result<Filter, Problem> {
        if action == Action::Redrive {
            if self.workflow.is_some() || !self.status.is_empty() || !self.tags.is_empty() {
                return Err(Problem::bad(
                    "bad-body",
                    "dead letters have no workflow, status or tags to filter by",
                ));
            }
            let (ids, trigger, cause) = (self.ids, self.trigger, self.cause);
            return DeadFilter { ids, trigger, cause, since: self.since, until: self.until }.read();
        }
        if self.cause.is_some() {
            return Err(Problem::bad("bad-body", "executions have no cause to filter by"));
        }
        let parse = |text: &String| text.parse().map_err(|_| Problem::not_found("execution", text));
        let executions =
            self.ids.map(|ids| ids.iter().map(parse).collect::<Result<_, Problem>>()).transpose()?;
        let word = |text: &String| {
            Status::of_word(text).ok_or_else(|| Problem::bad("bad-body", format!("`{text}` is no status")))
        };
        let tag = |text: &String| {
            let pair = text.split_once(':').map(|(name, value)| (name.into(), value.into()));
            pair.ok_or_else(|| Problem::bad("bad-body", "a tag is written `name:value`"))
        };
        Ok(Filter {
            executions: executions as Option<std::collections::BTreeSet<ExecutionId>>,
            workflow: self.workflow.map(Into::into),
            status: self.status.iter().map(word).collect::<Result<_, _>>()?,
            trigger: self.trigger.map(Into::into),
            tags: self.tags.iter().map(tag).collect::<Result<_, _>>()?,
            since: instant("since", self.since.as_ref())?,
            until: instant("until", self.until.as_ref())?,
            ..Filter::default()
        })
    }
}

/// `GET /batches`.
pub async fn list(call: Call) -> Result<Response, Problem> {
    let keyset = Keyset::new("batches", &call.namespace, &call.query);
    let records = call.state.batches.list(&call.namespace);
    let ids: Vec<_> = records.iter().map(|record| record.id.clone()).collect();
    let all = ids.iter().map(|id| &**id).zip(records);
    let (items, next) = by_name(&keyset, &call.query, all)?;
    let page = Page::new(items.into_iter().map(BatchBody::from).collect(), next);
    json(200, &page.counting(&call.query, || ids.len())?)
}

/// `GET /batches/{id}`.
pub async fn get(call: Call) -> Result<Response, Problem> {
    let id = call.param("id");
    let record =
        call.state.batches.get(&call.namespace, id).ok_or_else(|| Problem::not_found("batch", id))?;
    json(200, &BatchBody::from(record))
}

/// `POST /batches/{id}/pause`, `resume`, `cancel`.
pub async fn turn(call: Call, wanted: State) -> Result<Response, Problem> {
    if call.query.flag("dryRun")? {
        return get(call).await;
    }
    let record = call.state.batches.turn(&call.namespace, call.param("id"), wanted).await?;
    json(200, &BatchBody::from(record))
}
