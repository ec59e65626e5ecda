//! Aliases of functions: list, show, write, remove.
//!
//! Owns their JSON form. Judging and storing is `apply`'s.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::response::Response;
use http::header;
use serde::{Deserialize, Serialize};
use tidemill_store::DefinitionKind;
use utoipa::ToSchema;

use super::body::{empty, json, with};
use super::call::Call;
use super::paging::{Keyset, Page, by_name};
use super::workflows::tag;
use crate::apply::{self, AliasRequest, Change, Removal};
use crate::catalog::AliasEntry;
use crate::problem::Problem;

/// An alias.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AliasBody {
    function: String,
    alias: String,
    /// Share in a hundred by version.
    weights: BTreeMap<u32, u8>,
    /// Rises with each change.
    generation: u64,
    updated_at: String,
}

/// Body of a write; the weights may also stand alone.
#[derive(Deserialize, ToSchema)]
#[allow(dead_code, reason = "it describes the body, which is read with its places")]
pub struct WeightsBody {
    /// Share by version; they sum to 100.
    weights: BTreeMap<String, u8>,
}

fn shown(entry: &AliasEntry) -> AliasBody {
    AliasBody {
        function: entry.definition.name.to_string(),
        alias: entry.definition.version.to_string(),
        weights: entry.weights.iter().copied().collect(),
        generation: entry.definition.generation,
        updated_at: entry.definition.at.rfc3339(),
    }
}

fn alias(call: &Call) -> Arc<str> {
    call.param("alias").into()
}

/// `GET /functions/{name}/aliases`.
pub async fn list(call: Call) -> Result<Response, Problem> {
    let name = call.name()?;
    let space = call.rooms().catalog.space(&call.namespace);
    space.function(&name, None).ok_or_else(|| Problem::not_found("function", &name))?;
    let keyset = Keyset::new("aliases", &format!("{}/{name}", call.namespace), &call.query);
    let all = space.aliases(&name).map(|(alias, entry)| (&**alias, shown(entry)));
    let (items, next) = by_name(&keyset, &call.query, all)?;
    json(200, &Page::new(items, next).counting(&call.query, || space.aliases(&name).count())?)
}

/// `GET /functions/{name}/aliases/{alias}`.
pub async fn get(call: Call) -> Result<Response, Problem> {
    let (name, alias) = (call.name()?, alias(&call));
    let space = call.rooms().catalog.space(&call.namespace);
    let entry = space.alias(&name, &alias).ok_or_else(|| missing(&name, &alias))?;
    Ok(with(json(200, &shown(entry))?, header::ETAG, &tag(&entry.definition.digest)))
}

fn missing(name: &str, alias: &str) -> Problem {
    Problem::not_found("alias", &format!("{name}:{alias}"))
}

/// `PUT /functions/{name}/aliases/{alias}`.
pub async fn put(call: Call) -> Result<Response, Problem> {
    let (name, alias) = (call.name()?, alias(&call));
    let request = AliasRequest {
        function: &name,
        alias: &alias,
        text: call.text()?,
        matching: call.if_match(),
        dry_run: call.query.flag("dryRun")?,
    };
    let (entry, change) = apply::put_alias(call.rooms(), &call.namespace, request).await?;
    let status = if change == Change::Created { 201 } else { 200 };
    Ok(with(json(status, &shown(&entry))?, header::ETAG, &tag(&entry.definition.digest)))
}

/// `DELETE /functions/{name}/aliases/{alias}`.
pub async fn delete(call: Call) -> Result<Response, Problem> {
    let (name, alias) = (call.name()?, alias(&call));
    let removal = Removal {
        kind: DefinitionKind::Alias,
        name: &name,
        version: &alias,
        matching: call.if_match(),
        dry_run: call.query.flag("dryRun")?,
        force: false,
    };
    apply::delete(call.rooms(), &call.namespace, removal).await.map_err(|error| match error {
        crate::error::Error::NotFound { .. } => missing(&name, &alias),
        other => other.into(),
    })?;
    Ok(empty(204))
}
