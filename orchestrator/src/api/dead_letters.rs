//! Dead letters: list, inspect, redrive, purge.
//!
//! Owns their JSON forms and filters. The redrive itself is a batch (`redrive.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::response::Response;
use http::header;
use serde::{Deserialize, Serialize};
use tidemill_dsl::ids::Time;
use tidemill_store::{Batch, BufferChange, Class, DeadLetter, DeadQuery, DeadState, DeliveryKey, Part};
use utoipa::ToSchema;

use super::batches::BatchBody;
use super::body::{Json, json, with};
use super::call::Call;
use super::lenient;
use super::paging::{Keyset, Page};
use super::query::bad;
use crate::buffer::submit;
use crate::deliveries::blocking;
use crate::problem::Problem;
use crate::redrive::{self, Action, Filter, Plan, Preview};

/// Letters purged in one commit.
const PURGE_SLICE: usize = 500;

/// A dead letter.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterBody {
    id: String,
    trigger: String,
    /// The trigger's generation.
    generation: u64,
    /// Why: `faulted`, `buffer-full`, ...
    cause: String,
    binding: String,
    /// The original CloudEvent.
    event: Json,
    order_key: Option<String>,
    attempts: Vec<AttemptBody>,
    at: String,
    /// `open`, `redriven` or `purged`.
    state: &'static str,
}

/// One failed attempt.
#[derive(Serialize, ToSchema)]
pub struct AttemptBody {
    execution: String,
    at: String,
    /// The language's error object.
    error: Json,
}

/// Which dead letters a body means.
#[derive(Deserialize, Default, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeadFilter {
    pub(super) ids: Option<Vec<String>>,
    pub(super) trigger: Option<String>,
    pub(super) cause: Option<String>,
    pub(super) since: Option<String>,
    pub(super) until: Option<String>,
}

/// Body of a redrive.
#[derive(Deserialize, Default, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedriveBody {
    #[serde(default)]
    filter: DeadFilter,
    /// At most so many per time, for example `100/s`; a number is so many a second.
    #[serde(default, deserialize_with = "lenient::rate")]
    rate: Option<String>,
    /// At most so many in all.
    limit: Option<u64>,
    /// An expression `${ ... }` over each letter's event: the trigger's input is made from what it gives.
    edit: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

/// What a dry run or a purge would touch, or has touched.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Touched {
    matched: u64,
    dry_run: bool,
    /// Executions that the filter names, by status, whether the action can touch them or not.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    states: BTreeMap<&'static str, u64>,
}

fn word(state: DeadState) -> &'static str {
    match state {
        DeadState::Open => "open",
        DeadState::Redriven => "redriven",
        DeadState::Purged => "purged",
    }
}

fn shown(letter: DeadLetter) -> DeadLetterBody {
    DeadLetterBody {
        id: letter.id.to_string(),
        trigger: letter.trigger.to_string(),
        generation: letter.generation,
        cause: letter.cause.to_string(),
        binding: letter.binding.to_string(),
        event: Json(letter.event.to_value()),
        order_key: letter.key.map(|key| key.to_string()),
        attempts: letter
            .attempts
            .iter()
            .map(|attempt| AttemptBody {
                execution: attempt.execution.to_string(),
                at: attempt.at.rfc3339(),
                error: Json(attempt.error.to_value()),
            })
            .collect(),
        at: letter.at.rfc3339(),
        state: word(letter.state),
    }
}

/// `GET /dead-letters`: open ones unless another state is asked for, newest first.
pub async fn list(call: Call) -> Result<Response, Problem> {
    let keyset = Keyset::new("dead-letters", &call.namespace, &call.query);
    let size = call.query.page_size(50)?;
    let filter = query_filter(&call)?;
    let state = match call.query.get("state") {
        None | Some("open") => Some(DeadState::Open),
        Some("redriven") => Some(DeadState::Redriven),
        Some("purged") => Some(DeadState::Purged),
        Some("all") => None,
        Some(_) => return Err(bad("state", "is `open`, `redriven`, `purged` or `all`")),
    };
    let query = DeadQuery {
        namespace: call.namespace.clone(),
        trigger: filter.trigger.clone(),
        cause: filter.cause.clone(),
        state,
        before: keyset.number(&call.query)?,
        limit: size + 1,
    };
    let (count, store) = (call.query.flag("count")?, call.rooms().store.clone());
    let (letters, more, total) = blocking(move || {
        let all = DeadQuery { before: None, ..query.clone() };
        let total =
            if count { Some(redrive::matching(&*store, all, &filter, usize::MAX)?.0.len()) } else { None };
        let (letters, more) = redrive::matching(&*store, query, &filter, size)?;
        Ok((letters, more, total))
    })
    .await?;
    let next = letters.last().filter(|_| more).map(|letter| keyset.token(&letter.id.to_be_bytes()));
    let page = Page::new(letters.into_iter().map(shown).collect(), next);
    json(200, &Page { total: total.map(|n| n as u64), ..page })
}

/// `GET /dead-letters/{id}`.
pub async fn get(call: Call) -> Result<Response, Problem> {
    let text = call.param("id").to_owned();
    let missing = || Problem::not_found("dead letter", &text.chars().take(64).collect::<String>());
    let id: u64 = text.parse().map_err(|_| missing())?;
    let (store, namespace) = (call.rooms().store.clone(), call.namespace.clone());
    let letter = blocking(move || store.dead_letter(&namespace, id)).await?.ok_or_else(missing)?;
    json(200, &shown(letter))
}

fn query_filter(call: &Call) -> Result<Filter, Problem> {
    let ids = call.query.list("id");
    Ok(Filter {
        ids: if ids.is_empty() { None } else { Some(numbers(&ids)?) },
        trigger: call.query.text("trigger"),
        cause: call.query.text("cause"),
        since: call.query.time("since")?,
        until: call.query.time("until")?,
        ..Filter::default()
    })
}

fn numbers<T: AsRef<str>>(texts: &[T]) -> Result<std::collections::BTreeSet<u64>, Problem> {
    let read = |text: &T| text.as_ref().parse().map_err(|_| Problem::not_found("dead letter", text.as_ref()));
    texts.iter().map(read).collect()
}

/// An instant of a body.
pub(super) fn instant(name: &str, text: Option<&String>) -> Result<Option<Time>, Problem> {
    let Some(text) = text else { return Ok(None) };
    Time::parse(text)
        .map(Some)
        .ok_or_else(|| Problem::bad("bad-body", format!("`{name}` is no RFC 3339 instant")))
}

impl DeadFilter {
    /// As a filter of a batch.
    pub(super) fn read(&self) -> Result<Filter, Problem> {
        let text = |value: &Option<String>| value.as_deref().map(Arc::from);
        Ok(Filter {
            ids: self.ids.as_ref().map(|ids| numbers(ids)).transpose()?,
            trigger: text(&self.trigger),
            cause: text(&self.cause),
            since: instant("since", self.since.as_ref())?,
            until: instant("until", self.until.as_ref())?,
            ..Filter::default()
        })
    }
}

/// `POST /dead-letters/redrive`: 202 with the Location of a batch.
pub async fn redrive(call: Call) -> Result<Response, Problem> {
    let body: RedriveBody = call.read_or_default()?;
    let plan = Plan {
        namespace: call.namespace.clone(),
        action: Action::Redrive,
        filter: body.filter.read()?,
        rate: super::batches::rate(body.rate.as_deref())?,
        limit: body.limit,
        reason: None,
        edit: edit(body.edit)?,
    };
    launch(&call, plan, body.dry_run).await
}

/// An edit that can be read.
pub(super) fn edit(text: Option<String>) -> Result<Option<Arc<str>>, Problem> {
    text.map(|text| redrive::edit(&text).map(|_| text.into())).transpose().map_err(Problem::from)
}

/// Starts a batch, or only counts what it would do.
pub(super) async fn launch(call: &Call, plan: Plan, dry_run: bool) -> Result<Response, Problem> {
    if dry_run || call.query.flag("dryRun")? {
        let Preview { matched, states } = call.state.batches.preview(plan).await?;
        return json(200, &Touched { matched, dry_run: true, states });
    }
    let record = call.state.batches.begin(plan).await?;
    let location = format!("{}/batches/{}", call.base(), record.id);
    Ok(with(json(202, &BatchBody::from(record))?, header::LOCATION, &location))
}

/// `DELETE /dead-letters`: drops what the query names; parked order keys go on.
pub async fn purge(call: Call) -> Result<Response, Problem> {
    let filter = query_filter(&call)?;
    let dry_run = call.query.flag("dryRun")?;
    let mut query = DeadQuery {
        namespace: call.namespace.clone(),
        trigger: filter.trigger.clone(),
        cause: filter.cause.clone(),
        state: Some(DeadState::Open),
        before: None,
        limit: PURGE_SLICE + 1,
    };
    let mut matched = 0;
    loop {
        let (store, own, filter) = (call.rooms().store.clone(), query.clone(), filter.clone());
        let (letters, more) = blocking(move || redrive::matching(&*store, own, &filter, PURGE_SLICE)).await?;
        matched += letters.len() as u64;
        query.before = letters.last().map(|letter| letter.id);
        if !dry_run && !letters.is_empty() {
            drop_letters(&call, &letters).await?;
        }
        if !more {
            return json(200, &Touched { matched, dry_run, states: BTreeMap::new() });
        }
    }
}

async fn drop_letters(call: &Call, letters: &[DeadLetter]) -> Result<(), Problem> {
    let mut changes = Vec::with_capacity(letters.len());
    for letter in letters {
        changes.push(BufferChange::DeadState {
            namespace: letter.namespace.clone(),
            id: letter.id,
            state: DeadState::Purged,
        });
        let parked = letter.parked.map(|pos| DeliveryKey {
            namespace: letter.namespace.clone(),
            trigger: letter.trigger.clone(),
            pos,
        });
        changes.extend(parked.map(BufferChange::Finish));
    }
    submit(call.rooms(), Batch { class: Class::Running, parts: vec![Part::Buffer(changes)] }).await?;
    for letter in letters {
        call.rooms().buffers.wake(&letter.namespace, &letter.trigger);
    }
    Ok(())
}
