//! Payloads: bytes with a content type to [`Data`] and back.
//!
//! Owns which content types are read as JSON or text. It may not guess beyond the content type, except where
//! there is none.

use bytes::Bytes;

use super::{Data, EventError};
use crate::value::Value;

impl Data {
    /// Reads the payload of a binary-mode event. No bytes: no data. JSON types (`application/json`, `text/json`,
    /// `+json`) must hold JSON; text and XML in UTF-8 become strings; everything else stays bytes. Without a
    /// content type: JSON, else text, else bytes.
    pub fn read(content_type: Option<&str>, body: &[u8]) -> Result<Data, EventError> {
        if body.is_empty() {
            return Ok(Data::None);
        }
        let Some(content_type) = content_type else {
            let json = Value::parse(body).ok().map(Data::Json);
            return Ok(json.unwrap_or_else(|| text(body)));
        };
        let utf8 = charset(content_type)
            .is_none_or(|name| matches!(&*name, "utf-8" | "utf8" | "us-ascii" | "ascii"));
        if is_json(content_type) {
            if !utf8 {
                return Err(EventError::invalid("its data is JSON in a charset other than UTF-8")
                    .help("send it in UTF-8"));
            }
            let value = Value::parse(body).map_err(|error| {
                EventError::invalid(format!("its data is not the JSON that its content type says: {error}"))
            })?;
            return Ok(Data::Json(value));
        }
        Ok(if utf8 && is_text(content_type) {
            text(body)
        } else {
            Data::Binary(Bytes::copy_from_slice(body))
        })
    }

    /// The payload as bytes on a binary-mode transport, and the content type that goes with it when the event
    /// states none.
    pub fn write(&self, content_type: Option<&str>) -> (Vec<u8>, Option<&'static str>) {
        match self {
            Data::None => (Vec::new(), None),
            Data::Binary(bytes) => (bytes.to_vec(), Some("application/octet-stream")),
            Data::Json(Value::String(text)) if content_type.is_some_and(|name| !is_json(name)) => {
                (text.as_bytes().to_vec(), None)
            }
            Data::Json(value) => (value.to_json(), Some("application/json")),
        }
    }
}

fn text(body: &[u8]) -> Data {
    std::str::from_utf8(body)
        .map_or_else(|_| Data::Binary(Bytes::copy_from_slice(body)), |text| Data::Json(Value::text(text)))
}

/// The media type without parameters, in lower case.
pub(super) fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// Whether a content type says JSON.
pub fn is_json(content_type: &str) -> bool {
    let essence = essence(content_type);
    matches!(&*essence, "application/json" | "text/json") || essence.ends_with("+json")
}

fn is_text(content_type: &str) -> bool {
    let essence = essence(content_type);
    essence.starts_with("text/")
        || essence.ends_with("+xml")
        || matches!(
            &*essence,
            "application/xml"
                | "application/x-www-form-urlencoded"
                | "application/yaml"
                | "application/graphql"
        )
}

fn charset(content_type: &str) -> Option<String> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"').to_ascii_lowercase();
        name.trim().eq_ignore_ascii_case("charset").then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_by_content_type() {
        let check = |content_type: Option<&str>, body: &[u8], expected: Option<Data>| {
            assert_eq!(Data::read(content_type, body).ok(), expected, "{content_type:?} {body:?}");
        };
        let text = |text: &str| Some(Data::Json(Value::text(text)));
        let bytes = |bytes: &'static [u8]| Some(Data::Binary(Bytes::from_static(bytes)));
        check(None, b"", Some(Data::None));
        check(Some("application/json"), b"", Some(Data::None));
        check(None, b"{\"a\":1}", Some(Data::Json(Value::object([("a", Value::from(1))]))));
        check(None, b"hello", text("hello"));
        check(None, b"\xff", bytes(b"\xff"));
        check(Some("application/json"), b"7", Some(Data::Json(Value::from(7))));
        check(Some("APPLICATION/vnd.x+JSON; charset=\"UTF-8\""), b"7", Some(Data::Json(Value::from(7))));
        check(Some("application/json"), b"{", None);
        check(Some("application/json; charset=utf-16"), b"7", None);
        check(Some("text/plain"), b"7", text("7"));
        check(Some("text/plain; charset=iso-8859-1"), b"\xe9", bytes(b"\xe9"));
        check(Some("text/plain"), b"\xe9", bytes(b"\xe9"));
        check(Some("application/soap+xml"), b"<a/>", text("<a/>"));
        check(Some("application/octet-stream"), b"7", bytes(b"7"));
        check(Some("image/png"), b"\x89PNG", bytes(b"\x89PNG"));
    }
}
