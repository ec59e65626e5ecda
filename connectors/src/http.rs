//! Source kind `http`: requests under `/hooks/{namespace}/{path}` as events.
//!
//! Pure: from the parts of a request to its events, or to the problem to answer. Knows no server; the route, the
//! limits on slow senders and the answer after the commit are the orchestrator's.

pub mod auth;
pub mod jwt;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use tidemill_dsl::event::{self, Data, Event, EventError, Limits, Refusal, is_json, is_media_type};
use tidemill_dsl::ids::Time;
use tidemill_dsl::manifest::EventOverrides;
use tidemill_dsl::value::{Map, Value};

pub use auth::Auth;

/// An HTTP source, configured.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The path under `/hooks/{namespace}/`, without a leading slash.
    pub path: Arc<str>,
    /// Methods that are taken, in upper case.
    pub methods: Vec<Arc<str>>,
    /// Who may send.
    pub auth: Auth,
    /// Most bytes of a body (limit `maxBody`).
    pub max_body: usize,
    /// The `event` block, over `{body, headers, query, method, path}`.
    pub overrides: EventOverrides,
}

/// The parts of one request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// In upper case.
    pub method: &'a str,
    /// The whole path as sent.
    pub path: &'a str,
    /// What follows `?`, undecoded.
    pub query: Option<&'a str>,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// The body, byte for byte: signatures are made over it.
    pub body: &'a Bytes,
    /// When it came in.
    pub received: Time,
}

/// Why a request becomes no event: what an RFC 9457 answer is made of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("take the request: {message}")]
pub struct HttpProblem {
    /// HTTP status.
    pub status: u16,
    /// Stable code.
    pub code: &'static str,
    /// What is wrong: a lower-case fragment. Holds nothing secret.
    pub message: String,
    /// What to do.
    pub help: String,
    /// What exactly is wrong, for the operator alone; empty where the message says it.
    pub why: &'static str,
    /// Whether credentials were there and were wrong: it may have been a guess.
    pub guessed: bool,
}

impl HttpProblem {
    pub(crate) fn new(
        status: u16,
        code: &'static str,
        message: impl Into<String>,
        help: &str,
    ) -> HttpProblem {
        HttpProblem { status, code, message: message.into(), help: help.to_owned(), why: "", guessed: false }
    }
}

/// Judges a request: method, size, then who sends it. To be called with the whole body, before [`to_events`].
pub fn admit(spec: &Spec, request: &Request<'_>) -> Result<(), HttpProblem> {
    if !spec.methods.iter().any(|method| **method == *request.method) {
        let help = format!("send {}", spec.methods.join(" or "));
        let message = format!("this source does not take {}", request.method);
        return Err(HttpProblem::new(405, "method-not-allowed", message, &help));
    }
    if request.body.len() > spec.max_body {
        let message = format!("the body is larger than the limit maxBody of {} bytes", spec.max_body);
        return Err(HttpProblem::new(
            413,
            "body-too-large",
            message,
            "send less, or raise maxBody of the source",
        ));
    }
    auth::verify(&spec.auth, request)
}

/// Admits a request and turns it into events: CloudEvents in any mode as they are, every other body wrapped into one
/// event. `fresh_id` is used where the caller names none; equal bodies are thus no duplicates.
pub fn to_events(
    spec: &Spec,
    namespace: &str,
    request: &Request<'_>,
    fresh_id: &str,
) -> Result<Vec<Event>, HttpProblem> {
    admit(spec, request)?;
    let content_type = header(request.headers, "content-type");
    let is_event = (event::http::mode(content_type) != Ok(event::http::Mode::Binary))
        || request.headers.contains_key("ce-specversion");
    if is_event {
        let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let limits = Limits { event: spec.max_body, ..Limits::default() };
        let events = event::http::read(headers, request.body, limits).map_err(|error| refused(&error))?;
        covered(spec, request, &events)?;
        return Ok(events);
    }
    Ok(vec![wrap(spec, namespace, request, fresh_id)?])
}

fn refused(error: &EventError) -> HttpProblem {
    let (status, code) = match error.refusal {
        Refusal::Invalid => (400, "bad-event"),
        Refusal::Unsupported => (415, "unsupported-event-format"),
        Refusal::TooLarge => (413, "event-too-large"),
    };
    let help = error
        .help
        .as_deref()
        .unwrap_or("send a CloudEvent 1.0, or any other content type to have it wrapped");
    let message = match error.index {
        Some(index) => format!("event {index} of the batch: {}", error.message),
        None => error.message.clone(),
    };
    HttpProblem::new(status, code, message, help)
}

/// Attributes in header fields are not signed: under a scheme that signs an id, an event keeps to it. What was caught
/// could otherwise be sent again as another event.
fn covered(spec: &Spec, request: &Request<'_>, events: &[Event]) -> Result<(), HttpProblem> {
    let in_head = request.headers.contains_key("ce-specversion")
        && event::http::mode(header(request.headers, "content-type")) == Ok(event::http::Mode::Binary);
    let signed = header(request.headers, "webhook-id");
    if spec.auth.signs_id() && in_head && events.iter().any(|event| Some(&*event.id) != signed) {
        let message = "the signature covers webhook-id and the body, not ce-id";
        let help = "send the event in structured mode, or its id as webhook-id too";
        return Err(HttpProblem::new(400, "unsigned-id", message, help));
    }
    Ok(())
}

/// Any request as one event of type `http.request` (manifests.md, Source `http`).
fn wrap(spec: &Spec, namespace: &str, request: &Request<'_>, fresh_id: &str) -> Result<Event, HttpProblem> {
    // A signed id goes before one that is not.
    let names = if spec.auth.signs_id() { &["webhook-id"][..] } else { &["idempotency-key", "webhook-id"] };
    let field = |name| request.headers.get(name).filter(|value| !value.is_empty()).map(|value| (name, value));
    let named = names.iter().find_map(|name| field(*name));
    let named = match named {
        None => "",
        Some((name, value)) => std::str::from_utf8(value.as_bytes()).map_err(|_| {
            let message = format!("the header field `{name}` is no UTF-8");
            HttpProblem::new(400, "bad-id", message, "send an id as text, best of visible ASCII")
        })?,
    };
    let signed = if named.is_empty() { spec.auth.signed_once(request) } else { None };
    let sent_type = header(request.headers, "content-type").map(str::trim).filter(|text| is_media_type(text));
    let (data, content_type) = payload(sent_type, request.body);
    let event = Event {
        id: signed.as_deref().unwrap_or(if named.is_empty() { fresh_id } else { named }).into(),
        source: format!("/hooks/{namespace}/{}", spec.path.trim_start_matches('/')).into(),
        kind: "http.request".into(),
        subject: None,
        time: Some(request.received.rfc3339().into()),
        datacontenttype: content_type.map(Into::into),
        dataschema: None,
        extensions: Map::from_iter([("httpmethod".into(), Value::text(request.method))]),
        data,
    }
    .sound();
    if spec.overrides.is_empty() {
        return Ok(event);
    }
    spec.overrides.apply(&event, &raw(request, &event.data)).map_err(|error| {
        let help = "correct the request, or the source's event block";
        HttpProblem::new(422, "source-event", error.to_string(), help)
    })
}

/// A body and the content type its data has: JSON where it is said or nothing is said, then text, then bytes. A form
/// content type on a JSON object or array, which clients send by default, counts as nothing said.
fn payload<'a>(content_type: Option<&'a str>, body: &Bytes) -> (Data, Option<&'a str>) {
    if body.is_empty() {
        return (Data::None, None);
    }
    let form = content_type
        .is_some_and(|text| text.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded"));
    let unsaid = content_type.is_none() || form && matches!(body.first(), Some(b'{' | b'['));
    if (unsaid || content_type.is_some_and(is_json))
        && let Ok(value) = Value::parse(body)
    {
        let said = content_type.filter(|_| !unsaid).unwrap_or("application/json");
        return (Data::Json(value), Some(said));
    }
    let said = content_type.filter(|text| !is_json(text));
    match std::str::from_utf8(body) {
        Ok(text) => (Data::Json(Value::text(text)), Some(said.unwrap_or("text/plain"))),
        Err(_) => (Data::Binary(body.clone()), Some(said.unwrap_or("application/octet-stream"))),
    }
}

/// What the expressions of the `event` block see. Header names are in lower case; a field or parameter that came
/// several times is joined with `, ` or is an array.
fn raw(request: &Request<'_>, data: &Data) -> Value {
    let mut headers = Map::new();
    for name in request.headers.keys() {
        let values: Vec<_> =
            request.headers.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes())).collect();
        headers.insert(name.as_str().into(), Value::text(values.join(", ")));
    }
    Value::object([
        ("body", data_value(data)),
        ("headers", Value::from(headers)),
        ("query", Value::from(query(request.query.unwrap_or("")))),
        ("method", Value::text(request.method)),
        ("path", Value::text(request.path)),
    ])
}

/// Data as expressions see it: bytes as base64 text.
pub(crate) fn data_value(data: &Data) -> Value {
    match data {
        Data::None => Value::Null,
        Data::Json(value) => value.clone(),
        Data::Binary(bytes) => Value::text(STANDARD.encode(bytes)),
    }
}

fn query(text: &str) -> Map {
    let mut map = Map::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name), Value::text(decode(value)));
        let merged = match map.shift_remove(name.as_str()) {
            None => value,
            Some(Value::Array(items)) => Value::array(items.iter().cloned().chain([value])),
            Some(first) => Value::array([first, value]),
        };
        map.insert(name.into(), merged);
    }
    map
}

/// Percent-decodes a part of a query; `+` is a blank. What is no UTF-8 is replaced.
pub(crate) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let pair = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        let escaped = pair.filter(|_| *byte == b'%').and_then(|pair| u8::from_str_radix(pair, 16).ok());
        out.push(escaped.unwrap_or(if *byte == b'+' { b' ' } else { *byte }));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The text of a header field that is there once at least.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests;
