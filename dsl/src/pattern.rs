//! Content patterns: conditions on the payload of an event, in its own shape (events-and-triggers.md section 4).
//!
//! A pattern is a map like the payload: below each key stands a map again, or a list of tests one of which must hold.
//! Of an array one element must do: tests below one array are passed by the same element, unless the array's own
//! elements are tested. Owns reading, judgement and explanation. Knows no trigger.

mod explain;
mod read;
mod test;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

pub use read::{MAX_TESTS, read};
use test::Test;

use crate::event::Data;
use crate::value::Value;

/// The names from the top to a field.
pub(crate) type Way = Arc<[Arc<str>]>;

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Branch);

/// What must hold of an object: every field, and of every `$or` one alternative.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Branch {
    fields: Vec<Field>,
    either: Vec<Vec<Branch>>,
}

/// What must hold of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    name: Arc<str>,
    /// The names from the top to this one: absence is judged over all elements of the arrays on the way.
    way: Way,
    part: Part,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Below(Branch),
    /// One of these tests holds.
    Tests(Vec<Test>),
}

impl Pattern {
    /// Whether a payload matches. One that is no JSON has no fields.
    pub fn matches(&self, data: &Data) -> bool {
        match data {
            Data::Json(value) => self.holds(value),
            Data::None | Data::Binary(_) => self.holds(&Value::Null),
        }
    }

    /// What a payload must have to match: at the end of each way a leaf that is one of the values, as [`key`] writes it.
    pub(crate) fn pins(&self) -> Vec<(Way, Vec<Arc<str>>)> {
        let mut pins = Vec::new();
        self.0.pins(&mut pins);
        pins
    }

    /// Whether a JSON value matches.
    pub fn holds(&self, value: &Value) -> bool {
        self.0.holds(Some(value), value)
    }
}

impl Branch {
    /// `root` is the whole payload.
    fn holds(&self, value: Option<&Value>, root: &Value) -> bool {
        if let Some(Value::Array(items)) = value {
            let mut objects = items.iter().filter(|item| composite(item)).peekable();
            return match objects.peek() {
                Some(_) => objects.any(|item| self.holds(Some(item), root)),
                None => self.holds(None, root),
            };
        }
        self.fields.iter().all(|field| field.holds(value.and_then(|value| value.get(&field.name)), root))
            && self.either.iter().all(|any| any.iter().any(|branch| branch.holds(value, root)))
    }
}

impl Branch {
    fn pins(&self, pins: &mut Vec<(Way, Vec<Arc<str>>)>) {
        for field in &self.fields {
            match &field.part {
                Part::Below(branch) => branch.pins(pins),
                Part::Tests(tests) => {
                    let values = tests.iter().map(|test| match test {
                        Test::Equal(value) => key(value).map(Into::into),
                        _ => None,
                    });
                    pins.extend(values.collect::<Option<_>>().map(|values| (field.way.clone(), values)));
                }
            }
        }
    }
}

/// A text as it is, a whole number behind a control character; nothing else is a key.
pub(crate) fn key(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => number.as_i64().map(|number| Cow::Owned(format!("\u{1}{number}"))),
        _ => None,
    }
}

/// Shows every leaf at the end of a way, through all elements of arrays.
pub(crate) fn each_leaf<'v>(value: &'v Value, way: &[Arc<str>], see: &mut dyn FnMut(&'v Value)) {
    match (value, way) {
        (Value::Array(items), _) => items.iter().for_each(|item| each_leaf(item, way, see)),
        (Value::Object(map), [name, rest @ ..]) => {
            if let Some(value) = map.get(name) {
                each_leaf(value, rest, see);
            }
        }
        (Value::Object(_), []) => {}
        (leaf, []) => see(leaf),
        _ => {}
    }
}

impl Field {
    fn holds(&self, value: Option<&Value>, root: &Value) -> bool {
        match &self.part {
            Part::Below(branch) => branch.holds(value, root),
            Part::Tests(tests) => tests.iter().any(|test| match test {
                Test::Absent => !has_leaf(root, &self.way),
                test => value.is_some_and(|value| any_leaf(value, &mut |leaf| test.holds(leaf))),
            }),
        }
    }
}

fn composite(value: &Value) -> bool {
    matches!(value, Value::Array(_) | Value::Object(_))
}

/// Whether a leaf passes: the value itself, or an element of the array that it is. Objects are no leaves.
fn any_leaf(value: &Value, passes: &mut dyn FnMut(&Value) -> bool) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| any_leaf(item, passes)),
        Value::Object(_) => false,
        leaf => passes(leaf),
    }
}

/// Whether there is a leaf at the end of the way, through whichever elements of arrays.
fn has_leaf(value: &Value, way: &[Arc<str>]) -> bool {
    let mut found = false;
    each_leaf(value, way, &mut |_| found = true);
    found
}
