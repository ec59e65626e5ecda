//! `/hooks/{namespace}/{path}`: the requests of HTTP sources.
//!
//! Owns the finding of the source and the answer. Who may send and what the events are is the connector's; the body is
//! read within the source's own limit, and nothing of it before the source is known.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use tidemill_connectors::Receipt;
use tidemill_connectors::http::{HttpProblem, Request, to_events};
use tidemill_dsl::ids::{ExecutionId, Namespace};
use tidemill_dsl::manifest::{HttpSource, Manifest, Respond, Source, SourceKind};
use tidemill_engine::record::Ended;
use tidemill_store::DefinitionKind;

use super::body::{self, json, raw, with};
use super::call::Call;
use super::events::accepted;
use crate::deliveries::blocking;
use crate::ingress::{EventReceipt, Offer};
use crate::operations;
use crate::problem::{Mistake, Problem};
use crate::sources;

/// An HTTP source that takes a path.
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
    let SourceKind::Http(http) = &source.kind else {
        return Err(Problem::not_found("hook", call.uri.path()));
    };
    if !found.active {
        return Err(Problem::new(503, "source-paused", format!("the source `{}` is paused", found.name)));
    }
    if !http.methods.iter().any(|method| **method == *call.method.as_str()) {
        let allow = http.methods.join(", ");
        let detail = format!("the source `{}` does not take {}", found.name, call.method);
        let refused = Problem::new(405, "method-not-allowed", detail);
        return Ok(with(refused.respond(call.uri.path(), &call.trace), ::http::header::ALLOW, &allow));
    }
    let limit = usize::try_from(http.max_body).unwrap_or(usize::MAX).min(body::MAX_BODY);
    let stream = call.unread.get_mut().ok().and_then(Option::take).unwrap_or_else(Body::empty);
    call.body = body::read(&call.headers, stream, limit).await?;
    let receipts = accept(&call, &found, source).await?;
    match http.respond {
        Respond::Output => answer(&call, &found, http, &receipts).await,
        Respond::Accepted => json(202, &accepted(&receipts)),
    }
}

fn find(call: &Call) -> Option<Found> {
    let path = call.param("path").trim_start_matches('/');
    let space = call.rooms().catalog.existing(&call.namespace)?;
    space.manifests(DefinitionKind::Source).into_iter().find_map(|entry| match &*entry.manifest {
        Manifest::Source(source) => match &source.kind {
            SourceKind::Http(http) if *http.path == *path => Some(Found {
                name: entry.definition.name.clone(),
                active: source.enabled && !entry.definition.paused,
                spec: entry.manifest.clone(),
            }),
            _ => None,
        },
        _ => None,
    })
}

async fn accept(call: &Call, found: &Found, source: &Source) -> Result<Vec<EventReceipt>, Problem> {
    let unready = |detail: String| Problem::new(503, "source-failed", detail);
    let route = sources::route(call.rooms(), &call.namespace, source).map_err(|e| unready(e.to_string()))?;
    let route = route.ok_or_else(|| unready("the source has no route".into()))?;
    let now = (call.rooms().clock)();
    let request = Request {
        method: call.method.as_str(),
        path: call.uri.path(),
        query: call.uri.query(),
        headers: &call.headers,
        body: &call.body,
        received: now,
    };
    let events = to_events(&route, &call.namespace, &request, &crate::ids::fresh(now))
        .map_err(|problem| refused(&problem))?;
    let offer = Offer {
        namespace: call.namespace.clone(),
        binding: found.name.clone(),
        events,
        checkpoints: Vec::new(),
        dedupe: true,
        patient: false,
    };
    let receipts = call.rooms().ingress.accept(call.rooms(), offer).await?;
    if let Some(gauge) = call.state.hall.sources.gauge(&call.namespace, &found.name) {
        let duplicates = receipts.iter().filter(|r| r.duplicate).count();
        gauge.counted(&Receipt { accepted: receipts.len() - duplicates, duplicates });
    }
    Ok(receipts)
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
