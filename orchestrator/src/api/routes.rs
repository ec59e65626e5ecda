//! The table of every route: method, path, permission, namespace scope, class, query, body, answers (D16).
//!
//! The router and the OpenAPI description are made from it; nothing is served that does not stand here.

use tidemill_store::DefinitionKind as Kind;

use super::batches::{BatchBody, BatchRequest};
use super::body::{MAX_BODY, MAX_DOCUMENT};
use super::buffers::BufferBody;
use super::dead_letters::{DeadLetterBody, RedriveBody, Touched};
use super::definitions::{Instance, Resource, SeekBody};
use super::documents::{ApplyBody, LintBody};
use super::events::{Listed, ReplayBody, Taken};
use super::executions::{Execution, ExecutionEntry, HistoryEntry, RetryBody, VerbBody};
use super::namespaces::NamespaceBody;
use super::probes::Ready;
use super::route::{
    Body, Class, Permission, Route, Scope, any, anything, bare, delete, get, json, list, media, of, post, put,
};
use super::secrets::SecretBody;
use super::trace::Trace;
use super::trials::{BackTest, TestBody, Verdict};
use super::workflows::{Graph, Workflow, WorkflowEntryBody, Written};
use super::{
    batches, buffers, dead_letters, definitions, documents, events, executions, hooks, namespaces, probes,
    secrets, stream, trace, trials, workflows,
};
use crate::redrive::State;

/// A route's work from an async function, with what else it is told.
macro_rules! run {
    ($function:path $(, $more:expr)*) => {
        |call| Box::pin($function(call $(, $more)*))
    };
}

const PAGED: &[&str] = &["pageSize", "pageToken"];
const DRY: &[&str] = &["dryRun"];
const DOCUMENT: Body = Body::Read(MAX_DOCUMENT);
const SMALL: Body = Body::Read(MAX_DOCUMENT);
const LARGE: Body = Body::Read(MAX_BODY);

/// Every route.
pub static ROUTES: &[Route] = &[
    get("/livez", "Whether the process answers", run!(probes::live))
        .needs(Permission::None)
        .over(Scope::Cluster)
        .class(Class::Open)
        .gives(&[media(200, "text/plain")]),
    get("/readyz", "Whether it takes requests, and how durable they are", run!(probes::ready))
        .needs(Permission::None)
        .over(Scope::Cluster)
        .class(Class::Open)
        .gives(&[json(200, of::<Ready>)]),
    get("/openapi.json", "This description", run!(probes::openapi))
        .over(Scope::Cluster)
        .gives(&[json(200, anything)]),
    post("/v1/lint", "Every mistake of documents, as the CLI tells them", run!(documents::lint))
        .needs(Permission::Viewer)
        .over(Scope::Cluster)
        .body(LARGE)
        .gives(&[json(200, of::<LintBody>)]),
    get("/v1/namespaces", "List namespaces", run!(namespaces::list))
        .over(Scope::Cluster)
        .query(PAGED)
        .gives(&[json(200, list::<NamespaceBody>)]),
    get("/v1/namespaces/{ns}", "Show a namespace", run!(namespaces::get))
        .gives(&[json(200, of::<NamespaceBody>)]),
    put("/v1/namespaces/{ns}", "Declare a namespace", run!(namespaces::put))
        .needs(Permission::Admin)
        .over(Scope::FreeNamespace)
        .query(DRY)
        .body(DOCUMENT)
        .gives(&[json(200, of::<NamespaceBody>), json(201, of::<NamespaceBody>)]),
    delete("/v1/namespaces/{ns}", "Remove a namespace with everything of it", run!(namespaces::delete))
        .needs(Permission::Admin)
        .over(Scope::FreeNamespace)
        .query(DRY)
        .gives(&[bare(204)]),
    post("/v1/namespaces/{ns}/apply", "Apply a set of documents, all or nothing", run!(documents::apply))
        .needs(Permission::Editor)
        .class(Class::FrontDoor)
        .query(DRY)
        .body(LARGE)
        .gives(&[json(200, of::<ApplyBody>)]),
    // Workflows and executions.
    get("/v1/namespaces/{ns}/workflows", "List workflows", run!(workflows::list))
        .query(PAGED)
        .gives(&[json(200, list::<WorkflowEntryBody>)]),
    get("/v1/namespaces/{ns}/workflows/{name}", "Show a workflow, or its text as sent", run!(workflows::get))
        .query(&["version"])
        .gives(&[json(200, of::<Workflow>)]),
    put("/v1/namespaces/{ns}/workflows/{name}", "Write a workflow version", run!(workflows::put))
        .query(DRY)
        .body(DOCUMENT)
        .gives(&[json(200, of::<Written>), json(201, of::<Written>)]),
    delete(
        "/v1/namespaces/{ns}/workflows/{name}",
        "Remove a version, or all of them",
        run!(workflows::delete),
    )
    .query(&["version", "dryRun"])
    .gives(&[bare(204)]),
    get(
        "/v1/namespaces/{ns}/workflows/{name}/graph",
        "The tasks and what follows what",
        run!(workflows::graph),
    )
    .query(&["version"])
    .gives(&[json(200, of::<Graph>)]),
    post("/v1/namespaces/{ns}/workflows/{name}/executions", "Start an execution", run!(executions::start))
        .class(Class::FrontDoor)
        .query(&["version", "tag"])
        .body(LARGE)
        .takes(anything)
        .gives(&[json(202, of::<Execution<'static>>), json(200, of::<Execution<'static>>)]),
    get("/v1/namespaces/{ns}/executions", "List executions", run!(executions::list))
        .query(&[
            "workflow",
            "status",
            "trigger",
            "tag",
            "since",
            "until",
            "pageSize",
            "pageToken",
            "orderBy",
            "count",
        ])
        .gives(&[json(200, list::<ExecutionEntry>)]),
    get("/v1/namespaces/{ns}/executions/{id}", "Show an execution", run!(executions::show))
        .query(&["wait"])
        .gives(&[json(200, of::<Execution<'static>>)]),
    get("/v1/namespaces/{ns}/executions/{id}/history", "What happened, in order", run!(executions::history))
        .query(PAGED)
        .gives(&[json(200, list::<HistoryEntry>)]),
    post("/v1/namespaces/{ns}/executions/{id}/cancel", "End it now", run!(executions::cancel))
        .body(SMALL)
        .takes(of::<VerbBody>)
        .gives(&[json(200, of::<Execution<'static>>)]),
    post("/v1/namespaces/{ns}/executions/{id}/suspend", "Hold it", run!(executions::suspend))
        .body(SMALL)
        .takes(of::<VerbBody>)
        .gives(&[json(200, of::<Execution<'static>>)]),
    post("/v1/namespaces/{ns}/executions/{id}/resume", "Let it go on", run!(executions::resume))
        .body(SMALL)
        .takes(of::<VerbBody>)
        .gives(&[json(200, of::<Execution<'static>>)]),
    post("/v1/namespaces/{ns}/executions/{id}/retry", "Go on from the failed task", run!(executions::retry))
        .body(LARGE)
        .takes(of::<RetryBody>)
        .gives(&[json(200, of::<Execution<'static>>)]),
    // Events.
    post("/v1/namespaces/{ns}/events", "Post CloudEvents: binary, structured or batch", run!(events::post))
        .class(Class::FrontDoor)
        .query(DRY)
        .body(LARGE)
        .gives(&[json(202, of::<Taken<'static>>)]),
    get("/v1/namespaces/{ns}/events", "List events, newest first", run!(events::list))
        .query(&["type", "since", "until", "pageSize", "pageToken"])
        .gives(&[json(200, list::<Listed>)]),
    post("/v1/namespaces/{ns}/events/replay", "Stored events to one trigger once more", run!(events::replay))
        .query(DRY)
        .body(SMALL)
        .takes(of::<ReplayBody>)
        .gives(&[json(202, of::<BatchBody>), json(200, of::<Touched>)]),
    get("/v1/namespaces/{ns}/events/{source}/{event}", "The event itself", run!(events::get))
        .query(&["binding"])
        .gives(&[media(200, "application/cloudevents+json")]),
    get("/v1/namespaces/{ns}/events/{source}/{event}/trace", "Why it fired or not", run!(trace::trace))
        .query(&["binding"])
        .gives(&[json(200, of::<Trace>)]),
    // Definitions.
    get("/v1/namespaces/{ns}/sources", "List sources", run!(definitions::list, Kind::Source))
        .query(PAGED)
        .gives(&[json(200, list::<Resource>)]),
    get("/v1/namespaces/{ns}/sources/{name}", "Show a source", run!(definitions::get, Kind::Source))
        .gives(&[json(200, of::<Resource>)]),
    put("/v1/namespaces/{ns}/sources/{name}", "Write a source", run!(definitions::put, Kind::Source))
        .query(DRY)
        .body(DOCUMENT)
        .gives(&[json(200, of::<Written>), json(201, of::<Written>)]),
    delete("/v1/namespaces/{ns}/sources/{name}", "Remove a source", run!(definitions::delete, Kind::Source))
        .query(DRY)
        .gives(&[bare(204)]),
    post("/v1/namespaces/{ns}/sources/{name}/pause", "Hold a source", run!(definitions::pause, Kind::Source))
        .body(SMALL)
        .gives(&[json(200, of::<Resource>)]),
    post(
        "/v1/namespaces/{ns}/sources/{name}/resume",
        "Let a source go on",
        run!(definitions::resume, Kind::Source),
    )
    .body(SMALL)
    .gives(&[json(200, of::<Resource>)]),
    post(
        "/v1/namespaces/{ns}/sources/{name}/seek",
        "Set the position to resume from",
        run!(definitions::seek),
    )
    .body(SMALL)
    .takes(of::<SeekBody>)
    .gives(&[json(200, of::<Resource>)]),
    get("/v1/namespaces/{ns}/triggers", "List triggers", run!(definitions::list, Kind::Trigger))
        .query(PAGED)
        .gives(&[json(200, list::<Resource>)]),
    get("/v1/namespaces/{ns}/triggers/{name}", "Show a trigger", run!(definitions::get, Kind::Trigger))
        .gives(&[json(200, of::<Resource>)]),
    put("/v1/namespaces/{ns}/triggers/{name}", "Write a trigger", run!(definitions::put, Kind::Trigger))
        .query(DRY)
        .body(DOCUMENT)
        .gives(&[json(200, of::<Written>), json(201, of::<Written>)]),
    delete(
        "/v1/namespaces/{ns}/triggers/{name}",
        "Remove a trigger",
        run!(definitions::delete, Kind::Trigger),
    )
    .query(DRY)
    .gives(&[bare(204)]),
    post(
        "/v1/namespaces/{ns}/triggers/{name}/pause",
        "Hold a trigger",
        run!(definitions::pause, Kind::Trigger),
    )
    .body(SMALL)
    .gives(&[json(200, of::<Resource>)]),
    post(
        "/v1/namespaces/{ns}/triggers/{name}/resume",
        "Let a trigger go on",
        run!(definitions::resume, Kind::Trigger),
    )
    .body(SMALL)
    .gives(&[json(200, of::<Resource>)]),
    post("/v1/namespaces/{ns}/triggers/{name}/test", "Judge an event, or back-test", run!(trials::test))
        .needs(Permission::Viewer)
        .body(LARGE)
        .takes(of::<TestBody>)
        .gives(&[json(200, of::<Verdict>)]),
    post("/v1/namespaces/{ns}/trigger-tests", "Judge an event by a trigger not stored", run!(trials::draft))
        .needs(Permission::Viewer)
        .body(LARGE)
        .takes(of::<TestBody>)
        .gives(&[json(200, of::<BackTest>)]),
    get("/v1/namespaces/{ns}/functions", "List functions", run!(definitions::list, Kind::Function))
        .query(PAGED)
        .gives(&[json(200, list::<Resource>)]),
    get("/v1/namespaces/{ns}/functions/{name}", "Show a function", run!(definitions::get, Kind::Function))
        .query(&["version"])
        .gives(&[json(200, of::<Resource>)]),
    put("/v1/namespaces/{ns}/functions/{name}", "Publish a function", run!(definitions::put, Kind::Function))
        .query(DRY)
        .body(DOCUMENT)
        .gives(&[json(200, of::<Written>), json(201, of::<Written>)]),
    delete(
        "/v1/namespaces/{ns}/functions/{name}",
        "Remove a function",
        run!(definitions::delete, Kind::Function),
    )
    .query(DRY)
    .gives(&[bare(204)]),
    get(
        "/v1/namespaces/{ns}/functions/{name}/instances",
        "Processes that run it",
        run!(definitions::instances),
    )
    .gives(&[json(200, list::<Instance>)]),
    get("/v1/namespaces/{ns}/connections", "List connections", run!(definitions::list, Kind::Connection))
        .query(PAGED)
        .gives(&[json(200, list::<Resource>)]),
    get(
        "/v1/namespaces/{ns}/connections/{name}",
        "Show a connection",
        run!(definitions::get, Kind::Connection),
    )
    .gives(&[json(200, of::<Resource>)]),
    put(
        "/v1/namespaces/{ns}/connections/{name}",
        "Write a connection",
        run!(definitions::put, Kind::Connection),
    )
    .query(DRY)
    .body(DOCUMENT)
    .gives(&[json(200, of::<Written>), json(201, of::<Written>)]),
    delete(
        "/v1/namespaces/{ns}/connections/{name}",
        "Remove a connection",
        run!(definitions::delete, Kind::Connection),
    )
    .query(DRY)
    .gives(&[bare(204)]),
    get("/v1/namespaces/{ns}/queues", "List queues", run!(definitions::list, Kind::Queue))
        .query(PAGED)
        .gives(&[json(200, list::<Resource>)]),
    get("/v1/namespaces/{ns}/queues/{name}", "Show a queue", run!(definitions::get, Kind::Queue))
        .gives(&[json(200, of::<Resource>)]),
    put("/v1/namespaces/{ns}/queues/{name}", "Write a queue", run!(definitions::put, Kind::Queue))
        .query(DRY)
        .body(DOCUMENT)
        .gives(&[json(200, of::<Written>), json(201, of::<Written>)]),
    delete("/v1/namespaces/{ns}/queues/{name}", "Remove a queue", run!(definitions::delete, Kind::Queue))
        .query(DRY)
        .gives(&[bare(204)]),
    // Secrets.
    get("/v1/namespaces/{ns}/secrets", "List names and update times", run!(secrets::list))
        .query(PAGED)
        .gives(&[json(200, list::<SecretBody>)]),
    put("/v1/namespaces/{ns}/secrets/{name}", "Write a secret", run!(secrets::put))
        .needs(Permission::SecretAdmin)
        .query(DRY)
        .body(SMALL)
        .takes(anything)
        .gives(&[bare(204)]),
    delete("/v1/namespaces/{ns}/secrets/{name}", "Remove a secret", run!(secrets::delete))
        .needs(Permission::SecretAdmin)
        .query(DRY)
        .gives(&[bare(204)]),
    // Delivery.
    get("/v1/namespaces/{ns}/buffers", "List buffers", run!(buffers::list))
        .query(PAGED)
        .gives(&[json(200, list::<BufferBody>)]),
    get("/v1/namespaces/{ns}/buffers/{name}", "Show a trigger's buffer", run!(buffers::get))
        .gives(&[json(200, of::<BufferBody>)]),
    get("/v1/namespaces/{ns}/dead-letters", "List dead letters", run!(dead_letters::list))
        .query(&["id", "trigger", "cause", "state", "since", "until", "pageSize", "pageToken"])
        .gives(&[json(200, list::<DeadLetterBody>)]),
    get("/v1/namespaces/{ns}/dead-letters/{id}", "Show a dead letter", run!(dead_letters::get))
        .gives(&[json(200, of::<DeadLetterBody>)]),
    delete("/v1/namespaces/{ns}/dead-letters", "Drop dead letters", run!(dead_letters::purge))
        .needs(Permission::Operator)
        .query(&["id", "trigger", "cause", "since", "until", "dryRun"])
        .gives(&[json(200, of::<Touched>)]),
    post("/v1/namespaces/{ns}/dead-letters/redrive", "Put dead letters back", run!(dead_letters::redrive))
        .query(DRY)
        .body(LARGE)
        .takes(of::<RedriveBody>)
        .gives(&[json(202, of::<BatchBody>), json(200, of::<Touched>)]),
    get("/v1/namespaces/{ns}/batches", "List batches", run!(batches::list))
        .query(PAGED)
        .gives(&[json(200, list::<BatchBody>)]),
    post("/v1/namespaces/{ns}/batches", "Cancel, retry or redrive in bulk", run!(batches::begin))
        .query(DRY)
        .body(LARGE)
        .takes(of::<BatchRequest>)
        .gives(&[json(202, of::<BatchBody>), json(200, of::<Touched>)]),
    get("/v1/namespaces/{ns}/batches/{id}", "Show a batch", run!(batches::get))
        .gives(&[json(200, of::<BatchBody>)]),
    post("/v1/namespaces/{ns}/batches/{id}/pause", "Hold a batch", run!(batches::turn, State::Paused))
        .body(SMALL)
        .gives(&[json(200, of::<BatchBody>)]),
    post("/v1/namespaces/{ns}/batches/{id}/resume", "Let a batch go on", run!(batches::turn, State::Running))
        .body(SMALL)
        .gives(&[json(200, of::<BatchBody>)]),
    post("/v1/namespaces/{ns}/batches/{id}/cancel", "End a batch", run!(batches::turn, State::Cancelled))
        .body(SMALL)
        .gives(&[json(200, of::<BatchBody>)]),
    get("/v1/namespaces/{ns}/stream", "What happens, live (server-sent events)", run!(stream::open))
        .query(&["topics"])
        .gives(&[media(200, "text/event-stream")]),
    any("/hooks/{ns}/{*path}", "Requests of HTTP sources", run!(hooks::take))
        .needs(Permission::None)
        .over(Scope::FreeNamespace)
        .class(Class::FrontDoor)
        .body(Body::Unread)
        .gives(&[json(202, of::<Taken<'static>>), json(200, anything)]),
];
