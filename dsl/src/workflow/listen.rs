//! `listen`: which event, and what is read of it.

use std::sync::Arc;

use regex::RegexBuilder;

use crate::codes;
use crate::expr::whole;
use crate::program::{AttributeTest, EventFilter, Kind, Listen, Read};
use crate::reader::{Place, Reader};
use crate::value::Value;
use crate::yaml::NodeKind;

use super::emit::attribute_name;
use super::values::At;

/// Longest text of a filter that is tried as a regular expression, bytes (limit `regex-size`).
const MAX_PATTERN: usize = 10 * 1024;
/// Largest compiled regular expression, bytes.
const MAX_COMPILED: usize = 1024 * 1024;

/// `listen` with the `foreach` that may stand beside it.
pub(super) fn listen(place: &Place, task: &mut Reader, at: At) -> Option<Kind> {
    task.refuse("foreach", codes::LATER_FOREACH, "`foreach` of a listen is not supported by this release");
    let mut reader = Reader::open(place.clone(), at.sink, "`listen`")?;
    let read =
        reader.choice("read", &[("data", Read::Data), ("envelope", Read::Envelope), ("raw", Read::Raw)]);
    let to = reader.need("to");
    reader.finish();
    let filter = strategy(&to?, at)?;
    Some(Kind::Listen(Listen { filter, read }))
}

/// `to`: one event; several are refused.
fn strategy(place: &Place, at: At) -> Option<EventFilter> {
    let mut reader = Reader::open(place.clone(), at.sink, "`to`")?;
    let chosen = super::one_of(&mut reader, &["one", "any", "all"], false);
    if let Some(until) = reader.take("until") {
        if chosen.as_ref().is_none_or(|(key, _)| *key != "any") {
            at.sink.push(until.key_error(codes::EXCLUSIVE, "`until` belongs to `any`"));
        }
        if let Some(inner) = until.node.entry("until") {
            let d = crate::diagnostic::Diagnostic::error(
                codes::EXCLUSIVE,
                inner.key_span,
                "an `until` cannot have an `until`",
            );
            at.sink.push(d.at(format!("{}/until", until.pointer)));
        }
    }
    reader.finish();
    let (key, place) = chosen?;
    let (code, several) = match key {
        "one" => return filter(&place, at),
        "all" => (codes::LATER_LISTEN_ALL, "all"),
        _ => (codes::LATER_LISTEN_ANY, "any"),
    };
    place.list(at.sink)?.iter().for_each(|p| drop(filter(p, at)));
    let d = place.key_error(
        code,
        format!("listening to `{several}` of several events is not supported by this release"),
    );
    at.sink.push(match codes::explain(code) {
        Some(text) => d.help(text.text),
        None => d,
    });
    None
}

/// One event filter.
fn filter(place: &Place, at: At) -> Option<EventFilter> {
    let mut reader = Reader::open(place.clone(), at.sink, "an event filter")?;
    reader.refuse("correlate", codes::LATER_CORRELATE, "`correlate` is not supported by this release");
    let with = reader.need("with");
    reader.finish();
    let with = with?;
    let entries = with.entries(at.sink)?;
    if entries.is_empty() {
        let d = with.key_error(codes::EMPTY, "the event filter is empty");
        at.sink.push(d.help("state at least one attribute, for example `type`"));
        return None;
    }
    let mut tests = Vec::new();
    for (name, place) in &entries {
        attribute_name(name, place, at);
        if let Some(test) = test(name, place, at) {
            tests.push((name.clone(), test));
        }
    }
    (tests.len() == entries.len()).then_some(EventFilter { with: tests })
}

fn test(name: &str, place: &Place, at: At) -> Option<AttributeTest> {
    let text = match &place.node.kind {
        NodeKind::Scalar { value: Value::String(text), .. } => text,
        NodeKind::Scalar { value, .. } if !value.is_null() => {
            return Some(AttributeTest::Equal(value.clone()));
        }
        NodeKind::List(_) | NodeKind::Map(_) if name == "data" => return data(place, at),
        _ => return place.wrong(at.sink, "a string, a number or a boolean"),
    };
    if whole(text).is_some() {
        return at.condition(place).map(AttributeTest::Expr);
    }
    let literal: Arc<str> = text.clone();
    // A text whose only special character is the dot is meant literally: types and hosts are full of dots, and a
    // literal `type` is what events are looked up by.
    let meta = text.contains(['*', '+', '?', '(', ')', '[', ']', '{', '}', '|', '^', '$', '\\']);
    if !meta || text.len() > MAX_PATTERN {
        return Some(AttributeTest::Text { literal, pattern: None });
    }
    match RegexBuilder::new(&format!("\\A(?:{text})\\z")).size_limit(MAX_COMPILED).build() {
        Ok(pattern) => Some(AttributeTest::Text { literal, pattern: Some(pattern) }),
        Err(regex::Error::CompiledTooBig(_)) => {
            at.sink.push(
                place.error(codes::PATTERN, format!("the regular expression of `{name}` is too large")),
            );
            None
        }
        Err(_) => Some(AttributeTest::Text { literal, pattern: None }),
    }
}

/// A payload to equal; expressions would not be evaluated in it.
fn data(place: &Place, at: At) -> Option<AttributeTest> {
    let value = place.node.to_value();
    if value.to_string().contains("${") {
        let d =
            place.error(codes::WRONG_VALUE, "expressions inside the `data` of a filter are not evaluated");
        at.sink.push(d.help("write one expression over the data, for example `data: ${ .total > 100 }`"));
        return None;
    }
    Some(AttributeTest::Equal(value))
}
