//! The short way: programs of plain paths, literals and operators are evaluated without jaq.
//!
//! Owns only how, never what: a plan gives the same value or error as jaq (a property test).

use std::sync::Arc;

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Term};
use jaq_core::ops::{Cmp, Math};
use jaq_core::path::{Opt, Part};

use super::Arguments;
use super::access::get;
use super::jv::{Fail, Jv, fail};
use crate::value::{Map, Number, Value};

/// A program with exactly one output that needs no jaq.
#[derive(Debug)]
pub(super) enum Plan {
    Constant(Value),
    Path(Root, Vec<Value>),
    Object(Vec<(Arc<str>, Plan)>),
    Array(Vec<Plan>),
    Text(Vec<Plan>),
    Math(Math, Box<Plan>, Box<Plan>),
    Compare(Cmp, Box<Plan>, Box<Plan>),
    /// `and` (true: goes on when the left side holds) and `or`.
    Logic(bool, Box<Plan>, Box<Plan>),
    Alternative(Box<Plan>, Box<Plan>),
    If(Box<Plan>, Box<Plan>, Box<Plan>),
    Pipe(Box<Plan>, Box<Plan>),
    Not,
}

/// Where a path starts.
#[derive(Debug)]
pub(super) enum Root {
    Input,
    Argument(Arc<str>),
}

impl Plan {
    /// The plan of a checked program, if it has one.
    pub(super) fn of(term: &Term<&str>) -> Option<Plan> {
        Some(match term {
            Term::Id => Plan::Path(Root::Input, Vec::new()),
            Term::Var(name) => Plan::Path(Root::Argument(name.strip_prefix('$')?.into()), Vec::new()),
            Term::Num(text) => Plan::Constant(Number::parse(text)?.into()),
            Term::Neg(term) => match Plan::of(term)? {
                Plan::Constant(Value::Number(number)) => Plan::Constant(number.negated().into()),
                _ => return None,
            },
            Term::Str(None, parts) => Plan::text(parts)?,
            Term::Arr(None) => Plan::Constant(Value::array::<Value>([])),
            Term::Arr(Some(items)) => {
                let mut plans = Vec::new();
                Plan::items(items, &mut plans)?;
                Plan::Array(plans)
            }
            Term::Obj(members) => Plan::object(members)?,
            Term::Path(base, path) => {
                let Plan::Path(root, mut steps) = Plan::of(base)? else {
                    return None;
                };
                for (part, opt) in &path.0 {
                    let (Part::Index(index), Opt::Essential) = (part, opt) else {
                        return None;
                    };
                    steps.push(constant_step(index)?);
                }
                Plan::Path(root, steps)
            }
            Term::BinOp(l, op, r) => Plan::operation(Plan::boxed(l)?, op, Plan::boxed(r)?)?,
            Term::IfThenElse(branches, otherwise) => {
                let last =
                    otherwise.as_deref().map_or(Some(Plan::Path(Root::Input, Vec::new())), Plan::of)?;
                branches.iter().rev().try_fold(last, |last, (condition, then)| {
                    Some(Plan::If(Plan::boxed(condition)?, Plan::boxed(then)?, Box::new(last)))
                })?
            }
            Term::Call(name, args) if args.is_empty() => match *name {
                "null" => Plan::Constant(Value::Null),
                "true" => Plan::Constant(Value::Bool(true)),
                "false" => Plan::Constant(Value::Bool(false)),
                "not" => Plan::Not,
                _ => return None,
            },
            _ => return None,
        })
    }

    fn boxed(term: &Term<&str>) -> Option<Box<Plan>> {
        Plan::of(term).map(Box::new)
    }

    fn items(term: &Term<&str>, plans: &mut Vec<Plan>) -> Option<()> {
        if let Term::BinOp(l, BinaryOp::Comma, r) = term {
            Plan::items(l, plans)?;
            return Plan::items(r, plans);
        }
        plans.push(Plan::of(term)?);
        Some(())
    }

    fn object(members: &[(Term<&str>, Option<Term<&str>>)]) -> Option<Plan> {
        let member = |(key, value): &(Term<&str>, Option<Term<&str>>)| {
            if let (Term::Var(name), None) = (key, value) {
                return Some((name.strip_prefix('$')?.into(), Plan::of(key)?));
            }
            let Value::String(name) = constant_step(key)? else {
                return None;
            };
            let value = match value {
                Some(value) => Plan::of(value)?,
                None => Plan::Path(Root::Input, vec![Value::String(name.clone())]),
            };
            Some((name, value))
        };
        members.iter().map(member).collect::<Option<_>>().map(Plan::Object)
    }

    fn text(parts: &[StrPart<&str, Term<&str>>]) -> Option<Plan> {
        let mut literal = String::new();
        let mut plans = Vec::new();
        for part in parts {
            match part {
                StrPart::Str(text) => literal.push_str(text),
                StrPart::Char(found) => literal.push(*found),
                StrPart::Term(term) => {
                    plans.push(Plan::Constant(std::mem::take(&mut literal).into()));
                    plans.push(Plan::of(term)?);
                }
            }
        }
        if plans.is_empty() {
            return Some(Plan::Constant(literal.into()));
        }
        plans.push(Plan::Constant(literal.into()));
        Some(Plan::Text(plans))
    }

    fn operation(l: Box<Plan>, op: &BinaryOp<&str>, r: Box<Plan>) -> Option<Plan> {
        Some(match op {
            BinaryOp::Math(math) => Plan::Math(*math, l, r),
            BinaryOp::Cmp(cmp) => Plan::Compare(*cmp, l, r),
            BinaryOp::And => Plan::Logic(true, l, r),
            BinaryOp::Or => Plan::Logic(false, l, r),
            BinaryOp::Alt => Plan::Alternative(l, r),
            BinaryOp::Pipe(None) => Plan::Pipe(l, r),
            _ => return None,
        })
    }

    /// Whether the value is a part of the input or an argument, and so within all limits already.
    pub(super) fn is_path(&self) -> bool {
        matches!(self, Plan::Path(..) | Plan::Constant(_))
    }

    /// Evaluates the plan.
    pub(super) fn run(&self, input: &Value, args: &dyn Arguments) -> Result<Value, Fail> {
        Ok(match self {
            Plan::Constant(value) => value.clone(),
            Plan::Path(Root::Input, steps) => follow(input, steps)?,
            Plan::Path(Root::Argument(name), steps) => match args.get(name) {
                Some(value) => follow(&value, steps)?,
                None => return fail(format_args!("variable ${name} has no value here")),
            },
            Plan::Object(members) => {
                let mut map = Map::with_capacity(members.len());
                for (key, plan) in members {
                    map.insert(key.clone(), plan.run(input, args)?);
                }
                map.into()
            }
            Plan::Array(items) => {
                let items: Result<Vec<Value>, Fail> =
                    items.iter().map(|item| item.run(input, args)).collect();
                items?.into()
            }
            Plan::Text(parts) => {
                let mut text = String::new();
                for part in parts {
                    let part = super::text::to_text(&part.run(input, args)?)?;
                    text.push_str(part.as_str().unwrap_or_default());
                }
                super::text::text(text)?
            }
            Plan::Math(op, l, r) => {
                let (l, r) = (Jv::input(l.run(input, args)?), Jv::input(r.run(input, args)?));
                op.run(l, r)?.v
            }
            Plan::Compare(op, l, r) => {
                let (l, r) = (Jv::input(l.run(input, args)?), Jv::input(r.run(input, args)?));
                op.run(&l, &r).into()
            }
            Plan::Logic(goes_on, l, r) => {
                let left = l.run(input, args)?.is_truthy();
                let value = if left == *goes_on { r.run(input, args)?.is_truthy() } else { left };
                value.into()
            }
            Plan::Alternative(l, r) => match l.run(input, args)? {
                value if value.is_truthy() => value,
                _ => r.run(input, args)?,
            },
            Plan::If(condition, then, otherwise) => {
                let holds = condition.run(input, args)?.is_truthy();
                if holds { then } else { otherwise }.run(input, args)?
            }
            Plan::Pipe(l, r) => r.run(&l.run(input, args)?, args)?,
            Plan::Not => (!input.is_truthy()).into(),
        })
    }
}

/// A step of a path that is a constant string or number.
fn constant_step(term: &Term<&str>) -> Option<Value> {
    match Plan::of(term)? {
        Plan::Constant(value @ (Value::String(_) | Value::Number(_))) => Some(value),
        _ => None,
    }
}

fn follow(value: &Value, steps: &[Value]) -> Result<Value, Fail> {
    let mut value = value;
    for step in steps {
        match get(value, step)? {
            Some(child) => value = child,
            None => value = &Value::Null,
        }
    }
    Ok(value.clone())
}
