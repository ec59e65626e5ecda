//! Namespaces: list, declare, remove. The first write makes one without a declaration.
//!
//! Owns their JSON form.

use axum::response::Response;
use http::header;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tidemill_dsl::diagnostic::{Diagnostic, Span};
use tidemill_dsl::manifest::{self, Manifest};
use tidemill_dsl::yaml;
use utoipa::ToSchema;

use super::body::{Json, empty, json, with};
use super::call::Call;
use super::paging::{Keyset, Page, by_name};
use super::workflows::tag;
use crate::apply::{self, Match};
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
    json(200, &Page::new(items, next).counting(&call.query, || names.len())?)
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
    let space = call.rooms().catalog.space(&call.namespace);
    Ok(with(json(200, &body)?, header::ETAG, &tag(&digest(&space.text))))
}

/// `PUT /v1/namespaces/{ns}`: a Namespace manifest, or nothing.
pub async fn put(call: Call) -> Result<Response, Problem> {
    let text = call.text()?;
    let empty_body = matches!(text.trim(), "" | "{}");
    if !empty_body {
        declared(text, &call.namespace)?;
    }
    let text = if empty_body { "" } else { text };
    let current = judged(&call)?;
    if !call.query.flag("dryRun")? {
        apply::put_namespace(call.rooms(), &call.namespace, text).await?;
    }
    let at = (call.rooms().clock)().rfc3339();
    let status = if current.is_none() { 201 } else { 200 };
    let response = json(status, &shown(&call.namespace, text, at))?;
    Ok(with(response, header::ETAG, &tag(&digest(text))))
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// The digest of the namespace as it is, once `If-Match` holds for it.
fn judged(call: &Call) -> Result<Option<[u8; 32]>, Error> {
    let current = call.rooms().catalog.existing(&call.namespace).map(|space| digest(&space.text));
    Match::check(call.if_match().as_ref(), current)?;
    Ok(current)
}

/// The document is a Namespace of the path's name.
fn declared(text: &str, namespace: &str) -> Result<(), Error> {
    let node = yaml::parse(text).map_err(Error::Refused)?;
    let refuse = |span: Span, what: String| {
        Err(Error::Refused(vec![Diagnostic::error(manifest::codes::OTHER_NAME, span, what)]))
    };
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
    if judged(&call)?.is_none() {
        return Err(Problem::not_found("namespace", &call.namespace));
    }
    if !call.query.flag("dryRun")? {
        apply::delete_namespace(call.rooms(), &call.namespace).await?;
    }
    Ok(empty(204))
}
