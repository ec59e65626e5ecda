//! The front door: what every request passes, from top to bottom, before a route runs.
//!
//! Owns the order of the checks, the trace id, panics and the problem a refusal is told with. Reads no body before
//! the caller may send one (security.md T15).

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request};
use axum::response::Response;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use tidemill_dsl::ids::is_label;

use super::ApiState;
use super::body;
use super::call::Call;
use super::query::Query;
use super::route::{Body, Class, Permission, Route, Scope};
use super::server::Closing;
use crate::problem::Problem;

/// Bytes of a request's header fields (limit `headers`).
const MAX_HEADERS: usize = 32 * 1024;
/// Where the trace id of an answer stands.
const TRACE: HeaderName = HeaderName::from_static("x-request-id");

/// Lets a request in and runs its route.
pub async fn enter(
    state: Arc<ApiState>,
    route: &'static Route,
    params: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
) -> Response {
    let began = crate::clock::tick();
    let trace = trace_of(request.headers());
    let path = request.uri().path().to_owned();
    let run = admitted(state, route, params, request, trace.clone());
    let response = match AssertUnwindSafe(run).catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(problem)) => refuse(&problem, &path, &trace),
        Err(_) => {
            tracing::error!(route = route.path, trace, "a route panicked");
            refuse(
                &Problem::new(500, "internal", "an internal error; the log has it under the trace id"),
                &path,
                &trace,
            )
        }
    };
    measure(route, &response, began.elapsed());
    traced(response, &trace)
}

/// An unknown path.
pub fn unknown(state: &ApiState, request: &Request) -> Response {
    let problem =
        Problem::new(404, "no-such-path", format!("there is nothing at `{}`", request.uri().path()));
    outside(state, request, problem)
}

/// A known path that does not take the method; the router adds `Allow`.
pub fn wrong_method(state: &ApiState, request: &Request) -> Response {
    let detail = format!("`{}` does not take {}", request.uri().path(), request.method());
    outside(state, request, Problem::new(405, "method-not-allowed", detail))
}

fn outside(state: &ApiState, request: &Request, problem: Problem) -> Response {
    let trace = trace_of(request.headers());
    let problem = local(state, request.headers(), request.uri()).err().unwrap_or(problem);
    traced(refuse(&problem, request.uri().path(), &trace), &trace)
}

/// The refusal that comes once for each request while it lasts; its log must not fill the disk further.
const DISK_FULL: &str = "disk-full";
/// Between two log lines about it.
const QUIET: Duration = Duration::from_secs(10);
static FULL_TOLD: Mutex<Option<Instant>> = Mutex::new(None);

/// Whether the last line is long enough ago; if so, this one counts as the last.
fn worth_a_line(told: &Mutex<Option<Instant>>) -> bool {
    let now = crate::clock::tick();
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    let worth = told.is_none_or(|last| now.duration_since(last) >= QUIET);
    if worth {
        *told = Some(now);
    }
    worth
}

fn refuse(problem: &Problem, path: &str, trace: &str) -> Response {
    if problem.status >= 500 && (problem.code != DISK_FULL || worth_a_line(&FULL_TOLD)) {
        tracing::warn!(status = problem.status, code = %problem.code, detail = %problem.detail, path, trace, "refused");
    }
    problem.respond(path, trace)
}

/// The checks, top to bottom.
async fn admitted(
    state: Arc<ApiState>,
    route: &'static Route,
    params: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    trace: String,
) -> Result<Response, Problem> {
    let (mut parts, stream) = request.into_parts();
    if route.class != Class::Open {
        local(&state, &parts.headers, &parts.uri)?;
        sized(&parts.headers)?;
    }
    let params = params.map_err(|_| Problem::bad("path", "the path is no UTF-8"))?;
    let params: Vec<(String, String)> = params.iter().map(|(k, v)| (k.into(), v.into())).collect();
    let namespace = namespace(route, &params)?;
    allowed(&state, route)?;
    known(&state, route, &parts.method, namespace.as_deref())?;
    let query = Query::parse(parts.uri.query().unwrap_or(""), route.query)?;
    let permit = match route.class {
        Class::FrontDoor => Some(state.front_door.clone().try_acquire_owned().map_err(|_| {
            Problem::new(503, "front-door", "too many starts and events are under way (limit front-door)")
        })?),
        _ => None,
    };
    let (bytes, unread) = match route.body {
        Body::None => (bytes::Bytes::new(), None),
        Body::Read(limit) => (body::read(&parts.headers, stream, limit).await?, None),
        Body::Unread => (bytes::Bytes::new(), Some(stream)),
    };
    let call = Call {
        closing: parts.extensions.remove::<Closing>(),
        namespace: namespace.unwrap_or_default(),
        method: parts.method,
        headers: parts.headers,
        uri: parts.uri,
        body: bytes,
        state,
        params,
        query,
        unread: Mutex::new(unread),
        trace,
    };
    let response = (route.run)(call).await;
    drop(permit);
    response
}

/// In open mode only loopback names may be addressed, and only pages of loopback origins may ask (DNS rebinding).
fn local(state: &ApiState, headers: &HeaderMap, uri: &Uri) -> Result<(), Problem> {
    if !state.open {
        return Ok(());
    }
    let hosts = headers.get_all(header::HOST).iter().map(|value| value.to_str().unwrap_or("?"));
    let foreign_host =
        hosts.chain(uri.authority().map(http::uri::Authority::as_str)).any(|host| !is_loopback(host));
    let mut origins = headers.get_all(header::ORIGIN).iter().map(|value| value.to_str().unwrap_or("?"));
    let foreign_origin = origins.any(|origin| {
        let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        !rest.is_some_and(is_loopback)
    });
    let what = match (foreign_host, foreign_origin) {
        (true, _) => "Host",
        (_, true) => "Origin",
        _ => return Ok(()),
    };
    let detail =
        format!("the {what} is not a loopback name, and without a key only loopback names are served");
    Err(Problem::new(403, "not-loopback", detail))
}

/// Whether a `host[:port]` names the own machine.
fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("?", |(host, _)| host),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn sized(headers: &HeaderMap) -> Result<(), Problem> {
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if size > MAX_HEADERS {
        let detail = format!("the header fields have {size} bytes (limit headers: {MAX_HEADERS})");
        return Err(Problem::new(431, "headers-too-large", detail));
    }
    Ok(())
}

/// The path's namespace, as a type: nothing else names one.
fn namespace(route: &Route, params: &[(String, String)]) -> Result<Option<Arc<str>>, Problem> {
    if route.scope == Scope::Cluster {
        return Ok(None);
    }
    let name = params.iter().find(|(key, _)| key == "ns").map_or("", |(_, value)| value.as_str());
    if is_label(name) {
        return Ok(Some(name.into()));
    }
    Err(Problem::not_found("namespace", name))
}

/// Whether the caller may: in open mode every caller is admin; without it this release knows no credentials.
fn allowed(state: &ApiState, route: &Route) -> Result<(), Problem> {
    if state.open || route.permission == Permission::None {
        return Ok(());
    }
    Err(Problem::new(401, "credentials", "this address is not open to callers without credentials"))
}

/// Reads of a namespace that was never written find nothing.
fn known(state: &ApiState, route: &Route, method: &Method, namespace: Option<&str>) -> Result<(), Problem> {
    match namespace {
        Some(name)
            if route.scope == Scope::Namespace
                && (*method == Method::GET || *method == Method::HEAD)
                && state.rooms().catalog.existing(name).is_none() =>
        {
            Err(Problem::not_found("namespace", name))
        }
        _ => Ok(()),
    }
}

/// The trace of a request: the caller's, if it sends a well-formed `traceparent`, else a fresh one.
fn trace_of(headers: &HeaderMap) -> String {
    let sent = headers.get("traceparent").and_then(|value| value.to_str().ok());
    let id = sent.and_then(|text| text.split('-').nth(1)).filter(|id| {
        id.len() == 32
            && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
            && id.bytes().any(|b| b != b'0')
    });
    match id {
        Some(id) => id.to_owned(),
        None => body::hex(&crate::ids::key()[..16]),
    }
}

fn traced(mut response: Response, trace: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(trace) {
        response.headers_mut().insert(TRACE, value);
    }
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn measure(route: &Route, response: &Response, took: Duration) {
    let class = match response.status().as_u16() / 100 {
        1..=3 => "ok",
        4 => "refused",
        _ => "failed",
    };
    metrics::counter!("tidemill_http_requests_total", "route" => route.path, "method" => route.method, "outcome" => class)
        .increment(1);
    metrics::histogram!("tidemill_http_request_seconds", "route" => route.path, "method" => route.method)
        .record(took.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_names() {
        let check =
            |authority: &str, expected: bool| assert_eq!(is_loopback(authority), expected, "{authority}");
        for own in ["localhost", "LOCALHOST:80", "127.0.0.1", "127.9.9.9:1", "[::1]:8484", "[::1]"] {
            check(own, true);
        }
        for other in
            ["example.com", "localhost.example.com", "10.0.0.1:80", "", "127.0.0.1.nip.io", "[::2]", "::1"]
        {
            check(other, false);
        }
    }

    #[test]
    fn traces_are_taken_over_when_well_formed() {
        let check = |sent: &str, expected: Option<&str>| {
            let headers = HeaderMap::from_iter([(
                HeaderName::from_static("traceparent"),
                HeaderValue::from_str(sent).unwrap(),
            )]);
            let trace = trace_of(&headers);
            assert_eq!(trace.len(), 32);
            assert_eq!(expected.is_some_and(|e| e == trace), expected.is_some(), "{sent}");
        };
        check(
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            Some("4bf92f3577b34da6a3ce929d0e0e4736"),
        );
        check("00-00000000000000000000000000000000-00f067aa0ba902b7-01", None);
        check("nonsense", None);
    }
}
