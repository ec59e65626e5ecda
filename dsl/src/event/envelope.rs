//! The JSON form of an event: one object with every attribute at its top.
//!
//! Owns reading and writing of the CloudEvents JSON format. It may not know transports.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::attribute::{check_name, check_text, is_hidden};
use super::{Data, Event, EventError, SPEC_VERSION};
use crate::value::{Map, Value};

impl Event {
    /// Reads one event in the JSON format. Reserved extensions are kept: use [`Event::strip_reserved`] on what
    /// comes from outside.
    pub fn parse(json: &[u8]) -> Result<Event, EventError> {
        Event::from_value(&json_of(json)?)
    }

    /// Reads one event from its envelope. A null attribute counts as absent.
    pub fn from_value(value: &Value) -> Result<Event, EventError> {
        Event::read(value, Draft::default())
    }

    /// Reads back what [`Event::to_json`] wrote, whatever its attributes hold: what was accepted once stays readable.
    pub fn restore(json: &[u8]) -> Result<Event, EventError> {
        Event::restore_value(&json_of(json)?)
    }

    /// The same for an envelope.
    pub fn restore_value(value: &Value) -> Result<Event, EventError> {
        Event::read(value, Draft { trusts: true, ..Draft::default() })
    }

    fn read(value: &Value, mut draft: Draft) -> Result<Event, EventError> {
        let Some(map) = value.as_object() else {
            return Err(EventError::invalid(format!("it is not an object but {}", article(value.kind())))
                .help("an event is an object with at least specversion, id, source and type"));
        };
        for (name, member) in map {
            match &**name {
                "data" => draft.data(Data::Json(member.clone()))?,
                "data_base64" if member.is_null() => {}
                "data_base64" => draft.data(binary(member)?)?,
                _ if member.is_null() => {}
                _ => draft.attribute(name, member.clone())?,
            }
        }
        draft.finish()
    }

    /// The envelope: specversion, id, source, type, the other attributes, extensions at the top, then `data` or
    /// `data_base64`. The loop guard's extensions are no part of what is shown.
    pub fn to_value(&self) -> Value {
        self.value(|name| !is_hidden(name))
    }

    fn value(&self, shows: impl Fn(&str) -> bool) -> Value {
        let mut map = Map::with_capacity(8 + self.extensions.len());
        map.insert("specversion".into(), Value::text(SPEC_VERSION));
        let texts = [
            ("id", Some(&self.id)),
            ("source", Some(&self.source)),
            ("type", Some(&self.kind)),
            ("subject", self.subject.as_ref()),
            ("time", self.time.as_ref()),
            ("datacontenttype", self.datacontenttype.as_ref()),
            ("dataschema", self.dataschema.as_ref()),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                map.insert(name.into(), Value::String(text.clone()));
            }
        }
        let extensions = self.extensions.iter().filter(|(name, _)| shows(name));
        map.extend(extensions.map(|(name, value)| (name.clone(), value.clone())));
        match &self.data {
            Data::None => {}
            Data::Json(value) => drop(map.insert("data".into(), value.clone())),
            Data::Binary(bytes) => {
                drop(map.insert("data_base64".into(), Value::text(STANDARD.encode(bytes))));
            }
        }
        map.into()
    }

    /// The envelope as compact JSON, whole: as it is stored.
    pub fn to_json(&self) -> Vec<u8> {
        self.value(|_| true).to_json()
    }
}

fn json_of(json: &[u8]) -> Result<Value, EventError> {
    Value::parse(json).map_err(|error| EventError::invalid(format!("it is no JSON: {error}")))
}

fn article(kind: &str) -> String {
    match kind {
        "null" => kind.into(),
        "array" | "object" => format!("an {kind}"),
        _ => format!("a {kind}"),
    }
}

fn binary(member: &Value) -> Result<Data, EventError> {
    let bytes = member.as_str().and_then(|text| STANDARD.decode(text).ok());
    let bytes = bytes.ok_or_else(|| EventError::attribute("data_base64", "is no base64 text"))?;
    Ok(Data::Binary(bytes.into()))
}

/// An event being put together from its attributes, in any order, by any transport.
#[derive(Default)]
pub(super) struct Draft {
    texts: [Option<Arc<str>>; KNOWN.len()],
    extensions: Map,
    data: Option<Data>,
    /// Takes every text as it stands.
    trusts: bool,
}

const KNOWN: [&str; 8] =
    ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"];

impl Draft {
    /// Takes an attribute; one that stands twice, has a bad name, kind or text is refused.
    pub(super) fn attribute(&mut self, name: &str, value: Value) -> Result<(), EventError> {
        check_name(name)?;
        let twice = if let Some(slot) = KNOWN.iter().position(|known| *known == name) {
            let Value::String(text) = value else {
                return Err(EventError::attribute(name, "is not text"));
            };
            if !self.trusts {
                check_text(name, &text)?;
            }
            self.texts[slot].replace(text).is_some()
        } else {
            if !self.trusts {
                check_extension(name, &value)?;
            }
            self.extensions.insert(name.into(), value).is_some()
        };
        if twice { Err(EventError::attribute(name, "stands twice")) } else { Ok(()) }
    }

    /// Takes the payload; a second one is refused.
    pub(super) fn data(&mut self, data: Data) -> Result<(), EventError> {
        if self.data.replace(data).is_some() {
            return Err(EventError::invalid("it has both `data` and `data_base64`").help("keep one of them"));
        }
        Ok(())
    }

    /// The `datacontenttype` taken so far.
    pub(super) fn content_type(&self) -> Option<&str> {
        self.texts[6].as_deref()
    }

    /// The event, if what every event must have was taken.
    pub(super) fn finish(self) -> Result<Event, EventError> {
        let missing: Vec<&str> = KNOWN
            .iter()
            .zip(&self.texts)
            .take(4)
            .filter(|(_, text)| text.is_none())
            .map(|(name, _)| *name)
            .collect();
        if let Some(first) = missing.first() {
            let names = missing.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            return Err(EventError {
                attribute: Some((*first).into()),
                ..EventError::invalid(format!("it lacks {names}"))
            }
            .help("an event has at least specversion, id, source and type"));
        }
        let empty = || Arc::from("");
        let [_, id, source, kind, subject, time, datacontenttype, dataschema] = self.texts;
        Ok(Event {
            id: id.unwrap_or_else(empty),
            source: source.unwrap_or_else(empty),
            kind: kind.unwrap_or_else(empty),
            subject,
            time,
            datacontenttype,
            dataschema,
            extensions: self.extensions,
            data: self.data.unwrap_or(Data::None),
        })
    }
}

/// Extensions hold text, booleans and integers of 32 bits (specification, section 3.1).
fn check_extension(name: &str, value: &Value) -> Result<(), EventError> {
    let what = match value {
        Value::String(text) => return check_text(name, text),
        Value::Bool(_) => return Ok(()),
        Value::Number(_) => match value.as_i64() {
            Some(int) if i32::try_from(int).is_ok() => return Ok(()),
            _ => "is no integer of 32 bits",
        },
        _ => "is neither text nor a boolean nor an integer",
    };
    Err(EventError::attribute(name, what).help("send it as text, or put it into `data`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = r#""specversion":"1.0","id":"1","source":"/s","type":"t""#;

    #[test]
    fn events_round_trip() {
        let check = |rest: &str, expected: &str| {
            let text = format!("{{{LEAST}{rest}}}");
            let event = Event::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(String::from_utf8(event.to_json()).unwrap(), format!("{{{LEAST}{expected}}}"));
            assert_eq!(Event::parse(&event.to_json()), Ok(event));
        };
        let same = |rest: &str| check(rest, rest);
        same("");
        same(
            r#","subject":"x","time":"2026-11-24T06:37:45.5+01:00","datacontenttype":"text/xml","dataschema":"urn:s""#,
        );
        same(r#","flag":true,"count":-3,"word":"","data":null"#);
        same(r#","data":{"deep":[1,2.5,{"a":"\u0000"}]}"#);
        same(r#","data_base64":"/+8=""#);
        same(r#","tidemillhop":3,"tidemillpath":"a>b""#);
        check(r#","subject":null,"data_base64":null,"ext":null"#, "");
        check(r#","data":1,"subject":"behind""#, r#","subject":"behind","data":1"#);
    }

    #[test]
    fn what_was_stored_stays_readable() {
        let stored = format!(r#"{{{LEAST},"subject":"a\nb","datacontenttype":"json","ext":"\u0000"}}"#);
        assert!(Event::parse(stored.as_bytes()).is_err());
        let event = Event::restore(stored.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(event.to_json()).unwrap(), stored);
        assert!(Event::restore(b"{}").is_err());
    }

    #[test]
    fn what_is_no_event() {
        let check = |text: &str, expected: &str| {
            let error = Event::parse(text.as_bytes()).expect_err(text);
            assert!(error.to_string().contains(expected), "{text}: {error}");
        };
        check("", "no JSON");
        check("[]", "not an object but an array");
        check("{}", "lacks `specversion`, `id`, `source`, `type`");
        check(r#"{"specversion":"1.0","id":"1","type":"t"}"#, "lacks `source`");
        check(r#"{"specversion":"0.3","id":"1","source":"/s","type":"t"}"#, "`specversion` is not \"1.0\"");
        check(r#"{"specversion":1.0,"id":"1","source":"/s","type":"t"}"#, "`specversion` is not text");
        check(r#"{"specversion":"1.0","id":"","source":"/s","type":"t"}"#, "`id` is empty");
        let with = |rest: &str, expected: &str| check(&format!("{{{LEAST},{rest}}}"), expected);
        with(r#""time":"yesterday""#, "`time` is no RFC 3339 timestamp");
        with(r#""Ext":"x""#, "`Ext` has a name");
        with(r#""my_ext":"x""#, "`my_ext` has a name");
        with(r#""ext":{}"#, "`ext` is neither");
        with(r#""ext":1.5"#, "`ext` is no integer");
        with(r#""ext":2147483648"#, "`ext` is no integer");
        with(r#""data":1,"data_base64":"AA==""#, "both `data` and `data_base64`");
        with(r#""data_base64":"!""#, "`data_base64` is no base64");
        with(r#""subject":"a\u0000""#, "control character");
    }
}
