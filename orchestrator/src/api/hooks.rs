//! `/hooks/{namespace}/{path}`: the requests of HTTP sources, and notifications of servers that are twoWay sources.
//!
//! Owns the finding of the source and the answer. Who may send and what the events are is the connector's; the body is
//! read within the source's own limit, and nothing of it before the source is known.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use tidemill_connectors::http::auth::verify;
use tidemill_connectors::http::jwt::Keys;
use tidemill_connectors::http::{Auth, HttpProblem, Request, Spec, to_events};
use tidemill_connectors::{Health, Receipt, minio};
use tidemill_dsl::event::Event;
use tidemill_dsl::ids::{ExecutionId, Namespace, Time};
use tidemill_dsl::manifest::{HttpSource, Manifest, Respond, Source, SourceKind};
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
use crate::sources::{self, Closed, Gauge};

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
    let route = route(&call, source).await?;
    let now = (call.rooms().clock)();
    if route.auth.is_by_head()
        && let Err(problem) = verify(&route.auth, &request(&call, now))
    {
        return Ok(turned_away(&call, &found, &route.auth, &problem));
    }
    read(&mut call, route.max_body, "maxBody of the source").await?;
    let now = (call.rooms().clock)();
    let events = to_events(&route, &call.namespace, &request(&call, now), &crate::ids::fresh(now));
    let events = match events {
        Ok(events) => events,
        Err(problem) if problem.status == 401 => {
            return Ok(turned_away(&call, &found, &route.auth, &problem));
        }
        Err(problem) => return Err(refused(&problem)),
    };
    let receipts = offer(&call, &found, events).await?;
    match http.respond {
        Respond::Output => answer(&call, &found, http, &receipts).await,
        Respond::Accepted => json(202, &accepted(&receipts)),
    }
}

async fn read(call: &mut Call, limit: usize, name: &str) -> Result<(), Problem> {
    let stream = call.unread.get_mut().ok().and_then(Option::take).unwrap_or_else(Body::empty);
    call.body = body::read(&call.headers, stream, limit.min(body::MAX_BODY)).await.map_err(|problem| {
        if problem.status != 413 {
            return problem;
        }
        metrics::counter!("tidemill_limit_met_total", "limit" => "source.maxBody").increment(1);
        Problem { detail: format!("the body is larger than {limit} bytes (limit {name})"), ..problem }
    })?;
    Ok(())
}

/// The route with its secrets, and with its keys where they are elsewhere.
async fn route(call: &Call, source: &Source) -> Result<Spec, Problem> {
    let unready = |detail: String| Problem::new(503, "source-failed", detail);
    let route = sources::route(call.rooms(), &call.namespace, source).map_err(|e| unready(e.to_string()))?;
    let mut route = route.ok_or_else(|| unready("the source has no route".into()))?;
    if let Auth::Jwt(jwt) = &mut route.auth
        && let Keys::At(url) = &jwt.keys
    {
        let rooms = call.rooms();
        let outbound = || rooms.dispatch.registry.outbound(&call.namespace);
        let found = rooms.keysets.get(outbound, &call.namespace, url).await;
        jwt.keys = Keys::Known(found.map_err(|why| {
            let gauge = gauge(call, &source.meta.name);
            let help = "correct jwksUri, or egress.allow where the address is a private one";
            gauge.inspect(|gauge| gauge.trouble("http-jwks", &format!("cannot {why}"), help));
            unready("the keys of the source's tokens cannot be fetched".into())
        })?);
    }
    Ok(route)
}

/// The answer to a caller without valid credentials: what exactly is wrong is told to the operator alone.
fn turned_away(call: &Call, found: &Found, auth: &Auth, problem: &HttpProblem) -> Response {
    let code = problem.code;
    let [namespace, source] = [&call.namespace, &found.name].map(ToString::to_string);
    let labels = [("namespace", namespace), ("source", source), ("code", code.to_owned())];
    metrics::counter!("tidemill_hook_refused_total", &labels).increment(1);
    let why = if problem.why.is_empty() { problem.message.as_str() } else { problem.why };
    tracing::debug!(source = %found.name, code, why, trace = call.trace, "a caller of a hook was turned away");
    if let Some(gauge) = gauge(call, &found.name) {
        gauge.refused();
        gauge.trouble(code, why, &problem.help);
    }
    let response = refused(problem).respond(call.uri.path(), &call.trace);
    with(response, ::http::header::WWW_AUTHENTICATE, auth.challenge())
}

/// A notification of the other end of a twoWay source. Who calls is judged first; without an enabled rule the call is
/// refused and counted, so that a sender with a queue of its own keeps what it has.
async fn notified(mut call: Call, found: &Found, source: &Source) -> Result<Response, Problem> {
    if call.method != ::http::Method::POST {
        let refused =
            Problem::new(405, "method-not-allowed", format!("the source `{}` takes POST", found.name));
        return Ok(with(refused.respond(call.uri.path(), &call.trace), ::http::header::ALLOW, "POST"));
    }
    let hook = sources::hook(call.rooms(), &call.namespace, source);
    let hook = hook.map_err(|error| Problem::new(503, "source-failed", error.to_string()))?;
    let hook = hook.ok_or_else(|| Problem::not_found("hook", call.uri.path()))?;
    if let Err(problem) = verify(&hook.auth, &request(&call, (call.rooms().clock)())) {
        return Ok(turned_away(&call, found, &hook.auth, &problem));
    }
    read(&mut call, NOTIFICATION, "event").await?;
    let request = request(&call, (call.rooms().clock)());
    let (events, poison) = minio::called(&hook, &request).map_err(|problem| refused(&problem))?;
    let gauge = gauge(&call, &found.name);
    let space = call.rooms().catalog.space(&call.namespace);
    if !relations::has_rule(&space, &found.name) || space.is_deleting(DefinitionKind::Source, &found.name) {
        let [namespace, source] = [&call.namespace, &found.name].map(ToString::to_string);
        metrics::counter!("tidemill_source_refused_total", "namespace" => namespace, "source" => source)
            .increment(1);
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
        Manifest::Source(source) => (**source.hook()?.0 == *path).then(|| Found {
            name: entry.definition.name.clone(),
            active: source.enabled && !entry.definition.paused,
            spec: entry.manifest.clone(),
        }),
        _ => None,
    })
}

/// The counters of a source, also when it was applied a moment ago.
fn gauge(call: &Call, name: &str) -> Option<Arc<Gauge>> {
    call.state.hall.sources.gauge_at_once(call.rooms(), &call.namespace, name)
}

async fn offer(call: &Call, found: &Found, events: Vec<Event>) -> Result<Vec<EventReceipt>, Problem> {
    let gauge = gauge(call, &found.name);
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
        placed: Vec::new(),
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
