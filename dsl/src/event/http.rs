//! Events over HTTP: binary, structured and batched (HTTP protocol binding 1.0.2).
//!
//! Owns the mapping between header fields with a body and events. It may not know a server or a client.

use std::borrow::Cow;

use super::envelope::Draft;
use super::payload::essence;
use super::{Data, Event, EventError, Limits, Refusal};
use crate::value::Value;

/// Content type of one event in the JSON format.
pub const STRUCTURED: &str = "application/cloudevents+json";
/// Content type of a batch of events in the JSON format.
pub const BATCH: &str = "application/cloudevents-batch+json";

/// How an HTTP body carries events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Attributes in `ce-` header fields, the payload as body.
    Binary,
    /// One event as body.
    Structured,
    /// An array of events as body.
    Batch,
}

const EXPECTED: &str = "send ce- header fields with any body, or a body of content type application/cloudevents+json \
                        or application/cloudevents-batch+json";

/// The mode that a content type says: by prefix, in any case, batches tested first. `Binary` for every content type
/// that does not begin with `application/cloudevents`; an event format other than JSON is refused.
pub fn mode(content_type: Option<&str>) -> Result<Mode, EventError> {
    let essence = essence(content_type.unwrap_or(""));
    let (mode, format) = if let Some(format) = essence.strip_prefix("application/cloudevents-batch") {
        (Mode::Batch, format)
    } else if let Some(format) = essence.strip_prefix("application/cloudevents") {
        (Mode::Structured, format)
    } else {
        return Ok(Mode::Binary);
    };
    if matches!(format, "" | "+json") {
        return Ok(mode);
    }
    Err(EventError::new(Refusal::Unsupported, format!("the event format of `{essence}` is not read"))
        .help(EXPECTED))
}

/// Reads the events of a request. Header names in any case; `ce-` values are unquoted and percent-decoded once and
/// must then be UTF-8. One bad event refuses the whole batch and is named by its index. Extensions that only
/// Tidemill sets are dropped.
pub fn read<'a>(
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    body: &[u8],
    limits: Limits,
) -> Result<Vec<Event>, EventError> {
    let mut draft = Draft::default();
    let mut content_type = None;
    let mut attributes = Vec::new();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        if name == "content-type" {
            if content_type.is_some() {
                return Err(EventError::invalid("it has two content-type fields"));
            }
            content_type = Some(text(&name, Cow::Borrowed(value))?);
        } else if let Some(attribute) = name.strip_prefix("ce-") {
            attributes.push((attribute.to_owned(), value));
        }
    }
    let size: usize = attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
    let mut events = match mode(content_type.as_deref())? {
        Mode::Structured => vec![structured(body, limits)?],
        Mode::Batch => batch(body, limits)?,
        Mode::Binary if attributes.is_empty() => return Err(no_event(content_type.as_deref())),
        Mode::Binary if size + body.len() > limits.event => return Err(event_size(limits)),
        Mode::Binary => {
            for (name, value) in attributes {
                let value = decode(&name, value)?;
                if name != "datacontenttype" || content_type.is_none() {
                    draft.attribute(&name, Value::text(value))?;
                }
            }
            if let Some(content_type) = content_type.filter(|text| !text.trim().is_empty()) {
                draft.attribute("datacontenttype", Value::text(content_type.trim()))?;
            }
            let data = Data::read(draft.content_type(), body)?;
            draft.data(data)?;
            vec![draft.finish()?]
        }
    };
    events.iter_mut().for_each(Event::strip_reserved);
    Ok(events)
}

fn event_size(limits: Limits) -> EventError {
    EventError::too_large("event-size", limits.event, "bytes")
}

fn no_event(content_type: Option<&str>) -> EventError {
    let had = content_type.map_or_else(|| "no content type".into(), |text| format!("content type `{text}`"));
    EventError::new(
        Refusal::Unsupported,
        format!("it has {had} and no ce- header fields, so it is no CloudEvent"),
    )
    .help(EXPECTED)
}

/// One event in the JSON format.
pub(super) fn structured(body: &[u8], limits: Limits) -> Result<Event, EventError> {
    if body.len() > limits.event { Err(event_size(limits)) } else { Event::parse(body) }
}

fn batch(body: &[u8], limits: Limits) -> Result<Vec<Event>, EventError> {
    let value =
        Value::parse(body).map_err(|error| EventError::invalid(format!("the batch is no JSON: {error}")))?;
    let items = value.as_array().ok_or_else(|| EventError::invalid("the batch is no array of events"))?;
    if items.len() > limits.batch {
        return Err(EventError::too_large("event-batch", limits.batch, "events"));
    }
    let one = |(index, item): (usize, &Value)| {
        let event =
            if item.size() > limits.event { Err(event_size(limits)) } else { Event::from_value(item) };
        event.map_err(|error| error.in_batch(index))
    };
    items.iter().enumerate().map(one).collect()
}

fn text(name: &str, bytes: Cow<'_, [u8]>) -> Result<String, EventError> {
    String::from_utf8(bytes.into_owned())
        .map_err(|_| EventError::invalid(format!("header field `{name}` is no UTF-8")))
}

/// A `ce-` value: unquoted when it stands in double quotes, then percent-decoded once.
fn decode(name: &str, value: &[u8]) -> Result<String, EventError> {
    let value = value.trim_ascii();
    let value = match value {
        [b'"', inner @ .., b'"'] => unescape(inner),
        _ => value.to_vec(),
    };
    text(&format!("ce-{name}"), Cow::Owned(percent_decode(&value)))
}

fn unescape(inner: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        out.push(if *byte == b'\\' { *bytes.next().unwrap_or(byte) } else { *byte });
    }
    out
}

fn percent_decode(value: &[u8]) -> Vec<u8> {
    let hex = |byte: Option<&u8>| byte.and_then(|b| char::from(*b).to_digit(16));
    let mut out = Vec::with_capacity(value.len());
    let mut at = 0;
    while let Some(byte) = value.get(at) {
        if let (b'%', Some(high), Some(low)) = (byte, hex(value.get(at + 1)), hex(value.get(at + 2))) {
            out.push((high * 16 + low) as u8);
            at += 3;
        } else {
            out.push(*byte);
            at += 1;
        }
    }
    out
}

/// The header fields of an event in binary mode: `content-type` and one `ce-` field per attribute, values
/// percent-encoded. The body is [`Data::write`]'s.
pub fn binary_headers(event: &Event) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    let envelope = event.to_value();
    for (name, value) in envelope.as_object().into_iter().flatten() {
        if !matches!(&**name, "data" | "data_base64" | "datacontenttype") {
            headers.push((format!("ce-{name}"), percent_encode(&super::attribute::text_of(value))));
        }
    }
    let stated = event.datacontenttype.as_deref();
    if let Some(content_type) = stated.or(event.data.write(None).1) {
        headers.push(("content-type".into(), content_type.into()));
    }
    headers
}

/// Encodes what the binding says: space, `"`, `%` and everything outside printable ASCII.
fn percent_encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'%') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: [(&str, &str); 4] =
        [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")];

    fn request(headers: &[(&str, &[u8])], body: &str) -> Result<Vec<Event>, EventError> {
        read(headers.iter().copied(), body.as_bytes(), Limits::default())
    }

    fn binary(more: &[(&str, &[u8])], body: &str) -> Result<String, String> {
        let least = LEAST.iter().map(|(name, value)| (*name, value.as_bytes()));
        let headers: Vec<_> = least.chain(more.iter().copied()).collect();
        show(request(&headers, body))
    }

    fn show(result: Result<Vec<Event>, EventError>) -> Result<String, String> {
        let events = result.map_err(|error| error.to_string())?;
        Ok(Value::array(events.iter().map(Event::to_value)).to_string())
    }

    fn event(rest: &str) -> String {
        format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t"{rest}}}"#)
    }

    #[test]
    fn modes() {
        let check = |content_type: &str, expected: Option<Mode>| {
            assert_eq!(mode(Some(content_type)).ok(), expected, "{content_type}");
        };
        check("application/cloudevents+json", Some(Mode::Structured));
        check("Application/CloudEvents+JSON; charset=utf-8", Some(Mode::Structured));
        check("application/cloudevents-batch+json", Some(Mode::Batch));
        check("APPLICATION/CLOUDEVENTS-BATCH+JSON;x=y", Some(Mode::Batch));
        check("application/json", Some(Mode::Binary));
        check("", Some(Mode::Binary));
        check("application/cloudevents+xml", None);
        check("application/cloudevents-batch+avro", None);
        check("application/cloudeventsx", None);
    }

    #[test]
    fn binary_events() {
        let check = |more: &[(&str, &[u8])], body: &str, rest: &str| {
            assert_eq!(binary(more, body), Ok(format!("[{}]", event(rest))), "{more:?}");
        };
        let json: (&str, &[u8]) = ("Content-Type", b"application/json");
        check(&[], "", "");
        check(&[json], "", r#","datacontenttype":"application/json""#);
        check(&[json], "{\"a\":1}", r#","datacontenttype":"application/json","data":{"a":1}"#);
        check(&[json], "\"text\"", r#","datacontenttype":"application/json","data":"text""#);
        check(&[("content-type", b"text/plain")], "{}", r#","datacontenttype":"text/plain","data":"{}""#);
        check(&[("content-type", b"image/x")], "ab", r#","datacontenttype":"image/x","data_base64":"YWI=""#);
        check(
            &[("CE-Subject", b"Euro%20%E2%82%AC%20%F0%9F%98%80")],
            "",
            ",\"subject\":\"Euro \u{20ac} \u{1f600}\"",
        );
        check(&[("ce-subject", b"%2520")], "", r#","subject":"%20""#);
        check(&[("ce-subject", b"100%")], "", r#","subject":"100%""#);
        check(&[("ce-subject", "\u{20ac}".as_bytes())], "", ",\"subject\":\"\u{20ac}\"");
        check(&[("ce-subject", br#""a \"b\" \\c""#)], "", r#","subject":"a \"b\" \\c""#);
        check(&[("ce-count", b"7"), ("ce-flag", b"true")], "", r#","count":"7","flag":"true""#);
        check(&[("ce-tidemillhop", b"7"), ("CE-Recovered", b"true")], "", "");
        check(
            &[json, ("ce-datacontenttype", b"text/plain")],
            "1",
            r#","datacontenttype":"application/json","data":1"#,
        );
        check(&[("ce-datacontenttype", b"text/plain")], "1", r#","datacontenttype":"text/plain","data":"1""#);
        check(&[("host", b"x"), ("x-ce-y", b"\xff")], "", "");
    }

    #[test]
    fn refused_binary_events() {
        let check = |more: &[(&str, &[u8])], body: &str, expected: &str| {
            let error = binary(more, body).expect_err("a refusal");
            assert!(error.contains(expected), "{more:?}: {error}");
        };
        check(&[("ce-id", b"2")], "", "`id` stands twice");
        check(&[("CE-ID", b"1")], "", "`id` stands twice");
        check(&[("ce-ext", b"1"), ("Ce-Ext", b"2")], "", "`ext` stands twice");
        check(&[("ce-subject", b"\xff")], "", "`ce-subject` is no UTF-8");
        check(&[("ce-subject", b"%ff")], "", "`ce-subject` is no UTF-8");
        check(&[("ce-subject", b"%00")], "", "control character");
        check(&[("ce-subject", b"%ED%A0%80")], "", "no UTF-8");
        check(&[("ce-my-ext", b"1")], "", "`my-ext` has a name");
        check(&[("ce-time", b"now")], "", "`time` is no RFC 3339");
        check(&[("content-type", b"application/json")], "{", "not the JSON");
        check(
            &[("content-type", b"a/b"), ("Content-Type", b"application/cloudevents+json")],
            "",
            "two content-type",
        );
        check(&[("content-type", b"nonsense")], "", "no media type");
        check(&[("ce-big", "x".repeat(1024 * 1024).as_bytes())], "", "limit `event-size` of 1048576 bytes");
    }

    #[test]
    fn structured_events() {
        let structured: (&str, &[u8]) = ("content-type", b"application/cloudevents+json; charset=UTF-8");
        let whole = event(r#","ext":1,"data":[1]"#);
        assert_eq!(show(request(&[structured], &whole)), Ok(format!("[{whole}]")));
        // Header fields repeat attributes at most for intermediaries: the body counts.
        assert_eq!(show(request(&[structured, ("ce-id", b"other")], &whole)), Ok(format!("[{whole}]")));
        assert_eq!(
            show(request(&[structured], &event(r#","tidemillhop":9"#))),
            Ok(format!("[{}]", event("")))
        );
        let error = request(&[structured], &format!("[{whole}]")).expect_err("an array is no event");
        assert_eq!((error.refusal, error.index), (Refusal::Invalid, None));
    }

    proptest::proptest! {
        #[test]
        fn any_request_is_read_or_refused(
            name in "(ce-)?[a-zA-Z0-9-]{0,6}",
            value: Vec<u8>,
            kind in "(application/cloudevents(-batch)?(\\+json)?|application/json|text/.|)",
            body: Vec<u8>,
        ) {
            let least = LEAST.iter().map(|(name, value)| (*name, value.as_bytes()));
            let headers: Vec<_> = least.chain([(&*name, &*value), ("content-type", kind.as_bytes())]).collect();
            if let Ok(events) = read(headers.iter().copied(), &body, Limits::default()) {
                for event in events {
                    proptest::prop_assert_eq!(Event::parse(&event.to_json()), Ok(event));
                }
            }
        }
    }

    #[test]
    fn batches_are_whole_or_nothing() {
        let kind: (&str, &[u8]) = ("content-type", b"application/cloudevents-batch+json");
        let check = |body: &str, expected: Result<usize, (Refusal, Option<usize>)>| {
            let result = request(&[kind], body);
            assert_eq!(result.map(|e| e.len()).map_err(|e| (e.refusal, e.index)), expected, "{body:.80}");
        };
        let one = event("");
        let many = |n: usize| format!("[{}]", vec![one.as_str(); n].join(","));
        check("[]", Ok(0));
        check(&many(100), Ok(100));
        check(&many(101), Err((Refusal::TooLarge, None)));
        check(&one, Err((Refusal::Invalid, None)));
        check(&format!("[{one},{{}}]"), Err((Refusal::Invalid, Some(1))));
        check(&format!("[{one},7]"), Err((Refusal::Invalid, Some(1))));
        let large = event(&format!(r#","data":"{}""#, "x".repeat(1024 * 1024)));
        check(&format!("[{large},{one}]"), Err((Refusal::TooLarge, Some(0))));
        let error = request(&[kind], &format!("[{one},{{}}]")).expect_err("a bad event");
        assert_eq!(
            error.to_string(),
            "read event 1 of the batch: it lacks `specversion`, `id`, `source`, `type`"
        );
    }

    #[test]
    fn what_is_no_event_names_what_is_expected() {
        for headers in [vec![], vec![("content-type", b"application/json".as_slice())]] {
            let error = request(&headers, "{}").expect_err("no event");
            assert_eq!(error.refusal, Refusal::Unsupported);
            assert!(error.help.is_some_and(|help| help.contains(STRUCTURED) && help.contains(BATCH)));
        }
    }

    #[test]
    fn binary_events_written_are_read_as_they_were() {
        for rest in [
            "",
            r#","subject":"a \"quoted\" 100% \u20ac\\","data":{"a":[1]}"#,
            r#","datacontenttype":"text/plain","data":"hello""#,
            r#","datacontenttype":"application/json","data":"hello""#,
            r#","datacontenttype":"image/png","data_base64":"iVBORw==""#,
        ] {
            let sent = Event::parse(event(rest).as_bytes()).unwrap();
            let headers = binary_headers(&sent);
            assert!(
                headers.iter().all(|(_, value)| value.bytes().all(|b| (b' '..=b'~').contains(&b))),
                "{rest}"
            );
            let (body, _) = sent.data.write(sent.datacontenttype.as_deref());
            let read =
                read(headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())), &body, Limits::default())
                    .unwrap();
            let expected = Event { datacontenttype: read[0].datacontenttype.clone(), ..sent };
            assert_eq!(read, [expected], "{rest}");
        }
    }
}
