//! Values of a document in which strings may hold `${ }` (language, section 12, Expressions).

use std::sync::Arc;

use super::scan::{Piece, pieces, whole};
use super::{Arguments, Expr, ExprError, accept, offset_in};
use crate::fault::Fault;
use crate::value::{Map, Value};

/// Why a value is not a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct TemplateError {
    /// JSON Pointer of the string in the value.
    pub pointer: String,
    /// What is wrong with its expression; the offset is one in the string.
    pub error: ExprError,
}

/// A value whose strings may hold expressions.
///
/// A string that is one whole `${ }` keeps the JSON type of its result; in other strings each
/// `${ }` becomes text (strings as they are, everything else as compact JSON); what holds none is
/// literal. Keys of objects are literal. Parts without expressions are shared, not copied.
#[derive(Clone, Debug)]
pub struct Template(Arc<Node>);

#[derive(Debug)]
enum Node {
    Constant(Value),
    Whole(Expr),
    /// In mode loose: an expression, or else the text.
    Tried(Expr, Arc<str>),
    Text(Vec<Node>),
    Array(Vec<Node>),
    Object(Vec<(Arc<str>, Node)>),
}

impl Template {
    /// Compiles a value in which only strings with `${ }` are evaluated, at every depth.
    /// `known` are the arguments that exist at this place, without `$`.
    pub fn compile(value: &Value, known: &[&str]) -> Result<Template, TemplateError> {
        let (mode, mut pointer) = (Mode { known, loose: false }, String::new());
        Node::of(value, mode, &mut pointer).map(|node| Template(Arc::new(node)))
    }

    /// As [`Template::compile`], but a string without `${ }` is tried as an expression too, and stays what it is
    /// when that does not compile or fails (mode `loose`; language, section 3). Blanks alone are no expression.
    pub fn loose(value: &Value, known: &[&str]) -> Result<Template, TemplateError> {
        let (mode, mut pointer) = (Mode { known, loose: true }, String::new());
        Node::of(value, mode, &mut pointer).map(|node| Template(Arc::new(node)))
    }

    /// Compiles a field that is an expression: accepts `.a` and `${ .a }`.
    pub fn bare(text: &str, known: &[&str]) -> Result<Template, TemplateError> {
        let text = whole(text).unwrap_or(text.trim());
        match Expr::compile(text, known) {
            Ok(expr) => Ok(Template(Arc::new(Node::Whole(expr)))),
            Err(error) => Err(TemplateError { pointer: String::new(), error }),
        }
    }

    /// The value, when it holds no expression.
    pub fn constant(&self) -> Option<&Value> {
        if let Node::Constant(value) = &*self.0 { Some(value) } else { None }
    }

    /// Evaluates all expressions; each must have exactly one result.
    pub fn eval(&self, input: &Value, args: &dyn Arguments) -> Result<Value, Fault> {
        let value = self.0.eval(input, args)?;
        match &*self.0 {
            Node::Constant(_) | Node::Whole(_) => Ok(value),
            _ => accept([&value]).map(|()| value).map_err(|why| Fault::expression(format!("result {why}"))),
        }
    }

    /// As [`Template::eval`], but a template that is one expression may have no result.
    pub fn eval_opt(&self, input: &Value, args: &dyn Arguments) -> Result<Option<Value>, Fault> {
        match &*self.0 {
            Node::Whole(expr) => expr.eval_opt(input, args),
            _ => self.eval(input, args).map(Some),
        }
    }

    /// Whether any expression reads the argument `name` (without `$`).
    pub fn uses(&self, name: &str) -> bool {
        self.0.uses(name)
    }
}

/// How strings are read.
#[derive(Clone, Copy)]
struct Mode<'a> {
    known: &'a [&'a str],
    loose: bool,
}

impl Node {
    fn of(value: &Value, mode: Mode, pointer: &mut String) -> Result<Node, TemplateError> {
        match value {
            Value::String(text) if text.contains("${") => Node::of_text(text, mode.known, pointer),
            Value::String(text) if mode.loose && !text.trim().is_empty() => {
                Ok(match Expr::compile(text.trim(), mode.known) {
                    Ok(expr) => Node::Tried(expr, text.clone()),
                    Err(_) => Node::Constant(value.clone()),
                })
            }
            Value::Array(items) => {
                let below = items.iter().enumerate();
                let below: Vec<Node> = below
                    .map(|(at, item)| Node::below(&at.to_string(), item, mode, pointer))
                    .collect::<Result<_, _>>()?;
                Ok(if below.iter().all(Node::is_constant) {
                    Node::Constant(value.clone())
                } else {
                    Node::Array(below)
                })
            }
            Value::Object(map) => {
                let below =
                    map.iter().map(|(key, item)| Ok((key.clone(), Node::below(key, item, mode, pointer)?)));
                let below: Vec<(Arc<str>, Node)> = below.collect::<Result<_, _>>()?;
                let constant = below.iter().all(|(_, node)| node.is_constant());
                Ok(if constant { Node::Constant(value.clone()) } else { Node::Object(below) })
            }
            _ => Ok(Node::Constant(value.clone())),
        }
    }

    fn below(key: &str, item: &Value, mode: Mode, pointer: &mut String) -> Result<Node, TemplateError> {
        let before = pointer.len();
        pointer.push('/');
        pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
        let node = Node::of(item, mode, pointer)?;
        pointer.truncate(before);
        Ok(node)
    }

    fn of_text(text: &Arc<str>, known: &[&str], pointer: &str) -> Result<Node, TemplateError> {
        let compile = |jq: &str| {
            let lead = offset_in(text, jq).unwrap_or_default();
            Expr::compile(jq, known).map(Node::Whole).map_err(|error| TemplateError {
                pointer: pointer.to_owned(),
                error: ExprError { offset: error.offset.map(|offset| offset + lead), ..error },
            })
        };
        if let Some(jq) = whole(text) {
            return compile(jq);
        }
        let pieces = pieces(text);
        if !pieces.iter().any(|piece| matches!(piece, Piece::Expression(_))) {
            return Ok(Node::Constant(Value::String(text.clone())));
        }
        let node = |piece| match piece {
            Piece::Literal(text) => Ok(Node::Constant(text.into())),
            Piece::Expression(jq) => compile(jq),
        };
        pieces.into_iter().map(node).collect::<Result<_, _>>().map(Node::Text)
    }

    fn is_constant(&self) -> bool {
        matches!(self, Node::Constant(_))
    }

    fn eval(&self, input: &Value, args: &dyn Arguments) -> Result<Value, Fault> {
        match self {
            Node::Constant(value) => Ok(value.clone()),
            Node::Whole(expr) => expr.eval(input, args),
            Node::Tried(expr, text) => {
                Ok(expr.eval(input, args).unwrap_or_else(|_| Value::String(text.clone())))
            }
            Node::Text(parts) => {
                let mut text = String::new();
                for part in parts {
                    match part.eval(input, args)? {
                        Value::String(part) => text.push_str(&part),
                        other => text.push_str(&other.to_string()),
                    }
                }
                Ok(text.into())
            }
            Node::Array(items) => {
                let items: Result<Vec<Value>, Fault> =
                    items.iter().map(|item| item.eval(input, args)).collect();
                items.map(Value::from)
            }
            Node::Object(members) => {
                let mut map = Map::with_capacity(members.len());
                for (key, node) in members {
                    map.insert(key.clone(), node.eval(input, args)?);
                }
                Ok(map.into())
            }
        }
    }

    fn uses(&self, name: &str) -> bool {
        match self {
            Node::Constant(_) => false,
            Node::Whole(expr) | Node::Tried(expr, _) => expr.uses(name),
            Node::Text(nodes) | Node::Array(nodes) => nodes.iter().any(|node| node.uses(name)),
            Node::Object(members) => members.iter().any(|(_, node)| node.uses(name)),
        }
    }
}
