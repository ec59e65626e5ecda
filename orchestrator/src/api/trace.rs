//! The way of an event: received, judged clause by clause, delivered, run.
//!
//! Owns its JSON form. Judges by the triggers as they are now, and says which generation that is.

use std::sync::Arc;

use axum::response::Response;
use serde::Serialize;
use tidemill_dsl::event::{Event, StoredEvent};
use tidemill_dsl::filter::Clause;
use tidemill_dsl::ids::ExecutionId;
use tidemill_dsl::manifest::Overlap;
use tidemill_engine::record::Status;
use tidemill_store::{DeadLetter, DeadQuery, DeliveryState, ExecutionRow, StoredDelivery};
use utoipa::ToSchema;

use super::body::{Json, json};
use super::call::Call;
use super::events;
use super::executions::{ExecutionEntry, listed};
use crate::catalog::TriggerEntry;
use crate::deliveries::{REPLAY, blocking};
use crate::operations;
use crate::problem::Problem;

/// Dead letters looked through per trigger.
const DEAD_PAGE: usize = 1000;

/// An event's way.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    source: String,
    id: String,
    /// The CloudEvent.
    event: Json,
    /// How it came in, once per binding.
    received: Vec<Received>,
    /// What each trigger says to it.
    triggers: Vec<Judged>,
    /// What it began, all attempts of all triggers.
    executions: Vec<Begun>,
    dead_letters: Vec<Dead>,
}

/// How an event came in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Received {
    binding: String,
    at: String,
}

/// A trigger's verdict.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    name: String,
    binding: String,
    generation: u64,
    matched: bool,
    clauses: Vec<ClauseBody>,
    /// `skipped` where an execution of the trigger ran already and it says `overlap: skip`.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
}

/// One clause of a rule.
#[derive(Serialize, ToSchema)]
pub struct ClauseBody {
    /// JSON pointer in the trigger's spec.
    path: String,
    /// What is tested.
    test: String,
    /// The event's value.
    #[serde(skip_serializing_if = "Option::is_none")]
    actual: Option<Json>,
    /// `pass`, `fail` or `skip`.
    verdict: &'static str,
}

/// An execution that an event began.
#[derive(Serialize, ToSchema)]
pub struct Begun {
    id: String,
    trigger: Option<String>,
    status: String,
    /// The batch that replayed the event to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    replay: Option<String>,
    /// Why it was cancelled, as told then; `overlap: replace` says so here.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    execution: ExecutionEntry,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<DeliveryBody>,
}

/// A stored delivery.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryBody {
    /// `ready`, `blocked`, `parked` or `inFlight`.
    state: &'static str,
    attempt: u32,
    not_before: String,
    order_key: Option<String>,
    priority: i32,
}

/// A dead letter of the event.
#[derive(Serialize, ToSchema)]
pub struct Dead {
    id: String,
    trigger: String,
    cause: String,
    at: String,
}

/// A rule's clauses as told.
pub(super) fn clauses(all: Vec<Clause>) -> Vec<ClauseBody> {
    all.into_iter()
        .map(|clause| ClauseBody {
            path: clause.path,
            test: clause.test,
            actual: clause.actual.map(Json),
            verdict: clause.verdict.as_str(),
        })
        .collect()
}

/// A trigger's verdict on an event.
pub(super) fn judge(trigger: &TriggerEntry, binding: &str, event: &Event) -> Judged {
    let rule = trigger.spec.rule(trigger.paused);
    Judged {
        name: trigger.name.to_string(),
        binding: binding.to_owned(),
        generation: trigger.generation,
        matched: rule.matches(binding, event),
        clauses: clauses(rule.explain(binding, event)),
        outcome: None,
    }
}

/// `GET /events/{source}/{id}/trace`.
pub async fn trace(call: Call) -> Result<Response, Problem> {
    let found = events::find(&call).await?;
    let first = found.first().ok_or_else(|| events::missing(&call))?;
    let (event, source, id) =
        (first.event.clone(), first.event.source.to_string(), first.event.id.to_string());
    let space = call.rooms().catalog.space(&call.namespace);
    let mut triggers = Vec::new();
    let mut executions = Vec::new();
    for row in &found {
        triggers.extend(space.triggers().map(|trigger| judge(trigger, &row.binding, &row.event)));
        executions.extend(begun(&call, row).await?);
    }
    let mut dead_letters = Vec::new();
    for trigger in space.triggers().filter(|t| triggers.iter().any(|j| j.matched && *j.name == *t.name)) {
        dead_letters.extend(dead(&call, &trigger.name, &event).await?);
    }
    for judged in triggers.iter_mut().filter(|judged| judged.matched) {
        let began = executions.iter().any(|e| e.trigger.as_ref() == Some(&judged.name));
        let died = dead_letters.iter().any(|letter: &Dead| letter.trigger == judged.name);
        let skips = space
            .trigger(&judged.name)
            .is_some_and(|t| t.spec.overlap == Overlap::Skip && found.iter().any(|row| row.accepted >= t.at));
        judged.outcome = (skips && !began && !died).then_some("skipped");
    }
    let received = found
        .iter()
        .map(|row| Received { binding: row.binding.to_string(), at: row.accepted.rfc3339() })
        .collect();
    json(
        200,
        &Trace { source, id, event: Json(event.to_value()), received, triggers, executions, dead_letters },
    )
}

async fn begun(call: &Call, row: &StoredEvent) -> Result<Vec<Begun>, Problem> {
    let (store, namespace, row) = (call.rooms().store.clone(), call.namespace.clone(), row.clone());
    let pairs = blocking(move || {
        let rows = store.caused_by(&namespace, &row.binding, &row.event.source, &row.event.id)?;
        let with = |row: ExecutionRow| store.delivery_of(row.id).map(|delivery| (row, delivery));
        rows.into_iter().map(with).collect::<Result<Vec<_>, _>>()
    })
    .await?;
    let mut told = Vec::new();
    for (row, delivery) in pairs {
        told.push(Begun {
            id: row.id.to_string(),
            trigger: row.trigger.as_ref().map(ToString::to_string),
            status: row.status.word().to_owned(),
            reason: if row.status == Status::Cancelled { reason(call, row.id).await? } else { None },
            replay: row.tags.iter().find(|(name, _)| **name == *REPLAY).map(|(_, batch)| batch.to_string()),
            execution: listed(row),
            delivery: delivery.map(|stored| delivered(&stored)),
        });
    }
    Ok(told)
}

/// Why an execution was cancelled.
async fn reason(call: &Call, id: ExecutionId) -> Result<Option<String>, Problem> {
    let entries = operations::history(call.rooms(), &call.namespace, id, (0, usize::MAX >> 1)).await?;
    let ends = entries.iter().rev().find(|entry| entry.kind == "workflow.cancelled");
    Ok(ends.and_then(|entry| entry.reason.as_ref()).map(ToString::to_string))
}

fn delivered(stored: &StoredDelivery) -> DeliveryBody {
    DeliveryBody {
        state: match stored.state {
            DeliveryState::Ready => "ready",
            DeliveryState::Blocked => "blocked",
            DeliveryState::Parked => "parked",
            DeliveryState::InFlight => "inFlight",
        },
        attempt: stored.delivery.attempt,
        not_before: stored.delivery.not_before.rfc3339(),
        order_key: stored.delivery.key.as_ref().map(ToString::to_string),
        priority: stored.delivery.priority,
    }
}

async fn dead(call: &Call, trigger: &Arc<str>, event: &Event) -> Result<Vec<Dead>, Problem> {
    let query = DeadQuery {
        namespace: call.namespace.clone(),
        trigger: Some(trigger.clone()),
        limit: DEAD_PAGE,
        ..DeadQuery::default()
    };
    let store = call.rooms().store.clone();
    let letters = blocking(move || store.dead_letters(&query)).await?;
    let own = |letter: &DeadLetter| letter.event.source == event.source && letter.event.id == event.id;
    let told = letters.into_iter().filter(own).map(|letter| Dead {
        id: letter.id.to_string(),
        trigger: letter.trigger.to_string(),
        cause: letter.cause.to_string(),
        at: letter.at.rfc3339(),
    });
    Ok(told.collect())
}
