//! Namespaces: list, declare, remove. The first write makes one without a declaration.
//!
//! Owns their JSON form.

use axum::response::Response;
use serde::Serialize;
use tidemill_dsl::diagnostic::{Diagnostic, Span};
use tidemill_dsl::manifest::{self, Manifest};
use tidemill_dsl::yaml;
use utoipa::ToSchema;

use super::body::{Json, empty, json};
use super::call::Call;
use super::paging::{Keyset, Page, by_name};
use crate::apply;
use crate::deliveries::blocking;
use crate::error::Error;
use crate::problem::Problem;

/// A namespace.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceBody {
    kind: &'static str,
    name: String,
    metadata: MetadataBody,
    /// As declared; empty for one that was made by its first write.
    spec: Json,
    created_at: String,
}

/// A namespace's metadata.
#[derive(Serialize, ToSchema)]
pub struct MetadataBody {
    name: String,
}

/// `GET /v1/namespaces`.
pub async fn list(call: Call) -> Result<Response, Problem> {
    let keyset = Keyset::new("namespaces", "", &call.query);
    let mut all = all(&call).await?;
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<String> = all.iter().map(|body| body.name.clone()).collect();
    let (items, next) = by_name(&keyset, &call.query, names.iter().map(String::as_str).zip(all))?;
    json(200, &Page::new(items, next))
}

async fn all(call: &Call) -> Result<Vec<NamespaceBody>, Problem> {
    let store = call.rooms().store.clone();
    let rows = blocking(move || store.namespaces()).await?;
    Ok(rows.into_iter().map(|(name, text, at)| shown(&name, &text, at.rfc3339())).collect())
}

fn shown(name: &str, text: &str, created_at: String) -> NamespaceBody {
    let spec = yaml::parse(text).ok().and_then(|node| node.get("spec").map(yaml::Node::to_value));
    NamespaceBody {
        kind: "Namespace",
        name: name.to_owned(),
        metadata: MetadataBody { name: name.to_owned() },
        spec: Json(
            spec.filter(|spec| !spec.is_null())
                .unwrap_or_else(|| tidemill_dsl::value::Value::object::<&str>([])),
        ),
        created_at,
    }
}

/// `GET /v1/namespaces/{ns}`.
pub async fn get(call: Call) -> Result<Response, Problem> {
    let found = all(&call).await?.into_iter().find(|body| *body.name == *call.namespace);
    let body = found.ok_or_else(|| Problem::not_found("namespace", &call.namespace))?;
    json(200, &body)
}

/// `PUT /v1/namespaces/{ns}`: a Namespace manifest, or nothing.
pub async fn put(call: Call) -> Result<Response, Problem> {
    let text = call.text()?;
    let empty_body = matches!(text.trim(), "" | "{}");
    if !empty_body {
        declared(text, &call.namespace)?;
    }
    let fresh = call.rooms().catalog.existing(&call.namespace).is_none();
    if !call.query.flag("dryRun")? {
        let text = if empty_body { "" } else { text };
        apply::put_namespace(call.rooms(), &call.namespace, text).await?;
    }
    let at = (call.rooms().clock)().rfc3339();
    json(if fresh { 201 } else { 200 }, &shown(&call.namespace, if empty_body { "" } else { text }, at))
}

/// The document is a Namespace of the path's name.
fn declared(text: &str, namespace: &str) -> Result<(), Error> {
    let node = yaml::parse(text).map_err(Error::Refused)?;
    let refuse = |span: Span, what: String| Err(Error::Refused(vec![Diagnostic::error("E0111", span, what)]));
    match manifest::parse(&node, text, namespace).map_err(Error::Refused)? {
        Manifest::Namespace(own) if *own.meta.name == *namespace => Ok(()),
        Manifest::Namespace(own) => {
            let span = node.get("metadata").and_then(|m| m.get("name")).map_or(node.span, |n| n.span);
            refuse(span, format!("the name is `{}`, the path's is `{namespace}`", own.meta.name))
        }
        other => refuse(node.span, format!("this is a {}, no Namespace", other.kind())),
    }
}

/// `DELETE /v1/namespaces/{ns}`: with everything of it.
pub async fn delete(call: Call) -> Result<Response, Problem> {
    if call.query.flag("dryRun")? {
        call.rooms()
            .catalog
            .existing(&call.namespace)
            .ok_or_else(|| Problem::not_found("namespace", &call.namespace))?;
    } else {
        apply::delete_namespace(call.rooms(), &call.namespace).await?;
    }
    Ok(empty(204))
}
