//! The engine's limits: each with its name, so that an error can say which one was met (invariant 8).
//!
//! Owns the figures and the faults that name them. Decides nothing.

use std::time::Duration;

use tidemill_dsl::value::{MAX_DEPTH, Value};

/// Visits after which a decision yields (D6).
pub const MAX_VISITS: usize = 1000;

/// Bytes of records after which a decision yields (D6).
pub const MAX_BYTES: usize = 1024 * 1024;

/// How deep tasks may be nested in one another, calls of local functions included (limit `nesting`).
pub const MAX_NESTING: usize = 32;

/// Items of one `for` (limit `for-items`).
pub const MAX_ITEMS: usize = 10_000;

/// Signals that one execution takes in all (limit `signals`).
pub const MAX_SIGNALS: usize = 10_000;

/// Emitted events that may lead to one another, from emit over trigger and execution to the next emit, where
/// [`Around`](crate::Around) says nothing else (limit `hop-count`).
pub const MAX_HOPS: usize = 16;

/// Public history entries after which an execution is suspended; each resume allows as many again (limit `history`).
pub const MAX_HISTORY: u64 = 200_000;

/// Bytes of JSON of one task's output (limit `task-output`).
pub const MAX_OUTPUT: usize = tidemill_dsl::order::MAX_OUTPUT;

/// The longest wait, timeout or delay (limit `duration`).
pub const MAX_DURATION: Duration = Duration::from_hours(366 * 24);

/// The cap of a growing retry delay; a stated base delay above it stands (dsl.md section 5 #8).
pub const MAX_BACKOFF: Duration = Duration::from_hours(1);

/// Why a value may not be recorded: too large or nested too deep. Gives its size otherwise.
pub(crate) fn measure(value: &Value) -> Result<usize, String> {
    let mut size = 0;
    weigh(value, 0, &mut size)?;
    if size > MAX_OUTPUT {
        return Err(format!("a value has {size} bytes (limit task-output: {MAX_OUTPUT} bytes)"));
    }
    Ok(size)
}

fn weigh(value: &Value, depth: usize, size: &mut usize) -> Result<(), String> {
    if depth >= MAX_DEPTH {
        return Err(format!("a value is nested too deep (limit value-depth: {MAX_DEPTH})"));
    }
    match value {
        Value::Array(items) => {
            *size += 2 + items.len();
            items.iter().try_for_each(|item| weigh(item, depth + 1, size))
        }
        Value::Object(map) => {
            *size += 2;
            map.iter().try_for_each(|(key, item)| {
                *size += key.len() + 4;
                weigh(item, depth + 1, size)
            })
        }
        scalar => {
            *size += scalar.size();
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_and_deep_values_are_refused_by_name() {
        assert_eq!(measure(&Value::text("abc")), Ok(5));
        let large = measure(&Value::text("x".repeat(MAX_OUTPUT)));
        assert!(large.is_err_and(|text| text.contains("limit task-output")));
        let deep = (0..MAX_DEPTH).fold(Value::Null, |inner, _| Value::array([inner]));
        assert!(measure(&deep).is_err_and(|text| text.contains("limit value-depth")));
    }
}
