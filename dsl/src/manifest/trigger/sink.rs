//! `sink` of a target: where events are sent as they are.
//!
//! Owns its forms, and what of an event is sent. Connects to nothing.

use std::sync::Arc;

use super::super::connection::{read_access, read_kafka};
use super::super::source::topic;
use super::super::{HttpAccess, KafkaConnection, Link, Reference, Setting, codes, read};
use crate::codes as shared;
use crate::diagnostic::Span;
use crate::event::Event;
use crate::expr::Template;
use crate::reader::{Place, Reader, Sink};
use crate::value::{Map, Value};

/// Where events are sent. Values that may change per event are expressions over the event that is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkTarget {
    /// A URL.
    Http {
        /// The Connection that holds where it is and what goes along; none: `access` says it.
        connection: Option<Arc<str>>,
        /// `auth`, `headers` and `tls` as written, for [`super::super::HttpAccess::of`]; none beside a connection.
        access: Option<Value>,
        /// Header fields that are expressions, by name. Apart from `access`, in which nothing is evaluated: what an event
        /// says can name no secret.
        headers: Option<Value>,
        /// A URL, or an expression that gives one; with a connection it may be relative to the connection's, or absent.
        url: Option<Value>,
        /// The secret that signs, as Standard Webhooks has it.
        sign: Option<Arc<str>>,
    },
    /// A topic.
    Kafka {
        /// How to reach the cluster.
        connection: Link<KafkaConnection>,
        /// A topic, or an expression that gives one.
        topic: Value,
        /// The record's key, or an expression that gives it; none: the event's `partitionkey`.
        key: Option<Value>,
    },
}

const KINDS: [&str; 6] = ["http", "kafka", "rabbitmq", "nats", "minio", "mysql"];

impl SinkTarget {
    /// The word of its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            SinkTarget::Http { .. } => "http",
            SinkTarget::Kafka { .. } => "kafka",
        }
    }

    /// The input of the call that sends: its own fields and the event, which is the task's input.
    pub(in super::super) fn with(&self) -> Value {
        let mut with = vec![("event", Value::text("${ . }"))];
        match self {
            SinkTarget::Http { connection, access, headers, url, sign } => {
                with.extend(connection.iter().map(|name| ("connection", Value::String(name.clone()))));
                with.extend(access.iter().map(|access| ("access", access.clone())));
                with.extend(headers.iter().map(|headers| ("headers", headers.clone())));
                with.extend(url.iter().map(|url| ("url", url.clone())));
                with.extend(sign.iter().map(|name| ("sign", Value::String(name.clone()))));
            }
            SinkTarget::Kafka { connection, topic, key } => {
                with.push(("topic", topic.clone()));
                with.extend(key.iter().map(|key| ("key", key.clone())));
                match connection {
                    Link::Named(name) => with.push(("connection", Value::String(name.clone()))),
                    Link::Inline(own) => {
                        let settings = own.settings().into_iter().map(|(k, v)| (k, Value::String(v)));
                        with.push(("client", Value::object(settings)));
                        let secret = own.security.credentials.iter();
                        with.extend(secret.map(|name| ("credentials", Value::String(name.clone()))));
                    }
                }
            }
        }
        Value::object(with)
    }

    pub(super) fn reference(&self, span: Span, pointer: &str) -> Option<Reference> {
        let (SinkTarget::Kafka { connection: Link::Named(name), .. }
        | SinkTarget::Http { connection: Some(name), .. }) = self
        else {
            return None;
        };
        let pointer = format!("{pointer}/sink");
        let of = Some(self.kind());
        Some(Reference { kind: "Connection", name: name.clone(), version: None, of, span, pointer })
    }
}

/// The event that a sink gets: what `input` gives, if that is an event; else the event with that as its data.
pub fn sent(envelope: &Value, given: Value) -> Value {
    if Event::from_value(&given).is_ok() {
        return given;
    }
    let mut event: Map = envelope.as_object().cloned().unwrap_or_default();
    event.shift_remove("data_base64");
    event.insert("datacontenttype".into(), Value::text("application/json"));
    event.insert("data".into(), given);
    event.into()
}

pub(super) fn read_sink(place: Place, sink: &Sink) -> Option<SinkTarget> {
    let mut reader = Reader::open(place, sink, "a sink")?;
    let connection = reader.take("connection");
    let kind = read::one_of(&mut reader, &KINDS, "the kind of sink");
    reader.finish();
    let (kind, place) = kind?;
    match kind {
        "http" => read_http(place, connection, sink),
        "kafka" => read_kafka_sink(place, connection, sink),
        later => {
            let message = format!("sinks of kind {later} are not supported by this release");
            sink.push(read::explained(place.key_error(codes::LATER_SINK, message)));
            None
        }
    }
}

/// `connection: NAME`, which stands in the fields of the sink or beside them, and excludes those it holds. An error is told
/// already.
fn read_connection<'a>(
    reader: &mut Reader<'a, '_>,
    beside: Option<Place<'a>>,
    held: &[&'static str],
) -> Result<Option<Arc<str>>, ()> {
    let sink = reader.sink();
    let within = reader.take("connection");
    if let (Some(second), Some(_)) = (&within, &beside) {
        let message = "`connection` stands twice";
        sink.push(second.key_error(shared::EXCLUSIVE, message).help("keep one of them"));
    }
    let Some(place) = beside.or(within) else { return Ok(None) };
    for key in held {
        if let Some(extra) = reader.take(key) {
            let message = format!("`{key}` and `connection` exclude each other");
            let found = extra.key_error(shared::EXCLUSIVE, message);
            sink.push(found.help("the Connection holds these fields"));
        }
    }
    read::label(&place, sink).map(Some).ok_or(())
}

fn read_http<'a>(place: Place<'a>, beside: Option<Place<'a>>, sink: &Sink) -> Option<SinkTarget> {
    let mut reader = Reader::open(place, sink, "an http sink")?;
    let connection = read_connection(&mut reader, beside, &ACCESS);
    let (access, headers) = written(reader.place());
    let given = read_access(&mut reader);
    let is_through = !matches!(connection, Ok(None));
    let place = if is_through { reader.take("url") } else { reader.need("url") };
    let check = if is_through { below } else { read::url };
    let url = place.as_ref().map(|place| per_event(place, sink, check));
    let sign = reader.take("sign").map(|place| read::secret(&place, sink));
    let own = reader.place().clone();
    reader.finish();
    if let (Some(Some(url)), Some(given)) = (&url, &given) {
        fits(place.as_ref()?, sink, url, given)?;
    }
    given?;
    if access.as_ref().is_some_and(|access| access.to_string().contains("${")) {
        let message = "of `auth`, `headers` and `tls` the text of a header alone can be an expression";
        sink.push(own.error(shared::WRONG_VALUE, message));
        return None;
    }
    let (sign, url) =
        (sign.map_or(Some(None), |sign| sign.map(Some)), url.map_or(Some(None), |url| url.map(Some)));
    let (connection, url, sign) = (connection.ok()?, url?, sign?);
    (is_through || url.is_some()).then_some(SinkTarget::Http { connection, access, headers, url, sign })
}

const ACCESS: [&str; 3] = ["auth", "headers", "tls"];

/// The fields of the access as written, and apart from them the header fields that are expressions.
fn written(place: &Place) -> (Option<Value>, Option<Value>) {
    let value = place.node.to_value();
    let members = value.as_object().into_iter().flatten().filter(|(name, _)| ACCESS.contains(&&***name));
    let mut access: Map = members.map(|(name, value)| (name.clone(), value.clone())).collect();
    let stated = access.get("headers").and_then(Value::as_object).cloned().unwrap_or_default();
    let is_expression = |value: &Value| value.as_str().is_some_and(|text| text.contains("${"));
    let (made, fixed): (Map, Map) = stated.into_iter().partition(|(_, value)| is_expression(value));
    if !made.is_empty() {
        access.insert("headers".into(), fixed.into());
    }
    let some = |map: Map| (!map.is_empty()).then(|| map.into());
    (some(access), some(made))
}

/// What goes with a request goes to one host, and certificates over TLS.
fn fits(place: &Place, sink: &Sink, url: &Value, access: &HttpAccess) -> Option<()> {
    let text = url.as_str().unwrap_or("");
    let is_fixed = !text.contains("${");
    if !is_fixed && (access.has_secrets() || access.tls.is_some()) {
        let message = "credentials do not go where an event says: the `url` is an expression";
        let help = "put them into a Connection of kind http and name it: it keeps them to its own host";
        sink.push(place.error(shared::EXCLUSIVE, message).help(help));
        return None;
    }
    if access.tls.is_some() && !text.starts_with("https://") {
        return read::wrong(place, sink, codes::URL, "`tls` needs an https URL");
    }
    for (name, value) in &access.headers {
        if let Setting::Text(text) = value
            && text.contains("${")
            && let Err(error) = Template::compile(&Value::String(text.clone()), &[])
        {
            let message = format!("the header `{name}`: {}", error.error.message);
            sink.push(place.error(shared::EXPR_SYNTAX, message));
            return None;
        }
    }
    Some(())
}

/// A URL, or a path below that of the connection.
fn below(place: &Place, sink: &Sink) -> Option<Arc<str>> {
    let text = place.text(sink)?;
    if text.contains("://") {
        return read::url(place, sink);
    }
    let clean = !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#' || c == '\\');
    if clean && !text.is_empty() && !text.starts_with("//") {
        return Some(text);
    }
    read::wrong(place, sink, codes::URL, &format!("`{text}` is no path and no http or https URL"))
}

fn read_kafka_sink<'a>(place: Place<'a>, beside: Option<Place<'a>>, sink: &Sink) -> Option<SinkTarget> {
    let mut reader = Reader::open(place, sink, "a kafka sink")?;
    let connection = match read_connection(&mut reader, beside, &["brokers", "security", "options"]) {
        Ok(None) => read_kafka(&mut reader).map(Link::Inline),
        Ok(Some(name)) => Some(Link::Named(name)),
        Err(()) => None,
    };
    let topic = reader.need("topic").and_then(|place| per_event(&place, sink, topic));
    let key = reader.take("key").map(|place| per_event(&place, sink, read::some_text));
    reader.finish();
    let key = match key {
        Some(key) => Some(key?),
        None => None,
    };
    Some(SinkTarget::Kafka { connection: connection?, topic: topic?, key })
}

/// A text that `check` takes, or an expression.
fn per_event(place: &Place, sink: &Sink, check: fn(&Place, &Sink) -> Option<Arc<str>>) -> Option<Value> {
    let text = place.text(sink)?;
    if text.contains("${") {
        read::template(place, sink)?;
        return Some(Value::String(text));
    }
    check(place, sink).map(Value::String)
}
