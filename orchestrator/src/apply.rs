//! Writing definitions: check the whole set, tell every mistake, commit all or nothing, then swap the catalog.

use std::sync::Arc;

use tidemill_dsl::diagnostic::{Diagnostic, Severity};
use tidemill_dsl::ids::Namespace;
use tidemill_dsl::manifest::{self, Manifest, codes};
use tidemill_dsl::yaml::{self, Node};
use tidemill_store::{Batch, Class, DefinitionKind, OperatorChange, Part};

use crate::buffer::submit;
use crate::catalog::Space;
use crate::error::Error;
use crate::lint::{self, Read};
use crate::rooms::Rooms;

mod alias;
mod condition;
mod life;
mod paths;
mod place;

pub use alias::{AliasRequest, put_alias};
pub use condition::Match;
use life::namespace_change;
pub use life::{Removal, Removed, delete, delete_namespace, pause, put_namespace, what};
pub(crate) use life::{finish, make_namespace};
use place::{applied, place, secret_value};

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
    /// `If-Match`.
    pub matching: Option<Match>,
}

struct Document {
    read: Read,
    text: Arc<str>,
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
        diagnostics.push(lint::empty());
    }
    rooms.catalog.gone(request.namespace).await?;
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
        match place(rooms, &request, document, &mut draft, &mut changes) {
            Ok(placed) => results.push(placed),
            // Its mistakes are told first, all of them.
            Err(_) if diagnostics.iter().any(|d| d.severity == Severity::Error) => {}
            Err(error) => return Err(error),
        }
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
    let wants_manifest = !matches!(request.expected, None | Some((DefinitionKind::Workflow, _)));
    let kind = match manifest::Document::of(node) {
        manifest::Document::Workflow if wants_manifest && node.get("document").is_none() => {
            manifest::Document::Manifest
        }
        kind => kind,
    };
    let judged = lint::judge_as(kind, node, request.text, request.namespace);
    diagnostics.extend(judged.diagnostics);
    let read = judged.read?;
    expect(node, &read, request, diagnostics);
    Some(Document { read, text })
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
            Diagnostic::error(codes::OTHER_NAMESPACE, at("namespace"), text)
                .at(format!("/{section}/namespace"))
                .help(help),
        );
    }
    if let Some((expected_kind, expected)) = request.expected {
        if kind != expected_kind {
            let text = format!("this is no {}", word(expected_kind));
            diagnostics.push(Diagnostic::error(codes::OTHER_KIND, node.span, text).at("/kind"));
        } else if *name != *expected {
            let text = format!("the name is `{name}`, the path's is `{expected}`");
            diagnostics
                .push(Diagnostic::error(codes::OTHER_NAME, at("name"), text).at(format!("/{section}/name")));
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
        DefinitionKind::Alias => "Alias",
    }
}

/// Manifests refer to what exists, in the set or before it.
fn refer(documents: &[Document], draft: &Space, diagnostics: &mut Vec<Diagnostic>) {
    for document in documents {
        let Read::Manifest(manifest) = &document.read else {
            continue;
        };
        for reference in manifest.references() {
            diagnostics.extend(dangling(reference, draft));
        }
        if let Manifest::Source(source) = &**manifest
            && let Some((_, name)) = source.carrier()
            && let Some(Manifest::Source(carrier)) =
                draft.manifest(DefinitionKind::Source, name).map(|entry| &*entry.manifest)
        {
            diagnostics.extend(source.check_carrier(carrier));
        }
        if let Manifest::Source(source) = &**manifest {
            diagnostics.extend(paths::taken(source, draft).or_else(|| paths::shared(source, draft)));
        }
        if let Manifest::Trigger(trigger) = &**manifest {
            let source =
                trigger.source.as_ref().and_then(|name| draft.manifest(DefinitionKind::Source, name));
            let source = source.and_then(|entry| match &*entry.manifest {
                Manifest::Source(source) => Some(&**source),
                _ => None,
            });
            diagnostics.extend(trigger.check_integration(source));
        }
    }
}

/// What a manifest refers to is not there, or is a connection of another kind.
fn dangling(reference: manifest::Reference, draft: &Space) -> Option<Diagnostic> {
    let name = &*reference.name;
    let connection = match reference.kind {
        "Connection" => draft.manifest(DefinitionKind::Connection, name),
        _ => None,
    };
    let found = match reference.kind {
        "Source" => draft.manifest(DefinitionKind::Source, name).is_some(),
        "Workflow" => draft.workflow(name, reference.version.as_deref()).is_some(),
        "Function" => draft.has_function(name, reference.version.as_deref()),
        "Connection" => connection.is_some(),
        _ => true,
    };
    let kind = reference.kind.to_lowercase();
    let (text, help) = match (connection.map(|entry| &*entry.manifest), reference.of) {
        (Some(Manifest::Connection(other)), Some(of)) if other.kind.name() != of => {
            let text = format!("the connection `{name}` is of kind {}, not {of}", other.kind.name());
            (text, format!("name a connection of kind {of}"))
        }
        _ if found => return None,
        _ => {
            let version = reference.version.as_ref().map(|v| format!(" in version {v}")).unwrap_or_default();
            (
                format!("there is no {kind} `{name}`{version}"),
                format!("apply the {kind} in the same set, or before this"),
            )
        }
    };
    let found = Diagnostic::error(codes::REFERENCE, reference.span, text);
    Some(found.at(reference.pointer).help(help))
}
