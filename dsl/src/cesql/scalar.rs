//! The values of expressions: three types, and how one becomes another (specification, section 3.7).

use std::borrow::Cow;

use crate::event::Event;
use crate::value::Value;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar<'e> {
    /// True or false.
    Boolean(bool),
    /// A whole number of 32 bits.
    Integer(i32),
    /// A text.
    Text(Cow<'e, str>),
}

/// A type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Boolean,
    Integer,
    Text,
}

impl Type {
    /// Its zero value.
    pub(super) fn zero<'e>(self) -> Scalar<'e> {
        match self {
            Type::Boolean => Scalar::Boolean(false),
            Type::Integer => Scalar::Integer(0),
            Type::Text => Scalar::Text(Cow::Borrowed("")),
        }
    }
}

impl<'e> Scalar<'e> {
    /// `boolean`, `integer` or `string`.
    pub fn kind(&self) -> &'static str {
        match self {
            Scalar::Boolean(_) => "boolean",
            Scalar::Integer(_) => "integer",
            Scalar::Text(_) => "string",
        }
    }

    /// As JSON.
    pub fn to_value(&self) -> Value {
        match self {
            Scalar::Boolean(flag) => Value::Bool(*flag),
            Scalar::Integer(number) => Value::from(i64::from(*number)),
            Scalar::Text(text) => Value::text(&**text),
        }
    }

    /// An attribute of an event: whole numbers of 32 bits and booleans are themselves, all else is text.
    pub(super) fn attribute(event: &'e Event, name: &str) -> Option<Scalar<'e>> {
        match event.extensions.get(name) {
            Some(Value::Bool(flag)) => return Some(Scalar::Boolean(*flag)),
            Some(Value::Number(number)) => {
                if let Some(number) = number.as_i64().and_then(|number| i32::try_from(number).ok()) {
                    return Some(Scalar::Integer(number));
                }
            }
            _ => {}
        }
        event.attribute(name).map(Scalar::Text)
    }

    pub(super) fn of_type(&self) -> Type {
        match self {
            Scalar::Boolean(_) => Type::Boolean,
            Scalar::Integer(_) => Type::Integer,
            Scalar::Text(_) => Type::Text,
        }
    }

    /// The same value as another type; none where it has no such form.
    pub(super) fn cast(self, to: Type) -> Option<Scalar<'e>> {
        Some(match to {
            Type::Boolean => Scalar::Boolean(self.boolean()?),
            Type::Integer => Scalar::Integer(self.integer()?),
            Type::Text => Scalar::Text(self.text()),
        })
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self {
            Scalar::Boolean(flag) => Some(*flag),
            Scalar::Integer(number) => Some(*number != 0),
            Scalar::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Scalar::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
            Scalar::Text(_) => None,
        }
    }

    pub(super) fn integer(&self) -> Option<i32> {
        match self {
            Scalar::Boolean(flag) => Some((*flag).into()),
            Scalar::Integer(number) => Some(*number),
            Scalar::Text(text) => text.parse().ok(),
        }
    }

    pub(super) fn text(self) -> Cow<'e, str> {
        match self {
            Scalar::Boolean(flag) => Cow::Borrowed(if flag { "true" } else { "false" }),
            Scalar::Integer(number) => Cow::Owned(number.to_string()),
            Scalar::Text(text) => text,
        }
    }
}
