//! `event` of a source: attributes that replace those its kind gives.
//!
//! Owns reading them and their evaluation over the raw record.

use std::sync::Arc;

use super::super::{codes, read};
use crate::event::{Event, EventError, is_attribute_name, is_reserved};
use crate::expr::{NoArguments, Template};
use crate::fault::Fault;
use crate::reader::{Place, Reader, Sink};
use crate::value::{Map, Value};

/// Attributes that replace those of the kind; each is a literal or an expression over the raw record.
#[derive(Clone, Debug, Default)]
pub struct EventOverrides {
    /// The attributes of the specification, by name.
    pub attributes: Vec<(&'static str, Template)>,
    /// Extensions, by name.
    pub extensions: Vec<(Arc<str>, Template)>,
}

/// Why overrides give no event.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OverrideError {
    /// An expression fails.
    #[error("evaluate `event.{0}`: {1}")]
    Expression(String, Fault),
    /// The event would break the specification.
    #[error(transparent)]
    Event(#[from] EventError),
}

const ATTRIBUTES: [&str; 6] = ["type", "source", "subject", "id", "time", "dataschema"];

pub(super) fn read(place: Place, sink: &Sink) -> Option<EventOverrides> {
    let mut reader = Reader::open(place, sink, "event")?;
    let mut good = true;
    let mut overrides = EventOverrides::default();
    for name in ATTRIBUTES {
        if let Some(place) = reader.take(name) {
            match one(name, &place, sink) {
                Some(template) => overrides.attributes.push((name, template)),
                None => good = false,
            }
        }
    }
    for (name, place) in reader.take("extensions").and_then(|place| place.entries(sink)).unwrap_or_default() {
        let known =
            ATTRIBUTES.contains(&&*name) || matches!(&*name, "specversion" | "datacontenttype" | "data");
        let mistake = if known || is_reserved(&name) {
            Some((codes::RESERVED_EXTENSION, format!("the extension `{name}` is reserved")))
        } else if !is_attribute_name(&name) {
            Some((codes::ATTRIBUTE, format!("`{name}` is no attribute name")))
        } else {
            None
        };
        let template = match mistake {
            Some((code, message)) => {
                sink.push(read::explained(place.key_error(code, message)));
                None
            }
            None => one(&name, &place, sink),
        };
        match template {
            Some(template) => overrides.extensions.push((name, template)),
            None => good = false,
        }
    }
    reader.finish();
    good.then_some(overrides)
}

/// Reads one attribute; a literal is judged now.
fn one(name: &str, place: &Place, sink: &Sink) -> Option<Template> {
    let template = read::template(place, sink)?;
    let Some(literal) = template.constant().cloned() else {
        return Some(template);
    };
    match replaced(&sample(), [(name, literal)]) {
        Ok(_) => Some(template),
        Err(error) => read::wrong(place, sink, codes::ATTRIBUTE_VALUE, &error.message),
    }
}

fn sample() -> Map {
    ["id", "source", "type"].into_iter().map(|name| (name.into(), Value::text("x"))).collect()
}

fn replaced<'a>(base: &Map, values: impl IntoIterator<Item = (&'a str, Value)>) -> Result<Event, EventError> {
    let mut map = base.clone();
    map.insert("specversion".into(), Value::text(crate::event::SPEC_VERSION));
    map.extend(values.into_iter().map(|(name, value)| (Arc::from(name), value)));
    Event::from_value(&map.into())
}

impl EventOverrides {
    /// Whether there is nothing to replace.
    pub fn is_empty(&self) -> bool {
        self.attributes.is_empty() && self.extensions.is_empty()
    }

    /// The event with its attributes replaced by what the overrides give for the raw record. Null leaves an
    /// optional attribute out; numbers and booleans become text, except in extensions.
    pub fn apply(&self, event: &Event, record: &Value) -> Result<Event, OverrideError> {
        if self.is_empty() {
            return Ok(event.clone());
        }
        let eval = |name: &str, template: &Template| {
            template.eval(record, &NoArguments).map_err(|fault| OverrideError::Expression(name.into(), fault))
        };
        let mut values: Vec<(&str, Value)> = Vec::new();
        for (name, template) in &self.attributes {
            let value = match eval(name, template)? {
                value @ (Value::Number(_) | Value::Bool(_)) => Value::text(value.to_string()),
                value => value,
            };
            values.push((name, value));
        }
        for (name, template) in &self.extensions {
            values.push((name, eval(&format!("extensions.{name}"), template)?));
        }
        for (_, value) in &mut values {
            if let Value::String(text) = value {
                crate::event::printable(text);
            }
        }
        // The payload is put back afterwards, untouched.
        let bare = Event { data: crate::event::Data::None, ..event.clone() };
        let envelope = bare.to_value();
        let replaced = replaced(envelope.as_object().unwrap_or(&Map::new()), values)?;
        Ok(Event { data: event.data.clone(), ..replaced })
    }
}
