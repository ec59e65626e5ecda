//! Removing, pausing, and namespaces: definitions after they were applied.

use std::sync::Arc;

use tidemill_dsl::ids::Namespace;
use tidemill_dsl::manifest::{self, Manifest, Target};
use tidemill_store::{Batch, Class, Definition, DefinitionChange, DefinitionKind, OperatorChange, Part};

use super::Match;
use crate::buffer::submit;
use crate::catalog::{ManifestEntry, Space};
use crate::error::Error;
use crate::rooms::Rooms;

/// What to remove.
pub struct Removal<'a> {
    /// Its kind.
    pub kind: DefinitionKind,
    /// Its name.
    pub name: &'a str,
    /// Its version, "" for all; of an alias the alias.
    pub version: &'a str,
    /// `If-Match`.
    pub matching: Option<Match>,
    /// Only judge.
    pub dry_run: bool,
}

/// The word for a kind in what is told of things not found.
pub fn what(kind: DefinitionKind) -> &'static str {
    match kind {
        DefinitionKind::Workflow => "workflow",
        DefinitionKind::Source => "source",
        DefinitionKind::Trigger => "trigger",
        DefinitionKind::Function => "function",
        DefinitionKind::Connection => "connection",
        DefinitionKind::Queue => "queue",
        DefinitionKind::Alias => "alias",
    }
}

/// The digest of what is there now.
fn current(space: &Space, removal: &Removal<'_>) -> Option<[u8; 32]> {
    let Removal { kind, name, version, .. } = *removal;
    match kind {
        DefinitionKind::Workflow => {
            let version = Some(version).filter(|v| !v.is_empty());
            space.workflow(name, version).map(|entry| entry.program.digest)
        }
        DefinitionKind::Alias => space.alias(name, version).map(|entry| entry.definition.digest),
        _ => space.manifest(kind, name).map(|entry| entry.definition.digest),
    }
}

/// Removes a definition; a workflow's or function's triggers go with it, and a function's aliases.
pub async fn delete(rooms: &Rooms, namespace: &Namespace, removal: Removal<'_>) -> Result<(), Error> {
    let _writing = rooms.catalog.writing.lock().await;
    let mut draft = rooms.catalog.space(namespace).draft();
    let Removal { kind, name, version, .. } = removal;
    let current = current(&draft, &removal).ok_or_else(|| Error::not_found(what(kind), name))?;
    Match::check(removal.matching.as_ref(), Some(current))?;
    if removal.dry_run {
        return Ok(());
    }
    draft.remove(kind, name, version);
    let gone = |kind, name: &str, version: &str| DefinitionChange::Delete {
        kind,
        namespace: namespace.clone(),
        name: name.into(),
        version: version.into(),
    };
    let mut changes = vec![gone(kind, name, version)];
    if kind == DefinitionKind::Function {
        changes.push(gone(DefinitionKind::Alias, name, ""));
    }
    let orphaned: Vec<Arc<str>> = draft
        .manifests(DefinitionKind::Trigger)
        .into_iter()
        .filter_map(|entry| match &*entry.manifest {
            Manifest::Trigger(t) => targets(t, kind, name, &draft).then(|| entry.definition.name.clone()),
            _ => None,
        })
        .collect();
    for trigger in orphaned {
        draft.remove(DefinitionKind::Trigger, &trigger, "");
        changes.push(gone(DefinitionKind::Trigger, &trigger, ""));
    }
    submit(rooms, Batch { class: Class::Running, parts: vec![Part::Definitions(changes)] }).await?;
    rooms.catalog.swap(namespace, Some(draft));
    rooms.dispatch.sync(rooms);
    Ok(())
}

fn targets(trigger: &manifest::Trigger, kind: DefinitionKind, name: &str, draft: &Space) -> bool {
    match (&trigger.target, kind) {
        (Target::Workflow { name: n, version }, DefinitionKind::Workflow) => {
            **n == *name && draft.workflow(n, version.as_deref()).is_none()
        }
        (Target::Function { name: n, version }, DefinitionKind::Function | DefinitionKind::Alias) => {
            **n == *name && !draft.has_function(n, version.as_deref())
        }
        _ => false,
    }
}

/// Pauses or resumes a source or a trigger.
pub async fn pause(
    rooms: &Rooms,
    namespace: &Namespace,
    (kind, name): (DefinitionKind, &str),
    paused: bool,
) -> Result<(), Error> {
    let _writing = rooms.catalog.writing.lock().await;
    let mut draft = rooms.catalog.space(namespace).draft();
    let what = if kind == DefinitionKind::Source { "source" } else { "trigger" };
    let Some(entry) = draft.manifest(kind, name).cloned() else {
        return Err(Error::not_found(what, name));
    };
    if entry.definition.paused == paused {
        return Ok(());
    }
    let change = DefinitionChange::Pause { kind, namespace: namespace.clone(), name: name.into(), paused };
    submit(rooms, Batch { class: Class::Running, parts: vec![Part::Definitions(vec![change])] }).await?;
    let definition = Arc::new(Definition { paused, ..(*entry.definition).clone() });
    draft.put_manifest(ManifestEntry { definition, manifest: entry.manifest });
    rooms.catalog.swap(namespace, Some(draft));
    Ok(())
}

pub(super) fn namespace_change(rooms: &Rooms, namespace: &Namespace, text: &str) -> OperatorChange {
    OperatorChange::Namespace { namespace: namespace.clone(), text: text.into(), at: (rooms.clock)() }
}

/// Makes (or re-declares) a namespace. The caller holds the catalog's write lock.
pub(crate) async fn make_namespace(rooms: &Rooms, namespace: &Namespace, text: &str) -> Result<(), Error> {
    let mut draft = rooms.catalog.space(namespace).draft();
    let change = namespace_change(rooms, namespace, text);
    submit(rooms, Batch { class: Class::New, parts: vec![Part::Operator(vec![change])] }).await?;
    draft.text = text.into();
    rooms.catalog.swap(namespace, Some(draft));
    Ok(())
}

/// Declares a namespace.
pub async fn put_namespace(rooms: &Rooms, namespace: &Namespace, text: &str) -> Result<(), Error> {
    let _writing = rooms.catalog.writing.lock().await;
    make_namespace(rooms, namespace, text).await
}

/// Removes a namespace and everything of it.
pub async fn delete_namespace(rooms: &Rooms, namespace: &Namespace) -> Result<(), Error> {
    let _writing = rooms.catalog.writing.lock().await;
    if rooms.catalog.existing(namespace).is_none() {
        return Err(Error::not_found("namespace", &**namespace));
    }
    let change = OperatorChange::DropNamespace(namespace.clone());
    submit(rooms, Batch { class: Class::Running, parts: vec![Part::Operator(vec![change])] }).await?;
    rooms.catalog.swap(namespace, None);
    Ok(())
}
