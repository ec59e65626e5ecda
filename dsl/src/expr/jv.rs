//! The value jq programs work on: a [`Value`] with a bound on its depth, under the traits of jaq.
//!
//! Owns access, iteration and update with jq 1.7's meaning (what is missing in null is made by
//! assignment). Every way to repeat or to grow passes the counters of [`super::limits`].

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use jaq_core::box_iter::BoxIter;
use jaq_core::path::Opt;
use jaq_core::{Error, Exn, ValR, ValX};

use super::access::{children, entry_at, get, iterated, remove, set, set_slice, slice, slice_of, value_at};
use super::limits::{self, Limit, MAX_BOUND, MAX_STEPS};
use super::order;
use super::show::{fits, shown};
use crate::value::{MAX_DEPTH, Map, Number, Value};

/// A value inside an evaluation; `depth` is at least the depth of its nesting.
#[derive(Clone)]
pub(super) struct Jv {
    pub(super) v: Value,
    pub(super) depth: u16,
    /// Steps into null and slices on the way here: they can make paths of any length.
    steps: u16,
}

pub(super) type Fail = Error<Jv>;

impl Jv {
    /// A value nested at most `depth` deep.
    pub(super) fn of(v: Value, depth: u16) -> Jv {
        Jv { v, depth, steps: 0 }
    }

    /// An input: values from outside are nested at most [`MAX_DEPTH`] deep.
    pub(super) fn input(v: Value) -> Jv {
        let depth = if is_leaf(&v) { 0 } else { MAX_DEPTH as u16 };
        Jv::of(v, depth)
    }

    /// A value made here, nested at most `depth` deep. A bound beyond [`MAX_BOUND`] is measured.
    pub(super) fn made(v: Value, depth: u16) -> Jv {
        if is_leaf(&v) {
            return Jv::of(v, 0);
        }
        if depth <= MAX_BOUND {
            return Jv::of(v, depth);
        }
        if let Some(depth) = depth_of(&v) {
            return Jv::of(v, depth as u16);
        }
        limits::break_off(Limit::Nesting);
        Jv::of(Value::Null, 0)
    }

    pub(super) fn bound(&self) -> u16 {
        self.depth
    }

    /// A value that is a part of this one.
    pub(super) fn child(&self, v: Value) -> Jv {
        let depth = if is_leaf(&v) { 0 } else { self.depth.saturating_sub(1) };
        let jv = Jv { v, depth, steps: self.steps };
        if self.v.is_null() { jv.one_step_on() } else { jv }
    }

    /// The slice `v` of this one.
    pub(super) fn slice(&self, v: Jv) -> Jv {
        Jv { steps: self.steps, ..v }.one_step_on()
    }

    /// The same value at the end of a longer path.
    fn one_step_on(self) -> Jv {
        if self.steps >= MAX_STEPS {
            limits::break_off(Limit::Path);
        }
        Jv { steps: self.steps.saturating_add(1), ..self }
    }
}

pub(super) fn is_leaf(v: &Value) -> bool {
    !matches!(v, Value::Array(_) | Value::Object(_))
}

/// The nesting of a value, if it is at most [`MAX_DEPTH`] deep. Shared parts are walked each time
/// they occur, for fuel.
fn depth_of(v: &Value) -> Option<usize> {
    fn below(v: &Value, level: usize) -> Option<usize> {
        if is_leaf(v) {
            return Some(level);
        }
        if level >= MAX_DEPTH || !limits::step(1) {
            return None;
        }
        let deepest = |deepest: usize, item| below(item, level + 1).map(|depth| depth.max(deepest));
        match v {
            Value::Array(items) => items.iter().try_fold(level + 1, deepest),
            Value::Object(map) => map.values().try_fold(level + 1, deepest),
            _ => Some(level),
        }
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

/// For messages: large values are shortened.
impl fmt::Display for Jv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if fits(&self.v, &mut 4096) { fmt::Display::fmt(&self.v, f) } else { f.write_str(&shown(&self.v)) }
    }
}

impl From<bool> for Jv {
    fn from(value: bool) -> Jv {
        Jv::of(Value::Bool(value), 0)
    }
}

impl From<isize> for Jv {
    fn from(value: isize) -> Jv {
        Jv::of(Value::from(value as i64), 0)
    }
}

impl From<usize> for Jv {
    fn from(value: usize) -> Jv {
        Jv::of(Value::from(value as u64), 0)
    }
}

impl From<f64> for Jv {
    fn from(value: f64) -> Jv {
        Jv::of(Value::Number(Number::from_any_f64(value)), 0)
    }
}

impl From<String> for Jv {
    fn from(text: String) -> Jv {
        if limits::build(text.len()) { Jv::of(text.into(), 0) } else { Jv::input(Value::Null) }
    }
}

/// The bounds of a slice, as jq writes them in paths.
impl From<Range<Option<Jv>>> for Jv {
    fn from(range: Range<Option<Jv>>) -> Jv {
        let bound = |jv: Option<Jv>| jv.map_or(Value::Null, |jv| jv.v);
        Jv::of(Value::object([("start", bound(range.start)), ("end", bound(range.end))]), 1)
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

impl jaq_core::ValT for Jv {
    fn from_num(text: &str) -> ValR<Jv> {
        let number = Number::parse(text).or_else(|| Some(Number::from_any_f64(text.parse().ok()?)));
        number.map_or_else(
            || fail(format_args!("{text} is not a number")),
            |number| Ok(Jv::input(number.into())),
        )
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
            (Value::Null | Value::Array(_) | Value::String(_), Value::Object(range)) => {
                Ok(self.slice(slice_of(&self, range)?))
            }
            (Value::Array(_), Value::Array(_)) => Ok(Jv::made(super::text::indices(&self.v, &index.v)?, 1)),
            _ => Ok(self.child(get(&self.v, &index.v)?.cloned().unwrap_or_default())),
        }
    }

    fn range(self, range: jaq_core::val::Range<&Jv>) -> ValR<Jv> {
        let part = slice(&self, range.start.map(|jv| &jv.v), range.end.map(|jv| &jv.v))?;
        Ok(self.slice(part))
    }

    fn map_values<'a, I: Iterator<Item = ValX<'a, Jv>>>(self, opt: Opt, f: impl Fn(Jv) -> I) -> ValX<'a, Jv> {
        let mut depth = 0;
        let mut each = |value: Value, bound: u16| {
            if !limits::step(1) {
                return Some(Err(Exn::from(broken::<()>().err()?)));
            }
            let depth_of_child = if is_leaf(&value) { 0 } else { bound };
            let new = f(Jv::of(value, depth_of_child)).next()?;
            Some(new.map(|new| {
                depth = depth.max(new.depth);
                new.v
            }))
        };
        let bound = self.depth.saturating_sub(1);
        match self.v {
            Value::Array(items) => {
                let items = Arc::unwrap_or_clone(items);
                let items: Result<Vec<_>, _> =
                    items.into_iter().filter_map(|item| each(item, bound)).collect();
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
        super::text::to_text(&self.v).map_or_else(|_| Jv::input(Value::Null), Jv::input)
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
