//! Definitions judged one by one, without a set: what lint tells on the command line and by the API, and what an apply
//! tells first.
//!
//! Owns that all of them tell the same. What a definition refers to is judged by `apply`, which knows the set.

use tidemill_connectors::http::jwt::KeySet;
use tidemill_dsl::codes;
use tidemill_dsl::diagnostic::{Diagnostic, Span};
use tidemill_dsl::manifest::{self, Document, HttpAuth, HttpSource, JwtKeys, Manifest, SourceKind};
use tidemill_dsl::workflow::{self, Checked};
use tidemill_dsl::yaml::{self, Node};

/// A document and every mistake and warning in it.
pub struct Judged {
    /// What it is, unless an error refuses it.
    pub read: Option<Read>,
    /// Errors and warnings in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// A checked document.
pub enum Read {
    /// A workflow.
    Workflow(std::sync::Arc<tidemill_dsl::program::Program>),
    /// A manifest.
    Manifest(Box<Manifest>),
}

/// Every mistake and warning of a text of one or many documents.
pub fn check(text: &str, namespace: &str) -> Vec<Diagnostic> {
    match yaml::parse_all(text) {
        Ok(nodes) if nodes.is_empty() => vec![empty()],
        Ok(nodes) => nodes.iter().flat_map(|node| judge(node, text, namespace).diagnostics).collect(),
        Err(found) => found,
    }
}

/// A text without a document.
pub fn empty() -> Diagnostic {
    let span = Span { line: 1, column: 1, start: 0, end: 0 };
    Diagnostic::error(codes::DOCUMENTS, span, "the text is empty").help("write a workflow or a manifest")
}

/// Judges one document of a text.
pub fn judge(node: &Node, text: &str, namespace: &str) -> Judged {
    judge_as(Document::of(node), node, text, namespace)
}

/// The same for a document whose kind is known otherwise.
pub fn judge_as(kind: Document, node: &Node, text: &str, namespace: &str) -> Judged {
    match kind {
        Document::Workflow => {
            let Checked { program, diagnostics } = workflow::check_node(node, text);
            Judged { read: program.map(Read::Workflow), diagnostics }
        }
        Document::Manifest => {
            let (manifest, mut diagnostics) = manifest::check(node, text, namespace);
            diagnostics.extend(manifest.as_ref().and_then(|manifest| schedule(node, manifest)));
            diagnostics.extend(manifest.as_ref().and_then(|manifest| keys(node, manifest)));
            Judged { read: manifest.map(|manifest| Read::Manifest(Box::new(manifest))), diagnostics }
        }
    }
}

/// The keys that an http source holds in place must be such.
fn keys(node: &Node, manifest: &Manifest) -> Option<Diagnostic> {
    let Manifest::Source(source) = manifest else {
        return None;
    };
    let SourceKind::Http(HttpSource { auth: HttpAuth::Jwt(jwt), .. }) = &source.kind else {
        return None;
    };
    let JwtKeys::Set(set) = &jwt.keys else {
        return None;
    };
    let error = KeySet::of_jwks(&set.to_json()).err()?;
    let pointer = "/spec/http/auth/jwt/jwks";
    let place = node.pointer(pointer).map_or(node.span, |n| n.span);
    let help =
        "write public keys as the issuer publishes them (RFC 7517), or name their place with `jwksUri`";
    Some(Diagnostic::error(manifest::codes::KEY, place, format!("cannot {error}")).at(pointer).help(help))
}

/// A cron source's schedule must name a time zone that exists and times that come.
fn schedule(node: &Node, manifest: &Manifest) -> Option<Diagnostic> {
    let Manifest::Source(source) = manifest else {
        return None;
    };
    let error = tidemill_connectors::registry::schedule(source).err()?;
    let place = node.pointer("/spec/cron").map_or(node.span, |n| n.span);
    Some(Diagnostic::error(manifest::codes::NEVER, place, error.message).at("/spec/cron").help(error.help))
}
