//! Definitions of files applied within this process: what `dev` and `run` do without an API.
//!
//! Secrets of manifests are read here and kept in memory only, as they are read again with each start.

use std::path::Path;
use std::sync::Arc;

use tidemill_dsl::diagnostic::{Diagnostic, Severity};
use tidemill_dsl::ids::Namespace;
use tidemill_dsl::manifest::{self, Manifest, SecretOrigin};
use tidemill_dsl::value::Value;
use tidemill_dsl::yaml::Node;

use super::definitions::{Definitions, Found, namespace_of};
use super::input;
use crate::apply::{self, Applied, Change};
use crate::config::Environment;
use crate::error::Error;
use crate::rooms::Rooms;

/// What was applied.
#[derive(Default)]
pub(super) struct Done {
    /// Namespace and result, in order.
    pub(super) results: Vec<(Namespace, Applied)>,
    /// Warnings at their places.
    pub(super) warnings: Vec<Found>,
}

/// Why it was not.
pub(super) enum Refused {
    /// Mistakes at their places.
    Mistakes(Vec<Found>),
    /// Another reason.
    Failed(Error),
}

impl Done {
    /// The lines that tell what changed.
    pub(super) fn lines(&self) -> Vec<String> {
        let changed = self.results.iter().filter(|(_, result)| result.change != Change::Unchanged);
        let line = |(namespace, result): &(Namespace, Applied)| {
            let version = result.version.as_ref().map(|version| format!(":{version}")).unwrap_or_default();
            let place = if **namespace == *"default" { String::new() } else { format!(" in {namespace}") };
            format!("{} {} {}{version}{place}", result.change.word(), result.kind, result.name)
        };
        changed.map(line).collect()
    }
}

/// Applies everything, namespace by namespace, each all or nothing. `dir` is where files of secrets are looked for.
pub(super) async fn apply(rooms: &Rooms, set: &Definitions, fallback: &str, dir: &Path) -> Result<Done, Refused> {
    if !set.unreadable.is_empty() {
        return Err(Refused::Mistakes(set.unreadable.clone()));
    }
    keep_secrets(rooms, set, fallback, dir)?;
    let mut done = Done::default();
    for namespace in set.namespaces(fallback) {
        let own = |node: &Node| namespace_of(node).unwrap_or(fallback) == namespace && !is_secret(node);
        let bundle = set.bundle(own);
        if bundle.text.is_empty() {
            continue;
        }
        let space: Namespace = namespace.as_str().into();
        let request =
            apply::Request { namespace: &space, text: &bundle.text, dry_run: false, expected: None, matching: None };
        let place = |found: Vec<Diagnostic>| found.into_iter().map(|d| bundle.place(d)).collect::<Vec<_>>();
        match apply::apply(rooms, request).await {
            Ok(outcome) => {
                done.warnings.extend(place(outcome.warnings));
                done.results.extend(outcome.results.into_iter().map(|result| (space.clone(), result)));
            }
            Err(Error::Refused(found)) => return Err(Refused::Mistakes(place(found))),
            Err(error) => return Err(Refused::Failed(error)),
        }
    }
    Ok(done)
}

fn is_secret(node: &Node) -> bool {
    node.get("document").is_none() && node.get("kind").and_then(Node::as_str) == Some("Secret")
}

fn keep_secrets(rooms: &Rooms, set: &Definitions, fallback: &str, dir: &Path) -> Result<(), Refused> {
    let environment = Environment::of_process();
    let mut found = Vec::new();
    for document in set.documents.iter().filter(|document| is_secret(&document.node)) {
        let text = &set.files[document.file].text;
        let (read, own) = manifest::check(&document.node, text, fallback);
        found.extend(own.into_iter().filter(|d| d.severity == Severity::Error).map(|d| (document.file, d)));
        let Some(Manifest::Secret(secret)) = read else { continue };
        match value_of(&secret.origin, &environment, dir) {
            Ok(value) => rooms.secrets.put(&secret.meta.namespace, &secret.meta.name, Some(value), (rooms.clock)()),
            Err(why) => {
                let place = document.node.get("spec").map_or(document.node.span, |spec| spec.span);
                let told = Diagnostic::error(tidemill_dsl::codes::WRONG_VALUE, place, why).at("/spec");
                found.push((document.file, told.help("set it, or give the secret another origin")));
            }
        }
    }
    if found.is_empty() { Ok(()) } else { Err(Refused::Mistakes(found)) }
}

fn value_of(origin: &SecretOrigin, environment: &Environment, dir: &Path) -> Result<Value, String> {
    match origin {
        SecretOrigin::Value(value) => Ok(value.clone()),
        SecretOrigin::Env(name) => match environment.get(name) {
            Some(text) => Ok(input::secret(text)),
            None => Err(format!("the environment variable `{name}` is not set")),
        },
        SecretOrigin::File(path) => match std::fs::read_to_string(dir.join(&**path)) {
            Ok(text) => Ok(input::secret(&text)),
            Err(error) => Err(format!("the file `{path}` cannot be read: {error}")),
        },
    }
}

/// What the documents define that can be removed again: namespace, kind, name.
pub(super) type Name = (Namespace, &'static str, Arc<str>);

/// Removes what was defined before and is no longer.
pub(super) async fn remove(rooms: &Rooms, names: &[Name]) -> Vec<String> {
    use tidemill_store::DefinitionKind as Kind;
    let mut told = Vec::new();
    let all = [Kind::Trigger, Kind::Source, Kind::Workflow, Kind::Function, Kind::Connection, Kind::Queue];
    for kind in all {
        for (namespace, word, name) in names.iter().filter(|(_, word, _)| *word == apply::word(kind)) {
            match apply::delete(rooms, namespace, (kind, name, "")).await {
                Ok(()) => told.push(format!("deleted {word} {name}")),
                // A trigger goes with its target.
                Err(Error::NotFound { .. }) => {}
                Err(error) => told.push(format!("cannot delete {word} {name}: {error}")),
            }
        }
    }
    told
}
