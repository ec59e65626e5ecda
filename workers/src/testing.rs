//! What the tests of this crate share: orders of one well-known execution.

use tidemill_dsl::ids::{ExecutionId, Time};
use tidemill_dsl::order::{Call, Masks, Order};
use tidemill_dsl::value::Value;

/// An order of visit 7, attempt 1, of one execution; it calls the function `f` with null.
pub(crate) fn order(task: &str) -> Order {
    Order {
        namespace: "default".into(),
        execution: ExecutionId::new(Time(1_764_000_000_000), [7; 10]),
        visit: 7,
        attempt: 1,
        key: 7,
        task: task.into(),
        deadline: None,
        what: Call::Function { name: "f".into(), version: "latest".into(), input: Value::Null },
        masks: Masks::default(),
    }
}

/// The same with an input.
pub(crate) fn order_with(input: Value) -> Order {
    let what = Call::Function { name: "f".into(), version: "latest".into(), input };
    Order { what, ..order("/do/0/a") }
}

/// JSON text as a value.
pub(crate) fn json(text: &str) -> Value {
    Value::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}
