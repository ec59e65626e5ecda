//! Comparing values as jq orders them, in steps of fuel.
//!
//! null < false < true < numbers < strings < arrays < objects.

use std::cmp::Ordering;

use super::limits;
use crate::value::{Map, Value};

pub(super) fn is_nan(v: &Value) -> bool {
    v.as_f64().is_some_and(f64::is_nan)
}

/// `==`: by value; NaN equals nothing.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Number(a), Value::Number(b)) => a == b,
        (Value::String(a), Value::String(b)) => a.len() == b.len() && limits::step(a.len() / 256) && a == b,
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| limits::step(1) && equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let same = |(key, a): (&_, &Value)| limits::step(1) && b.get(key).is_some_and(|b| equal(a, b));
            a.len() == b.len() && a.iter().all(same)
        }
        _ => false,
    }
}

/// The total order that sorting uses; NaN is below the other numbers and equal to itself.
pub(super) fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => a.total_cmp(b),
        (Value::String(a), Value::String(b)) => {
            limits::step(a.len().min(b.len()) / 256);
            a.cmp(b)
        }
        (Value::Array(a), Value::Array(b)) => {
            let pairs = a.iter().zip(b.iter()).take_while(|_| limits::step(1));
            let first = pairs.map(|(a, b)| compare(a, b)).find(|order| order.is_ne());
            first.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Value::Object(a), Value::Object(b)) => compare_objects(a, b),
        _ => rank(a).cmp(&rank(b)),
    }
}

/// Objects compare by their sorted keys first, then by the values in that order of the keys.
fn compare_objects(a: &Map, b: &Map) -> Ordering {
    let sorted = |map: &Map| {
        limits::step(map.len());
        let mut entries: Vec<_> = map.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        entries
    };
    let (a, b) = (sorted(a), sorted(b));
    let keys = a.iter().map(|(key, _)| key).cmp(b.iter().map(|(key, _)| key));
    keys.then_with(|| {
        let values = a.iter().zip(b.iter()).map(|((_, a), (_, b))| compare(a, b));
        values.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    })
}

fn rank(v: &Value) -> u8 {
    match v {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}
