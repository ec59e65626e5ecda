//! `minio` of a source: the objects of a bucket.
//!
//! Owns its fields and the way its events come (events-and-triggers.md section 1). Connects to nothing.

use std::sync::Arc;

use super::super::connection::read_minio;
use super::super::{Integration, Link, Metadata, MinioConnection, codes, read};
use super::http::hook_path;
use crate::codes as shared;
use crate::diagnostic::{Span, nearest};
use crate::reader::{Place, Reader, Sink};

/// A binding to a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinioSource {
    /// How to reach the server.
    pub connection: Link<MinioConnection>,
    /// The bucket.
    pub bucket: Arc<str>,
    /// Names of events with `s3:`, or groups of them that end with `*`; at least one.
    pub events: Vec<Arc<str>>,
    /// What keys begin with.
    pub prefix: Option<Arc<str>>,
    /// What keys end with.
    pub suffix: Option<Arc<str>>,
    /// How its events come here.
    pub via: MinioVia,
}

/// How the events of a bucket come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MinioVia {
    /// The server calls a hook: an entry in the bucket's notification document and a rule here (twoWay).
    Webhook {
        /// The target on the server, for example `arn:minio:sqs::W:webhook`.
        arn: Arc<str>,
        /// The path behind `/hooks/{namespace}/`.
        path: Arc<str>,
        /// The secret with the token that the server sends.
        token: Arc<str>,
    },
    /// The listen stream of the server (oneWay).
    Listen {
        /// Whether gaps are filled by listing the bucket.
        backfill: bool,
    },
    /// Records of another Source carry them (proxy).
    Carried {
        /// The kind of that source.
        bus: &'static str,
        /// Its name.
        source: Arc<str>,
    },
}

impl MinioVia {
    pub(super) fn integration(&self) -> Integration {
        match self {
            MinioVia::Webhook { .. } => Integration::TwoWay,
            MinioVia::Listen { .. } => Integration::OneWay,
            MinioVia::Carried { .. } => Integration::Proxy,
        }
    }
}

/// The source and where the name of its carrier stands, if it has one.
pub(super) type Found = (MinioSource, Option<Span>);

pub(super) fn read(place: Place, sink: &Sink, meta: &Metadata) -> Option<Found> {
    let mut reader = Reader::open(place, sink, "a minio source")?;
    let connection = match reader.take("connection") {
        Some(place) => {
            for key in ["endpoint", "region", "credentials", "pathStyle"] {
                if let Some(extra) = reader.take(key) {
                    let message = format!("`{key}` and `connection` exclude each other");
                    sink.push(
                        extra.key_error(shared::EXCLUSIVE, message).help("the Connection holds these fields"),
                    );
                }
            }
            read::label(&place, sink).map(Link::Named)
        }
        None => read_minio(&mut reader).map(Link::Inline),
    };
    let bucket = reader.need("bucket").and_then(|place| bucket(&place, sink));
    let events = reader
        .take("events")
        .map_or(Some(vec!["s3:ObjectCreated:*".into()]), |place| read::list(&place, sink, event_name));
    let prefix = reader.text("prefix");
    let suffix = reader.text("suffix");
    let via = reader.need("via").and_then(|place| read_via(place, sink, meta));
    reader.finish();
    let (via, carrier) = via?;
    let mut events = events?;
    events.sort();
    events.dedup();
    let source = MinioSource { connection: connection?, bucket: bucket?, events, prefix, suffix, via };
    Some((source, carrier))
}

fn read_via(place: Place, sink: &Sink, meta: &Metadata) -> Option<(MinioVia, Option<Span>)> {
    let mut reader = Reader::open(place, sink, "via")?;
    let kinds = ["webhook", "listen", "kafka", "rabbitmq", "nats"];
    let kind = read::one_of(&mut reader, &kinds, "how the events come");
    reader.finish();
    let (kind, place) = kind?;
    let mut reader = Reader::open(place, sink, "via")?;
    let via = match kind {
        "webhook" => {
            let arn = reader.need("arn").and_then(|place| arn(&place, sink));
            let path = reader
                .take("path")
                .map_or(Some(meta.name.clone()), |place| hook_path(&place, sink, &meta.namespace));
            let token = reader.need("token").and_then(|place| read::secret(&place, sink));
            reader.finish();
            MinioVia::Webhook { arn: arn?, path: path?, token: token? }
        }
        "listen" => {
            let backfill = reader.flag("backfill", true);
            reader.finish();
            MinioVia::Listen { backfill }
        }
        bus => {
            let source = reader.need("source");
            reader.finish();
            let source = source?;
            let name = read::label(&source, sink)?;
            return Some((MinioVia::Carried { bus, source: name }, Some(source.node.span)));
        }
    };
    Some((via, None))
}

/// A bucket's name, by the rules that S3 and MinIO share.
fn bucket(place: &Place, sink: &Sink) -> Option<Arc<str>> {
    let text = place.text(sink)?;
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = text.as_bytes();
    if (3..=63).contains(&bytes.len())
        && bytes.iter().copied().all(good)
        && edge(bytes.first())
        && edge(bytes.last())
        && !text.contains("..")
    {
        return Some(text);
    }
    read::wrong(place, sink, codes::BUCKET, &format!("`{text}` is no name of a bucket"))
}

/// Groups of events that servers tell. Others are taken too, unless they look like one of these.
const GROUPS: [&str; 12] = [
    "ObjectCreated",
    "ObjectRemoved",
    "ObjectAccessed",
    "ObjectRestore",
    "ObjectTransition",
    "ObjectTagging",
    "ObjectAcl",
    "ObjectLifecycle",
    "ObjectSynced",
    "LifecycleExpiration",
    "LifecycleTransition",
    "Replication",
];

/// `s3:ObjectCreated:Put`, or a group `s3:ObjectCreated:*`.
fn event_name(place: &Place, sink: &Sink) -> Option<Arc<str>> {
    let text = place.text(sink)?;
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphabetic());
    let good = text.strip_prefix("s3:").and_then(|rest| rest.split_once(':')).is_some_and(|(group, name)| {
        word(group) && (name == "*" || name.split(':').all(word) || name.strip_suffix(":*").is_some_and(word))
    });
    let wrong = format!("`{text}` is no name of an S3 event");
    if !good {
        return read::wrong(place, sink, codes::S3_EVENT, &wrong);
    }
    let group = text.split(':').nth(1).unwrap_or_default();
    match nearest(group, GROUPS).filter(|known| *known != group) {
        None => Some(text),
        Some(known) => {
            let meant = text.replacen(group, known, 1);
            sink.push(place.error(codes::S3_EVENT, wrong).help(format!("did you mean `{meant}`?")));
            None
        }
    }
}

/// `arn:PARTITION:SERVICE:REGION:REST`.
fn arn(place: &Place, sink: &Sink) -> Option<Arc<str>> {
    let text = place.text(sink)?;
    let parts: Vec<&str> = text.splitn(5, ':').collect();
    let clean = !text.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '&'));
    match parts[..] {
        ["arn", partition, "sqs" | "sns" | "lambda", _, rest]
            if clean && !partition.is_empty() && !rest.is_empty() =>
        {
            Some(text)
        }
        _ => read::wrong(place, sink, codes::ARN, &format!("`{text}` is no ARN of a notification target")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{self, Manifest, Source, SourceKind};

    const PLACE: &str = "endpoint: 'http://h:9000', bucket: photos, credentials: {secret: keys}";

    fn read(fields: &str) -> Result<Source, String> {
        let text = format!("kind: Source\nmetadata: {{name: uploads}}\nspec: {{minio: {{{fields}}}}}\n");
        match manifest::parse(&crate::yaml::parse(&text).unwrap(), &text, "default") {
            Ok(Manifest::Source(source)) => Ok(*source),
            Ok(other) => panic!("{other:?}"),
            Err(found) => Err(found.iter().map(|d| d.code).collect::<Vec<_>>().join(" ")),
        }
    }

    #[test]
    fn the_ways_and_what_follows_from_them() {
        let check = |via: &str, integration: Integration, expected: MinioVia| {
            let source = read(&format!("{PLACE}, via: {via}")).unwrap();
            assert_eq!(source.kind.integration(), integration);
            let SourceKind::Minio(minio) = source.kind else { panic!("no minio") };
            assert_eq!(minio.via, expected);
            assert_eq!(minio.events, ["s3:ObjectCreated:*".into()]);
        };
        let webhook = |path: &str| MinioVia::Webhook {
            arn: "arn:minio:sqs::W:webhook".into(),
            path: path.into(),
            token: "hook".into(),
        };
        let arn = "arn: 'arn:minio:sqs::W:webhook', token: {secret: hook}";
        check(&format!("{{webhook: {{{arn}}}}}"), Integration::TwoWay, webhook("uploads"));
        let path = format!("{{webhook: {{{arn}, path: /hooks/default/in/box}}}}");
        check(&path, Integration::TwoWay, webhook("in/box"));
        check("{listen: {}}", Integration::OneWay, MinioVia::Listen { backfill: true });
        check("{listen: {backfill: false}}", Integration::OneWay, MinioVia::Listen { backfill: false });
        let carried = MinioVia::Carried { bus: "kafka", source: "records".into() };
        check("{kafka: {source: records}}", Integration::Proxy, carried);
    }

    #[test]
    fn references_and_the_carrier() {
        let source = read("connection: store, bucket: photos, via: {kafka: {source: records}}").unwrap();
        let references: Vec<_> = source.references().into_iter().map(|r| (r.kind, r.pointer)).collect();
        let expected = [
            ("Connection", "/spec/minio/connection".to_owned()),
            ("Source", "/spec/minio/via/kafka/source".to_owned()),
        ];
        assert_eq!(references, expected);
        let found = source.check_carrier(&read(&format!("{PLACE}, via: {{listen: {{}}}}")).unwrap()).unwrap();
        assert_eq!(found.message, "the source `records` is of kind minio, not kafka");
    }

    #[test]
    fn mistakes() {
        let check = |fields: &str, expected: &str| {
            assert_eq!(read(fields).err().as_deref(), Some(expected), "{fields}");
        };
        let listen = "via: {listen: {}}";
        check(PLACE, "E0202");
        check(&format!("{PLACE}, via: {{}}"), "E1003");
        check(&format!("{PLACE}, via: {{webhook: {{arn: w}}}}"), "E0202 E1028");
        check(&format!("{PLACE}, via: {{nats: {{}}}}"), "E0202");
        check(
            &format!("{PLACE}, {listen}, events: ['ObjectCreated:Put', 's3:*', 's3:ObjectCreated:*']"),
            "E1027 E1027",
        );
        check(
            &format!("{PLACE}, {listen}, events: ['s3:ObjectCreate:*', 's3:ObjectRemove:Delete']"),
            "E1027 E1027",
        );
        check(
            &format!("bucket: No, endpoint: 'ftp://h', credentials: {{secret: s}}, {listen}"),
            "E1026 E1025",
        );
        check(
            &format!("bucket: photos, endpoint: 'http://h/p', credentials: {{secret: s}}, {listen}"),
            "E1025",
        );
        check(&format!("connection: c, endpoint: 'h:1', bucket: photos, {listen}"), "E0205");
    }

    #[test]
    fn endpoints() {
        let check = |endpoint: &str, expected: &str| {
            let text = format!(
                "bucket: photos, endpoint: '{endpoint}', credentials: {{secret: s}}, via: {{listen: {{}}}}"
            );
            let SourceKind::Minio(minio) = read(&text).unwrap().kind else { panic!("no minio") };
            let Link::Inline(connection) = minio.connection else { panic!("no connection") };
            assert_eq!((&*connection.endpoint, connection.path_style), (expected, true));
        };
        check("http://127.0.0.1:9000", "http://127.0.0.1:9000");
        check("https://s3.example.org/", "https://s3.example.org");
        check("127.0.0.1:9000", "http://127.0.0.1:9000");
    }
}
