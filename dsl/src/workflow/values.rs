//! Expressions, templates, durations, schemas and names in a workflow, with diagnostics.

use std::sync::Arc;

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::duration;
use crate::expr::{Expr, ExprError, Template, TemplateError, whole};
use crate::program::{Intake, Shape};
use crate::reader::{Place, Reader, Sink};
use crate::schema::Schema;
use crate::value::Value;
use crate::yaml::NodeKind;

use super::scope::{ARGUMENTS, Scope, Where};

/// Where an expression stands and what it may use.
#[derive(Clone, Copy)]
pub(super) struct At<'s> {
    pub(super) sink: &'s Sink<'s>,
    pub(super) scope: &'s Scope,
    pub(super) place: Where,
}

impl<'s> At<'s> {
    pub(super) fn new(sink: &'s Sink<'s>, scope: &'s Scope, place: Where) -> At<'s> {
        At { sink, scope, place }
    }

    /// A condition: an expression, bare or in `${ }`.
    pub(super) fn condition(self, place: &Place) -> Option<Expr> {
        let text = self.expression_text(place)?;
        let known = self.scope.known(self.place);
        let inner = whole(&text).unwrap_or(&text);
        let lead = inner.as_ptr() as usize - text.as_ptr() as usize;
        match Expr::compile(inner, &known) {
            Ok(expr) => Some(expr),
            Err(error) => {
                let error = ExprError { offset: error.offset.map(|o| o + lead), ..error };
                self.refuse(place, inner, &error);
                None
            }
        }
    }

    /// A field that is an expression (bare or in `${ }`) or, where `object`, a map with expressions in it.
    pub(super) fn transform(self, place: &Place) -> Option<Template> {
        match &place.node.kind {
            NodeKind::Map(_) => self.template(place),
            NodeKind::Scalar { value: Value::String(_), .. } => self.bare(place),
            _ => place.wrong(self.sink, "an expression or a map"),
        }
    }

    /// A field that is an expression, bare or in `${ }`.
    pub(super) fn bare(self, place: &Place) -> Option<Template> {
        let text = self.expression_text(place)?;
        let inner = whole(&text).unwrap_or(&text);
        let lead = inner.as_ptr() as usize - text.as_ptr() as usize;
        let known = self.scope.known(self.place);
        if let Err(error) = Expr::compile(inner, &known) {
            let error = ExprError { offset: error.offset.map(|o| o + lead), ..error };
            self.refuse(place, inner, &error);
            return None;
        }
        match Template::bare(&text, &known) {
            Ok(template) => Some(template),
            Err(error) => {
                self.refuse(place, inner, &error.error);
                None
            }
        }
    }

    /// Any value; strings with `${ }` in it are evaluated.
    pub(super) fn template(self, place: &Place) -> Option<Template> {
        let value = place.node.to_value();
        match Template::compile(&value, &self.scope.known(self.place)) {
            Ok(template) => Some(template),
            Err(TemplateError { pointer, error }) => {
                let node = place.node.pointer(&pointer).unwrap_or(place.node);
                let inner = Place { node, key: node.span, pointer: format!("{}{pointer}", place.pointer) };
                let text = node.as_str().unwrap_or_default();
                self.refuse(&inner, whole(text).unwrap_or(text), &error);
                None
            }
        }
    }

    /// A string: a literal, or one with `${ }` in it.
    pub(super) fn text(self, place: &Place) -> Option<Template> {
        place.text(self.sink)?;
        self.template(place)
    }

    /// A whole number, or an expression.
    pub(super) fn number(self, place: &Place) -> Option<Template> {
        if place.node.as_str().is_none_or(|t| whole(t).is_none()) {
            place.integer(self.sink)?;
        }
        self.template(place)
    }

    /// A map, or an expression that gives one.
    pub(super) fn object(self, place: &Place) -> Option<Template> {
        if let Some(text) = place.node.as_str() {
            if whole(text).is_none() {
                let d = place.error(codes::EXPR_NEEDED, "a map or one expression is expected");
                self.sink.push(d.help("write an expression as `${ ... }`"));
                return None;
            }
        } else if !matches!(place.node.kind, NodeKind::Map(_)) {
            return place.wrong(self.sink, "a map or an expression");
        }
        self.template(place)
    }

    /// A duration: ISO 8601 text, an object of whole numbers, or an expression.
    pub(super) fn duration(self, place: &Place) -> Option<Template> {
        let wrong = match &place.node.kind {
            NodeKind::Map(entries) => {
                let before = self.sink.len();
                let mut reader = Reader::open(place.clone(), self.sink, "a duration")?;
                for key in ["days", "hours", "minutes", "seconds", "milliseconds"] {
                    reader.integer(key);
                }
                reader.finish();
                if self.sink.len() > before {
                    return None;
                }
                let empty = entries.is_empty().then(|| "a duration needs at least one key".to_owned());
                empty.or_else(|| duration::parse_object(&place.node.to_value()).err().map(|e| e.to_string()))
            }
            NodeKind::Scalar { value: Value::String(text), .. } if text.contains("${") => None,
            NodeKind::Scalar { value: Value::String(text), .. } => {
                duration::parse_iso(text).err().map(|e| e.to_string())
            }
            _ => return place.wrong(self.sink, "a duration: ISO 8601 text, a map or an expression"),
        };
        if let Some(message) = wrong {
            let d = place.error(codes::DURATION, message);
            self.sink.push(d.help("write for example `PT30S`, `P1DT12H` or `{minutes: 5}`"));
            return None;
        }
        self.template(place)
    }

    fn expression_text(self, place: &Place) -> Option<Arc<str>> {
        if let Some(text) = place.node.as_str() {
            if text.trim().is_empty() {
                self.sink.push(place.error(codes::EXPR_NEEDED, "an expression is expected, the text is empty"));
                return None;
            }
            return Some(text.into());
        }
        let name = place.pointer.rsplit('/').next().unwrap_or_default();
        let message = format!("`{name}` must be an expression, not {}", place.node.describe());
        let literal = matches!(place.node.kind, NodeKind::Scalar { value: Value::Bool(_) | Value::Number(_), .. });
        let d = place.error(codes::EXPR_NEEDED, message);
        self.sink.push(if literal { d.help("put the expression in quotes, or write `${ ... }`") } else { d });
        None
    }

    /// Reports an expression that does not compile. What would compile elsewhere is told apart.
    fn refuse(self, place: &Place, inner: &str, error: &ExprError) {
        let mut known = self.scope.known(self.place);
        known.push("secrets");
        let d = |code| place.error_at(self.sink, error.offset, code, error.message.clone());
        let with_help = |d: Diagnostic| match &error.help {
            Some(help) => d.help(help.clone()),
            None => d,
        };
        if self.place != Where::Sent && Expr::compile(inner, &known).is_ok() {
            let d = place.error_at(self.sink, error.offset, codes::EXPR_SECRETS, "`$secrets` is not available here");
            self.sink.push(d.help("read it in `with` of a call or run, or in `authentication`"));
            return;
        }
        known.extend(ARGUMENTS);
        if Expr::compile(inner, &known).is_ok() {
            let list = self.scope.known(self.place).iter().map(|v| format!("${v}")).collect::<Vec<_>>().join(", ");
            self.sink.push(d(codes::EXPR_VARIABLE).help(format!("the variables here are {list}")));
            return;
        }
        let code = if error.message.contains("variable") { codes::EXPR_VARIABLE } else { codes::EXPR_SYNTAX };
        self.sink.push(with_help(d(code)));
    }
}

/// `input` of a workflow or task.
pub(super) fn intake(reader: &mut Reader, at: At) -> Intake {
    let Some(mut input) = reader.map("input", "`input`") else { return Intake::default() };
    let schema = schema(&mut input);
    let from = input.take("from").and_then(|p| at.transform(&p));
    input.finish();
    Intake { schema, from }
}

/// `output` or `export` of a workflow or task.
pub(super) fn shape(reader: &mut Reader, key: &'static str, at: At) -> Shape {
    let what = if key == "output" { "`output`" } else { "`export`" };
    let Some(mut shape) = reader.map(key, what) else { return Shape::default() };
    let schema = schema(&mut shape);
    let transform = shape.take("as").and_then(|p| at.transform(&p));
    shape.finish();
    Shape { transform, schema }
}

fn schema(reader: &mut Reader) -> Option<Schema> {
    let mut schema = reader.map("schema", "a schema")?;
    let sink = schema.sink();
    if let Some(place) = schema.take("format")
        && let Some(format) = place.text(sink)
        && format.split(':').next() != Some("json")
    {
        let message = format!("schemas of format `{format}` are not supported by this release");
        sink.push(place.error(codes::LATER_SCHEMA_FORMAT, message).help("the format is `json`"));
    }
    let elsewhere =
        schema.refuse("resource", codes::LATER_SCHEMA_RESOURCE, "`resource` of a schema is not supported by this release");
    let document = if elsewhere { schema.take("document") } else { schema.need("document") };
    schema.finish();
    let document = document?;
    Schema::compile(&document.node.to_value())
        .map_err(|message| {
            let pointer = message.strip_prefix("at ").and_then(|m| m.split_once(": ")).map_or("", |(p, _)| p);
            let node = document.node.pointer(pointer).unwrap_or(document.node);
            let message = format!("the schema is not valid: {message}");
            sink.push(Diagnostic::error(codes::SCHEMA, node.span, message).at(format!("{}{pointer}", document.pointer)));
        })
        .ok()
}

/// The name of a loop or error variable, or its default.
pub(super) fn variable(reader: &mut Reader, key: &'static str, default: &str) -> Arc<str> {
    let Some(place) = reader.take(key) else { return default.into() };
    let sink = reader.sink();
    let Some(name) = place.text(sink) else { return default.into() };
    let valid = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !valid {
        let d = place.error(codes::WRONG_NAME, format!("`{name}` cannot be the name of a variable"));
        sink.push(d.help("use letters, digits and `_`, without `$`"));
    } else if ARGUMENTS.contains(&&*name) {
        sink.push(place.error(codes::RESERVED_NAME, format!("`${name}` cannot be rebound")));
    }
    name
}
