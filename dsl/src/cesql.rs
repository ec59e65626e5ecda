//! CloudEvents SQL (CESQL 1.0): expressions over the attributes of an event.
//!
//! Owns the language: its text, its evaluation, and what an expression says of an attribute. An expression always
//! gives a value and a set of errors: nothing in it can fail otherwise, loop, or reach outside the event.

mod eval;
mod functions;
mod lexer;
mod parser;
mod scalar;
#[cfg(test)]
mod tests;
mod tree;

use std::sync::Arc;

pub use scalar::Scalar;

use crate::event::Event;
use tree::{Operator, Tree};

/// Most words, signs and literals of an expression (limit `cesql-tokens`).
pub const MAX_TOKENS: usize = 1000;
/// Deepest nesting of parentheses and unary operators (limit `cesql-nesting`).
pub const MAX_NESTING: usize = 64;

/// What can be wrong with an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The text is no expression.
    Parse,
    /// A division by zero, or a result beyond 32 bits.
    Math,
    /// A value cannot be of the type that is needed.
    Cast,
    /// There is no function of this name with so many arguments.
    MissingFunction,
    /// A function cannot work with its arguments.
    FunctionEvaluation,
    /// The event has no such attribute.
    MissingAttribute,
}

impl ErrorKind {
    /// As answers spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Parse => "parse",
            ErrorKind::Math => "math",
            ErrorKind::Cast => "cast",
            ErrorKind::MissingFunction => "missingFunction",
            ErrorKind::FunctionEvaluation => "functionEvaluation",
            ErrorKind::MissingAttribute => "missingAttribute",
        }
    }
}

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Byte in the text.
    pub offset: usize,
    /// What is wrong, as a fragment.
    pub message: String,
    /// What to write instead.
    pub help: Option<&'static str>,
}

/// What an expression comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome<'e> {
    /// Its value; the zero value of its type where an error leaves none.
    pub value: Scalar<'e>,
    /// What went wrong, each kind once, in the order of its first occurrence.
    pub errors: Vec<ErrorKind>,
}

/// A compiled expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expr {
    text: Arc<str>,
    tree: Tree,
}

impl Expr {
    /// Reads an expression. Functions that do not exist are no mistake here: see [`Expr::unknown_function`].
    pub fn parse(text: &str) -> Result<Expr, SyntaxError> {
        Ok(Expr { text: text.into(), tree: parser::parse(text)? })
    }

    /// As it was written.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Its value for an event, and the errors on the way.
    pub fn eval<'e>(&'e self, event: &'e Event) -> Outcome<'e> {
        eval::eval(&self.tree, event)
    }

    /// Whether the event passes it as a filter: it is true, and without any error.
    pub fn holds(&self, event: &Event) -> bool {
        let outcome = self.eval(event);
        outcome.value == Scalar::Boolean(true) && outcome.errors.is_empty()
    }

    /// The first call of a function that does not exist, or not with so many arguments, as `NAME with N arguments`.
    pub fn unknown_function(&self) -> Option<(usize, String)> {
        self.tree.unknown_function()
    }

    /// The values one of which the attribute must have for the expression to hold; none when it does not say.
    pub(crate) fn pins(&self, attribute: &str) -> Option<Vec<Arc<str>>> {
        pins(&self.tree, attribute)
    }
}

fn pins(tree: &Tree, attribute: &str) -> Option<Vec<Arc<str>>> {
    let named = |tree: &Tree| matches!(tree, Tree::Attribute(name) if **name == *attribute);
    let text = |tree: &Tree| if let Tree::Text(text) = tree { Some(text.clone()) } else { None };
    let mut values = match tree {
        Tree::Binary(Operator::Equal, both) if named(&both.0) => vec![text(&both.1)?],
        Tree::Binary(Operator::And, both) => {
            let pinned = [&both.0, &both.1].into_iter().filter_map(|side| pins(side, attribute));
            pinned.min_by_key(Vec::len)?
        }
        Tree::Binary(Operator::Or, both) => [pins(&both.0, attribute)?, pins(&both.1, attribute)?].concat(),
        // The members are read as what the attribute is: only a text is compared as it stands.
        Tree::In { value, set, negated: false } if named(value) && attribute == "type" => {
            set.iter().map(text).collect::<Option<Vec<_>>>()?
        }
        _ => return None,
    };
    values.sort_unstable();
    values.dedup();
    Some(values)
}
