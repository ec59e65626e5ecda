//! Putting a checked document into the draft of a namespace: what changes, and into which version.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tidemill_dsl::ids::Namespace;
use tidemill_dsl::manifest::{self, Integration, Link, Manifest, MinioSource, SourceKind};
use tidemill_dsl::program::Program;
use tidemill_dsl::value::Value;
use tidemill_store::{Definition, DefinitionChange, DefinitionKind};

use super::{Applied, Change, Document, Match, Read, Request, kind_of, word};
use crate::catalog::{ManifestEntry, Mode, Space, WorkflowEntry, lowered_repair, lowered_text};
use crate::error::Error;
use crate::rooms::Rooms;

/// Puts a document into the draft and notes the change, if any.
pub(super) fn place(
    rooms: &Rooms,
    request: &Request<'_>,
    document: &Document,
    draft: &mut Space,
    changes: &mut Vec<DefinitionChange>,
) -> Result<Applied, Error> {
    match &document.read {
        Read::Workflow(program) => place_workflow(rooms, request, (document, program), draft, changes),
        Read::Manifest(manifest) => match kind_of(manifest) {
            Some(kind) => place_manifest(rooms, request, (document, manifest, kind), draft, changes),
            None if matches!(**manifest, Manifest::Namespace(_)) => {
                draft.text = document.text.clone();
                Ok(applied(manifest.kind(), manifest.name().clone(), None, Change::Updated, [0; 32]))
            }
            None => {
                let detail = format!("apply a {}: this release does not take it in apply", manifest.kind());
                Err(Error::bad("kind-unsupported", detail))
            }
        },
    }
}

/// The value of a Secret manifest: in place, from the server's environment, or from a file the server reads.
pub(super) fn secret_value(secret: &manifest::SecretManifest) -> Result<Value, Error> {
    let name = &secret.meta.name;
    let as_value =
        |text: String| Value::parse(text.trim().as_bytes()).unwrap_or_else(|_| Value::text(text.trim_end()));
    match &secret.origin {
        manifest::SecretOrigin::Value(value) => Ok(value.clone()),
        manifest::SecretOrigin::Env(variable) => {
            crate::config::variable(variable).map(as_value).ok_or_else(|| {
                let detail =
                    format!("read secret `{name}`: the server has no environment variable `{variable}`");
                Error::Unprocessable { code: "secret-absent", detail }
            })
        }
        manifest::SecretOrigin::File(path) => std::fs::read_to_string(&**path).map(as_value).map_err(|e| {
            let detail = format!("read secret `{name}` from `{path}`: {e}");
            Error::Unprocessable { code: "secret-absent", detail }
        }),
    }
}

pub(super) fn applied(
    kind: &'static str,
    name: Arc<str>,
    version: Option<Arc<str>>,
    change: Change,
    digest: [u8; 32],
) -> Applied {
    Applied { kind, name, version, change, digest }
}

fn place_workflow(
    rooms: &Rooms,
    request: &Request<'_>,
    (document, program): (&Document, &Arc<Program>),
    draft: &mut Space,
    changes: &mut Vec<DefinitionChange>,
) -> Result<Applied, Error> {
    let about = &program.document;
    let current = draft.workflow(&about.name, Some(&about.version)).cloned();
    // A new version is written on what the workflow shows now: its highest one.
    let shown = current.as_ref().or_else(|| draft.workflow(&about.name, None));
    Match::check(request.matching.as_ref(), shown.map(|entry| entry.program.digest))?;
    let change = match &current {
        Some(c) if c.program.digest == program.digest => Change::Unchanged,
        Some(_) if rooms.catalog.mode == Mode::Serve => {
            let detail = format!(
                "version {} of workflow `{}` exists with another text; give the changed text a new version",
                about.version, about.name
            );
            return Err(Error::conflict("version-exists", detail));
        }
        Some(_) => Change::Updated,
        None => Change::Created,
    };
    if change != Change::Unchanged {
        let definition = Definition {
            kind: DefinitionKind::Workflow,
            namespace: request.namespace.clone(),
            name: about.name.clone(),
            version: about.version.clone(),
            text: document.text.clone(),
            digest: program.digest,
            generation: current.map_or(1, |c| c.definition.generation + 1),
            at: (rooms.clock)(),
            current: true,
            paused: false,
        };
        changes.push(DefinitionChange::Put(definition.clone()));
        draft.put_workflow(WorkflowEntry { definition: Arc::new(definition), program: program.clone() });
    }
    Ok(applied("Workflow", about.name.clone(), Some(about.version.clone()), change, program.digest))
}

fn place_manifest(
    rooms: &Rooms,
    request: &Request<'_>,
    (document, manifest, kind): (&Document, &Manifest, DefinitionKind),
    draft: &mut Space,
    changes: &mut Vec<DefinitionChange>,
) -> Result<Applied, Error> {
    let name = manifest.name().clone();
    let digest: [u8; 32] = Sha256::digest(manifest.to_value().to_json()).into();
    let current = draft.manifest(kind, &name).cloned();
    if draft.is_deleting(kind, &name) {
        let detail = format!("write the {} `{name}`: it is being deleted; see its status", word(kind));
        return Err(Error::conflict("deleting", detail));
    }
    if let (Manifest::Source(new), Some(Manifest::Source(old))) =
        (manifest, current.as_ref().map(|c| &*c.manifest))
        && let Some(detail) = moved(old, new)
    {
        return Err(Error::conflict("source-moved", detail));
    }
    Match::check(request.matching.as_ref(), current.as_ref().map(|c| c.definition.digest))?;
    let change = match &current {
        Some(c) if c.definition.digest == digest => Change::Unchanged,
        Some(_) => Change::Updated,
        None => Change::Created,
    };
    let number = |c: &ManifestEntry| c.definition.version.parse::<u32>().unwrap_or(0);
    let version: Arc<str> = match (kind, change, &current) {
        (DefinitionKind::Function, Change::Unchanged, Some(c)) => c.definition.version.clone(),
        (DefinitionKind::Function, _, Some(c)) => (number(c) + 1).to_string().into(),
        (DefinitionKind::Function, _, None) => "1".into(),
        _ => "".into(),
    };
    if change != Change::Unchanged {
        let definition = Definition {
            kind,
            namespace: request.namespace.clone(),
            name: name.clone(),
            version: version.clone(),
            text: document.text.clone(),
            digest,
            generation: current.as_ref().map_or(1, |c| c.definition.generation + 1),
            at: (rooms.clock)(),
            current: true,
            paused: current.as_ref().is_some_and(|c| c.definition.paused),
        };
        if let Manifest::Trigger(trigger) = manifest {
            changes.extend(lowered(rooms, request.namespace, trigger));
        }
        changes.push(DefinitionChange::Put(definition.clone()));
        draft.put_manifest(ManifestEntry {
            definition: Arc::new(definition),
            manifest: Arc::new(manifest.clone()),
        });
    }
    let version = Some(version).filter(|v| !v.is_empty());
    Ok(applied(word(kind), name, version, change, digest))
}

/// Why a twoWay source may not become the new one: its entries would be left where nobody looks for them.
fn moved(old: &manifest::Source, new: &manifest::Source) -> Option<String> {
    let SourceKind::Minio(was) = &old.kind else {
        return None;
    };
    let endpoint = |source: &MinioSource| match &source.connection {
        Link::Inline(connection) => connection.endpoint.clone(),
        Link::Named(name) => name.clone(),
    };
    let stays = match &new.kind {
        SourceKind::Minio(is) => {
            is.bucket == was.bucket
                && endpoint(is) == endpoint(was)
                && new.kind.integration() == old.kind.integration()
        }
        _ => false,
    };
    let is_two_way = old.kind.integration() == Integration::TwoWay;
    (is_two_way && !stays).then(|| {
        format!(
            "move the Source `{}`: it has entries at the bucket `{}`; remove it and apply it anew",
            old.meta.name, was.bucket
        )
    })
}

/// The one-task workflows of function targets are stored, not current, so that their executions find their revision.
fn lowered(
    rooms: &Rooms,
    namespace: &Namespace,
    trigger: &manifest::Trigger,
) -> impl Iterator<Item = DefinitionChange> {
    let at = (rooms.clock)();
    let namespace = namespace.clone();
    let texts = [lowered_text(&namespace, trigger), lowered_repair(&namespace, trigger)];
    texts.into_iter().flatten().filter_map(move |text| {
        let program = tidemill_dsl::workflow::check(&text).program?;
        Some(DefinitionChange::Put(Definition {
            kind: DefinitionKind::Workflow,
            namespace: namespace.clone(),
            name: program.document.name.clone(),
            version: program.document.version.clone(),
            text: text.into(),
            digest: program.digest,
            generation: 1,
            at,
            current: false,
            paused: false,
        }))
    })
}
