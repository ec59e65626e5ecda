//! `/hooks/{namespace}/{path}`: the requests of HTTP sources, and notifications of servers that are twoWay sources.
//!
//! Owns the finding of the source and the answer. Who may send and what the events are is the connector's; the body is
//! read within the source's own limit, and nothing of it before the source is known.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use tidemill_connectors::http::{HttpProblem, Request, to_events};
use tidemill_connectors::{Health, Receipt, minio};
use tidemill_dsl::event::Event;
use tidemill_dsl::ids::{ExecutionId, Namespace, Time};
use tidemill_dsl::manifest::{HttpSource, Manifest, MinioSource, MinioVia, Respond, Source, SourceKind};
use tidemill_engine::record::Ended;
use tidemill_store::DefinitionKind;

use super::body::{self, json, raw, with};
use super::call::Call;
use super::events::accepted;
use crate::deliveries::blocking;
use crate::error::Error;
use crate::ingress::{EventReceipt, Offer};
use crate::operations;
use crate::problem::{Mistake, Problem};
use crate::relations;
use crate::sources::{self, Closed};

/// Largest body of a notification: 1 MiB, as an event's.
const NOTIFICATION: usize = 1024 * 1024;

/// A source that takes a path.
struct Found {
    name: Arc<str>,
    spec: Arc<Manifest>,
    active: bool,
}

/// Any method on `/hooks/{ns}/{*path}`.
pub async fn take(mut call: Call) -> Result<Response, Problem> {
    let found = find(&call).ok_or_else(|| Problem::not_found("hook", call.uri.path()))?;
    let Manifest::Source(source) = &*found.spec else {
        return Err(Problem::not_found("hook", call.uri.path()));
    };
    if !found.active {
        return Err(Problem::new(503, "source-paused", format!("the source `{}` is paused", found.name)));
    }
    let SourceKind::Http(http) = &source.kind else {
        return notified(call, &found, source).await;
    };
    if !http.methods.iter().any(|method| **method == *call.method.as_str()) {
        let allow = http.methods.join(", ");
        let detail = format!("the source `{}` does not take {}", found.name, call.method);
        let refused = Problem::new(405, "method-not-allowed", detail);
        return Ok(with(refused.respond(call.uri.path(), &call.trace), ::http::header::ALLOW, &allow));
    }
    read(&mut call, usize::try_from(http.max_body).unwrap_or(usize::MAX)).await?;
    let receipts = accept(&call, &found, source).await?;
    match http.respond {
        Respond::Output => answer(&call, &found, http, &receipts).await,
        Respond::Accepted => json(202, &accepted(&receipts)),
    }
}

async fn read(call: &mut Call, limit: usize) -> Result<(), Problem> {
    let stream = call.unread.get_mut().ok().and_then(Option::take).unwrap_or_else(Body::empty);
    call.body = body::read(&call.headers, stream, limit.min(body::MAX_BODY)).await?;
    Ok(())
}

/// A notification of the other end of a twoWay source. Who calls is judged first; without an enabled rule the call is
/// refused and counted, so that a sender with a queue of its own keeps what it has.
async fn notified(mut call: Call, found: &Found, source: &Source) -> Result<Response, Problem> {
    if call.method != ::http::Method::POST {
        let refused =
            Problem::new(405, "method-not-allowed", format!("the source `{}` takes POST", found.name));
        return Ok(with(refused.respond(call.uri.path(), &call.trace), ::http::header::ALLOW, "POST"));
    }
    read(&mut call, NOTIFICATION).await?;
    let hook = sources::hook(call.rooms(), &call.namespace, source);
    let hook = hook.map_err(|error| Problem::new(503, "source-failed", error.to_string()))?;
    let hook = hook.ok_or_else(|| Problem::not_found("hook", call.uri.path()))?;
    let request = request(&call, (call.rooms().clock)());
    let (events, poison) = minio::called(&hook, &request).map_err(|problem| refused(&problem))?;
    let gauge = call.state.hall.sources.gauge(&call.namespace, &found.name);
    let space = call.rooms().catalog.space(&call.namespace);
    if !relations::has_rule(&space, &found.name) || space.is_deleting(DefinitionKind::Source, &found.name) {
        metrics::counter!("tidemill_source_refused_total", "source" => found.name.to_string()).increment(1);
        gauge.inspect(|gauge| gauge.refused());
        let detail = format!("no enabled trigger takes events of the source `{}`", found.name);
        return Err(Problem::new(410, "no-rule", detail));
    }
    if let Some(gauge) = &gauge {
        for why in &poison {
            Health::poison(&**gauge, &why.to_string());
        }
    }
    let receipts = if events.is_empty() { Vec::new() } else { offer(&call, found, events).await? };
    json(202, &accepted(&receipts))
}

fn request(call: &Call, received: Time) -> Request<'_> {
    Request {
        method: call.method.as_str(),
        path: call.uri.path(),
        query: call.uri.query(),
        headers: &call.headers,
        body: &call.body,
        received,
    }
}

fn find(call: &Call) -> Option<Found> {
    let path = call.param("path").trim_start_matches('/');
    let space = call.rooms().catalog.existing(&call.namespace)?;
    space.manifests(DefinitionKind::Source).into_iter().find_map(|entry| match &*entry.manifest {
        Manifest::Source(source) => (hook_path(&source.kind)? == path).then(|| Found {
            name: entry.definition.name.clone(),
            active: source.enabled && !entry.definition.paused,
            spec: entry.manifest.clone(),
        }),
        _ => None,
    })
}

/// Where a kind of source is called, if it is.
fn hook_path(kind: &SourceKind) -> Option<&str> {
    match kind {
        SourceKind::Http(http) => Some(&http.path),
        SourceKind::Minio(MinioSource { via: MinioVia::Webhook { path, .. }, .. }) => Some(path),
        _ => None,
    }
}

async fn accept(call: &Call, found: &Found, source: &Source) -> Result<Vec<EventReceipt>, Problem> {
    let unready = |detail: String| Problem::new(503, "source-failed", detail);
    let route = sources::route(call.rooms(), &call.namespace, source).map_err(|e| unready(e.to_string()))?;
    let route = route.ok_or_else(|| unready("the source has no route".into()))?;
    let now = (call.rooms().clock)();
    let request = request(call, now);
    let events = to_events(&route, &call.namespace, &request, &crate::ids::fresh(now))
        .map_err(|problem| refused(&problem))?;
    offer(call, found, events).await
}

async fn offer(call: &Call, found: &Found, events: Vec<Event>) -> Result<Vec<EventReceipt>, Problem> {
    let gauge = call.state.hall.sources.gauge(&call.namespace, &found.name);
    let permit = match &gauge {
        Some(gauge) => Some(gauge.gate.all(events.len()).map_err(|closed| held(&found.name, closed))?),
        None => None,
    };
    let offer = Offer {
        namespace: call.namespace.clone(),
        binding: found.name.clone(),
        events,
        checkpoints: Vec::new(),
        marks: Vec::new(),
        dedupe: true,
        patient: false,
    };
    let receipts = match call.rooms().ingress.accept(call.rooms(), offer).await {
        Ok(receipts) => receipts,
        Err(error) => {
            if let Some(permit) = &permit {
                permit.refund(permit.count);
            }
            return Err(error.into());
        }
    };
    if let Some(gauge) = &gauge {
        let duplicates = receipts.iter().filter(|r| r.duplicate).count();
        gauge.counted(&Receipt { accepted: receipts.len() - duplicates, duplicates }, None);
    }
    Ok(receipts)
}

/// The source's own limits are met: 429.
fn held(name: &str, closed: Closed) -> Error {
    metrics::counter!("tidemill_limit_met_total", "limit" => closed.limit).increment(1);
    Error::Busy {
        code: "source-limit",
        detail: format!("accept events: the source `{name}` takes no more now (limit {})", closed.limit),
        after: closed.after,
    }
}

fn refused(problem: &HttpProblem) -> Problem {
    let mistake = Mistake {
        line: 1,
        column: 1,
        message: problem.message.clone(),
        help: Some(problem.help.clone()),
        ..Mistake::default()
    };
    Problem::new(problem.status, problem.code, format!("cannot {problem}")).mistake(mistake)
}

/// `respond: output`: the output of the first execution that the event began, or 202 when it takes too long.
async fn answer(
    call: &Call,
    found: &Found,
    http: &HttpSource,
    receipts: &[EventReceipt],
) -> Result<Response, Problem> {
    let Some(id) = first(call, &call.namespace, found, receipts).await? else {
        return json(202, &accepted(receipts));
    };
    let view = operations::wait(call.rooms(), &call.namespace, id, http.timeout).await?;
    match &view.result {
        Some(Ended::Completed(output)) => Ok(raw(200, "application/json", output.to_json())),
        Some(Ended::Faulted(fault)) => {
            let status =
                u16::try_from(fault.status).ok().filter(|status| (400..600).contains(status)).unwrap_or(500);
            let problem = Problem::new(status, "execution-faulted", fault.to_string());
            Err(Problem { kind: Some(fault.kind.to_string()), ..problem })
        }
        Some(Ended::Cancelled) => {
            Err(Problem::new(503, "execution-cancelled", "the execution was cancelled"))
        }
        None => {
            let response = json(202, &accepted(receipts))?;
            Ok(with(response, ::http::header::LOCATION, &format!("{}/executions/{id}", call.base())))
        }
    }
}

async fn first(
    call: &Call,
    namespace: &Namespace,
    found: &Found,
    receipts: &[EventReceipt],
) -> Result<Option<ExecutionId>, Problem> {
    let Some(receipt) = receipts.first() else {
        return Ok(None);
    };
    let (store, namespace, binding) = (call.rooms().store.clone(), namespace.clone(), found.name.clone());
    let (source, id) = (receipt.source.clone(), receipt.id.clone());
    let rows = blocking(move || store.caused_by(&namespace, &binding, &source, &id)).await?;
    Ok(rows.first().map(|row| row.id))
}
