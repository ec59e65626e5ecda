//! What definitions and operator business mean.
//!
//! Owns rows that change rarely. Removal has a file of its own.

use super::retention;
use super::state::State;
use super::table::Table;
use crate::batch::{Committed, Definition, DefinitionChange, DefinitionKind, OperatorChange};

pub(super) fn definition(state: &mut State, change: &DefinitionChange) {
    match change {
        DefinitionChange::Put(new) => {
            if new.current {
                retire(state, new.kind, |d| {
                    same_name(d, &new.namespace, &new.name)
                        && d.version == new.version
                        && d.digest != new.digest
                });
            }
            let key = (new.kind, new.namespace.clone(), new.name.clone(), new.version.clone(), new.digest);
            state.definitions.put(key, new.clone());
        }
        DefinitionChange::Delete { kind, namespace, name, version } => retire(state, *kind, |d| {
            same_name(d, namespace, name) && (version.is_empty() || d.version == *version)
        }),
        DefinitionChange::Pause { kind, namespace, name, paused } => {
            let keys: Vec<_> = state
                .definitions
                .iter()
                .filter(|(_, d)| d.kind == *kind && same_name(d, namespace, name) && d.current)
                .map(|(key, _)| key.clone())
                .collect();
            for key in keys {
                state.definitions.change(&key, |d| d.paused = *paused);
            }
        }
    }
}

fn same_name(d: &Definition, namespace: &str, name: &str) -> bool {
    *d.namespace == *namespace && *d.name == *name
}

/// Workflow revisions stay, not current; everything else goes.
fn retire(state: &mut State, kind: DefinitionKind, which: impl Fn(&Definition) -> bool) {
    if kind != DefinitionKind::Workflow {
        state.definitions.delete_where(|_, d| d.kind == kind && which(d));
        return;
    }
    let rows = state.definitions.iter();
    let keys: Vec<_> =
        rows.filter(|(_, d)| d.kind == kind && d.current && which(d)).map(|(key, _)| key.clone()).collect();
    for key in keys {
        state.definitions.change(&key, |d| d.current = false);
    }
}

pub(super) fn operator(state: &mut State, change: &OperatorChange, out: &mut Committed) {
    match change {
        OperatorChange::Namespace { namespace, text, at } => {
            let first = state.namespaces.get(namespace).map_or(*at, |(_, first)| *first);
            state.namespaces.put(namespace.clone(), (text.clone(), first));
        }
        OperatorChange::DropNamespace { namespace, rows } => {
            out.more = retention::drop_namespace(state, namespace, *rows);
        }
        OperatorChange::Secret { namespace, name, sealed, at } => {
            let key = (namespace.clone(), name.clone());
            put_or_delete(&mut state.secrets, key, sealed.clone().map(|bytes| (bytes, *at)));
        }
        OperatorChange::Work { id, body } => put_or_delete(&mut state.works, id.clone(), body.clone()),
        OperatorChange::Checkpoint { namespace, checkpoint: c } => {
            let key = (namespace.clone(), c.source.clone(), c.partition.clone());
            put_or_delete(&mut state.checkpoints, key, (!c.value.is_empty()).then(|| c.value.clone()));
        }
        OperatorChange::Retain { spans, rows } => {
            out.more = retention::retain(state, spans, *rows);
        }
        OperatorChange::Meta { key, value } => state.meta.put(key.clone(), value.clone()),
    }
}

fn put_or_delete<K: Ord + Clone, V: Clone>(table: &mut Table<K, V>, key: K, row: Option<V>) {
    match row {
        Some(row) => table.put(key, row),
        None => drop(table.delete(&key)),
    }
}
