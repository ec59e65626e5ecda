//! Manifests: everything that is no workflow, as Kubernetes-shaped documents (manifests.md).
//!
//! Owns the documents as types, their reading with a diagnostic for each mistake, and what follows from them without
//! looking outside: integration, retry delays, the workflow that a function target stands for. May not resolve a
//! name, a time zone or a secret.

pub mod codes;
mod connection;
mod filters;
mod function;
mod lower;
mod metadata;
mod read;
mod retry;
mod scope;
mod secret;
mod source;
mod trigger;

use std::sync::Arc;

pub use connection::{
    Connection, ConnectionKind, HttpAccess, HttpConnection, KafkaConnection, KafkaSecurity, Link, Mechanism,
    MinioConnection, MysqlConnection, Pem, Protocol, Queue, Tls,
};
pub use function::{
    Builtin, CallAuth, Function, FunctionKind, FunctionLimits, Lifecycle, ProcessFunction, ProcessProtocol,
    Setting,
};
pub use lower::{function_workflow, function_workflow_name, sink_workflow};
pub use metadata::Metadata;
pub use retry::{Backoff, ErrorClass, MAX_AGE, RetryPolicy};
pub use scope::{Namespace, Quotas, RoleBinding};
pub use secret::{SecretManifest, SecretOrigin};
pub use source::{
    CatchUp, CronSource, Dialect, EventOverrides, Format, HmacScheme, HttpAuth, HttpSource, JwtAuth, JwtKeys,
    KafkaSource, MinioSource, MinioVia, MysqlSource, OnGap, Operations, OverrideError, Respond, Source,
    SourceKind, SourceLimits, Start, TableFilter, TablePattern,
};
pub use trigger::{Buffer, DeadLetter, Integration, Overlap, SinkTarget, Target, Trigger, WhenFull, sent};

use crate::codes as shared;
use crate::diagnostic::{Diagnostic, Severity, Span};
use crate::reader::{Place, Reader, Sink, with_guess};
use crate::value::{Map, Value};
use crate::yaml::Node;

/// What a document of a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// A workflow definition: it begins with `document`.
    Workflow,
    /// A manifest: it has `kind` or `apiVersion`.
    Manifest,
}

impl Document {
    /// Tells by the first key; a map that begins with neither is a manifest if it has `kind` or `apiVersion`, else a
    /// workflow (which its own reader then refuses).
    pub fn of(node: &Node) -> Document {
        let first = node.entries().first().map(|entry| &*entry.key);
        let named = node.get("kind").is_some() || node.get("apiVersion").is_some();
        if first != Some("document") && named { Document::Manifest } else { Document::Workflow }
    }
}

/// A manifest.
#[derive(Clone, Debug)]
pub enum Manifest {
    /// An event source binding.
    Source(Box<Source>),
    /// A rule with its target and delivery policy.
    Trigger(Box<Trigger>),
    /// A function.
    Function(Box<Function>),
    /// A secret.
    Secret(SecretManifest),
    /// An address with its credentials.
    Connection(Connection),
    /// A named buffer or dead-letter destination.
    Queue(Queue),
    /// A namespace.
    Namespace(Namespace),
    /// A role given to subjects.
    RoleBinding(RoleBinding),
}

/// The kinds, as `kind` spells them.
pub const KINDS: [&str; 8] =
    ["Source", "Trigger", "Function", "Secret", "Connection", "Queue", "Namespace", "RoleBinding"];

/// A name that a manifest refers to and that something else must define.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// `Source`, `Workflow`, `Function` or `Connection`.
    pub kind: &'static str,
    /// Its name.
    pub name: Arc<str>,
    /// Version or alias, if one is stated.
    pub version: Option<Arc<str>>,
    /// Where it stands.
    pub span: Span,
    /// JSON pointer of where it stands.
    pub pointer: String,
}

/// Reads a manifest. `namespace` is that of the request; a manifest may state it again or another one, which the
/// caller judges. Warnings are dropped: [`check`] gives them.
pub fn parse(node: &Node, text: &str, namespace: &str) -> Result<Manifest, Vec<Diagnostic>> {
    let (manifest, mut found) = check(node, text, namespace);
    found.retain(|diagnostic| diagnostic.severity == Severity::Error);
    manifest.ok_or(found)
}

/// Reads a manifest and tells all mistakes and warnings, in the order of the text. A manifest is given only when no
/// error was found.
pub fn check(node: &Node, text: &str, namespace: &str) -> (Option<Manifest>, Vec<Diagnostic>) {
    let sink = Sink::new(text);
    let manifest = read_manifest(Place::root(node), &sink, namespace);
    let clean = !sink.has_errors();
    (manifest.filter(|_| clean), sink.into_diagnostics())
}

fn read_manifest(place: Place, sink: &Sink, namespace: &str) -> Option<Manifest> {
    let root = place.clone();
    let mut reader = Reader::open(place, sink, "a manifest")?;
    if let Some(place) = reader.take("apiVersion")
        && let Some(version) = place.text(sink)
        && &*version != "tidemill/v1"
    {
        sink.push(place.error(codes::API_VERSION, format!("`{version}` is not `tidemill/v1`")));
    }
    let kind = reader.need("kind").and_then(|place| kind_of(&place, sink));
    let meta = metadata::read(&mut reader, namespace, kind == Some("Namespace"));
    let spec = reader.need("spec");
    reader.finish();
    let (kind, spec) = (kind?, spec?);
    let head = Head { meta: meta.unwrap_or_else(|| Metadata::unnamed(namespace)), raw: raw(&root) };
    match kind {
        "Source" => source::read(head, spec, sink).map(|source| Manifest::Source(Box::new(source))),
        "Trigger" => trigger::read(head, spec, sink).map(|trigger| Manifest::Trigger(Box::new(trigger))),
        "Function" => function::read(head, spec, sink).map(|function| Manifest::Function(Box::new(function))),
        "Secret" => secret::read(head, spec, sink).map(Manifest::Secret),
        "Connection" => connection::read(head, spec, sink).map(Manifest::Connection),
        "Queue" => connection::read_queue(head, spec, sink).map(Manifest::Queue),
        "Namespace" => scope::read(head, spec, sink).map(Manifest::Namespace),
        _ => scope::read_binding(head, spec, sink).map(Manifest::RoleBinding),
    }
}

/// What every kind of manifest has besides its fields.
struct Head {
    meta: Metadata,
    raw: Raw,
}

/// `metadata` and `spec` as written: what GET gives back.
#[derive(Clone, Debug, PartialEq)]
pub struct Raw {
    /// `metadata`.
    pub metadata: Value,
    /// `spec`; values of secrets are left out.
    pub spec: Value,
}

fn raw(root: &Place) -> Raw {
    let part = |key: &str| root.node.get(key).map(Node::to_value).unwrap_or_default();
    Raw { metadata: part("metadata"), spec: part("spec") }
}

fn kind_of(place: &Place, sink: &Sink) -> Option<&'static str> {
    let text = place.text(sink)?;
    let found = KINDS.iter().find(|kind| ***kind == *text).copied();
    if found.is_none() {
        let unknown = place.error(codes::KIND, format!("`{text}` is no kind of manifest"));
        sink.push(read::explained(with_guess(unknown, &text, KINDS)));
    }
    found
}

impl Manifest {
    /// The kind, as `kind` spells it.
    pub fn kind(&self) -> &'static str {
        match self {
            Manifest::Source(_) => "Source",
            Manifest::Trigger(_) => "Trigger",
            Manifest::Function(_) => "Function",
            Manifest::Secret(_) => "Secret",
            Manifest::Connection(_) => "Connection",
            Manifest::Queue(_) => "Queue",
            Manifest::Namespace(_) => "Namespace",
            Manifest::RoleBinding(_) => "RoleBinding",
        }
    }

    fn head(&self) -> (&Metadata, &Raw) {
        match self {
            Manifest::Source(m) => (&m.meta, &m.raw),
            Manifest::Trigger(m) => (&m.meta, &m.raw),
            Manifest::Function(m) => (&m.meta, &m.raw),
            Manifest::Secret(m) => (&m.meta, &m.raw),
            Manifest::Connection(m) => (&m.meta, &m.raw),
            Manifest::Queue(m) => (&m.meta, &m.raw),
            Manifest::Namespace(m) => (&m.meta, &m.raw),
            Manifest::RoleBinding(m) => (&m.meta, &m.raw),
        }
    }

    /// Its metadata.
    pub fn metadata(&self) -> &Metadata {
        self.head().0
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.metadata().name
    }

    /// Its namespace: as stated, else that of the request.
    pub fn namespace(&self) -> &Arc<str> {
        &self.metadata().namespace
    }

    /// `spec` as written, values of secrets left out.
    pub fn spec(&self) -> &Value {
        &self.head().1.spec
    }

    /// What GET gives back, to which `status` may be added: kind, metadata and spec as written.
    pub fn to_value(&self) -> Value {
        let (_, raw) = self.head();
        let mut map = Map::new();
        map.insert("kind".into(), Value::text(self.kind()));
        map.insert("metadata".into(), raw.metadata.clone());
        map.insert("spec".into(), raw.spec.clone());
        map.into()
    }

    /// The names it refers to.
    pub fn references(&self) -> Vec<Reference> {
        match self {
            Manifest::Source(source) => source.references(),
            Manifest::Trigger(trigger) => trigger.references(),
            _ => Vec::new(),
        }
    }
}

/// Refuses a `spec` that is null where the kind needs one, by opening it as a map.
fn open<'a, 's>(spec: Place<'a>, sink: &'s Sink<'s>, what: &'static str) -> Option<Reader<'a, 's>> {
    if spec.node.is_null() {
        sink.push(spec.key_error(shared::EMPTY, format!("{what} is empty")));
        return None;
    }
    Reader::open(spec, sink, what)
}

#[cfg(test)]
mod tests;
