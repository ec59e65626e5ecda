//! `kind: Connection` and `kind: Queue`: addresses with their credentials, and named buffers.
//!
//! Owns the fields that sources share with connections. Connects to nothing.

mod http;
mod mysql;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use super::trigger::{Buffer, read_buffer};
use super::{Head, Metadata, Raw, codes, open, read};
use crate::reader::{Place, Reader, Sink};

pub use http::{HttpAccess, HttpConnection};
pub(super) use http::{read_access, read_http};
pub use mysql::MysqlConnection;
pub(super) use mysql::read_mysql;
pub use tls::{Pem, Tls};

/// An address and its credentials.
#[derive(Clone, Debug)]
pub struct Connection {
    /// What it is called.
    pub meta: Metadata,
    /// Of which kind.
    pub kind: ConnectionKind,
    /// As written.
    pub raw: Raw,
}

/// The kinds of connection of this release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionKind {
    /// A Kafka cluster.
    Kafka(KafkaConnection),
    /// A MinIO server, or another that speaks S3.
    Minio(MinioConnection),
    /// A MySQL or MariaDB server.
    Mysql(MysqlConnection),
    /// An HTTP service.
    Http(HttpConnection),
}

/// Fields in place, or the name of a Connection that has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link<T> {
    /// In place.
    Inline(T),
    /// `connection: NAME`.
    Named(Arc<str>),
}

/// How to reach a server that speaks S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinioConnection {
    /// `http://host:port` or `https://host:port`, without a path.
    pub endpoint: Arc<str>,
    /// The region requests are signed for; none: `us-east-1`.
    pub region: Option<Arc<str>>,
    /// The secret with `accessKey` and `secretKey`.
    pub credentials: Arc<str>,
    /// Whether the bucket stands in the path; otherwise it is the first label of the host.
    pub path_style: bool,
}

/// How to reach a Kafka cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaConnection {
    /// `host:port`, at least one.
    pub brokers: Vec<Arc<str>>,
    /// How to speak and who one is.
    pub security: KafkaSecurity,
    /// Settings passed to librdkafka as they are.
    pub options: Vec<(Arc<str>, Arc<str>)>,
}

impl KafkaConnection {
    /// As settings of librdkafka: all but the credentials.
    pub fn settings(&self) -> Vec<(Arc<str>, Arc<str>)> {
        let mechanism = self.security.mechanism.map(|m| ("sasl.mechanism".into(), m.as_str().into()));
        let own = [
            ("bootstrap.servers".into(), self.brokers.join(",").into()),
            ("security.protocol".into(), self.security.protocol.as_str().into()),
        ];
        self.options.iter().cloned().chain(own).chain(mechanism).collect()
    }
}

/// `security`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KafkaSecurity {
    /// The protocol.
    pub protocol: Protocol,
    /// The SASL mechanism; there for the sasl protocols alone.
    pub mechanism: Option<Mechanism>,
    /// The secret with `username` and `password`; there for the sasl protocols alone.
    pub credentials: Option<Arc<str>>,
}

/// `security.protocol`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// `plaintext`
    #[default]
    Plaintext,
    /// `ssl`
    Ssl,
    /// `sasl_plaintext`
    SaslPlaintext,
    /// `sasl_ssl`
    SaslSsl,
}

impl Protocol {
    const WORDS: [(&'static str, Protocol); 4] = [
        ("plaintext", Protocol::Plaintext),
        ("ssl", Protocol::Ssl),
        ("sasl_plaintext", Protocol::SaslPlaintext),
        ("sasl_ssl", Protocol::SaslSsl),
    ];

    /// As manifests and librdkafka spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Plaintext => "plaintext",
            Protocol::Ssl => "ssl",
            Protocol::SaslPlaintext => "sasl_plaintext",
            Protocol::SaslSsl => "sasl_ssl",
        }
    }
}

/// `security.mechanism`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// `PLAIN`
    Plain,
    /// `SCRAM-SHA-256`
    ScramSha256,
    /// `SCRAM-SHA-512`
    ScramSha512,
}

impl Mechanism {
    const WORDS: [(&'static str, Mechanism); 3] = [
        ("PLAIN", Mechanism::Plain),
        ("SCRAM-SHA-256", Mechanism::ScramSha256),
        ("SCRAM-SHA-512", Mechanism::ScramSha512),
    ];

    /// As manifests and librdkafka spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// Settings of librdkafka that Tidemill sets itself, or that would load code or run a program.
const OWNED: [&str; 22] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "enable.auto.commit",
    "auto.commit.enable",
    "auto.commit.interval.ms",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "enable.partition.eof",
    "partition.assignment.strategy",
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "plugin.library.paths",
    "ssl.engine.location",
    "ssl.providers",
    "sasl.kerberos.kinit.cmd",
    "offset.store.path",
];

const KINDS: [&str; 6] = ["kafka", "rabbitmq", "nats", "mysql", "minio", "http"];

pub(super) fn read(head: Head, spec: Place, sink: &Sink) -> Option<Connection> {
    let mut reader = open(spec, sink, "the spec of a Connection")?;
    let kind = read::one_of(&mut reader, &KINDS, "the kind of connection");
    reader.finish();
    let (kind, place) = kind?;
    if !matches!(kind, "kafka" | "minio" | "mysql" | "http") {
        let message = format!("connections of kind {kind} are not supported by this release");
        sink.push(read::explained(place.key_error(codes::LATER_CONNECTION, message)));
        return None;
    }
    let mut reader = open(place, sink, "a connection")?;
    let kind = match kind {
        "kafka" => read_kafka(&mut reader).map(ConnectionKind::Kafka),
        "mysql" => read_mysql(&mut reader).map(ConnectionKind::Mysql),
        "http" => read_http(&mut reader).map(ConnectionKind::Http),
        _ => read_minio(&mut reader).map(ConnectionKind::Minio),
    };
    reader.finish();
    Some(Connection { meta: head.meta, kind: kind?, raw: head.raw })
}

/// The fields that a MinIO connection and a MinIO source share.
pub(super) fn read_minio(reader: &mut Reader) -> Option<MinioConnection> {
    let sink = reader.sink();
    let endpoint = reader.need("endpoint").and_then(|place| endpoint(&place, sink));
    let region = reader.take("region").map(|place| read::some_text(&place, sink));
    let credentials = reader.need("credentials").and_then(|place| read::secret(&place, sink));
    let path_style = reader.flag("pathStyle", true);
    let region = match region {
        Some(region) => Some(region?),
        None => None,
    };
    Some(MinioConnection { endpoint: endpoint?, region, credentials: credentials?, path_style })
}

/// An http or https URL without a path; `host:port` alone is http.
fn endpoint(place: &Place, sink: &Sink) -> Option<Arc<str>> {
    let text = place.text(sink)?;
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", &text));
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let good = matches!(scheme, "http" | "https")
        && matches!(read::address(authority), Some((host, port)) if !host.is_empty() && port != Some(0));
    if good {
        return Some(format!("{scheme}://{authority}").into());
    }
    read::wrong(place, sink, codes::ENDPOINT, &format!("`{text}` is no endpoint"))
}

/// The fields that a Kafka connection and a Kafka source share.
pub(super) fn read_kafka(reader: &mut Reader) -> Option<KafkaConnection> {
    let sink = reader.sink();
    let brokers = reader.need("brokers").and_then(|place| read::list(&place, sink, broker));
    let security = match reader.map("security", "security") {
        Some(security) => read_security(security),
        None => Some(KafkaSecurity::default()),
    };
    let options = match reader.take("options") {
        Some(place) => read_options(&place, sink),
        None => Some(Vec::new()),
    };
    Some(KafkaConnection { brokers: brokers?, security: security?, options: options? })
}

fn broker(place: &Place, sink: &Sink) -> Option<Arc<str>> {
    let text = place.text(sink)?;
    match read::address(&text) {
        Some((host, Some(port))) if !host.is_empty() && port != 0 => Some(text),
        _ => read::wrong(place, sink, codes::BROKER, &format!("`{text}` is no `host:port`")),
    }
}

fn read_security(mut reader: Reader) -> Option<KafkaSecurity> {
    let sink = reader.sink();
    let protocol = reader.need("protocol").and_then(|place| place.choice(sink, &Protocol::WORDS));
    let mechanism = reader.take("mechanism");
    let credentials = reader.take("credentials");
    let place = reader.place().clone();
    reader.finish();
    let protocol = protocol?;
    let sasl = matches!(protocol, Protocol::SaslPlaintext | Protocol::SaslSsl);
    for (key, found) in [("mechanism", &mechanism), ("credentials", &credentials)] {
        let word = protocol.as_str();
        match found {
            None if sasl => {
                return read::wrong(&place, sink, codes::SECURITY, &format!("protocol {word} lacks `{key}`"));
            }
            Some(place) if !sasl => {
                let message = format!("protocol {word} takes no `{key}`");
                sink.push(read::explained(place.key_error(codes::SECURITY, message)));
                return None;
            }
            _ => {}
        }
    }
    if !sasl {
        return Some(KafkaSecurity { protocol, ..KafkaSecurity::default() });
    }
    let mechanism = mechanism.and_then(|place| place.choice(sink, &Mechanism::WORDS));
    let credentials = credentials.and_then(|place| read::secret(&place, sink));
    Some(KafkaSecurity { protocol, mechanism: Some(mechanism?), credentials: Some(credentials?) })
}

fn read_options(place: &Place, sink: &Sink) -> Option<Vec<(Arc<str>, Arc<str>)>> {
    let mut options = Vec::new();
    let mut good = true;
    for (name, place) in place.entries(sink)? {
        if OWNED.contains(&&*name) {
            let message = format!("the option `{name}` is set by Tidemill itself or would load code");
            sink.push(read::explained(place.key_error(codes::OPTION, message)));
            good = false;
            continue;
        }
        match place.node.to_value() {
            crate::value::Value::String(text) => options.push((name, text)),
            value @ (crate::value::Value::Number(_) | crate::value::Value::Bool(_)) => {
                options.push((name, value.to_string().into()));
            }
            _ => good = place.wrong::<()>(sink, "a string, number or boolean").is_some(),
        }
    }
    good.then_some(options)
}

/// A named buffer or dead-letter destination in the store.
#[derive(Clone, Debug)]
pub struct Queue {
    /// What it is called.
    pub meta: Metadata,
    /// Its buffer.
    pub buffer: Option<Buffer>,
    /// How long it keeps entries.
    pub retention: Duration,
    /// As written.
    pub raw: Raw,
}

pub(super) fn read_queue(head: Head, spec: Place, sink: &Sink) -> Option<Queue> {
    let mut reader = open(spec, sink, "the spec of a Queue")?;
    let via = reader.need_map("via", "via").and_then(|mut via| {
        let found =
            read::one_of(&mut via, &["embedded", "kafka", "rabbitmq", "nats"], "where the queue is kept");
        via.finish();
        found
    });
    let buffer = reader.take("buffer").map(|place| read_buffer(place, sink));
    let retention = reader.take("retention").map(|place| read::duration(&place, sink));
    reader.finish();
    let (via, place) = via?;
    if via != "embedded" {
        let message = format!("queues in {via} are not supported by this release");
        sink.push(read::explained(place.key_error(codes::LATER_QUEUE, message)));
        return None;
    }
    Reader::open(place, sink, "embedded")?.finish();
    let week = Duration::from_hours(7 * 24);
    let buffer = match buffer {
        Some(buffer) => Some(buffer?),
        None => None,
    };
    Some(Queue { meta: head.meta, buffer, retention: retention.unwrap_or(Some(week))?, raw: head.raw })
}
