//! Removing, pausing, and namespaces: definitions after they were applied.

use std::sync::Arc;

use tidemill_dsl::ids::Namespace;
use tidemill_dsl::manifest::{self, Manifest, Target};
use tidemill_store::{Batch, Class, Definition, DefinitionChange, DefinitionKind, OperatorChange, Part};

use super::Match;
use crate::buffer::submit;
use crate::catalog::{ManifestEntry, Space};
use crate::error::Error;
use crate::relations;
use crate::retention;
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
    /// Do not wait for what it has at its source: that is left there.
    pub force: bool,
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

/// Whether a removal is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// It is gone.
    Now,
    /// It, or a trigger that goes with it, goes when its source has let go of it.
    Later,
}

/// Removes a definition; a workflow's or function's triggers go with it, and a function's aliases. What has entries at
/// a source fires no more from now on, and goes after them; by force it goes at once and leaves them.
pub async fn delete(rooms: &Rooms, namespace: &Namespace, removal: Removal<'_>) -> Result<Removed, Error> {
    let _writing = rooms.catalog.writing.lock().await;
    let space = rooms.catalog.space(namespace);
    let mut draft = space.draft();
    let Removal { kind, name, version, force, .. } = removal;
    let current = current(&space, &removal).ok_or_else(|| Error::not_found(what(kind), name))?;
    Match::check(removal.matching.as_ref(), Some(current))?;
    if removal.dry_run {
        return Ok(Removed::Now);
    }
    draft.remove(kind, name, version);
    let mut gone: Vec<(DefinitionKind, Arc<str>, &str)> = vec![(kind, name.into(), version)];
    if kind == DefinitionKind::Function {
        gone.push((DefinitionKind::Alias, name.into(), ""));
    }
    for entry in draft.manifests(DefinitionKind::Trigger) {
        if let Manifest::Trigger(trigger) = &*entry.manifest
            && targets(trigger, kind, name, &draft)
        {
            gone.push((DefinitionKind::Trigger, entry.definition.name.clone(), ""));
        }
    }
    let (mut changes, mut marks) = (Vec::new(), Vec::new());
    let mut removed = Removed::Now;
    for (kind, name, version) in gone {
        let held = space.manifest(kind, &name).filter(|_| relations::is_held(&space, kind, &name));
        let mark = relations::deletion_id(namespace, kind, &name);
        if force && space.is_deleting(kind, &name) {
            marks.extend(mark.clone().map(|id| OperatorChange::Work { id, body: None }));
        }
        if let (Some(entry), Some(id)) = (held.filter(|_| !force), mark) {
            removed = Removed::Later;
            draft.put_manifest(entry.clone());
            draft.mark_deleting(kind, &name);
            marks.push(OperatorChange::Work { id, body: Some(b"{}".to_vec()) });
        } else {
            draft.remove(kind, &name, version);
            let (namespace, version) = (namespace.clone(), version.into());
            changes.push(DefinitionChange::Delete { kind, namespace, name, version });
        }
    }
    let parts = vec![Part::Operator(marks), Part::Definitions(changes)];
    submit(rooms, Batch { class: Class::Running, parts }).await?;
    rooms.catalog.swap(namespace, Some(draft));
    rooms.dispatch.sync(rooms);
    Ok(removed)
}

/// Ends a removal: the source has let go.
pub(crate) async fn finish(
    rooms: &Rooms,
    namespace: &Namespace,
    (kind, name): (DefinitionKind, &str),
) -> Result<(), Error> {
    let _writing = rooms.catalog.writing.lock().await;
    let mut draft = rooms.catalog.space(namespace).draft();
    if !draft.is_deleting(kind, name) {
        return Ok(());
    }
    draft.remove(kind, name, "");
    let mark =
        relations::deletion_id(namespace, kind, name).map(|id| OperatorChange::Work { id, body: None });
    let (namespace, name, version) = (namespace.clone(), name.into(), "".into());
    let change = DefinitionChange::Delete { kind, namespace: namespace.clone(), name, version };
    let parts = vec![Part::Operator(mark.into_iter().collect()), Part::Definitions(vec![change])];
    submit(rooms, Batch { class: Class::Running, parts }).await?;
    rooms.catalog.swap(&namespace, Some(draft));
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
    rooms.catalog.gone(namespace).await?;
    let _writing = rooms.catalog.writing.lock().await;
    make_namespace(rooms, namespace, text).await?;
    // What its calls may reach counts from the next call on.
    rooms.dispatch.sync(rooms);
    Ok(())
}

/// Removes a namespace and everything of it: hidden with the first commit, then removed slice by slice, over restarts
/// too. Answers when it is gone, or after a while all the same.
pub async fn delete_namespace(rooms: &Arc<Rooms>, namespace: &Namespace) -> Result<(), Error> {
    {
        let _writing = rooms.catalog.writing.lock().await;
        let Some(space) = rooms.catalog.existing(namespace) else {
            return Err(Error::not_found("namespace", &**namespace));
        };
        let sources = space.manifests(DefinitionKind::Source);
        if let Some(held) = sources.iter().find(|entry| relations::is_two_way(&space, &entry.definition.name))
        {
            let name = &held.definition.name;
            let detail = format!(
                "remove the namespace: the Source `{name}` has entries at its server; remove it first"
            );
            return Err(Error::conflict("source-held", detail));
        }
        let parts = vec![Part::Operator(vec![retention::removal(namespace, true)])];
        submit(rooms, Batch { class: Class::Running, parts }).await?;
        rooms.catalog.remove(namespace);
    }
    tokio::spawn(retention::remove(rooms.clone(), namespace.clone()));
    // What takes longer than that goes on by itself.
    let _ = rooms.catalog.gone(namespace).await;
    Ok(())
}
