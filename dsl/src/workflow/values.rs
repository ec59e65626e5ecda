//! Expressions, templates, durations, schemas and names in a workflow, with diagnostics.

use std::sync::Arc;

use crate::codes;
use crate::duration;
use crate::expr::{Expr, ExprError, Template, whole};
use crate::reader::{Place, Reader, Sink};
use crate::value::Value;
use crate::yaml::{NodeKind, join};

use super::scope::{ARGUMENTS, Scope, Where};
use super::traps;

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
        let inner = inner(&text);
        traps::condition(self.sink, place, inner);
        let compiles = |known: &[&str]| Expr::compile(inner, known).is_ok();
        Expr::compile(inner, &known)
            .map_err(|error| self.refuse(place, &within(error, &text), &compiles))
            .ok()
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
        let compile = |known: &[&str]| Template::bare(&text, known);
        compile(&self.scope.known(self.place))
            .map_err(|e| self.refuse(place, &within(e.error, &text), &|known| compile(known).is_ok()))
            .ok()
    }

    /// Any value; strings with `${ }` in it are evaluated.
    pub(super) fn template(self, place: &Place) -> Option<Template> {
        let (value, known) = (place.node.to_value(), self.scope.known(self.place));
        let compiled = if self.scope.loose {
            Template::loose(&value, &known)
        } else {
            Template::compile(&value, &known)
        };
        match compiled {
            Ok(_) => traps::texts(self.sink, place, self.scope.loose),
            Err(_) => self.refuse_strings(place),
        }
        compiled.ok()
    }

    /// Reports every string below a value that does not compile.
    fn refuse_strings(self, place: &Place) {
        each_string(place, &mut |place, text| {
            let value = Value::text(text);
            let Err(e) = Template::compile(&value, &self.scope.known(self.place)) else {
                return;
            };
            self.refuse(place, &e.error, &|known| Template::compile(&value, known).is_ok());
        });
    }

    /// Whether a text is evaluated: it is one whole `${ }`, or loose and an expression.
    pub(super) fn is_expression(self, text: &str) -> bool {
        whole(text).is_some()
            || (self.scope.loose
                && !text.trim().is_empty()
                && Expr::compile(text.trim(), &self.scope.known(self.place)).is_ok())
    }

    /// A string: a literal, or one with `${ }` in it.
    pub(super) fn text(self, place: &Place) -> Option<Template> {
        place.text(self.sink)?;
        self.template(place)
    }

    /// A whole number, or an expression.
    pub(super) fn number(self, place: &Place) -> Option<Template> {
        if place.node.as_str().is_none_or(|t| !self.is_expression(t)) {
            place.integer(self.sink)?;
        }
        self.template(place)
    }

    /// A map, or an expression that gives one.
    pub(super) fn object(self, place: &Place) -> Option<Template> {
        if let Some(text) = place.node.as_str() {
            traps::lines(self.sink, place, text);
            if !self.is_expression(text) {
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
        let before = self.sink.errors();
        match &place.node.kind {
            NodeKind::Map(_) => {
                let mut reader = Reader::open(place.clone(), self.sink, "a duration")?;
                for key in ["days", "hours", "minutes", "seconds", "milliseconds"] {
                    reader.integer(key);
                }
                reader.finish();
            }
            NodeKind::Scalar { value: Value::String(_), .. } => {}
            _ => return place.wrong(self.sink, "a duration: ISO 8601 text, a map or an expression"),
        }
        if self.sink.errors() > before {
            return None;
        }
        let template = self.template(place)?;
        let Some(Err(error)) = template.constant().map(duration::parse_value) else {
            return Some(template);
        };
        let d = place.error(codes::DURATION, error.to_string());
        self.sink.push(d.help("write for example `PT30S`, `P1DT12H` or `{minutes: 5}`"));
        None
    }

    fn expression_text(self, place: &Place) -> Option<Arc<str>> {
        if let Some(text) = place.node.as_str() {
            if text.trim().is_empty() {
                self.sink
                    .push(place.error(codes::EXPR_NEEDED, "an expression is expected, the text is empty"));
                return None;
            }
            return Some(text.into());
        }
        let name = place.pointer.rsplit('/').next().unwrap_or_default();
        let message = format!("`{name}` must be an expression, not {}", place.node.describe());
        let literal =
            matches!(place.node.kind, NodeKind::Scalar { value: Value::Bool(_) | Value::Number(_), .. });
        let d = place.error(codes::EXPR_NEEDED, message);
        self.sink.push(if literal { d.help("put the expression in quotes, or write `${ ... }`") } else { d });
        None
    }

    /// Reports an expression that does not compile; `compiles` tries it with other variables, so that what is
    /// valid elsewhere can be told apart.
    fn refuse(self, place: &Place, error: &ExprError, compiles: &dyn Fn(&[&str]) -> bool) {
        let mut known = self.scope.known(self.place);
        let here = known.iter().map(|v| format!("${v}")).collect::<Vec<_>>().join(", ");
        let d = |code, message: &str| place.error_at(self.sink, error.offset, code, message);
        known.push("secrets");
        if self.place != Where::Sent && compiles(&known) {
            let d = d(codes::EXPR_SECRETS, "`$secrets` is not available here");
            self.sink.push(d.help(if self.place == Where::Given {
                "what is given here is kept in the history: read the secret where it is sent, in a call or run of what is started"
            } else {
                "read it in `with` of a call or run, or in `authentication`"
            }));
            return;
        }
        known.extend(ARGUMENTS);
        if compiles(&known) {
            let d = d(codes::EXPR_VARIABLE, &error.message);
            self.sink.push(d.help(format!("the variables here are {here}")));
            return;
        }
        let variable = error.message.starts_with("unknown variable");
        let code = if variable { codes::EXPR_VARIABLE } else { codes::EXPR_SYNTAX };
        let d = d(code, &error.message);
        let text = place.node.as_str().unwrap_or_default();
        self.sink.push(match error.help.as_deref().or_else(|| unfinished(text, &error.message)) {
            Some(help) => d.help(help),
            None => d,
        });
    }
}

/// Every string with a `${` at or below a place.
fn each_string(place: &Place, look: &mut dyn FnMut(&Place, &str)) {
    each_scalar(place, &mut |place| {
        if let Some(text) = place.node.as_str().filter(|text| text.contains("${")) {
            look(place, text);
        }
    });
}

/// Every scalar at or below a place.
pub(super) fn each_scalar(place: &Place, look: &mut dyn FnMut(&Place)) {
    let mut below = |node, step: &str| {
        each_scalar(&Place { node, key: place.key, pointer: join(&place.pointer, step) }, look);
    };
    match &place.node.kind {
        NodeKind::List(items) => items.iter().enumerate().for_each(|(i, node)| below(node, &i.to_string())),
        NodeKind::Map(entries) => entries.iter().for_each(|e| below(&e.value, &e.key)),
        NodeKind::Scalar { .. } => look(place),
    }
}

/// The jq of a field that is an expression.
fn inner(text: &str) -> &str {
    whole(text).unwrap_or(text.trim())
}

/// What is likely wrong with a text that is no expression.
fn unfinished(text: &str, message: &str) -> Option<&'static str> {
    if text.trim_start().starts_with("${") && whole(text).is_none() {
        return Some("write one expression: `${ ... }` around all of it, every bracket in it closed");
    }
    message
        .contains("found the end")
        .then_some("the expression ends too early: complete it, or close what is open")
}

/// The error with its offset in the whole text instead of in its jq.
fn within(error: ExprError, text: &str) -> ExprError {
    let lead = inner(text).as_ptr() as usize - text.as_ptr() as usize;
    ExprError { offset: error.offset.map(|o| o + lead), ..error }
}

/// Whether a text begins like an absolute http or https URI.
pub(super) fn absolute(text: &str) -> bool {
    let lower = text.trim_start().to_ascii_lowercase();
    lower.starts_with("http://") || lower.starts_with("https://")
}

/// The name of a loop or error variable, or its default.
pub(super) fn variable(reader: &mut Reader, key: &'static str, default: &str) -> Arc<str> {
    let Some(place) = reader.take(key) else {
        return default.into();
    };
    let sink = reader.sink();
    let Some(name) = place.text(sink) else {
        return default.into();
    };
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
