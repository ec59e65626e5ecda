//! The table of every route: method, path, permission, namespace scope, class, query, body, answers (D16).
//!
//! The router and the OpenAPI description are made from it; nothing is served that does not stand here.

use tidemill_store::DefinitionKind as Kind;

use super::aliases::{AliasBody, WeightsBody};
use super::batches::{BatchBody, BatchRequest};
use super::buffers::BufferBody;
use super::dead_letters::{DeadLetterBody, RedriveBody, Touched};
use super::definitions::{Instance, SeekBody};
use super::documents::{ApplyBody, LintBody};
use super::events::{Listed, ReplayBody, Taken};
use super::executions::{Execution, ExecutionEntry, HistoryEntry, RetryBody, VerbBody, WouldStart};
use super::namespaces::NamespaceBody;
use super::probes::Ready;
use super::route::{
    Body, Class, Permission, Route, Scope, any, anything, delete, either, get, json, list, media, of, post,
    put,
};
use super::rows::{
    BATCH, DOCUMENT, DRY, EXECUTION, GONE, LARGE, PAGED, WRITTEN, document, documents_of, hold, remove, verb,
    write,
};
use super::schemas::SchemaEntry;
use super::secrets::SecretBody;
use super::signals::FailBody;
use super::timetables::{BackfillBody, Backfilled, Upcoming};
use super::trace::Trace;
use super::trials::{BackTest, TestBody, Verdict};
use super::workflows::{Graph, Workflow, WorkflowEntryBody};
use super::{
    aliases, batches, buffers, dead_letters, definitions, documents, door, events, executions, hooks,
    namespaces, probes, schemas, secrets, signals, stream, timetables, trace, trials, workflows,
};
use crate::redrive::State;

/// A route's work from an async function, with what else it is told.
macro_rules! run {
    ($function:path $(, $more:expr)*) => {
        |call| Box::pin($function(call $(, $more)*))
    };
}

/// A page of a list within a namespace.
macro_rules! paged {
    ($path:literal, $summary:literal, $function:path, $entry:ty) => {
        get(concat!("/v1/namespaces/{ns}", $path), $summary, run!($function))
            .query(PAGED)
            .gives(&[json(200, list::<$entry>)])
    };
}

/// One thing within a namespace.
macro_rules! shown {
    ($path:literal, $summary:literal, $function:path, $body:ty) => {
        get(concat!("/v1/namespaces/{ns}", $path), $summary, run!($function)).gives(&[json(200, of::<$body>)])
    };
}

/// What is told of a path that is not in the table.
pub static UNKNOWN: Route = any("", "An unknown path", run!(door::unknown)).over(Scope::Cluster);
/// What is told of a path that is, but not with this method.
pub static WRONG_METHOD: Route = any("", "An unknown method", run!(door::wrong_method)).over(Scope::Cluster);

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
    get("/v1/schemas", "List JSON schemas for editors", run!(schemas::list))
        .over(Scope::Cluster)
        .gives(&[json(200, list::<SchemaEntry>)]),
    get("/v1/schemas/{name}", "A JSON schema: `{name}.json`", run!(schemas::get))
        .over(Scope::Cluster)
        .gives(&[media(200, "application/schema+json")]),
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
        .gives(GONE),
    post("/v1/namespaces/{ns}/apply", "Apply a set of documents, all or nothing", run!(documents::apply))
        .needs(Permission::Editor)
        .class(Class::FrontDoor)
        .query(DRY)
        .body(LARGE)
        .gives(&[json(200, of::<ApplyBody>)]),
    // Workflows and executions.
    paged!("/workflows", "List workflows", workflows::list, WorkflowEntryBody),
    get("/v1/namespaces/{ns}/workflows/{name}", "Show a workflow, or its text as sent", run!(workflows::get))
        .query(&["version"])
        .gives(&[json(200, of::<Workflow>)]),
    put("/v1/namespaces/{ns}/workflows/{name}", "Write a workflow version", run!(workflows::put))
        .query(DRY)
        .body(DOCUMENT)
        .gives(WRITTEN),
    delete(
        "/v1/namespaces/{ns}/workflows/{name}",
        "Remove a version, or all of them",
        run!(workflows::delete),
    )
    .query(&["version", "dryRun"])
    .gives(GONE),
    get(
        "/v1/namespaces/{ns}/workflows/{name}/graph",
        "The tasks and what follows what",
        run!(workflows::graph),
    )
    .query(&["version", "format", "execution"])
    .gives(&[json(200, of::<Graph>)]),
    post("/v1/namespaces/{ns}/workflows/{name}/executions", "Start an execution", run!(executions::start))
        .class(Class::FrontDoor)
        .query(&["version", "tag", "dryRun"])
        .body(LARGE)
        .takes(anything)
        .gives(&[json(202, of::<Execution<'static>>), json(200, either::<Execution<'static>, WouldStart>)]),
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
        .gives(EXECUTION),
    paged!("/executions/{id}/history", "What happened, in order", executions::history, HistoryEntry),
    verb("/v1/namespaces/{ns}/executions/{id}/cancel", "End it now", run!(executions::cancel))
        .takes(of::<VerbBody>),
    verb("/v1/namespaces/{ns}/executions/{id}/suspend", "Hold it", run!(executions::suspend))
        .takes(of::<VerbBody>),
    verb("/v1/namespaces/{ns}/executions/{id}/resume", "Let it go on", run!(executions::resume))
        .takes(of::<VerbBody>),
    verb("/v1/namespaces/{ns}/executions/{id}/retry", "Go on from the failed task", run!(executions::retry))
        .takes(of::<RetryBody>),
    post(
        "/v1/namespaces/{ns}/executions/{id}/events",
        "An event for its listens alone",
        run!(signals::signal),
    )
    .query(DRY)
    .body(LARGE)
    .gives(&[json(202, of::<Taken<'static>>)]),
    verb(
        "/v1/namespaces/{ns}/executions/{id}/tasks/{visit}/complete",
        "Answer a call that was accepted for later; the body is its output",
        run!(signals::complete),
    )
    .takes(anything),
    verb(
        "/v1/namespaces/{ns}/executions/{id}/tasks/{visit}/fail",
        "Let such a call fail",
        run!(signals::fail),
    )
    .takes(of::<FailBody>),
    // Events.
    post("/v1/namespaces/{ns}/events", "Post CloudEvents: binary, structured or batch", run!(events::post))
        .class(Class::FrontDoor)
        .query(DRY)
        .body(LARGE)
        .gives(&[json(202, of::<Taken<'static>>)]),
    get("/v1/namespaces/{ns}/events", "List events, newest first", run!(events::list))
        .query(&["type", "since", "until", "pageSize", "pageToken", "count"])
        .gives(&[json(200, list::<Listed>)]),
    post("/v1/namespaces/{ns}/events/replay", "Stored events to one trigger once more", run!(events::replay))
        .query(DRY)
        .body(DOCUMENT)
        .takes(of::<ReplayBody>)
        .gives(&[json(202, of::<BatchBody>), json(200, of::<Touched>)]),
    get("/v1/namespaces/{ns}/events/{source}/{event}", "The event itself", run!(events::get))
        .query(&["binding"])
        .gives(&[media(200, "application/cloudevents+json")]),
    get("/v1/namespaces/{ns}/events/{source}/{event}/trace", "Why it fired or not", run!(trace::trace))
        .query(&["binding"])
        .gives(&[json(200, of::<Trace>)]),
    // Definitions.
    documents_of("/v1/namespaces/{ns}/sources", "List sources", run!(definitions::list, Kind::Source)),
    document("/v1/namespaces/{ns}/sources/{name}", "Show a source", run!(definitions::get, Kind::Source)),
    write("/v1/namespaces/{ns}/sources/{name}", "Write a source", run!(definitions::put, Kind::Source)),
    remove("/v1/namespaces/{ns}/sources/{name}", "Remove a source", run!(definitions::delete, Kind::Source))
        .query(&["dryRun", "force"]),
    hold("/v1/namespaces/{ns}/sources/{name}/pause", "Hold a source", run!(definitions::pause, Kind::Source)),
    hold(
        "/v1/namespaces/{ns}/sources/{name}/resume",
        "Let a source go on",
        run!(definitions::resume, Kind::Source),
    ),
    hold(
        "/v1/namespaces/{ns}/sources/{name}/seek",
        "Set the position to resume from",
        run!(definitions::seek),
    )
    .takes(of::<SeekBody>),
    shown!("/sources/{name}/next", "The coming instants of a cron source", timetables::next, Upcoming)
        .query(&["times"]),
    post(
        "/v1/namespaces/{ns}/sources/{name}/backfill",
        "Fire a cron source for a past range",
        run!(timetables::backfill),
    )
    .query(DRY)
    .body(DOCUMENT)
    .takes(of::<BackfillBody>)
    .gives(&[json(200, of::<Backfilled>)]),
    documents_of("/v1/namespaces/{ns}/triggers", "List triggers", run!(definitions::list, Kind::Trigger)),
    document("/v1/namespaces/{ns}/triggers/{name}", "Show a trigger", run!(definitions::get, Kind::Trigger)),
    write("/v1/namespaces/{ns}/triggers/{name}", "Write a trigger", run!(definitions::put, Kind::Trigger)),
    remove(
        "/v1/namespaces/{ns}/triggers/{name}",
        "Remove a trigger",
        run!(definitions::delete, Kind::Trigger),
    )
    .query(&["dryRun", "force"]),
    hold(
        "/v1/namespaces/{ns}/triggers/{name}/pause",
        "Hold a trigger",
        run!(definitions::pause, Kind::Trigger),
    ),
    hold(
        "/v1/namespaces/{ns}/triggers/{name}/resume",
        "Let a trigger go on",
        run!(definitions::resume, Kind::Trigger),
    ),
    post("/v1/namespaces/{ns}/triggers/{name}/test", "Judge an event, or back-test", run!(trials::test))
        .needs(Permission::Viewer)
        .body(LARGE)
        .takes(of::<TestBody>)
        .gives(&[json(200, either::<Verdict, BackTest>)]),
    post("/v1/namespaces/{ns}/trigger-tests", "Judge an event by a trigger not stored", run!(trials::draft))
        .needs(Permission::Viewer)
        .body(LARGE)
        .takes(of::<TestBody>)
        .gives(&[json(200, either::<Verdict, BackTest>)]),
    documents_of("/v1/namespaces/{ns}/functions", "List functions", run!(definitions::list, Kind::Function)),
    document(
        "/v1/namespaces/{ns}/functions/{name}",
        "Show a function",
        run!(definitions::get, Kind::Function),
    )
    .query(&["version"]),
    write(
        "/v1/namespaces/{ns}/functions/{name}",
        "Publish a function",
        run!(definitions::put, Kind::Function),
    ),
    remove(
        "/v1/namespaces/{ns}/functions/{name}",
        "Remove a function",
        run!(definitions::delete, Kind::Function),
    ),
    get(
        "/v1/namespaces/{ns}/functions/{name}/instances",
        "Processes that run it",
        run!(definitions::instances),
    )
    .query(PAGED)
    .gives(&[json(200, list::<Instance>)]),
    paged!("/functions/{name}/aliases", "List the aliases of a function", aliases::list, AliasBody),
    shown!("/functions/{name}/aliases/{alias}", "Show an alias", aliases::get, AliasBody),
    put("/v1/namespaces/{ns}/functions/{name}/aliases/{alias}", "Write an alias", run!(aliases::put))
        .query(DRY)
        .body(DOCUMENT)
        .takes(of::<WeightsBody>)
        .gives(&[json(200, of::<AliasBody>), json(201, of::<AliasBody>)]),
    remove("/v1/namespaces/{ns}/functions/{name}/aliases/{alias}", "Remove an alias", run!(aliases::delete)),
    documents_of(
        "/v1/namespaces/{ns}/connections",
        "List connections",
        run!(definitions::list, Kind::Connection),
    ),
    document(
        "/v1/namespaces/{ns}/connections/{name}",
        "Show a connection",
        run!(definitions::get, Kind::Connection),
    ),
    write(
        "/v1/namespaces/{ns}/connections/{name}",
        "Write a connection",
        run!(definitions::put, Kind::Connection),
    ),
    remove(
        "/v1/namespaces/{ns}/connections/{name}",
        "Remove a connection",
        run!(definitions::delete, Kind::Connection),
    ),
    documents_of("/v1/namespaces/{ns}/queues", "List queues", run!(definitions::list, Kind::Queue)),
    document("/v1/namespaces/{ns}/queues/{name}", "Show a queue", run!(definitions::get, Kind::Queue)),
    write("/v1/namespaces/{ns}/queues/{name}", "Write a queue", run!(definitions::put, Kind::Queue)),
    remove("/v1/namespaces/{ns}/queues/{name}", "Remove a queue", run!(definitions::delete, Kind::Queue)),
    // Secrets.
    paged!("/secrets", "List names and update times", secrets::list, SecretBody),
    put("/v1/namespaces/{ns}/secrets/{name}", "Write a secret", run!(secrets::put))
        .needs(Permission::SecretAdmin)
        .query(DRY)
        .body(DOCUMENT)
        .takes(anything)
        .gives(GONE),
    delete("/v1/namespaces/{ns}/secrets/{name}", "Remove a secret", run!(secrets::delete))
        .needs(Permission::SecretAdmin)
        .query(DRY)
        .gives(GONE),
    // Delivery.
    paged!("/buffers", "List buffers", buffers::list, BufferBody),
    shown!("/buffers/{name}", "Show a trigger's buffer", buffers::get, BufferBody),
    get("/v1/namespaces/{ns}/dead-letters", "List dead letters", run!(dead_letters::list))
        .query(&["id", "trigger", "cause", "state", "since", "until", "pageSize", "pageToken", "count"])
        .gives(&[json(200, list::<DeadLetterBody>)]),
    shown!("/dead-letters/{id}", "Show a dead letter", dead_letters::get, DeadLetterBody),
    delete("/v1/namespaces/{ns}/dead-letters", "Drop dead letters", run!(dead_letters::purge))
        .needs(Permission::Operator)
        .query(&["id", "trigger", "cause", "since", "until", "dryRun"])
        .gives(&[json(200, of::<Touched>)]),
    post("/v1/namespaces/{ns}/dead-letters/redrive", "Put dead letters back", run!(dead_letters::redrive))
        .query(DRY)
        .body(LARGE)
        .takes(of::<RedriveBody>)
        .gives(&[json(202, of::<BatchBody>), json(200, of::<Touched>)]),
    paged!("/batches", "List batches", batches::list, BatchBody),
    post("/v1/namespaces/{ns}/batches", "Cancel, retry or redrive in bulk", run!(batches::begin))
        .query(DRY)
        .body(LARGE)
        .takes(of::<BatchRequest>)
        .gives(&[json(202, of::<BatchBody>), json(200, of::<Touched>)]),
    shown!("/batches/{id}", "Show a batch", batches::get, BatchBody),
    hold("/v1/namespaces/{ns}/batches/{id}/pause", "Hold a batch", run!(batches::turn, State::Paused))
        .gives(BATCH),
    hold("/v1/namespaces/{ns}/batches/{id}/resume", "Let a batch go on", run!(batches::turn, State::Running))
        .gives(BATCH),
    hold("/v1/namespaces/{ns}/batches/{id}/cancel", "End a batch", run!(batches::turn, State::Cancelled))
        .gives(BATCH),
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
