//! Probes: alive, ready, and the description of the API.
//!
//! Outside every check of the front door.

use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::body::{json, raw};
use super::call::Call;
use super::openapi;
use crate::config::Durability;
use crate::problem::Problem;

/// The answer of `/readyz`.
#[derive(Serialize, ToSchema)]
pub struct Ready {
    /// `ready`.
    status: &'static str,
    /// What an acknowledged write survives: `power` or `process`.
    durability: &'static str,
    version: &'static str,
    /// Whether new work is refused because the disk is full.
    full: bool,
}

/// `GET /livez`: the process answers.
pub async fn live(_: Call) -> Result<Response, Problem> {
    Ok(raw(200, "text/plain; charset=utf-8", "ok\n"))
}

/// `GET /readyz`: it takes requests, and how durable they are.
pub async fn ready(call: Call) -> Result<Response, Problem> {
    if !call.state.hall.ready() {
        return Err(Problem::new(503, "not-ready", "the service is starting or stopping"));
    }
    let durability = match call.state.durability {
        Durability::Power => "power",
        Durability::Process => "process",
    };
    let full = call.rooms().store.full();
    json(200, &Ready { status: "ready", durability, version: env!("CARGO_PKG_VERSION"), full })
}

/// `GET /openapi.json`.
pub async fn openapi(call: Call) -> Result<Response, Problem> {
    let text = call.state.openapi.get_or_init(|| openapi::document().into());
    Ok(raw(200, "application/json", text.clone()))
}
