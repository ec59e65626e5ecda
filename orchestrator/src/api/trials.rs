//! Trigger tests: one event in, the verdict out; or a back-test over stored events. Nothing is fired or written.
//!
//! Owns their JSON forms. Judging is the matcher's, rendering the trigger's templates'.

use std::collections::BTreeMap;

use axum::response::Response;
use serde::{Deserialize, Serialize};
use tidemill_dsl::event::{Event, EventError};
use tidemill_dsl::expr::{NoArguments, Template};
use tidemill_dsl::ids::Time;
use tidemill_dsl::manifest::{self, Manifest, Trigger};
use tidemill_dsl::value::{Map, Value};
use tidemill_dsl::yaml;
use tidemill_store::EventQuery;
use utoipa::ToSchema;

use super::body::{Json, json};
use super::call::Call;
use super::dead_letters::instant;
use super::trace::{ClauseBody, clauses};
use crate::deliveries::blocking;
use crate::error::Error;
use crate::problem::Problem;

/// Stored events looked at by one back-test (limit `back-test`).
const MAX_EVENTS: usize = 100_000;
/// Events read at once.
const PAGE: usize = 1000;
/// Matches named in a back-test's answer.
const EXAMPLES: usize = 50;

/// Body of a test: an event, or a time range to back-test over. A bare CloudEvent is taken too.
#[derive(Deserialize, Default, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TestBody {
    /// Only for `POST /trigger-tests`: a Trigger manifest as JSON, or the name of one.
    trigger: Option<Json>,
    /// A CloudEvent; id, source and specversion may be left out.
    event: Option<Json>,
    /// The Source that would have brought it; else the trigger's own.
    binding: Option<String>,
    since: Option<String>,
    until: Option<String>,
}

/// A verdict.
#[derive(Serialize, ToSchema)]
pub struct Verdict {
    matched: bool,
    clauses: Vec<ClauseBody>,
    /// The rendered input, when it matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Json>,
    /// The rendered tags, when it matched.
    tags: BTreeMap<String, Json>,
    /// Why the input or a tag cannot be rendered.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Json>,
}

/// A back-test's result.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackTest {
    /// Events looked at.
    examined: usize,
    matched: usize,
    /// Whether the limit `back-test` ended it early.
    truncated: bool,
    /// Some that matched, oldest first.
    matches: Vec<Match>,
}

/// An event that would have fired.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Match {
    source: String,
    id: String,
    #[serde(rename = "type")]
    kind: String,
    received_at: String,
}

/// `POST /triggers/{name}/test`.
pub async fn test(call: Call) -> Result<Response, Problem> {
    let name = call.name()?;
    let body = read(&call)?;
    if body.trigger.is_some() {
        return Err(Problem::bad(
            "bad-body",
            "the path names the trigger; send an event, or since and until",
        ));
    }
    let trigger = stored(&call, &name)?;
    judge(&call, trigger, body).await
}

/// `POST /trigger-tests`: for a trigger that need not be stored.
pub async fn draft(call: Call) -> Result<Response, Problem> {
    let body: TestBody = call.read()?;
    let trigger = match &body.trigger {
        Some(Json(Value::String(name))) => stored(&call, name)?,
        Some(Json(document)) => drafted(&call, document)?,
        None => {
            return Err(Problem::bad("bad-body", "`trigger` is a Trigger manifest, or the name of one"));
        }
    };
    judge(&call, trigger, body).await
}

/// The body, or the bare CloudEvent that it is.
fn read(call: &Call) -> Result<TestBody, Problem> {
    let value = Value::parse(&call.body)
        .map_err(|e| Problem::bad("bad-body", format!("cannot read the body: {e}")))?;
    let bare = value.get("type").is_some() || value.get("specversion").is_some();
    if bare { Ok(TestBody { event: Some(Json(value)), ..TestBody::default() }) } else { call.read() }
}

fn stored(call: &Call, name: &str) -> Result<Trigger, Problem> {
    let space = call.rooms().catalog.space(&call.namespace);
    let found = space.trigger(name).map(|entry| entry.spec.clone());
    found.ok_or_else(|| Problem::not_found("trigger", name))
}

fn drafted(call: &Call, document: &Value) -> Result<Trigger, Problem> {
    let text = document.to_string();
    let node = yaml::parse(&text).map_err(Error::Refused)?;
    match manifest::parse(&node, &text, &call.namespace).map_err(Error::Refused)? {
        Manifest::Trigger(trigger) => Ok(*trigger),
        other => Err(Problem::unprocessable("no-trigger", format!("this is a {}, no Trigger", other.kind()))),
    }
}

/// The verdict of a trigger on an event that may leave id, source and specversion out; none of it needs a server.
pub fn judged(trigger: &Trigger, event: &Value) -> Result<Verdict, EventError> {
    let event = Event::from_value(&filled(event))?;
    Ok(verdict(trigger, trigger.source.as_deref().unwrap_or(""), &event))
}

async fn judge(call: &Call, trigger: Trigger, body: TestBody) -> Result<Response, Problem> {
    match (body.event, &body.since, &body.until) {
        (Some(Json(event)), None, None) => {
            let event = Event::from_value(&filled(&event))?;
            let binding = body.binding.as_deref().or(trigger.source.as_deref()).unwrap_or("");
            json(200, &verdict(&trigger, binding, &event))
        }
        (None, since, until) if since.is_some() || until.is_some() => {
            let range = (instant("since", since.as_ref())?, instant("until", until.as_ref())?);
            json(200, &back_test(call, &trigger, range).await?)
        }
        _ => Err(Problem::bad("bad-body", "send either `event`, or `since` and `until`")),
    }
}

/// The event with what a test may leave out.
fn filled(event: &Value) -> Value {
    let Some(given) = event.as_object() else {
        return event.clone();
    };
    let mut map: Map = given.clone();
    for (key, default) in [("specversion", "1.0"), ("id", "test"), ("source", "/test")] {
        map.entry(key.into()).or_insert_with(|| Value::text(default));
    }
    map.into()
}

fn verdict(trigger: &Trigger, binding: &str, event: &Event) -> Verdict {
    let rule = trigger.rule(false);
    let matched = rule.matches(binding, event);
    let mut answer = Verdict {
        matched,
        clauses: clauses(rule.explain(binding, event)),
        input: None,
        tags: BTreeMap::new(),
        error: None,
    };
    if !matched {
        return answer;
    }
    let envelope = event.to_value();
    let eval = |template: &Template| template.eval(&envelope, &NoArguments);
    match trigger.input.as_ref().map_or_else(|| Ok(envelope.clone()), eval) {
        Ok(input) => answer.input = Some(Json(input)),
        Err(fault) => answer.error = Some(Json(fault.to_value())),
    }
    for (name, template) in &trigger.tags {
        match eval(template) {
            Ok(value) => {
                answer.tags.insert(name.to_string(), Json(value));
            }
            Err(fault) => answer.error = Some(Json(fault.to_value())),
        }
    }
    answer
}

async fn back_test(
    call: &Call,
    trigger: &Trigger,
    (since, until): (Option<Time>, Option<Time>),
) -> Result<BackTest, Problem> {
    let rule = trigger.rule(false);
    let (store, namespace) = (call.rooms().store.clone(), call.namespace.clone());
    let result = blocking(move || {
        let mut query = EventQuery { namespace, since, until, limit: PAGE, ..EventQuery::default() };
        let mut result = BackTest { examined: 0, matched: 0, truncated: false, matches: Vec::new() };
        loop {
            let page = store.events(&query)?;
            let full = page.len() == PAGE;
            query.after = page.last().map(|row| row.pos).or(query.after);
            for row in &page {
                result.examined += 1;
                if !rule.matches(&row.binding, &row.event) {
                    continue;
                }
                result.matched += 1;
                if result.matches.len() < EXAMPLES {
                    result.matches.push(Match {
                        source: row.event.source.to_string(),
                        id: row.event.id.to_string(),
                        kind: row.event.kind.to_string(),
                        received_at: row.accepted.rfc3339(),
                    });
                }
            }
            result.truncated = full && result.examined >= MAX_EVENTS;
            if !full || result.truncated {
                return Ok(result);
            }
        }
    })
    .await?;
    Ok(result)
}
