//! Expressions of the workflow language: jq 1.7, compiled once, evaluated under limits.
//!
//! Owns compiling, evaluating and the templates around expressions. The language is run by jaq on
//! Tidemill's own value; what jaq does otherwise than jq 1.7 is rewritten or replaced here, and what
//! reaches outside the data (environment, clock, further inputs, output, exit) does not exist. An
//! evaluation is limited by counted steps and bytes, never by a clock, so it ends the same everywhere.
//!
//! Recursion is bounded by an estimate of the stack it takes: evaluate on threads of at least 8 MiB,
//! or say with [`set_stack_size`] what the thread has.

mod access;
mod check;
mod collect;
mod compile;
mod control;
mod jv;
mod limits;
mod names;
mod natives;
mod ops;
mod order;
mod pattern;
mod plan;
mod prelude;
mod rewrite;
mod scan;
mod show;
mod syntax;
mod template;
mod text;
mod uri;

use std::fmt;
use std::sync::Arc;

use jaq_core::{Ctx, Vars};

use crate::fault::Fault;
use crate::value::{MAX_DEPTH, Value};
use compile::{Body, Program};
use jv::Jv;
use natives::Data;

pub use compile::{MAX_BRACKETS, MAX_TEXT};
pub use limits::{DEFAULT_STACK, MAX_FUEL, MAX_MEMORY, MAX_RESULT, set_stack_size};
pub use scan::whole;
pub use template::{Template, TemplateError};
pub use uri::expand_uri;

/// Where an expression finds its arguments (`$context`, `$input`, ...).
pub trait Arguments {
    /// The value of the argument `name`, given without `$`.
    fn get(&self, name: &str) -> Option<Value>;
}

/// No arguments at all.
pub struct NoArguments;

impl Arguments for NoArguments {
    fn get(&self, _name: &str) -> Option<Value> {
        None
    }
}

/// Why text is not an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// What is wrong, as a lower-case fragment.
    pub message: String,
    /// Byte offset of the mistake in the text given to [`Expr::compile`].
    pub offset: Option<usize>,
    /// What to write instead.
    pub help: Option<String>,
}

/// A compiled jq expression; cheap to clone, shared between threads. Prints as its text.
#[derive(Clone)]
pub struct Expr(Arc<Program>);

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Expr {
    /// Compiles bare jq. `known` are the arguments that exist at this place, without `$`; any other
    /// variable, an unknown function and a mistake of syntax are errors. Only arguments the
    /// expression reads are looked up when it is evaluated.
    pub fn compile(text: &str, known: &[&str]) -> Result<Expr, ExprError> {
        compile::compile(text, known, true).map(|program| Expr(Arc::new(program)))
    }

    /// Evaluates to exactly one result; none and more than one are expression faults.
    pub fn eval(&self, input: &Value, args: &dyn Arguments) -> Result<Value, Fault> {
        self.eval_opt(input, args)?.ok_or_else(|| self.fault("has no result where a value is needed"))
    }

    /// Evaluates to no or one result; more are an expression fault.
    pub fn eval_opt(&self, input: &Value, args: &dyn Arguments) -> Result<Option<Value>, Fault> {
        self.run(input, args, 1).map(|mut results| results.pop())
    }

    /// Evaluates to any number of results up to `limit`; more are an expression fault.
    pub fn eval_all(&self, input: &Value, args: &dyn Arguments, limit: usize) -> Result<Vec<Value>, Fault> {
        self.run(input, args, limit)
    }

    /// Whether the expression reads the argument `name` (without `$`).
    pub fn uses(&self, name: &str) -> bool {
        self.0.vars.iter().any(|var| **var == *name)
    }

    /// The text it was compiled from.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    fn run(&self, input: &Value, args: &dyn Arguments, limit: usize) -> Result<Vec<Value>, Fault> {
        let outcome = limits::within(self.0.levels, || match &self.0.body {
            Body::Plan(plan) => {
                plan.run(input, args).map(|value| vec![value]).map_err(|error| error_text(&error.into_val()))
            }
            Body::Filter(filter) => {
                let vars = self.0.vars.iter().map(|name| match args.get(name) {
                    Some(value) => Ok(Jv::input(value)),
                    None => Err(format!("variable ${name} has no value here")),
                });
                let vars = Vars::new(vars.collect::<Result<Vec<_>, _>>()?);
                let ctx = Ctx::<Data>::new(&filter.lut, vars);
                let mut results = Vec::new();
                for result in filter.id.run((ctx, Jv::input(input.clone()))) {
                    match result {
                        Ok(_) if results.len() == limit => return Err(more_than(limit)),
                        Ok(result) => results.push(result.v),
                        Err(exception) => {
                            let error = exception.get_err().map(|error| error_text(&error.into_val()));
                            return Err(error.unwrap_or_else(|_| "ended early".to_owned()));
                        }
                    }
                }
                Ok(results)
            }
        });
        let results =
            outcome.map_err(|limit| self.fault(&limit.message()))?.map_err(|why| self.fault(&why))?;
        if !matches!(&self.0.body, Body::Plan(plan) if plan.is_path()) {
            accept(&results).map_err(|why| self.fault(&format!("has a result that {why}")))?;
        }
        Ok(results)
    }

    fn fault(&self, why: &str) -> Fault {
        let text = self.text();
        let (shown, dots) = match text.char_indices().nth(SHOWN_TEXT) {
            Some((end, _)) => (&text[..end], "..."),
            None => (text, ""),
        };
        Fault::expression(format!("`{shown}{dots}`: {why}"))
    }
}

/// How many characters of an expression and of an error faults show.
const SHOWN_TEXT: usize = 120;
const SHOWN_ERROR: usize = 500;

fn more_than(limit: usize) -> String {
    if limit == 1 { "has more than one result".to_owned() } else { format!("has more than {limit} results") }
}

/// The text of an error value: a string as it is, anything else as JSON.
fn error_text(error: &Jv) -> String {
    let text = match &error.v {
        Value::String(text) => text.to_string(),
        Value::Null => "null (null) not a string".to_owned(),
        _ => error.to_string(),
    };
    match text.char_indices().nth(SHOWN_ERROR) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// Checks results against the limits on what may leave an evaluation.
fn accept<'a>(results: impl IntoIterator<Item = &'a Value>) -> Result<(), String> {
    let mut left = MAX_RESULT;
    results.into_iter().try_for_each(|result| accept_one(result, 0, &mut left))
}

fn accept_one(value: &Value, level: usize, left: &mut usize) -> Result<(), String> {
    let own = match value {
        Value::Array(items) => items.len() + 2,
        Value::Object(map) => map.keys().map(|key| key.len() + 4).sum::<usize>() + 2,
        Value::Number(number) if !number.is_finite() => return Err("is not a finite number".to_owned()),
        leaf => leaf.size(),
    };
    *left = left
        .checked_sub(own)
        .ok_or_else(|| format!("is larger than {MAX_RESULT} bytes (expression output)"))?;
    if level == MAX_DEPTH && !jv::is_leaf(value) {
        return Err(format!("is nested deeper than {MAX_DEPTH} (JSON depth)"));
    }
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| accept_one(item, level + 1, left)),
        Value::Object(map) => map.values().try_for_each(|item| accept_one(item, level + 1, left)),
        _ => Ok(()),
    }
}

/// The byte offset of `part` in `text`, if it is a part of it.
fn offset_in(text: &str, part: &str) -> Option<usize> {
    let offset = (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    (offset <= text.len()).then_some(offset)
}

#[cfg(test)]
mod tests;
