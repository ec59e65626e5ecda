//! Shapes: the words that schemas are written with.
//!
//! Owns their JSON form. Knows no document.

use std::sync::Arc;

use crate::value::{Map, Value};

/// Where the schemas of this release have their names.
const BASE: &str = "https://tidemill.dev/schemas/";

/// A named schema.
pub(super) fn document(name: &str, schema: Value) -> Value {
    let mut map = Map::new();
    map.insert("$schema".into(), Value::text("https://json-schema.org/draft/2020-12/schema"));
    map.insert("$id".into(), Value::text(format!("{BASE}{name}.json")));
    map.extend(members(schema));
    map.into()
}

fn of(kind: &str) -> Value {
    Value::object([("type", Value::text(kind))])
}

fn members(shape: Value) -> Map {
    match shape {
        Value::Object(map) => Arc::unwrap_or_clone(map),
        _ => Map::new(),
    }
}

/// The shape with more members.
fn with<const N: usize>(shape: Value, more: [(&str, Value); N]) -> Value {
    let mut map = members(shape);
    map.extend(more.map(|(key, value)| (key.into(), value)));
    map.into()
}

/// Anything.
pub(super) fn any() -> Value {
    Value::from(Map::new())
}

/// A text.
pub(super) fn text() -> Value {
    of("string")
}

/// A text that is not empty, of a form.
pub(super) fn like(pattern: &str) -> Value {
    with(text(), [("pattern", Value::text(pattern))])
}

/// A DNS label.
pub(super) fn label() -> Value {
    like("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
}

/// `true` or `false`.
pub(super) fn flag() -> Value {
    of("boolean")
}

/// A whole number from `least` on.
pub(super) fn count(least: i64) -> Value {
    with(of("integer"), [("minimum", Value::from(least))])
}

/// A number.
pub(super) fn number() -> Value {
    of("number")
}

/// Any object.
pub(super) fn object() -> Value {
    of("object")
}

/// One of these words.
pub(super) fn choice(words: &[&str]) -> Value {
    Value::object([("enum", Value::array(words.iter().map(|word| Value::text(*word))))])
}

/// A list.
pub(super) fn list(items: Value) -> Value {
    with(of("array"), [("items", items)])
}

/// A list with at least one item.
pub(super) fn some(items: Value) -> Value {
    with(list(items), [("minItems", Value::from(1_i64))])
}

/// An object with free keys.
pub(super) fn map(values: Value) -> Value {
    with(object(), [("additionalProperties", values)])
}

/// An object with exactly one free key: a named thing.
pub(super) fn entry(value: Value) -> Value {
    with(map(value), [("minProperties", Value::from(1_i64)), ("maxProperties", Value::from(1_i64))])
}

/// An object with these keys and no others; those with a `!` in front must be there.
pub(super) fn keys<const N: usize>(members: [(&str, Value); N]) -> Value {
    let required = members.iter().filter_map(|(key, _)| key.strip_prefix('!').map(Value::text));
    let required = Value::array(required.collect::<Vec<_>>());
    let members = Value::object(members.map(|(key, shape)| (key.trim_start_matches('!').to_owned(), shape)));
    let closed =
        [("properties", members), ("required", required), ("additionalProperties", Value::Bool(false))];
    with(object(), closed)
}

/// The same, where exactly one of some keys must be there.
pub(super) fn one_key(shape: Value, of: &[&str]) -> Value {
    let has = |key: &&str| Value::object([("required", Value::array([Value::text(*key)]))]);
    with(shape, [("oneOf", Value::array(of.iter().map(has).collect::<Vec<_>>()))])
}

/// Any of these shapes.
pub(super) fn either<const N: usize>(shapes: [Value; N]) -> Value {
    Value::object([("anyOf", Value::array(shapes))])
}

/// A shape with a sentence for people.
pub(super) fn said(shape: Value, sentence: &str) -> Value {
    with(shape, [("description", Value::text(sentence))])
}

/// A shape by its name under `$defs`.
pub(super) fn def(name: &str) -> Value {
    Value::object([("$ref", Value::text(format!("#/$defs/{name}")))])
}

/// A shape with definitions that it refers to.
pub(super) fn defining<const N: usize>(shape: Value, definitions: [(&str, Value); N]) -> Value {
    with(shape, [("$defs", Value::object(definitions))])
}
