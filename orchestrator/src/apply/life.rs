//! Removing, pausing, and namespaces: definitions after they were applied.

use std::sync::Arc;

use tidemill_dsl::ids::Namespace;
use tidemill_dsl::manifest::{self, Manifest, Target};
use tidemill_store::{Batch, Class, Definition, DefinitionChange, DefinitionKind, OperatorChange, Part};

use crate::buffer::submit;
use crate::catalog::{ManifestEntry, Space};
use crate::error::Error;
use crate::rooms::Rooms;

/// Removes a definition; a workflow's or function's triggers go with it.
pub async fn delete(
    rooms: &Rooms,
    namespace: &Namespace,
    (kind, name, version): (DefinitionKind, &str, &str),
) -> Result<(), Error> {
    let _writing = rooms.catalog.writing.lock().await;
    let mut draft = rooms.catalog.space(namespace).draft();
    if !draft.remove(kind, name, version) {
        let what = match kind {
            DefinitionKind::Workflow => "workflow",
            DefinitionKind::Source => "source",
            DefinitionKind::Trigger => "trigger",
            DefinitionKind::Function => "function",
            DefinitionKind::Connection => "connection",
            DefinitionKind::Queue => "queue",
        };
        return Err(Error::not_found(what, name));
    }
    let gone = |kind, name: &str, version: &str| DefinitionChange::Delete {
        kind,
        namespace: namespace.clone(),
        name: name.into(),
        version: version.into(),
    };
    let mut changes = vec![gone(kind, name, version)];
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
    Ok(())
}

fn targets(trigger: &manifest::Trigger, kind: DefinitionKind, name: &str, draft: &Space) -> bool {
    match (&trigger.target, kind) {
        (Target::Workflow { name: n, version }, DefinitionKind::Workflow) => {
            **n == *name && draft.workflow(n, version.as_deref()).is_none()
        }
        (Target::Function { name: n, .. }, DefinitionKind::Function) => **n == *name,
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
