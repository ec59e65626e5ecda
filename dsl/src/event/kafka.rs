//! Events in Kafka records: binary and structured (Kafka protocol binding 1.0.2).
//!
//! Owns the mapping between records and events, both ways. It may not know a client, and does not wrap records that are no
//! events: that is the source's business.

use super::envelope::Draft;
use super::http::{Mode, mode, structured};
use super::{Data, Event, EventError, Limits};
use crate::value::Value;

/// Reads a record. `None` when it is no CloudEvent: its content type does not say so and it has no `ce_specversion`
/// header. A record without value has no data. `partitionkey` is the record's key unless the event states one.
/// Extensions that only Tidemill sets are dropped.
pub fn read(
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(String, Vec<u8>)],
    limits: Limits,
) -> Result<Option<Event>, EventError> {
    let named = |wanted: &str| headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let content_type = named("content-type").map(|(name, value)| text(name, value)).transpose()?;
    let value = value.unwrap_or_default();
    let mut event = match mode(content_type)? {
        Mode::Structured => structured(value, limits)?,
        Mode::Batch => return Err(EventError::invalid("a record holds one event, not a batch")),
        Mode::Binary if named("ce_specversion").is_none() => return Ok(None),
        Mode::Binary => binary(value, headers, limits)?,
    };
    event.strip_reserved();
    if let Some(key) = key.and_then(|key| std::str::from_utf8(key).ok()).filter(|key| !key.is_empty()) {
        event.extensions.entry("partitionkey".into()).or_insert_with(|| Value::text(key));
    }
    Ok(Some(event.sound()))
}

fn binary(value: &[u8], headers: &[(String, Vec<u8>)], limits: Limits) -> Result<Event, EventError> {
    let size: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size + value.len() > limits.event {
        return Err(EventError::too_large("event-size", limits.event, "bytes"));
    }
    let mut draft = Draft::default();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        if name == "content-type" {
            draft.attribute("datacontenttype", Value::text(text(&name, value)?.trim()))?;
        } else if let Some(attribute) = name.strip_prefix("ce_").filter(|name| *name != "datacontenttype") {
            draft.attribute(attribute, Value::text(text(&name, value)?))?;
        }
    }
    let data = Data::read(draft.content_type(), value)?;
    draft.data(data)?;
    draft.finish()
}

/// An event as a record in binary mode: `content-type` and one `ce_` header per attribute in UTF-8, and the value; an
/// event without data has none. The key is the caller's: by default what [`key`] gives.
pub fn write(event: &Event) -> (Vec<(String, String)>, Option<Vec<u8>>) {
    let envelope = event.to_value();
    let mut headers = Vec::new();
    for (name, value) in envelope.as_object().into_iter().flatten() {
        if !matches!(&**name, "data" | "data_base64" | "datacontenttype") {
            headers.push((format!("ce_{name}"), super::attribute::text_of(value).into_owned()));
        }
    }
    let stated = event.datacontenttype.as_deref();
    let (value, implied) = event.data.write(stated);
    if let Some(content_type) = stated.or(implied) {
        headers.push(("content-type".into(), content_type.into()));
    }
    (headers, (event.data != Data::None).then_some(value))
}

/// The key of an event's record: its `partitionkey`.
pub fn key(event: &Event) -> Option<String> {
    event.extensions.get("partitionkey").map(|value| super::attribute::text_of(value).into_owned())
}

fn text<'a>(name: &str, value: &'a [u8]) -> Result<&'a str, EventError> {
    std::str::from_utf8(value).map_err(|_| EventError::invalid(format!("header `{name}` is no UTF-8")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(
        key: Option<&str>,
        headers: &[(&str, &str)],
        value: Option<&str>,
    ) -> Result<Option<String>, String> {
        let headers: Vec<_> = headers.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec())).collect();
        read(key.map(str::as_bytes), value.map(str::as_bytes), &headers, Limits::default())
            .map(|event| event.map(|event| event.to_value().to_string()))
            .map_err(|error| error.to_string())
    }

    const LEAST: [(&str, &str); 4] =
        [("ce_specversion", "1.0"), ("ce_id", "1"), ("ce_source", "/s"), ("ce_type", "t")];

    #[test]
    fn records() {
        let least = |rest: &str| {
            Ok(Some(format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t"{rest}}}"#)))
        };
        let with = |more: &[(&'static str, &'static str)]| [LEAST.as_slice(), more].concat();
        let check = |key, headers: &[(&str, &str)], value, expected: Result<Option<String>, String>| {
            assert_eq!(record(key, headers, value), expected, "{headers:?}");
        };
        check(None, &LEAST, None, least(""));
        check(Some("k"), &LEAST, Some(""), least(r#","partitionkey":"k""#));
        check(Some("\0k"), &LEAST, Some(""), least(r#","partitionkey":"%00k""#));
        check(Some("k"), &with(&[("ce_partitionkey", "p")]), None, least(r#","partitionkey":"p""#));
        check(
            None,
            &with(&[("content-type", "application/json")]),
            Some("[1]"),
            least(r#","datacontenttype":"application/json","data":[1]"#),
        );
        // Values are plain UTF-8 here, never percent-decoded.
        check(None, &with(&[("ce_subject", "a%20b")]), None, least(r#","subject":"a%20b""#));
        check(None, &with(&[("ce_tidemillhop", "3"), ("CE_Recovered", "1")]), None, least(""));
        let whole = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":7}"#;
        check(None, &[("Content-Type", "application/cloudevents+json")], Some(whole), least(r#","data":7"#));
        check(None, &[("content-type", "application/json")], Some("{}"), Ok(None));
        check(None, &[], None, Ok(None));
        check(None, &[("ce_id", "1")], None, Ok(None));
    }

    #[test]
    fn records_written_are_read_as_they_were() {
        for rest in [
            "",
            r#","subject":"a \"quoted\" 100% \u20ac","partitionkey":"k","data":{"a":[1]}"#,
            r#","datacontenttype":"text/plain","data":"hello""#,
            r#","datacontenttype":"application/json","data":"hello""#,
            r#","datacontenttype":"image/png","data_base64":"iVBORw==""#,
            r#","datacontenttype":"application/json","data":null"#,
        ] {
            let whole = format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t"{rest}}}"#);
            let sent = Event::parse(whole.as_bytes()).unwrap();
            let (headers, value) = write(&sent);
            let headers: Vec<_> = headers.into_iter().map(|(n, v)| (n, v.into_bytes())).collect();
            let key = key(&sent);
            let read = read(key.as_deref().map(str::as_bytes), value.as_deref(), &headers, Limits::default());
            let read = read.unwrap().unwrap();
            let expected = Event { datacontenttype: read.datacontenttype.clone(), ..sent };
            assert_eq!(read, expected, "{rest}");
        }
    }

    #[test]
    fn refused_records() {
        let check = |headers: &[(&str, &str)], value: &str, expected: &str| {
            let error = record(None, headers, Some(value)).expect_err("a refusal");
            assert!(error.contains(expected), "{headers:?}: {error}");
        };
        check(&[("content-type", "application/cloudevents+json")], "{}", "lacks `specversion`");
        check(&[("content-type", "application/cloudevents-batch+json")], "[]", "one event, not a batch");
        check(&[("content-type", "application/cloudevents+avro")], "", "is not read");
        check(&[("ce_specversion", "1.0")], "", "lacks `id`, `source`, `type`");
        check(&[LEAST.as_slice(), &[("CE_id", "2")]].concat(), "", "`id` stands twice");
        check(&[LEAST.as_slice(), &[("content-type", "application/json")]].concat(), "{", "not the JSON");
    }
}
