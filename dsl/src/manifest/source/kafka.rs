//! `kafka` of a source: records of topics.
//!
//! Owns its fields. Connects to nothing.

use std::sync::Arc;

use super::super::connection::read_kafka;
use super::super::{KafkaConnection, Link, Metadata, read};
use crate::codes as shared;
use crate::ids::Time;
use crate::reader::{Place, Reader, Sink};
use crate::yaml::NodeKind;

/// A consumer of topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaSource {
    /// How to reach the cluster.
    pub connection: Link<KafkaConnection>,
    /// Topics, at least one.
    pub topics: Vec<Arc<str>>,
    /// Consumer group.
    pub group: Arc<str>,
    /// Where to begin when no position is saved.
    pub start: Start,
    /// How records are read.
    pub format: Format,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With the oldest record.
    Earliest,
    /// With what comes from now on.
    #[default]
    Latest,
    /// With the first record at or after an instant.
    Timestamp(Time),
}

/// How records are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// CloudEvents as such, other records wrapped.
    #[default]
    Auto,
    /// CloudEvents alone; others are poison.
    CloudEvents,
    /// Every record is wrapped.
    Plain,
}

pub(super) fn read(place: Place, sink: &Sink, meta: &Metadata) -> Option<KafkaSource> {
    let mut reader = Reader::open(place, sink, "a kafka source")?;
    let connection = match reader.take("connection") {
        Some(place) => {
            for key in ["brokers", "security", "options"] {
                if let Some(extra) = reader.take(key) {
                    let message = format!("`{key}` and `connection` exclude each other");
                    sink.push(
                        extra.key_error(shared::EXCLUSIVE, message).help("the Connection holds these fields"),
                    );
                }
            }
            read::label(&place, sink).map(Link::Named)
        }
        None => read_kafka(&mut reader).map(Link::Inline),
    };
    let topics = reader.need("topics").and_then(|place| read::list(&place, sink, topic));
    let group = reader.take("group").map_or_else(
        || Some(format!("tidemill.{}.{}", meta.namespace, meta.name).into()),
        |place| read::some_text(&place, sink),
    );
    let start = reader.take("start").map_or(Some(Start::Latest), |place| start(&place, sink));
    let formats = [("auto", Format::Auto), ("cloudevents", Format::CloudEvents), ("plain", Format::Plain)];
    let format = reader.choice("format", &formats);
    reader.finish();
    Some(KafkaSource { connection: connection?, topics: topics?, group: group?, start: start?, format })
}

/// The name of a topic; no pattern.
pub(in super::super) fn topic(place: &Place, sink: &Sink) -> Option<Arc<str>> {
    let text = place.text(sink)?;
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if (1..=249).contains(&text.len()) && text.bytes().all(good) && !matches!(&*text, "." | "..") {
        return Some(text);
    }
    let wrong = place.error(shared::WRONG_NAME, format!("`{text}` is no name of a topic"));
    sink.push(wrong.help("a topic has 1 to 249 of A-Z, a-z, 0-9, `.`, `_` and `-`; patterns are not taken"));
    None
}

fn start(place: &Place, sink: &Sink) -> Option<Start> {
    if !matches!(place.node.kind, NodeKind::Map(_)) {
        return place.choice(sink, &[("earliest", Start::Earliest), ("latest", Start::Latest)]);
    }
    let mut reader = Reader::open(place.clone(), sink, "start")?;
    let instant = reader.need("timestamp").and_then(|place| {
        let text = place.text(sink)?;
        Time::parse(&text).or_else(|| {
            read::wrong(&place, sink, shared::WRONG_VALUE, &format!("`{text}` is no RFC 3339 timestamp"))
        })
    });
    reader.finish();
    instant.map(Start::Timestamp)
}
