//! Workflows: write, read, list, remove, graph.
//!
//! Owns their JSON forms and content negotiation. Checking and storing is `apply`'s.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::response::Response;
use http::header;
use semver::Version;
use serde::Serialize;
use tidemill_dsl::check::{Edge, graph as graph_of};
use tidemill_dsl::program::Program;
use tidemill_store::DefinitionKind;
use utoipa::ToSchema;

use super::body::{Json, empty, hex, json, raw, with};
use super::call::Call;
use super::documents::warnings;
use super::paging::{Keyset, Page, by_name};
use super::query::bad;
use crate::apply::{self, Applied, Change, Outcome, Removal, Request};
use crate::catalog::WorkflowEntry;
use crate::error::Error;
use crate::graph::{self as picture, Mark, Picture};
use crate::operations;
use crate::problem::{Mistake, Problem};

/// History entries that a painted graph is made from, at most.
const MAX_HISTORY: usize = 1_000_000;

/// A workflow version.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Workflow {
    namespace: String,
    name: String,
    version: String,
    /// Every version, rising; the last one is the default.
    versions: Vec<String>,
    title: Option<String>,
    summary: Option<String>,
    /// Rises with each changed text of the version (`dev` only).
    generation: u64,
    updated_at: String,
    /// The definition as JSON.
    definition: Json,
    /// The text as sent.
    text: String,
}

/// A workflow in a list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowEntryBody {
    namespace: String,
    name: String,
    /// The default: the highest version.
    version: String,
    versions: Vec<String>,
    title: Option<String>,
    updated_at: String,
}

/// The answer to a write.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    kind: &'static str,
    namespace: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// `created`, `updated` or `unchanged`.
    change: &'static str,
    digest: String,
    /// The catalog's revision after it.
    revision: u64,
    warnings: Vec<Mistake>,
}

/// The tasks of a workflow and what leads from each to the next.
#[derive(Serialize, ToSchema)]
pub struct Graph {
    tasks: Vec<GraphTask>,
    edges: Vec<GraphEdge>,
}

/// One task of a graph.
#[derive(Serialize, ToSchema)]
pub struct GraphTask {
    index: usize,
    name: String,
    reference: String,
    kind: &'static str,
    /// The task that holds its list.
    parent: Option<u32>,
    /// What the execution has made of it: `running`, `waiting`, `completed`, `faulted` or `cancelled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    /// How often the execution has begun it.
    #[serde(skip_serializing_if = "Option::is_none")]
    runs: Option<u32>,
}

/// One edge of a graph.
#[derive(Serialize, ToSchema)]
pub struct GraphEdge {
    from: usize,
    to: usize,
    /// `then`, `case`, `skip`, `caught`, `enter` or `call`.
    why: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    case: Option<String>,
}

/// `PUT /workflows/{name}`.
pub async fn put(call: Call) -> Result<Response, Problem> {
    let name = call.name()?;
    let request = Request {
        namespace: &call.namespace,
        text: call.text()?,
        dry_run: call.query.flag("dryRun")?,
        expected: Some((DefinitionKind::Workflow, &name)),
        matching: call.if_match(),
    };
    let outcome = apply::apply(call.rooms(), request).await?;
    let result = outcome.results.first().ok_or_else(|| Error::bad("bad-body", "the body has no document"))?;
    written(&call, &outcome, result)
}

/// The answer to a write of one document.
pub(super) fn written(call: &Call, outcome: &Outcome, result: &Applied) -> Result<Response, Problem> {
    let status = if result.change == Change::Created { 201 } else { 200 };
    let body = Written {
        kind: result.kind,
        namespace: call.namespace.to_string(),
        name: result.name.to_string(),
        version: result.version.as_ref().map(ToString::to_string),
        change: result.change.word(),
        digest: hex(&result.digest),
        revision: outcome.revision,
        warnings: warnings(&outcome.warnings),
    };
    Ok(with(json(status, &body)?, header::ETAG, &tag(&result.digest)))
}

/// An ETag from a digest.
pub(super) fn tag(digest: &[u8; 32]) -> String {
    format!("\"{}\"", hex(digest))
}

/// `GET /workflows/{name}`: JSON, or the text as sent for those who accept YAML.
pub async fn get(call: Call) -> Result<Response, Problem> {
    let name = call.name()?;
    let space = call.rooms().catalog.space(&call.namespace);
    let entry = space.workflow(&name, call.query.get("version")).ok_or_else(|| missing(&call, &name))?;
    let etag = tag(&entry.program.digest);
    let response = if wants_yaml(&call) {
        raw(200, "application/yaml", entry.definition.text.to_string())
    } else {
        let versions = space.workflows().find(|(own, _)| **own == name).map(|(_, versions)| versions.keys());
        json(200, &whole(entry, versions.into_iter().flatten()))?
    };
    Ok(with(with(response, header::ETAG, &etag), header::VARY, "accept"))
}

fn wants_yaml(call: &Call) -> bool {
    let accept = call.header(header::ACCEPT.as_str()).unwrap_or("").to_ascii_lowercase();
    let first = accept.split(',').map(|part| part.split(';').next().unwrap_or("").trim());
    for media in first {
        match media {
            "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml" | "text/plain" => {
                return true;
            }
            "application/json" | "*/*" | "application/*" => return false,
            _ => {}
        }
    }
    false
}

fn missing(call: &Call, name: &str) -> Problem {
    match call.query.get("version") {
        Some(version) => Problem::not_found("workflow", &format!("{name}:{version}")),
        None => Problem::not_found("workflow", name),
    }
}

fn whole<'a>(entry: &WorkflowEntry, versions: impl Iterator<Item = &'a Version>) -> Workflow {
    let document = &entry.program.document;
    Workflow {
        namespace: document.namespace.to_string(),
        name: document.name.to_string(),
        version: document.version.to_string(),
        versions: versions.map(Version::to_string).collect(),
        title: document.title.as_ref().map(ToString::to_string),
        summary: document.summary.as_ref().map(ToString::to_string),
        generation: entry.definition.generation,
        updated_at: entry.definition.at.rfc3339(),
        definition: Json(entry.program.definition.clone()),
        text: entry.definition.text.to_string(),
    }
}

/// `GET /workflows`.
pub async fn list(call: Call) -> Result<Response, Problem> {
    let space = call.rooms().catalog.space(&call.namespace);
    let keyset = Keyset::new("workflows", &call.namespace, &call.query);
    let all = space.workflows().filter_map(|(name, versions)| {
        let (_, newest) = versions.last_key_value()?;
        let document = &newest.program.document;
        let body = WorkflowEntryBody {
            namespace: call.namespace.to_string(),
            name: name.to_string(),
            version: document.version.to_string(),
            versions: versions.keys().map(Version::to_string).collect(),
            title: document.title.as_ref().map(ToString::to_string),
            updated_at: newest.definition.at.rfc3339(),
        };
        Some((&**name, body))
    });
    let (items, next) = by_name(&keyset, &call.query, all)?;
    json(200, &Page::new(items, next).counting(&call.query, || space.workflows().count())?)
}

/// `DELETE /workflows/{name}`: one version, or all of them; running executions go on.
pub async fn delete(call: Call) -> Result<Response, Problem> {
    let name = call.name()?;
    let version = call.query.get("version").unwrap_or("");
    let (matching, dry_run) = (call.if_match(), call.query.flag("dryRun")?);
    let removal =
        Removal { kind: DefinitionKind::Workflow, name: &name, version, matching, dry_run, force: false };
    apply::delete(call.rooms(), &call.namespace, removal).await.map_err(|error| match error {
        Error::NotFound { .. } => missing(&call, &name),
        other => other.into(),
    })?;
    Ok(empty(204))
}

/// `GET /workflows/{name}/graph`: tasks and edges, or a picture; with `execution` what that has made of them.
pub async fn graph(call: Call) -> Result<Response, Problem> {
    let name = call.name()?;
    let form = match call.query.get("format") {
        None | Some("json") => None,
        Some(word) => Some(
            picture::Form::of_word(word)
                .ok_or_else(|| bad("format", "is `json`, `mermaid`, `dot`, `svg` or `ascii`"))?,
        ),
    };
    let (program, marks) = if let Some(id) = call.query.get("execution") {
        run_of(&call, &name, id).await?
    } else {
        let version = call.query.get("version");
        let found = call.rooms().catalog.workflow(&call.namespace, &name, version);
        (found.ok_or_else(|| missing(&call, &name))?, BTreeMap::new())
    };
    let Some(form) = form else {
        return json(200, &drawn(&program, &marks));
    };
    let painted = call.query.get("execution").is_some();
    let whole = Picture::of(&program);
    let whole = if painted { whole.painted(&marks) } else { whole };
    Ok(raw(200, form.media(), whole.draw(form)))
}

type Marks = BTreeMap<Arc<str>, Mark>;

/// The revision that an execution of this workflow runs, and what it has made of each task.
async fn run_of(call: &Call, name: &str, text: &str) -> Result<(Arc<Program>, Marks), Problem> {
    let missing = || Problem::not_found("execution", &text.chars().take(64).collect::<String>());
    let id = text.parse().map_err(|_| missing())?;
    let row = operations::row(call.rooms(), &call.namespace, id).await?;
    if *row.workflow != *name {
        return Err(missing());
    }
    let program = call.rooms().catalog.revision(&row.namespace, &row.workflow, &row.digest);
    let program = program.ok_or_else(|| Problem::not_found("workflow revision", &row.version))?;
    let view = operations::show(call.rooms(), &call.namespace, id).await?;
    let entries = operations::history(call.rooms(), &call.namespace, id, (0, MAX_HISTORY)).await?;
    Ok((program, picture::marks(&entries, &view.waiting_for)))
}

fn drawn(program: &Program, marks: &Marks) -> Graph {
    let tasks = program.tasks.iter().enumerate().map(|(index, task)| GraphTask {
        index,
        name: task.name.to_string(),
        reference: task.reference.to_string(),
        kind: picture::word(&task.kind),
        parent: program.lists.get(task.list.0 as usize).and_then(|list| list.owner).map(|owner| owner.0),
        state: marks.get(&task.reference).map(|mark| mark.state),
        runs: marks.get(&task.reference).map(|mark| mark.runs),
    });
    let graph = graph_of(program);
    let edges = graph.raw_edges().iter().map(|edge| {
        let (why, case) = match &edge.weight {
            Edge::Then => ("then", None),
            Edge::Case(name) => ("case", Some(name.to_string())),
            Edge::Skip => ("skip", None),
            Edge::Caught => ("caught", None),
            Edge::Enter => ("enter", None),
            Edge::Call => ("call", None),
        };
        GraphEdge { from: edge.source().index(), to: edge.target().index(), why, case }
    });
    Graph { tasks: tasks.collect(), edges: edges.collect() }
}
