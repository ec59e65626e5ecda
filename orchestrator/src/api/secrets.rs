//! Secrets: written and listed, never read.
//!
//! Owns the route's forms. Sealing is the secrets room's.

use std::sync::Arc;

use axum::response::Response;
use serde::Serialize;
use tidemill_dsl::value::Value;
use tidemill_store::{Batch, Class, OperatorChange, Part};
use utoipa::ToSchema;

use super::body::{empty, json};
use super::call::Call;
use super::paging::{Keyset, Page, by_name};
use crate::buffer::submit;
use crate::problem::Problem;

/// A secret as listed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretBody {
    name: String,
    updated_at: String,
}

/// `PUT /secrets/{name}`: any JSON value; used from the next call on.
pub async fn put(call: Call) -> Result<Response, Problem> {
    let name = call.name()?;
    // The reader's own words could quote the value.
    let value =
        Value::parse(&call.body).map_err(|_| Problem::bad("bad-body", "a secret is one JSON value"))?;
    if !call.query.flag("dryRun")? {
        write(&call, &name, Some(value)).await?;
    }
    Ok(empty(204))
}

/// `DELETE /secrets/{name}`.
pub async fn delete(call: Call) -> Result<Response, Problem> {
    let name = call.name()?;
    if !call.rooms().secrets.names(&call.namespace).iter().any(|(own, _)| *own == name) {
        return Err(Problem::not_found("secret", &name));
    }
    if !call.query.flag("dryRun")? {
        write(&call, &name, None).await?;
    }
    Ok(empty(204))
}

async fn write(call: &Call, name: &Arc<str>, value: Option<Value>) -> Result<(), Problem> {
    let rooms = call.rooms();
    rooms.catalog.ensure_namespace(rooms, &call.namespace).await?;
    let at = (rooms.clock)();
    let sealed = value.as_ref().map(|value| rooms.secrets.seal(&call.namespace, name, value)).transpose()?;
    let change = OperatorChange::Secret { namespace: call.namespace.clone(), name: name.clone(), sealed, at };
    submit(rooms, Batch { class: Class::New, parts: vec![Part::Operator(vec![change])] }).await?;
    rooms.secrets.put(&call.namespace, name, value, at);
    Ok(())
}

/// `GET /secrets`: names and instants, never values.
pub async fn list(call: Call) -> Result<Response, Problem> {
    let keyset = Keyset::new("secrets", &call.namespace, &call.query);
    let names = call.rooms().secrets.names(&call.namespace);
    let all = names
        .iter()
        .map(|(name, at)| (&**name, SecretBody { name: name.to_string(), updated_at: at.rfc3339() }));
    let (items, next) = by_name(&keyset, &call.query, all)?;
    json(200, &Page::new(items, next).counting(&call.query, || names.len())?)
}
