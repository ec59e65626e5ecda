//! The functions of jq on arrays and objects, and on values of any kind.

use std::sync::Arc;

use super::access::{delete_path, set_path};
use super::jv::{Fail, Jv, broken, fail};
use super::limits;
use super::order;
use super::show::shown;
use crate::value::{Map, Number, Value};

type Out = Result<Value, Fail>;

/// An array made here, counted against the memory of the evaluation.
fn array(items: Vec<Value>) -> Out {
    if limits::build(items.len() * 8) { Ok(items.into()) } else { broken() }
}

// The table of functions wants one form for all.
#[allow(clippy::unnecessary_wraps)]
pub(super) fn not(v: &Value) -> Out {
    Ok((!v.is_truthy()).into())
}

#[allow(clippy::unnecessary_wraps)]
pub(super) fn kind(v: &Value) -> Out {
    Ok(v.kind().into())
}

pub(super) fn length(v: &Value) -> Out {
    Ok(match v {
        Value::Null => 0u64.into(),
        Value::Bool(_) => return fail(format_args!("{} has no length", shown(v))),
        Value::Number(number) if number.as_f64() < 0.0 => number.negated().into(),
        Value::Number(_) => v.clone(),
        Value::String(text) => (text.chars().count() as u64).into(),
        Value::Array(items) => (items.len() as u64).into(),
        Value::Object(map) => (map.len() as u64).into(),
    })
}

pub(super) fn abs(v: &Value) -> Out {
    match v {
        Value::Number(_) => length(v),
        _ => fail(format_args!("{} has no absolute value", shown(v))),
    }
}

pub(super) fn is_nan(v: &Value) -> Out {
    need_number(v).map(|number| number.is_nan().into())
}

pub(super) fn is_infinite(v: &Value) -> Out {
    need_number(v).map(|number| number.is_infinite().into())
}

pub(super) fn is_normal(v: &Value) -> Out {
    need_number(v).map(|number| number.is_normal().into())
}

fn need_number(v: &Value) -> Result<f64, Fail> {
    v.as_f64().map_or_else(|| fail(format_args!("{} number required", shown(v))), Ok)
}

pub(super) fn keys_unsorted(v: &Value) -> Out {
    match v {
        Value::Object(map) => array(map.keys().cloned().map(Value::String).collect()),
        Value::Array(items) => array((0..items.len() as u64).map(Value::from).collect()),
        _ => fail(format_args!("{} has no keys", shown(v))),
    }
}

pub(super) fn keys(v: &Value) -> Out {
    let Value::Object(map) = v else {
        return keys_unsorted(v);
    };
    limits::step(map.len());
    let mut keys: Vec<Arc<str>> = map.keys().cloned().collect();
    keys.sort();
    array(keys.into_iter().map(Value::String).collect())
}

pub(super) fn has(v: &Value, key: &Value) -> Out {
    match (v, key) {
        (Value::Object(map), Value::String(key)) => Ok(map.contains_key(key).into()),
        (Value::Array(items), Value::Number(at)) => {
            let at = at.as_f64();
            Ok((at >= 0.0 && at < items.len() as f64).into())
        }
        (v, key) => fail(format_args!("Cannot check whether {} has a {} key", v.kind(), key.kind())),
    }
}

pub(super) fn contains(v: &Value, part: &Value) -> Out {
    if std::mem::discriminant(v) != std::mem::discriminant(part) {
        return fail(format_args!("{} and {} cannot have their containment checked", shown(v), shown(part)));
    }
    Ok(holds(v, part).into())
}

fn holds(v: &Value, part: &Value) -> bool {
    if !limits::step(1) {
        return false;
    }
    match (v, part) {
        (Value::Object(map), Value::Object(part)) => {
            part.iter().all(|(key, part)| map.get(key).is_some_and(|v| holds(v, part)))
        }
        (Value::Array(items), Value::Array(part)) => {
            part.iter().all(|part| items.iter().any(|item| holds(item, part)))
        }
        (Value::String(text), Value::String(part)) => {
            limits::step(text.len() / 256) && text.contains(part.as_ref())
        }
        _ => order::equal(v, part),
    }
}

/// The elements of an array or the members of an object.
fn elements(v: &Value) -> Result<Vec<&Value>, Fail> {
    match v {
        Value::Array(items) => Ok(items.iter().collect()),
        Value::Object(map) => Ok(map.values().collect()),
        Value::Null => fail("Cannot iterate over null"),
        _ => fail(format_args!("Cannot iterate over {}", shown(v))),
    }
}

pub(super) fn add(v: &Value) -> Out {
    let mut sum = Jv::input(Value::Null);
    for item in elements(v)? {
        sum = (sum + Jv::made(item.clone(), 0))?;
    }
    Ok(sum.v)
}

pub(super) fn flatten(v: &Value, depth: &Value) -> Out {
    let depth = need_number(depth)?;
    if depth < 0.0 {
        return fail("flatten depth must not be negative");
    }
    let mut flat = Vec::new();
    for item in elements(v)? {
        flatten_into(item, depth, &mut flat);
    }
    array(flat)
}

fn flatten_into(v: &Value, depth: f64, flat: &mut Vec<Value>) {
    match v {
        Value::Array(items) if depth > 0.0 && limits::step(1) => {
            items.iter().for_each(|item| flatten_into(item, depth - 1.0, flat));
        }
        other if limits::step(1) => flat.push(other.clone()),
        _ => {}
    }
}

pub(super) fn reverse(v: &Value) -> Out {
    match v {
        Value::Null => array(Vec::new()),
        Value::Array(items) => array(items.iter().rev().cloned().collect()),
        Value::String(text) => super::text::text(text.chars().rev().collect::<String>()),
        _ => fail(format_args!("Cannot reverse {}", shown(v))),
    }
}

pub(super) fn sort(v: &Value) -> Out {
    let Value::Array(items) = v else {
        return fail(format_args!("{} cannot be sorted, as it is not an array", shown(v)));
    };
    if !limits::step(items.len()) {
        return broken();
    }
    let mut items = items.as_ref().clone();
    items.sort_by(order::compare);
    array(items)
}

pub(super) fn to_entries(v: &Value) -> Out {
    let pair = |key: Value, value: &Value| Value::object([("key", key), ("value", value.clone())]);
    let (entries, count): (Vec<Value>, usize) = match v {
        Value::Object(map) => {
            (map.iter().map(|(key, value)| pair(Value::String(key.clone()), value)).collect(), map.len())
        }
        Value::Array(items) => {
            let numbered = (0u64..).zip(items.iter());
            (numbered.map(|(at, value)| pair(at.into(), value)).collect(), items.len())
        }
        _ => return fail(format_args!("{} has no keys", shown(v))),
    };
    if limits::build(count * 40) { array(entries) } else { broken() }
}

pub(super) fn from_entries(v: &Value) -> Out {
    let mut map = Map::new();
    for entry in elements(v)? {
        let Value::Object(members) = entry else {
            return fail(format_args!("Cannot index {} with string \"key\"", entry.kind()));
        };
        let first = |names: &[&str]| names.iter().find_map(|name| members.get(*name));
        let usable = |name: &&&str| members.get(**name).is_some_and(|key| !key.is_null());
        let names = ["key", "k", "name", "Name", "Key", "K"];
        let key = match names.iter().find(usable).and_then(|name| members.get(*name)) {
            Some(Value::String(key)) => key.clone(),
            Some(key @ (Value::Number(_) | Value::Bool(_))) => key.to_string().into(),
            None => "null".into(),
            Some(other) => {
                return fail(format_args!("Cannot use {} as object key", shown(other)));
            }
        };
        if !limits::build(16 + key.len()) {
            return broken();
        }
        let value = first(&["value", "v", "Value", "V"]).cloned().unwrap_or_default();
        map.insert(key, value);
    }
    Ok(map.into())
}

pub(super) fn transpose(v: &Value) -> Out {
    let mut rows = Vec::new();
    for row in elements(v)? {
        match row {
            Value::Array(row) => rows.push(row.as_slice()),
            Value::Null => rows.push(&[]),
            other => return fail(format_args!("Cannot index {} with number", other.kind())),
        }
    }
    let width = rows.iter().map(|row| row.len()).max().unwrap_or(0);
    if !limits::build(width.saturating_mul(rows.len()).saturating_mul(8)) {
        return broken();
    }
    let column = |at: usize| Value::array(rows.iter().map(|row| row.get(at).cloned().unwrap_or_default()));
    array((0..width).map(column).collect())
}

/// The index of a value in a sorted array, or minus one minus where it would go.
pub(super) fn bsearch(v: &Value, target: &Value) -> Out {
    let Value::Array(items) = v else {
        return fail(format_args!("{} cannot be searched from", shown(v)));
    };
    Ok(match items.binary_search_by(|item| order::compare(item, target)) {
        Ok(at) => (at as i64).into(),
        Err(at) => (-1 - at as i64).into(),
    })
}

/// The events of a value in streaming form.
pub(super) fn to_stream(v: &Value) -> Out {
    let mut events = Vec::new();
    let mut path = Vec::new();
    stream_into(v, &mut path, &mut events);
    array(events)
}

fn stream_into(v: &Value, path: &mut Vec<Value>, events: &mut Vec<Value>) {
    if !limits::build(16 + path.len() * 8) || !limits::step(1) {
        return;
    }
    let children: Vec<(Value, &Value)> = match v {
        Value::Array(items) => (0u64..).zip(items.iter()).map(|(at, item)| (at.into(), item)).collect(),
        Value::Object(map) => map.iter().map(|(key, item)| (Value::String(key.clone()), item)).collect(),
        _ => Vec::new(),
    };
    if children.is_empty() {
        events.push(Value::array([path.clone().into(), v.clone()]));
        return;
    }
    let count = children.len();
    for (at, (key, item)) in children.into_iter().enumerate() {
        path.push(key);
        stream_into(item, path, events);
        if at + 1 == count {
            events.push(Value::array([Value::from(path.clone())]));
        }
        path.pop();
    }
}

pub(super) fn to_array(v: &Value) -> Out {
    if let Value::Array(_) = v { Ok(v.clone()) } else { array(vec![v.clone()]) }
}

pub(super) fn set_at(v: Jv, path: &Value, new: Jv) -> Result<Jv, Fail> {
    match path {
        Value::Array(path) => set_path(v, path, new),
        _ => fail("Path must be specified as an array"),
    }
}

/// Deletes the last paths first, so that earlier deletions move nothing that is still to go.
pub(super) fn delete_at(v: Jv, paths: &Value) -> Result<Jv, Fail> {
    let Value::Array(paths) = paths else {
        return fail("Paths must be specified as an array");
    };
    if !limits::step(paths.len()) {
        return broken();
    }
    let mut sorted: Vec<&Value> = paths.iter().collect();
    sorted.sort_by(|a, b| order::compare(b, a));
    sorted.dedup_by(|a, b| order::equal(a, b));
    sorted.into_iter().try_fold(v, |v, path| match path {
        Value::Array(path) => delete_path(v, path),
        _ => fail("Path must be specified as an array"),
    })
}

pub(super) fn nan() -> Value {
    Value::Number(Number::from_any_f64(f64::NAN))
}

pub(super) fn infinite() -> Value {
    Value::Number(Number::from_any_f64(f64::INFINITY))
}
