//! Who asks: what every call of a function carries besides its input (workers.md, "Outcome and idempotency").
//!
//! Owns the names and the text forms of these fields, as header fields and as environment variables. Draws
//! nothing: the trace context is derived from the order, so every attempt at a visit can be recomputed.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use tidemill_dsl::order::Order;

/// Names the call for a partner that is asked twice.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Header names of the fields, in the order of [`fields`].
const HEADERS: [HeaderName; 6] = [
    IDEMPOTENCY_KEY,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tidemill-execution"),
    HeaderName::from_static("tidemill-task"),
    HeaderName::from_static("tidemill-attempt"),
    HeaderName::from_static("tidemill-deadline"),
];

/// Environment variables of the fields, in the order of [`fields`].
pub(crate) const VARIABLES: [&str; 6] = [
    "TIDEMILL_IDEMPOTENCY_KEY",
    "TRACEPARENT",
    "TIDEMILL_EXECUTION",
    "TIDEMILL_TASK",
    "TIDEMILL_ATTEMPT",
    "TIDEMILL_DEADLINE",
];

/// The values of the fields; an order without a deadline has no last one.
pub(crate) fn fields(order: &Order) -> [Option<String>; 6] {
    [
        Some(order.idempotency_key()),
        Some(traceparent(order)),
        Some(order.execution.to_string()),
        Some(ascii(&order.task)),
        Some(order.attempt.to_string()),
        order.deadline.map(tidemill_dsl::ids::Time::rfc3339),
    ]
}

/// The path of the API under which a partner ends the task later: `/complete` or `/fail` follows it.
pub(crate) fn callback(order: &Order) -> String {
    format!("/v1/namespaces/{}/executions/{}/tasks/{}", ascii(&order.namespace), order.execution, order.visit)
}

/// Sets the header fields; all of them are visible ASCII.
pub(crate) fn insert(order: &Order, headers: &mut HeaderMap) {
    for (name, value) in HEADERS.into_iter().zip(fields(order)) {
        if let Some(value) = value.and_then(|text| HeaderValue::from_maybe_shared(Bytes::from(text)).ok()) {
            headers.insert(name, value);
        }
    }
}

/// The W3C trace context of a call: the trace is the execution's, the span that of one attempt at one visit.
pub fn traceparent(order: &Order) -> String {
    let trace = Sha256::digest(order.execution.0);
    let mut span = Sha256::new();
    span.update(order.execution.0);
    span.update(order.visit.to_be_bytes());
    span.update(order.attempt.to_be_bytes());
    let span = span.finalize();
    let mut text = String::with_capacity(55);
    text.push_str("00-");
    hex(&trace[..16], &mut text);
    text.push('-');
    hex(&span[..8], &mut text);
    text.push_str("-01");
    text
}

fn hex(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// Text that may stand in a header field: everything but visible ASCII and blanks is percent-encoded.
fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            out.push(char::from(byte));
        } else {
            out.push('%');
            hex(&[byte], &mut out);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::order;

    #[test]
    fn the_trace_is_of_the_execution_and_the_span_of_the_attempt() {
        let mut first = order("/do/0/a");
        let mut second = first.clone();
        second.attempt = 2;
        let (a, b) = (traceparent(&first), traceparent(&second));
        assert_eq!(a.len(), 55);
        assert_eq!(a[..36], b[..36]);
        assert_ne!(a[36..52], b[36..52]);
        first.visit += 1;
        assert_ne!(traceparent(&first)[36..52], a[36..52]);
        assert_eq!(second.idempotency_key(), order("/do/0/a").idempotency_key());
    }

    #[test]
    fn task_names_of_any_script_fit_a_header() {
        for (text, expected) in
            [("/do/0/a b", "/do/0/a b"), ("/do/0/ä%", "/do/0/%c3%a4%25"), ("a\nb", "a%0ab")]
        {
            assert_eq!(ascii(text), expected);
        }
    }
}
