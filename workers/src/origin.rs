//! Who asks: what every call of a function carries besides its input (workers.md, "Outcome and idempotency").
//!
//! Owns the names and the text forms of these fields, as header fields and as environment variables. Draws
//! nothing: the trace context is derived from the order, so every attempt at a visit can be recomputed.

use std::fmt::Write as _;

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
const VARIABLES: [&str; 6] = [
    "TIDEMILL_IDEMPOTENCY_KEY",
    "TRACEPARENT",
    "TIDEMILL_EXECUTION",
    "TIDEMILL_TASK",
    "TIDEMILL_ATTEMPT",
    "TIDEMILL_DEADLINE",
];

/// The values of the fields: one text and where each ends; an order without a deadline has no last one.
fn fields(order: &Order) -> (String, Vec<usize>) {
    let mut text = String::with_capacity(224);
    let mut ends = Vec::with_capacity(HEADERS.len());
    let mut add = |write: &dyn Fn(&mut String)| {
        write(&mut text);
        ends.push(text.len());
    };
    add(&|out| out.push_str(&order.idempotency_key()));
    add(&|out| trace(order, out));
    add(&|out| _ = write!(out, "{}", order.execution));
    add(&|out| ascii(&order.task, out));
    add(&|out| _ = write!(out, "{}", order.attempt));
    if let Some(deadline) = order.deadline {
        add(&|out| out.push_str(&deadline.rfc3339()));
    }
    (text, ends)
}

/// The path of the API under which a partner ends the task later: `/complete` or `/fail` follows it.
pub(crate) fn callback(order: &Order) -> String {
    format!("/v1/namespaces/{}/executions/{}/tasks/{}", order.namespace, order.execution, order.visit)
}

/// The fields as environment variables.
pub(crate) fn variables(order: &Order) -> Vec<(&'static str, String)> {
    let (text, ends) = fields(order);
    let mut from = 0;
    let values = ends.into_iter().map(|end| text[std::mem::replace(&mut from, end)..end].to_owned());
    VARIABLES.into_iter().zip(values).collect()
}

/// Sets the header fields; all of them are visible ASCII. The values share one buffer: a copy costs next to nothing.
pub(crate) fn insert(order: &Order, headers: &mut HeaderMap) {
    let (text, ends) = fields(order);
    let text = Bytes::from(text);
    let mut from = 0;
    for (name, end) in HEADERS.into_iter().zip(ends) {
        let value = text.slice(std::mem::replace(&mut from, end)..end);
        if let Ok(value) = HeaderValue::from_maybe_shared(value) {
            headers.insert(name, value);
        }
    }
}

/// The W3C trace context of a call: the trace is the execution's, the span that of one attempt at one visit.
pub fn traceparent(order: &Order) -> String {
    let mut text = String::with_capacity(55);
    trace(order, &mut text);
    text
}

fn trace(order: &Order, text: &mut String) {
    let trace = Sha256::digest(order.execution.0);
    let mut span = Sha256::new();
    span.update(order.execution.0);
    span.update(order.visit.to_be_bytes());
    span.update(order.attempt.to_be_bytes());
    let span = span.finalize();
    text.push_str("00-");
    hex(&trace[..16], text);
    text.push('-');
    hex(&span[..8], text);
    text.push_str("-01");
}

fn hex(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// Text that may stand in a header field: everything but visible ASCII and blanks is percent-encoded.
fn ascii(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            out.push(char::from(byte));
        } else {
            out.push('%');
            hex(&[byte], out);
        }
    }
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
    fn headers_and_variables_say_the_same() {
        for deadline in [None, Some(tidemill_dsl::ids::Time(1_764_000_000_000))] {
            let order = Order { deadline, ..order("/do/0/ä") };
            let mut headers = HeaderMap::new();
            insert(&order, &mut headers);
            let variables = variables(&order);
            assert_eq!(
                (headers.len(), variables.len()),
                (5 + usize::from(deadline.is_some()), headers.len())
            );
            for (name, (_, value)) in HEADERS.iter().zip(&variables) {
                assert_eq!(headers[name], value.as_str());
            }
            assert_eq!(headers["idempotency-key"], order.idempotency_key().as_str());
            assert_eq!(headers["traceparent"], traceparent(&order).as_str());
            assert_eq!(headers["tidemill-execution"], order.execution.to_string().as_str());
            assert_eq!(headers["tidemill-task"], "/do/0/%c3%a4");
            assert_eq!(headers["tidemill-attempt"], "1");
        }
    }

    #[test]
    fn task_names_of_any_script_fit_a_header() {
        for (text, expected) in
            [("/do/0/a b", "/do/0/a b"), ("/do/0/ä%", "/do/0/%c3%a4%25"), ("a\nb", "a%0ab")]
        {
            let mut said = String::new();
            ascii(text, &mut said);
            assert_eq!(said, expected);
        }
    }
}
