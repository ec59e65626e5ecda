//! What an answer's body is: JSON, text, or bytes.
//!
//! Owns the reading of bodies by content type. It may not decide whether an answer is a failure.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use tidemill_dsl::fault::Fault;
use tidemill_dsl::order::Outcome;
use tidemill_dsl::value::Value;

use crate::clock::system_time;

/// Longest excerpt of a body in an error, in characters.
const EXCERPT: usize = 500;
/// Longest `retry-after` in seconds: beyond the age of any retry, so that a later one means the same.
const LATEST: u64 = 999_999;

/// The body of an answer with what its header says about it.
#[derive(Debug)]
pub struct Body<'a> {
    /// The bytes, decompressed.
    pub bytes: &'a Bytes,
    /// Media type in lower case without parameters; empty when there is none.
    media: Cow<'a, str>,
    /// Whether the text is ISO 8859-1.
    latin: bool,
}

impl<'a> Body<'a> {
    /// The body of an answer with these header fields.
    pub fn new(headers: &HeaderMap, bytes: &'a Bytes) -> Body<'a> {
        const JSON: &str = "application/json";
        let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
        if kind == JSON {
            return Body { bytes, media: Cow::Borrowed(JSON), latin: false };
        }
        let kind = kind.to_lowercase();
        let (media, parameters) = kind.split_once(';').unwrap_or((&kind, ""));
        let latin = ["iso-8859-1", "latin1", "windows-1252"].iter().any(|name| parameters.contains(name));
        Body { bytes, media: Cow::Owned(media.trim().to_owned()), latin }
    }

    /// Whether the answer says it is JSON.
    pub fn says_json(&self) -> bool {
        self.media == "application/json" || self.media.ends_with("+json") || self.media == "text/json"
    }

    /// The content: null when there is none, the value when it is JSON (said so, or unsaid and readable as such),
    /// else the text; bytes that are no text are base64.
    pub fn content(&self) -> Value {
        if self.bytes.is_empty() {
            return Value::Null;
        }
        if (self.says_json() || self.media.is_empty())
            && let Ok(value) = Value::parse(self.bytes)
        {
            return value;
        }
        if self.latin {
            return Value::from(self.bytes.iter().map(|b| char::from(*b)).collect::<String>());
        }
        match std::str::from_utf8(self.bytes) {
            Ok(text) => Value::from(text),
            Err(_) => self.base64(),
        }
    }

    /// The bytes in base64.
    pub fn base64(&self) -> Value {
        Value::from(STANDARD.encode(self.bytes))
    }
}

/// The beginning of a body for people, on one line.
pub fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(EXCERPT * 4)]);
    let mut out: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((at, _)) = out.char_indices().nth(EXCERPT) {
        out.truncate(at);
        out.push_str("...");
    }
    out
}

/// The outcome of a function's answer: the body of a 2xx answer is the output, anything else an error with the
/// answer's status.
pub(crate) fn output_of(status: StatusCode, headers: &HeaderMap, bytes: &Bytes, whom: &str) -> Outcome {
    if !status.is_success() {
        return Outcome::Failed(failed(status, headers, bytes, whom));
    }
    let body = Body::new(headers, bytes);
    if !body.says_json() || bytes.is_empty() {
        return Outcome::Done(body.content());
    }
    match Value::parse(bytes) {
        Ok(value) => Outcome::Done(value),
        Err(error) => Outcome::Failed(protocol(format!("{whom} answered {status} with bad JSON: {error}"))),
    }
}

/// The seconds that a `retry-after` asks for, at most [`LATEST`]: a number of them, or a date (RFC 9110, 10.2.3), which
/// is taken against the partner's own clock where the answer tells it. None if it is neither.
fn retry_after(headers: &HeaderMap, now: impl FnOnce() -> SystemTime) -> Option<u64> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let after = text(header::RETRY_AFTER)?;
    if !after.is_empty() && after.bytes().all(|b| b.is_ascii_digit()) {
        return Some(after.parse().unwrap_or(LATEST).min(LATEST));
    }
    let until = httpdate::parse_http_date(after).ok()?;
    let from = text(header::DATE).and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or_else(now);
    let left = until.duration_since(from).unwrap_or_default();
    Some(left.as_secs().saturating_add(u64::from(left.subsec_nanos() > 0)).min(LATEST))
}

/// The fault of an answer whose status says failure; the seconds of a `retry-after` are part of its detail, from which
/// the retries of deliveries take them.
pub(crate) fn failed(status: StatusCode, headers: &HeaderMap, bytes: &[u8], whom: &str) -> Fault {
    let mut detail = format!("{whom} answered {status}");
    if let Some(seconds) = retry_after(headers, system_time) {
        let _ = write!(detail, " (retry-after: {seconds})");
    }
    let excerpt = excerpt(bytes);
    if !excerpt.is_empty() {
        detail.push_str(": ");
        detail.push_str(&excerpt);
    }
    Fault::communication(i64::from(status.as_u16()), detail)
}

/// The fault of a partner that does not keep to the protocol.
pub(crate) fn protocol(detail: String) -> Fault {
    Fault { title: Some("Protocol Error".into()), ..Fault::communication(500, detail) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::json;

    fn headers(kind: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !kind.is_empty() {
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
        }
        headers
    }

    #[test]
    fn contents() {
        let check = |kind: &str, bytes: &'static [u8], expected: &str| {
            let bytes = Bytes::from_static(bytes);
            assert_eq!(Body::new(&headers(kind), &bytes).content(), json(expected), "{kind} {bytes:?}");
        };
        check("application/json", b"{\"a\": 1}", "{\"a\":1}");
        check("application/problem+json; charset=utf-8", b"[1]", "[1]");
        check("Application/JSON", b"1", "1");
        check("application/json", b"not json", "\"not json\"");
        check("text/plain", b"{\"a\": 1}", "\"{\\\"a\\\": 1}\"");
        check("", b"{\"a\": 1}", "{\"a\":1}");
        check("", b"hello", "\"hello\"");
        check("application/json", b"", "null");
        check("text/plain; charset=ISO-8859-1", b"caf\xe9", "\"café\"");
        check("image/png", b"\x89PNG\xff", "\"iVBOR/8=\"");
    }

    #[test]
    fn function_answers() {
        let check = |status: u16, kind: &str, bytes: &'static [u8], expected: Result<&str, (i64, &str)>| {
            let status = StatusCode::from_u16(status).unwrap();
            let said = output_of(status, &headers(kind), &Bytes::from_static(bytes), "f");
            match (said, expected) {
                (Outcome::Done(value), Ok(text)) => assert_eq!(value, json(text)),
                (Outcome::Failed(fault), Err((status, detail))) => {
                    assert_eq!((fault.status, fault.detail.as_deref().unwrap_or("")), (status, detail));
                }
                (said, expected) => panic!("{said:?} is not {expected:?}"),
            }
        };
        check(200, "application/json", b"{\"a\":1}", Ok("{\"a\":1}"));
        check(204, "", b"", Ok("null"));
        check(200, "text/plain", b"hi", Ok("\"hi\""));
        check(404, "text/plain", b"no\n such", Err((404, "f answered 404 Not Found: no such")));
        check(302, "", b"", Err((302, "f answered 302 Found")));
    }

    #[test]
    fn retry_after_is_told() {
        let check = |after: &str, date: &str, expected: Option<u64>| {
            let mut headers = headers("");
            headers.insert(header::RETRY_AFTER, after.parse().unwrap());
            if !date.is_empty() {
                headers.insert(header::DATE, date.parse().unwrap());
            }
            // Sun, 06 Nov 1994 08:49:37 GMT
            let now = || SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(784_111_777_500);
            assert_eq!(retry_after(&headers, now), expected, "{after} {date}");
        };
        check("7", "", Some(7));
        check(" 0 ", "", Some(0));
        check("99999999999999999999", "", Some(LATEST));
        check("Sun, 06 Nov 1994 08:49:40 GMT", "", Some(3));
        check("Sunday, 06-Nov-94 08:49:40 GMT", "", Some(3));
        check("Sun Nov  6 08:49:40 1994", "", Some(3));
        check("Sun, 06 Nov 1994 08:49:30 GMT", "", Some(0));
        check("Fri, 31 Dec 9999 23:59:59 GMT", "", Some(LATEST));
        check("Sun, 06 Nov 1994 10:00:05 GMT", "Sun, 06 Nov 1994 10:00:00 GMT", Some(5));
        check("Sun, 06 Nov 1994 08:49:40 GMT", "yesterday", Some(3));
        for none in ["", "-1", "1.5", "soon", "+7"] {
            check(none, "", None);
        }
        let mut headers = headers("");
        headers.insert(header::RETRY_AFTER, "7".parse().unwrap());
        let fault = failed(StatusCode::TOO_MANY_REQUESTS, &headers, b"", "f");
        assert_eq!(fault.detail.as_deref(), Some("f answered 429 Too Many Requests (retry-after: 7)"));
    }

    #[test]
    fn long_bodies_are_cut() {
        assert_eq!(excerpt(&vec![b'x'; 10_000]).len(), EXCERPT + 3);
        assert_eq!(excerpt("ä".repeat(5000).as_bytes()).chars().count(), EXCERPT + 3);
    }
}
