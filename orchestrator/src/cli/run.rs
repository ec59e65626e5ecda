//! `run`: one workflow to its end within this process, over a store in memory.
//!
//! Owns the order of things and the folder that lives as long as the run. Nothing is kept.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidemill_dsl::ids::Namespace;
use tidemill_dsl::manifest;
use tidemill_dsl::value::Value;
use tidemill_dsl::yaml::Node;
use tidemill_engine::record::Ended;
use tidemill_store::MemoryStore;

use super::apply::refused;
use super::args::{Form, RunArgs, Shared};
use super::definitions::{Definitions, namespace_of};
use super::exit::{FAILURE, FAULTED, Failure, INTERRUPTED, LINT, OK, Outcome, UNAVAILABLE, USAGE};
use super::input;
use super::local::{self, Refused};
use super::output;
use crate::config::{Config, Environment, Layers, Places, Purpose};
use crate::hall::Hall;
use crate::operations::{self, MAX_WAIT, StartRequest};
use crate::rooms::Rooms;
use crate::telemetry;
use crate::view::ExecutionView;

/// How long calls in flight may go on after the end of the execution.
const DRAIN: Duration = Duration::from_millis(200);

/// A folder that is removed with this value.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What to start.
struct Wanted {
    namespace: Namespace,
    name: Arc<str>,
    version: Option<Arc<str>>,
}

pub(super) async fn run(args: &RunArgs, shared: &Shared) -> Outcome {
    let environment = Environment::of_process();
    let input = input::json(args.input.as_deref(), Value::object::<&str>([]))?;
    let timeout = args.timeout.as_deref().map(duration).transpose()?;
    let set = Definitions::read(&[std::slice::from_ref(&args.file), &args.with].concat())?;
    let wanted = wanted(&set, shared.namespace())?;
    let scratch = scratch(&Places::of(&environment))?;
    let config = config(args, shared, &environment, &scratch)?;
    telemetry::log(config.log_format, config.log_level.as_deref().unwrap_or("warn"));
    let hall = Hall::open(&config, Arc::new(MemoryStore::new()), crate::clock::system()).await?;
    let outcome = tokio::select! {
        outcome = perform(&hall.rooms, args, (&set, wanted, input), shared) => outcome,
        () = expired(timeout) => {
            let failure = Failure::new(UNAVAILABLE, "end the execution within the time given by --timeout");
            Err(failure.try_next("a longer --timeout, or tidemill lint for a wait that never ends"))
        }
        _ = tokio::signal::ctrl_c() => Err(Failure::whole(INTERRUPTED, "interrupted; nothing was kept")),
    };
    hall.stop().await;
    outcome
}

async fn expired(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => std::future::pending().await,
    }
}

fn duration(text: &str) -> Result<Duration, Failure> {
    tidemill_dsl::duration::parse_human(text)
        .map_err(|error| Failure::new(USAGE, format!("read --timeout: {error}")).try_next("--timeout 30s"))
}

fn config(
    args: &RunArgs,
    shared: &Shared,
    environment: &Environment,
    scratch: &Scratch,
) -> Result<Config, Failure> {
    let dir = match args.file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let layers = Layers::read(shared.config.as_deref(), environment, Vec::new())?;
    let purpose = Purpose::Run { dir, scratch: scratch.0.clone() };
    let config = layers.resolve(&purpose, &Places::of(environment))?;
    Ok(Config { drain: DRAIN, ..config })
}

fn scratch(places: &Places) -> Result<Scratch, Failure> {
    use std::os::unix::fs::DirBuilderExt;
    let path = places.scratch.join(format!("tidemill-run-{}", crate::ids::fresh(crate::clock::system()())));
    let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
    made.map_err(|error| Failure::new(FAILURE, format!("make the folder {}: {error}", path.display())))?;
    Ok(Scratch(path))
}

/// The first workflow of the file.
fn wanted(set: &Definitions, fallback: &str) -> Result<Wanted, Failure> {
    let is_workflow = |node: &Node| manifest::Document::of(node) == manifest::Document::Workflow;
    let own = set.documents.iter().filter(|document| document.file == 0).map(|document| &document.node);
    let Some(node) = own.into_iter().find(|node| is_workflow(node)) else {
        if !set.unreadable.is_empty() {
            return Err(refused(set, &set.unreadable));
        }
        let file = set.files.first().map_or("the file", |file| file.name.as_str());
        let failure = Failure::new(LINT, format!("run {file}: there is no workflow in it"));
        return Err(failure.try_next("tidemill lint, or give manifests with -f beside the workflow"));
    };
    let text =
        |name: &str| node.get("document").and_then(|d| d.get(name)).and_then(Node::as_str).map(Arc::from);
    Ok(Wanted {
        namespace: namespace_of(node).unwrap_or(fallback).into(),
        name: text("name").unwrap_or_default(),
        version: text("version"),
    })
}

async fn perform(
    rooms: &Rooms,
    args: &RunArgs,
    (set, wanted, input): (&Definitions, Wanted, Value),
    shared: &Shared,
) -> Outcome {
    for secret in &args.secret {
        let (name, value) = input::pair(secret, "a secret")?;
        rooms.secrets.put(&wanted.namespace, &name.into(), Some(input::secret(value)), (rooms.clock)());
    }
    match local::apply(rooms, set, shared.namespace()).await {
        Ok(done) if !done.warnings.is_empty() => output::note(set.render(&done.warnings).trim_end()),
        Ok(_) => {}
        Err(Refused::Mistakes(found)) => return Err(refused(set, &found)),
        Err(Refused::Failed(error)) => return Err(error.into()),
    }
    let request = StartRequest {
        namespace: wanted.namespace.clone(),
        workflow: wanted.name,
        version: wanted.version,
        input,
        tags: Vec::new(),
        key: None,
        wait: Some(MAX_WAIT),
    };
    let mut view = operations::start(rooms, request).await.map_err(|error| match error {
        crate::error::Error::Input(fault) => Failure::new(LINT, format!("start: {fault}"))
            .try_next("an --input that meets the workflow's schema"),
        other => other.into(),
    })?;
    while !view.status.ended() {
        view = operations::wait(rooms, &wanted.namespace, view.id, MAX_WAIT).await?;
    }
    Ok(told(&view, shared))
}

/// Prints how it ended.
fn told(view: &ExecutionView, shared: &Shared) -> u8 {
    match &view.result {
        Some(Ended::Completed(output)) => {
            output::object(shared.output.or(Some(Form::Json)), output, "");
            OK
        }
        Some(Ended::Faulted(fault)) => {
            output::note(&output::pretty(&fault.to_value()));
            output::note(
                "error: the execution faulted\n  try: mend the task named by `instance` in the error above, and run it again",
            );
            FAULTED
        }
        _ => {
            output::note("the execution was cancelled");
            FAILURE
        }
    }
}
