//! The table of functions that are written in Rust, and what runs them.
//!
//! Every call uses fuel by the size of its input. Names that begin with `_` are for the prelude
//! and for rewritten programs; users cannot call them.

use jaq_core::box_iter::box_once;
use jaq_core::data::JustLut;
use jaq_core::native::{Fun, bome, v};
use jaq_core::{Bind, Cv, Exn, Native, RunPtr, ValXs};

use super::jv::{Fail, Jv, fail};
use super::{collect, control, limits, pattern, text};
use crate::value::Value;

/// What the programs of jaq run on.
pub(super) type Data = JustLut<Jv>;

pub(super) type Outs<'a> = ValXs<'a, Jv>;

/// How much deeper than its inputs the output of a function here can be.
const DEEPER: u16 = 4;

/// The end of an evaluation that broke a limit; no `try` sees it.
pub(super) fn halt<'a>() -> Exn<'a, Jv> {
    Exn::halt(1)
}

/// Uses fuel for looking at all of a value once.
pub(super) fn charge(v: &Value) -> bool {
    limits::step(match v {
        Value::String(text) => 1 + text.len() / 128,
        Value::Array(items) => 1 + items.len() / 8,
        Value::Object(map) => 1 + map.len() / 8,
        _ => 1,
    })
}

#[allow(clippy::needless_pass_by_value)] // jaq hands it over
fn call0(cv: Cv<'_, Data>, f: fn(&Value) -> Result<Value, Fail>) -> Outs<'_> {
    if !charge(&cv.1.v) {
        return box_once(Err(halt()));
    }
    bome(f(&cv.1.v).map(|out| Jv::made(out, cv.1.bound() + DEEPER)))
}

fn call1(mut cv: Cv<'_, Data>, f: fn(&Value, &Value) -> Result<Value, Fail>) -> Outs<'_> {
    let a = cv.0.pop_var();
    if !charge(&cv.1.v) || !charge(&a.v) {
        return box_once(Err(halt()));
    }
    let bound = cv.1.bound().max(a.bound()) + DEEPER;
    bome(f(&cv.1.v, &a.v).map(|out| Jv::made(out, bound)))
}

fn match_all(mut cv: Cv<'_, Data>) -> Outs<'_> {
    let (only_test, flags, regex) = (cv.0.pop_var(), cv.0.pop_var(), cv.0.pop_var());
    bome(pattern::matches(&cv.1.v, &regex.v, &flags.v, &only_test.v).map(|out| Jv::made(out, DEEPER)))
}

fn set_path(mut cv: Cv<'_, Data>) -> Outs<'_> {
    let (new, path) = (cv.0.pop_var(), cv.0.pop_var());
    let deep = path.v.as_array().map_or(0, <[Value]>::len).min(usize::from(limits::MAX_BOUND)) as u16;
    let bound = cv.1.bound().max(new.bound() + deep);
    bome(collect::set_at(cv.1, &path.v, new).map(|jv| Jv::made(jv.v, bound)))
}

fn delete_paths(mut cv: Cv<'_, Data>) -> Outs<'_> {
    let paths = cv.0.pop_var();
    bome(collect::delete_at(cv.1, &paths.v))
}

/// `range(from; upto; by)`: one step of fuel a number.
fn range(mut cv: Cv<'_, Data>) -> Outs<'_> {
    let (by, upto, from) = (cv.0.pop_var(), cv.0.pop_var(), cv.0.pop_var());
    let numbers = [&by, &upto, &from].iter().all(|jv| matches!(jv.v, Value::Number(_)));
    if !numbers {
        return bome(fail("Range bounds must be numeric"));
    }
    let zero = Jv::from(0usize);
    let (up, down) = (by > zero, by < zero);
    let mut next = Some(from);
    Box::new(std::iter::from_fn(move || {
        let at = next.take()?;
        if !(up && at < upto || down && at > upto) {
            return None;
        }
        match at.clone() + by.clone() {
            Ok(then) => next = Some(then),
            Err(_) => return Some(Err(halt())),
        }
        Some(Ok(at))
    }))
}

macro_rules! table {
    ($($name:literal $kind:ident $f:path;)*) => {
        &[$(($name, table!(@arity $kind), table!(@run $kind $f))),*]
    };
    (@arity of0) => { 0 };
    (@arity of1) => { 1 };
    (@arity run0) => { 0 };
    (@arity run1) => { 1 };
    (@arity run2) => { 2 };
    (@arity run3) => { 3 };
    (@run of0 $f:path) => { |cv| call0(cv, $f) };
    (@run of1 $f:path) => { |cv| call1(cv, $f) };
    (@run $run:ident $f:path) => { |cv| $f(cv) };
}

/// Functions whose arguments are values: name, number of arguments, what runs them.
const OF_VALUES: &[(&str, usize, RunPtr<Data>)] = table! {
    "not" of0 collect::not;
    "type" of0 collect::kind;
    "length" of0 collect::length;
    "abs" of0 collect::abs;
    "isnan" of0 collect::is_nan;
    "isinfinite" of0 collect::is_infinite;
    "isnormal" of0 collect::is_normal;
    "keys" of0 collect::keys;
    "keys_unsorted" of0 collect::keys_unsorted;
    "has" of1 collect::has;
    "contains" of1 collect::contains;
    "add" of0 collect::add;
    "flatten" of1 collect::flatten;
    "reverse" of0 collect::reverse;
    "sort" of0 collect::sort;
    "to_entries" of0 collect::to_entries;
    "from_entries" of0 collect::from_entries;
    "transpose" of0 collect::transpose;
    "bsearch" of1 collect::bsearch;
    "_stream" of0 collect::to_stream;
    "toarray" of0 collect::to_array;
    "tostring" of0 text::to_text;
    "tojson" of0 text::to_json;
    "fromjson" of0 text::from_json;
    "tonumber" of0 text::to_number;
    "utf8bytelength" of0 text::byte_length;
    "explode" of0 text::explode;
    "implode" of0 text::implode;
    "ascii_downcase" of0 text::downcase;
    "ascii_upcase" of0 text::upcase;
    "startswith" of1 text::starts_with;
    "endswith" of1 text::ends_with;
    "ltrimstr" of1 text::trim_start_text;
    "rtrimstr" of1 text::trim_end_text;
    "trim" of0 text::trim;
    "ltrim" of0 text::trim_start;
    "rtrim" of0 text::trim_end;
    "split" of1 text::split_text;
    "join" of1 text::join;
    "indices" of1 text::indices;
    "@text" of0 text::to_text;
    "@json" of0 text::to_json;
    "@html" of0 text::html;
    "@uri" of0 text::uri;
    "@urid" of0 text::uri_decode;
    "@csv" of0 text::csv;
    "@tsv" of0 text::tsv;
    "@sh" of0 text::sh;
    "@base64" of0 text::base64;
    "@base64d" of0 text::base64_decode;
    "@base32" of0 text::base32;
    "@base32d" of0 text::base32_decode;
    "_match" run3 match_all;
    "setpath" run2 set_path;
    "delpaths" run1 delete_paths;
    "range" run3 range;
    "null" run0 control::null;
    "true" run0 control::yes;
    "false" run0 control::no;
    "nan" run0 control::nan;
    "infinite" run0 control::infinite;
    "_charge" run0 control::charge_all;
};

/// Functions of jaq-core that are taken as they are: its name, ours.
const OF_CORE: [(&str, &str); 5] =
    [("path", "path"), ("first", "first"), ("last", "last"), ("limit", "_limit"), ("skip", "_skip")];

/// Functions of jaq-std that are taken as they are and have another name here.
const RENAMED: [(&str, &str); 4] = [
    ("sort_by", "_sort_by"),
    ("group_by", "_group_by"),
    ("min_by_or_empty", "_min_by"),
    ("max_by_or_empty", "_max_by"),
];

/// Functions of jaq-std that are taken as they are: of numbers and of times that are given.
const OF_STD: [&str; 58] = [
    "floor",
    "round",
    "ceil",
    "gmtime",
    "mktime",
    "strftime",
    "strptime",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "cbrt",
    "cos",
    "cosh",
    "exp",
    "exp10",
    "exp2",
    "expm1",
    "fabs",
    "frexp",
    "ilogb",
    "j0",
    "j1",
    "lgamma",
    "log",
    "log10",
    "log1p",
    "log2",
    "modf",
    "rint",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "tgamma",
    "trunc",
    "y0",
    "y1",
    "atan2",
    "copysign",
    "fdim",
    "fmax",
    "fmin",
    "fmod",
    "hypot",
    "jn",
    "ldexp",
    "nextafter",
    "pow",
    "remainder",
    "scalbln",
    "yn",
    "fma",
    "erf",
    "erfc",
];

fn std_name(name: &str) -> Option<&'static str> {
    let renamed = RENAMED.iter().find(|(theirs, _)| *theirs == name).map(|(_, ours)| *ours);
    renamed.or_else(|| OF_STD.iter().find(|other| **other == name).copied())
}

fn core_name(name: &str) -> Option<&'static str> {
    OF_CORE.iter().find(|(theirs, _)| *theirs == name).map(|(_, ours)| *ours)
}

/// The native functions that `wanted` (name, number of arguments) asks for.
pub(super) fn functions(wanted: impl Fn(&str, usize) -> bool) -> Vec<Fun<Data>> {
    let mut funs: Vec<Fun<Data>> =
        control::functions().into_iter().filter(|fun| wanted(fun.0, fun.1.len())).collect();
    let values = OF_VALUES.iter().filter(|(name, arity, _)| wanted(name, *arity));
    funs.extend(values.map(|(name, arity, run)| (*name, v(*arity), Native::<Data>::new(*run))));
    if OF_CORE.iter().any(|(_, ours)| (0..3).any(|arity| wanted(ours, arity))) {
        let core = jaq_core::funs::<Data>()
            .filter_map(|(name, args, native)| Some((core_name(name)?, args, native)));
        funs.extend(core.filter(|fun| wanted(fun.0, fun.1.len())));
    }
    let std_names = OF_STD.iter().chain(RENAMED.iter().map(|(_, ours)| ours));
    if std_names.into_iter().any(|ours| (0..4).any(|arity| wanted(ours, arity))) {
        let std =
            jaq_std::funs::<Data>().filter_map(|(name, args, native)| Some((std_name(name)?, args, native)));
        funs.extend(std.filter(|fun| wanted(fun.0, fun.1.len())));
    }
    funs
}

/// Whether a native function has exactly one output for each combination of its arguments.
pub(super) fn is_single(name: &str, arity: usize) -> bool {
    let table = OF_VALUES.iter().any(|(other, args, _)| *other == name && *args == arity && name != "range");
    table || OF_STD.contains(&name)
}

/// Names and numbers of arguments of all native functions.
pub(super) fn signatures() -> Vec<(&'static str, usize)> {
    functions(|_, _| true).into_iter().map(|(name, args, _)| (name, args.len())).collect()
}

/// One filter as the only argument.
pub(super) fn one_filter() -> Box<[Bind]> {
    Box::new([Bind::Fun(())])
}
