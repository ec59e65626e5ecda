//! The value jq programs work on: a [`Value`] with a bound on its depth, under the traits of jaq.
//!
//! Owns access, iteration and update with jq 1.7's meaning (what is missing in null is made by
//! assignment). Every way to repeat or to grow passes the counters of [`super::limits`].

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use jaq_core::box_iter::{BoxIter, box_once};
use jaq_core::path::Opt;
use jaq_core::{Error, Exn, ValR, ValX};

use super::limits::{self, Limit, MAX_BOUND};
use super::order;
use crate::value::{MAX_DEPTH, Map, Number, Value};

/// A value inside an evaluation; `depth` is at least the depth of its nesting.
#[derive(Clone)]
pub(super) struct Jv {
    pub(super) v: Value,
    depth: u16,
}

pub(super) type Fail = Error<Jv>;

impl Jv {
    /// An input: values from outside are nested at most [`MAX_DEPTH`] deep.
    pub(super) fn input(v: Value) -> Jv {
        let depth = if is_leaf(&v) { 0 } else { MAX_DEPTH as u16 };
        Jv { v, depth }
    }

    /// A value made here, nested at most `depth` deep. A bound beyond [`MAX_BOUND`] is measured.
    pub(super) fn made(v: Value, depth: u16) -> Jv {
        if is_leaf(&v) {
            return Jv { v, depth: 0 };
        }
        if depth <= MAX_BOUND {
            return Jv { v, depth };
        }
        let depth = depth_of(&v);
        if depth > MAX_DEPTH {
            limits::break_off(Limit::Nesting);
            return Jv { v: Value::Null, depth: 0 };
        }
        Jv { v, depth: depth as u16 }
    }

    pub(super) fn bound(&self) -> u16 {
        self.depth
    }

    fn child(&self, v: Value) -> Jv {
        let depth = if is_leaf(&v) { 0 } else { self.depth.saturating_sub(1) };
        Jv { v, depth }
    }

    /// The kind and the shortened text, as jq's messages show a value.
    pub(super) fn shown(&self) -> String {
        shown(&self.v)
    }
}

pub(super) fn is_leaf(v: &Value) -> bool {
    !matches!(v, Value::Array(_) | Value::Object(_))
}

/// The nesting of a value; counting stops a little above [`MAX_DEPTH`].
pub(super) fn depth_of(v: &Value) -> usize {
    fn below(v: &Value, level: usize) -> usize {
        if level > MAX_DEPTH + 1 {
            return level;
        }
        let deepest = match v {
            Value::Array(items) => items.iter().map(|item| below(item, level + 1)).max(),
            Value::Object(map) => map.values().map(|item| below(item, level + 1)).max(),
            _ => return level,
        };
        deepest.unwrap_or(level + 1)
    }
    below(v, 0)
}

pub(super) fn fail<T>(message: impl fmt::Display) -> Result<T, Fail> {
    Err(Error::str(message))
}

/// What an operation answers once a limit is broken; what counts is the broken limit.
pub(super) fn broken<T>() -> Result<T, Fail> {
    fail("a limit is broken")
}

/// The kind and the shortened text of a value, as in jq's messages: `number (1)`.
pub(super) fn shown(v: &Value) -> String {
    let text = if v.size() > 64 { short_text(v) } else { v.to_string() };
    let mut end = text.len();
    if end > 11 {
        end = (0..=8).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    }
    let dots = if end < text.len() { "..." } else { "" };
    format!("{} ({}{dots})", v.kind(), &text[..end])
}

/// The beginning of the text of a large value, without writing all of it.
fn short_text(v: &Value) -> String {
    match v {
        Value::String(text) => Value::text(text.chars().take(16).collect::<String>()).to_string(),
        Value::Array(items) => format!("[{}", items.first().map_or_else(String::new, short_text)),
        Value::Object(map) => map.first().map_or_else(String::new, |(key, item)| {
            let key: String = key.chars().take(16).collect();
            format!("{{{}:{}", Value::text(key), short_text(item))
        }),
        other => other.to_string(),
    }
}

impl fmt::Display for Jv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.v, f)
    }
}

impl From<bool> for Jv {
    fn from(value: bool) -> Jv {
        Jv { v: Value::Bool(value), depth: 0 }
    }
}

impl From<isize> for Jv {
    fn from(value: isize) -> Jv {
        Jv { v: Value::from(value as i64), depth: 0 }
    }
}

impl From<usize> for Jv {
    fn from(value: usize) -> Jv {
        Jv { v: Value::from(value as u64), depth: 0 }
    }
}

impl From<f64> for Jv {
    fn from(value: f64) -> Jv {
        Jv { v: Value::Number(Number::from_any_f64(value)), depth: 0 }
    }
}

impl From<String> for Jv {
    fn from(text: String) -> Jv {
        if limits::build(text.len()) { Jv { v: text.into(), depth: 0 } } else { Jv::input(Value::Null) }
    }
}

/// The bounds of a slice, as jq writes them in paths.
impl From<Range<Option<Jv>>> for Jv {
    fn from(range: Range<Option<Jv>>) -> Jv {
        let bound = |jv: Option<Jv>| jv.map_or(Value::Null, |jv| jv.v);
        Jv { v: Value::object([("start", bound(range.start)), ("end", bound(range.end))]), depth: 1 }
    }
}

impl FromIterator<Jv> for Jv {
    fn from_iter<I: IntoIterator<Item = Jv>>(items: I) -> Jv {
        let mut depth = 0;
        let items: Vec<Value> = items
            .into_iter()
            .take_while(|_| limits::build(8))
            .map(|item| {
                depth = depth.max(item.depth);
                item.v
            })
            .collect();
        Jv::made(items.into(), depth + 1)
    }
}

impl PartialEq for Jv {
    fn eq(&self, other: &Jv) -> bool {
        order::equal(&self.v, &other.v)
    }
}

impl Eq for Jv {}

impl PartialOrd for Jv {
    fn partial_cmp(&self, other: &Jv) -> Option<Ordering> {
        Some(self.cmp(other))
    }

    /// jq holds NaN to be less than any number, itself included.
    fn lt(&self, other: &Jv) -> bool {
        self.cmp(other).is_lt() || order::is_nan(&self.v) && order::is_nan(&other.v)
    }
}

impl Ord for Jv {
    fn cmp(&self, other: &Jv) -> Ordering {
        order::compare(&self.v, &other.v)
    }
}

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

fn value_at(whole: &Jv, at: usize) -> Jv {
    let value = match &whole.v {
        Value::Array(items) => items.get(at),
        Value::Object(map) => map.get_index(at).map(|(_, value)| value),
        _ => None,
    };
    whole.child(value.cloned().unwrap_or_default())
}

fn entry_at(whole: &Jv, at: usize) -> (Jv, Jv) {
    let key = match &whole.v {
        Value::Object(map) => map.get_index(at).map_or(Value::Null, |(key, _)| Value::String(key.clone())),
        _ => Value::from(at as u64),
    };
    (Jv::input(key), value_at(whole, at))
}

fn children<T: 'static>(whole: Jv, item: fn(&Jv, usize) -> T) -> BoxIter<'static, ValR<T, Jv>> {
    match len(&whole.v) {
        Some(end) => Box::new(Children { whole, at: 0, end, item }),
        None => box_once(fail(format_args!("Cannot iterate over {}", iterated(&whole.v)))),
    }
}

fn iterated(v: &Value) -> String {
    if v.is_null() { "null".to_owned() } else { shown(v) }
}

impl jaq_core::ValT for Jv {
    fn from_num(text: &str) -> ValR<Jv> {
        let number = Number::parse(text).or_else(|| Some(Number::from_any_f64(text.parse().ok()?)));
        number.map_or_else(|| fail(format_args!("{text} is not a number")), |number| Ok(Jv::input(number.into())))
    }

    fn from_map<I: IntoIterator<Item = (Jv, Jv)>>(members: I) -> ValR<Jv> {
        let mut map = Map::new();
        let mut depth = 0;
        for (key, value) in members {
            let Value::String(key) = key.v else {
                return fail(format_args!("Object keys must be strings, not {}", shown(&key.v)));
            };
            if !limits::build(16) {
                return broken();
            }
            depth = depth.max(value.depth);
            map.insert(key, value.v);
        }
        Ok(Jv::made(map.into(), depth + 1))
    }

    fn key_values(self) -> BoxIter<'static, ValR<(Jv, Jv), Jv>> {
        children(self, entry_at)
    }

    fn values(self) -> Box<dyn Iterator<Item = ValR<Jv>>> {
        children(self, value_at)
    }

    fn index(self, index: &Jv) -> ValR<Jv> {
        match (&self.v, &index.v) {
            (Value::Null | Value::Array(_) | Value::String(_), Value::Object(range)) => slice_of(&self, range),
            (Value::Array(_), Value::Array(_)) => Ok(Jv::made(super::text::indices(&self.v, &index.v)?, 1)),
            _ => Ok(self.child(get(&self.v, &index.v)?.cloned().unwrap_or_default())),
        }
    }

    fn range(self, range: jaq_core::val::Range<&Jv>) -> ValR<Jv> {
        slice(&self, range.start.map(|jv| &jv.v), range.end.map(|jv| &jv.v))
    }

    fn map_values<'a, I: Iterator<Item = ValX<'a, Jv>>>(self, opt: Opt, f: impl Fn(Jv) -> I) -> ValX<'a, Jv> {
        let mut depth = 0;
        let mut each = |value: Value, bound: u16| {
            if !limits::step(1) {
                return Some(Err(Exn::from(broken::<()>().err()?)));
            }
            let depth_of_child = if is_leaf(&value) { 0 } else { bound };
            let new = f(Jv { v: value, depth: depth_of_child }).next()?;
            Some(new.map(|new| {
                depth = depth.max(new.depth);
                new.v
            }))
        };
        let bound = self.depth.saturating_sub(1);
        match self.v {
            Value::Array(items) => {
                let items = Arc::unwrap_or_clone(items);
                let items: Result<Vec<_>, _> = items.into_iter().filter_map(|item| each(item, bound)).collect();
                let items = items?;
                Ok(Jv::made(items.into(), depth + 1))
            }
            Value::Object(map) => {
                let map = Arc::unwrap_or_clone(map).into_iter();
                let map: Result<Map, _> = map
                    .filter_map(|(key, value)| each(value, bound).map(|new| new.map(|new| (key, new))))
                    .collect();
                let map = map?;
                Ok(Jv::made(map.into(), depth + 1))
            }
            _ => opt.fail(self, |jv| {
                Exn::from(Error::str(format_args!("Cannot iterate over {}", iterated(&jv.v))))
            }),
        }
    }

    fn map_index<'a, I: Iterator<Item = ValX<'a, Jv>>>(
        self,
        index: &Jv,
        opt: Opt,
        f: impl Fn(Jv) -> I,
    ) -> ValX<'a, Jv> {
        let old = match get(&self.v, &index.v) {
            Ok(old) => self.child(old.cloned().unwrap_or_default()),
            Err(error) => return opt.fail(self, |_| Exn::from(error)),
        };
        match f(old).next() {
            Some(new) => Ok(set(self, &index.v, new?)?),
            None => Ok(remove(self, &index.v)),
        }
    }

    fn map_range<'a, I: Iterator<Item = ValX<'a, Jv>>>(
        self,
        range: jaq_core::val::Range<&Jv>,
        opt: Opt,
        f: impl Fn(Jv) -> I,
    ) -> ValX<'a, Jv> {
        let (start, end) = (range.start.map(|jv| &jv.v), range.end.map(|jv| &jv.v));
        let old = match slice(&self, start, end) {
            Ok(old) => old,
            Err(error) => return opt.fail(self, |_| Exn::from(error)),
        };
        let new = f(old).next().transpose()?;
        Ok(set_slice(self, start, end, new)?)
    }

    fn as_bool(&self) -> bool {
        self.v.is_truthy()
    }

    fn into_string(self) -> Jv {
        match self.v {
            Value::String(_) => self,
            other => Jv::from(other.to_string()),
        }
    }
}

impl jaq_std::ValT for Jv {
    fn into_seq<S: FromIterator<Jv>>(self) -> Result<S, Jv> {
        match &self.v {
            Value::Array(items) if limits::step(items.len() / 8) => {
                Ok(items.iter().map(|item| self.child(item.clone())).collect())
            }
            _ => Err(self),
        }
    }

    fn is_int(&self) -> bool {
        matches!(&self.v, Value::Number(number) if number.is_integer())
    }

    fn as_isize(&self) -> Option<isize> {
        self.v.as_i64().and_then(|int| isize::try_from(int).ok())
    }

    fn as_f64(&self) -> Option<f64> {
        self.v.as_f64()
    }

    fn is_utf8_str(&self) -> bool {
        matches!(self.v, Value::String(_))
    }

    fn as_bytes(&self) -> Option<&[u8]> {
        self.v.as_str().map(str::as_bytes)
    }

    fn as_sub_str(&self, sub: &[u8]) -> Jv {
        Jv::from(String::from_utf8_lossy(sub).into_owned())
    }

    fn from_utf8_bytes(bytes: impl AsRef<[u8]> + Send + 'static) -> Jv {
        Jv::from(String::from_utf8_lossy(bytes.as_ref()).into_owned())
    }
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
    (index >= 0.0 && index < 1e15).then_some(index as usize)
}

/// `.[index] = new`, making an object or an array out of null.
pub(super) fn set(whole: Jv, index: &Value, new: Jv) -> ValR<Jv> {
    let depth = whole.depth.max(new.depth + 1);
    match (whole.v, index) {
        (v @ (Value::Object(_) | Value::Null), Value::String(key)) => {
            let mut map = if let Value::Object(map) = v { map } else { Arc::new(Map::new()) };
            if !limits::build(16) || !limits::step(if Arc::strong_count(&map) > 1 { map.len() / 4 } else { 0 }) {
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
            let whole = Jv { v, depth: whole.depth };
            set_slice(whole, range.get("start"), range.get("end"), Some(new))
        }
        (v, index) => Err(cannot_index(&v, index)),
    }
}

/// Removes what `.[index]` names, if it is there.
fn remove(whole: Jv, index: &Value) -> Jv {
    let depth = whole.depth;
    match (whole.v, index) {
        (Value::Object(mut map), Value::String(key)) if map.contains_key(key) => {
            if limits::step(map.len() / 4) {
                Arc::make_mut(&mut map).shift_remove(key);
            }
            Jv { v: Value::Object(map), depth }
        }
        (Value::Array(mut items), Value::Number(number)) => {
            if let Some(at) = position(items.len(), number).filter(|at| *at < items.len())
                && limits::step(items.len() / 4)
            {
                Arc::make_mut(&mut items).remove(at);
            }
            Jv { v: Value::Array(items), depth }
        }
        (v, _) => Jv { v, depth },
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
    let from_end = |at: f64| if at < 0.0 { (at + total).max(0.0) } else { at.min(total) };
    let start = from_end(bound(start, 0.0)?).floor() as usize;
    let end = from_end(bound(end, total)?).ceil() as usize;
    Ok((start, end.clamp(start, len.max(start))))
}

fn slice_of(whole: &Jv, range: &Map) -> ValR<Jv> {
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
fn set_slice(whole: Jv, start: Bound, end: Bound, new: Option<Jv>) -> ValR<Jv> {
    let mut items = match whole.v {
        Value::Array(items) => items,
        Value::Null => Arc::default(),
        other => return fail(format_args!("Cannot update field at object index of {}", other.kind())),
    };
    let (start, end) = bounds(items.len(), start, end)?;
    let (new, depth) = match new {
        None => (Arc::default(), 0),
        Some(Jv { v: Value::Array(new), depth }) => (new, depth),
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
            (Value::Object(_), Value::String(_)) | (Value::Array(_), Value::Number(_)) => Ok(remove(whole, first)),
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
