//! `sink` of a target: where events are sent as they are.
//!
//! Owns its forms, and what of an event is sent. Connects to nothing.

use std::sync::Arc;

use super::super::connection::read_kafka;
use super::super::source::topic;
use super::super::{KafkaConnection, Link, Reference, codes, read};
use crate::codes as shared;
use crate::diagnostic::Span;
use crate::event::Event;
use crate::reader::{Place, Reader, Sink};
use crate::value::{Map, Value};

/// Where events are sent. Values that may change per event are expressions over the event that is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkTarget {
    /// A URL.
    Http {
        /// A URL, or an expression that gives one.
        url: Value,
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
            SinkTarget::Http { url, sign } => {
                with.push(("url", url.clone()));
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
        let SinkTarget::Kafka { connection: Link::Named(name), .. } = self else {
            return None;
        };
        let pointer = format!("{pointer}/sink");
        Some(Reference { kind: "Connection", name: name.clone(), version: None, span, pointer })
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
        "http" => read_http(place, connection.as_ref(), sink),
        "kafka" => read_kafka_sink(place, connection, sink),
        later => {
            let message = format!("sinks of kind {later} are not supported by this release");
            sink.push(read::explained(place.key_error(codes::LATER_SINK, message)));
            None
        }
    }
}

fn read_http(place: Place, connection: Option<&Place>, sink: &Sink) -> Option<SinkTarget> {
    if let Some(connection) = connection {
        let message = "connections of kind http are not supported by this release";
        sink.push(read::explained(connection.key_error(codes::LATER_CONNECTION, message)));
    }
    let mut reader = Reader::open(place, sink, "an http sink")?;
    let url = reader.need("url").and_then(|place| per_event(&place, sink, read::url));
    let sign = reader.take("sign").map(|place| read::secret(&place, sink));
    reader.finish();
    let sign = match sign {
        Some(sign) => Some(sign?),
        None => None,
    };
    connection.is_none().then_some(SinkTarget::Http { url: url?, sign })
}

fn read_kafka_sink<'a>(place: Place<'a>, beside: Option<Place<'a>>, sink: &Sink) -> Option<SinkTarget> {
    let mut reader = Reader::open(place, sink, "a kafka sink")?;
    let within = reader.take("connection");
    if let (Some(second), Some(_)) = (&within, &beside) {
        let message = "`connection` stands twice";
        sink.push(second.key_error(shared::EXCLUSIVE, message).help("keep one of them"));
    }
    let connection = match beside.or(within) {
        Some(place) => {
            for key in ["brokers", "security", "options"] {
                if let Some(extra) = reader.take(key) {
                    let message = format!("`{key}` and `connection` exclude each other");
                    let found = extra.key_error(shared::EXCLUSIVE, message);
                    sink.push(found.help("the Connection holds these fields"));
                }
            }
            read::label(&place, sink).map(Link::Named)
        }
        None => read_kafka(&mut reader).map(Link::Inline),
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
