//! S3 event records and listed versions as events.
//!
//! Pure. Owns the identity of an event: one creation has one id whether it is told by a notification or found by a
//! listing, and nothing of a request is in it.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use tidemill_dsl::event::{Data, Event};
use tidemill_dsl::ids::Time;
use tidemill_dsl::manifest::EventOverrides;
use tidemill_dsl::value::{Map, Value};

use super::sign::hex;
use super::xml::Version;
use crate::http::decode;

/// How far a `sequencer` that is an instant may lie from the time of its event, in milliseconds.
const SEQUENCER_APART: u64 = 24 * 3600 * 1000;

/// The one removal that leaves something to be listed, if the bucket has versions.
const MARKER: &str = "ObjectRemoved:DeleteMarkerCreated";

/// Which records are a source's, and how they become events.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    /// `host:port` of the server.
    pub authority: Arc<str>,
    /// The bucket.
    pub bucket: Arc<str>,
    /// Names with `s3:`; those that end with `*` are groups.
    pub events: Vec<Arc<str>>,
    /// What keys begin with.
    pub prefix: Option<Arc<str>>,
    /// What keys end with.
    pub suffix: Option<Arc<str>>,
    /// The `event` block, over the record.
    pub overrides: EventOverrides,
}

/// How keys stand in records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// URL-encoded: webhooks and all buses.
    Encoded,
    /// As they are: the listen stream.
    Plain,
}

/// What happened to one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Without `s3:`, for example `ObjectCreated:Put`.
    pub name: Arc<str>,
    /// The bucket.
    pub bucket: Arc<str>,
    /// The key, decoded.
    pub key: Arc<str>,
    /// When.
    pub time: Time,
    /// Whether it was found by a listing.
    pub recovered: bool,
    /// By what its id is made.
    identity: Identity,
    /// The record with its key decoded.
    data: Value,
}

#[derive(Clone, Debug, PartialEq)]
struct Identity {
    /// Version, else eTag.
    version: String,
    /// When the object came to be, in milliseconds; 0 for a marker, which its version alone names: of one that is made
    /// together with others the sequencer is not its time.
    modified: i64,
    /// What tells apart happenings that leave the object as it is.
    happening: String,
}

/// A record that cannot become an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read the record of {place}: {why}")]
pub struct Poison {
    /// Bucket and key, as far as they are known.
    pub place: String,
    /// What is wrong.
    pub why: String,
}

/// The records of a notification: `{"Records": [...]}`; no records, or null, is none.
pub fn read(payload: &Value, form: KeyForm) -> Vec<Result<Record, Poison>> {
    let records = payload.get("Records").and_then(Value::as_array).unwrap_or_default();
    records.iter().map(|record| one(record, form)).collect()
}

fn one(record: &Value, form: KeyForm) -> Result<Record, Poison> {
    let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str);
    let bucket = text("/s3/bucket/name").unwrap_or_default();
    let written = text("/s3/object/key").unwrap_or_default();
    let poison = |why: &str| Poison { place: format!("{bucket}/{written}"), why: why.to_owned() };
    let name = text("/eventName").ok_or_else(|| poison("it lacks `eventName`"))?;
    let name = name.strip_prefix("s3:").unwrap_or(name);
    if bucket.is_empty() || written.is_empty() {
        return Err(poison("it lacks its bucket or its key"));
    }
    let time = text("/eventTime").and_then(Time::parse).ok_or_else(|| poison("`eventTime` is no instant"))?;
    let key: Arc<str> = match form {
        KeyForm::Encoded => decode(written).into(),
        KeyForm::Plain => written.into(),
    };
    let version = text("/s3/object/versionId").filter(|id| !id.is_empty() && *id != "null");
    let sequencer = text("/s3/object/sequencer").unwrap_or_default();
    let is_marker = name == MARKER && version.is_some();
    let identity = Identity {
        version: version.or(text("/s3/object/eTag")).unwrap_or_default().to_owned(),
        modified: if is_marker { 0 } else { modified(sequencer, time) },
        happening: match name {
            _ if is_creation(name) => "ObjectCreated".to_owned(),
            _ if is_marker => name.to_owned(),
            _ => {
                let request = text("/responseElements/x-amz-request-id").unwrap_or_default();
                format!("{name} {} {sequencer} {request}", time.0)
            }
        },
    };
    let data = with_key(record, &key);
    Ok(Record { name: name.into(), bucket: bucket.into(), key, time, recovered: false, identity, data })
}

/// Whether it makes an object or a version of one: what a listing can tell too.
fn is_creation(name: &str) -> bool {
    let creations =
        ["Put", "Post", "Copy", "CompleteMultipartUpload"].map(|kind| format!("ObjectCreated:{kind}"));
    creations.iter().any(|creation| creation == name)
}

/// The modification time of the object: MinIO's `sequencer` is that, in nanoseconds and hex. Elsewhere it is a number
/// without a meaning, and the time of the event has to do.
fn modified(sequencer: &str, time: Time) -> i64 {
    let instant = u64::from_str_radix(sequencer, 16).ok().map(|nanos| (nanos / 1_000_000) as i64);
    instant.filter(|at| at.abs_diff(time.0) < SEQUENCER_APART).unwrap_or(time.0)
}

fn with_key(record: &Value, key: &Arc<str>) -> Value {
    let replaced = |value: &Value, name: &str, with: Value| -> Value {
        let mut map = value.as_object().cloned().unwrap_or_else(Map::new);
        map.insert(name.into(), with);
        map.into()
    };
    let null = Value::Null;
    let s3 = record.get("s3").unwrap_or(&null);
    let object = replaced(s3.get("object").unwrap_or(&null), "key", Value::text(key.clone()));
    replaced(record, "s3", replaced(s3, "object", object))
}

/// Whether a listed version tells of one happening alone. A marker without a version, in a bucket whose versions are
/// suspended, is put in the place of the one before; nothing names it.
pub(super) fn can_tell(version: &Version) -> bool {
    version.etag.is_some() || version.id.is_some()
}

/// A listed version as the record that would have told it. Put and Copy look alike in a listing: both are `Put`.
pub(super) fn listed(mapping: &Mapping, version: &Version) -> Record {
    let name = match &version.etag {
        None => MARKER,
        Some(etag) if etag.contains('-') => "ObjectCreated:CompleteMultipartUpload",
        Some(_) => "ObjectCreated:Put",
    };
    let text = |text: &str| Value::text(text);
    let mut object = Map::new();
    object.insert("key".into(), text(&version.key));
    if let Some(etag) = &version.etag {
        object.insert("size".into(), Value::from(version.size));
        object.insert("eTag".into(), text(etag));
    }
    if let Some(id) = &version.id {
        object.insert("versionId".into(), text(id));
    }
    let nanos = u64::try_from(version.modified.0).unwrap_or(0).saturating_mul(1_000_000);
    object.insert("sequencer".into(), text(&format!("{nanos:X}")));
    let bucket = Value::object([
        ("name", text(&mapping.bucket)),
        ("arn", text(&format!("arn:aws:s3:::{}", mapping.bucket))),
    ]);
    let data = Value::object([
        ("eventVersion", text("2.0")),
        ("eventSource", text("minio:s3")),
        ("eventTime", text(&version.modified.rfc3339())),
        ("eventName", text(&format!("s3:{name}"))),
        (
            "s3",
            Value::object([
                ("s3SchemaVersion", text("1.0")),
                ("bucket", bucket),
                ("object", Value::from(object)),
            ]),
        ),
    ]);
    Record {
        name: name.into(),
        bucket: mapping.bucket.clone(),
        key: version.key.as_str().into(),
        time: version.modified,
        recovered: true,
        identity: Identity {
            version: version.id.clone().or_else(|| version.etag.clone()).unwrap_or_default(),
            modified: if version.etag.is_some() { version.modified.0 } else { 0 },
            happening: if version.etag.is_some() { "ObjectCreated".to_owned() } else { name.to_owned() },
        },
        data,
    }
}

impl Mapping {
    /// Whether a record is the source's: of its bucket, of its events, with its prefix and suffix.
    pub fn takes(&self, record: &Record) -> bool {
        *record.bucket == *self.bucket
            && self.events.iter().any(|pattern| names(pattern, &record.name))
            && self.prefix.as_ref().is_none_or(|prefix| record.key.starts_with(&**prefix))
            && self.suffix.as_ref().is_none_or(|suffix| record.key.ends_with(&**suffix))
    }

    /// The event of a record (manifests.md, Source `minio`).
    pub fn to_event(&self, record: &Record) -> Result<Event, Poison> {
        let mut extensions = Map::new();
        let place = format!("{}/{}", record.bucket, record.key);
        extensions.insert("partitionkey".into(), Value::text(place.as_str()));
        if record.recovered {
            extensions.insert("recovered".into(), Value::from(true));
        }
        let event = Event {
            id: id(record).into(),
            source: format!("minio://{}/{}", self.authority, self.bucket).into(),
            kind: format!("com.amazonaws.s3.{}", record.name).into(),
            subject: Some(record.key.clone()),
            time: Some(record.time.rfc3339().into()),
            datacontenttype: Some("application/json".into()),
            dataschema: None,
            extensions,
            data: Data::Json(record.data.clone()),
        }
        .sound();
        self.overrides.apply(&event, &record.data).map_err(|error| Poison { place, why: error.to_string() })
    }
}

/// Whether a pattern with `s3:` names an event without it.
fn names(pattern: &str, name: &str) -> bool {
    let pattern = pattern.strip_prefix("s3:").unwrap_or(pattern);
    pattern.strip_suffix('*').map_or(pattern == name, |group| name.starts_with(group))
}

/// A hash over bucket, key, version or eTag, modification time and what happened.
fn id(record: &Record) -> String {
    let Identity { version, modified, happening } = &record.identity;
    let mut context = Context::new(&SHA256);
    for part in [&*record.bucket, &*record.key, version, &modified.to_string(), happening] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    hex(context.finish().as_ref().get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests;
