//! The one JSON value of Tidemill (architecture, D15).
//!
//! Owns the value, its reader and writer and its conversions. Everything that holds data holds this
//! type; `serde_json::Value` stays off the hot path. It may not know about expressions or workflows.

mod convert;
mod number;
mod read;
mod write;

use std::fmt;
use std::sync::Arc;

pub use number::Number;
pub use read::{JsonError, MAX_DEPTH};

/// The members of an object, in the order they were written.
pub type Map = indexmap::IndexMap<Arc<str>, Value>;

/// A JSON value that is cheap to clone and can be shared between threads.
///
/// Objects keep the order of their members; equality ignores it, as JSON does. `Debug` and
/// `Display` print compact JSON.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Value {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, exact where its text was.
    Number(Number),
    /// A string.
    String(Arc<str>),
    /// An array.
    Array(Arc<Vec<Value>>),
    /// An object.
    Object(Arc<Map>),
}

impl Value {
    /// Reads JSON text that is exactly one value, nested at most [`MAX_DEPTH`] deep. Of a key that
    /// stands twice the last value counts.
    pub fn parse(json: &[u8]) -> Result<Value, JsonError> {
        read::parse(json)
    }

    /// Appends compact JSON.
    pub fn write(&self, out: &mut Vec<u8>) {
        write::write(self, out);
    }

    /// Compact JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        self.write(&mut out);
        out
    }

    /// The member `key` of an object; `None` for every other kind.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_object()?.get(key)
    }

    /// The element `index` of an array, from 0; `None` for every other kind.
    pub fn at(&self, index: usize) -> Option<&Value> {
        self.as_array()?.get(index)
    }

    /// The value a JSON Pointer (RFC 6901) names; the empty pointer names the value itself.
    pub fn pointer(&self, pointer: &str) -> Option<&Value> {
        if pointer.is_empty() {
            return Some(self);
        }
        let steps = pointer.strip_prefix('/')?.split('/');
        steps.into_iter().try_fold(self, |value, step| match value {
            Value::Object(map) if step.contains('~') => {
                map.get(step.replace("~1", "/").replace("~0", "~").as_str())
            }
            Value::Object(map) => map.get(step),
            Value::Array(items) => items.get(array_index(step)?),
            _ => None,
        })
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = self { Some(text) } else { None }
    }

    /// The truth value of a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(value) = self { Some(*value) } else { None }
    }

    /// The value of a number that is integral and within `i64`.
    pub fn as_i64(&self) -> Option<i64> {
        if let Value::Number(number) = self { number.as_i64() } else { None }
    }

    /// The nearest `f64` of a number.
    pub fn as_f64(&self) -> Option<f64> {
        if let Value::Number(number) = self { Some(number.as_f64()) } else { None }
    }

    /// The elements of an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        if let Value::Array(items) = self { Some(items) } else { None }
    }

    /// The members of an object.
    pub fn as_object(&self) -> Option<&Map> {
        if let Value::Object(map) = self { Some(map) } else { None }
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Whether a condition with this value holds: neither `null` nor `false` (language, section 12).
    pub fn is_truthy(&self) -> bool {
        !matches!(self, Value::Null | Value::Bool(false))
    }

    /// The kind as jq names it: null, boolean, number, string, array or object.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        }
    }

    /// An object of these members; the last of two equal keys counts.
    pub fn object<K: Into<Arc<str>>>(members: impl IntoIterator<Item = (K, Value)>) -> Value {
        Value::Object(Arc::new(members.into_iter().map(|(key, value)| (key.into(), value)).collect()))
    }

    /// An array of these elements.
    pub fn array<V: Into<Value>>(items: impl IntoIterator<Item = V>) -> Value {
        Value::Array(Arc::new(items.into_iter().map(Into::into).collect()))
    }

    /// A string.
    pub fn text(text: impl Into<Arc<str>>) -> Value {
        Value::String(text.into())
    }

    /// The size as compact JSON in bytes, escapes not counted: for limits, without writing.
    pub fn size(&self) -> usize {
        write::size(self)
    }
}

fn array_index(step: &str) -> Option<usize> {
    let canonical = step == "0" || !step.starts_with(['0', '+']);
    if canonical { step.parse().ok() } else { None }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_json()))
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> Value {
        Value::parse(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}"))
    }

    #[test]
    fn pointers_follow_rfc_6901() {
        let value = read(r#"{"a":[{"b":1}],"x/y":2,"m~n":3,"":4}"#);
        let check = |pointer: &str, expected: Option<i64>| {
            assert_eq!(value.pointer(pointer).and_then(Value::as_i64), expected, "{pointer}");
        };
        check("/a/0/b", Some(1));
        check("/x~1y", Some(2));
        check("/m~0n", Some(3));
        check("/", Some(4));
        check("/a/00/b", None);
        check("/a/1", None);
        check("/a/-", None);
        check("a", None);
        assert_eq!(value.pointer(""), Some(&value));
    }

    #[test]
    fn equality_ignores_member_order_and_number_spelling() {
        assert_eq!(read(r#"{"a":1,"b":2.0}"#), read(r#"{"b":2,"a":1e0}"#));
        assert_ne!(read("[1,2]"), read("[2,1]"));
        assert_ne!(read("null"), read("false"));
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(Value::from("\u{1}\u{7f}\n\"\\é").to_string(), r#""\u0001\u007f\n\"\\é""#);
    }

    #[test]
    fn values_can_be_shared_between_threads() {
        fn check<T: Send + Sync + Clone>() {}
        check::<Value>();
    }

    fn any_value() -> impl Strategy<Value = Value> {
        value_with("-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")
    }

    /// Values of every kind; numbers also as the pattern writes them.
    fn value_with(numbers: &'static str) -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            prop::num::f64::NORMAL.prop_map(Value::from),
            numbers.prop_map(|text| Number::parse(&text).map_or(Value::Null, Value::Number)),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..8).prop_map(Value::object),
            ]
        })
    }

    /// Equal but for the last bits of a fraction, which serde_json does not read exactly.
    fn alike(left: &serde_json::Value, right: &serde_json::Value) -> bool {
        use serde_json::Value as Json;
        match (left, right) {
            (Json::Number(a), Json::Number(b)) if a.is_f64() || b.is_f64() => {
                let (Some(a), Some(b)) = (a.as_f64(), b.as_f64()) else { return false };
                (a - b).abs() <= 1e-14 * a.abs()
            }
            (Json::Array(a), Json::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b))
            }
            (Json::Object(a), Json::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| alike(a, b)))
            }
            _ => left == right,
        }
    }

    proptest! {
        #[test]
        fn text_round_trips(value in any_value()) {
            let json = value.to_json();
            let again = Value::parse(&json).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(&again, &value);
            prop_assert_eq!(again.to_json(), json);
        }

        // Two digits of exponent: serde_json refuses a text with a number beyond f64.
        #[test]
        fn our_text_is_what_serde_json_reads(
            value in value_with("-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?")
        ) {
            let read: serde_json::Value = serde_json::from_slice(&value.to_json())
                .map_err(|error| TestCaseError::fail(error.to_string()))?;
            let direct = serde_json::Value::from(&value);
            prop_assert!(alike(&read, &direct), "{read} is not {direct}");
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            if let Ok(value) = Value::parse(text.as_bytes()) {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok() || value.to_string().contains(['e', 'E']));
            }
        }
    }
}
