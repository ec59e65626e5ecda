//! The HTTP API: one table of routes, one front door, handlers per thing (api.md).
//!
//! Owns the state that requests share, the router and the server loop. Every route and its permission stand in
//! [`routes::ROUTES`]; nothing is routed beside it. Decides nothing about workflows.

pub mod aliases;
pub mod batches;
pub mod body;
pub mod buffers;
pub mod call;
pub mod dead_letters;
pub mod definitions;
pub mod documents;
pub mod door;
pub mod events;
pub mod executions;
pub mod guesses;
pub mod hooks;
mod lenient;
pub mod namespaces;
pub mod openapi;
pub mod paging;
pub mod probes;
pub mod query;
pub mod route;
pub mod routes;
mod rows;
pub mod schemas;
pub mod secrets;
pub mod server;
pub mod signals;
pub mod status;
pub mod stream;
pub mod timetables;
pub mod trace;
pub mod trials;
pub mod why;
pub mod workflows;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::Request;
use axum::routing::{MethodFilter, on_service};
use bytes::Bytes;
use tokio::sync::Semaphore;
use tower::ServiceExt;

use crate::config::{Config, Durability};
use crate::hall::Hall;
use crate::redrive::Batches;
use crate::rooms::Rooms;
pub use server::serve;

/// Starts and event posts under way at once (limit `front-door`); beyond it callers get 503.
const FRONT_DOOR: usize = 8192;
/// Streams open at once (limit `streams`).
const STREAMS: usize = 100;

/// What requests share.
pub struct ApiState {
    /// The running service.
    pub hall: Arc<Hall>,
    /// What a commit survives, as `/readyz` names it.
    pub durability: Durability,
    /// Open mode: the listener is on a loopback address and no credentials are configured, so every caller is admin.
    pub open: bool,
    /// Where lifecycle events point to when a request names no host, for example `http://127.0.0.1:8484`.
    pub url: String,
    /// Redrives as resumable work.
    pub batches: Arc<Batches>,
    pub(crate) guesses: guesses::Guesses,
    pub(crate) front_door: Arc<Semaphore>,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) openapi: OnceLock<Bytes>,
}

impl ApiState {
    /// Over a running service. Takes up the redrives that were under way; must be called on the runtime.
    pub fn new(hall: Arc<Hall>, config: &Config) -> Arc<ApiState> {
        Arc::new(ApiState {
            batches: Batches::resume(&hall.rooms),
            durability: config.durability,
            open: config.listen.ip().is_loopback() && !config.auth_required,
            url: format!("http://{}", config.listen),
            guesses: guesses::Guesses::new(config.hook_guesses),
            front_door: Arc::new(Semaphore::new(FRONT_DOOR)),
            streams: Arc::new(Semaphore::new(STREAMS)),
            openapi: OnceLock::new(),
            hall,
        })
    }

    /// The rooms.
    pub fn rooms(&self) -> &Arc<Rooms> {
        &self.hall.rooms
    }
}

/// The router over [`routes::ROUTES`], each behind its front door, with problems for unknown paths and methods.
pub fn router(state: &Arc<ApiState>) -> Router {
    let mut router = Router::new();
    for route in routes::ROUTES {
        let filters = route.filters().into_iter().reduce(MethodFilter::or).unwrap_or(MethodFilter::GET);
        router = router.route(route.path, on_service(filters, door::front(state, route)));
    }
    let wrong_method = door::closed(state, &routes::WRONG_METHOD);
    router
        .method_not_allowed_fallback(async move |request: Request| wrong_method.oneshot(request).await)
        .fallback_service(door::closed(state, &routes::UNKNOWN))
}
