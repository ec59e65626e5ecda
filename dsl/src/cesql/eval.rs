//! Evaluation: every part gives a value, and errors on the way (specification, sections 3.2 to 3.4).

use std::borrow::Cow;

use super::scalar::{Scalar, Type};
use super::tree::{Call, Operator, Tree};
use super::{ErrorKind, Outcome};
use crate::event::Event;

/// What a part comes to.
enum Operand<'e> {
    /// A value.
    Value(Scalar<'e>),
    /// The value that stands in for an error.
    Failed(Scalar<'e>),
    /// An attribute that the event lacks: what it is an operand of gives its own zero value.
    Missing,
}

use Operand::{Failed, Missing, Value};

/// The value of a whole expression.
pub(super) fn eval<'e>(tree: &'e Tree, event: &'e Event) -> Outcome<'e> {
    let mut evaluation = Evaluation { event, errors: Vec::new() };
    let value = match evaluation.part(tree) {
        Value(value) | Failed(value) => value,
        Missing => Scalar::Boolean(false),
    };
    Outcome { value, errors: evaluation.errors }
}

struct Evaluation<'e> {
    event: &'e Event,
    errors: Vec<ErrorKind>,
}

impl<'e> Evaluation<'e> {
    fn part(&mut self, tree: &'e Tree) -> Operand<'e> {
        match tree {
            Tree::Boolean(flag) => Value(Scalar::Boolean(*flag)),
            Tree::Integer(number) => Value(Scalar::Integer(*number)),
            Tree::Text(text) => Value(Scalar::Text(Cow::Borrowed(text))),
            Tree::Attribute(name) => match Scalar::attribute(self.event, name) {
                Some(value) => Value(value),
                None => {
                    self.tell(ErrorKind::MissingAttribute);
                    Missing
                }
            },
            Tree::Exists(name) => Value(Scalar::Boolean(self.event.attribute(name).is_some())),
            Tree::Not(inner) => self.not(inner),
            Tree::Negate(inner) => match self.part(inner) {
                Value(value) => match value.integer() {
                    None => self.fail(ErrorKind::Cast, Type::Integer),
                    Some(number) => match number.checked_neg() {
                        Some(number) => Value(Scalar::Integer(number)),
                        None => self.fail(ErrorKind::Math, Type::Integer),
                    },
                },
                Failed(_) | Missing => Failed(Type::Integer.zero()),
            },
            Tree::Binary(operator, both) => match operator {
                Operator::And | Operator::Or | Operator::Xor => self.logic(*operator, both),
                _ => self.binary(*operator, both),
            },
            Tree::Like { value, pattern, negated } => match self.part(value) {
                Value(value) => Value(Scalar::Boolean(pattern.matches(&value.text()) != *negated)),
                Failed(_) | Missing => Failed(Type::Boolean.zero()),
            },
            Tree::In { value, set, negated } => self.within(value, set, *negated),
            Tree::Call(call) => self.call(call),
        }
    }

    /// Notes an error; a set has each kind once.
    fn tell(&mut self, kind: ErrorKind) {
        if !self.errors.contains(&kind) {
            self.errors.push(kind);
        }
    }

    fn fail(&mut self, kind: ErrorKind, gives: Type) -> Operand<'e> {
        self.tell(kind);
        Failed(gives.zero())
    }

    /// The conformance kit has NOT refuse integers, which the specification would cast.
    fn not(&mut self, inner: &'e Tree) -> Operand<'e> {
        let (value, failed) = match self.part(inner) {
            Missing => return Failed(Scalar::Boolean(false)),
            Value(value) => (value, false),
            Failed(value) => (value, true),
        };
        let flag = if let Scalar::Integer(_) = value { None } else { value.boolean() };
        match flag {
            Some(flag) if failed => Failed(Scalar::Boolean(!flag)),
            Some(flag) => Value(Scalar::Boolean(!flag)),
            None => {
                self.tell(ErrorKind::Cast);
                Failed(Scalar::Boolean(true))
            }
        }
    }

    /// An operand of logic: its value, and whether it is one without errors. A missing attribute gives none.
    fn truth(&mut self, tree: &'e Tree) -> Option<(bool, bool)> {
        let (value, sound) = match self.part(tree) {
            Missing => return None,
            Value(value) => (value, true),
            Failed(value) => (value, false),
        };
        Some(match value.boolean() {
            Some(flag) => (flag, sound),
            None => {
                self.tell(ErrorKind::Cast);
                (false, false)
            }
        })
    }

    /// The right side of AND and OR is judged only where it counts.
    fn logic(&mut self, operator: Operator, both: &'e (Tree, Tree)) -> Operand<'e> {
        let judged =
            |flag, sound| if sound { Value(Scalar::Boolean(flag)) } else { Failed(Scalar::Boolean(flag)) };
        let Some((left, sound)) = self.truth(&both.0) else {
            return judged(false, false);
        };
        if (operator == Operator::And && !left) || (operator == Operator::Or && left) {
            return judged(left, sound);
        }
        match self.truth(&both.1) {
            None => judged(false, false),
            Some((right, also)) => {
                judged(if operator == Operator::Xor { left != right } else { right }, sound && also)
            }
        }
    }

    fn binary(&mut self, operator: Operator, both: &'e (Tree, Tree)) -> Operand<'e> {
        let gives = if operator.strength() > 2 { Type::Integer } else { Type::Boolean };
        let (left, right) = (self.part(&both.0), self.part(&both.1));
        let (Value(left), Value(right)) = (left, right) else {
            return Failed(gives.zero());
        };
        if matches!(operator, Operator::Equal | Operator::Unequal) {
            // The right side says which equality is meant.
            return match left.cast(right.of_type()) {
                Some(left) => Value(Scalar::Boolean((left == right) == (operator == Operator::Equal))),
                None => self.fail(ErrorKind::Cast, gives),
            };
        }
        let (Some(left), Some(right)) = (left.integer(), right.integer()) else {
            return self.fail(ErrorKind::Cast, gives);
        };
        let number = match operator {
            Operator::Less => return Value(Scalar::Boolean(left < right)),
            Operator::LessOrEqual => return Value(Scalar::Boolean(left <= right)),
            Operator::Greater => return Value(Scalar::Boolean(left > right)),
            Operator::GreaterOrEqual => return Value(Scalar::Boolean(left >= right)),
            Operator::Add => left.checked_add(right),
            Operator::Subtract => left.checked_sub(right),
            Operator::Multiply => left.checked_mul(right),
            Operator::Divide => left.checked_div(right),
            _ if right == -1 => Some(0),
            _ => left.checked_rem(right),
        };
        match number {
            Some(number) => Value(Scalar::Integer(number)),
            None => self.fail(ErrorKind::Math, gives),
        }
    }

    /// Members are cast to the type of the value that is looked for.
    fn within(&mut self, value: &'e Tree, set: &'e [Tree], negated: bool) -> Operand<'e> {
        let Value(value) = self.part(value) else {
            return Failed(Type::Boolean.zero());
        };
        let (mut found, mut sound) = (false, true);
        for member in set {
            let member = match self.part(member) {
                Value(member) => member.cast(value.of_type()),
                Failed(_) | Missing => {
                    sound = false;
                    continue;
                }
            };
            match member {
                Some(member) => found |= member == value,
                None => {
                    self.tell(ErrorKind::Cast);
                    sound = false;
                }
            }
            if found {
                break;
            }
        }
        if sound { Value(Scalar::Boolean(found != negated)) } else { Failed(Type::Boolean.zero()) }
    }

    fn call(&mut self, call: &'e Call) -> Operand<'e> {
        let Some(function) = call.function else {
            return self.fail(ErrorKind::MissingFunction, Type::Boolean);
        };
        let parts: Vec<_> = call.arguments.iter().map(|argument| self.part(argument)).collect();
        let values: Vec<_> = parts
            .into_iter()
            .filter_map(|part| if let Value(value) = part { Some(value) } else { None })
            .collect();
        if values.len() < call.arguments.len() {
            return Failed(function.gives().zero());
        }
        match function.call(values) {
            Ok(value) => Value(value),
            Err((kind, value)) => {
                self.tell(kind);
                Failed(value)
            }
        }
    }
}
