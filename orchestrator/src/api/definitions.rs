//! Sources, triggers, functions, connections, queues: the documents of manifests.md.
//!
//! Owns their JSON form: the document as sent with `status` added. Checking and storing is `apply`'s.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use http::header;
use serde::{Deserialize, Serialize};
use tidemill_connectors::seek::{self, Seek};
use tidemill_dsl::ids::Time;
use tidemill_dsl::manifest::Manifest;
use tidemill_store::{Batch, Checkpoint, Class, DefinitionKind, OperatorChange, Part};
use tidemill_workers::process::{InstanceState, InstanceStatus};
use utoipa::ToSchema;

use super::body::{Json, empty, json, with};
use super::call::Call;
use super::paging::{Keyset, Page, by_name};
use super::status::{self, Status};
use super::workflows::{tag, written};
use crate::apply::{self, Removal, Removed, Request, what};
use crate::buffer::submit;
use crate::catalog::ManifestEntry;
use crate::deliveries::blocking;
use crate::error::Error;
use crate::problem::Problem;
use crate::sources::State;

/// How long a seek waits for the source to stop.
const STOP_WAIT: Duration = Duration::from_secs(10);
/// How long a removal waits for a source to let go of its entries.
const LET_GO: Duration = Duration::from_secs(3);
/// Between two looks at a stopping source.
const STOP_LOOK: Duration = Duration::from_millis(20);

/// A document with its status.
#[derive(Serialize, ToSchema)]
pub struct Resource {
    kind: &'static str,
    /// As sent.
    metadata: Json,
    /// As sent.
    spec: Json,
    status: Status,
}

/// Body of a seek: one position, or one per partition; null removes it.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SeekBody {
    /// For the whole source.
    #[schema(value_type = Option<String>)]
    position: Option<Place>,
    /// Position by partition.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, Option<String>>)]
    positions: BTreeMap<String, Option<Place>>,
}

/// A position as text, or an offset as the number it is.
#[derive(Deserialize)]
#[serde(untagged)]
enum Place {
    Text(String),
    Number(i64),
}

impl From<Place> for Arc<str> {
    fn from(place: Place) -> Arc<str> {
        match place {
            Place::Text(text) => text.into(),
            Place::Number(number) => number.to_string().into(),
        }
    }
}

impl From<SeekBody> for Seek {
    fn from(body: SeekBody) -> Seek {
        let one = |(name, place): (String, Option<Place>)| (name.into(), place.map(Into::into));
        let positions = body.positions.into_iter().map(one).collect();
        Seek { position: body.position.map(Into::into), positions }
    }
}

/// `GET /functions/{name}/instances`: one process that runs a function.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// Number within the function version, from 1.
    id: u64,
    /// The function version.
    version: u32,
    /// `starting`, `ready`, `busy`, `idle`, `draining` or `stopped`.
    state: &'static str,
    pid: Option<u32>,
    /// Calls in flight.
    in_flight: usize,
    /// Calls answered.
    calls: u64,
    started_at: Option<String>,
    /// How it ended, or why it does not start.
    detail: Option<String>,
}

/// `PUT /{kind}s/{name}`.
pub async fn put(call: Call, kind: DefinitionKind) -> Result<Response, Problem> {
    let name = call.name()?;
    let request = Request {
        namespace: &call.namespace,
        text: call.text()?,
        dry_run: call.query.flag("dryRun")?,
        expected: Some((kind, &name)),
        matching: call.if_match(),
    };
    let outcome = apply::apply(call.rooms(), request).await?;
    let result = outcome.results.first().ok_or_else(|| Error::bad("bad-body", "the body has no document"))?;
    written(&call, &outcome, result)
}

/// `GET /{kind}s/{name}`.
pub async fn get(call: Call, kind: DefinitionKind) -> Result<Response, Problem> {
    let name = call.name()?;
    let entry = entry(&call, kind, &name)?;
    let etag = tag(&entry.definition.digest);
    let resource = resource(&call, entry).await?;
    Ok(with(json(200, &resource)?, header::ETAG, &etag))
}

fn entry(call: &Call, kind: DefinitionKind, name: &str) -> Result<ManifestEntry, Problem> {
    let space = call.rooms().catalog.space(&call.namespace);
    let found = match (kind, call.query.get("version")) {
        (DefinitionKind::Function, Some(version)) => {
            version.parse().ok().and_then(|v| space.function(name, Some(v)))
        }
        _ => space.manifest(kind, name),
    };
    found.cloned().ok_or_else(|| Problem::not_found(what(kind), name))
}

async fn resource(call: &Call, entry: ManifestEntry) -> Result<Resource, Problem> {
    let status = status::of(call, &entry).await?;
    let document = entry.manifest.to_value();
    let part = |name: &str| Json(document.get(name).cloned().unwrap_or_default());
    Ok(Resource { kind: entry.manifest.kind(), metadata: part("metadata"), spec: part("spec"), status })
}

/// `GET /{kind}s`.
pub async fn list(call: Call, kind: DefinitionKind) -> Result<Response, Problem> {
    let space = call.rooms().catalog.space(&call.namespace);
    let keyset = Keyset::new(what(kind), &call.namespace, &call.query);
    let all = space.manifests(kind).into_iter().map(|entry| (&*entry.definition.name, entry));
    let (entries, next) = by_name(&keyset, &call.query, all)?;
    let mut items = Vec::with_capacity(entries.len());
    for entry in entries {
        items.push(resource(&call, entry.clone()).await?);
    }
    json(200, &Page::new(items, next).counting(&call.query, || space.manifests(kind).len())?)
}

/// `DELETE /{kind}s/{name}`: 204, or 202 with the document while its entries at a source are still to go.
pub async fn delete(call: Call, kind: DefinitionKind) -> Result<Response, Problem> {
    let name = call.name()?;
    let (matching, dry_run, force) = (call.if_match(), call.query.flag("dryRun")?, call.query.flag("force")?);
    let removal = Removal { kind, name: &name, version: "", matching, dry_run, force };
    let mut changed = call.rooms().catalog.watch();
    if apply::delete(call.rooms(), &call.namespace, removal).await? == Removed::Now {
        return Ok(empty(204));
    }
    let gone = async { while entry(&call, kind, &name).is_ok() && changed.changed().await.is_ok() {} };
    let _ = tokio::time::timeout(LET_GO, gone).await;
    match entry(&call, kind, &name) {
        Ok(entry) => json(202, &resource(&call, entry).await?),
        Err(_) => Ok(empty(204)),
    }
}

/// `POST /{sources|triggers}/{name}/pause`.
pub async fn pause(call: Call, kind: DefinitionKind) -> Result<Response, Problem> {
    hold(call, kind, true).await
}

/// `POST /{sources|triggers}/{name}/resume`.
pub async fn resume(call: Call, kind: DefinitionKind) -> Result<Response, Problem> {
    hold(call, kind, false).await
}

async fn hold(call: Call, kind: DefinitionKind, paused: bool) -> Result<Response, Problem> {
    let name = call.name()?;
    if !call.query.flag("dryRun")? {
        apply::pause(call.rooms(), &call.namespace, (kind, &name), paused).await?;
        call.state.hall.sources.sync(call.rooms());
    }
    let resource = resource(&call, entry(&call, kind, &name)?).await?;
    json(200, &resource)
}

/// `POST /sources/{name}/seek`: stops the source, sets its positions, lets it go on from there.
pub async fn seek(call: Call) -> Result<Response, Problem> {
    let name = call.name()?;
    let body: SeekBody = call.read()?;
    let source = entry(&call, DefinitionKind::Source, &name)?;
    let Manifest::Source(spec) = &*source.manifest else {
        return Err(Problem::bad("bad-body", "it is no Source"));
    };
    let (store, namespace, own) = (call.rooms().store.clone(), call.namespace.clone(), name.clone());
    let saved = blocking(move || store.checkpoints(&namespace, &own)).await?;
    let saved: Vec<Arc<str>> = saved.into_iter().map(|saved| saved.partition).collect();
    let wanted = seek::places(spec, &saved, body.into());
    let wanted = wanted.map_err(|why| Problem::bad("bad-position", why))?;
    if call.query.flag("dryRun")? {
        return json(200, &resource(&call, source).await?);
    }
    let paused = source.definition.paused;
    if !paused {
        stop(&call, &name).await?;
    }
    let changes = wanted.into_iter().map(|(partition, value)| {
        let value = value.unwrap_or_default();
        let checkpoint = Checkpoint { source: name.clone(), partition, value };
        OperatorChange::Checkpoint { namespace: call.namespace.clone(), checkpoint }
    });
    let parts = vec![Part::Operator(changes.collect())];
    let written = submit(call.rooms(), Batch { class: Class::Running, parts }).await;
    if !paused {
        apply::pause(call.rooms(), &call.namespace, (DefinitionKind::Source, &name), false).await?;
        call.state.hall.sources.sync(call.rooms());
    }
    written?;
    let resource = resource(&call, entry(&call, DefinitionKind::Source, &name)?).await?;
    json(200, &resource)
}

/// Pauses a source and waits until its task has ended, so that it saves no position any more.
async fn stop(call: &Call, name: &str) -> Result<(), Problem> {
    let gauge = call.state.hall.sources.gauge(&call.namespace, name);
    apply::pause(call.rooms(), &call.namespace, (DefinitionKind::Source, name), true).await?;
    call.state.hall.sources.sync(call.rooms());
    let Some(gauge) = gauge else { return Ok(()) };
    let stopped = async {
        while !matches!(gauge.state(), State::Stopped | State::Paused) {
            tokio::time::sleep(STOP_LOOK).await;
        }
    };
    if tokio::time::timeout(STOP_WAIT, stopped).await.is_err() {
        tracing::warn!(source = name, "a source did not stop in time for a seek");
    }
    Ok(())
}

/// `GET /functions/{name}/instances`: none for kinds that run in no process of their own.
pub async fn instances(call: Call) -> Result<Response, Problem> {
    let name = call.name()?;
    entry(&call, DefinitionKind::Function, &name)?;
    let found = call.rooms().dispatch.registry.instances(&call.namespace, &name);
    let count = found.len();
    let all: Vec<(String, Instance)> = found.into_iter().map(instance).collect();
    let keyset = Keyset::new("instances", &format!("{}/{name}", call.namespace), &call.query);
    let all = all.into_iter().collect::<BTreeMap<_, _>>();
    let names: Vec<String> = all.keys().cloned().collect();
    let (items, next) =
        by_name(&keyset, &call.query, names.iter().map(String::as_str).zip(all.into_values()))?;
    json(200, &Page::new(items, next).counting(&call.query, || count)?)
}

/// An instance as listed, by version and number.
fn instance((version, instance): (u32, InstanceStatus)) -> (String, Instance) {
    let shown = Instance {
        id: instance.id,
        version,
        state: match instance.state {
            InstanceState::Starting => "starting",
            InstanceState::Ready => "ready",
            InstanceState::Busy => "busy",
            InstanceState::Idle => "idle",
            InstanceState::Draining => "draining",
            InstanceState::Stopped => "stopped",
        },
        pid: instance.pid,
        in_flight: instance.in_flight,
        calls: instance.calls,
        started_at: instance.started_at.map(Time::rfc3339),
        detail: instance.detail,
    };
    (format!("{version:010}/{:020}", instance.id), shown)
}
