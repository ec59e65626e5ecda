//! Comparing JSON with what an example expects.
//!
//! Owns that one question; it may not read files or sockets.

use serde_json::Value;

/// Whether `actual` says at least what `expected` says: objects may have more members, all else must be equal.
/// Numbers are compared by value, so 1 equals 1.0.
pub(crate) fn contains(actual: &Value, expected: &Value) -> bool {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            expected.iter().all(|(key, value)| actual.get(key).is_some_and(|found| contains(found, value)))
        }
        (Value::Array(actual), Value::Array(expected)) => {
            actual.len() == expected.len()
                && actual.iter().zip(expected).all(|(one, other)| contains(one, other))
        }
        (Value::Number(actual), Value::Number(expected)) => {
            actual == expected || actual.as_f64() == expected.as_f64()
        }
        _ => actual == expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets() {
        let check = |actual: &str, expected: &str, holds: bool| {
            let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            assert_eq!(contains(&read(actual), &read(expected)), holds, "{actual} contains {expected}");
        };
        check("1", "1", true);
        check("1", "1.0", true);
        check("1", "2", false);
        check("9007199254740993", "9007199254740993", true);
        check("null", "null", true);
        check("\"a\"", "\"b\"", false);
        check("{}", "{}", true);
        check("{\"a\":1,\"b\":2}", "{\"b\":2}", true);
        check("{\"b\":{\"c\":1,\"d\":2},\"a\":1}", "{\"a\":1,\"b\":{\"d\":2}}", true);
        check("{\"a\":1}", "{\"a\":1,\"b\":2}", false);
        check("{\"a\":null}", "{\"b\":null}", false);
        check("[1,2]", "[1,2]", true);
        check("[1,2]", "[1]", false);
        check("[2,1]", "[1,2]", false);
        check("[{\"a\":1,\"b\":2}]", "[{\"a\":1}]", true);
        check("{}", "[]", false);
    }
}
