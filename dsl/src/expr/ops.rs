//! The arithmetic of jq 1.7 on values.
//!
//! Whole numbers stay exact while they fit 64 bits; everything else is a double, as in jq.

use std::ops::{Add, Div, Mul, Neg, Rem, Sub};
use std::sync::Arc;

use jaq_core::ValR;

use super::jv::{Jv, broken, fail};
use super::limits;
use super::order;
use super::show::shown;
use crate::value::{Map, Number, Value};

/// Applies an operation that whole numbers have exactly and other numbers as doubles.
fn arithmetic(
    a: &Number,
    b: &Number,
    exact: fn(i64, i64) -> Option<i64>,
    double: fn(f64, f64) -> f64,
) -> ValR<Jv> {
    if !limits::step(1) {
        return broken();
    }
    let whole = a.as_i64().zip(b.as_i64()).and_then(|(a, b)| exact(a, b));
    let number = whole.map_or_else(|| Number::from_any_f64(double(a.as_f64(), b.as_f64())), Number::from);
    Ok(Jv::input(number.into()))
}

fn refuse(a: &Value, b: &Value, what: &str) -> ValR<Jv> {
    fail(format_args!("{} and {} cannot be {what}", shown(a), shown(b)))
}

impl Add for Jv {
    type Output = ValR<Jv>;

    fn add(self, other: Jv) -> ValR<Jv> {
        let depth = self.bound().max(other.bound());
        match (self.v, other.v) {
            (Value::Null, v) | (v, Value::Null) => Ok(Jv::made(v, depth)),
            (Value::Number(a), Value::Number(b)) => arithmetic(&a, &b, i64::checked_add, |a, b| a + b),
            (Value::String(a), Value::String(b)) => {
                if !limits::build(a.len() + b.len()) {
                    return broken();
                }
                let mut text = String::with_capacity(a.len() + b.len());
                text.push_str(&a);
                text.push_str(&b);
                Ok(Jv::input(text.into()))
            }
            (Value::Array(mut a), Value::Array(b)) => {
                let copied = if Arc::strong_count(&a) > 1 { a.len() } else { 0 };
                if !limits::build((copied + b.len()) * 8) {
                    return broken();
                }
                Arc::make_mut(&mut a).extend_from_slice(&b);
                Ok(Jv::made(Value::Array(a), depth))
            }
            (Value::Object(mut a), Value::Object(b)) => {
                let copied = if Arc::strong_count(&a) > 1 { a.len() } else { 0 };
                if !limits::build((copied + b.len()) * 16) {
                    return broken();
                }
                let map = Arc::make_mut(&mut a);
                map.extend(b.iter().map(|(key, value)| (key.clone(), value.clone())));
                Ok(Jv::made(Value::Object(a), depth))
            }
            (a, b) => refuse(&a, &b, "added"),
        }
    }
}

impl Sub for Jv {
    type Output = ValR<Jv>;

    fn sub(self, other: Jv) -> ValR<Jv> {
        let depth = self.bound();
        match (self.v, other.v) {
            (Value::Number(a), Value::Number(b)) => arithmetic(&a, &b, i64::checked_sub, |a, b| a - b),
            (Value::Array(a), Value::Array(b)) => {
                let kept =
                    |item: &&Value| !b.iter().any(|other| limits::step(1) && order::equal(item, other));
                let items: Vec<Value> = a.iter().filter(kept).cloned().collect();
                if !limits::build(items.len() * 8) {
                    return broken();
                }
                Ok(Jv::made(items.into(), depth))
            }
            (a, b) => refuse(&a, &b, "subtracted"),
        }
    }
}

impl Mul for Jv {
    type Output = ValR<Jv>;

    fn mul(self, other: Jv) -> ValR<Jv> {
        let depth = self.bound().max(other.bound());
        match (self.v, other.v) {
            (Value::Number(a), Value::Number(b)) => arithmetic(&a, &b, i64::checked_mul, |a, b| a * b),
            (Value::String(text), Value::Number(times)) | (Value::Number(times), Value::String(text)) => {
                repeat(&text, times.as_f64())
            }
            (Value::Object(a), Value::Object(b)) => Ok(Jv::made(Value::Object(merge(a, &b)), depth)),
            (a, b) => refuse(&a, &b, "multiplied"),
        }
    }
}

/// A string many times; null for zero times and fewer, and at least once for a fraction.
fn repeat(text: &str, times: f64) -> ValR<Jv> {
    if times.is_nan() || times <= 0.0 {
        return Ok(Jv::input(Value::Null));
    }
    let times = times.max(1.0) as usize;
    if !limits::build(text.len().saturating_mul(times)) {
        return broken();
    }
    Ok(Jv::input(text.repeat(times).into()))
}

/// Merges objects at every depth; where both have an object they merge, else the right one counts.
fn merge(mut a: Arc<Map>, b: &Map) -> Arc<Map> {
    let copied = if Arc::strong_count(&a) > 1 { a.len() } else { 0 };
    if !limits::build((copied + b.len()) * 16) {
        return a;
    }
    let map = Arc::make_mut(&mut a);
    for (key, new) in b {
        match (map.get_mut(key), new) {
            (Some(Value::Object(old)), Value::Object(new)) => *old = merge(std::mem::take(old), new),
            (Some(old), new) => *old = new.clone(),
            (None, new) => {
                map.insert(key.clone(), new.clone());
            }
        }
    }
    a
}

impl Div for Jv {
    type Output = ValR<Jv>;

    fn div(self, other: Jv) -> ValR<Jv> {
        match (&self.v, &other.v) {
            (Value::Number(_), Value::Number(b)) if b.as_f64() == 0.0 => {
                refuse(&self.v, &other.v, "divided because the divisor is zero")
            }
            (Value::Number(a), Value::Number(b)) => {
                let exact = |a: i64, b: i64| (a.checked_rem(b)? == 0).then(|| a / b);
                arithmetic(a, b, exact, |a, b| a / b)
            }
            (Value::String(text), Value::String(separator)) => {
                Ok(Jv::made(super::text::split(text, separator)?, 1))
            }
            (a, b) => refuse(a, b, "divided"),
        }
    }
}

impl Rem for Jv {
    type Output = ValR<Jv>;

    fn rem(self, other: Jv) -> ValR<Jv> {
        let (Value::Number(a), Value::Number(b)) = (&self.v, &other.v) else {
            return refuse(&self.v, &other.v, "divided (remainder)");
        };
        if a.as_f64().is_nan() || b.as_f64().is_nan() {
            return Ok(Jv::from(f64::NAN));
        }
        // Both sides are cut to whole numbers first; the cast saturates.
        let whole = |number: &Number| number.as_i64().unwrap_or(number.as_f64() as i64);
        let (a, b) = (whole(a), whole(b));
        if b == 0 {
            return refuse(&self.v, &other.v, "divided (remainder) because the divisor is zero");
        }
        Ok(Jv::input(a.checked_rem(b).unwrap_or(0).into()))
    }
}

impl Neg for Jv {
    type Output = ValR<Jv>;

    fn neg(self) -> ValR<Jv> {
        match &self.v {
            Value::Number(number) => Ok(Jv::input(number.negated().into())),
            other => fail(format_args!("{} cannot be negated", shown(other))),
        }
    }
}
