//! Expressions of the workflow language: jq, compiled once, evaluated under limits.

use crate::fault::Fault;
use crate::value::Value;
use std::fmt;
use std::sync::Arc;

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
    /// Byte offset of the mistake in the text.
    pub offset: Option<usize>,
    /// What to write instead.
    pub help: Option<String>,
}

/// A compiled jq expression.
#[derive(Clone)]
pub struct Expr {
    text: Arc<str>,
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Expr {
    /// Compiles bare jq.
    pub fn compile(text: &str, _known: &[&str]) -> Result<Expr, ExprError> {
        Ok(Expr { text: text.into() })
    }

    /// Evaluates to exactly one result.
    pub fn eval(&self, _input: &Value, _args: &dyn Arguments) -> Result<Value, Fault> {
        Err(Fault::expression("evaluation is not built yet"))
    }

    /// Evaluates to no or one result.
    pub fn eval_opt(&self, _input: &Value, _args: &dyn Arguments) -> Result<Option<Value>, Fault> {
        Err(Fault::expression("evaluation is not built yet"))
    }

    /// Evaluates to at most `limit` results; more are an error.
    pub fn eval_all(
        &self,
        _input: &Value,
        _args: &dyn Arguments,
        _limit: usize,
    ) -> Result<Vec<Value>, Fault> {
        Err(Fault::expression("evaluation is not built yet"))
    }

    /// Whether the expression reads the argument `name` (without `$`).
    pub fn uses(&self, _name: &str) -> bool {
        false
    }

    /// The text it was compiled from.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// A value of the document in which strings may hold expressions.
#[derive(Clone, Debug)]
pub struct Template(Value);

/// Why a value is not a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct TemplateError {
    /// JSON Pointer of the string in the value.
    pub pointer: String,
    /// What is wrong with it.
    pub error: ExprError,
}

impl Template {
    /// Compiles a value in which only strings with `${ }` are evaluated.
    pub fn compile(value: &Value, _known: &[&str]) -> Result<Template, TemplateError> {
        Ok(Template(value.clone()))
    }

    /// Compiles a field that is an expression: accepts `.a` and `${ .a }`.
    pub fn bare(text: &str, _known: &[&str]) -> Result<Template, TemplateError> {
        Ok(Template(text.into()))
    }

    /// The value, when it holds no expression.
    pub fn constant(&self) -> Option<&Value> {
        Some(&self.0)
    }

    /// Evaluates all expressions.
    pub fn eval(&self, _input: &Value, _args: &dyn Arguments) -> Result<Value, Fault> {
        Err(Fault::expression("evaluation is not built yet"))
    }

    /// Whether any expression reads the argument `name` (without `$`).
    pub fn uses(&self, _name: &str) -> bool {
        false
    }
}

/// The inner text if the string is one whole `${ }`.
pub fn whole(_text: &str) -> Option<&str> {
    None
}

/// Expands `{name}` in a URI template.
pub fn expand_uri(template: &str, _data: &Value) -> Result<String, Fault> {
    Ok(template.to_owned())
}
