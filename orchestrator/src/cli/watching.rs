//! `tail` and `export`: what happens on a server, and what it has been told.

use std::path::Path;

use tidemill_dsl::value::Value;

use super::args::{ExportArgs, Form, Shared, TailArgs};
use super::client::Client;
use super::executions::Frames;
use super::exit::{FAILURE, Failure, OK, Outcome, UNAVAILABLE};
use super::progress::Bar;
use super::{output, yaml};

/// Kinds of manifest, in the order in which an apply wants them: segment of the path.
const KINDS: [&str; 5] = ["connections", "queues", "functions", "sources", "triggers"];

/// `tail`: entries of the stream as they come, until interrupted.
pub(super) async fn tail(args: &TailArgs, shared: &Shared) -> Outcome {
    let client = Client::new(shared)?;
    let mut response = client.stream(&args.topics.join(",")).await?;
    output::note("following; Ctrl-C ends it");
    let mut frames = Frames::default();
    let mut left = args.count.unwrap_or(usize::MAX);
    let lost = |error: reqwest::Error| {
        Failure::new(UNAVAILABLE, format!("follow the server: {error}")).try_next("tidemill healthcheck")
    };
    while left > 0 {
        let Some(bytes) = response.chunk().await.map_err(lost)? else {
            let ended = Failure::new(UNAVAILABLE, "follow the server: it has ended the stream");
            return Err(ended.try_next("tidemill healthcheck, then the same again"));
        };
        for entry in frames.take(&bytes).into_iter().take(left) {
            left -= 1;
            output::line(&told(shared, &entry));
        }
    }
    Ok(OK)
}

fn told(shared: &Shared, entry: &Value) -> String {
    if shared.output.is_some_and(|form| form != Form::Table) {
        return entry.to_string();
    }
    let text = |names: &[&str]| {
        let found = names.iter().find_map(|name| entry.pointer(name).filter(|value| !value.is_null()));
        output::cell(found)
    };
    let what = text(&["/type", "/event/type", "/cause"]);
    let about = text(&["/execution", "/event/id", "/id"]);
    let task = entry.pointer("/task/name").map(|name| format!("  {}", output::cell(Some(name))));
    let error = entry.pointer("/error/title").map(|title| format!("  {}", output::cell(Some(title))));
    let time = text(&["/time", "/receivedAt", "/at"]);
    format!("{time}  {what}  {about}{}{}", task.unwrap_or_default(), error.unwrap_or_default())
}

/// `export`: every definition of the namespace as it can be applied again. Secrets never leave the server.
pub(super) async fn export(args: &ExportArgs, shared: &Shared) -> Outcome {
    let client = Client::new(shared)?;
    let mut count = 0;
    for kind in KINDS {
        let items = client.list(&[kind], &[], usize::MAX).await?;
        let mut bar = at_terminal(args, &format!("exporting {kind}"), items.len());
        for item in items {
            if let Some(bar) = bar.as_mut() {
                bar.add(1);
            }
            let name = output::cell(item.pointer("/metadata/name"));
            let members =
                ["kind", "metadata", "spec"].map(|name| (name, item.get(name).cloned().unwrap_or_default()));
            let file = format!("{}-{name}.yaml", kind.trim_end_matches('s'));
            put(args.dir.as_deref(), &file, &yaml::write(&Value::object(members)))?;
            count += 1;
        }
    }
    let items = client.list(&["workflows"], &[], usize::MAX).await?;
    let mut bar = at_terminal(args, "exporting workflows", items.len());
    for item in items {
        if let Some(bar) = bar.as_mut() {
            bar.add(1);
        }
        let name = output::cell(item.get("name"));
        for version in item.get("versions").and_then(Value::as_array).unwrap_or_default() {
            let version = output::cell(Some(version));
            let path = ["workflows", name.as_str()];
            let text = client.text(&path, &[("version", &version)], "application/yaml").await?;
            put(args.dir.as_deref(), &format!("workflow-{name}-{version}.yaml"), &text)?;
            count += 1;
        }
    }
    drop(bar);
    let secrets = client.list(&["secrets"], &[], usize::MAX).await?.len();
    output::note(&format!("{count} definitions of namespace {}", shared.namespace()));
    if secrets > 0 {
        output::note(&format!(
            "{secrets} secrets stay on the server: write them anew with tidemill secret set"
        ));
    }
    Ok(OK)
}

/// The line of an export into a folder; documents on standard output show how far it is themselves.
fn at_terminal(args: &ExportArgs, what: &str, count: usize) -> Option<Bar> {
    args.dir.as_ref().map(|_| Bar::new(what, count as u64))
}

/// Writes a document into a folder, or to standard output behind a separator.
fn put(dir: Option<&Path>, file: &str, text: &str) -> Result<(), Failure> {
    let Some(dir) = dir else {
        output::line(&format!("---\n{}", text.trim_end()));
        return Ok(());
    };
    let path = dir.join(file);
    let written = std::fs::create_dir_all(dir).and_then(|()| std::fs::write(&path, text));
    written.map_err(|error| {
        Failure::new(FAILURE, format!("write {}: {error}", path.display())).try_next("another --dir")
    })
}
