//! `kind: Source`: event source bindings.
//!
//! Owns the fields that every kind has, and the choice of the kind. One file per kind below.

mod cron;
mod http;
mod kafka;
mod minio;
mod mysql;
mod overrides;

use std::sync::Arc;

pub use cron::{CatchUp, CronSource, Dialect};
pub use http::{HmacScheme, HttpAuth, HttpSource, JwtAuth, JwtKeys, Respond};
pub(super) use kafka::topic;
pub use kafka::{Format, KafkaSource, Start};
pub use minio::{MinioSource, MinioVia};
pub use mysql::{MysqlSource, OnGap, Operations, TableFilter, TablePattern};
pub use overrides::{EventOverrides, OverrideError};

use super::{Head, Integration, Metadata, Raw, Reference, codes, open, read};
use crate::diagnostic::{Diagnostic, Span};
use crate::duration::Rate;
use crate::reader::{Place, Sink};

/// A binding to where events come from.
#[derive(Clone, Debug)]
pub struct Source {
    /// What it is called.
    pub meta: Metadata,
    /// Whether it runs.
    pub enabled: bool,
    /// For people.
    pub description: Option<Arc<str>>,
    /// Attributes that replace those of the kind.
    pub event: EventOverrides,
    /// How much it may bring.
    pub limits: SourceLimits,
    /// Of which kind, with its fields.
    pub kind: SourceKind,
    /// As written.
    pub raw: Raw,
    connection: Option<(Arc<str>, Span)>,
    carrier: Option<Span>,
    path: Span,
}

/// How much a source may bring.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SourceLimits {
    /// Events per time.
    pub rate: Option<Rate>,
    /// Events taken and not yet stored.
    pub max_in_flight: Option<u32>,
}

/// The kinds of this release.
#[derive(Clone, Debug)]
pub enum SourceKind {
    /// Calls of a route.
    Http(HttpSource),
    /// A time table.
    Cron(CronSource),
    /// Records of topics.
    Kafka(KafkaSource),
    /// Objects of a bucket.
    Minio(MinioSource),
    /// Rows of tables, by the binlog.
    Mysql(MysqlSource),
}

impl SourceKind {
    /// The key of the kind in `spec`.
    pub fn name(&self) -> &'static str {
        match self {
            SourceKind::Http(_) => "http",
            SourceKind::Cron(_) => "cron",
            SourceKind::Kafka(_) => "kafka",
            SourceKind::Minio(_) => "minio",
            SourceKind::Mysql(_) => "mysql",
        }
    }

    /// How it joins source, rule and firing.
    pub fn integration(&self) -> Integration {
        match self {
            SourceKind::Http(_) | SourceKind::Cron(_) | SourceKind::Kafka(_) | SourceKind::Mysql(_) => {
                Integration::OneWay
            }
            SourceKind::Minio(minio) => minio.via.integration(),
        }
    }
}

const KINDS: [&str; 7] = ["http", "cron", "kafka", "rabbitmq", "nats", "mysql", "minio"];

pub(super) fn read(head: Head, spec: Place, sink: &Sink) -> Option<Source> {
    let mut reader = open(spec, sink, "the spec of a Source")?;
    let enabled = reader.flag("enabled", true);
    let description = reader.text("description");
    let event =
        reader.take("event").map_or(Some(EventOverrides::default()), |place| overrides::read(place, sink));
    let limits = reader.map("limits", "limits").map(|mut limits| {
        let read = SourceLimits {
            rate: limits.take("rate").and_then(|place| read::rate(&place, sink)),
            max_in_flight: limits
                .take("maxInFlight")
                .and_then(|place| read::count(&place, sink, 1..=1_000_000)),
        };
        limits.finish();
        read
    });
    let kind = read::one_of(&mut reader, &KINDS, "the kind of source");
    reader.finish();
    let (kind, place) = kind?;
    let connection = place.node.get("connection").map(|node| node.span).unwrap_or_default();
    let path = ["/path", "/via/webhook/path"].iter().find_map(|at| place.node.pointer(at));
    let path = path.unwrap_or(place.node).span;
    let mut carrier = None;
    let kind = match kind {
        "http" => http::read(place, sink, &head.meta).map(SourceKind::Http),
        "cron" => cron::read(place, sink).map(SourceKind::Cron),
        "kafka" => kafka::read(place, sink, &head.meta).map(SourceKind::Kafka),
        "mysql" => mysql::read(place, sink, &head.meta).map(SourceKind::Mysql),
        "minio" => minio::read(place, sink, &head.meta).map(|(minio, found)| {
            carrier = found;
            SourceKind::Minio(minio)
        }),
        later => {
            let message = format!("sources of kind {later} are not supported by this release");
            sink.push(read::explained(place.key_error(codes::LATER_SOURCE, message)));
            None
        }
    }?;
    let connection = match &kind {
        SourceKind::Kafka(KafkaSource { connection: super::Link::Named(name), .. })
        | SourceKind::Minio(MinioSource { connection: super::Link::Named(name), .. })
        | SourceKind::Mysql(MysqlSource { connection: super::Link::Named(name), .. }) => {
            Some((name.clone(), connection))
        }
        _ => None,
    };
    let limits = limits.unwrap_or_default();
    Some(Source {
        meta: head.meta,
        enabled,
        description,
        event: event?,
        limits,
        kind,
        raw: head.raw,
        connection,
        carrier,
        path,
    })
}

impl Source {
    /// The Source whose records carry its events, by kind and name; none for those that come by themselves.
    pub fn carrier(&self) -> Option<(&'static str, &Arc<str>)> {
        match &self.kind {
            SourceKind::Minio(MinioSource { via: MinioVia::Carried { bus, source }, .. }) => {
                Some((bus, source))
            }
            _ => None,
        }
    }

    /// Where it is called, if it is: the path behind `/hooks/{namespace}/`, with its place and JSON pointer.
    pub fn hook(&self) -> Option<(&Arc<str>, Span, &'static str)> {
        match &self.kind {
            SourceKind::Http(http) => Some((&http.path, self.path, "/spec/http/path")),
            SourceKind::Minio(MinioSource { via: MinioVia::Webhook { path, .. }, .. }) => {
                Some((path, self.path, "/spec/minio/via/webhook/path"))
            }
            _ => None,
        }
    }

    /// A carrier of another kind than stated is an error; one that is absent is a reference's.
    pub fn check_carrier(&self, found: &Source) -> Option<Diagnostic> {
        let (bus, name) = self.carrier()?;
        let message = format!("the source `{name}` is of kind {}, not {bus}", found.kind.name());
        let place = Diagnostic::error(codes::CARRIER, self.carrier.unwrap_or_default(), message);
        (found.kind.name() != bus).then(|| read::explained(place.at(self.carrier_pointer(bus))))
    }

    fn carrier_pointer(&self, bus: &str) -> String {
        format!("/spec/{}/via/{bus}/source", self.kind.name())
    }

    pub(super) fn references(&self) -> Vec<Reference> {
        let connection = |(name, span): &(Arc<str>, Span)| Reference {
            kind: "Connection",
            name: name.clone(),
            version: None,
            of: Some(self.kind.name()),
            span: *span,
            pointer: format!("/spec/{}/connection", self.kind.name()),
        };
        let carrier = |(bus, name): (&'static str, &Arc<str>)| Reference {
            kind: "Source",
            name: name.clone(),
            version: None,
            of: None,
            span: self.carrier.unwrap_or_default(),
            pointer: self.carrier_pointer(bus),
        };
        self.connection.iter().map(connection).chain(self.carrier().map(carrier)).collect()
    }
}
