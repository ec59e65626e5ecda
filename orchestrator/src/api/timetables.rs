//! What a cron source does next, and what it did not do in the past.
//!
//! Owns the listing of coming instants and the filling of a past range. What the instants are and what events they
//! become is the connector's.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use serde::{Deserialize, Serialize};
use tidemill_connectors::Receipt;
use tidemill_connectors::cron::{self, MAX_BACKFILL, POSITION};
use tidemill_connectors::registry::cron_spec;
use tidemill_dsl::event::Event;
use tidemill_dsl::ids::Time;
use tidemill_dsl::manifest::{CronSource, Manifest, Source, SourceKind};
use tidemill_store::DefinitionKind;
use utoipa::ToSchema;

use super::body::json;
use super::call::Call;
use super::dead_letters::instant;
use crate::deliveries::blocking;
use crate::error::Error;
use crate::ingress::Offer;
use crate::problem::Problem;

/// Coming instants that are told when nothing is said, and at most.
const TIMES: (usize, usize) = (5, 1000);
/// Events offered at once.
const PIECE: usize = 100;
/// How long a piece waits for the limits of the source.
const PATIENCE: Duration = Duration::from_secs(30);

/// `GET /sources/{name}/next`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Upcoming {
    schedule: String,
    timezone: String,
    /// In order; fewer than asked for when the schedule ends.
    times: Vec<Instant>,
}

/// An instant at which a cron source fires.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Instant {
    time: String,
    /// The same in the source's time zone.
    local: String,
}

/// Body of a back-fill: a past range.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackfillBody {
    /// From this instant on (RFC 3339).
    since: String,
    /// Up to this instant, without it; now when absent.
    until: Option<String>,
}

/// What a back-fill did, or would do.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backfilled {
    since: String,
    /// Where it ended: at the latest at the source's position. What is behind that the source fires itself.
    until: String,
    /// Instants of the schedule in the range.
    instants: usize,
    /// Of them fired now; absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<usize>,
    /// Of them fired before; absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicates: Option<usize>,
}

/// The source that the path names.
fn source(call: &Call, name: &str) -> Result<Arc<Manifest>, Problem> {
    let space = call.rooms().catalog.space(&call.namespace);
    let found = space.manifest(DefinitionKind::Source, name).map(|entry| entry.manifest.clone());
    found.ok_or_else(|| Problem::not_found("source", name))
}

/// The time table of a manifest.
fn table(manifest: &Manifest) -> Result<(&Source, &CronSource), Problem> {
    if let Manifest::Source(source) = manifest
        && let SourceKind::Cron(cron) = &source.kind
    {
        return Ok((source, cron));
    }
    let detail =
        format!("the source `{}` has no schedule: only sources of kind cron have one", manifest.name());
    Err(Error::conflict("no-schedule", detail).into())
}

fn spec(source: &Source, cron: &CronSource) -> Result<cron::Spec, Problem> {
    cron_spec(source, cron)
        .map_err(|error| Problem::unprocessable("source-failed", format!("cannot {error}")))
}

/// `GET /sources/{name}/next`: the coming instants of a cron source.
pub async fn next(call: Call) -> Result<Response, Problem> {
    let manifest = source(&call, &call.name()?)?;
    let (source, cron) = table(&manifest)?;
    let schedule = spec(source, cron)?.schedule;
    let count = match call.query.get("times").map(str::parse::<usize>) {
        None => TIMES.0,
        Some(Ok(count)) if (1..=TIMES.1).contains(&count) => count,
        Some(_) => return Err(Problem::bad("query", format!("`times` is 1 to {}", TIMES.1))),
    };
    let times = schedule.between((call.rooms().clock)(), Time(i64::MAX), count);
    let told = |at: Time| Instant { time: cron::instant(at), local: schedule.local(at) };
    let (schedule_text, timezone) = (cron.schedule.to_string(), cron.timezone.to_string());
    json(200, &Upcoming { schedule: schedule_text, timezone, times: times.into_iter().map(told).collect() })
}

/// `POST /sources/{name}/backfill`: the instants of a past range, each once however often it is asked for.
pub async fn backfill(call: Call) -> Result<Response, Problem> {
    let name = call.name()?;
    let manifest = source(&call, &name)?;
    let (source, cron) = table(&manifest)?;
    let spec = spec(source, cron)?;
    let body: BackfillBody = call.read()?;
    let now = (call.rooms().clock)();
    let since = instant("since", Some(&body.since))?.unwrap_or(now);
    let until = instant("until", body.until.as_ref())?.unwrap_or(now);
    if since >= until || until > now {
        let detail = "a back-fill is of the past: `since` lies before `until`, and `until` not behind now";
        return Err(Problem::bad("backfill-range", detail));
    }
    let until = until.min(position(&call, &name, now).await?);
    let instants = spec.schedule.between(Time(since.0 - 1), Time(until.0 - 1), MAX_BACKFILL + 1);
    if instants.len() > MAX_BACKFILL {
        let detail = format!(
            "the range has more than {MAX_BACKFILL} instants (limit backfill-instants); the first {MAX_BACKFILL} end at {}",
            cron::instant(instants[MAX_BACKFILL])
        );
        return Err(Problem::unprocessable("backfill-instants", detail));
    }
    let mut told = Backfilled {
        since: cron::instant(since),
        until: cron::instant(until.max(since)),
        instants: instants.len(),
        accepted: None,
        duplicates: None,
    };
    if !call.query.flag("dryRun")? {
        let path = format!("/sources/{}/{name}", call.namespace);
        let events = instants.iter().map(|at| cron::recovered(&spec, &path, *at, now));
        let events: Result<Vec<Event>, _> = events.collect();
        let events = events.map_err(|error| Problem::unprocessable("source-event", error.to_string()))?;
        let receipt = fill(&call, &name, &events).await?;
        (told.accepted, told.duplicates) = (Some(receipt.accepted), Some(receipt.duplicates));
    }
    json(200, &told)
}

/// The instant behind the last one that the source has dealt with; what comes then is its own.
async fn position(call: &Call, name: &Arc<str>, now: Time) -> Result<Time, Problem> {
    let (store, namespace, own) = (call.rooms().store.clone(), call.namespace.clone(), name.clone());
    let saved = blocking(move || store.checkpoints(&namespace, &own)).await?;
    let last =
        saved.iter().find(|saved| &*saved.partition == POSITION).and_then(|saved| Time::parse(&saved.value));
    Ok(last.map_or(now, |last| Time(last.0 + 1)))
}

/// Offers the events piece by piece, within the limits of the source.
async fn fill(call: &Call, name: &Arc<str>, events: &[Event]) -> Result<Receipt, Problem> {
    let gauge = call.state.hall.sources.gauge(&call.namespace, name);
    let mut done = Receipt::default();
    for piece in events.chunks(PIECE) {
        match offer(call, name, piece).await {
            Ok(receipt) => {
                if let Some(gauge) = &gauge {
                    gauge.counted(&receipt, None);
                }
                done.accepted += receipt.accepted;
                done.duplicates += receipt.duplicates;
            }
            Err(problem) => {
                let problem = Problem::from(problem);
                let went = done.accepted + done.duplicates;
                let of = events.len();
                let detail =
                    format!("{}; {went} of {of} instants went before: send the same again", problem.detail);
                return Err(Problem { detail, ..problem });
            }
        }
    }
    Ok(done)
}

async fn offer(call: &Call, name: &Arc<str>, events: &[Event]) -> Result<Receipt, Error> {
    let gauge = call.state.hall.sources.gauge(&call.namespace, name);
    let permit = match &gauge {
        Some(gauge) => match tokio::time::timeout(PATIENCE, gauge.gate.wait_all(events.len())).await {
            Ok(permit) => Some(permit),
            Err(_) => {
                let detail = format!("accept events: the source `{name}` takes no more now (its limits)");
                return Err(Error::Busy { code: "source-limit", detail, after: PATIENCE });
            }
        },
        None => None,
    };
    let offer = Offer {
        namespace: call.namespace.clone(),
        binding: name.clone(),
        events: events.to_vec(),
        checkpoints: Vec::new(),
        marks: Vec::new(),
        placed: Vec::new(),
        patient: false,
    };
    let taken = call.rooms().ingress.accept(call.rooms(), offer).await;
    if let (Err(_), Some(permit)) = (&taken, &permit) {
        permit.refund(permit.count);
    }
    let receipts = taken?;
    let duplicates = receipts.iter().filter(|receipt| receipt.duplicate).count();
    Ok(Receipt { accepted: receipts.len() - duplicates, duplicates })
}
