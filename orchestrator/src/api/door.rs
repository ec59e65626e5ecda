//! The front door: what every request passes, from top to bottom, before a route runs.
//!
//! Owns the order of the layers, the trace id, panics and the problem a refusal is told with. What each check asks is
//! in [`checks`]; sockets and the time a head may take are the server's. Reads no body before the caller may send one
//! (security.md T15).

mod checks;

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::response::Response;
use futures_util::FutureExt;
use http::{HeaderValue, header};
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::load_shed::error::Overloaded;
use tower::{BoxError, Service, ServiceBuilder, service_fn};

use super::ApiState;
use super::call::{Call, TRACE};
use super::route::{Class, Route};
use crate::problem::Problem;

/// A route behind its door: what the router serves.
pub trait Door:
    Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<S> Door for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// The stack in front of a route, read from top to bottom.
pub fn front(state: &Arc<ApiState>, route: &'static Route) -> impl Door + use<> {
    let work = (route.class == Class::FrontDoor).then(|| {
        ServiceBuilder::new()
            .load_shed() // 503 with Retry-After instead of waiting
            .layer(GlobalConcurrencyLimitLayer::with_semaphore(state.front_door.clone())) // limit `front-door`
    });
    ServiceBuilder::new()
        .layer_fn(reception(state, route)) // trace id; refusals and panics become problems; measured
        .filter(checks::local) // open mode: Host and Origin are loopback names
        .filter(checks::sized) // limit `headers`
        .filter(checks::addressed) // path parameters and the namespace
        .filter(checks::allowed) // credentials and permission
        .filter(checks::known) // reads find the namespace
        .filter(checks::asked) // query parameters
        .option_layer(work) // in flight at once
        .filter_async(checks::sent) // limits `request-body` and `body-time`
        .service(service_fn(|call: Call| (call.route.run)(call)))
}

/// The door where there is nothing behind: an unknown path, or a known one that does not take the method.
pub fn closed(state: &Arc<ApiState>, route: &'static Route) -> impl Door + use<> {
    ServiceBuilder::new()
        .layer_fn(reception(state, route))
        .filter(checks::local)
        .service(service_fn(|call: Call| (call.route.run)(call)))
}

/// What a closed door says of an unknown path.
pub async fn unknown(call: Call) -> Result<Response, Problem> {
    Err(Problem::new(404, "no-such-path", format!("there is nothing at `{}`", call.uri.path())))
}

/// What a closed door says of a known path that does not take the method; the router adds `Allow`.
pub async fn wrong_method(call: Call) -> Result<Response, Problem> {
    let detail = format!("`{}` does not take {}", call.uri.path(), call.method);
    Err(Problem::new(405, "method-not-allowed", detail))
}

/// The outermost layer: a request becomes a call, and whatever comes of it an answer.
#[derive(Clone)]
struct Reception<S> {
    state: Arc<ApiState>,
    route: &'static Route,
    inner: S,
}

fn reception<S>(state: &Arc<ApiState>, route: &'static Route) -> impl Fn(S) -> Reception<S> + Clone + use<S> {
    let state = state.clone();
    move |inner| Reception { state: state.clone(), route, inner }
}

impl<S> Service<Request> for Reception<S>
where
    S: Service<Call, Response = Response, Error: Into<BoxError>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // What is not ready says so when it is called.
        self.inner.poll_ready(context).map(|_| Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let again = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, again);
        let (state, route) = (self.state.clone(), self.route);
        Box::pin(async move {
            let began = crate::clock::tick();
            let call = Call::new(state, route, request);
            let (path, trace) = (call.uri.path().to_owned(), call.trace.clone());
            let response = match AssertUnwindSafe(async { ready.call(call).await }).catch_unwind().await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => refuse(&problem(error.into()), &path, &trace),
                Err(_) => {
                    tracing::error!(route = route.path, trace, "a route panicked");
                    let text = "an internal error; the log has it under the trace id";
                    refuse(&Problem::new(500, "internal", text), &path, &trace)
                }
            };
            measure(route, &response, began.elapsed());
            Ok(traced(response, &trace))
        })
    }
}

/// The problem that an error of the stack is told with.
fn problem(error: BoxError) -> Problem {
    match error.downcast::<Problem>() {
        Ok(problem) => *problem,
        Err(error) if error.is::<Overloaded>() => {
            Problem::new(503, "front-door", "too many starts and events are under way (limit front-door)")
        }
        Err(error) => Problem::new(500, "internal", format!("cannot answer: {error}")),
    }
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
    use std::sync::Arc;

    use axum::body::Body;
    use axum::extract::Request;
    use tidemill_store::MemoryStore;
    use tower::ServiceExt;

    use crate::api::{ApiState, router};
    use crate::config::Config;
    use crate::hall::Hall;

    #[tokio::test]
    async fn a_full_door_refuses_new_work_and_lets_the_rest_pass() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::new(dir.path().to_owned());
        let store = Arc::new(MemoryStore::new());
        let hall = Arc::new(Hall::open(&config, store, crate::clock::system()).await.unwrap());
        let state = ApiState::new(hall.clone(), &config);
        let router = router(state.clone());
        let ask = async |method: &str, path: &str| {
            let request = Request::builder().method(method).uri(path).header("host", "localhost");
            let response = router.clone().oneshot(request.body(Body::from("{}")).unwrap()).await.unwrap();
            let after = response.headers().get("retry-after").map(|after| after.to_str().unwrap().to_owned());
            (response.status().as_u16(), after)
        };
        let start = "/v1/namespaces/default/workflows/w/executions";
        let all = state.front_door.available_permits() as u32;
        let held = state.front_door.clone().acquire_many_owned(all).await.unwrap();
        for path in [start, "/v1/namespaces/default/events", "/v1/namespaces/default/apply"] {
            assert_eq!(ask("POST", path).await, (503, Some("1".into())), "{path}");
        }
        assert_eq!(ask("GET", "/livez").await.0, 200);
        assert_eq!(ask("GET", "/v1/namespaces").await.0, 200);
        assert_eq!(ask("POST", "/v1/namespaces/default/executions/x/cancel").await.0, 404);
        drop(held);
        assert_eq!(ask("POST", start).await.0, 404);
        assert_eq!(state.front_door.available_permits() as u32, all);
        drop((router, state));
        if let Some(hall) = Arc::into_inner(hall) {
            hall.stop().await;
        }
    }
}
