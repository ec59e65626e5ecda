//! What a definition has from elsewhere: schemas, scripts, functions by URL, functions of catalogs.

use std::sync::Arc;

use crate::codes;
use crate::program::{Auth, Intake, Need, ResourceKind, SchemaRef, Shape};
use crate::reader::{Place, Reader};
use crate::schema::Schema;
use crate::value::Value;

use super::Compiler;
use super::scope::Where;
use super::values::{At, absolute};

impl Compiler<'_> {
    /// `input` of a workflow or task.
    pub(super) fn intake(&self, reader: &mut Reader, at: At, needs: &mut Vec<Need>) -> Intake {
        let Some(mut input) = reader.map("input", "`input`") else {
            return Intake::default();
        };
        let schema = self.schema(&mut input, at, needs);
        let from = input.take("from").and_then(|p| at.transform(&p));
        input.finish();
        Intake { schema, from }
    }

    /// `output` or `export` of a workflow or task.
    pub(super) fn shape(
        &self,
        reader: &mut Reader,
        key: &'static str,
        at: At,
        needs: &mut Vec<Need>,
    ) -> Shape {
        let what = if key == "output" { "`output`" } else { "`export`" };
        let Some(mut shape) = reader.map(key, what) else {
            return Shape::default();
        };
        let schema = self.schema(&mut shape, at, needs);
        let transform = shape.take("as").and_then(|p| at.transform(&p));
        shape.finish();
        Shape { transform, schema }
    }

    fn schema(&self, reader: &mut Reader, at: At, needs: &mut Vec<Need>) -> Option<SchemaRef> {
        let mut schema = reader.map("schema", "a schema")?;
        let sink = schema.sink();
        let mut other = false;
        if let Some(place) = schema.take("format")
            && let Some(format) = place.text(sink)
            && format.split(':').next() != Some("json")
        {
            let message = format!("schemas of format `{format}` are not supported by this release");
            sink.push(place.error(codes::LATER_SCHEMA_FORMAT, message).help("the format is `json`"));
            other = true;
        }
        let (document, resource) = (schema.take("document"), schema.take("resource"));
        if document.is_some() == resource.is_some() {
            super::one_of(&mut schema, &["document", "resource"], false);
        }
        schema.finish();
        match (document, resource) {
            (Some(document), None) if !other => compiled(&document, at).map(SchemaRef::Here),
            (None, Some(resource)) => {
                let need = self.external(&resource, ResourceKind::Schema, at)?;
                let uri = need.uri.clone();
                needs.push(need);
                Some(SchemaRef::Elsewhere(uri))
            }
            _ => None,
        }
    }

    /// An external resource: a name, if any, and where it is.
    pub(super) fn external(&self, place: &Place, kind: ResourceKind, at: At) -> Option<Need> {
        let mut reader = Reader::open(place.clone(), at.sink, "a resource")?;
        reader.text("name");
        let endpoint = reader.need("endpoint");
        reader.finish();
        let (uri, auth, written) = self.endpoint_of(&endpoint?, at)?;
        Some(Need { kind, uri, auth, written })
    }

    /// A literal endpoint with its authentication, and that as written.
    pub(super) fn endpoint_of(&self, place: &Place, at: At) -> Option<(Arc<str>, Option<Auth>, Value)> {
        if place.node.as_str().is_some() {
            return literal(place, at).map(|uri| (uri, None, Value::Null));
        }
        let mut reader = Reader::open(place.clone(), at.sink, "`endpoint`")?;
        let uri = reader.need("uri").and_then(|p| literal(&p, at));
        let authentication = reader.take("authentication");
        reader.finish();
        let Some(authentication) = authentication else {
            return Some((uri?, None, Value::Null));
        };
        let sent = At::new(at.sink, at.scope, Where::Sent);
        let auth = self.uses.authentication(&authentication, sent)?;
        Some((uri?, Some(auth), self.uses.written(&authentication)))
    }

    /// Looks at the catalogs that nothing used, so that their mistakes are told too.
    pub(super) fn unused_catalogs(&self) {
        let at = At::new(self.sink, &self.outermost, Where::Sent);
        for catalog in self.uses.unused_catalogs() {
            self.function_of(&catalog, ("name", "version"), at);
        }
    }

    /// `NAME:VERSION` of a catalog: `{endpoint}/functions/NAME/VERSION/function.yaml`.
    pub(super) fn function_of(&self, catalog: &Place, function: (&str, &str), at: At) -> Option<Need> {
        let mut reader = Reader::open(catalog.clone(), at.sink, "a catalog")?;
        let endpoint = reader.need("endpoint");
        reader.finish();
        let (uri, auth, written) = self.endpoint_of(&endpoint?, at)?;
        let ((name, version), base) = (function, uri.trim_end_matches('/'));
        let uri = format!("{base}/functions/{name}/{version}/function.yaml").into();
        Some(Need { kind: ResourceKind::Function, uri, auth, written })
    }
}

/// The function behind a URL.
pub(super) fn function_at(place: &Place, at: At) -> Option<Need> {
    let uri = literal(place, at)?;
    Some(Need { kind: ResourceKind::Function, uri, auth: None, written: Value::Null })
}

/// An absolute http or https URI without expressions: it names what an execution keeps.
fn literal(place: &Place, at: At) -> Option<Arc<str>> {
    let text = place.text(at.sink)?;
    if absolute(&text) && !text.contains(['{', '}']) && !text.contains(char::is_whitespace) {
        return Some(text);
    }
    let d = place.error(codes::URI, format!("`{text}` is no literal http or https URI"));
    at.sink.push(d.help("what is fetched has one address for all executions: write it without expressions"));
    None
}

fn compiled(document: &Place, at: At) -> Option<Schema> {
    Schema::compile(&document.node.to_value())
        .map_err(|message| {
            let pointer = message.strip_prefix("at ").and_then(|m| m.split_once(": ")).map_or("", |(p, _)| p);
            let node = document.node.pointer(pointer).unwrap_or(document.node);
            let message = format!("the schema is not valid: {message}");
            let d = crate::diagnostic::Diagnostic::error(codes::SCHEMA, node.span, message);
            at.sink.push(d.at(format!("{}{pointer}", document.pointer)));
        })
        .ok()
}
