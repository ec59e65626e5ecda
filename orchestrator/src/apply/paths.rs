//! Paths of hooks: each leads to one source, and so does each target of a server that calls them.

use std::sync::Arc;

use tidemill_dsl::diagnostic::Diagnostic;
use tidemill_dsl::manifest::{
    self, ConnectionKind, Link, Manifest, MinioConnection, MinioVia, SourceKind, codes,
};
use tidemill_store::DefinitionKind;

use crate::catalog::Space;

/// A path leads to one source.
pub(super) fn taken(source: &manifest::Source, draft: &Space) -> Option<Diagnostic> {
    let (path, span, pointer) = source.hook()?;
    let other = other(source, draft, |other| Some(other.hook()?.0 == path))?;
    let text = format!("the path `{path}` leads to the source `{other}` already");
    Some(
        Diagnostic::error(codes::TAKEN_PATH, span, text).at(pointer).help("give one of the two another path"),
    )
}

/// A webhook target of a server has one endpoint, so it calls one source. The other would never be called, and nothing
/// would tell.
pub(super) fn shared(source: &manifest::Source, draft: &Space) -> Option<Diagnostic> {
    let (_, span, pointer) = source.hook()?;
    let (endpoint, arn) = target(source, draft)?;
    let other = other(source, draft, |other| {
        let (its_endpoint, its_arn) = target(other, draft)?;
        Some(its_endpoint == endpoint && name(&its_arn) == name(&arn))
    })?;
    let text = format!("the target `{arn}` calls the source `{other}` already");
    let help = "a target of the server has one endpoint: make another one for this source";
    Some(Diagnostic::error(codes::TAKEN_PATH, span, text).at(pointer).help(help))
}

/// The name of another source of the namespace of which something holds.
fn other(
    source: &manifest::Source,
    draft: &Space,
    holds: impl Fn(&manifest::Source) -> Option<bool>,
) -> Option<Arc<str>> {
    draft.manifests(DefinitionKind::Source).into_iter().find_map(|entry| match &*entry.manifest {
        Manifest::Source(other) if other.meta.name != source.meta.name => {
            holds(other)?.then(|| other.meta.name.clone())
        }
        _ => None,
    })
}

/// The server and the ARN of the target that calls a source.
fn target(source: &manifest::Source, draft: &Space) -> Option<(Arc<str>, Arc<str>)> {
    let SourceKind::Minio(minio) = &source.kind else { return None };
    let MinioVia::Webhook { arn, .. } = &minio.via else { return None };
    let endpoint = |found: &MinioConnection| found.endpoint.clone();
    let endpoint = match &minio.connection {
        Link::Inline(found) => endpoint(found),
        Link::Named(name) => match &*draft.manifest(DefinitionKind::Connection, name)?.manifest {
            Manifest::Connection(connection) => match &connection.kind {
                ConnectionKind::Minio(found) => endpoint(found),
                _ => return None,
            },
            _ => return None,
        },
    };
    Some((endpoint, arn.clone()))
}

/// What an ARN names, its region left out: servers write it or not.
fn name(arn: &str) -> Option<&str> {
    arn.splitn(5, ':').nth(4)
}
