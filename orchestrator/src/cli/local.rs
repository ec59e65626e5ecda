//! Definitions of files applied within this process: what `dev` and `run` do without an API.
//!
//! Owns the order of namespaces and the places of mistakes; judging is `apply`'s.

use std::sync::Arc;

use tidemill_dsl::diagnostic::Diagnostic;
use tidemill_dsl::ids::Namespace;

use super::definitions::{Definitions, Found, namespace_of};
use crate::apply::{self, Applied, Change};
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

/// Applies everything, namespace by namespace, each all or nothing.
pub(super) async fn apply(rooms: &Rooms, set: &Definitions, fallback: &str) -> Result<Done, Refused> {
    if !set.unreadable.is_empty() {
        return Err(Refused::Mistakes(set.unreadable.clone()));
    }
    let mut done = Done::default();
    for namespace in set.namespaces(fallback) {
        let bundle = set.bundle(|node| namespace_of(node).unwrap_or(fallback) == namespace);
        let space: Namespace = namespace.as_str().into();
        let request = apply::Request {
            namespace: &space,
            text: &bundle.text,
            dry_run: false,
            expected: None,
            matching: None,
        };
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

/// What the documents define that can be removed again: namespace, kind, name.
pub(super) type Name = (Namespace, &'static str, Arc<str>);

/// Removes what was defined before and is no longer.
pub(super) async fn remove(rooms: &Rooms, names: &[Name]) -> Vec<String> {
    use tidemill_store::DefinitionKind as Kind;
    let mut told = Vec::new();
    let all = [Kind::Trigger, Kind::Source, Kind::Workflow, Kind::Function, Kind::Connection, Kind::Queue];
    for kind in all {
        for (namespace, word, name) in names.iter().filter(|(_, word, _)| *word == apply::word(kind)) {
            let removal =
                apply::Removal { kind, name, version: "", matching: None, dry_run: false, force: false };
            match apply::delete(rooms, namespace, removal).await {
                Ok(_) => told.push(format!("deleted {word} {name}")),
                // A trigger goes with its target.
                Err(Error::NotFound { .. }) => {}
                Err(error) => told.push(format!("cannot delete {word} {name}: {error}")),
            }
        }
    }
    told
}
