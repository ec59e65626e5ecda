//! `execution` and `workflow`: what runs, and what is run.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use tidemill_dsl::value::Value;
use tidemill_dsl::yaml::Node;

use super::apply::refused;
use super::args::{
    ExecutionListArgs, ExecutionVerb, Form, GraphArgs, ReasonArgs, RetryArgs, Shared, StartArgs, WorkflowVerb,
};
use super::client::{Answer, Body, Client, succeeded};
use super::definitions::Definitions;
use super::exit::{FAILURE, FAULTED, Failure, NOT_FOUND, OK, Outcome, UNAVAILABLE, USAGE};
use super::output::{self, Column};
use super::{input, yaml};
use crate::graph as picture;

const LISTED: &[Column] = &[
    ("ID", "/id"),
    ("WORKFLOW", "/workflow/name"),
    ("VERSION", "/workflow/version"),
    ("STATUS", "/status"),
    ("STARTED", "/startedAt"),
    ("ENDED", "/endedAt"),
    ("TRIGGER", "/trigger"),
];
const WORKFLOWS: &[Column] =
    &[("NAME", "/name"), ("VERSION", "/version"), ("TITLE", "/title"), ("UPDATED", "/updatedAt")];
/// Entries of a history that are read at most (limit `history-entries` of the server).
const HISTORY: usize = 200_000;

pub(super) async fn execution(verb: ExecutionVerb, shared: &Shared) -> Outcome {
    let client = Client::new(shared)?;
    match verb {
        ExecutionVerb::List(args) => list(&client, shared, &args).await,
        ExecutionVerb::Show { id, wait } => show(&client, shared, &id, wait.as_deref()).await,
        ExecutionVerb::History { id } => history(&client, shared, &id).await,
        ExecutionVerb::Why { id } => why(&client, shared, &id).await,
        ExecutionVerb::Watch { id } => watch(&client, shared, &id).await,
        ExecutionVerb::Cancel(args) => {
            input::confirm(&format!("cancel execution {}", args.id), shared.yes)?;
            command(&client, "cancel", &args).await
        }
        ExecutionVerb::Suspend(args) => command(&client, "suspend", &args).await,
        ExecutionVerb::Resume(args) => command(&client, "resume", &args).await,
        ExecutionVerb::Retry(args) => retry(&client, &args).await,
    }
}

async fn list(client: &Client, shared: &Shared, args: &ExecutionListArgs) -> Outcome {
    let options = [
        ("workflow", &args.workflow),
        ("status", &args.status),
        ("trigger", &args.trigger),
        ("tag", &args.tag),
        ("since", &args.since),
        ("until", &args.until),
        ("orderBy", &args.order_by),
    ];
    let query: Vec<(&str, &str)> =
        options.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
    let items = client.list(&["executions"], &query, args.limit).await?;
    output::list(shared.output, &items, LISTED);
    Ok(OK)
}

async fn show(client: &Client, shared: &Shared, id: &str, wait: Option<&str>) -> Outcome {
    let wait: Vec<(&str, &str)> = wait.iter().map(|wait| ("wait", *wait)).collect();
    let execution = client.get(&["executions", id], &wait).await?;
    output::object(shared.output, &execution, "/id");
    Ok(OK)
}

async fn history(client: &Client, shared: &Shared, id: &str) -> Outcome {
    let entries = client.list(&["executions", id, "history"], &[], HISTORY).await?;
    let columns: &[Column] = &[
        ("SEQUENCE", "/sequence"),
        ("TIME", "/time"),
        ("TYPE", "/type"),
        ("TASK", "/task/name"),
        ("ATTEMPT", "/task/attempt"),
        ("ERROR", "/error/title"),
    ];
    output::list(shared.output, &entries, columns);
    Ok(OK)
}

/// What a non-terminal execution waits for (promise 7).
async fn why(client: &Client, shared: &Shared, id: &str) -> Outcome {
    let execution = client.get(&["executions", id], &[]).await?;
    if shared.output.is_some_and(|form| form != Form::Table) {
        let member = |name: &str| execution.get(name).cloned().unwrap_or_default();
        let waits = execution.get("waitingFor").cloned().unwrap_or_else(|| Value::array::<Value>([]));
        let told = [("id", member("id")), ("status", member("status")), ("why", member("why"))];
        let told = told.into_iter().chain([("waitingFor", waits), ("error", member("error"))]);
        output::object(shared.output, &Value::object(told), "/status");
        return Ok(OK);
    }
    output::line(&format!("status: {}", output::cell(execution.get("status"))));
    for wait in execution.get("waitingFor").and_then(Value::as_array).unwrap_or_default() {
        output::line(&output::cell(wait.get("detail")));
    }
    if let Some(error) = execution.get("error").filter(|error| !error.is_null()) {
        output::line(yaml::write(&Value::object([("error", error.clone())])).trim_end());
    }
    Ok(OK)
}

fn reason_body(reason: Option<&str>) -> Vec<(&'static str, Value)> {
    reason.iter().map(|reason| ("reason", Value::text(*reason))).collect()
}

async fn command(client: &Client, verb: &str, args: &ReasonArgs) -> Outcome {
    let body = Body::Json(Value::object(reason_body(args.reason.as_deref())));
    let answer = client.ask(Method::POST, (&["executions", &args.id, verb], &[]), body, &[]).await?;
    told(answer, &args.id, verb)
}

async fn retry(client: &Client, args: &RetryArgs) -> Outcome {
    let mut members = reason_body(args.reason.as_deref());
    if args.input.is_some() {
        members.push(("input", input::json(args.input.as_deref(), Value::Null)?));
    }
    if let Some(task) = &args.from_task {
        members.push(("fromTask", Value::text(task.as_str())));
    }
    let body = Body::Json(Value::object(members));
    let answer = client.ask(Method::POST, (&["executions", &args.id, "retry"], &[]), body, &[]).await?;
    told(answer, &args.id, "retry")
}

fn told(answer: Answer, id: &str, verb: &str) -> Outcome {
    succeeded(answer).map_err(|failure| match failure.code {
        super::exit::CONFLICT => failure.try_next(format!("tidemill execution show {id}")),
        NOT_FOUND => failure.try_next("tidemill execution list"),
        _ => failure,
    })?;
    output::note(&format!("{verb}: done; follow it with: tidemill execution watch {id}"));
    Ok(OK)
}

/// Follows the stored entries until the last one; the stream begins with the first entry, so nothing is missed.
async fn watch(client: &Client, shared: &Shared, id: &str) -> Outcome {
    let execution = client.get(&["executions", id], &[]).await?;
    if execution.get("endedAt").is_none_or(Value::is_null) {
        let mut response = client.stream(&format!("execution:{id}")).await?;
        let mut frames = Frames::default();
        let lost = |error: reqwest::Error| {
            Failure::new(UNAVAILABLE, format!("follow execution {id}: {error}"))
                .try_next(format!("tidemill execution show {id}"))
        };
        'stream: while let Some(bytes) = response.chunk().await.map_err(lost)? {
            for data in frames.take(&bytes) {
                entry(shared, &data);
                let kind = data.get("type").and_then(Value::as_str).unwrap_or_default();
                if matches!(kind, "workflow.completed" | "workflow.faulted" | "workflow.cancelled") {
                    break 'stream;
                }
            }
        }
    } else {
        for data in client.list(&["executions", id, "history"], &[], HISTORY).await? {
            entry(shared, &data);
        }
    }
    let execution = client.get(&["executions", id], &[]).await?;
    Ok(end_code(&execution))
}

fn entry(shared: &Shared, data: &Value) {
    if shared.output.is_some_and(|form| form != Form::Table) {
        output::line(&data.to_string());
        return;
    }
    let text = |pointer: &str| output::cell(data.pointer(pointer));
    let error = data
        .pointer("/error/title")
        .map(|title| format!("  {}", output::cell(Some(title))))
        .unwrap_or_default();
    let task =
        data.pointer("/task/name").map(|name| format!("  {}", output::cell(Some(name)))).unwrap_or_default();
    output::line(&format!("{}  {}{task}{error}", text("/time"), text("/type")));
}

/// Exit code for how an execution is.
pub(super) fn end_code(execution: &Value) -> u8 {
    match execution.get("status").and_then(Value::as_str) {
        Some("faulted") => FAULTED,
        Some("cancelled") => FAILURE,
        _ => OK,
    }
}

/// Server-sent events, put together from pieces; only their data matters here.
#[derive(Default)]
pub(super) struct Frames {
    rest: Vec<u8>,
}

impl Frames {
    /// The data of the events that a piece completes.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<Value> {
        self.rest.extend_from_slice(bytes);
        let mut found = Vec::new();
        while let Some(end) = self.rest.windows(2).position(|pair| pair == b"\n\n") {
            let frame: Vec<u8> = self.rest.drain(..end + 2).collect();
            let frame = String::from_utf8_lossy(&frame);
            let data = frame.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim_start);
            let data: Vec<&str> = data.collect();
            found.extend(Value::parse(data.join("\n").as_bytes()));
        }
        found
    }
}

pub(super) async fn workflow(verb: WorkflowVerb, shared: &Shared) -> Outcome {
    let client = Client::new(shared)?;
    match verb {
        WorkflowVerb::List => {
            let items = client.list(&["workflows"], &[], usize::MAX).await?;
            output::list(shared.output, &items, WORKFLOWS);
        }
        WorkflowVerb::Show { name, version } => {
            let query: Vec<(&str, &str)> =
                version.iter().map(|version| ("version", version.as_str())).collect();
            let path = ["workflows", name.as_str()];
            if shared.output.is_none_or(|form| matches!(form, Form::Table | Form::Yaml)) {
                let text = client.text(&path, &query, "application/yaml").await?;
                output::line(text.trim_end());
            } else {
                output::object(shared.output, &client.get(&path, &query).await?, "/name");
            }
        }
        WorkflowVerb::Graph(args) => return graph(&client, shared, &args).await,
        WorkflowVerb::Start(args) => return start(&client, shared, &args).await,
        WorkflowVerb::Delete { name, version } => {
            let what =
                version.as_ref().map_or_else(|| format!("{name}, all versions"), |v| format!("{name}:{v}"));
            input::confirm(&format!("delete workflow {what}"), shared.yes)?;
            let query: Vec<(&str, &str)> =
                version.iter().map(|version| ("version", version.as_str())).collect();
            client.call(Method::DELETE, &["workflows", &name], &query, Body::None).await?;
            output::note(&format!("workflow {what}: deleted"));
        }
    }
    Ok(OK)
}

/// A workflow drawn by the server, or one of a file drawn here.
async fn graph(client: &Client, shared: &Shared, args: &GraphArgs) -> Outcome {
    let as_data = shared.output.is_some_and(|form| form != Form::Table);
    if let Some(file) = &args.file {
        if as_data {
            let failure = Failure::new(USAGE, "print the graph of a file as data");
            return Err(
                failure.try_next("--format mermaid, dot, svg or ascii, or apply it and name the workflow")
            );
        }
        output::line(drawn(file, args)?.trim_end());
        return Ok(OK);
    }
    let name = args.name.as_deref().unwrap_or_default();
    let mut query: Vec<(&str, &str)> = Vec::new();
    query.extend(args.version.iter().map(|version| ("version", version.as_str())));
    query.extend(args.execution.iter().map(|id| ("execution", id.as_str())));
    let path = ["workflows", name, "graph"];
    if as_data {
        output::object(shared.output, &client.get(&path, &query).await?, "/tasks");
        return Ok(OK);
    }
    query.push(("format", args.format.word()));
    output::line(client.text(&path, &query, "*/*").await?.trim_end());
    Ok(OK)
}

/// The workflow of a file, drawn: the one that is named, or the first.
fn drawn(file: &Path, args: &GraphArgs) -> Result<String, Failure> {
    let set = Definitions::read(&[file.to_owned()])?;
    if !set.unreadable.is_empty() {
        return Err(refused(&set, &set.unreadable));
    }
    let own = |node: &Node| {
        let name = node.get("document").and_then(|document| document.get("name")?.as_str());
        name.is_some_and(|name| args.name.as_ref().is_none_or(|asked| asked == name))
    };
    let wanted = set.documents.iter().find(|document| own(&document.node)).map(|found| found.node.span);
    let Some(wanted) = wanted else {
        let failure = Failure::new(NOT_FOUND, format!("find such a workflow in {}", file.display()));
        return Err(failure.try_next(format!("tidemill lint {}", file.display())));
    };
    let bundle = set.bundle(|node| node.span == wanted);
    let checked = tidemill_dsl::workflow::check(&bundle.text);
    let Some(program) = checked.program else {
        let found: Vec<_> = checked.diagnostics.into_iter().map(|found| bundle.place(found)).collect();
        return Err(refused(&set, &found));
    };
    let form = picture::Form::of_word(args.format.word()).unwrap_or(picture::Form::Ascii);
    Ok(picture::Picture::of(&program).draw(form))
}

/// Longest wait of one request.
const WAIT: Duration = Duration::from_mins(1);

async fn start(client: &Client, shared: &Shared, args: &StartArgs) -> Outcome {
    let body = input::json(args.input.as_deref(), Value::object::<&str>([]))?;
    let mut query: Vec<(&str, &str)> =
        args.version.iter().map(|version| ("version", version.as_str())).collect();
    query.extend(args.tag.iter().map(|tag| ("tag", tag.as_str())));
    if let Some(bad) = args.tag.iter().find(|tag| !tag.contains(':')) {
        return Err(Failure::new(USAGE, format!("read `{bad}` as a tag"))
            .try_next("write it like --tag orderId:4711"));
    }
    let wait = format!("wait={}", WAIT.as_secs());
    let mut headers: Vec<(&str, &str)> = Vec::new();
    if args.wait {
        headers.push(("prefer", &wait));
    }
    if let Some(key) = &args.idempotency_key {
        headers.push(("idempotency-key", key));
    }
    let path = ["workflows", args.name.as_str(), "executions"];
    let answer = client.ask(Method::POST, (&path, &query), Body::Json(body), &headers).await?;
    let mut execution = succeeded(answer)?.body;
    let id = execution.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    while args.wait && execution.get("endedAt").is_none_or(Value::is_null) {
        execution = client.get(&["executions", &id], &[("wait", "60s")]).await?;
    }
    output::object(shared.output, &execution, "/id");
    if !args.wait {
        output::note(&format!("follow it with: tidemill execution watch {id}"));
        return Ok(OK);
    }
    Ok(end_code(&execution))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_whole_from_pieces() {
        let mut frames = Frames::default();
        assert!(frames.take(b": keep-alive\n\nid: 1\nda").is_empty());
        let found = frames.take(b"ta: {\"a\":1}\n\nid: 2\ndata: {\"a\":\ndata: 2}\n\n");
        let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(texts, [r#"{"a":1}"#, r#"{"a":2}"#]);
    }

    #[test]
    fn ends_have_codes() {
        let check = |status: &str, expected: u8| {
            assert_eq!(end_code(&Value::object([("status", Value::text(status))])), expected, "{status}");
        };
        check("completed", OK);
        check("faulted", FAULTED);
        check("cancelled", FAILURE);
        check("running", OK);
    }
}
