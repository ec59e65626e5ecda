//! Functions that take filters: counting steps and depth, and jq 1.7's way to update by paths.

use jaq_core::box_iter::box_once;
use jaq_core::native::{Fun, v};
use jaq_core::{Bind, Cv, Exn, Native, RunPtr, ValX};

use super::access::{delete_path, get_path, set_path};
use super::jv::Jv;
use super::limits;
use super::natives::{Data, Outs, charge, halt, one_filter};
use super::{collect, order};
use crate::value::Value;

/// The functions of this file that have more than a `run`.
pub(super) fn functions() -> Vec<Fun<Data>> {
    let empty = Native::<Data>::new(|_| Box::new(std::iter::empty()))
        .with_paths(|_| Box::new(std::iter::empty()))
        .with_update(|cv, _| box_once(Ok(cv.1)));
    let error = Native::<Data>::new(|cv: Cv<Data>| box_once(Err(Exn::from(jaq_core::Error::new(cv.1)))))
        .with_paths(|cv| box_once(Err(Exn::from(jaq_core::Error::new(cv.1.0)))));
    let two: Box<[Bind]> = Box::new([Bind::Fun(()), Bind::Fun(())]);
    vec![
        ("empty", v(0), empty),
        ("error", v(0), error),
        ("_tick", v(0), tick()),
        (TICK, v(0), tick()),
        ("_guard", Box::new([Bind::Var(()), Bind::Fun(())]), guard()),
        (GUARD, Box::new([Bind::Var(()), Bind::Fun(())]), guard()),
        ("_walk", one_filter(), Native::<Data>::new(walk)),
        (LAST, one_filter(), Native::<Data>::new(last_or_null)),
        (MODIFY, two, Native::<Data>::new(|cv| box_once(modify(cv)))),
    ]
}

/// Names that no program can write: functions put into programs by [`super::check`].
pub(super) const TICK: &str = "!tick";
pub(super) const GUARD: &str = "!guard";
pub(super) const LAST: &str = "!last";
pub(super) const MODIFY: &str = "!modify";

/// The levels of terms an update through one definition is taken to have.
const TICK_LEVELS: usize = 8;

/// Passes its input on for one step of fuel; updates through it count as deeper.
fn tick() -> Native<Data> {
    Native::<Data>::new(|cv: Cv<Data>| box_once(if limits::step(1) { Ok(cv.1) } else { Err(halt()) }))
        .with_paths(|cv| box_once(if limits::step(1) { Ok(cv.1) } else { Err(halt()) }))
        .with_update(|cv, f| {
            if limits::step(1) {
                guarded(limits::call_weight(TICK_LEVELS), || f(cv.1))
            } else {
                box_once(Err(halt()))
            }
        })
}

/// `guard(kib; f)` runs `f` that much deeper in the stack.
fn guard() -> Native<Data> {
    let run: RunPtr<Data> = |mut cv| {
        let ((f, ctx), weight) = (cv.0.pop_fun(), weight(&cv.0.pop_var()));
        guarded(weight, || f.run((ctx, cv.1)))
    };
    Native::<Data>::new(run)
        .with_paths(|mut cv| {
            let ((f, ctx), weight) = (cv.0.pop_fun(), weight(&cv.0.pop_var()));
            guarded(weight, || f.paths((ctx, cv.1)))
        })
        .with_update(|mut cv, update| {
            let ((f, ctx), weight) = (cv.0.pop_fun(), weight(&cv.0.pop_var()));
            guarded(weight, || f.update((ctx, cv.1), update))
        })
}

fn weight(jv: &Jv) -> u32 {
    jv.v.as_i64().and_then(|levels| usize::try_from(levels).ok()).map_or(u32::MAX / 2, limits::call_weight)
}

/// Results that may only be asked for at a bounded depth of recursion.
struct Guarded<'a, T> {
    results: Box<dyn Iterator<Item = ValX<'a, T, Jv>> + 'a>,
    weight: u32,
}

fn guarded<'a, T: 'a>(
    weight: u32,
    start: impl FnOnce() -> Box<dyn Iterator<Item = ValX<'a, T, Jv>> + 'a>,
) -> Box<dyn Iterator<Item = ValX<'a, T, Jv>> + 'a> {
    match limits::deeper(weight, start) {
        Some(results) => Box::new(Guarded { results, weight }),
        None => box_once(Err(halt())),
    }
}

impl<'a, T> Iterator for Guarded<'a, T> {
    type Item = ValX<'a, T, Jv>;

    fn next(&mut self) -> Option<ValX<'a, T, Jv>> {
        limits::deeper(self.weight, || self.results.next()).unwrap_or_else(|| Some(Err(halt())))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.results.size_hint()
    }
}

/// `walk(f)`: `f` on every part of a value, the parts of a part first.
fn walk(mut cv: Cv<'_, Data>) -> Outs<'_> {
    let (f, ctx) = cv.0.pop_fun();
    match walk_value(cv.1, &|jv| f.run((ctx.clone(), jv))) {
        Ok(results) => Box::new(results.into_iter().map(Ok)),
        Err(exception) => box_once(Err(exception)),
    }
}

fn walk_value<'a>(jv: Jv, f: &dyn Fn(Jv) -> Outs<'a>) -> Result<Vec<Jv>, Exn<'a, Jv>> {
    let walked = match &jv.v {
        Value::Array(_) => {
            let mut items = Vec::new();
            for item in jaq_core::ValT::values(jv) {
                items.extend(walk_value(item?, f)?);
            }
            items.into_iter().collect()
        }
        Value::Object(_) => {
            let mut members = Vec::new();
            for member in jaq_core::ValT::key_values(jv) {
                let (key, value) = member?;
                members.extend(walk_value(value, f)?.into_iter().next().map(|value| (key, value)));
            }
            jaq_core::ValT::from_map(members)?
        }
        _ => jv,
    };
    f(walked).collect()
}

/// The last result of a filter, or null: the state of `reduce` after a step.
fn last_or_null(mut cv: Cv<'_, Data>) -> Outs<'_> {
    let (f, ctx) = cv.0.pop_fun();
    let last = f.run((ctx, cv.1)).try_fold(None, |_, next| next.map(Some));
    box_once(last.map(|last| last.unwrap_or_else(|| Jv::input(Value::Null))))
}

/// `paths |= f`: sets every path to the first result of `f`; where there is none the path goes.
// The type of the empty path is private to jaq.
#[allow(clippy::default_trait_access)]
fn modify(mut cv: Cv<'_, Data>) -> ValX<'_, Jv> {
    let (f, f_ctx) = cv.0.pop_fun();
    let (paths, ctx) = cv.0.pop_fun();
    let mut whole = cv.1.clone();
    let mut gone = Vec::new();
    for place in paths.paths((ctx, (cv.1, Default::default()))) {
        let (_, path) = place?;
        let mut path: Vec<Value> = path.iter().map(|step| step.v.clone()).collect();
        path.reverse();
        if !limits::build(path.len() * 8) || !limits::step(1) {
            return Err(halt());
        }
        let old = get_path(&whole, &path)?;
        match f.run((f_ctx.clone(), old)).next() {
            Some(new) => whole = set_path(whole, &path, new?)?,
            None => gone.push(Value::from(path)),
        }
    }
    gone.sort_by(|a, b| order::compare(b, a));
    for path in gone {
        whole = delete_path(whole, path.as_array().unwrap_or_default())?;
    }
    Ok(whole)
}

pub(super) fn null(_: Cv<'_, Data>) -> Outs<'_> {
    box_once(Ok(Jv::input(Value::Null)))
}

pub(super) fn yes(_: Cv<'_, Data>) -> Outs<'_> {
    box_once(Ok(Jv::from(true)))
}

pub(super) fn no(_: Cv<'_, Data>) -> Outs<'_> {
    box_once(Ok(Jv::from(false)))
}

pub(super) fn nan(_: Cv<'_, Data>) -> Outs<'_> {
    box_once(Ok(Jv::input(collect::nan())))
}

pub(super) fn infinite(_: Cv<'_, Data>) -> Outs<'_> {
    box_once(Ok(Jv::input(collect::infinite())))
}

/// Passes its input on after using fuel for each of its elements.
pub(super) fn charge_all(cv: Cv<'_, Data>) -> Outs<'_> {
    let elements = if let Value::Array(items) = &cv.1.v { items.len() } else { 0 };
    let paid = limits::step(elements) && charge(&cv.1.v);
    box_once(if paid { Ok(cv.1) } else { Err(halt()) })
}
