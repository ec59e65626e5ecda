//! `metadata`: name, namespace, labels, annotations.
//!
//! Owns their form. Judges no namespace against a path.

use std::sync::Arc;

use super::read;
use crate::codes as shared;
use crate::reader::{Place, Reader, Sink};

/// What a manifest is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// A DNS label.
    pub name: Arc<str>,
    /// A DNS label: as stated, else that of the request.
    pub namespace: Arc<str>,
    /// Free labels.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
    /// Free annotations.
    pub annotations: Vec<(Arc<str>, Arc<str>)>,
}

impl Metadata {
    /// Stands in while a manifest without a proper name is read for its other mistakes.
    pub(super) fn unnamed(namespace: &str) -> Metadata {
        Metadata { name: "".into(), namespace: namespace.into(), labels: Vec::new(), annotations: Vec::new() }
    }
}

/// Reads `metadata`. A Namespace stands in no namespace but its own.
pub(super) fn read(manifest: &mut Reader, namespace: &str, names_namespace: bool) -> Option<Metadata> {
    let sink = manifest.sink();
    let mut reader = manifest.need_map("metadata", "metadata")?;
    let name = reader.need("name").and_then(|place| read::label(&place, sink));
    let stated = reader.take("namespace");
    let namespace = match (&stated, &name) {
        (Some(place), _) => read::label(place, sink),
        (None, Some(name)) if names_namespace => Some(name.clone()),
        (None, _) => Some(namespace.into()),
    };
    if let (Some(place), Some(name), Some(namespace)) = (&stated, &name, &namespace)
        && names_namespace
        && name != namespace
    {
        let message = format!("a Namespace stands in itself: `{namespace}` is not `{name}`");
        sink.push(place.error(shared::WRONG_VALUE, message).help("leave `namespace` out"));
    }
    let labels = texts(reader.take("labels"), sink);
    let annotations = texts(reader.take("annotations"), sink);
    reader.finish();
    Some(Metadata { name: name?, namespace: namespace?, labels: labels?, annotations: annotations? })
}

/// A map of texts; absent is empty.
fn texts(place: Option<Place>, sink: &Sink) -> Option<Vec<(Arc<str>, Arc<str>)>> {
    let Some(place) = place else {
        return Some(Vec::new());
    };
    let read = place.entries(sink)?.into_iter().map(|(key, value)| Some((key, value.text(sink)?)));
    read.collect::<Vec<_>>().into_iter().collect()
}
