//! The `sql` dialect: a CESQL expression is true, without any error.
//!
//! Owns its judgement and explanation; the language stands in [`crate::cesql`].

use super::{Clause, Verdict};
use crate::cesql::Expr;
use crate::event::Event;
use crate::value::Value;

/// Tells the value, and with it the errors, since any error fails the filter.
pub(super) fn explain(expr: &Expr, path: &str, event: Option<&Event>, out: &mut Vec<Clause>) -> bool {
    let outcome = event.map(|event| expr.eval(event));
    let pass = event.is_some_and(|event| expr.holds(event));
    let actual = outcome.map(|outcome| {
        let value = outcome.value.to_value();
        if outcome.errors.is_empty() {
            return value;
        }
        let errors = Value::array(outcome.errors.iter().map(|error| Value::text(error.as_str())));
        Value::object([("value", value), ("errors", errors)])
    });
    out.push(Clause::new(path, &**expr.text(), actual, event.map_or(Verdict::Skip, |_| Verdict::of(pass))));
    pass
}
