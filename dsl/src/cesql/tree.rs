//! The compiled form of an expression.

use std::sync::Arc;

use super::functions::Function;
use crate::wildcard::Wildcard;

/// A part of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tree {
    Boolean(bool),
    Integer(i32),
    Text(Arc<str>),
    Attribute(Arc<str>),
    Exists(Arc<str>),
    Not(Box<Tree>),
    Negate(Box<Tree>),
    Binary(Operator, Box<(Tree, Tree)>),
    Like { value: Box<Tree>, pattern: Wildcard, negated: bool },
    In { value: Box<Tree>, set: Vec<Tree>, negated: bool },
    Call(Call),
}

/// The call of a function, `None` where there is no such one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) function: Option<Function>,
    pub(super) name: Arc<str>,
    pub(super) offset: usize,
    pub(super) arguments: Vec<Tree>,
}

/// An operator between two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    And,
    Or,
    Xor,
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operator {
    /// How strongly it binds: logic, comparison, sum, product.
    pub(super) fn strength(self) -> u8 {
        match self {
            Operator::And | Operator::Or | Operator::Xor => 1,
            Operator::Equal
            | Operator::Unequal
            | Operator::Less
            | Operator::LessOrEqual
            | Operator::Greater
            | Operator::GreaterOrEqual => 2,
            Operator::Add | Operator::Subtract => 3,
            Operator::Multiply | Operator::Divide | Operator::Remainder => 4,
        }
    }
}

impl Tree {
    pub(super) fn unknown_function(&self) -> Option<(usize, String)> {
        match self {
            Tree::Boolean(_) | Tree::Integer(_) | Tree::Text(_) | Tree::Attribute(_) | Tree::Exists(_) => {
                None
            }
            Tree::Not(inner) | Tree::Negate(inner) => inner.unknown_function(),
            Tree::Like { value, .. } => value.unknown_function(),
            Tree::Binary(_, both) => both.0.unknown_function().or_else(|| both.1.unknown_function()),
            Tree::In { value, set, .. } => {
                value.unknown_function().or_else(|| set.iter().find_map(Tree::unknown_function))
            }
            Tree::Call(call) if call.function.is_none() => {
                let given = match call.arguments.len() {
                    1 => "1 argument".to_owned(),
                    count => format!("{count} arguments"),
                };
                Some((call.offset, format!("there is no function {} with {given}", call.name)))
            }
            Tree::Call(call) => call.arguments.iter().find_map(Tree::unknown_function),
        }
    }
}
