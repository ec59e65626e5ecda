//! Attributes: their names, the text they may hold, and which of them outsiders may not set.
//!
//! Owns the rules of the specification's section 3. It may not know transports.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Event, EventError, SPEC_VERSION};
use crate::value::Value;

/// What the types of the engine's own lifecycle events begin with.
pub const LIFECYCLE: &str = "io.serverlessworkflow.";

/// Whether an extension is set by Tidemill alone: what comes from outside under such a name is dropped, whatever
/// its case (security.md T11).
pub fn is_reserved(extension: &str) -> bool {
    extension.starts_with("tidemill") || extension == "recovered"
}

/// How many emitted events led to this one, one after another (limit `hop-count`).
pub const HOPS: &str = "tidemillhop";

/// The workflows that emitted them, oldest first, joined by `>`: what an error that names the cycle is made of.
pub const HOP_PATH: &str = "tidemillpath";

/// Whether an extension is no part of what is shown: the bookkeeping of the loop guard.
pub(super) fn is_hidden(extension: &str) -> bool {
    extension == HOPS || extension == HOP_PATH
}

impl Event {
    /// The text of a context attribute by its name, extensions included: booleans as `true` and `false`, numbers as
    /// they are written. `None` when it is absent; `data` is no attribute.
    pub fn attribute(&self, name: &str) -> Option<Cow<'_, str>> {
        match name {
            "specversion" => Some(Cow::Borrowed(SPEC_VERSION)),
            "id" => Some(Cow::Borrowed(&self.id)),
            "source" => Some(Cow::Borrowed(&self.source)),
            "type" => Some(Cow::Borrowed(&self.kind)),
            "subject" => self.subject.as_deref().map(Cow::Borrowed),
            "time" => self.time.as_deref().map(Cow::Borrowed),
            "datacontenttype" => self.datacontenttype.as_deref().map(Cow::Borrowed),
            "dataschema" => self.dataschema.as_deref().map(Cow::Borrowed),
            _ => self.extensions.get(name).map(text_of),
        }
    }

    /// Whether it is one of the engine's lifecycle events, by its type.
    pub fn is_lifecycle(&self) -> bool {
        self.kind.starts_with(LIFECYCLE)
    }

    /// Drops the extensions that only Tidemill sets ([`is_reserved`]). Everything read from outside passes here.
    pub fn strip_reserved(&mut self) {
        self.extensions.retain(|name, _| !is_reserved(name));
    }

    /// The event with what attributes may not hold made harmless: for events that are put together from the words of
    /// others, such as keys. Control characters are percent-encoded; an empty subject and a content type that is none are
    /// left out. `data` stays as it is.
    #[must_use]
    pub fn sound(mut self) -> Event {
        let optional = [self.subject.as_mut(), self.datacontenttype.as_mut()].into_iter().flatten();
        for text in [&mut self.id, &mut self.source, &mut self.kind].into_iter().chain(optional) {
            printable(text);
        }
        for value in self.extensions.values_mut() {
            if let Value::String(text) = value {
                printable(text);
            }
        }
        self.subject = self.subject.filter(|text| !text.is_empty());
        self.datacontenttype = self.datacontenttype.filter(|text| is_media_type(text));
        self
    }
}

/// Percent-encodes what no attribute may hold.
pub(crate) fn printable(text: &mut Arc<str>) {
    if !text.contains(is_control) {
        return;
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_control(c) {
            let mut bytes = [0; 4];
            out.extend(c.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")));
        } else {
            out.push(c);
        }
    }
    *text = out.into();
}

/// An extension's value as text.
pub(super) fn text_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

/// Refuses names that are no attribute names: lower-case ASCII letters and digits only.
pub(super) fn check_name(name: &str) -> Result<(), EventError> {
    if is_name(name) {
        return Ok(());
    }
    let shown: String = name.chars().take(40).collect();
    Err(EventError::attribute(&shown, "has a name that is not lower-case letters and digits")
        .help("rename it, or put it into `data`"))
}

/// Whether a text is an attribute name.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// Refuses text that the attribute `name` may not hold.
pub(super) fn check_text(name: &str, text: &str) -> Result<(), EventError> {
    let what = match name {
        "specversion" if text != SPEC_VERSION => Some("is not \"1.0\""),
        "id" | "type" | "subject" | "source" | "dataschema" | "datacontenttype" if text.is_empty() => {
            Some("is empty")
        }
        "source" if !is_uri_reference(text) => Some("is no URI reference"),
        "dataschema" if !is_uri(text) => Some("is no absolute URI"),
        "datacontenttype" if !is_media_type(text) => Some("is no media type such as application/json"),
        "time" if !is_timestamp(text) => Some("is no RFC 3339 timestamp"),
        _ if text.contains(is_control) => Some("holds a control character"),
        _ => None,
    };
    what.map_or(Ok(()), |what| Err(EventError::attribute(name, what)))
}

/// Control characters and the noncharacters the specification forbids in text.
fn is_control(c: char) -> bool {
    c.is_control() || (u32::from(c) & 0xFFFE) == 0xFFFE || ('\u{FDD0}'..='\u{FDEF}').contains(&c)
}

fn is_uri_reference(text: &str) -> bool {
    !text.contains(|c: char| c.is_whitespace() || is_control(c) || matches!(c, '<' | '>' | '"' | '\\'))
}

fn is_uri(text: &str) -> bool {
    let scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    };
    is_uri_reference(text) && text.split_once(':').is_some_and(|(head, _)| scheme(head))
}

/// Whether a text is a media type such as `application/json`.
pub fn is_media_type(text: &str) -> bool {
    let essence = text.split(';').next().unwrap_or("").trim();
    let token = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic() && !b",/()<>@:\\\"[]?=".contains(&b))
    };
    essence.split_once('/').is_some_and(|(kind, sub)| token(kind) && token(sub))
}

/// RFC 3339: `YYYY-MM-DDThh:mm:ss[.f](Z|+hh:mm)`, a date that exists.
fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    let shape = |pattern: &[u8], part: &[u8]| {
        pattern.len() == part.len()
            && pattern.iter().zip(part).all(|(p, b)| match p {
                b'0' => b.is_ascii_digit(),
                b'+' => matches!(b, b'+' | b'-'),
                _ => p.eq_ignore_ascii_case(b),
            })
    };
    let Some((head, rest)) = bytes.split_at_checked(19) else {
        return false;
    };
    if !shape(b"0000-00-00T00:00:00", head) {
        return false;
    }
    let fraction = rest
        .first()
        .filter(|b| **b == b'.')
        .map_or(0, |_| 1 + rest.iter().skip(1).take_while(|b| b.is_ascii_digit()).count());
    let zone = &rest[fraction..];
    let right = fraction != 1 && (shape(b"Z", zone) || shape(b"+00:00", zone));
    // The fraction may be longer than jiff reads; it does not bear on whether the date exists.
    right && format!("{}{}", &text[..19], &text[19 + fraction..]).parse::<jiff::Timestamp>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps() {
        let good = [
            "2026-11-24T06:37:45Z",
            "2026-11-24t06:37:45z",
            "2026-11-24T06:37:45.123456789012Z",
            "2026-11-24T06:37:45+01:00",
            "2024-02-29T00:00:00-00:00",
            "2016-12-31T23:59:60Z",
        ];
        let bad = [
            "",
            "2026-11-24",
            "2026-11-24 06:37:45Z",
            "2026-11-24T06:37:45",
            "2026-02-30T00:00:00Z",
            "2026-11-24T06:37:45.Z",
            "2026-11-24T06:37Z",
            "2026-11-24T06:37:45+0100",
            "2026-11-24T25:00:00Z",
            "2026-11-24T06:37:45Z[UTC]",
            "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}Z",
        ];
        for text in good {
            assert!(is_timestamp(text), "{text}");
        }
        for text in bad {
            assert!(!is_timestamp(text), "{text}");
        }
    }

    #[test]
    fn texts_an_attribute_may_hold() {
        let check = |name: &str, text: &str, good: bool| {
            assert_eq!(check_text(name, text).is_ok(), good, "{name}: {text}");
        };
        check("source", "/a/b?c#d", true);
        check("source", "urn:x:y", true);
        check("source", "stra\u{df}e", true);
        check("source", "", false);
        check("source", "a b", false);
        check("dataschema", "https://example.com/s.json", true);
        check("dataschema", "s.json", false);
        check("datacontenttype", "application/vnd.x+json; charset=utf-8", true);
        check("datacontenttype", "json", false);
        check("id", "a b", true);
        check("id", "a\0b", false);
        check("specversion", "0.3", false);
        check("subject", "", false);
        check("anything", "", true);
    }

    #[test]
    fn events_of_the_words_of_others_are_sound() {
        let check = |subject: &str, content_type: &str, expected: &str| {
            let event = Event {
                id: "1".into(),
                source: "/s".into(),
                kind: "t".into(),
                subject: Some(subject.into()),
                time: None,
                datacontenttype: Some(content_type.into()),
                dataschema: None,
                extensions: crate::value::Map::from_iter([("partitionkey".into(), Value::text(subject))]),
                data: crate::event::Data::None,
            };
            let sound = event.sound();
            assert_eq!(Event::parse(&sound.to_json()), Ok(sound.clone()), "{subject:?}");
            let told = sound.to_json();
            let told = std::str::from_utf8(&told).unwrap();
            let rest =
                told.strip_prefix(r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","#).unwrap();
            assert_eq!(rest, expected, "{subject:?}");
        };
        check("a", "a/b", r#""subject":"a","datacontenttype":"a/b","partitionkey":"a"}"#);
        check("a\n%", "json", r#""subject":"a%0A%","partitionkey":"a%0A%"}"#);
        check("", "a/b\t", r#""datacontenttype":"a/b%09","partitionkey":""}"#);
        check("\u{85}\u{fffe}", "", r#""subject":"%C2%85%EF%BF%BE","partitionkey":"%C2%85%EF%BF%BE"}"#);
    }

    #[test]
    fn names_only_tidemill_sets() {
        for (name, expected) in
            [("tidemillhop", true), ("tidemill", true), ("recovered", true), ("partitionkey", false)]
        {
            assert_eq!(is_reserved(name), expected, "{name}");
        }
    }
}
