//! `trigger`, `source`, `function`, `buffer`, `secret`: what is declared, and how it is.

use std::path::Path;

use reqwest::Method;
use tidemill_dsl::manifest::{self, Manifest};
use tidemill_dsl::value::Value;
use tidemill_dsl::yaml::{self, Node};

use super::apply::refused;
use super::args::{BufferVerb, FunctionVerb, SecretVerb, Shared, SourceVerb, TriggerVerb};
use super::client::{Body, Client};
use super::definitions::{Definitions, namespace_of};
use super::exit::{Failure, LINT, NOT_FOUND, OK, Outcome, USAGE};
use super::input;
use super::output::{self, Column};

const TRIGGERS: &[Column] = &[
    ("NAME", "/metadata/name"),
    ("SOURCE", "/spec/source"),
    ("TARGET", "/spec/target"),
    ("INTEGRATION", "/status/integration"),
    ("SYNC", "/status/syncState"),
    ("PAUSED", "/status/paused"),
    ("MATCHED", "/status/matched"),
    ("BUFFERED", "/status/buffered"),
    ("RUNNING", "/status/running"),
    ("DEAD LETTERS", "/status/deadLetters"),
];
const SOURCES: &[Column] = &[
    ("NAME", "/metadata/name"),
    ("STATE", "/status/state"),
    ("SINCE", "/status/since"),
    ("LAST EVENT", "/status/lastEventAt"),
    ("PER SECOND", "/status/eventsPerSecond"),
    ("LAG", "/status/lagRecords"),
    ("ACCEPTED", "/status/eventsAccepted"),
    ("ERRORS", "/status/errors"),
    ("LAST ERROR", "/status/lastError/message"),
];
const FUNCTIONS: &[Column] =
    &[("NAME", "/metadata/name"), ("VERSION", "/status/version"), ("UPDATED", "/status/updatedAt")];
const BUFFERS: &[Column] = &[
    ("TRIGGER", "/trigger"),
    ("DEPTH", "/depth"),
    ("IN FLIGHT", "/inFlight"),
    ("PARKED", "/parked"),
    ("OLDEST", "/oldestAge"),
    ("RATE", "/rate"),
    ("DRAINED IN", "/forecastDrain"),
];

pub(super) async fn trigger(verb: TriggerVerb, shared: &Shared) -> Outcome {
    let client = Client::new(shared)?;
    match verb {
        TriggerVerb::List => list(&client, shared, "triggers", TRIGGERS).await,
        TriggerVerb::Show { name } => show(&client, shared, &["triggers", &name]).await,
        TriggerVerb::Pause { name } => turn(&client, ("triggers", &name), "pause").await,
        TriggerVerb::Resume { name } => turn(&client, ("triggers", &name), "resume").await,
        TriggerVerb::Delete { name, force } => {
            delete(&client, shared, ("triggers", "trigger", &name), force).await
        }
        TriggerVerb::Test { name, event, file, since, until } => {
            let given = match &event {
                Some(path) => input::json(Some(&input::read(path)?), Value::Null)?,
                None => Value::object(
                    [("since", since), ("until", until)]
                        .into_iter()
                        .filter_map(|(name, time)| Some((name, Value::text(time?)))),
                ),
            };
            let told = if let Some(file) = &file {
                offline(file, &name, &given)?
            } else {
                let path = ["triggers", name.as_str(), "test"];
                client.call(Method::POST, &path, &[], Body::Json(given)).await?.body
            };
            output::object(shared.output, &told, "/matched");
            Ok(if told.get("matched") == Some(&Value::from(false)) { LINT } else { OK })
        }
    }
}

/// The verdict of a trigger of files.
fn offline(file: &Path, name: &str, event: &Value) -> Result<Value, Failure> {
    let set = Definitions::read(&[file.to_owned()])?;
    if !set.unreadable.is_empty() {
        return Err(refused(&set, &set.unreadable));
    }
    let named =
        |node: &Node| node.get("metadata").and_then(|metadata| metadata.get("name")?.as_str()) == Some(name);
    let own = |node: &Node| node.get("kind").and_then(Node::as_str) == Some("Trigger") && named(node);
    let bundle = set.bundle(own);
    let node = yaml::parse(&bundle.text).ok().filter(|_| set.documents.iter().any(|found| own(&found.node)));
    let Some(node) = node else {
        let failure = Failure::new(NOT_FOUND, format!("find the trigger `{name}` in {}", file.display()));
        return Err(failure.try_next(format!("tidemill lint {}", file.display())));
    };
    let namespace = namespace_of(&node).unwrap_or("default");
    let trigger = match manifest::parse(&node, &bundle.text, namespace) {
        Ok(Manifest::Trigger(trigger)) => trigger,
        Ok(_) => return Err(Failure::new(NOT_FOUND, format!("find the trigger `{name}`"))),
        Err(found) => {
            let found: Vec<_> = found.into_iter().map(|one| bundle.place(one)).collect();
            return Err(refused(&set, &found));
        }
    };
    let verdict = crate::api::trials::judged(&trigger, event)
        .map_err(|error| Failure::new(LINT, error.to_string()).try_next("tidemill send --help"))?;
    let text = serde_json::to_vec(&verdict).unwrap_or_default();
    Ok(Value::parse(&text).unwrap_or_default())
}

pub(super) async fn source(verb: SourceVerb, shared: &Shared) -> Outcome {
    let client = Client::new(shared)?;
    match verb {
        SourceVerb::List => list(&client, shared, "sources", SOURCES).await,
        SourceVerb::Show { name } => show(&client, shared, &["sources", &name]).await,
        SourceVerb::Pause { name } => turn(&client, ("sources", &name), "pause").await,
        SourceVerb::Resume { name } => turn(&client, ("sources", &name), "resume").await,
        SourceVerb::Delete { name, force } => {
            delete(&client, shared, ("sources", "source", &name), force).await
        }
        SourceVerb::Seek { name, position, partition } => {
            input::confirm(&format!("move source {name} to {position}"), shared.yes)?;
            let position = Value::text(position);
            let body = match &partition {
                Some(partition) => {
                    Value::object([("positions", Value::object([(partition.as_str(), position)]))])
                }
                None => Value::object([("position", position)]),
            };
            client.call(Method::POST, &["sources", &name, "seek"], &[], Body::Json(body)).await?;
            output::note(&format!("{name}: moved; see it with: tidemill source show {name}"));
            Ok(OK)
        }
        SourceVerb::Next { name, count } => {
            let count = count.to_string();
            let told = client.get(&["sources", &name, "next"], &[("times", count.as_str())]).await?;
            let times = told.get("times").and_then(Value::as_array).unwrap_or_default();
            output::list(shared.output, times, &[("NEXT", "/time"), ("LOCAL", "/local")]);
            Ok(OK)
        }
        SourceVerb::Backfill { name, since, until, dry_run } => {
            let until = until.map(|until| ("until", Value::text(until)));
            let range = Value::object([("since", Value::text(since))].into_iter().chain(until));
            let query: &[(&str, &str)] = if dry_run { &[("dryRun", "true")] } else { &[] };
            let path = ["sources", name.as_str(), "backfill"];
            let told = client.call(Method::POST, &path, query, Body::Json(range)).await?.body;
            output::object(shared.output, &told, if dry_run { "/instants" } else { "/accepted" });
            Ok(OK)
        }
    }
}

pub(super) async fn function(verb: FunctionVerb, shared: &Shared) -> Outcome {
    let client = Client::new(shared)?;
    match verb {
        FunctionVerb::List => list(&client, shared, "functions", FUNCTIONS).await,
        FunctionVerb::Show { name } => show(&client, shared, &["functions", &name]).await,
        FunctionVerb::Instances { name } => {
            let items = client.list(&["functions", &name, "instances"], &[], usize::MAX).await?;
            let columns: &[Column] =
                &[("ID", "/id"), ("VERSION", "/version"), ("STATE", "/state"), ("SINCE", "/startedAt")];
            output::list(shared.output, &items, columns);
            Ok(OK)
        }
        FunctionVerb::Alias { name, alias: None, .. } => {
            let items = client.list(&["functions", &name, "aliases"], &[], usize::MAX).await?;
            let columns: &[Column] =
                &[("ALIAS", "/alias"), ("WEIGHTS", "/weights"), ("UPDATED", "/updatedAt")];
            output::list(shared.output, &items, columns);
            Ok(OK)
        }
        FunctionVerb::Alias { name, alias: Some(alias), weights } => {
            let segments = ["functions", &name, "aliases", &alias];
            let shown = if weights.is_empty() {
                client.get(&segments, &[]).await?
            } else {
                let body = Value::object([("weights", shares(&weights)?)]);
                client.call(Method::PUT, &segments, &[], Body::Json(body)).await?.body
            };
            output::object(shared.output, &shown, "/alias");
            Ok(OK)
        }
    }
}

/// `VERSION=WEIGHT` pairs as an object.
fn shares(pairs: &[String]) -> Result<Value, Failure> {
    let read = |pair: &String| {
        let (version, weight) = pair.split_once('=')?;
        Some((version.to_owned(), Value::from(weight.parse::<i64>().ok()?)))
    };
    let wrong = |pair: &String| {
        let failure = Failure::new(USAGE, format!("read the weight `{pair}`"));
        failure.try_next("VERSION=WEIGHT, for example 1=95 2=5")
    };
    let pairs = pairs.iter().map(|pair| read(pair).ok_or_else(|| wrong(pair)));
    Ok(Value::object(pairs.collect::<Result<Vec<_>, _>>()?))
}

pub(super) async fn buffer(verb: BufferVerb, shared: &Shared) -> Outcome {
    let client = Client::new(shared)?;
    match verb {
        BufferVerb::List => list(&client, shared, "buffers", BUFFERS).await,
        BufferVerb::Show { trigger } => {
            output::object(shared.output, &client.get(&["buffers", &trigger], &[]).await?, "/trigger");
            Ok(OK)
        }
    }
}

pub(super) async fn secret(verb: SecretVerb, shared: &Shared) -> Outcome {
    let client = Client::new(shared)?;
    match verb {
        SecretVerb::List => {
            list(&client, shared, "secrets", &[("NAME", "/name"), ("UPDATED", "/updatedAt")]).await
        }
        SecretVerb::Delete { name } => delete(&client, shared, ("secrets", "secret", &name), false).await,
        SecretVerb::Set { name, from } => {
            let value = input::secret(&input::read(&from)?);
            client.call(Method::PUT, &["secrets", &name], &[], Body::Json(value)).await?;
            output::note(&format!("secret {name}: written; it is used from the next call on"));
            Ok(OK)
        }
    }
}

async fn list(client: &Client, shared: &Shared, kind: &str, columns: &[Column]) -> Outcome {
    let items = client.list(&[kind], &[], usize::MAX).await?;
    output::list(shared.output, &items, columns);
    Ok(OK)
}

async fn show(client: &Client, shared: &Shared, path: &[&str]) -> Outcome {
    output::object(shared.output, &client.get(path, &[]).await?, "/metadata/name");
    Ok(OK)
}

async fn turn(client: &Client, (kind, name): (&str, &str), verb: &str) -> Outcome {
    client.call(Method::POST, &[kind, name, verb], &[], Body::None).await?;
    output::note(&format!("{name}: {verb}d"));
    Ok(OK)
}

async fn delete(
    client: &Client,
    shared: &Shared,
    (kind, word, name): (&str, &str, &str),
    force: bool,
) -> Outcome {
    input::confirm(&format!("delete {word} {name}"), shared.yes)?;
    let query: &[(&str, &str)] = if force { &[("force", "true")] } else { &[] };
    let answer = client.call(Method::DELETE, &[kind, name], query, Body::None).await?;
    if answer.status == 202 {
        output::note(&format!(
            "{word} {name}: fires no more; it goes when its entry at the source is gone (`tidemill {word} show {name}`); --force leaves the entry there"
        ));
    } else {
        output::note(&format!("{word} {name}: deleted"));
    }
    Ok(OK)
}
