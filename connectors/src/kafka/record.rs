//! Kafka records as events: pure.
//!
//! Owns the three formats and the event a plain record becomes (manifests.md, Source `kafka`). Knows no client.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tidemill_dsl::event::{self, Data, Event, Limits, is_json, is_media_type};
use tidemill_dsl::ids::Time;
use tidemill_dsl::manifest::{EventOverrides, Format};
use tidemill_dsl::value::{Map, Value};

use crate::http::data_value;

/// Most bytes of a record (limit `record-size`); larger ones are set aside.
pub const MAX_RECORD: usize = 8 * 1024 * 1024;

/// How records become events.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    /// What records hold. `auto` takes a record that is no valid CloudEvent as a plain one; `cloudevents` sets it
    /// aside as poison.
    pub format: Format,
    /// The first broker's address: part of the source of plain records.
    pub broker: Arc<str>,
    /// The `event` block, over `{key, value, headers, topic, partition, offset, timestamp}`.
    pub overrides: EventOverrides,
}

/// One record as read from the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Its time in milliseconds since 1970, if it has one.
    pub timestamp: Option<i64>,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// A record that cannot become an event. Displays with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read the record {place}: {message}")]
pub struct Poison {
    /// `topic/partition/offset`.
    pub place: String,
    /// Why.
    pub message: String,
}

/// The event a record becomes.
pub fn to_event(mapping: &Mapping, record: &Record) -> Result<Event, Poison> {
    let poison = |message: String| Poison { place: place(record), message };
    if size(record) > MAX_RECORD {
        return Err(poison(format!("it is larger than the limit `record-size` of {MAX_RECORD} bytes")));
    }
    if mapping.format != Format::Plain {
        let limits = Limits { event: MAX_RECORD, ..Limits::default() };
        let read =
            event::kafka::read(record.key.as_deref(), record.value.as_deref(), &record.headers, limits);
        match (read, mapping.format) {
            (Ok(Some(event)), _) => return Ok(event),
            (Ok(None), Format::CloudEvents) => {
                return Err(poison(
                    "it is no CloudEvent, and the source's format is `cloudevents`".to_owned(),
                ));
            }
            (Err(error), Format::CloudEvents) => return Err(poison(error.message)),
            (Ok(None) | Err(_), _) => {}
        }
    }
    let event = plain(mapping, record);
    if mapping.overrides.is_empty() {
        return Ok(event);
    }
    mapping.overrides.apply(&event, &raw(record, &event.data)).map_err(|error| poison(error.to_string()))
}

/// Whether an event's id is the place of its record: a topic that is made anew gives the same ids to other records. An id
/// of the producer's own, in a CloudEvent or by the `event` block, tells a record that was sent twice.
pub(super) fn is_placed(event: &Event, topic: &str, partition: i32, offset: i64) -> bool {
    let id = event.id.strip_prefix(topic).and_then(|rest| rest.strip_prefix('/')?.split_once('/'));
    id.is_some_and(|(p, o)| p.parse() == Ok(partition) && o.parse() == Ok(offset))
}

/// Bytes of key, value and headers.
pub(super) fn size(record: &Record) -> usize {
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    record.key.as_ref().map_or(0, Vec::len) + record.value.as_ref().map_or(0, Vec::len) + headers
}

fn place(record: &Record) -> String {
    format!("{}/{}/{}", record.topic, record.partition, record.offset)
}

fn plain(mapping: &Mapping, record: &Record) -> Event {
    let key: Option<Arc<str>> =
        record.key.as_deref().filter(|key| !key.is_empty()).map(|key| text(key).into());
    let (data, content_type) = payload(record);
    Event {
        id: place(record).into(),
        source: format!("kafka://{}/{}", mapping.broker, record.topic).into(),
        kind: "kafka.record".into(),
        subject: key.clone(),
        // A producer that counts microseconds is beyond all years.
        time: record.timestamp.map(|at| Time(at).rfc3339()).filter(|at| at.contains('-')).map(Into::into),
        datacontenttype: content_type.map(Into::into),
        dataschema: None,
        extensions: key.into_iter().map(|key| ("partitionkey".into(), Value::String(key))).collect(),
        data,
    }
    .sound()
}

/// A record's value with its content type: JSON, else text, else bytes.
fn payload(record: &Record) -> (Data, Option<&str>) {
    let Some(value) = record.value.as_deref() else {
        return (Data::None, None);
    };
    let said = record.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let said = said.and_then(|(_, value)| std::str::from_utf8(value).ok()).map(str::trim);
    let said = said.filter(|said| {
        is_media_type(said) && !said.to_ascii_lowercase().starts_with("application/cloudevents")
    });
    if let Ok(json) = Value::parse(value) {
        return (Data::Json(json), Some(said.filter(|said| is_json(said)).unwrap_or("application/json")));
    }
    let said = said.filter(|said| !is_json(said));
    match std::str::from_utf8(value) {
        Ok(text) => (Data::Json(Value::text(text)), Some(said.unwrap_or("text/plain"))),
        Err(_) => {
            (Data::Binary(Bytes::copy_from_slice(value)), Some(said.unwrap_or("application/octet-stream")))
        }
    }
}

/// What the expressions of the `event` block see. Of a header that stands twice the last counts.
fn raw(record: &Record, data: &Data) -> Value {
    let headers: Map =
        record.headers.iter().map(|(name, value)| (name.as_str().into(), Value::from(text(value)))).collect();
    Value::object([
        ("key", Value::from(record.key.as_deref().map(text))),
        ("value", data_value(data)),
        ("headers", Value::from(headers)),
        ("topic", Value::String(record.topic.clone())),
        ("partition", Value::from(record.partition)),
        ("offset", Value::from(record.offset)),
        ("timestamp", Value::from(record.timestamp)),
    ])
}

/// Bytes as text: UTF-8, else base64.
fn text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| STANDARD.encode(bytes), str::to_owned)
}

#[cfg(test)]
mod tests {
    use tidemill_dsl::expr::Template;

    use super::*;

    fn record(key: &[u8], headers: &[(&str, &str)], value: Option<&[u8]>) -> Record {
        Record {
            topic: "orders".into(),
            partition: 2,
            offset: 41,
            timestamp: Some(1_764_000_000_120),
            key: Some(key.to_vec()),
            value: value.map(<[u8]>::to_vec),
            headers: headers.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec())).collect(),
        }
    }

    fn read(format: Format, record: &Record) -> Result<String, String> {
        let mapping =
            Mapping { format, broker: "127.0.0.1:9092".into(), overrides: EventOverrides::default() };
        to_event(&mapping, record)
            .map(|event| event.to_value().to_string())
            .map_err(|poison| poison.to_string())
    }

    #[test]
    fn a_plain_record_becomes_an_event() {
        let json = record(b"k-1", &[], Some(br#"{"n":1.5}"#));
        insta::assert_snapshot!(read(Format::Auto, &json).unwrap(), @r#"{"specversion":"1.0","id":"orders/2/41","source":"kafka://127.0.0.1:9092/orders","type":"kafka.record","subject":"k-1","time":"2025-11-24T16:00:00.120Z","datacontenttype":"application/json","partitionkey":"k-1","data":{"n":1.5}}"#);
        assert_eq!(read(Format::Plain, &json), read(Format::Auto, &json));
    }

    #[track_caller]
    fn check(record: &Record, expected: &str) {
        let event = read(Format::Auto, record).unwrap();
        let head = r#"{"specversion":"1.0","id":"orders/2/41","source":"kafka://127.0.0.1:9092/orders","type":"kafka.record","#;
        let rest = event.strip_prefix(head).unwrap().replace(r#""time":"2025-11-24T16:00:00.120Z","#, "");
        assert_eq!(rest.trim_end_matches('}'), expected.trim_end_matches('}'));
    }

    #[test]
    fn an_id_is_a_place_or_the_producers_own() {
        let event = |id: &str| Event { id: id.into(), ..plain(&Mapping::default(), &record(b"", &[], None)) };
        for (id, expected) in [
            ("orders/2/41", true),
            ("orders/2/42", false),
            ("orders/1/41", false),
            ("order/2/41", false),
            ("orders/2/41/0", false),
            ("7", false),
        ] {
            assert_eq!(is_placed(&event(id), "orders", 2, 41), expected, "{id}");
        }
    }

    #[test]
    fn keys_and_values_of_any_kind() {
        check(&record(b"", &[], Some(b"on")), r#""datacontenttype":"text/plain","data":"on"}"#);
        check(
            &record(b"\xff", &[], Some(b"7")),
            r#""subject":"/w==","datacontenttype":"application/json","partitionkey":"/w==","data":7}"#,
        );
        let bytes = record(b"", &[("Content-Type", "application/avro")], Some(b"\x00\xff"));
        check(&bytes, r#""datacontenttype":"application/avro","data_base64":"AP8="}"#);
        check(
            &record(b"", &[("content-type", "text/csv")], Some(b"a,b")),
            r#""datacontenttype":"text/csv","data":"a,b"}"#,
        );
        check(
            &record(b"\0\0\0\x05", &[("content-type", "json")], Some(b"{}")),
            r#""subject":"%00%00%00%05","datacontenttype":"application/json","partitionkey":"%00%00%00%05","data":{}}"#,
        );
        let microseconds = Record { timestamp: Some(1_764_000_000_120_000), ..record(b"", &[], Some(b"1")) };
        assert!(!read(Format::Auto, &microseconds).unwrap().contains(r#""time""#));
        let tombstone = read(Format::Auto, &record(b"k", &[], None)).unwrap();
        assert!(
            tombstone.ends_with(r#""subject":"k","time":"2025-11-24T16:00:00.120Z","partitionkey":"k"}"#),
            "{tombstone}"
        );
    }

    const BINARY: [(&str, &str); 5] = [
        ("ce_specversion", "1.0"),
        ("ce_id", "7"),
        ("ce_source", "/shop"),
        ("ce_type", "order"),
        ("content-type", "application/json"),
    ];

    #[test]
    fn cloud_events_pass_as_they_are() {
        let expected = concat!(
            r#"{"specversion":"1.0","id":"7","source":"/shop","type":"order","datacontenttype":"application/json","#,
            r#""partitionkey":"k","data":{}}"#
        );
        for format in [Format::Auto, Format::CloudEvents] {
            assert_eq!(read(format, &record(b"k", &BINARY, Some(b"{}"))).as_deref(), Ok(expected));
            let structured =
                record(b"k", &[("content-type", "application/cloudevents+json")], Some(expected.as_bytes()));
            assert_eq!(read(format, &structured).as_deref(), Ok(expected));
        }
        assert!(read(Format::Plain, &record(b"k", &BINARY, Some(b"{}"))).unwrap().contains("kafka.record"));
    }

    #[test]
    fn poison_is_told_with_its_place() {
        let bad = record(b"k", &BINARY[..3], Some(b"{}"));
        insta::assert_snapshot!(read(Format::CloudEvents, &bad).unwrap_err(), @"read the record orders/2/41: it lacks `type`");
        insta::assert_snapshot!(read(Format::CloudEvents, &record(b"k", &[], Some(b"{}"))).unwrap_err(), @"read the record orders/2/41: it is no CloudEvent, and the source's format is `cloudevents`");
        assert!(read(Format::Auto, &bad).unwrap().contains("kafka.record"));
        let huge = record(b"k", &[], Some(&vec![b'x'; MAX_RECORD]));
        insta::assert_snapshot!(read(Format::Auto, &huge).unwrap_err(), @"read the record orders/2/41: it is larger than the limit `record-size` of 8388608 bytes");
    }

    #[test]
    fn expressions_see_the_raw_record() {
        let record = record(b"k", &[("h", "1")], Some(b"[2]"));
        insta::assert_snapshot!(raw(&record, &payload(&record).0), @r#"{"key":"k","value":[2],"headers":{"h":"1"},"topic":"orders","partition":2,"offset":41,"timestamp":1764000000120}"#);
    }

    #[test]
    fn the_event_block_replaces_attributes_of_plain_records() {
        let kind = Template::compile(&Value::text("order.placed"), &[]).unwrap();
        let overrides = EventOverrides { attributes: vec![("type", kind)], extensions: Vec::new() };
        let mapping = Mapping { overrides, ..Mapping::default() };
        assert_eq!(&*to_event(&mapping, &record(b"k", &[], Some(b"1"))).unwrap().kind, "order.placed");
    }
}
