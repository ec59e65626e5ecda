//! JSON schemas for editors: workflows and every kind of manifest.
//!
//! Owns the routes; the schemas are the language's.

use axum::response::Response;
use serde::Serialize;
use tidemill_dsl::schemas;
use utoipa::ToSchema;

use super::body::{json, raw};
use super::call::Call;
use super::paging::Page;
use crate::problem::Problem;

/// A schema in the list.
#[derive(Serialize, ToSchema)]
pub struct SchemaEntry {
    name: &'static str,
    /// Where it is, under the service.
    path: String,
}

/// `GET /v1/schemas`.
pub async fn list(_: Call) -> Result<Response, Problem> {
    let entry = |name: &&'static str| SchemaEntry { name, path: format!("/v1/schemas/{name}.json") };
    json(200, &Page::new(schemas::NAMES.iter().map(entry).collect(), None))
}

/// `GET /v1/schemas/{name}.json`.
pub async fn get(call: Call) -> Result<Response, Problem> {
    let file = call.param("name");
    let found = file.strip_suffix(".json").and_then(schemas::named);
    let schema = found.ok_or_else(|| Problem::not_found("schema", file))?;
    Ok(raw(200, "application/schema+json", schema.to_json()))
}
