//! The `event` block of a Source: attributes that replace those a record is given when it is no CloudEvent.
//!
//! Owns the order and the rules of replacing (manifests.md, Source). What the raw record looks like is each kind's
//! business.

use std::sync::Arc;

use tidemill_dsl::event::{Event, is_reserved};
use tidemill_dsl::expr::{NoArguments, Template};
use tidemill_dsl::ids::Time;
use tidemill_dsl::value::Value;

/// Attributes to replace. Each is a literal or an expression over the raw record; one that yields null leaves the
/// attribute as the kind sets it.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `type`.
    pub kind: Option<Template>,
    /// `source`.
    pub source: Option<Template>,
    /// `subject`.
    pub subject: Option<Template>,
    /// `id`.
    pub id: Option<Template>,
    /// `time`: RFC 3339 text.
    pub time: Option<Template>,
    /// `dataschema`.
    pub dataschema: Option<Template>,
    /// Extension attributes by name: lower-case letters and digits.
    pub extensions: Vec<(Arc<str>, Template)>,
}

/// Why an override could not be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("set event.{field}: {message}")]
pub struct OverrideError {
    /// The field of the `event` block.
    pub field: String,
    /// What went wrong.
    pub message: String,
}

impl Overrides {
    /// Whether there is nothing to replace, so that no raw record need be made.
    pub fn is_empty(&self) -> bool {
        let fields = [
            &self.kind,
            &self.source,
            &self.subject,
            &self.id,
            &self.time,
            &self.dataschema,
        ];
        fields.iter().all(|field| field.is_none()) && self.extensions.is_empty()
    }

    /// Replaces attributes of `event` with what the templates yield over `raw`.
    pub fn apply(&self, raw: &Value, event: &mut Event) -> Result<(), OverrideError> {
        if let Some(text) = text("type", self.kind.as_ref(), raw)? {
            event.kind = text;
        }
        if let Some(text) = text("source", self.source.as_ref(), raw)? {
            event.source = text;
        }
        if let Some(text) = text("id", self.id.as_ref(), raw)? {
            event.id = text;
        }
        if let Some(text) = text("subject", self.subject.as_ref(), raw)? {
            event.subject = Some(text);
        }
        if let Some(text) = text("time", self.time.as_ref(), raw)? {
            if Time::parse(&text).is_none() {
                return Err(failed("time", format!("'{text}' is no RFC 3339 time")));
            }
            event.time = Some(text);
        }
        if let Some(text) = text("dataschema", self.dataschema.as_ref(), raw)? {
            event.dataschema = Some(text);
        }
        for (name, template) in &self.extensions {
            let field = format!("extensions.{name}");
            match evaluate(&field, template, raw)? {
                Value::Null => {}
                Value::Array(_) | Value::Object(_) => {
                    return Err(failed(
                        &field,
                        "an extension holds text, a number or a boolean".to_owned(),
                    ));
                }
                value if !is_reserved(name) => {
                    event.extensions.insert(name.clone(), value);
                }
                _ => return Err(failed(&field, "only Tidemill sets it".to_owned())),
            }
        }
        Ok(())
    }
}

fn text(field: &str, template: Option<&Template>, raw: &Value) -> Result<Option<Arc<str>>, OverrideError> {
    let Some(template) = template else { return Ok(None) };
    let text = match evaluate(field, template, raw)? {
        Value::Null => return Ok(None),
        Value::String(text) => text,
        Value::Array(_) | Value::Object(_) => return Err(failed(field, "it must be text".to_owned())),
        scalar => scalar.to_string().into(),
    };
    if text.is_empty() {
        Err(failed(field, "it is empty".to_owned()))
    } else {
        Ok(Some(text))
    }
}

fn evaluate(field: &str, template: &Template, raw: &Value) -> Result<Value, OverrideError> {
    match template.constant() {
        Some(value) => Ok(value.clone()),
        None => template
            .eval(raw, &NoArguments)
            .map_err(|fault| failed(field, fault.to_string())),
    }
}

fn failed(field: &str, message: String) -> OverrideError {
    OverrideError {
        field: field.to_owned(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use tidemill_dsl::event::Data;
    use tidemill_dsl::value::Map;

    use super::*;

    fn literal(value: impl Into<Value>) -> Template {
        Template::compile(&value.into(), &[]).unwrap()
    }

    fn event() -> Event {
        Event {
            id: "1".into(),
            source: "/s".into(),
            kind: "t".into(),
            subject: None,
            time: None,
            datacontenttype: None,
            dataschema: None,
            extensions: Map::new(),
            data: Data::None,
        }
    }

    fn check(overrides: &Overrides, expected: Result<&str, &str>) {
        let mut event = event();
        let result = overrides.apply(&Value::Null, &mut event);
        let shown = result
            .map(|()| event.to_value().to_string())
            .map_err(|error| error.to_string());
        assert_eq!(shown.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn literals_replace_attributes() {
        let mut all = Overrides {
            kind: Some(literal("order.placed")),
            subject: Some(literal(4711)),
            time: Some(literal("2026-01-02T03:04:05Z")),
            ..Overrides::default()
        };
        all.extensions.push(("tenant".into(), literal("a")));
        check(
            &all,
            Ok(concat!(
                r#"{"specversion":"1.0","id":"1","source":"/s","type":"order.placed","subject":"4711","#,
                r#""time":"2026-01-02T03:04:05Z","tenant":"a"}"#
            )),
        );
        let none = Overrides {
            subject: Some(literal(Value::Null)),
            ..Overrides::default()
        };
        check(
            &none,
            Ok(r#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#),
        );
    }

    #[test]
    fn bad_values_name_their_field() {
        let time = Overrides {
            time: Some(literal("noon")),
            ..Overrides::default()
        };
        check(&time, Err("set event.time: 'noon' is no RFC 3339 time"));
        let kind = Overrides {
            kind: Some(literal("")),
            ..Overrides::default()
        };
        check(&kind, Err("set event.type: it is empty"));
        let hop = Overrides {
            extensions: vec![("tidemillhop".into(), literal(1))],
            ..Overrides::default()
        };
        check(
            &hop,
            Err("set event.extensions.tidemillhop: only Tidemill sets it"),
        );
    }
}
