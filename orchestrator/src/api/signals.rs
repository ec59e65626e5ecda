//! What the outside tells one running execution: events for its listens alone, and answers that come later.
//!
//! Owns their JSON forms. Whether they are wanted is the engine's to judge.

use std::sync::Arc;

use axum::response::Response;
use serde::Deserialize;
use tidemill_dsl::event::{self, Limits};
use tidemill_dsl::fault::{Fault, Standard};
use tidemill_dsl::value::Value;
use utoipa::ToSchema;

use super::body::json;
use super::call::Call;
use super::events::accepted;
use super::executions::whole;
use crate::error::Error;
use crate::ingress::EventReceipt;
use crate::lanes::Verb;
use crate::operations;
use crate::problem::Problem;
use crate::shard::DUPLICATE;

/// Why a task fails, as its partner tells it.
#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FailBody {
    /// Type URI of the error; a runtime error when absent.
    #[serde(rename = "type")]
    kind: Option<String>,
    status: Option<i64>,
    title: Option<String>,
    detail: Option<String>,
}

/// `POST /executions/{id}/events`: one CloudEvent, for the listens of this execution alone.
pub async fn signal(call: Call) -> Result<Response, Problem> {
    let id = call.id()?;
    let headers = call.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let mut events = event::http::read(headers, &call.body, Limits::default())?;
    let (Some(mut event), None) = (events.pop(), events.pop()) else {
        return Err(Problem::bad("bad-event", "one event is taken at a time"));
    };
    event.strip_reserved();
    let (source, name) = (event.source.clone(), event.id.clone());
    let verb = Verb::Signal(Arc::new(event));
    if call.query.flag("dryRun")? {
        let view = operations::show(call.rooms(), &call.namespace, id).await?;
        operations::judge(view.status, &verb)?;
        let receipt =
            EventReceipt { id: name, source, duplicate: false, mismatch: false, triggers: Vec::new() };
        return json(200, &accepted(&[receipt]));
    }
    let duplicate = match operations::command(call.rooms(), &call.namespace, id, verb, None).await {
        Ok(()) => false,
        Err(Error::Conflict { code: DUPLICATE, .. }) => true,
        Err(error) => return Err(error.into()),
    };
    let receipt = EventReceipt { id: name, source, duplicate, mismatch: false, triggers: Vec::new() };
    json(202, &accepted(&[receipt]))
}

/// `POST /executions/{id}/tasks/{visit}/complete`: the body is the task's raw output.
pub async fn complete(call: Call) -> Result<Response, Problem> {
    let output = if call.body.is_empty() {
        Value::Null
    } else {
        Value::parse(&call.body)
            .map_err(|error| Problem::bad("bad-body", format!("cannot read the output: {error}")))?
    };
    answer(call, Ok(output)).await
}

/// `POST /executions/{id}/tasks/{visit}/fail`: the body is the error.
pub async fn fail(call: Call) -> Result<Response, Problem> {
    let FailBody { kind, status, title, detail } = call.read_or_default()?;
    let standard = kind.as_deref().map_or(Some(Standard::Runtime), Standard::from_uri);
    let base = Fault::new(standard.unwrap_or(Standard::Runtime), detail.unwrap_or_default());
    let fault = Fault {
        kind: kind.map_or(base.kind, Into::into),
        status: status.unwrap_or(base.status),
        title: title.map(Into::into).or(base.title.filter(|_| standard.is_some())),
        detail: base.detail.filter(|detail| !detail.is_empty()),
        instance: None,
    };
    answer(call, Err(fault)).await
}

async fn answer(call: Call, answer: Result<Value, Fault>) -> Result<Response, Problem> {
    let id = call.id()?;
    let text = call.param("visit");
    let visit = text.parse().map_err(|_| {
        let told: String = text.chars().take(64).collect();
        Problem::from(Error::not_found("task visit", told))
    })?;
    if call.query.flag("dryRun")? {
        let view = operations::show(call.rooms(), &call.namespace, id).await?;
        if !view.waiting_for.iter().any(|wait| wait.visit == visit) {
            return Err(Error::conflict("state", format!("no task waits under visit {visit}")).into());
        }
        return json(200, &whole(&call, &view).await?);
    }
    operations::callback(call.rooms(), &call.namespace, id, (visit, answer)).await?;
    let view = operations::show(call.rooms(), &call.namespace, id).await?;
    json(200, &whole(&call, &view).await?)
}
