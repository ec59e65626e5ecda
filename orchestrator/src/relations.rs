//! twoWay: rules here and their entries at the source, joined by the trigger's name (events-and-triggers.md section 1).
//!
//! Owns which rules a source must keep entries for, how they compare, and the end of what is being deleted: a trigger
//! or Source with entries at the source is gone here only after they are gone there. Speaks no protocol.

use std::sync::Arc;

use tidemill_connectors::{Reconciled, Relation, Rules, SyncState};
use tidemill_dsl::ids::Namespace;
use tidemill_dsl::manifest::{Integration, Manifest};
use tidemill_store::DefinitionKind;

use crate::apply;
use crate::catalog::{Space, TriggerEntry};
use crate::rooms::Rooms;
use crate::sources::Sources;

/// The rules that want a source's events: its triggers that are enabled, not paused and not being deleted.
pub fn rules(space: &Space, source: &str, open: bool) -> Rules {
    let is_going = space.is_deleting(DefinitionKind::Source, source);
    let own = space.triggers().filter(|trigger| !is_going && is_of(trigger, source) && is_enabled(trigger));
    Rules { wanted: own.map(|trigger| (trigger.name.clone(), trigger.generation)).collect(), open }
}

fn is_of(trigger: &TriggerEntry, source: &str) -> bool {
    trigger.spec.source.as_deref() == Some(source)
}

fn is_enabled(trigger: &TriggerEntry) -> bool {
    trigger.spec.enabled && !trigger.paused
}

/// Whether an enabled rule wants a source's events.
pub fn has_rule(space: &Space, source: &str) -> bool {
    space.triggers().any(|trigger| is_of(trigger, source) && is_enabled(trigger))
}

/// Whether a Source keeps entries at its other end.
pub fn is_two_way(space: &Space, source: &str) -> bool {
    let entry = space.manifest(DefinitionKind::Source, source);
    entry.is_some_and(|entry| {
        matches!(&*entry.manifest, Manifest::Source(s) if s.kind.integration() == Integration::TwoWay)
    })
}

/// Whether a definition may have entries at a source, which must go before it.
pub fn is_held(space: &Space, kind: DefinitionKind, name: &str) -> bool {
    match kind {
        DefinitionKind::Source => is_two_way(space, name),
        DefinitionKind::Trigger => {
            let source = space.trigger(name).and_then(|trigger| trigger.spec.source.as_deref());
            source.is_some_and(|source| is_two_way(space, source))
        }
        _ => false,
    }
}

/// What the stored marks of deletions begin with.
const DELETING: &str = "deleting/";

/// The id under which a deletion is noted in the store.
pub(crate) fn deletion_id(namespace: &str, kind: DefinitionKind, name: &str) -> Option<Arc<str>> {
    let kind = match kind {
        DefinitionKind::Source => "source",
        DefinitionKind::Trigger => "trigger",
        _ => return None,
    };
    Some(format!("{DELETING}{namespace}/{kind}/{name}").into())
}

/// What a stored mark says: namespace, kind and name.
pub(crate) fn deletion(id: &str) -> Option<(&str, DefinitionKind, &str)> {
    let mut parts = id.strip_prefix(DELETING)?.splitn(3, '/');
    let (namespace, kind, name) = (parts.next()?, parts.next()?, parts.next()?);
    let kind = match kind {
        "source" => DefinitionKind::Source,
        "trigger" => DefinitionKind::Trigger,
        _ => return None,
    };
    Some((namespace, kind, name))
}

/// Whether something of a twoWay source is being deleted, so that it must run though it is paused.
pub fn must_clear(space: &Space, source: &str) -> bool {
    let is_going = |trigger: &Arc<TriggerEntry>| {
        is_of(trigger, source) && space.is_deleting(DefinitionKind::Trigger, &trigger.name)
    };
    is_two_way(space, source)
        && (space.is_deleting(DefinitionKind::Source, source) || space.triggers().any(is_going))
}

/// How a trigger's rule and its entry compare, and the generation that was compared.
pub fn sync(space: &Space, sources: &Sources, trigger: &TriggerEntry) -> (&'static str, u64) {
    let in_sync = (SyncState::InSync.word(), trigger.generation);
    let Some(source) = trigger.spec.source.as_deref() else {
        return in_sync;
    };
    if space.manifest(DefinitionKind::Source, source).is_none() {
        return (SyncState::Orphaned.word(), trigger.generation);
    }
    if !is_two_way(space, source) {
        return in_sync;
    }
    let found = sources.status(&trigger.namespace, source).and_then(|status| status.reconciled);
    let drifted = (SyncState::Drifted.word(), trigger.generation.saturating_sub(1));
    match found {
        Some(Reconciled::Unreachable) => ("unreachable", drifted.1),
        Some(Reconciled::Seen { relations, .. }) => match relations.iter().find(|r| is_own(r, &trigger.name))
        {
            Some(own) if own.generation.is_some() => (own.sync.word(), own.generation.unwrap_or_default()),
            Some(_) => drifted,
            None if is_enabled(trigger) => drifted,
            None => in_sync,
        },
        None => drifted,
    }
}

fn is_own(relation: &Relation, trigger: &str) -> bool {
    relation.sync != SyncState::Foreign && *relation.id == *trigger
}

/// Ends what is being deleted as soon as nothing of it is left at its source. Runs until aborted.
pub async fn run(rooms: Arc<Rooms>, sources: Arc<Sources>) {
    let mut changed = rooms.catalog.watch();
    let told = sources.told.clone();
    loop {
        let mut next = std::pin::pin!(told.notified());
        next.as_mut().enable();
        for (namespace, space) in rooms.catalog.spaces() {
            for (kind, name) in space.deleting() {
                if is_cleared(&space, &sources, (&namespace, *kind, name))
                    && let Err(error) = apply::finish(&rooms, &namespace, (*kind, name)).await
                {
                    tracing::warn!(%error, %name, "cannot end a deletion; it is tried again");
                }
            }
        }
        tokio::select! {
            () = next => {}
            gone = changed.changed() => if gone.is_err() { return; },
        }
    }
}

fn is_cleared(
    space: &Space,
    sources: &Sources,
    (namespace, kind, name): (&Namespace, DefinitionKind, &Arc<str>),
) -> bool {
    if !is_held(space, kind, name) {
        return true;
    }
    let source = match kind {
        DefinitionKind::Trigger => space.trigger(name).and_then(|trigger| trigger.spec.source.clone()),
        _ => Some(name.clone()),
    };
    let status = source.and_then(|source| sources.status(namespace, &source));
    match status.and_then(|status| status.reconciled) {
        Some(Reconciled::Seen { relations, .. }) if kind == DefinitionKind::Trigger => {
            !relations.iter().any(|relation| is_own(relation, name))
        }
        Some(Reconciled::Seen { relations, open }) => {
            !open && relations.iter().all(|relation| relation.sync == SyncState::Foreign)
        }
        Some(Reconciled::Unreachable) | None => false,
    }
}
