//! Writing definitions: check the whole set, tell every mistake, commit all or nothing, then swap the catalog.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tidemill_dsl::diagnostic::{Diagnostic, Severity, Span};
use tidemill_dsl::ids::Namespace;
use tidemill_dsl::manifest::{self, Manifest, Overlap, Target};
use tidemill_dsl::program::Program;
use tidemill_dsl::value::Value;
use tidemill_dsl::yaml::{self, Node};
use tidemill_store::{Batch, Class, Definition, DefinitionChange, DefinitionKind, OperatorChange, Part};

use crate::buffer::submit;
use crate::catalog::{ManifestEntry, Mode, Space, WorkflowEntry, lowered_text};
use crate::error::Error;
use crate::rooms::Rooms;

/// What an apply did to one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// New.
    Created,
    /// Changed.
    Updated,
    /// As it was.
    Unchanged,
}

impl Change {
    /// The word of the API.
    pub fn word(self) -> &'static str {
        match self {
            Change::Created => "created",
            Change::Updated => "updated",
            Change::Unchanged => "unchanged",
        }
    }
}

/// One document of an apply.
#[derive(Clone, Debug)]
pub struct Applied {
    /// `Workflow`, `Trigger`, ...
    pub kind: &'static str,
    /// Name.
    pub name: Arc<str>,
    /// Version, where the kind has versions.
    pub version: Option<Arc<str>>,
    /// What it did.
    pub change: Change,
    /// Digest of its text, hex: the ETag.
    pub digest: [u8; 32],
}

/// An apply's answer.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Rises with each apply that changed something.
    pub revision: u64,
    /// One per document, in order.
    pub results: Vec<Applied>,
    /// Warnings; errors refuse.
    pub warnings: Vec<Diagnostic>,
}

/// What to apply.
pub struct Request<'a> {
    /// The path's namespace; documents must be of it.
    pub namespace: &'a Namespace,
    /// One or many documents, YAML or JSON.
    pub text: &'a str,
    /// Only judge.
    pub dry_run: bool,
    /// When the path names the document: its kind and name.
    pub expected: Option<(DefinitionKind, &'a str)>,
    /// `If-Match`: the digest the current one must have.
    pub matching: Option<[u8; 32]>,
}

enum Read {
    Workflow(Arc<Program>),
    Manifest(Box<Manifest>),
}

struct Document {
    read: Read,
    text: Arc<str>,
    span: Span,
}

/// Checks and applies.
pub async fn apply(rooms: &Rooms, request: Request<'_>) -> Result<Outcome, Error> {
    let nodes = yaml::parse_all(request.text).map_err(Error::Refused)?;
    let mut diagnostics = Vec::new();
    let mut documents = Vec::new();
    for node in &nodes {
        documents.extend(read(node, &request, &mut diagnostics));
    }
    if nodes.is_empty() {
        let span = Span { line: 1, column: 1, start: 0, end: 0 };
        diagnostics.push(
            Diagnostic::error("E0001", span, "there is no document").help("send a workflow or a manifest"),
        );
    }
    let _writing = rooms.catalog.writing.lock().await;
    let space = rooms.catalog.space(request.namespace);
    let mut draft = space.draft();
    let mut changes = Vec::new();
    let mut results = Vec::new();
    let mut secrets = Vec::new();
    for document in &documents {
        if let Read::Manifest(manifest) = &document.read
            && let Manifest::Secret(secret) = &**manifest
        {
            secrets.push((secret.meta.name.clone(), secret_value(secret)?));
            results.push(applied("Secret", secret.meta.name.clone(), None, Change::Updated, [0; 32]));
            continue;
        }
        results.push(place(rooms, &request, document, &mut draft, &mut changes)?);
    }
    refer(&documents, &draft, &mut diagnostics);
    let (errors, warnings): (Vec<_>, Vec<_>) =
        diagnostics.into_iter().partition(|d: &Diagnostic| d.severity == Severity::Error);
    if !errors.is_empty() {
        return Err(Error::Refused(errors));
    }
    let revision = *rooms.catalog.watch().borrow();
    let nothing = changes.is_empty() && secrets.is_empty() && draft.text == space.text;
    if request.dry_run || nothing && rooms.catalog.existing(request.namespace).is_some() {
        return Ok(Outcome { revision, results, warnings });
    }
    let mut operator = Vec::new();
    if rooms.catalog.existing(request.namespace).is_none() || draft.text != space.text {
        operator.push(namespace_change(rooms, request.namespace, &draft.text));
    }
    let at = (rooms.clock)();
    for (name, value) in &secrets {
        let sealed = Some(rooms.secrets.seal(request.namespace, name, value)?);
        operator.push(OperatorChange::Secret {
            namespace: request.namespace.clone(),
            name: name.clone(),
            sealed,
            at,
        });
    }
    let parts = vec![Part::Operator(operator), Part::Definitions(changes)];
    submit(rooms, Batch { class: Class::New, parts }).await?;
    for (name, value) in secrets {
        rooms.secrets.put(request.namespace, &name, Some(value), at);
    }
    rooms.catalog.swap(request.namespace, Some(draft));
    // A call of the next moment finds the functions of this one.
    rooms.dispatch.sync(rooms);
    Ok(Outcome { revision: revision + 1, results, warnings })
}

fn read(node: &Node, request: &Request<'_>, diagnostics: &mut Vec<Diagnostic>) -> Option<Document> {
    let text: Arc<str> = request.text.get(node.span.start..node.span.end).unwrap_or(request.text).into();
    let text = if text.trim().is_empty() { request.text.into() } else { text };
    let is_manifest = node.get("kind").is_some() || node.get("apiVersion").is_some();
    let wants_workflow = matches!(request.expected, None | Some((DefinitionKind::Workflow, _)));
    let read = if is_manifest || !wants_workflow {
        let (manifest, found) = manifest::check(node, request.text, request.namespace);
        diagnostics.extend(found);
        let manifest = manifest?;
        diagnostics.extend(schedule(node, &manifest));
        Read::Manifest(Box::new(manifest))
    } else {
        let checked = tidemill_dsl::workflow::check_node(node, request.text);
        diagnostics.extend(checked.diagnostics);
        Read::Workflow(checked.program?)
    };
    expect(node, &read, request, diagnostics);
    let overlap = node.get("spec").and_then(|s| s.get("overlap"));
    let span = overlap.map_or(node.span, |n| n.span);
    Some(Document { read, text, span })
}

/// A cron source's schedule must name a time zone that exists and times that come.
pub fn schedule(node: &Node, manifest: &Manifest) -> Option<Diagnostic> {
    let Manifest::Source(source) = manifest else {
        return None;
    };
    let error = tidemill_connectors::registry::schedule(source).err()?;
    let place = node.get("spec").and_then(|s| s.get("cron")).map_or(node.span, |n| n.span);
    Some(Diagnostic::error("E0512", place, error.message).at("/spec/cron").help(error.help))
}

/// Name and namespace of the document equal the path's.
fn expect(node: &Node, read: &Read, request: &Request<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let (section, namespace, name, kind) = match read {
        Read::Workflow(p) => (
            "document",
            Some(p.document.namespace.clone()),
            p.document.name.clone(),
            DefinitionKind::Workflow,
        ),
        Read::Manifest(m) => (
            "metadata",
            Some(m.namespace().clone()),
            m.name().clone(),
            kind_of(m).unwrap_or(DefinitionKind::Workflow),
        ),
    };
    let at = |key: &str| node.get(section).and_then(|s| s.get(key)).map_or(node.span, |n| n.span);
    if let Some(namespace) = namespace.filter(|n| **n != **request.namespace) {
        let text = format!("the namespace is `{namespace}`, the path's is `{}`", request.namespace);
        let help = format!("send it to /v1/namespaces/{namespace}, or change {section}.namespace");
        diagnostics.push(
            Diagnostic::error("E0110", at("namespace"), text).at(format!("/{section}/namespace")).help(help),
        );
    }
    if let Some((expected_kind, expected)) = request.expected {
        if kind != expected_kind {
            let text = format!("this is no {}", word(expected_kind));
            diagnostics.push(Diagnostic::error("E0112", node.span, text).at("/kind"));
        } else if *name != *expected {
            let text = format!("the name is `{name}`, the path's is `{expected}`");
            diagnostics.push(Diagnostic::error("E0111", at("name"), text).at(format!("/{section}/name")));
        }
    }
}

/// The stored kind of a manifest; none for those that are no definitions.
pub fn kind_of(manifest: &Manifest) -> Option<DefinitionKind> {
    match manifest {
        Manifest::Source(_) => Some(DefinitionKind::Source),
        Manifest::Trigger(_) => Some(DefinitionKind::Trigger),
        Manifest::Function(_) => Some(DefinitionKind::Function),
        Manifest::Connection(_) => Some(DefinitionKind::Connection),
        Manifest::Queue(_) => Some(DefinitionKind::Queue),
        _ => None,
    }
}

/// The word for a kind of definition.
pub fn word(kind: DefinitionKind) -> &'static str {
    match kind {
        DefinitionKind::Workflow => "Workflow",
        DefinitionKind::Source => "Source",
        DefinitionKind::Trigger => "Trigger",
        DefinitionKind::Function => "Function",
        DefinitionKind::Connection => "Connection",
        DefinitionKind::Queue => "Queue",
    }
}

/// Puts a document into the draft and notes the change, if any.
fn place(
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
            None => {
                let Manifest::Namespace(_) = &**manifest else {
                    let detail =
                        format!("apply a {}: this release does not take it in apply", manifest.kind());
                    return Err(Error::bad("kind-unsupported", detail));
                };
                draft.text = document.text.clone();
                Ok(applied(manifest.kind(), manifest.name().clone(), None, Change::Updated, [0; 32]))
            }
        },
    }
}

/// The value of a Secret manifest: in place, from the server's environment, or from a file the server reads.
fn secret_value(secret: &manifest::SecretManifest) -> Result<Value, Error> {
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

fn applied(
    kind: &'static str,
    name: Arc<str>,
    version: Option<Arc<str>>,
    change: Change,
    digest: [u8; 32],
) -> Applied {
    Applied { kind, name, version, change, digest }
}

fn if_match(request: &Request<'_>, current: Option<[u8; 32]>) -> Result<(), Error> {
    match request.matching {
        Some(wanted) if current != Some(wanted) => {
            Err(Error::conflict("etag", "the definition has changed since it was read (If-Match)"))
        }
        _ => Ok(()),
    }
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
    if_match(request, current.as_ref().map(|c| c.program.digest))?;
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
    if_match(request, current.as_ref().map(|c| c.definition.digest))?;
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

/// The one-task workflow of a function target is stored, not current, so that its executions find their revision.
fn lowered(rooms: &Rooms, namespace: &Namespace, trigger: &manifest::Trigger) -> Option<DefinitionChange> {
    let text = lowered_text(namespace, trigger)?;
    let program = tidemill_dsl::workflow::check(&text).program?;
    Some(DefinitionChange::Put(Definition {
        kind: DefinitionKind::Workflow,
        namespace: namespace.clone(),
        name: program.document.name.clone(),
        version: program.document.version.clone(),
        text: text.into(),
        digest: program.digest,
        generation: 1,
        at: (rooms.clock)(),
        current: false,
        paused: false,
    }))
}

/// Manifests refer to what exists, in the set or before it.
fn refer(documents: &[Document], draft: &Space, diagnostics: &mut Vec<Diagnostic>) {
    for document in documents {
        let Read::Manifest(manifest) = &document.read else {
            continue;
        };
        for reference in manifest.references() {
            let name = &*reference.name;
            let found = match reference.kind {
                "Source" => draft.manifest(DefinitionKind::Source, name).is_some(),
                "Workflow" => draft.workflow(name, reference.version.as_deref()).is_some(),
                "Function" => {
                    let version = reference.version.as_deref().and_then(|v| v.parse().ok());
                    draft.function(name, version).is_some()
                }
                "Connection" => draft.manifest(DefinitionKind::Connection, name).is_some(),
                _ => true,
            };
            if !found {
                let kind = reference.kind.to_lowercase();
                let version =
                    reference.version.as_ref().map(|v| format!(" in version {v}")).unwrap_or_default();
                let text = format!("there is no {kind} `{name}`{version}");
                let help = format!("apply the {kind} in the same set, or before this");
                diagnostics
                    .push(Diagnostic::error("E0510", reference.span, text).at(reference.pointer).help(help));
            }
        }
        if let Manifest::Trigger(trigger) = &**manifest {
            let source =
                trigger.source.as_ref().and_then(|name| draft.manifest(DefinitionKind::Source, name));
            let source = source.and_then(|entry| match &*entry.manifest {
                Manifest::Source(source) => Some(&**source),
                _ => None,
            });
            diagnostics.extend(trigger.check_integration(source));
            if let Overlap::Skip | Overlap::Replace = trigger.overlap {
                let text = "`overlap: skip` and `overlap: replace` are not supported by this release";
                let help = "use `queue` (one after another) or `allow`";
                diagnostics
                    .push(Diagnostic::error("E0513", document.span, text).at("/spec/overlap").help(help));
            }
        }
    }
}

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

fn namespace_change(rooms: &Rooms, namespace: &Namespace, text: &str) -> OperatorChange {
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
