//! Reading, setting and removing places of values with jq 1.7's meaning.

use std::sync::Arc;

use jaq_core::box_iter::{BoxIter, box_once};
use jaq_core::{Error, ValR};

use super::jv::{Fail, Jv, broken, fail};
use super::limits::{self, Limit, MAX_BOUND};
use super::show::shown;
use crate::value::{Map, Number, Value};

/// The elements of an array or the members of an object, one step of fuel each.
struct Children<T> {
    whole: Jv,
    at: usize,
    end: usize,
    item: fn(&Jv, usize) -> T,
}

impl<T> Iterator for Children<T> {
    type Item = ValR<T, Jv>;

    fn next(&mut self) -> Option<ValR<T, Jv>> {
        if self.at >= self.end {
            return None;
        }
        if !limits::step(1) {
            self.at = self.end;
            return Some(broken());
        }
        self.at += 1;
        Some(Ok((self.item)(&self.whole, self.at - 1)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.end - self.at;
        (left, Some(left))
    }
}

fn len(v: &Value) -> Option<usize> {
    match v {
        Value::Array(items) => Some(items.len()),
        Value::Object(map) => Some(map.len()),
        _ => None,
    }
}

pub(super) fn value_at(whole: &Jv, at: usize) -> Jv {
    let value = match &whole.v {
        Value::Array(items) => items.get(at),
        Value::Object(map) => map.get_index(at).map(|(_, value)| value),
        _ => None,
    };
    whole.child(value.cloned().unwrap_or_default())
}

pub(super) fn entry_at(whole: &Jv, at: usize) -> (Jv, Jv) {
    let key = match &whole.v {
        Value::Object(map) => map.get_index(at).map_or(Value::Null, |(key, _)| Value::String(key.clone())),
        _ => Value::from(at as u64),
    };
    (Jv::input(key), value_at(whole, at))
}

pub(super) fn children<T: 'static>(whole: Jv, item: fn(&Jv, usize) -> T) -> BoxIter<'static, ValR<T, Jv>> {
    match len(&whole.v) {
        Some(end) => Box::new(Children { whole, at: 0, end, item }),
        None => box_once(fail(format_args!("Cannot iterate over {}", iterated(&whole.v)))),
    }
}

pub(super) fn iterated(v: &Value) -> String {
    if v.is_null() { "null".to_owned() } else { shown(v) }
}

/// `.[index]`: what is missing is `None`; what cannot be indexed that way is an error.
pub(super) fn get<'a>(v: &'a Value, index: &Value) -> Result<Option<&'a Value>, Fail> {
    match (v, index) {
        (Value::Object(map), Value::String(key)) => Ok(map.get(key)),
        (Value::Array(items), Value::Number(number)) => {
            Ok(position(items.len(), number).and_then(|at| items.get(at)))
        }
        (Value::Null, Value::String(_) | Value::Number(_) | Value::Null) => Ok(None),
        _ => Err(cannot_index(v, index)),
    }
}

fn cannot_index(v: &Value, index: &Value) -> Fail {
    match index {
        Value::String(key) => Error::str(format_args!("Cannot index {} with string \"{key}\"", v.kind())),
        _ => Error::str(format_args!("Cannot index {} with {}", v.kind(), index.kind())),
    }
}

/// The place a number names in an array: rounded down, from the end if negative.
fn position(len: usize, index: &Number) -> Option<usize> {
    let index = index.as_f64().floor();
    let index = if index < 0.0 { index + len as f64 } else { index };
    (0.0..1e15).contains(&index).then_some(index as usize)
}

/// `.[index] = new`, making an object or an array out of null.
pub(super) fn set(whole: Jv, index: &Value, new: Jv) -> ValR<Jv> {
    let depth = whole.depth.max(new.depth + 1);
    match (whole.v, index) {
        (v @ (Value::Object(_) | Value::Null), Value::String(key)) => {
            let mut map = if let Value::Object(map) = v { map } else { Arc::new(Map::new()) };
            if !limits::build(16)
                || !limits::step(if Arc::strong_count(&map) > 1 { map.len() / 4 } else { 0 })
            {
                return broken();
            }
            Arc::make_mut(&mut map).insert(key.clone(), new.v);
            Ok(Jv::made(Value::Object(map), depth))
        }
        (v @ (Value::Array(_) | Value::Null), Value::Number(number)) => {
            let mut items = if let Value::Array(items) = v { items } else { Arc::default() };
            let Some(at) = position(items.len(), number) else {
                return fail("Out of bounds negative array index");
            };
            let grown = (at + 1).saturating_sub(items.len());
            let copied = if Arc::strong_count(&items) > 1 { items.len() / 4 } else { 0 };
            if !limits::build(grown.saturating_mul(8)) || !limits::step(copied) {
                return broken();
            }
            let list = Arc::make_mut(&mut items);
            list.resize_with(list.len().max(at + 1), Value::default);
            list[at] = new.v;
            Ok(Jv::made(Value::Array(items), depth))
        }
        (v @ (Value::Array(_) | Value::Null), Value::Object(range)) => {
            let whole = Jv::of(v, whole.depth);
            set_slice(whole, range.get("start"), range.get("end"), Some(new))
        }
        (v, index) => Err(cannot_index(&v, index)),
    }
}

/// Removes what `.[index]` names, if it is there.
pub(super) fn remove(whole: Jv, index: &Value) -> Jv {
    let depth = whole.depth;
    match (whole.v, index) {
        (Value::Object(mut map), Value::String(key)) if map.contains_key(key) => {
            if limits::step(map.len() / 4) {
                Arc::make_mut(&mut map).shift_remove(key);
            }
            Jv::of(Value::Object(map), depth)
        }
        (Value::Array(mut items), Value::Number(number)) => {
            if let Some(at) = position(items.len(), number).filter(|at| *at < items.len())
                && limits::step(items.len() / 4)
            {
                Arc::make_mut(&mut items).remove(at);
            }
            Jv::of(Value::Array(items), depth)
        }
        (v, _) => Jv::of(v, depth),
    }
}

type Bound<'a> = Option<&'a Value>;

/// The start and end of a slice of `len` things: the start rounded down, the end up.
fn bounds(len: usize, start: Bound, end: Bound) -> Result<(usize, usize), Fail> {
    let bound = |bound: Bound, default: f64| match bound {
        None | Some(Value::Null) => Ok(default),
        Some(Value::Number(number)) => Ok(number.as_f64()),
        Some(_) => fail("Start and end indices of an array slice must be numbers"),
    };
    let total = len as f64;
    let from_end = |at: f64| {
        if at < 0.0 { (at + total).max(0.0) } else { at.min(total) }
    };
    let start = from_end(bound(start, 0.0)?).floor() as usize;
    let end = from_end(bound(end, total)?).ceil() as usize;
    Ok((start, end.clamp(start, len.max(start))))
}

pub(super) fn slice_of(whole: &Jv, range: &Map) -> ValR<Jv> {
    if !range.contains_key("start") && !range.contains_key("end") {
        return fail(format_args!("Cannot index {} with object", whole.v.kind()));
    }
    slice(whole, range.get("start"), range.get("end"))
}

/// `.[start:end]` of an array, a string (by code points) or null.
pub(super) fn slice(whole: &Jv, start: Bound, end: Bound) -> ValR<Jv> {
    match &whole.v {
        Value::Null => Ok(whole.clone()),
        Value::Array(items) => {
            let (start, end) = bounds(items.len(), start, end)?;
            if !limits::build((end - start) * 8) {
                return broken();
            }
            Ok(Jv::made(items[start..end].to_vec().into(), whole.depth))
        }
        Value::String(text) => {
            if !limits::step(text.len() / 64) {
                return broken();
            }
            let (start, end) = bounds(text.chars().count(), start, end)?;
            let at = |count: usize| text.char_indices().nth(count).map_or(text.len(), |(at, _)| at);
            Ok(Jv::from(text[at(start)..at(end)].to_owned()))
        }
        other => fail(format_args!("Cannot index {} with object", other.kind())),
    }
}

/// Replaces a slice by the elements of `new`, or removes it.
pub(super) fn set_slice(whole: Jv, start: Bound, end: Bound, new: Option<Jv>) -> ValR<Jv> {
    let mut items = match whole.v {
        Value::Array(items) => items,
        Value::Null => Arc::default(),
        other => {
            return fail(format_args!("Cannot update field at object index of {}", other.kind()));
        }
    };
    let (start, end) = bounds(items.len(), start, end)?;
    let (new, depth) = match new {
        None => (Arc::default(), 0),
        Some(Jv { v: Value::Array(new), depth, .. }) => (new, depth),
        Some(_) => return fail("A slice of an array can only be assigned another array"),
    };
    if !limits::build(new.len() * 8) || !limits::step(items.len() / 4) {
        return broken();
    }
    Arc::make_mut(&mut items).splice(start..end, new.iter().cloned());
    Ok(Jv::made(Value::Array(items), whole.depth.max(depth).max(1)))
}

/// The value at a path, as `getpath` has it: null below null.
pub(super) fn get_path(whole: &Jv, path: &[Value]) -> ValR<Jv> {
    use jaq_core::ValT as _;
    path.iter().try_fold(whole.clone(), |jv, step| {
        if jv.v.is_null() { Ok(jv) } else { jv.index(&Jv::input(step.clone())) }
    })
}

/// The value with the place at a path set.
pub(super) fn set_path(whole: Jv, path: &[Value], new: Jv) -> ValR<Jv> {
    let Some((first, rest)) = path.split_first() else {
        return Ok(new);
    };
    if path.len() > usize::from(MAX_BOUND) {
        limits::break_off(Limit::Nesting);
        return broken();
    }
    if !limits::step(1) {
        return broken();
    }
    let new = if rest.is_empty() { new } else { set_path(get_path(&whole, &path[..1])?, rest, new)? };
    set(whole, first, new)
}

/// The value without the place at a path; a place that is not there is no error.
pub(super) fn delete_path(whole: Jv, path: &[Value]) -> ValR<Jv> {
    let Some((first, rest)) = path.split_first() else {
        return Ok(Jv::input(Value::Null));
    };
    if whole.v.is_null() {
        return Ok(whole);
    }
    if !limits::step(1) {
        return broken();
    }
    if rest.is_empty() {
        return match (&whole.v, first) {
            (Value::Object(_), Value::String(_)) | (Value::Array(_), Value::Number(_)) => {
                Ok(remove(whole, first))
            }
            (Value::Array(_), Value::Object(range)) => {
                let (start, end) = (range.get("start").cloned(), range.get("end").cloned());
                set_slice(whole, start.as_ref(), end.as_ref(), None)
            }
            (v, index) => fail(format_args!("Cannot delete field at {} index of {}", index.kind(), v.kind())),
        };
    }
    let child = get_path(&whole, &path[..1])?;
    if child.v.is_null() {
        return Ok(whole);
    }
    let child = delete_path(child, rest)?;
    set(whole, first, child)
}
