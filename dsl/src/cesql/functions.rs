//! The functions of the specification, section 3.5, and those that cast.

use std::borrow::Cow;

use super::ErrorKind;
use super::scalar::{Scalar, Type};

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Length,
    Concat,
    ConcatWith,
    Lower,
    Upper,
    Trim,
    Left,
    Right,
    Substring,
    Abs,
    Integer,
    Boolean,
    Text,
}

/// What a function gives: a value, or an error with the value that stands for it.
type Given<'e> = Result<Scalar<'e>, (ErrorKind, Scalar<'e>)>;

/// The function of this name, in capitals, that takes so many arguments.
pub(super) fn find(name: &str, arguments: usize) -> Option<Function> {
    Some(match (name, arguments) {
        ("LENGTH", 1) => Function::Length,
        ("CONCAT", _) => Function::Concat,
        ("CONCAT_WS", 1..) => Function::ConcatWith,
        ("LOWER", 1) => Function::Lower,
        ("UPPER", 1) => Function::Upper,
        ("TRIM", 1) => Function::Trim,
        ("LEFT", 2) => Function::Left,
        ("RIGHT", 2) => Function::Right,
        ("SUBSTRING", 2 | 3) => Function::Substring,
        ("ABS", 1) => Function::Abs,
        ("INT", 1) => Function::Integer,
        ("BOOL", 1) => Function::Boolean,
        ("STRING", 1) => Function::Text,
        _ => return None,
    })
}

impl Function {
    /// The type of its value.
    pub(super) fn gives(self) -> Type {
        match self {
            Function::Length | Function::Abs | Function::Integer => Type::Integer,
            Function::Boolean => Type::Boolean,
            _ => Type::Text,
        }
    }

    /// The type of the argument at this place, from 0.
    fn takes(self, at: usize) -> Type {
        match self {
            Function::Abs | Function::Integer => Type::Integer,
            Function::Boolean => Type::Boolean,
            Function::Left | Function::Right | Function::Substring if at > 0 => Type::Integer,
            _ => Type::Text,
        }
    }

    /// Calls it with arguments of any type.
    pub(super) fn call(self, arguments: Vec<Scalar<'_>>) -> Given<'_> {
        let cast = arguments.into_iter().enumerate().map(|(at, argument)| argument.cast(self.takes(at)));
        let Some(mut arguments) = cast.collect::<Option<Vec<_>>>() else {
            return Err((ErrorKind::Cast, self.gives().zero()));
        };
        let numbers: Vec<i64> = arguments.iter().filter_map(number).collect();
        if matches!(self, Function::Concat | Function::ConcatWith) {
            let delimiter =
                if self == Function::ConcatWith { arguments.remove(0).text() } else { Cow::Borrowed("") };
            let parts: Vec<_> = arguments.into_iter().map(Scalar::text).collect();
            return Ok(Scalar::Text(Cow::Owned(parts.join(&*delimiter))));
        }
        let first = arguments.swap_remove(0);
        match self {
            Function::Integer | Function::Boolean | Function::Text => return Ok(first),
            Function::Abs => {
                let absolute = first.integer().unwrap_or_default().checked_abs();
                return absolute.map(Scalar::Integer).ok_or((ErrorKind::Math, Scalar::Integer(i32::MAX)));
            }
            _ => {}
        }
        let text = first.text();
        let length = text.chars().count() as i64;
        Ok(Scalar::Text(match (self, &numbers[..]) {
            (Function::Length, _) => {
                return Ok(Scalar::Integer(i32::try_from(length).unwrap_or(i32::MAX)));
            }
            (Function::Lower, _) => Cow::Owned(text.to_lowercase()),
            (Function::Upper, _) => Cow::Owned(text.to_uppercase()),
            (Function::Trim, _) => Cow::Owned(text.trim().to_owned()),
            (Function::Left | Function::Right, [count, ..]) if *count < 0 => {
                return Err((ErrorKind::FunctionEvaluation, Scalar::Text(text)));
            }
            (Function::Left, [count, ..]) => cut(&text, 0, *count),
            (Function::Right, [count, ..]) => cut(&text, length - count, *count),
            (_, [from, more @ ..]) => return substring(&text, length, *from, more.first().copied()),
            (_, []) => text,
        }))
    }
}

fn number(scalar: &Scalar) -> Option<i64> {
    if let Scalar::Integer(number) = scalar { Some((*number).into()) } else { None }
}

/// So many characters from this one on, counted from 0.
fn cut<'e>(text: &str, from: i64, count: i64) -> Cow<'e, str> {
    let count = usize::try_from(count).unwrap_or_default();
    let skipped = usize::try_from(from).unwrap_or_default();
    Cow::Owned(text.chars().skip(skipped).take(count).collect())
}

fn substring<'e>(text: &str, length: i64, from: i64, count: Option<i64>) -> Given<'e> {
    let empty = Scalar::Text(Cow::Borrowed(""));
    if from > length || from < -length || count.is_some_and(|count| count < 0) {
        return Err((ErrorKind::FunctionEvaluation, empty));
    }
    if from == 0 {
        return Ok(empty);
    }
    let start = if from > 0 { from - 1 } else { length + from };
    Ok(Scalar::Text(cut(text, start, count.unwrap_or(length))))
}
